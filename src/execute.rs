//! From a line to its reply: the only place that knows both the grammar and the store.

use std::ops::ControlFlow;
use std::slice::EscapeAscii;

use crate::protocol::float;
use crate::protocol::request::{self, Form, Request, WrongCommand};
use crate::protocol::response::{self, PointWriter};
use crate::puts::{Puts, Settled};
use crate::server::{Line, Lines};
use crate::store::{Kind, PUTS_AT_ONCE, Run, Snapshot, SnapshotError};
use crate::turn::Turn;

/// How much of a wrong line is logged.
const LOGGED_BYTES: usize = 100;

/// Runs of points that are formed between two looks at the clock: a few microseconds.
const RUNS_PER_LOOK: u32 = 8;

/// The replies to as many puts as are stored at once. Worked out when this is compiled: a reply of fewer
/// bytes would not build.
const ALL_OK: [[u8; 4]; PUTS_AT_ONCE] = [*response::OK.first_chunk().unwrap(); PUTS_AT_ONCE];

/// How a line was answered.
pub enum Answer {
    /// The line is blank: nothing was appended.
    Blank,
    /// The line is executed. Its whole reply is appended, or will be when the puts that are held
    /// back are stored. Or it [is postponed](Executor::is_postponed).
    Executed,
    /// The reply is longer than the turn allows. Its first piece is appended; this is [the rest](append_piece).
    Begun(Snapshot),
    /// The line is an HTTP request line, and is answered as a wrong command. Nothing after it may
    /// be executed: a web page may have sent it to a local port.
    Foreign,
}

/// Executes lines in order, and appends their replies to those of a turn.
///
/// Puts are held back until there are enough to be stored at once, another request comes, or the
/// executor is dropped. Then they are stored, and only then answered.
pub struct Executor<'lines, 'turn, 'lent> {
    puts: Puts<'lines, 'turn, 'lent>,
}

impl<'lines, 'turn, 'lent> Executor<'lines, 'turn, 'lent> {
    /// An executor that appends to the replies of `turn`, and uses its allowance.
    pub fn new(turn: &'turn mut Turn<'lent>) -> Self {
        let puts = Puts::new(turn, answer_puts);
        Executor { puts }
    }

    /// Whether the turn is used up: its replies, including those to the puts that are held back, or
    /// its time.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.puts_left() == 0 || self.puts.turn.allowance.time_is_up()
    }

    /// How many more puts fill the replies of the turn.
    #[inline]
    fn puts_left(&self) -> usize {
        let turn = &*self.puts.turn;
        let room_bytes = turn.full_at.saturating_sub(turn.replies.len());
        let puts = room_bytes.div_ceil(response::OK.len());
        puts.saturating_sub(self.puts.count())
    }

    /// Whether the last line was a put that may not be executed yet. It was not, the turn is used up,
    /// and the line is to come again.
    pub fn is_postponed(&self) -> bool {
        self.puts.turn.is_postponed
    }

    /// Executes the next line, or the next few if they are plain puts. Appends their replies, or the first piece
    /// of a long one. `None` if no line is left.
    #[inline]
    pub fn execute_next(&mut self, lines: &mut Lines<'lines>) -> Option<Answer> {
        // Most clients send one line at a time.
        if lines.is_empty() {
            return None;
        }
        let most = self.puts_left();
        if self.puts.take_plain(lines, Form::Command, most) {
            return Some(Answer::Executed);
        }
        let answer = match lines.next()? {
            Line::Whole(line) => self.execute(line),
            Line::TooLong(line) => self.answer_wrong_command(line),
        };
        // A get, or a number of many digits, may have taken long.
        self.puts.turn.allowance.look_at_clock();
        Some(answer)
    }

    /// Executes a line.
    pub fn execute(&mut self, line: &'lines [u8]) -> Answer {
        match request::parse(line) {
            Ok(Request::Blank) => Answer::Blank,
            Ok(Request::Put(put)) => {
                self.puts.take(put, line.len());
                Answer::Executed
            }
            Ok(Request::Get(_) | Request::GetAll) if !self.puts.turn.is_answered => {
                Answer::Executed
            }
            Ok(Request::Get(key)) => self.answer_get(Some(key)),
            Ok(Request::GetAll) => self.answer_get(None),
            Err(WrongCommand) => self.answer_wrong_command(line),
        }
    }

    /// Answers a line that is no request, or is too long to be one.
    fn answer_wrong_command(&mut self, line: &[u8]) -> Answer {
        debug!("wrong command: {}", beginning(line));
        self.puts.store();
        self.puts.turn.counts.requests_wrong += 1;
        let replies = &mut self.puts.turn.replies;
        replies.extend_from_slice(response::WRONG_COMMAND);
        if request::is_http_request_line(line) {
            Answer::Foreign
        } else {
            Answer::Executed
        }
    }

    /// Answers with the points of one series, or of all.
    fn answer_get(&mut self, key: Option<&str>) -> Answer {
        self.puts.store();
        let turn = &mut *self.puts.turn;
        turn.counts.requests_get += 1;
        let snapshot = match key {
            Some(key) => turn.store.snapshot(key),
            None => (turn.store.series_count() > 0).then(|| turn.store.snapshot_all()),
        };
        let Some(mut snapshot) = snapshot else {
            turn.replies.extend_from_slice(response::OK);
            return Answer::Executed;
        };
        turn.replies.extend_from_slice(response::POINTS_BEGIN);
        match append_piece(&mut snapshot, turn) {
            Ok(ControlFlow::Continue(())) => Answer::Executed,
            // The next piece meets the same error, and ends the reply.
            Ok(ControlFlow::Break(())) | Err(_) => Answer::Begun(snapshot),
        }
    }
}

/// The beginning of a line, as it is logged.
pub fn beginning(line: &[u8]) -> EscapeAscii<'_> {
    line[..line.len().min(LOGGED_BYTES)].escape_ascii()
}

/// Appends the replies to puts.
fn answer_puts(turn: &mut Turn, settled: Settled) {
    match settled {
        Settled::Stored(count) => {
            turn.counts.requests_put += count as u64;
            if let Some(recorder) = &mut turn.recorder {
                let start = turn.replies.len();
                recorder.add_replies(start..start + count * response::OK.len());
            }
            let replies = ALL_OK[..count].as_flattened();
            turn.replies.extend_from_slice(replies);
        }
        Settled::Refused(count) => {
            turn.counts.requests_refused += count as u64;
            let replies = response::NOT_STORED.repeat(count);
            turn.replies.extend_from_slice(&replies);
        }
    }
}

/// Appends the points of a reply to a get that the snapshot has still to read, until the reply is complete,
/// or, which is a break, as many bytes are appended as the turn allows, rounded up to a whole point, or its
/// time is up.
///
/// # Errors
///
/// If the snapshot can no longer be read: the reply will never be complete.
pub fn append_piece(
    snapshot: &mut Snapshot,
    turn: &mut Turn,
) -> Result<ControlFlow<()>, SnapshotError> {
    let full_at = turn.replies.len() + turn.allowance.reply_bytes;
    let (mut run, mut runs) = (Run::new(), 0u32);
    while let Some(key) = snapshot.next_run(turn.store, &mut run)? {
        if let ControlFlow::Break(timestamp) = append_run(turn.replies, key, &run, full_at) {
            snapshot.take_back(timestamp);
            return Ok(ControlFlow::Break(()));
        }
        // A million series of one point take far longer than their bytes say.
        runs += 1;
        if runs.is_multiple_of(RUNS_PER_LOOK) {
            turn.allowance.look_at_clock();
            if turn.allowance.time_is_up() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    turn.replies.extend_from_slice(response::POINTS_END);
    Ok(ControlFlow::Continue(()))
}

/// Appends the points of a run until `out` has `full_at` bytes; a break holds the timestamp of the
/// last point appended.
fn append_run(out: &mut Vec<u8>, key: &str, run: &Run, full_at: usize) -> ControlFlow<i64> {
    let mut writer = PointWriter::new(key);
    let kind = run.kind();
    let mut points = run.timestamps().iter().zip(run.values());
    while points.len() > 0 {
        // So many fit if all lines are as long as they can be; most are much shorter.
        let line_room = writer.line_room_bytes();
        let fit = (full_at.saturating_sub(out.len()) / line_room).clamp(1, points.len());
        let mut length = out.len();
        out.resize(length + fit * line_room, 0);
        let mut last = 0;
        for (&timestamp, &value) in points.by_ref().take(fit) {
            length += writer.write(&mut out[length..], timestamp, |room| match kind {
                Kind::Digits { decimals } if !kind.is_exception(value) => {
                    float::write_decimal(room, value, decimals)
                }
                _ => float::write(room, f64::from_bits(value as u64)),
            });
            last = timestamp;
        }
        out.truncate(length);
        if length >= full_at {
            return ControlFlow::Break(last);
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::LineBuffer;
    use crate::store::Store;
    use crate::turn::{Allowance, Environment};
    use std::time::{Duration, Instant};

    /// Lines that have arrived.
    fn arrived(lines: &[String]) -> LineBuffer {
        let text = lines.join("\n") + "\n";
        let mut input = LineBuffer::new(512, text.len());
        input.read_from(&mut text.as_bytes(), text.len()).unwrap();
        input
    }

    /// How many of `lines` are executed in one turn whose time is over at the first look.
    fn executed_at_once(store: &mut Store, lines: &[String]) -> usize {
        let mut allowance = Allowance::new(0, 1 << 20, Duration::ZERO, Instant::now);
        let (mut replies, mut rest) = Default::default();
        let environment = Environment::default();
        let mut turn =
            Turn::unlimited(store, &mut replies, &mut allowance, &mut rest, &environment);
        let mut input = arrived(lines);
        let mut cut = input.lines();
        let mut executor = Executor::new(&mut turn);
        while !executor.is_done() && executor.execute_next(&mut cut).is_some() {}
        let (left, _) = cut.uncut(0);
        lines.len() - left.iter().filter(|&&byte| byte == b'\n').count()
    }

    #[test]
    fn lines_that_cost_much_use_up_the_time_sooner() {
        let mut store = Store::new();
        for timestamp in 0..20_000 {
            store.put("k", 10 * timestamp, 0.5);
        }
        let repeated = |line: &str| vec![format!("{line}"); 1_000];
        // Each falls into another place, in no order.
        let late = |at: i64| format!("put k 1 {}", 10 * (at * 7_919 % 20_000) + 1);
        let late: Vec<String> = (0..1_000).map(late).collect();
        for (lines, most) in [
            (repeated("put a 1.5 1"), 32),
            (repeated("get k"), 1),
            (repeated(&format!("put k {} 1", "1".repeat(300))), 1),
            (repeated("wrong"), 1),
            (late, 32),
        ] {
            let executed = executed_at_once(&mut store, &lines);
            assert!((1..=most).contains(&executed), "{}: {executed}", lines[0]);
        }
    }

    #[test]
    fn puts_are_stored_and_answered_up_to_the_limit_of_replies() {
        let counts = [0, 1, PUTS_AT_ONCE - 1, PUTS_AT_ONCE, PUTS_AT_ONCE + 1];
        let limits = counts.map(|count| count * response::OK.len());
        let limits = limits
            .iter()
            .flat_map(|limit| [*limit, limit + 1, limit + 3]);
        for (limit, arrived_puts) in limits.flat_map(|limit| counts.map(|count| (limit, count))) {
            let (mut store, mut replies) = (Store::new(), Vec::new());
            let mut allowance = Allowance::new(0, 1 << 20, Duration::MAX / 4, Instant::now);
            let (mut rest, environment) = Default::default();
            let mut turn = Turn {
                full_at: limit,
                ..Turn::unlimited(
                    &mut store,
                    &mut replies,
                    &mut allowance,
                    &mut rest,
                    &environment,
                )
            };
            let lines: Vec<String> = (0..arrived_puts)
                .map(|at| format!("put k 1 {at}"))
                .collect();
            let mut input = arrived(&lines);
            let mut lines = input.lines();
            let mut executor = Executor::new(&mut turn);
            while !executor.is_done() && executor.execute_next(&mut lines).is_some() {}
            drop(executor);
            let count = arrived_puts.min(limit.div_ceil(response::OK.len()));
            assert_eq!(replies, response::OK.repeat(count), "{limit}");
            assert_eq!(store.point_count(), count);
        }
    }
}
