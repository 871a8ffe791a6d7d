//! Graphite's plaintext protocol: takes a line, and stores its point. Nothing is ever answered.

use crate::config::TimestampUnit;
use crate::execute::beginning;
use crate::graphite;
use crate::protocol::request;
use crate::puts::{ORDINARY_LINE_BYTES, Puts, Settled};
use crate::server::{Admission, Line, LineBuffer};
use crate::store::Put;
use crate::turn::Turn;

/// What a client's session keeps between its turns.
#[derive(Debug, Default)]
pub struct GraphiteSession {
    /// No further line is taken: a client spoke HTTP.
    is_over: bool,
}

impl GraphiteSession {
    pub fn is_replying(&self) -> bool {
        false
    }

    pub fn is_cut_off(&self) -> bool {
        false
    }

    pub fn abandon_reply(&mut self) {}

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes a line, stores its point, until no line is left, the turn is used up or the session is
    /// over.
    // Not among the code of the line protocol.
    #[inline(never)]
    pub fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn) {
        let mut intake = Intake::new(turn);
        let mut lines = input.lines();
        while !intake.is_over && !intake.is_done() {
            match lines.next() {
                Some(Line::Whole(line)) => intake.take(line),
                Some(Line::TooLong(line)) => intake.drop_line(line, "too long"),
                None => break,
            }
        }
        intake.store();
        if intake.puts.turn.is_postponed {
            lines.put_back();
        }
        self.is_over = intake.is_over;
        if self.is_over {
            input.clear();
        }
    }
}

/// Takes the lines of one turn.
struct Intake<'lines, 'turn, 'lent> {
    puts: Puts<'lines, 'turn, 'lent>,
    /// Lines up to this length may take the fast path.
    plain_line_bytes: usize,
    unit: TimestampUnit,
    is_over: bool,
}

impl<'lines, 'turn, 'lent> Intake<'lines, 'turn, 'lent> {
    fn new(turn: &'turn mut Turn<'lent>) -> Self {
        let unit = turn.environment.timestamp_unit;
        let puts = Puts::new(turn);
        Intake {
            plain_line_bytes: puts.plain_line_bytes(),
            puts,
            unit,
            is_over: false,
        }
    }

    #[inline]
    fn is_done(&self) -> bool {
        self.puts.turn.is_postponed || self.puts.turn.allowance.time_is_up()
    }

    #[inline]
    fn take(&mut self, line: &'lines [u8]) {
        self.puts.turn.allowance.count_line();
        if line.len() <= self.plain_line_bytes
            && let Some(put) = graphite::plain_put(line, self.unit)
        {
            if self.puts.hold_back(put) {
                self.store();
            }
        } else {
            self.take_any(line);
        }
    }

    fn take_any(&mut self, line: &'lines [u8]) {
        match graphite::parse(line, self.unit) {
            Ok(graphite::Line::Put(put)) => self.take_put(put, line.len()),
            Ok(graphite::Line::PutNow { key, value }) => {
                let timestamp = self.puts.turn.environment.now();
                let put = Put {
                    key,
                    timestamp,
                    value,
                };
                self.take_put(put, line.len());
            }
            Ok(graphite::Line::NotANumber) => self.puts.turn.counts.graphite_points_nan += 1,
            Err(bad) => self.drop_line(line, bad.reason()),
        }
        if line.len() > ORDINARY_LINE_BYTES {
            // Numbers of many digits may have taken long.
            self.puts.turn.allowance.look_at_clock();
        }
    }

    fn take_put(&mut self, put: Put<'lines>, line_bytes: usize) {
        match self.puts.admit() {
            Admission::Open => {
                if self.puts.hold_back(put) || line_bytes > ORDINARY_LINE_BYTES {
                    self.store();
                }
            }
            // The line comes again.
            Admission::Full => {}
            Admission::Refused => self.puts.turn.counts.graphite_points_refused += 1,
        }
    }

    #[inline]
    fn store(&mut self) {
        let settled = self.puts.store();
        let turn = &mut *self.puts.turn;
        match settled {
            Settled::Stored(count) => {
                turn.counts.graphite_points += count as u64;
                if let Some(recorder) = &mut turn.recorder {
                    recorder.add_unanswered(count);
                }
            }
            Settled::Refused(count) => turn.counts.graphite_points_refused += count as u64,
        }
    }

    /// Drops a line that is no point, or is too long to be one.
    #[cold]
    fn drop_line(&mut self, line: &[u8], reason: &str) {
        log::debug!("bad Graphite line ({reason}): {}", beginning(line));
        self.puts.turn.counts.graphite_lines_bad += 1;
        // A web page must not put points by posting to a local port.
        self.is_over = request::is_http_request_line(line);
    }
}
