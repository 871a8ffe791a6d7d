//! `--remote-write` to VictoriaMetrics and Prometheus, which run as processes.
//!
//! Where they are not installed, the tests pass and say so, unless `METRICD_REQUIRE_PEERS` is set.
//! To set the number of kills at random moments, or to repeat them:
//! `METRICD_KILLS=300 METRICD_SEED=7 cargo test --release --test remote_write -- --nocapture killed`
#![cfg(all(feature = "daemon", feature = "remote-write", target_os = "linux"))]

mod support;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write as _};
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metricd::{Config, Server, SyncPolicy, TimestampUnit};
use rustix::process::Signal;
use support::process::{Daemon, METRICD, Process};
use support::receivers::{Folder, Kind, Points, Receiver};
use support::{Client, DEADLINE, OK, Random, again, all_at_once, assert_same, is_installed};

/// Starts a server that keeps its points in this folder and sends them to these URLs.
#[track_caller]
fn start(folder: &Path, urls: &[&str], options: &[&str]) -> Daemon {
    let mut command = Command::new(METRICD);
    command.args(["--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder).args(options);
    for url in urls {
        command.args(["--remote-write", url]);
    }
    Daemon::start_hearing(&mut command).0
}

/// Puts these points, given as lines of key, value and timestamp.
fn put(daemon: &Daemon, points: &str) {
    let puts: String = points.lines().fold(String::new(), |mut puts, point| {
        writeln!(puts, "put {point}").expect("has room");
        puts
    });
    let replies = daemon.connect().converse([puts.as_bytes()].into_iter());
    assert_same(&replies, &OK.repeat(points.lines().count()));
}

/// Points that were put, as a receiver shows them.
fn expected<'a>(points: impl IntoIterator<Item = (&'a str, i64, &'a str)>) -> Points {
    let mut expected = Points::new();
    for (labels, milliseconds, value) in points {
        let value: f64 = value.parse().expect("a value");
        let series = expected.entry(labels.into()).or_default();
        series.insert(milliseconds, value.to_bits());
    }
    expected
}

/// Fails unless exactly these points are received. Shows some that differ.
#[track_caller]
fn assert_received(received: &Points, expected: &Points) {
    for (one, other, what) in [
        (expected, received, "missing"),
        (received, expected, "wrong"),
    ] {
        let places = one.iter().flat_map(|(labels, points)| {
            points
                .iter()
                .map(move |(time, bits)| (labels, *time, f64::from_bits(*bits), bits))
        });
        let differing = places.filter(|(labels, time, _, bits)| {
            other.get(*labels).and_then(|points| points.get(time)) != Some(*bits)
        });
        let differing: Vec<_> = differing
            .map(|(labels, time, value, _)| (labels, time, value))
            .collect();
        assert!(
            differing.is_empty(),
            "{} are {what}: {:?} …",
            differing.len(),
            &differing[..differing.len().min(5)]
        );
    }
}

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs() as i64
}

/// Puts one more point, waits until the receiver has it, and returns all other points.
///
/// Points arrive in the order of their puts, so the receiver then has all that it will ever have.
#[track_caller]
fn all_received(daemon: &Daemon, receiver: &Receiver, last: i64, end: i64) -> Points {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let name = format!("the_last_{}", ASKED.fetch_add(1, Ordering::Relaxed));
    put(daemon, &format!("{name} 1 {last}"));
    let start = Instant::now();
    while receiver.points(&name, end).is_empty() {
        assert!(start.elapsed() < 3 * DEADLINE, "not all is received");
        // A receiver does not tell when it has received something.
        thread::sleep(Duration::from_millis(50));
    }
    let mut points = receiver.points("{__name__!=\"\"}", end);
    points.retain(|labels, _| !labels.starts_with("the_last_"));
    points
}

/// How many puts each of the clients, which put at the same time, sends before it waits for the replies.
const DEPTHS: [usize; 4] = [1, 7, 20, 100];

/// The keys that the clients put to, and the labels that arrive. `#` stands for the client.
const SERIES: [(&str, &str); 4] = [
    ("plain_#", "plain_#{}"),
    ("load.#", "load_#{key=\"load.#\"}"),
    (
        "requests_total;client=#;code=200",
        "requests_total{client=\"#\",code=\"200\"}",
    ),
    (
        "requests_total;code=200;client=#",
        "requests_total{client=\"#\",code=\"200\",key=\"requests_total;code=200;client=#\"}",
    ),
];

/// A client that puts in order, to series of its own, and knows what is acknowledged.
struct Writer {
    kind: Kind,
    client: usize,
    first_millisecond: i64,
    /// How many puts it has sent.
    sent: usize,
    /// The numbers of those that are acknowledged.
    acknowledged: Vec<usize>,
}

impl Writer {
    fn series(&self, number: usize) -> (String, String) {
        let (key, labels) = SERIES[number % SERIES.len()];
        let client = self.client.to_string();
        (key.replace('#', &client), labels.replace('#', &client))
    }

    fn time(&self, number: usize) -> i64 {
        self.first_millisecond + number as i64
    }

    /// No two values are equal. VictoriaMetrics keeps about 13 digits of them, and Prometheus all bits.
    fn value(&self, number: usize) -> f64 {
        match self.kind {
            Kind::VictoriaMetrics => number as f64 / 100.0,
            Kind::Prometheus => (number as f64).sqrt() / 3.0,
        }
    }

    /// Puts until the connection breaks, and sends how many puts are acknowledged to the channel. Fails on any
    /// other reply.
    fn put(&mut self, address: SocketAddr, depth: usize, acknowledged: &SyncSender<usize>) {
        let Ok(stream) = TcpStream::connect(address) else {
            return;
        };
        let mut stream = Client::from(stream).stream;
        let expected = OK.repeat(depth);
        let mut replies = expected.clone();
        loop {
            let mut lines = String::new();
            for number in self.sent..self.sent + depth {
                let (key, value) = (self.series(number).0, self.value(number));
                let time = self.time(number);
                writeln!(lines, "put {key} {value:?} {time}").expect("has room");
            }
            let first = self.sent;
            self.sent += depth;
            if stream.write_all(lines.as_bytes()).is_err() {
                return;
            }
            let mut received = 0;
            while received < replies.len() {
                let before = received / OK.len();
                match again(|| stream.read(&mut replies[received..])) {
                    Ok(0) => return,
                    Ok(count) => received += count,
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                    Err(error) => panic!("{error}"),
                }
                assert_same(&replies[..received], &expected[..received]);
                let now = received / OK.len();
                self.acknowledged.extend(first + before..first + now);
            }
            if acknowledged.send(depth).is_err() {
                // The test is about to end the server.
                return;
            }
        }
    }

    /// Removes its points from `points`, and checks that all acknowledged ones are there, and that all were put.
    #[track_caller]
    fn check(&self, points: &mut Points) {
        let mut found = BTreeMap::new();
        for number in 0..SERIES.len() {
            let labels = self.series(number).1;
            let series = points.remove(&labels).unwrap_or_default();
            for (time, bits) in series {
                let number = usize::try_from(time - self.first_millisecond).expect("was put");
                assert!(number < self.sent, "{labels} at {time} was not put");
                assert_eq!(self.series(number).1, labels, "at {time}");
                assert_eq!(bits, self.value(number).to_bits(), "{labels} at {time}");
                found.insert(number, bits);
            }
        }
        let is_missing = |number: &&usize| !found.contains_key(number);
        let missing: Vec<_> = self.acknowledged.iter().filter(is_missing).collect();
        assert!(
            missing.is_empty(),
            "client {}: of {} points that are acknowledged {} are missing: {:?} …",
            self.client,
            self.acknowledged.len(),
            missing.len(),
            &missing[..missing.len().min(10)]
        );
    }
}

/// Lets all clients put until `end` has ended the server. `end` receives the numbers of acknowledged puts from a
/// channel; the clients are at most a few hundred puts ahead of it.
fn load(writers: &mut [Writer], address: SocketAddr, end: impl FnOnce(mpsc::Receiver<usize>)) {
    let (sender, acknowledged) = mpsc::sync_channel(16);
    thread::scope(|scope| {
        for (writer, depth) in writers.iter_mut().zip(DEPTHS) {
            let sender = sender.clone();
            scope.spawn(move || writer.put(address, depth, &sender));
        }
        drop(sender);
        end(acknowledged);
    });
}

/// Waits until so many more puts are acknowledged.
#[track_caller]
fn wait_for_puts(acknowledged: &mpsc::Receiver<usize>, count: usize) {
    let mut missing = count;
    while missing > 0 {
        let more = acknowledged
            .recv_timeout(DEADLINE)
            .expect("puts are acknowledged");
        missing = missing.saturating_sub(more);
    }
}

/// Waits until the receiver takes points.
#[track_caller]
fn wait_for_delivery(acknowledged: &mpsc::Receiver<usize>, receiver: &Receiver) {
    receiver.wait_until_it_serves();
    let (start, before) = (Instant::now(), receiver.taken("plain_3"));
    while receiver.taken("plain_3") == before {
        wait_for_puts(acknowledged, 1);
        // It tells nobody when it has received something.
        thread::sleep(Duration::from_millis(4));
        // The sender may just be in its longest pause.
        assert!(start.elapsed() < 3 * DEADLINE, "nothing is received");
    }
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let number = env::var(variable).ok()?;
    Some(number.parse().expect("a number"))
}

const ENV_FOLDER: &str = "METRICD_TEST_FOLDER";
const ENV_URL: &str = "METRICD_TEST_URL";

/// Not a test by itself: another test runs it as a server in a process of its own, and kills it. Its journal is
/// so short that it writes many checkpoints, and it sends many small requests; the program has no options for that.
#[test]
fn a_server_with_a_small_journal() {
    let Some(folder) = env::var_os(ENV_FOLDER) else {
        return;
    };
    support::log_to_standard_error();
    let mut config = Config {
        listen: vec!["127.0.0.1:0".into()],
        data: Some(folder.into()),
        // Its files are longer than what is written, while they are read.
        sync: SyncPolicy::Always,
        timestamp_unit: TimestampUnit::Milliseconds,
        journal_limit_bytes: 8 << 10,
        ..Config::default()
    };
    let remote_write = &mut config.remote_write;
    remote_write.urls = vec![env::var(ENV_URL).expect("a URL")];
    remote_write.interval = Duration::from_millis(1);
    remote_write.request_points = 300;
    let end = Server::bind(config).and_then(Server::run).map(drop);
    end.expect("it serves until it is killed");
}

/// The program, or the server with a small journal.
fn start_either(random: &mut Random, data: &Path, url: &str) -> Daemon {
    if random.below(2) == 0 {
        return start(data, &[url], &UNDER_LOAD);
    }
    let mut command = Command::new(env::current_exe().expect("the path of the tests"));
    command.args(["--exact", "a_server_with_a_small_journal", "--nocapture"]);
    command.env(ENV_FOLDER, data).env(ENV_URL, url);
    Daemon::start_hearing(&mut command).0
}

const UNDER_LOAD: [&str; 4] = ["--timestamp-unit", "ms", "--sync", "never"];

/// Ends the receiver at random moments of a load, and starts it again each time. Then ends the server: by SIGTERM, by
/// `kill -9`, or together with the receiver, which is started again. Returns how often one of them was ended.
fn end_at_random(
    random: &mut Random,
    acknowledged: &mpsc::Receiver<usize>,
    receiver: &mut Receiver,
    daemon: Daemon,
) -> u64 {
    let mut ends = 1;
    for _ in 0..random.below(3) {
        wait_for_puts(acknowledged, random.below(2_000));
        receiver.end();
        ends += 1;
        wait_for_puts(acknowledged, random.below(4_000));
        receiver.begin();
        if random.below(2) == 0 {
            wait_for_delivery(acknowledged, receiver);
        }
    }
    if random.below(2) == 0 {
        wait_for_delivery(acknowledged, receiver);
    } else {
        wait_for_puts(acknowledged, random.below(2_000));
    }
    match random.below(3) {
        0 => {}
        1 => {
            daemon.process.kill();
            return ends;
        }
        _ => {
            daemon.process.signal(Signal::TERM);
            daemon.process.end();
            return ends;
        }
    }
    wait_for_delivery(acknowledged, receiver);
    // A stopped server reads no more answers, so the receiver keeps all that the server knows to be received.
    daemon.process.signal(Signal::STOP);
    receiver.keep();
    receiver.kill();
    daemon.process.kill();
    receiver.begin();
    ends + 1
}

/// Ends the server and the receiver at random moments of a load, and starts them again. At the end, the receiver
/// must have all that was acknowledged.
#[track_caller]
fn check_kills(kind: Kind) {
    let Some(mut receiver) = Receiver::start(kind) else {
        return;
    };
    let seed = number("METRICD_SEED").unwrap_or(u64::from(std::process::id()));
    let least = number("METRICD_KILLS").unwrap_or(16);
    // Shown if the test fails.
    println!("METRICD_SEED={seed}");
    let random = &mut Random(seed);
    let folder = Folder::new();
    let (data, url) = (folder.join("data"), receiver.url());
    let mut writers = writers(kind);
    let mut kills = 0;
    while kills < least {
        let daemon = start_either(random, &data, &url);
        load(&mut writers, daemon.address, |acknowledged| {
            kills += end_at_random(random, &acknowledged, &mut receiver, daemon);
        });
        if mem::take(&mut receiver.may_have_lost) {
            println!("{kind:?} may have lost what it has acknowledged");
            writers
                .iter_mut()
                .for_each(|writer| writer.acknowledged.clear());
        }
    }
    receiver.wait_until_it_serves();
    let daemon = start(&data, &[&url], &UNDER_LOAD);
    check_all(&writers, &daemon, &receiver);
    daemon.process.stop();
    let put: usize = writers.iter().map(|writer| writer.sent).sum();
    println!("{kind:?}: {kills} kills, {put} puts");
}

/// One client for each depth, none of which has put anything yet.
fn writers(kind: Kind) -> Vec<Writer> {
    // Prometheus takes only points that are not much older than its newest one.
    let first_millisecond = (unix_seconds() - 600) * 1_000;
    let writer = |client| Writer {
        kind,
        client,
        first_millisecond,
        sent: 0,
        acknowledged: Vec::new(),
    };
    (0..DEPTHS.len()).map(writer).collect()
}

/// Waits until the receiver has everything, and checks that this is what the clients have put.
#[track_caller]
fn check_all(writers: &[Writer], daemon: &Daemon, receiver: &Receiver) {
    let last = writers.iter().map(|writer| writer.time(writer.sent)).max();
    let last = last.expect("clients");
    let mut points = all_received(daemon, receiver, last, last / 1_000 + 1);
    for writer in writers {
        writer.check(&mut points);
    }
    assert!(points.is_empty(), "{:?}", points.keys());
}

#[test]
fn every_point_reaches_victoria_metrics_though_both_are_killed() {
    check_kills(Kind::VictoriaMetrics);
}

#[test]
fn every_point_reaches_prometheus_though_both_are_killed() {
    check_kills(Kind::Prometheus);
}

/// A timestamp as it is put, and as it is received in milliseconds. It is not sent if it does not fit there.
type Time = (i64, Option<i64>);

/// Timestamps of each unit.
const TIMES: [(&str, &[Time]); 3] = [
    (
        "s",
        &[
            (-2, Some(-2_000)),
            (0, Some(0)),
            (1, Some(1_000)),
            (i64::MAX, None),
            (2, Some(2_000)),
        ],
    ),
    (
        "ms",
        &[
            (-3_000, Some(-3_000)),
            (-1_500, Some(-1_500)),
            (-1, Some(-1)),
            (0, Some(0)),
            (1, Some(1)),
            (1_999, Some(1_999)),
        ],
    ),
    (
        "us",
        &[
            (-1_500_001, Some(-1_501)),
            (-1, Some(-1)),
            (0, Some(0)),
            (1_999, Some(1)),
            (2_000, Some(2)),
        ],
    ),
];

/// Keys whose labels must be escaped or encoded on the way, and the labels.
const KEYS: [(&str, &str); 3] = [
    ("a:b_9", "a:b_9{}"),
    ("a\"b\\c", "a_b_c{key=\"a\\\"b\\\\c\"}"),
    (
        "cpu;host=ä€😀;core=0",
        "cpu{core=\"0\",host=\"ä€😀\",key=\"cpu;host=ä€😀;core=0\"}",
    ),
];

const VALUES: [&str; 11] = [
    "nan",
    "inf",
    "-inf",
    "-0.0",
    "5e-324",
    "1.7976931348623157e308",
    "-2.2250738585072014e-308",
    "0.1",
    "3.141592653589793",
    "123456789012345680.0",
    "1e23",
];

/// Puts all values at all times, each value to a series of its own, and checks that Prometheus has them.
#[track_caller]
fn check_values(receiver: &Receiver, daemon: &Daemon, times: &[Time]) {
    let mut names = Vec::new();
    for number in 0..VALUES.len() {
        let (key, labels) = KEYS
            .get(number)
            .copied()
            .unwrap_or(("value_#", "value_#{}"));
        let number = number.to_string();
        names.push((key.replace('#', &number), labels.replace('#', &number)));
    }
    let (mut lines, mut points) = (String::new(), Vec::new());
    for (time, milliseconds) in times {
        for ((key, labels), value) in names.iter().zip(VALUES) {
            writeln!(lines, "{key} {value} {time}").expect("has room");
            points.extend(milliseconds.map(|milliseconds| (&labels[..], milliseconds, value)));
        }
    }
    put(daemon, &lines);
    let received = all_received(daemon, receiver, times.last().expect("a time").0, 3);
    assert_received(&received, &expected(points));
}

#[test]
fn prometheus_receives_names_values_and_times_as_they_are() {
    all_at_once(TIMES, |(unit, times)| {
        let Some(receiver) = Receiver::start(Kind::Prometheus) else {
            return;
        };
        let folder = Folder::new();
        let options = ["--timestamp-unit", unit];
        let daemon = start(&folder.join("data"), &[&receiver.url()], &options);
        check_values(&receiver, &daemon, times);
        daemon.process.stop();
    });
}

#[test]
fn receivers_that_are_away_get_all_later_each_by_itself() {
    let kinds = [Kind::VictoriaMetrics, Kind::Prometheus];
    let [Some(mut victoria), Some(mut prometheus)] = kinds.map(Receiver::new) else {
        return;
    };
    let folder = Folder::new();
    let urls = [victoria.url(), prometheus.url()];
    let daemon = start(&folder.join("data"), &[&urls[0], &urls[1]], &[]);
    let now = unix_seconds();
    put(&daemon, &format!("palm_cpu 23.75 {now}"));
    // It serves clients as usual.
    let reply = format!("ok\npalm_cpu 23.75 {now}\n\n");
    daemon
        .connect()
        .exchange(b"get palm_cpu\n", reply.as_bytes());
    for receiver in [&mut victoria, &mut prometheus] {
        receiver.begin();
        receiver.wait_until_it_serves();
        let received = all_received(&daemon, receiver, now, now + 1);
        assert_received(&received, &expected([("palm_cpu{}", now * 1_000, "23.75")]));
    }
    daemon.process.stop();
}

#[test]
fn an_unknown_host_is_a_warning() {
    let folder = Folder::new();
    let daemon = start(&folder.join("data"), &["http://unknown.invalid/write"], &[]);
    let mut client = daemon.connect();
    client.exchange(
        b"put palm.cpu 23.75 1\nget palm.cpu\n",
        b"ok\n\nok\npalm.cpu 23.75 1\n\n",
    );
    let warns = |line: String| line.contains("WARN") && line.contains("unknown.invalid");
    while !warns(daemon.process.log_line().expect("it warns")) {}
    let begin = Instant::now();
    daemon.process.stop();
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn sigterm_does_not_wait_for_an_answer_for_ever() {
    let Some(mut receiver) = Receiver::new(Kind::VictoriaMetrics) else {
        return;
    };
    let folder = Folder::new();
    let silent = TcpListener::bind(receiver.address).expect("the port is free still");
    let options = ["--stop-timeout", "1"];
    let daemon = start(&folder.join("data"), &[&receiver.url()], &options);
    let now = unix_seconds();
    put(&daemon, &format!("palm_cpu 23.75 {now}"));
    let request = request_to(silent);
    let begin = Instant::now();
    daemon.process.signal(Signal::TERM);
    expect_end(daemon.process);
    assert!(begin.elapsed() < Duration::from_secs(10));
    drop(request);
    receiver.begin();
    receiver.wait_until_it_serves();
    let daemon = start(&folder.join("data"), &[&receiver.url()], &options);
    let received = all_received(&daemon, &receiver, now, now + 1);
    assert_received(&received, &expected([("palm_cpu{}", now * 1_000, "23.75")]));
    daemon.process.stop();
}

#[test]
fn a_second_signal_does_not_wait_for_an_answer() {
    let folder = Folder::new();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("bound"));
    let daemon = start(&folder.join("data"), &[&url], &["--stop-timeout", "60"]);
    put(&daemon, &format!("palm_cpu 23.75 {}", unix_seconds()));
    let request = request_to(silent);
    let begin = Instant::now();
    daemon.process.signal(Signal::TERM);
    daemon.process.signal(Signal::INT);
    expect_end(daemon.process);
    assert!(begin.elapsed() < Duration::from_secs(10));
    drop(request);
}

/// Waits until it ends: in order, unless the disk, which others may use, is too slow for that.
#[track_caller]
fn expect_end(process: Process) {
    let end = process.end();
    let is_slow = |line: &String| line.contains("the disk does not answer");
    let is_in_order = end.code == Some(0) || end.stderr.iter().any(is_slow);
    assert!(is_in_order, "{end:?}");
}

/// The connection on which the first request comes, which is not answered.
fn request_to(silent: TcpListener) -> impl Sized {
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = silent.accept().expect("a connection");
        let count = stream.read(&mut [0; 1 << 10]).expect("a request");
        sender.send((stream, silent, count)).ok();
    });
    requests.recv_timeout(DEADLINE).expect("a request")
}

/// Points of three series, each of which has ascending timestamps.
fn numbered(numbers: Range<i64>, first_millisecond: i64) -> String {
    let line = |number| {
        format!(
            "of_{} {number} {}\n",
            number % 3,
            first_millisecond + number
        )
    };
    numbers.map(line).collect()
}

/// Waits until Prometheus has the point of this number.
#[track_caller]
fn wait_for_number(receiver: &Receiver, number: i64) {
    let query = format!(
        "/api/v1/query?query=of_{}&time={}",
        number % 3,
        unix_seconds()
    );
    let value = format!("\"{number}\"]");
    receiver.wait_for(&query, |body| body.contains(&value));
}

#[track_caller]
fn check_numbered(daemon: &Daemon, receiver: &Receiver, count: i64, first_millisecond: i64) {
    let last = first_millisecond + count;
    let points = all_received(daemon, receiver, last, first_millisecond / 1_000 + 61);
    let received: usize = points.values().map(BTreeMap::len).sum();
    assert_eq!(received, count as usize);
}

/// Prometheus refuses a whole request for one point that it has already, unless that is the newest of its series.
/// Here it has many, since an old position is put back, as a power failure may do.
#[test]
fn points_that_are_sent_once_more_cost_no_others() {
    let Some(mut receiver) = Receiver::start(Kind::Prometheus) else {
        return;
    };
    let folder = Folder::new();
    let data = folder.join("data");
    let options = ["--timestamp-unit", "ms"];
    let first = (unix_seconds() - 60) * 1_000;
    let daemon = start(&data, &[&receiver.url()], &options);
    put(&daemon, &numbered(0..1, first));
    wait_for_number(&receiver, 0);
    let paths = fs::read_dir(&data).expect("a folder");
    let mut paths = paths.map(|entry| entry.expect("an entry").path());
    let is_position = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("sent-"))
    };
    let position = paths.find(is_position).expect("a position");
    let before = fs::read(&position).expect("is read");
    put(&daemon, &numbered(1..1_000, first));
    wait_for_number(&receiver, 999);
    receiver.end();
    put(&daemon, &numbered(1_000..6_000, first));
    daemon.process.kill();
    fs::write(position, before).expect("is written");
    receiver.begin();
    receiver.wait_until_it_serves();
    let daemon = start(&data, &[&receiver.url()], &options);
    check_numbered(&daemon, &receiver, 6_000, first);
    daemon.process.stop();
}

/// With the command of the README.
#[test]
fn history_is_moved_over_by_putting_it_once_more() {
    if !is_installed("nc") {
        return;
    }
    let Some(receiver) = Receiver::start(Kind::VictoriaMetrics) else {
        return;
    };
    let folder = Folder::new();
    let data = folder.join("data");
    let daemon = start(&data, &[], &[]);
    let now = unix_seconds();
    let keys = [
        ("palm.cpu", "palm_cpu{key=\"palm.cpu\"}"),
        ("größe;a=1", "gr__e{a=\"1\",key=\"größe;a=1\"}"),
    ];
    let (mut lines, mut points) = (String::new(), Vec::new());
    for number in 0..10_000 {
        let (key, labels) = keys[number % 2];
        let (value, time) = (format!("{:?}", number as f64 / 100.0), now - number as i64);
        writeln!(lines, "{key} {value} {time}").expect("has room");
        points.push((labels, time * 1_000, value));
    }
    let points = || {
        points
            .iter()
            .map(|(labels, time, value)| (*labels, *time, &value[..]))
    };
    put(&daemon, &lines);
    daemon.process.stop();

    let daemon = start(&data, &[&receiver.url()], &[]);
    put(&daemon, &format!("new 1 {now}"));
    let new = || [("new{}", now * 1_000, "1")];
    let received = all_received(&daemon, &receiver, now, now + 1);
    assert_received(&received, &expected(new()));
    let nc = format!("nc -N {} {}", daemon.address.ip(), daemon.address.port());
    let resend = format!(
        "printf 'get *\\n' | {nc} | awk 'NF == 3 {{ print \"put\", $0 }}' | {nc} > /dev/null"
    );
    let shell = Command::new("sh")
        .args(["-c", &resend])
        .output()
        .expect("a shell");
    assert!(
        shell.status.success() && shell.stderr.is_empty(),
        "{shell:?}"
    );
    let received = all_received(&daemon, &receiver, now, now + 1);
    assert_received(&received, &expected(points().chain(new())));
    daemon.process.stop();
}
