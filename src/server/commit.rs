//! Between executing and replying: what makes the puts of a turn durable.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;
use std::ops::Range;
use std::time::Duration;

use crate::error::Error;
use crate::journal::record::PutRecord;
use crate::protocol::response;
use crate::store::{Put, Store};

/// Makes puts durable before they are answered, and evictions after that.
///
/// The puts of a turn, or of two, are recorded as they are executed, submitted together, and get one number.
/// Committing them may take time, on another thread. Replies to puts wait for it; other replies do
/// not. Nothing here waits. An [`outcome`](Self::outcome), the [`admission`](Self::admission), and what
/// [`clean_up`](Self::clean_up) and [`finish`](Self::finish) do are as of the last
/// [look](Self::look).
pub trait Commit {
    /// An empty record for the puts to come, or `None` if they need not be recorded. Asked once,
    /// before all else.
    fn record(&mut self) -> Option<PutRecord>;

    /// Takes what was recorded since the last call, and returns its number, which is never less than
    /// the one before. Evictions may be left for a later call.
    fn submit(&mut self, puts: &mut PutRecord) -> u64;

    /// Looks at what has happened on the other thread, and says whether that is more than at the last
    /// look. If the loop `will_wait` for events, an event for [`COMMITTED`](super::COMMITTED) wakes it
    /// when there is more.
    fn look(&mut self, will_wait: bool) -> bool;

    /// What became of the submission of this number. Outcomes come in the order of the numbers, and
    /// one that is not pending stays as it is.
    fn outcome(&self, number: u64) -> Outcome;

    /// How many submissions are pending.
    fn pending(&self) -> u64;

    /// Bytes of what was submitted and is pending.
    fn pending_bytes(&self) -> usize;

    /// Whether puts may be executed now.
    fn admission(&self) -> Admission;

    /// Does a slice of its own housework. Called in each turn that leaves no puts to be submitted, if they
    /// are recorded. Submits the evictions that were recorded since, if it can.
    fn clean_up(&mut self, store: &Store, puts: &mut PutRecord);

    /// Says whether anything must still be done before the server may end: false when all that was
    /// put is kept. Called after each turn of a server that stops, once nothing more will be put, if puts
    /// are recorded; begins what is to be done, of which slices are done by [`clean_up`](Self::clean_up).
    fn finish(&mut self, store: &Store, puts: &mut PutRecord) -> bool;

    /// Ends, whether all is kept or not, and waits for that for at most `wait`.
    ///
    /// # Errors
    ///
    /// If something that was submitted could not be kept, or if that is not known in time.
    fn close(self: Box<Self>, wait: Duration) -> Result<(), Error>;
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
    replies: Vec<Range<usize>>,
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

    /// Forgets where replies are, since all of them are taken.
    pub fn forget_replies(&mut self) {
        self.replies.clear();
    }
}

/// Replies that wait for a commit, in the order of the commits. All share a few buffers, so that none
/// costs an allocation.
#[derive(Debug, Default)]
pub struct WaitingReplies {
    queue: VecDeque<Waiting>,
    /// `bytes[sent..]` are those of the replies in the queue; `sent <= bytes.len()`.
    bytes: Vec<u8>,
    sent: usize,
    /// Which of them are replies to puts, counted from the first reply of their connection.
    puts: VecDeque<Range<usize>>,
}

/// Replies of a connection.
#[derive(Debug)]
struct Waiting {
    key: usize,
    /// Of the commit; `None` while it is not submitted.
    number: Option<u64>,
    bytes: usize,
    /// How many ranges of them are replies to puts.
    puts: usize,
}

impl Waiting {
    fn kept_bytes(&self) -> usize {
        self.bytes + self.puts * size_of::<Range<usize>>()
    }
}

/// Replies that wait no longer.
pub struct Leaving<'waiting> {
    pub key: usize,
    /// Bytes that were kept for them.
    pub kept_bytes: usize,
    pub replies: Cow<'waiting, [u8]>,
    /// To how many puts they are refusals, since these are not stored.
    pub refused: u64,
}

/// A buffer of so many bytes is kept though nothing is in it.
const BUFFER_BYTES: usize = 64 << 10;

impl WaitingReplies {
    /// Appends the replies of a connection, of which `puts` wait for the commit of this number, or for
    /// one that is not submitted yet. Returns how many bytes are kept for them: none, and nothing is
    /// appended, if there are no puts.
    pub fn push(
        &mut self,
        key: usize,
        number: Option<u64>,
        replies: &[u8],
        puts: impl Iterator<Item = Range<usize>>,
    ) -> usize {
        let before = self.puts.len();
        self.puts.extend(puts);
        let waiting = Waiting {
            key,
            number,
            bytes: replies.len(),
            puts: self.puts.len() - before,
        };
        if waiting.puts == 0 {
            return 0;
        }
        self.bytes.extend_from_slice(replies);
        let kept_bytes = waiting.kept_bytes();
        self.queue.push_back(waiting);
        kept_bytes
    }

    /// Says that all those without a number wait for the commit of this number.
    pub fn submitted(&mut self, number: u64) {
        let new = self.queue.iter_mut().rev();
        for waiting in new.take_while(|waiting| waiting.number.is_none()) {
            waiting.number = Some(number);
        }
    }

    /// The number of the commit that the first of them wait for, if it is submitted.
    pub fn next_number(&self) -> Option<u64> {
        self.queue.front()?.number
    }

    /// Takes the first of them, with refusals in place of the replies to puts if these are not stored.
    pub fn pop(&mut self, are_stored: bool) -> Option<Leaving<'_>> {
        let waiting = self.queue.pop_front()?;
        let start = self.sent;
        self.sent += waiting.bytes;
        let replies = &self.bytes[start..self.sent];
        let puts = self.puts.drain(..waiting.puts);
        let mut leaving = Leaving {
            key: waiting.key,
            kept_bytes: waiting.kept_bytes(),
            replies: Cow::Borrowed(replies),
            refused: 0,
        };
        if !are_stored {
            let puts: Vec<_> = puts.collect();
            let put_bytes: usize = puts.iter().map(Range::len).sum();
            leaving.refused = (put_bytes / response::OK.len()) as u64;
            leaving.replies = response::deny(replies, &puts).into();
        }
        Some(leaving)
    }

    /// Frees memory that is not needed any more. No more bytes are moved than have left since the last
    /// time.
    pub fn trim(&mut self) {
        if 2 * self.sent >= self.bytes.len() {
            self.bytes.drain(..mem::take(&mut self.sent));
        }
        let used = BUFFER_BYTES.max(2 * self.bytes.len());
        if self.bytes.capacity() > 2 * used {
            self.bytes.shrink_to(used);
        }
    }

    /// Bytes that are kept for all of them.
    #[cfg(test)]
    pub fn kept_bytes(&self) -> usize {
        self.queue.iter().map(Waiting::kept_bytes).sum()
    }
}

/// Points live in memory only: a put is committed once it is stored.
pub struct InMemory;

impl Commit for InMemory {
    fn record(&mut self) -> Option<PutRecord> {
        None
    }

    fn submit(&mut self, _puts: &mut PutRecord) -> u64 {
        0
    }

    fn look(&mut self, _will_wait: bool) -> bool {
        false
    }

    fn outcome(&self, _number: u64) -> Outcome {
        Outcome::Stored
    }

    fn pending(&self) -> u64 {
        0
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn admission(&self) -> Admission {
        Admission::Open
    }

    fn clean_up(&mut self, _store: &Store, _puts: &mut PutRecord) {}

    fn finish(&mut self, _store: &Store, _puts: &mut PutRecord) -> bool {
        false
    }

    fn close(self: Box<Self>, _wait: Duration) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

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
        recorder.forget_replies();
        assert_eq!(recorder.replies_within(0..50).count(), 0);
    }

    #[test]
    fn replies_leave_in_order_and_as_their_commits_have_ended() {
        let mut waiting = WaitingReplies::default();
        assert_eq!(waiting.push(7, Some(1), b"error\n", iter::empty()), 0);
        let replies = [&b"ok\n\n"[..], b"error\nok\n\nok\n\n", b"ok\n\nok\n\nwrong"];
        let mut kept_bytes = 0;
        for (key, (replies, puts)) in replies.iter().zip([0..4, 6..14, 0..8]).enumerate() {
            let number = (key == 0).then_some(3);
            kept_bytes += waiting.push(key, number, replies, iter::once(puts));
        }
        let reply_bytes: usize = replies.iter().map(|replies| replies.len()).sum();
        assert_eq!(kept_bytes, reply_bytes + 3 * size_of::<Range<usize>>());
        assert_eq!(waiting.kept_bytes(), kept_bytes);
        assert_eq!(waiting.next_number(), Some(3));
        waiting.submitted(4);
        let refused = [&b"error\n"[..], response::NOT_STORED, response::NOT_STORED];
        for (key, are_stored, expected) in [
            (0, true, replies[0]),
            (1, false, &refused.concat()),
            (2, true, replies[2]),
        ] {
            let leaving = waiting.pop(are_stored).expect("it waits");
            assert_eq!((leaving.key, &*leaving.replies), (key, expected));
            assert_eq!(leaving.refused, if are_stored { 0 } else { 2 });
            kept_bytes -= leaving.kept_bytes;
            waiting.trim();
            assert_eq!(waiting.next_number(), (key < 2).then_some(4));
        }
        assert!(waiting.pop(true).is_none());
        assert_eq!((kept_bytes, waiting.kept_bytes()), (0, 0));
    }

    #[test]
    fn no_more_bytes_are_moved_than_have_left() {
        let mut waiting = WaitingReplies::default();
        for _ in 0..3 {
            waiting.push(0, Some(1), &[0; 1_000], iter::once(0..4));
        }
        for expected in [(1_000, 3_000), (0, 1_000), (0, 0)] {
            waiting.pop(true);
            waiting.trim();
            assert_eq!((waiting.sent, waiting.bytes.len()), expected);
        }
    }

    #[test]
    fn memory_of_replies_that_have_left_is_freed() {
        let mut waiting = WaitingReplies::default();
        for _ in 0..1_000 {
            for _ in 0..2 {
                waiting.push(0, Some(1), &[0; 1_000], iter::once(0..4));
            }
            waiting.pop(true);
            waiting.trim();
            waiting.pop(true);
            waiting.push(0, Some(1), &[0; 1_000], iter::once(0..4));
            waiting.trim();
            waiting.pop(true);
            waiting.trim();
            assert!(waiting.bytes.capacity() < 10_000);
        }
        for bytes in [3 * BUFFER_BYTES, 4] {
            waiting.push(0, Some(1), &vec![0; bytes], iter::once(0..4));
        }
        // Though some still wait.
        waiting.pop(true);
        waiting.trim();
        assert_eq!(waiting.bytes.len(), 4);
        assert!(waiting.bytes.capacity() <= BUFFER_BYTES);
    }

    #[test]
    fn a_buffer_is_kept_unless_it_is_much_larger_than_what_waits() {
        for (waiting_bytes, capacity, expected) in [
            (4, 2 * BUFFER_BYTES, 2 * BUFFER_BYTES),
            (4, 2 * BUFFER_BYTES + 1, BUFFER_BYTES),
            (BUFFER_BYTES, 4 * BUFFER_BYTES, 4 * BUFFER_BYTES),
            (BUFFER_BYTES, 4 * BUFFER_BYTES + 1, 2 * BUFFER_BYTES),
        ] {
            let mut waiting = WaitingReplies {
                bytes: Vec::with_capacity(capacity),
                ..WaitingReplies::default()
            };
            waiting.push(0, Some(1), &vec![0; waiting_bytes], iter::once(0..4));
            waiting.trim();
            assert_eq!(waiting.bytes.capacity(), expected);
        }
    }

    #[test]
    fn without_a_journal_nothing_is_recorded_and_nothing_waits() {
        let mut commit = InMemory;
        assert!(commit.record().is_none());
        assert_eq!(commit.outcome(0), Outcome::Stored);
        assert_eq!(commit.admission(), Admission::Open);
        assert_eq!((commit.pending(), commit.pending_bytes()), (0, 0));
        assert!(!commit.look(true));
    }
}
