//! Graphite's plaintext protocol: takes a line, and stores its point. Nothing is ever answered.

use super::Session;
use crate::execute::beginning;
use crate::graphite;
use crate::protocol::request::{self, Form};
use crate::puts::{ORDINARY_LINE_BYTES, Puts, Settled};
use crate::server::{Line, LineBuffer};
use crate::turn::Turn;

/// What a client's session keeps between its turns.
#[derive(Default)]
pub struct GraphiteSession {
    /// No further line is taken: a client spoke HTTP.
    is_over: bool,
}

impl Session for GraphiteSession {
    fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes a line, stores its point, until no line is left, the turn is used up or the session is
    /// over.
    fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn, _more_to_come: bool) {
        let unit = turn.environment.timestamp_unit;
        let timestamp = |seconds, value| graphite::plain_timestamp(seconds, value, unit);
        let mut puts = Puts::new(turn, count_puts);
        let mut lines = input.lines();
        while !self.is_over && !puts.turn.allowance.time_is_up() {
            if puts.take_plain(&mut lines, Form::Bare(&timestamp), usize::MAX) {
                continue;
            }
            match lines.next() {
                Some(Line::Whole(line)) => self.take(line, &mut puts),
                Some(Line::TooLong(line)) => self.drop_line(line, "too long", puts.turn),
                None => break,
            }
        }
        if puts.turn.is_postponed {
            lines.put_back();
        }
        drop(puts);
        if self.is_over {
            input.clear();
        }
    }
}

impl GraphiteSession {
    fn take<'lines>(&mut self, line: &'lines [u8], puts: &mut Puts<'lines, '_, '_>) {
        puts.turn.allowance.count_lines(1);
        let environment = puts.turn.environment;
        match graphite::parse(line, environment.timestamp_unit, || environment.now()) {
            Ok(Some(put)) => puts.take(put, line.len()),
            Ok(None) => puts.turn.counts.graphite_points_nan += 1,
            Err(reason) => self.drop_line(line, reason, puts.turn),
        }
        if line.len() > ORDINARY_LINE_BYTES {
            // Numbers of many digits may have taken long.
            puts.turn.allowance.look_at_clock();
        }
    }

    /// Drops a line that is no point, or is too long to be one.
    #[cold]
    fn drop_line(&mut self, line: &[u8], reason: &str, turn: &mut Turn) {
        debug!("bad Graphite line ({reason}): {}", beginning(line));
        turn.counts.graphite_lines_bad += 1;
        // A web page must not put points by posting to a local port.
        self.is_over = request::is_http_request_line(line);
    }
}

fn count_puts(turn: &mut Turn, settled: Settled) {
    match settled {
        Settled::Stored(count) => {
            turn.counts.graphite_points += count as u64;
            if let Some(recorder) = &mut turn.recorder {
                recorder.unanswered += count as u64;
            }
        }
        Settled::Refused(count) => turn.counts.graphite_points_refused += count as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TimestampUnit, WhenFull};
    use crate::counters::Counts;
    use crate::journal::record::PutRecord;
    use crate::memory::Room;
    use crate::server::Admission;
    use crate::server::Recorder;
    use crate::store::Store;
    use crate::turn::{Allowance, Environment};
    use proptest::prelude::*;
    use std::time::{Duration, Instant, UNIX_EPOCH};

    const NOW: i64 = 1_600_000_000_750;
    const LINE_LIMIT: usize = 40;

    /// A server's half of one session, whose turns take as long as the test says.
    struct Desk {
        session: GraphiteSession,
        input: LineBuffer,
        store: Store,
        room: Room,
        recorder: Recorder,
        counts: Counts,
        turn_time: Duration,
    }

    impl Desk {
        fn new(turn_time: Duration) -> Desk {
            Desk {
                session: GraphiteSession::default(),
                input: LineBuffer::new(LINE_LIMIT, 64),
                store: Store::new(),
                room: Room::default(),
                recorder: Recorder::new(PutRecord::new(usize::MAX)),
                counts: Counts::default(),
                turn_time,
            }
        }

        /// A turn, and whether it was postponed.
        fn turn(&mut self, admission: Admission) -> bool {
            self.recorder.admission = admission;
            let environment = Environment {
                timestamp_unit: TimestampUnit::Milliseconds,
                wall_clock: || UNIX_EPOCH + Duration::from_micros(1_000 * NOW as u64 + 999),
                ..Environment::default()
            };
            let mut replies = Vec::new();
            let mut turn = Turn {
                kept_room_bytes: usize::MAX,
                store: &mut self.store,
                replies: &mut replies,
                full_at: 1,
                allowance: &mut Allowance::new(0, 1, self.turn_time, Instant::now),
                is_answered: true,
                recorder: Some(&mut self.recorder),
                room: &mut self.room,
                counts: &mut self.counts,
                environment: &environment,
                is_postponed: false,
            };
            self.session.execute(&mut self.input, &mut turn, false);
            let is_postponed = turn.is_postponed;
            assert!(replies.is_empty(), "nothing is answered");
            is_postponed
        }

        fn read(&mut self, mut bytes: &[u8]) {
            let (read, _) = self.input.read_from(&mut bytes, usize::MAX).expect("reads");
            assert_eq!((read, bytes.len()), (read, 0), "all of it");
        }

        fn points(&self) -> Vec<(String, i64, u64)> {
            let keys = self.store.keys().flat_map(|key| {
                let points = self.store.range(key, ..);
                points.map(|point| (key.to_owned(), point.timestamp, point.value.to_bits()))
            });
            keys.collect()
        }

        /// Takes all of the input at once.
        fn take(input: &[u8]) -> Desk {
            let mut desk = Desk::new(Duration::from_secs(1_000));
            for piece in input.chunks(64) {
                desk.read(piece);
                desk.turn(Admission::Open);
            }
            desk
        }
    }

    #[test]
    fn points_are_stored_and_lines_counted() {
        let desk = Desk::take(
            b"a 1 1\na 2 2.5\r\n\nb nan 1\nb 1 -1\nb;t=1 1e3 7\nx\n\xff 1 1\na 1 1 1\na 3 9e99\n\
              cut 1 123456789012345678901234567890\nlong 1 1234567890123456789012345678901234\na 9 9",
        );
        let bits = f64::to_bits;
        let points = [
            ("a", 1_000, bits(1.0)),
            ("a", 2_500, bits(2.0)),
            ("b", NOW, bits(1.0)),
            ("b;t=1", 7_000, bits(1e3)),
        ];
        assert_eq!(
            desk.points(),
            points.map(|(key, timestamp, value)| (key.into(), timestamp, value))
        );
        let counts = Counts {
            graphite_points: 4,
            graphite_points_nan: 1,
            graphite_lines_bad: 7,
            ..Counts::default()
        };
        assert_eq!(desk.counts, counts);
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_however_it_ends() {
        // The first is cut by reads of 64 bytes, and what is kept of it is no longer than a line may be.
        for (length, limit, points) in [(70, 60, 0), (61, 60, 0), (60, 60, 1)] {
            let mut desk = Desk::new(Duration::from_secs(1_000));
            desk.input = LineBuffer::new(limit, 64);
            for piece in format!("{:a>length$}\n", " 1 1").as_bytes().chunks(64) {
                desk.read(piece);
                desk.turn(Admission::Open);
            }
            assert_eq!(desk.store.point_count(), points, "{length} bytes");
            assert_eq!(desk.counts.graphite_lines_bad, 1 - points as u64);
        }
    }

    #[test]
    fn an_http_request_ends_the_session() {
        let mut desk = Desk::take(b"a 1 1\nPOST / HTTP/1.1\r\nb 1 1\n");
        assert!(desk.session.is_over() && desk.input.is_empty());
        assert_eq!(desk.store.series_count(), 1);
        assert_eq!(desk.counts.graphite_lines_bad, 1);
        // So it is if its target is long.
        let target = "/".repeat(50);
        desk = Desk::take(format!("a 1 1\nPOST {target} HTTP/1.1\r\nb 1 1\n").as_bytes());
        assert!(desk.session.is_over());
        assert_eq!(desk.store.series_count(), 1);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_as_refused() {
        let mut desk = Desk::new(Duration::from_secs(1_000));
        // Less than any process takes.
        desk.room = Room::new(Some(0), WhenFull::Refuse);
        desk.read(b"a 1 1\nb 1 -1\nbad\nc 1 1\n");
        desk.turn(Admission::Open);
        assert_eq!(desk.counts.graphite_points_refused, 3);
        assert_eq!(
            (desk.counts.graphite_points, desk.counts.graphite_lines_bad),
            (0, 1)
        );
        assert_eq!(desk.store.point_count(), 0);
    }

    #[test]
    fn lines_that_cost_much_use_up_the_time() {
        for (line, most) in [("a 1 1\n", 32), ("bad\n", 32), ("a 1 1.5\n", 32)] {
            let mut desk = Desk::new(Duration::ZERO);
            desk.input = LineBuffer::new(LINE_LIMIT, 1 << 16);
            desk.read(line.repeat(100).as_bytes());
            desk.turn(Admission::Open);
            let taken = desk.counts.graphite_points + desk.counts.graphite_lines_bad;
            assert_eq!(taken, most, "{line}");
        }
        let mut desk = Desk::new(Duration::ZERO);
        desk.input = LineBuffer::new(1 << 10, 1 << 16);
        desk.read(format!("a 1 0{}\n", "0".repeat(300)).repeat(10).as_bytes());
        desk.turn(Admission::Open);
        assert_eq!(desk.counts.graphite_points, 1);
    }

    fn any_line() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            6 => ("[ab]", 0u8..3, 0u16..300).prop_map(|(key, value, at)| format!("{key} {value} {}", f64::from(at) / 4.0)),
            1 => " ?[ab]\t1 {1,2}-?[0-9]\r?",
            1 => "[ab] nan 1",
            1 => "[a-z ]{0,10}x",
            // Around the line limit.
            1 => (LINE_LIMIT - 2..LINE_LIMIT + 3).prop_map(|length| format!("{:>length$}", " 1 1")),
            1 => (LINE_LIMIT - 2..LINE_LIMIT + 60).prop_map(|length| format!("a 1 {:0>1$}", 1, length - 4)),
        ];
        line.prop_map(|line| (line + "\n").into_bytes())
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_store(
            lines in proptest::collection::vec(any_line(), 0..60),
            reads in proptest::collection::vec(1usize..64, 1..60),
            are_full in proptest::collection::vec(any::<bool>(), 0..40),
            has_time: bool,
        ) {
            let input = lines.concat();
            let mut desk = Desk::new(if has_time { Duration::from_secs(1_000) } else { Duration::ZERO });
            let (mut reads, mut are_full) = (reads.iter().cycle(), are_full.into_iter());
            let mut rest = &input[..];
            while !rest.is_empty() || desk.input.has_unscanned() {
                if !desk.input.has_unscanned() {
                    let (read, later) = rest.split_at(rest.len().min(*reads.next().expect("cycles")));
                    desk.read(read);
                    rest = later;
                }
                let is_full = are_full.next().unwrap_or(false);
                desk.turn(if is_full { Admission::Full } else { Admission::Open });
            }
            // By the model: line by line.
            let mut naive = Desk::new(Duration::ZERO);
            for line in lines.iter().map(|line| &line[..line.len() - 1]) {
                let counts = &mut naive.counts;
                let read = (line.len() <= LINE_LIMIT).then(|| graphite::parse(line, TimestampUnit::Milliseconds, || NOW));
                let (key, timestamp, value) = match read {
                    Some(Ok(Some(put))) => (put.key, put.timestamp, put.value.to_double()),
                    Some(Ok(None)) => {
                        counts.graphite_points_nan += 1;
                        continue;
                    }
                    Some(Err(_)) | None => {
                        counts.graphite_lines_bad += 1;
                        continue;
                    }
                };
                counts.graphite_points += 1;
                naive.store.put(&Box::<str>::from(key), timestamp, value);
            }
            prop_assert_eq!(desk.points(), naive.points());
            prop_assert_eq!(desk.counts, naive.counts);
            prop_assert_eq!(desk.recorder.unanswered, desk.counts.graphite_points);
        }
    }
}
