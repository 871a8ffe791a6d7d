//! A sender over a disk in memory, with a receiver that does what a script says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::counters::Counts;
use crate::journal::file_system::{DiskFile, FileSystem};
use crate::journal::frame::{self, FileKind};
use crate::journal::position::{self, Position, PositionFile};
use crate::journal::record::PutRecord;
use crate::journal::simulated::{Fault, Simulated};
use crate::journal::spool::{End, Spool};
use crate::remote_write::batch::tests::{Series, read_request};
use crate::store::{Put, Store};

const POSITION: &str = "sent";

/// A journal without a thread: frames are in its file, and written, at once.
struct Journal {
    disk: Simulated,
    spool: Spool,
    store: Store,
    record: PutRecord,
    next: u64,
    file: Box<dyn DiskFile>,
    file_bytes: usize,
}

impl Journal {
    fn new() -> Journal {
        let mut disk = Simulated::new();
        let file = create(&mut disk, 1);
        Journal {
            disk,
            spool: Spool::new(vec![1], 0, Default::default()),
            store: Store::new(),
            record: PutRecord::new(usize::MAX),
            next: 1,
            file,
            file_bytes: 0,
        }
    }

    /// Puts in one frame.
    fn put(&mut self, puts: &[(&str, i64, f64)]) {
        for &(key, timestamp, value) in puts {
            let key = key.into();
            let put = Put {
                key,
                timestamp,
                value: value.into(),
            };
            let placed = self.store.put_all_noting_places(&[put]);
            self.record.push(placed[0], &put);
        }
        let mut bytes = self.record.take();
        frame::finish(&mut bytes, self.next, self.next);
        self.write(&bytes);
        let count = puts.len() as u64;
        self.spool.add_written(self.next, count, End::default());
        self.next += 1;
    }

    fn write(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).expect("no fault");
        self.file_bytes += bytes.len();
    }

    /// Ends the file, as a checkpoint does, and begins another one. Returns the bytes that it had.
    fn begin_file(&mut self) -> usize {
        self.write(&frame::end(self.next));
        assert!(self.record.begin_file());
        self.file = create(&mut self.disk, self.next);
        self.spool.set_checkpoint(self.next);
        mem::take(&mut self.file_bytes) + frame::FILE_HEAD_BYTES
    }
}

fn create(disk: &mut Simulated, number: u64) -> Box<dyn DiskFile> {
    let name = FileKind::Journal.name(number);
    disk.share()
        .create_with_head(&name, FileKind::Journal, number)
        .expect("no fault")
}

/// What a receiver does with a request.
#[derive(Clone, Debug)]
enum Answer {
    /// Takes it.
    Take,
    /// Answers with this status, `Retry-After` in seconds, and text.
    Status(u16, Option<u64>, &'static str),
    /// Takes it, and the answer is lost.
    TakeAndBreak,
    /// Breaks the connection.
    Break,
}

/// The labels of a series.
type Names = Vec<(String, String)>;

/// What came to a receiver, and what it does next: for ever the last of its answers.
#[derive(Default)]
struct Seen {
    answers: VecDeque<Answer>,
    /// A request is refused as a whole if it has such a point.
    refused: Option<fn(i64, u64) -> bool>,
    requests: Vec<Vec<u8>>,
    /// By labels, timestamps and bits, in the order in which they came.
    points: BTreeMap<Names, Vec<(i64, u64)>>,
    /// Who is asked what is published while a request is under way, …
    receiver: Option<Arc<Receiver>>,
    /// … and the points and bytes of the lag that it said.
    lags: Vec<(u64, u64)>,
}

impl Seen {
    fn values(&self) -> Vec<f64> {
        let points = self.points.values().flatten();
        points.map(|&(_, bits)| f64::from_bits(bits)).collect()
    }
}

#[derive(Clone, Default)]
struct Script(Arc<Mutex<Seen>>);

impl Script {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("nobody panicked")
    }

    fn answer(&self, answers: &[Answer]) {
        self.seen().answers = answers.iter().cloned().collect();
    }
}

impl Transport for Script {
    fn post(&mut self, body: &[u8]) -> io::Result<Response> {
        let seen = &mut *self.seen();
        seen.requests.push(body.to_vec());
        let mut counts = Counts::default();
        seen.receiver
            .as_ref()
            .expect("a sender")
            .add_to(&mut counts);
        seen.lags
            .push((counts.remote_lag_points, counts.remote_lag_bytes));
        let series: Vec<Series> = read_request(body);
        let mut answer = match seen.answers.len() {
            0 => Answer::Take,
            1 => seen.answers[0].clone(),
            _ => seen.answers.pop_front().expect("an answer"),
        };
        let mut points = series.iter().flat_map(|(_, points)| points);
        if let Some(refused) = seen.refused
            && points.any(|&(timestamp, bits)| refused(timestamp, bits))
        {
            answer = Answer::Status(400, None, "out of order sample");
        }
        if matches!(answer, Answer::Take | Answer::TakeAndBreak) {
            for (labels, points) in series {
                seen.points.entry(labels).or_default().extend(points);
            }
        }
        let (status, retry_after, text) = match answer {
            Answer::Take => (204, None, ""),
            Answer::Status(status, retry_after, text) => (status, retry_after, text),
            Answer::TakeAndBreak | Answer::Break => return Err(io::Error::other("reset")),
        };
        Ok(Response {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            text: text.into(),
        })
    }
}

fn sender_with(
    journal: &Journal,
    script: &Script,
    change: impl FnOnce(&mut Config),
) -> Sender<Script> {
    let mut disk = journal.disk.clone();
    let stored = position::load(&mut disk, POSITION).expect("no fault");
    let mut config = Config::default();
    change(&mut config);
    let position = stored.unwrap_or(Position::before(1));
    let spool = journal.spool.clone();
    let stored = PositionFile::new(POSITION);
    let receiver = Arc::new(Receiver::new("http://receiver/".into()));
    script.seen().receiver = Some(receiver.clone());
    Sender::new(
        Follower::new(disk.share(), spool, 0, stored, position),
        script.clone(),
        receiver,
        Labels::default(),
        &config,
        7,
    )
}

fn sender(journal: &Journal, script: &Script) -> Sender<Script> {
    sender_with(journal, script, |_| {})
}

/// Takes steps until all is done that is written, and returns how long that took by the test's clock.
fn run(sender: &mut Sender<Script>, mut now: Instant) -> Duration {
    let began = now;
    for _ in 0..1_000_000 {
        match sender.step(now) {
            Next::Now => {}
            Next::At(time) => now = now.max(time),
            Next::Written(_) => return now - began,
        }
    }
    panic!("it does not end");
}

fn counts(sender: &Sender<Script>) -> Counts {
    let mut counts = Counts::default();
    sender.receiver.add_to(&mut counts);
    counts
}

/// Puts of a series whose values are these, in frames of some.
fn put_all(journal: &mut Journal, values: std::ops::Range<i64>) {
    let puts: Vec<_> = values.map(|value| ("a.b", value, value as f64)).collect();
    for some in puts.chunks(7) {
        journal.put(some);
    }
}

fn all(values: std::ops::Range<i64>) -> Vec<f64> {
    values.map(|value| value as f64).collect()
}

#[test]
fn puts_wait_for_others_and_are_sent_together_in_order() {
    let (mut journal, script) = (Journal::new(), Script::default());
    let mut sender = sender(&journal, &script);
    let start = Instant::now();
    assert_eq!(sender.step(start), Next::Written(0));
    journal.put(&[("a.b", 5, 1.5), ("c", 5, -0.0)]);
    let second = start + Duration::from_secs(1);
    assert_eq!(sender.step(start), Next::At(second));
    journal.put(&[("a.b", 4, 2.5)]);
    let later = start + Duration::from_millis(999);
    assert_eq!(sender.step(later), Next::At(second));
    assert!(script.seen().requests.is_empty());
    assert_eq!(counts(&sender).remote_lag_points, 3);
    assert_eq!(run(&mut sender, second), Duration::ZERO);
    let seen = script.seen();
    assert_eq!(seen.requests.len(), 1);
    let name = |name: &str, value: &str| (name.to_string(), value.to_string());
    let expected = BTreeMap::from([
        (
            vec![name("__name__", "a_b"), name("key", "a.b")],
            vec![(5_000, 1.5f64.to_bits()), (4_000, 2.5f64.to_bits())],
        ),
        (
            vec![name("__name__", "c")],
            vec![(5_000, (-0.0f64).to_bits())],
        ),
    ]);
    assert_eq!(seen.points, expected);
    let counts = counts(&sender);
    assert_eq!(counts.remote_sent_points, 3);
    assert_eq!(counts.remote_sent_bytes, seen.requests[0].len() as u64);
    assert_eq!((counts.remote_lag_points, counts.remote_lag_bytes), (0, 0));
}

/// What becomes of ten points when a receiver first answers so: how many are rejected, how many are sent again,
/// and at least and at most how many seconds pass.
#[test]
fn each_answer_has_its_consequence() {
    use Answer::{Break, Status, TakeAndBreak};
    let hour = 3_600;
    for (answer, rejected, retried, (least, most)) in [
        (Status(200, None, ""), 0, 0, (0, 0)),
        (Status(299, None, ""), 0, 0, (0, 0)),
        (Status(301, None, ""), 0, 10, (0, 1)),
        (Status(400, None, "bad request"), 10, 0, (0, 0)),
        (Status(401, None, "who?"), 10, 0, (0, 0)),
        (Status(404, Some(5), ""), 10, 0, (0, 0)),
        (Status(408, None, ""), 0, 10, (0, 1)),
        (Status(429, None, ""), 0, 10, (0, 1)),
        (Status(429, Some(30), ""), 0, 10, (30, 60)),
        (Status(500, None, "sample"), 0, 10, (0, 1)),
        (Status(503, Some(2 * hour), ""), 0, 10, (hour, hour + 30)),
        (Status(599, None, ""), 0, 10, (0, 1)),
        (Status(100, None, ""), 0, 10, (0, 1)),
        (Break, 0, 10, (0, 1)),
        (TakeAndBreak, 0, 10, (0, 1)),
    ] {
        let (mut journal, script) = (Journal::new(), Script::default());
        put_all(&mut journal, 0..10);
        script.answer(&[answer.clone(), Answer::Take]);
        let mut sender = sender(&journal, &script);
        let took = run(&mut sender, Instant::now());
        let counts = counts(&sender);
        assert_eq!(counts.remote_rejected_points, rejected, "{answer:?}");
        assert_eq!(counts.remote_retried_points, retried, "{answer:?}");
        let is_taken = matches!(answer, Status(200..=299, ..));
        assert_eq!(
            counts.remote_last_error_timestamp_seconds == 0,
            is_taken,
            "{answer:?}"
        );
        let took = took.as_secs_f64();
        assert!(
            least as f64 <= took && took <= most as f64,
            "{answer:?}: {took} s"
        );
        let times = match answer {
            TakeAndBreak => 2,
            Status(200..=299, ..) => 0,
            _ => usize::from(rejected == 0),
        };
        // The script took nothing of what it answered itself.
        assert_eq!(script.seen().values().len(), 10 * times, "{answer:?}");
    }
}

#[test]
fn a_receiver_that_is_away_for_hours_is_asked_at_most_so_often_and_gets_all() {
    let (mut journal, script) = (Journal::new(), Script::default());
    let mut sender = sender(&journal, &script);
    script.answer(&[Answer::Break]);
    let (start, mut put) = (Instant::now(), 0);
    let mut now = start;
    while now < start + Duration::from_secs(6 * 3_600) {
        put_all(&mut journal, put..put + 3);
        put += 3;
        now = match sender.step(now) {
            Next::At(time) => time.max(now),
            Next::Now => now,
            next => panic!("{next:?}"),
        };
    }
    let attempts = script.seen().requests.len();
    // 15 seconds apart on average.
    assert!((1_300..1_600).contains(&attempts), "{attempts}");
    let lag = counts(&sender).remote_lag_seconds;
    assert!((21_000..=21_600).contains(&lag), "{lag}");
    script.answer(&[]);
    run(&mut sender, now);
    assert_eq!(script.seen().values(), all(0..put));
    assert_eq!(counts(&sender).remote_lag_seconds, 0);
}

#[test]
fn points_that_are_refused_cost_no_others() {
    let (mut journal, script) = (Journal::new(), Script::default());
    put_all(&mut journal, 0..3_000);
    script.seen().refused = Some(|timestamp, _| {
        let second = timestamp / 1_000;
        second < 200 || second == 777 || (1_000..1_003).contains(&second) || second == 2_999
    });
    let mut sender = sender_with(&journal, &script, |config| {
        config.remote_write.request_points = 500;
    });
    assert_eq!(run(&mut sender, Instant::now()), Duration::ZERO);
    let expected: Vec<f64> = all(200..777)
        .into_iter()
        .chain(all(778..1_000))
        .chain(all(1_003..2_999))
        .collect();
    assert_eq!(script.seen().values(), expected);
    let counts = counts(&sender);
    assert_eq!(counts.remote_rejected_points, 205);
    assert_eq!(counts.remote_sent_points, 2_795);
    assert!(script.seen().requests.len() < 350);
}

#[test]
fn requests_that_are_too_long_are_sent_in_parts() {
    let (mut journal, script) = (Journal::new(), Script::default());
    put_all(&mut journal, 0..1_000);
    let too_long = Answer::Status(413, None, "too long");
    script.answer(&[too_long.clone(), too_long.clone(), too_long, Answer::Take]);
    let mut sender = sender(&journal, &script);
    run(&mut sender, Instant::now());
    assert_eq!(script.seen().values(), all(0..1_000));
    assert_eq!(counts(&sender).remote_rejected_points, 0);
}

#[test]
fn what_was_under_way_is_sent_again_as_the_same_request() {
    check_same_request(|_| {});
    check_same_request(Sender::close);
}

/// The end of the first process is a kill, or in order.
fn check_same_request(end: fn(&mut Sender<Script>)) {
    let (mut journal, script) = (Journal::new(), Script::default());
    let start = Instant::now();
    put_all(&mut journal, 0..100);
    script.answer(&[Answer::Take, Answer::TakeAndBreak]);
    let smaller = |config: &mut Config| config.remote_write.request_points = 64;
    let mut killed = sender_with(&journal, &script, smaller);
    while counts(&killed).remote_failures == 0 {
        killed.step(start);
    }
    end(&mut killed);
    drop(killed);
    put_all(&mut journal, 100..200);
    script.answer(&[]);
    let mut again = sender_with(&journal, &script, smaller);
    run(&mut again, start);
    let seen = script.seen();
    assert_eq!(seen.requests[1], seen.requests[2]);
    let expected: Vec<f64> = all(0..100).into_iter().chain(all(64..200)).collect();
    assert_eq!(seen.values(), expected);
    drop(seen);
    // The process ends in peace, and nothing is sent again.
    again.close();
    let requests = script.seen().requests.len();
    assert_eq!(
        sender(&journal, &script).step(start),
        Next::Written(journal.next - 1)
    );
    assert_eq!(script.seen().requests.len(), requests);
}

#[test]
fn past_the_limit_of_the_spool_the_oldest_points_are_left_out_and_counted() {
    let (mut journal, script) = (Journal::new(), Script::default());
    let start = Instant::now();
    script.answer(&[Answer::Break]);
    let limit = 15_000;
    let mut sender = sender_with(&journal, &script, |config| {
        config.remote_write.spool_bytes = limit;
    });
    let mut files = Vec::new();
    for file in 0..5 {
        put_all(&mut journal, 700 * file..700 * (file + 1));
        sender.step(start);
        files.push(journal.begin_file());
        sender.step(start);
    }
    // The oldest that is left stays, however long it is.
    let kept = (0..5).find(|&left_out| files[left_out + 1..].iter().sum::<usize>() <= limit);
    let kept = 5 - kept.expect("some are kept") as i64;
    assert!((1..4).contains(&kept), "{files:?}");
    let dropped = 700 * (5 - kept);
    assert_eq!(counts(&sender).remote_dropped_points, dropped as u64);
    assert_eq!(counts(&sender).remote_lag_points, 700 * kept as u64);
    script.answer(&[]);
    run(&mut sender, start + Duration::from_secs(60));
    assert_eq!(script.seen().values(), all(dropped..3_500));
}

#[test]
fn of_a_long_file_that_is_nearly_sent_nothing_is_left_out() {
    let (mut journal, script) = (Journal::new(), Script::default());
    put_all(&mut journal, 0..7_000);
    let mut sender = sender_with(&journal, &script, |config| {
        config.remote_write.spool_bytes = 1_000;
    });
    let start = Instant::now();
    run(&mut sender, start);
    put_all(&mut journal, 7_000..7_010);
    assert!(journal.begin_file() > 10_000);
    run(&mut sender, start);
    assert_eq!(counts(&sender).remote_dropped_points, 0);
    assert_eq!(script.seen().values(), all(0..7_010));
}

#[test]
fn each_point_is_counted_once_when_a_file_is_left_out() {
    let (mut journal, script) = (Journal::new(), Script::default());
    put_all(&mut journal, 0..300);
    journal.put(&[("a", i64::MAX, 1.0)]);
    let mut sender = sender_with(&journal, &script, |config| {
        config.remote_write.spool_bytes = 1;
        config.remote_write.request_points = 100;
    });
    let start = Instant::now();
    // One request is taken, and the next one is under way.
    script.answer(&[Answer::Take, Answer::Break]);
    sender.step(start);
    sender.step(start);
    journal.begin_file();
    put_all(&mut journal, 300..310);
    journal.begin_file();
    script.answer(&[]);
    run(&mut sender, start);
    let counts = counts(&sender);
    assert_eq!(script.seen().values().len(), 110);
    assert_eq!(counts.remote_sent_points, 110);
    assert_eq!(counts.remote_dropped_points, 201);
}

#[test]
fn a_pause_begins_when_the_answer_has_come_and_the_spool_is_looked_at_meanwhile() {
    let (mut journal, script) = (Journal::new(), Script::default());
    script.answer(&[Answer::Status(503, Some(100), "")]);
    let mut sender = sender_with(&journal, &script, |config| {
        config.remote_write.spool_bytes = 10_000;
    });
    put_all(&mut journal, 0..10);
    let start = Instant::now();
    let gathered = start + Duration::from_secs(1);
    assert_eq!(sender.step(start), Next::At(gathered));
    assert_eq!(sender.step(gathered), Next::Now);
    // The answer took half a minute.
    let mut now = gathered + Duration::from_secs(30);
    let end = now + Duration::from_secs(100);
    for file in 0..10 {
        put_all(&mut journal, 0..700);
        journal.begin_file();
        assert_eq!(
            sender.step(now),
            Next::At(now + Config::SPOOL_LOOK),
            "{file}"
        );
        now += Config::SPOOL_LOOK;
    }
    assert!(now < end && script.seen().requests.len() == 1);
    let kept = journal.next - journal.spool.needed().unwrap_or(0);
    assert!(kept < 300, "{kept} frames of {}", journal.next);
}

#[test]
fn each_outage_is_logged_once_in_a_while() {
    let (mut journal, script) = (Journal::new(), Script::default());
    let mut sender = sender(&journal, &script);
    let mut now = Instant::now();
    for _ in 0..3 {
        script.answer(&[Answer::Break, Answer::Break, Answer::Take]);
        put_all(&mut journal, 0..7);
        now += run(&mut sender, now);
        assert!(!sender.failed_log.is_due(now));
        now += Duration::from_secs(601);
    }
}

#[test]
fn timestamps_become_milliseconds_and_those_that_do_not_fit_are_left_out() {
    use TimestampUnit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
    for (unit, timestamp, expected) in [
        (Seconds, 1, Some(1_000)),
        (Seconds, -1, Some(-1_000)),
        (Seconds, i64::MAX / 1_000, Some(i64::MAX / 1_000 * 1_000)),
        (Seconds, i64::MAX / 1_000 + 1, None),
        (Seconds, i64::MIN / 1_000 - 1, None),
        (Milliseconds, i64::MIN, Some(i64::MIN)),
        (Microseconds, 1_999, Some(1)),
        (Microseconds, -1, Some(-1)),
        (Nanoseconds, i64::MAX, Some(9_223_372_036_854)),
        (Nanoseconds, -1_000_001, Some(-2)),
    ] {
        let found = milliseconds(timestamp, unit);
        assert_eq!(found, expected, "{timestamp} {unit:?}");
    }
    let (mut journal, script) = (Journal::new(), Script::default());
    journal.put(&[("a", i64::MAX, 1.0)]);
    journal.put(&[("a", 1, 2.0), ("a", i64::MIN, 3.0), ("a", 2, 4.0)]);
    let mut sender = sender(&journal, &script);
    run(&mut sender, Instant::now());
    assert_eq!(script.seen().values(), [2.0, 4.0]);
    assert_eq!(counts(&sender).remote_dropped_points, 2);
    assert_eq!(counts(&sender).remote_sent_points, 2);
    assert!(!sender.dropped_log.is_due(Instant::now()));
}

#[test]
fn the_lag_has_what_is_under_way_and_is_known_meanwhile() {
    let (mut journal, script) = (Journal::new(), Script::default());
    put_all(&mut journal, 0..14);
    let bytes = journal.begin_file() as u64;
    put_all(&mut journal, 14..21);
    let in_second = journal.file_bytes as u64 + frame::FILE_HEAD_BYTES as u64;
    let mut sender = sender_with(&journal, &script, |config| {
        config.remote_write.request_points = 7;
    });
    run(&mut sender, Instant::now());
    let end = frame::FRAME_HEAD_BYTES as u64;
    let [first, second, third] = script.seen().lags[..] else {
        panic!("three requests");
    };
    assert_eq!((first, third), ((21, bytes + in_second), (7, in_second)));
    let of_frames = bytes - end - frame::FILE_HEAD_BYTES as u64;
    assert_eq!(second.0, 14);
    assert!(second.1 > in_second + end && second.1 < in_second + of_frames);
}

#[test]
fn what_has_no_room_is_taken_off_the_lag_and_counted_once() {
    let (mut journal, script) = (Journal::new(), Script::default());
    let timestamp = |number| if number % 5 == 0 { i64::MAX } else { number };
    for number in 0..40 {
        journal.put(&[("a", timestamp(number), 0.5)]);
    }
    script.answer(&[Answer::Status(413, None, ""), Answer::Take]);
    let mut sender = sender_with(&journal, &script, |config| {
        config.remote_write.request_points = 16;
    });
    run(&mut sender, Instant::now());
    let lags = script.seen().lags.clone().into_iter();
    // Half of 16 are taken, with those among and after them, then the other half.
    assert!(lags.map(|(points, _)| points).eq([40, 40, 40 - 11, 20]));
    assert_eq!(counts(&sender).remote_dropped_points, 8);
    assert_eq!(counts(&sender).remote_lag_points, 0);
}

#[test]
fn many_long_keys_are_sent_in_requests_of_limited_length() {
    let (mut journal, script) = (Journal::new(), Script::default());
    let keys: Vec<String> = (0..50)
        .map(|key| format!("{key:05}").repeat(1_000))
        .collect();
    for key in &keys {
        journal.put(&[(key, 1, 1.0)]);
    }
    let mut sender = sender_with(&journal, &script, |config| {
        config.remote_write.request_bytes = 64 << 10;
    });
    run(&mut sender, Instant::now());
    assert_eq!(script.seen().points.len(), 50);
    assert!((8..17).contains(&script.seen().requests.len()));
}

/// Two files of puts to nine series of long and short keys, and what is to come of them.
fn put_series(journal: &mut Journal) -> BTreeMap<Names, Vec<(i64, u64)>> {
    let mut expected = BTreeMap::<Names, Vec<_>>::new();
    for number in 0..60i64 {
        let key = format!("k{}", number % 9).repeat(if number % 9 == 5 { 500 } else { 3 });
        journal.put(&[(&key, number, number as f64)]);
        let points = expected.entry(vec![("__name__".into(), key)]).or_default();
        points.push((1_000 * number, (number as f64).to_bits()));
        if number == 35 {
            journal.begin_file();
        }
    }
    expected
}

#[test]
fn keys_that_are_not_held_are_read_once_a_request() {
    let calls = [Config::KEYS_HELD_BYTES, 14, 0].map(|held_bytes| {
        let (mut journal, script) = (Journal::new(), Script::default());
        let expected = put_series(&mut journal);
        let mut sender = sender(&journal, &script);
        sender.follower.take_room(0, 0, held_bytes);
        let calls = journal.disk.calls();
        run(&mut sender, Instant::now());
        assert_eq!(script.seen().points, expected, "{held_bytes}");
        assert_eq!(script.seen().requests.len(), 2);
        journal.disk.calls() - calls
    });
    assert_eq!([calls[1] - calls[0], calls[2] - calls[0]], [2 * 7, 2 * 9]);
}

#[test]
fn a_disk_that_fails_once_while_keys_are_read_costs_no_points() {
    for fault in [Fault::Error, Fault::Short, Fault::Interrupted] {
        for call in 1..50 {
            let (mut journal, script) = (Journal::new(), Script::default());
            let expected = put_series(&mut journal);
            let mut sender = sender(&journal, &script);
            sender.follower.take_room(0, 0, 14);
            journal.disk.fail_at(journal.disk.calls() + call, fault);
            run(&mut sender, Instant::now());
            assert_eq!(script.seen().points, expected, "{fault:?} {call}");
        }
    }
}

fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => Just(Answer::Take),
        1 => Just(Answer::TakeAndBreak),
        1 => Just(Answer::Break),
        1 => Just(Answer::Status(503, None, "")),
    ]
}

proptest! {
    /// Whatever a receiver answers, and whenever the process is killed: all points come, in order, but for
    /// those that come again.
    #[test]
    fn all_points_come_in_order(
        answers in proptest::collection::vec(any_answer(), 1..40),
        steps in proptest::collection::vec((0..40i64, any::<bool>(), 0..4u8), 1..12),
        request_points in 2usize..50,
    ) {
        let (mut journal, script) = (Journal::new(), Script::default());
        script.answer(&answers);
        script.seen().answers.push_back(Answer::Take);
        let smaller = |config: &mut Config| config.remote_write.request_points = request_points;
        let mut sender = sender_with(&journal, &script, smaller);
        let (mut now, mut put) = (Instant::now(), 0);
        for (puts, begins_file, what) in steps {
            put_all(&mut journal, put..put + puts);
            put += puts;
            if begins_file && puts > 0 {
                journal.begin_file();
            }
            match what {
                0 => sender = sender_with(&journal, &script, smaller),
                1 => {
                    sender.close();
                    sender = sender_with(&journal, &script, smaller);
                }
                _ => for _ in 0..3 {
                    now += Duration::from_millis(400);
                    sender.step(now);
                },
            }
        }
        run(&mut sender, now);
        let values = script.seen().values();
        let mut next = 0.0;
        for &value in &values {
            // What comes again is of a request before.
            prop_assert!(value <= next, "{value} before {next}");
            if value == next {
                next += 1.0;
            }
        }
        prop_assert_eq!(next, put as f64);
        prop_assert_eq!(counts(&sender).remote_lag_points, 0);
    }
}
