//! A line to its reply: the only place that knows both the grammar and the store.

use std::ops::ControlFlow;

use crate::protocol::float;
use crate::protocol::request::{self, Request, WrongCommand};
use crate::protocol::response::{self, PointWriter};
use crate::store::{Kind, PUTS_AT_ONCE, Put, Run, Snapshot, Store};

/// How much of a wrong line is logged.
const LOGGED_BYTES: usize = 100;

/// Points that may be written anew for late puts before no more lines are executed, the work of a
/// millisecond or a few; the puts that are held back then may exceed it, by a block each.
const POINTS_REWRITTEN_MAX: u64 = 30_000;

/// What came of a line.
pub enum Answer {
    /// The line is blank: nothing was appended.
    Blank,
    /// The whole reply is appended.
    Whole,
    /// The reply is longer than was asked for at once; the rest follows piece by piece.
    Unfinished(Reply),
}

/// Executes lines in order, on a store and with replies that it is lent.
///
/// Puts are held back until there are enough of them for [`Store::put_all`], or something else is
/// asked for: they are stored, and only then answered, all the same before whatever follows.
pub struct Executor<'lines, 'turn> {
    store: &'turn mut Store,
    out: &'turn mut Vec<u8>,
    /// A reply up to this is appended as a whole.
    piece_bytes: usize,
    /// What [`Store::points_rewritten`] was in the beginning.
    points_rewritten: u64,
    /// `puts[..held]` are held back.
    puts: [Put<'lines>; PUTS_AT_ONCE],
    held: usize,
}

impl<'lines, 'turn> Executor<'lines, 'turn> {
    /// An executor that appends replies to `out`, each up to `piece_bytes` as a whole.
    pub fn new(store: &'turn mut Store, out: &'turn mut Vec<u8>, piece_bytes: usize) -> Self {
        let points_rewritten = store.points_rewritten();
        Executor {
            store,
            out,
            piece_bytes,
            points_rewritten,
            puts: Default::default(),
            held: 0,
        }
    }

    /// Whether that is enough for a turn: so many replies as make a piece, those held back
    /// included, or so many points written anew.
    #[inline]
    pub fn is_done(&self) -> bool {
        let reply_bytes = self.out.len() + self.held * response::OK.len();
        let points_rewritten = self.store.points_rewritten() - self.points_rewritten;
        reply_bytes >= self.piece_bytes || points_rewritten >= POINTS_REWRITTEN_MAX
    }

    /// Executes a line and appends its reply, of a long one the first piece.
    #[inline]
    pub fn execute(&mut self, line: &'lines [u8]) -> Answer {
        match request::parse(line) {
            Ok(Request::Blank) => Answer::Blank,
            Ok(Request::Put {
                key,
                timestamp,
                value,
            }) => {
                self.puts[self.held] = Put {
                    key,
                    timestamp,
                    value,
                };
                self.held += 1;
                if self.held == PUTS_AT_ONCE {
                    self.finish();
                }
                Answer::Whole
            }
            Ok(Request::Get { key }) => {
                self.finish();
                let snapshot = self.store.snapshot(key);
                self.answer_get(snapshot)
            }
            Ok(Request::GetAll) => {
                self.finish();
                let snapshot = self.store.snapshot_all();
                self.answer_get(Some(snapshot).filter(|_| self.store.series_count() > 0))
            }
            Err(WrongCommand) => {
                let logged = &line[..line.len().min(LOGGED_BYTES)];
                log::debug!("wrong command: {}", logged.escape_ascii());
                self.answer_wrong_command()
            }
        }
    }

    /// Stores and answers what is held back. To be called in the end.
    #[inline]
    pub fn finish(&mut self) {
        self.store.put_all(&self.puts[..self.held]);
        for _ in 0..self.held {
            self.out.extend_from_slice(response::OK);
        }
        self.held = 0;
    }

    /// Answers what is no request.
    pub fn answer_wrong_command(&mut self) -> Answer {
        self.finish();
        self.out.extend_from_slice(response::WRONG_COMMAND);
        Answer::Whole
    }

    fn answer_get(&mut self, snapshot: Option<Snapshot>) -> Answer {
        let Some(snapshot) = snapshot else {
            self.out.extend_from_slice(response::OK);
            return Answer::Whole;
        };
        self.out.extend_from_slice(response::POINTS_BEGIN);
        let mut reply = Reply { snapshot };
        let piece_bytes = self.piece_bytes - response::POINTS_BEGIN.len();
        match reply.append_piece(self.store, self.out, piece_bytes) {
            ControlFlow::Continue(()) => Answer::Whole,
            ControlFlow::Break(()) => Answer::Unfinished(reply),
        }
    }
}

/// The rest of a reply to a get.
pub struct Reply {
    snapshot: Snapshot,
}

impl Reply {
    /// Appends points until `piece_bytes` bytes and the rest of a point are appended, which is a
    /// break, or the whole reply is.
    pub fn append_piece(
        &mut self,
        store: &Store,
        out: &mut Vec<u8>,
        piece_bytes: usize,
    ) -> ControlFlow<()> {
        let full = out.len() + piece_bytes;
        let mut run = Run::new();
        while let Some(key) = self.snapshot.next_run(store, &mut run) {
            if let ControlFlow::Break(timestamp) = append_run(out, key, &run, full) {
                self.snapshot.take_back(timestamp);
                return ControlFlow::Break(());
            }
        }
        out.extend_from_slice(response::POINTS_END);
        ControlFlow::Continue(())
    }
}

/// Appends the points of a run until `out` is full; a break says behind which timestamp.
fn append_run(out: &mut Vec<u8>, key: &str, run: &Run, full: usize) -> ControlFlow<i64> {
    let mut writer = PointWriter::new(key);
    let kind = run.kind();
    let mut points = run.timestamps().iter().zip(run.values());
    while points.len() > 0 {
        // So many fit however long their lines turn out to be; most are a good deal shorter.
        let line_room = writer.line_room_bytes();
        let fit = (full.saturating_sub(out.len()) / line_room).clamp(1, points.len());
        let mut length = out.len();
        out.resize(length + fit * line_room, 0);
        let mut last = 0;
        for (&timestamp, &value) in points.by_ref().take(fit) {
            length += writer.write(&mut out[length..], timestamp, |room| match kind {
                Kind::Digits { decimals } => float::write_decimal(room, value, decimals),
                Kind::Bits => float::write(room, f64::from_bits(value as u64)),
            });
            last = timestamp;
        }
        out.truncate(length);
        if length >= full {
            return ControlFlow::Break(last);
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_puts_that_write_much_anew_are_cut_into_turns() {
        const POINTS: i64 = 20_000;
        let (mut store, mut out) = (Store::new(), Vec::new());
        for timestamp in 0..POINTS {
            store.put("k", 10 * timestamp, 0.5);
        }
        // Each falls into another place, in no order.
        let late = |at: i64| 10 * (at * 7_919 % POINTS) + 1;
        let lines: Vec<String> = (0..POINTS)
            .map(|at| format!("put k 1 {}", late(at)))
            .collect();
        let mut lines = lines.iter().peekable();
        let mut turns = 0;
        while lines.peek().is_some() {
            let before = store.points_rewritten();
            let mut executor = Executor::new(&mut store, &mut out, usize::MAX);
            while !executor.is_done()
                && let Some(line) = lines.next()
            {
                executor.execute(line.as_bytes());
            }
            executor.finish();
            // A block may have grown to twice its size before it is cut.
            let most = POINTS_REWRITTEN_MAX + PUTS_AT_ONCE as u64 * 2 * 1_120;
            assert!(store.points_rewritten() - before <= most);
            turns += 1;
        }
        assert!(turns > 5, "{turns} turns");
        assert_eq!(store.point_count() as i64, 2 * POINTS);
    }
}
