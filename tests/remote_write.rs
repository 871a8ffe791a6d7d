//! `--remote-write` with those who receive it elsewhere: VictoriaMetrics and Prometheus, as processes.
//!
//! Where they are not installed, the tests pass and say so, unless `METRICD_REQUIRE_PEERS` is set.
//! More kills at random moments than usual, or the same again:
//! `METRICD_KILLS=300 METRICD_SEED=7 cargo test --release --test remote_write -- --nocapture killed`
#![cfg(all(feature = "daemon", feature = "remote-write", target_os = "linux"))]

mod support;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use support::http::get;
use support::process::{Daemon, METRICD, Process, listening_line};
use support::receivers::{Folder, Kind, Points, Receiver, free_address};
use support::{Client, DEADLINE, OK, again, assert_same};

const UNIX_EPOCH_TO_MILLISECONDS: &[&str] = &["--timestamp-unit", "ms"];

/// A server that hands on what is put, with the lines that it logs before it listens.
fn start(folder: &Path, url: &str, options: &[&str]) -> (Daemon, Vec<String>) {
    let mut command = Command::new(METRICD);
    command.args(["--listen", "127.0.0.1:0", "--remote-write", url]);
    command.arg("--data").arg(folder).args(options);
    let process = Process::spawn(&mut command);
    let mut said = Vec::new();
    loop {
        let Some(line) = process.log_line() else {
            panic!("it ends, and says {said:?}");
        };
        if let Some((_, address)) = line.rsplit_once("listening on ") {
            let address = address.parse().expect("an address");
            return (Daemon { process, address }, said);
        }
        said.push(line);
    }
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

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs() as i64
}

/// Puts a point after all others, and returns all points when the receiver has this one.
///
/// Points arrive in the order of their puts, so it has all others that it will ever have.
#[track_caller]
fn all_received(daemon: &Daemon, receiver: &Receiver, last: i64, end: i64) -> Points {
    put(daemon, &format!("the_last 1 {last}"));
    let start = Instant::now();
    while receiver.points("the_last", end).is_empty() {
        assert!(start.elapsed() < 3 * DEADLINE, "not all is received");
        // It tells nobody when it has received something.
        thread::sleep(Duration::from_millis(50));
    }
    let mut points = receiver.points("{__name__!=\"\"}", end);
    points.retain(|labels, _| !labels.starts_with("the_last{"));
    points
}

/// Random numbers, the same for each seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) % end as u64) as usize
    }
}

/// Clients that put at the same time, and how many puts each sends before it waits for the replies.
const DEPTHS: [usize; 4] = [1, 7, 20, 100];

/// What the clients put to, and under which labels it is received. `#` stands for the client.
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

    /// No two are the same. VictoriaMetrics keeps about 13 digits of a value, and Prometheus all bits.
    fn value(&self, number: usize) -> f64 {
        match self.kind {
            Kind::VictoriaMetrics => number as f64 / 100.0,
            Kind::Prometheus => (number as f64).sqrt() / 3.0,
        }
    }

    /// Puts until the connection breaks, and tells how many are acknowledged. Any other reply is a defect.
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
                // Its end is under way.
                return;
            }
        }
    }

    /// Takes its points out, and checks that they are all that is acknowledged, and nothing that was not put.
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

/// Has all clients put until `end` has ended the server. It is called with a channel that says how many puts
/// are acknowledged; the clients go no further than a few hundred ahead of what it takes.
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

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let number = env::var(variable).ok()?;
    Some(number.parse().expect("a number"))
}

/// Ends the server and the receiver at random moments of a load, and starts them again. At the end, the receiver
/// must have all that was acknowledged.
#[track_caller]
fn check_kills(kind: Kind) {
    let Some(mut receiver) = Receiver::start(kind) else {
        return;
    };
    let seed = number("METRICD_SEED").unwrap_or(u64::from(std::process::id()));
    let least = number("METRICD_KILLS").unwrap_or(24);
    // Shown if the test fails.
    println!("METRICD_SEED={seed}");
    let random = &mut Random(seed);
    let folder = Folder::new();
    // Prometheus takes only what is near to the newest point that it has.
    let first_millisecond = (unix_seconds() - 600) * 1_000;
    let writer = |client| Writer {
        kind,
        client,
        first_millisecond,
        sent: 0,
        acknowledged: Vec::new(),
    };
    let mut writers: Vec<Writer> = (0..DEPTHS.len()).map(writer).collect();
    let options = ["--timestamp-unit", "ms", "--sync", "never"];
    let mut kills = 0;
    while kills < least {
        let (daemon, _) = start(&folder.join("data"), &receiver.url(), &options);
        load(&mut writers, daemon.address, |acknowledged| {
            for _ in 0..random.below(3) {
                wait_for_puts(&acknowledged, random.below(2_000));
                receiver.end();
                kills += 1;
                wait_for_puts(&acknowledged, random.below(4_000));
                receiver.begin();
                if random.below(2) == 0 {
                    receiver.wait_until_it_serves();
                }
            }
            wait_for_puts(&acknowledged, random.below(2_000));
            kills += 1;
            if random.below(3) > 0 {
                daemon.process.kill();
                return;
            }
            // Both at once. What stands still learns of no answer any more.
            daemon.process.signal(Signal::STOP);
            receiver.keep();
            receiver.kill();
            kills += 1;
            daemon.process.kill();
            receiver.begin();
        });
    }
    receiver.wait_until_it_serves();
    let (daemon, _) = start(&folder.join("data"), &receiver.url(), &options);
    let last = writers.iter().map(|writer| writer.time(writer.sent)).max();
    let last = last.expect("clients");
    let mut points = all_received(&daemon, &receiver, last, last / 1_000 + 1);
    for writer in &writers {
        writer.check(&mut points);
    }
    assert!(points.is_empty(), "{:?}", points.keys());
    daemon.process.stop();
    let put: usize = writers.iter().map(|writer| writer.sent).sum();
    println!("{kind:?}: {kills} kills, {put} puts");
}

#[test]
fn every_point_reaches_victoria_metrics_though_both_are_killed() {
    check_kills(Kind::VictoriaMetrics);
}

#[test]
fn every_point_reaches_prometheus_though_both_are_killed() {
    check_kills(Kind::Prometheus);
}
