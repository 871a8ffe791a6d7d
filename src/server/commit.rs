//! Between executing and replying: what makes the puts of a turn durable.

use std::ops::Range;
use std::time::Duration;

use crate::error::Error;
use crate::journal::record::PutRecord;
use crate::store::{Put, Store};

/// Makes puts durable before they are answered, and evictions after that.
///
/// The puts of a turn, or of two, are recorded as they are executed, submitted together, and get one number.
/// Committing them may take time, on another thread. Replies to puts wait for it; other replies do
/// not. Nothing here waits. An [`outcome`](Self::outcome), the [`admission`](Self::admission), and what
/// [`clean_up`](Self::clean_up) and [`finish`](Self::finish) do are as of the last
/// [look](Self::look).
///
/// The defaults are for points that live in memory only.
pub trait Commit {
    /// An empty record for the puts to come, or `None` if they need not be recorded. Asked once,
    /// before all else.
    fn record(&mut self) -> Option<PutRecord> {
        None
    }

    /// Takes what was recorded since the last call, and returns its number, which is never less than
    /// the one before. Evictions may be left for a later call.
    fn submit(&mut self, _puts: &mut PutRecord) -> u64 {
        0
    }

    /// Looks at what has happened on the other thread, and says whether that is more than at the last
    /// look. If the loop `will_wait` for events, an event for [`COMMITTED`](super::COMMITTED) wakes it
    /// when there is more.
    fn look(&mut self, _will_wait: bool) -> bool {
        false
    }

    /// What became of the submission of this number. Outcomes come in the order of the numbers, and
    /// one that is not pending stays as it is.
    fn outcome(&self, _number: u64) -> Outcome {
        Outcome::Stored
    }

    /// The numbers of the submissions that are pending.
    fn pending(&self) -> Range<u64> {
        0..0
    }

    /// Bytes of what was submitted and is pending.
    fn pending_bytes(&self) -> usize {
        0
    }

    /// Whether puts may be executed now.
    fn admission(&self) -> Admission {
        Admission::Open
    }

    /// Does a slice of its own housework. Called in each turn that leaves no puts to be submitted, if they
    /// are recorded. Submits the evictions that were recorded since, if it can.
    fn clean_up(&mut self, _store: &Store, _puts: &mut PutRecord) {}

    /// Says whether anything must still be done before the server may end: false when all that was
    /// put is kept. Called after each turn of a server that stops, once nothing more will be put, if puts
    /// are recorded; begins what is to be done, of which slices are done by [`clean_up`](Self::clean_up).
    fn finish(&mut self, _store: &Store, _puts: &mut PutRecord) -> bool {
        false
    }

    /// Ends, whether all is kept or not, and waits for that for at most `wait`.
    ///
    /// # Errors
    ///
    /// If something that was submitted could not be kept, or if that is not known in time.
    fn close(self: Box<Self>, _wait: Duration) -> Result<(), Error> {
        Ok(())
    }
}

/// What became of puts that were submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Pending,
    /// They are as durable as they are to be before they are answered.
    Stored,
    /// They could not be made durable. A restart may bring them back or not.
    NotStored,
}

/// Whether puts may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// They may.
    Open,
    /// Later: too much waits to become durable.
    Full,
    /// No: they could not be made durable, and are answered so without being executed.
    Refused,
}

/// What the turns of all connections have put since the last submission, and where it is answered.
pub struct Recorder {
    pub admission: Admission,
    pub puts: PutRecord,
    /// Where replies to puts are in those of the turn: ascending, and with other bytes between them.
    pub replies: Vec<Range<usize>>,
    /// How many of the puts nobody waits for.
    pub unanswered: u64,
}

impl Recorder {
    pub fn new(puts: PutRecord) -> Recorder {
        Recorder {
            admission: Admission::Open,
            puts,
            replies: Vec::new(),
            unanswered: 0,
        }
    }

    /// Stores points, at most as many as are stored at once, and records them.
    // Not among the code of those who need not record.
    #[inline(never)]
    pub fn put_all(&mut self, store: &mut Store, puts: &[Put]) {
        let placed = store.put_all_noting_places(puts);
        for (&placed, put) in placed.iter().zip(puts) {
            self.puts.push(placed, put);
        }
    }

    /// Notes where replies to puts are appended.
    #[inline(never)]
    pub fn add_replies(&mut self, replies: Range<usize>) {
        match self.replies.last_mut() {
            Some(last) if last.end == replies.start => last.end = replies.end,
            _ => self.replies.push(replies),
        }
    }

    /// Where replies to puts are among the `replies` of one connection, counted from the start of these.
    pub fn replies_within(&self, replies: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let first = self
            .replies
            .partition_point(|puts| puts.end <= replies.start);
        let Range { start, end } = replies;
        let puts = self.replies[first..].iter();
        // Those of the connections before and after may adjoin.
        puts.take_while(move |puts| puts.start < end)
            .map(move |puts| puts.start.max(start) - start..puts.end.min(end) - start)
    }
}

/// Points live in memory only: a put is committed once it is stored.
pub struct InMemory;

impl Commit for InMemory {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_to_puts_are_found_within_those_of_each_connection() {
        let mut recorder = Recorder::new(PutRecord::new(usize::MAX));
        // The second and the third adjoin.
        for replies in [4..8, 20..24, 24..32, 40..44] {
            recorder.add_replies(replies);
        }
        assert_eq!(recorder.replies.len(), 3);
        for (replies, expected) in [
            (0..4, vec![]),
            (0..10, vec![(4, 8)]),
            (4..8, vec![(0, 4)]),
            (8..20, vec![]),
            (0..24, vec![(4, 8), (20, 24)]),
            (24..50, vec![(0, 8), (16, 20)]),
            (28..32, vec![(0, 4)]),
            (44..50, vec![]),
        ] {
            let within = recorder.replies_within(replies.clone());
            let within: Vec<_> = within.map(|puts| (puts.start, puts.end)).collect();
            assert_eq!(within, expected, "{replies:?}");
        }
    }

    #[test]
    fn without_a_journal_nothing_is_recorded_and_nothing_waits() {
        let mut commit = InMemory;
        assert!(commit.record().is_none());
        assert_eq!(commit.outcome(0), Outcome::Stored);
        assert_eq!(commit.admission(), Admission::Open);
        assert_eq!((commit.pending(), commit.pending_bytes()), (0..0, 0));
        assert!(!commit.look(true));
    }
}
