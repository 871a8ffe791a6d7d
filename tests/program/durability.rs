//! `--data`: what was acknowledged outlives the process, whatever ends it, and what an operator runs
//! into meanwhile. Real processes and real files, seen from outside.
//!
//! More kills at random moments than usual:
//! `METRICD_KILLS=300 cargo test --release --test program -- --nocapture kill_9`

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::support;
use crate::support::process::{Daemon, METRICD, Process, through_shell};
use crate::support::{Client, DEADLINE, OK, Random, again, assert_same, show};
use metricd::{Config, Server, SyncPolicy};
use rustix::process::{Resource, Rlimit, Signal, prlimit};

const NOT_STORED: &[u8] = b"error\nnot stored\n\n";

/// Clients that put at the same time, and how many puts each sends before it waits for the replies.
const DEPTHS: [usize; 4] = [1, 1, 20, 100];
const CLIENTS: i64 = DEPTHS.len() as i64;

/// Series that all of them put to. The points of each client have timestamps of their own.
const SHARED: usize = 5;

/// A folder for one test, which is removed unless the test fails.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("durability-{}-{name}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        Folder(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// The checkpoint that is being written.
    fn partial(&self) -> PathBuf {
        self.path().join("checkpoint.tmp")
    }

    /// The names of all files, ascending.
    fn names(&self) -> Vec<String> {
        self.content().into_keys().collect()
    }

    /// The files, each with its bytes.
    fn content(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path()).expect("a folder");
        let entries = entries.map(|entry| entry.expect("an entry"));
        // A file may be removed just now, and what is no file has no bytes.
        let bytes = |path| fs::read(path).unwrap_or_default();
        entries
            .map(|entry| {
                let name = entry.file_name().into_string().expect("a name");
                (name, bytes(entry.path()))
            })
            .collect()
    }

    /// The only file that has bytes of the journal, or of a checkpoint.
    #[track_caller]
    fn only(&self, kind: &str) -> PathBuf {
        let content = self.content();
        let mut files = content.iter().filter(|(name, bytes)| {
            name.starts_with(kind) && !name.ends_with(".tmp") && bytes.len() > FILE_HEAD_BYTES
        });
        let name = files.next().expect("a file").0;
        assert!(files.next().is_none(), "{:?}", content.keys());
        self.path().join(name)
    }

    /// Starts the program with this folder.
    #[track_caller]
    fn start(&self, options: &[&str]) -> (Daemon, Vec<String>) {
        Daemon::start_hearing(self.metricd().args(options))
    }

    fn metricd(&self) -> Command {
        let mut command = Command::new(METRICD);
        command.args(["--listen", "127.0.0.1:0", "--data"]);
        command.arg(self.path());
        command
    }

    /// A process of this test that serves the same folder, with checkpoints after so many bytes.
    fn server_with_limit(&self, journal_limit_bytes: usize, sync: &str) -> Command {
        let mut command = Command::new(env::current_exe().expect("the path of the tests"));
        command
            .args([
                "--exact",
                "durability::a_server_with_a_small_journal",
                "--nocapture",
            ])
            .env(ENV_FOLDER, self.path())
            .env(ENV_LIMIT, journal_limit_bytes.to_string())
            .env(ENV_SYNC, sync);
        command
    }

    /// Expects that a start says one line with this text, ends with status 1, and changes no file.
    #[track_caller]
    fn check_refused(&self, options: &[&str], text: &str) -> String {
        let before = self.content();
        let line = check_refused(self.metricd().args(options), text);
        assert!(before == self.content(), "{line}: a file has changed");
        line
    }

    /// All points, as a server says that starts with this folder.
    #[track_caller]
    fn points(&self) -> String {
        let (daemon, _) = self.start(&[]);
        let points = get_all(daemon.address);
        daemon.process.kill();
        points
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the folder is left for you: {}", self.path().display());
        } else {
            // A test may have removed it.
            fs::remove_dir_all(self.path()).ok();
        }
    }
}

/// Bytes of a file of the journal before its first frame.
const FILE_HEAD_BYTES: usize = 24;

/// Expects that a process says one line with this text, and ends with status 1.
#[track_caller]
fn check_refused(command: &mut Command, text: &str) -> String {
    let process = Process::spawn(command);
    let line = process.log_line().expect("says why not");
    assert!(
        line.starts_with("metricd: ") && line.contains(text),
        "{line}"
    );
    let end = process.end();
    assert_eq!((end.code, end.stderr.len()), (Some(1), 0), "{line} {end:?}");
    line
}

#[test]
fn what_the_journal_does_is_counted() {
    let folder = Folder::new("counted");
    for (sync, puts_a_frame) in [(SyncPolicy::Always, 3), (SyncPolicy::Never, 1)] {
        let server = Server::bind(Config {
            listen: vec!["127.0.0.1:0".into()],
            data: Some(folder.path().into()),
            sync,
            ..Config::default()
        });
        let server = server.expect("binds");
        let (counters, stop) = (server.counters(), server.stop_handle());
        let mut client = Client::connect(support::addresses_of(&server)[0]);
        let thread = thread::spawn(move || server.run());
        for _ in 0..4 {
            let puts = b"put k 1 1\n".repeat(puts_a_frame);
            client.exchange(&puts, &OK.repeat(puts_a_frame));
        }
        let counts = counters.read();
        let syncs = if sync == SyncPolicy::Always { 4 } else { 0 };
        assert_eq!((counts.journal_syncs, counts.journal_failures), (syncs, 0));
        assert_eq!(counts.journal_longest_sync_microseconds > 0, syncs > 0);
        assert!(counts.journal_written_bytes > 4 * 16, "{counts}");
        assert!(
            counts.journal_bytes >= counts.journal_written_bytes,
            "{counts}"
        );
        assert_eq!(counts.requests_put, 4 * puts_a_frame as u64);
        stop.stop();
        thread.join().expect("does not panic").expect("stops");
        let counts = counters.read();
        assert_eq!(
            (counts.journal_syncs > syncs, counts.journal_waiting_frames),
            (true, 0)
        );
        // The journal is short.
        assert_eq!(counts.journal_checkpoint_timestamp_seconds, 0);
    }
}

#[test]
fn checkpoints_are_counted() {
    let folder = Folder::new("checkpoints");
    let server = Server::bind(Config {
        listen: vec!["127.0.0.1:0".into()],
        data: Some(folder.path().into()),
        journal_limit_bytes: 1,
        ..Config::default()
    });
    let server = server.expect("binds");
    let (counters, stop) = (server.counters(), server.stop_handle());
    let mut client = Client::connect(support::addresses_of(&server)[0]);
    let thread = thread::spawn(move || server.run());
    let start = Instant::now();
    while counters.read().journal_checkpoint_timestamp_seconds < 1_700_000_000 {
        client.exchange(b"put k 1 1\n", OK);
        assert!(start.elapsed() < DEADLINE, "{}", counters.read());
    }
    assert!(counters.read().journal_checkpoint_bytes > 0);
    stop.stop();
    thread.join().expect("does not panic").expect("stops");
}

const ENV_FOLDER: &str = "METRICD_TEST_FOLDER";
const ENV_LIMIT: &str = "METRICD_TEST_JOURNAL_LIMIT";
const ENV_SYNC: &str = "METRICD_TEST_SYNC";

/// No test: the server of a test that runs this in a process of its own, which is killed. The program
/// has no option for the limit of the journal.
#[test]
fn a_server_with_a_small_journal() {
    let Some(folder) = env::var_os(ENV_FOLDER) else {
        return;
    };
    support::log_to_standard_error();
    let limit = env::var(ENV_LIMIT).expect("a limit");
    let config = Config {
        listen: vec!["127.0.0.1:0".into()],
        data: Some(folder.into()),
        sync: match env::var(ENV_SYNC).expect("a policy").as_str() {
            "always" => SyncPolicy::Always,
            "never" => SyncPolicy::Never,
            seconds => {
                SyncPolicy::Every(Duration::from_secs_f64(seconds.parse().expect("seconds")))
            }
        },
        journal_limit_bytes: limit.parse().expect("a number"),
        ..Config::default()
    };
    let end = Server::bind(config).and_then(Server::run).map(drop);
    if let Err(error) = end {
        eprintln!("metricd: {error}");
        std::process::exit(1);
    }
}

/// The reply to `get *`.
#[track_caller]
fn get_all(address: SocketAddr) -> String {
    let mut client = Client::connect(address);
    client.send(b"get *\n");
    String::from_utf8(client.finish()).expect("UTF-8")
}

/// A series and a timestamp.
type Place = (String, i64);

/// Points of one client, with the number of the put that each is from.
type Points = BTreeMap<Place, u64>;

/// A client that puts, and what it knows. No two of its puts have the same value, and no other client
/// puts at its timestamps.
struct Writer {
    client: i64,
    random: Random,
    /// What has survived the last kill.
    points: Points,
    /// What was put since, in order, with ascending numbers.
    sent: Vec<(Place, u64)>,
    /// How many of these are acknowledged, at least.
    acknowledged: usize,
    puts: u64,
    series: usize,
    clock: usize,
}

impl Writer {
    fn new(client: i64) -> Writer {
        Writer {
            client,
            random: Random(client as u64),
            points: Points::new(),
            sent: Vec::new(),
            acknowledged: 0,
            puts: 0,
            series: 0,
            clock: 0,
        }
    }

    /// The next put: into a new series now and then, most of them in order, some late, some to where
    /// there is a point already.
    fn next_line(&mut self) -> String {
        let place = match self.random.below(10) {
            0 if !self.sent.is_empty() => {
                let earlier = self.random.below(self.sent.len());
                self.sent[earlier].0.clone()
            }
            _ => self.next_place(),
        };
        self.puts += 1;
        let (whole, hundredths) = (self.puts / 100, self.puts % 100);
        let line = format!("put {} {whole}.{hundredths:02} {}\n", place.0, place.1);
        self.sent.push((place, self.puts));
        line
    }

    fn next_place(&mut self) -> Place {
        let key = match self.random.below(100) {
            0..=30 if self.series > 0 => format!("shared.{}", self.random.below(SHARED)),
            31..=97 if self.series > 0 => {
                let number = 1 + self.random.below(self.series);
                self.own_key(number)
            }
            _ => {
                self.series += 1;
                self.own_key(self.series)
            }
        };
        let step = match self.random.below(10) {
            0 => self.random.below(self.clock + 1),
            _ => self.clock + 1,
        };
        self.clock = self.clock.max(step);
        (key, step as i64 * CLIENTS + self.client)
    }

    fn own_key(&self, number: usize) -> String {
        self.own_key_prefix() + &number.to_string()
    }

    fn own_key_prefix(&self) -> String {
        format!("own.{}.", self.client)
    }

    /// Puts until the connection breaks, and tells how many are acknowledged. Any other reply is a
    /// defect.
    fn put(&mut self, address: SocketAddr, depth: usize, acknowledged: &Sender<usize>) {
        let Ok(stream) = TcpStream::connect(address) else {
            return;
        };
        let mut stream = Client::from(stream).stream;
        let mut room = OK.repeat(depth);
        loop {
            let lines: String = (0..depth).map(|_| self.next_line()).collect();
            if stream.write_all(lines.as_bytes()).is_err() {
                return;
            }
            let mut received = 0;
            while received < room.len() {
                match again(|| stream.read(&mut room[received..])) {
                    Ok(0) => return,
                    Ok(count) => received += count,
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                    Err(error) => panic!("{error}"),
                }
                let expected = OK.repeat(depth);
                assert_same(&room[..received], &expected[..received]);
                let before = self.sent.len() - depth;
                self.acknowledged = before + received / OK.len();
            }
            // Nobody listens any more when the process is killed.
            acknowledged.send(depth).ok();
        }
    }

    /// Checks what there is of its points after a restart: the puts up to one, which is the newest
    /// acknowledged one or a later one, and nothing else.
    fn check_and_go_on(&mut self, found: &Points) {
        let newest = found.values().max().copied().unwrap_or(0);
        let is_newer = |(_, number): &(Place, u64)| *number <= newest;
        let survived = self.sent.iter().take_while(|put| is_newer(put)).count();
        for (place, number) in self.sent.drain(..survived.max(self.acknowledged)) {
            self.points.insert(place, number);
        }
        self.sent.clear();
        self.acknowledged = 0;
        // Series that are lost again are new again.
        let prefix = self.own_key_prefix();
        let own = self
            .points
            .keys()
            .filter_map(|(key, _)| key.strip_prefix(&prefix));
        let numbers = own.map(|number| number.parse().expect("a number"));
        self.series = numbers.max().unwrap_or(0);
        let differing = |(place, number): &(&Place, &u64)| found.get(place) != Some(number);
        let missing: Vec<_> = self.points.iter().filter(differing).collect();
        let differing = |(place, number): &(&Place, &u64)| self.points.get(place) != Some(number);
        let wrong: Vec<_> = found.iter().filter(differing).collect();
        assert!(
            missing.is_empty() && wrong.is_empty(),
            "client {}: {} points are missing: {:?} …; {} are wrong: {:?} …",
            self.client,
            missing.len(),
            &missing[..missing.len().min(5)],
            wrong.len(),
            &wrong[..wrong.len().min(5)],
        );
    }
}

/// The keys of a reply to `get *`, in order.
fn keys_of(reply: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    for (key, ..) in points_of(reply) {
        if keys.last() != Some(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The lines of a reply to a get: key, timestamp, value.
fn points_of(reply: &str) -> impl Iterator<Item = (&str, i64, &str)> {
    let lines = reply
        .strip_prefix("ok\n")
        .and_then(|rest| rest.strip_suffix('\n'));
    lines.expect("a whole reply").lines().map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("a word");
        let (key, value, timestamp) = (word(), word(), word());
        (key, timestamp.parse().expect("a timestamp"), value)
    })
}

/// What all clients together know.
struct Model {
    writers: Vec<Writer>,
    /// The series that were there after the last restart, in order.
    order: Vec<String>,
    /// The series in the last reply to a get since, which may be of puts that are not acknowledged.
    seen: Vec<String>,
}

impl Model {
    fn new() -> Model {
        Model {
            writers: (0..CLIENTS).map(Writer::new).collect(),
            order: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Checks what a server holds after a restart.
    fn check(&mut self, address: SocketAddr) {
        let reply = get_all(address);
        let mut points = vec![Points::new(); self.writers.len()];
        let mut before = ("", 0);
        for (key, timestamp, value) in points_of(&reply) {
            assert!(
                before.0 != key || before.1 < timestamp,
                "{before:?}, {timestamp}"
            );
            before = (key, timestamp);
            let number = (value.parse::<f64>().expect("a value") * 100.0).round() as u64;
            let client = timestamp.rem_euclid(CLIENTS) as usize;
            points[client].insert((key.to_owned(), timestamp), number);
        }
        for (writer, points) in self.writers.iter_mut().zip(&points) {
            writer.check_and_go_on(points);
        }
        self.check_order(&keys_of(&reply));
    }

    /// Checks that series come in the order in which each was first put.
    fn check_order(&mut self, keys: &[&str]) {
        let distinct: BTreeSet<&str> = keys.iter().copied().collect();
        assert_eq!(distinct.len(), keys.len(), "a series in two places");
        assert!(
            keys.len() >= self.order.len() && keys.iter().zip(&self.order).all(|(a, b)| a == b)
        );
        let is_as_seen = keys.iter().zip(&self.seen).all(|(a, b)| a == b);
        assert!(
            is_as_seen,
            "another order than before: {keys:?}, {:?}",
            self.seen
        );
        for client in 0..self.writers.len() {
            let prefix = self.writers[client].own_key_prefix();
            let own = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
            let numbers: Vec<usize> = own
                .map(|number| number.parse().expect("a number"))
                .collect();
            assert!(
                numbers.is_sorted(),
                "series of client {client}: {numbers:?}"
            );
        }
        self.order = keys.iter().map(|&key| key.into()).collect();
        self.seen.clear();
    }

    /// Lets all clients put, and one get, until `end` has ended the server. It is called with a
    /// channel that says how many puts are acknowledged.
    fn load<T>(&mut self, address: SocketAddr, end: impl FnOnce(&mpsc::Receiver<usize>) -> T) -> T {
        let (sender, acknowledged) = mpsc::channel();
        thread::scope(|scope| {
            for (writer, depth) in self.writers.iter_mut().zip(DEPTHS) {
                let sender = sender.clone();
                scope.spawn(move || writer.put(address, depth, &sender));
            }
            drop(sender);
            let seen = &mut self.seen;
            scope.spawn(move || *seen = last_keys(address));
            end(&acknowledged)
        })
    }
}

/// Asks for all points again and again until the connection breaks, and returns the series of the last
/// whole reply.
fn last_keys(address: SocketAddr) -> Vec<String> {
    let mut last = String::from("ok\n\n");
    let Ok(stream) = TcpStream::connect(address) else {
        return Vec::new();
    };
    let mut stream = Client::from(stream).stream;
    let mut room = vec![0; 1 << 20];
    let mut reply = Vec::new();
    while stream.write_all(b"get *\n").is_ok() {
        reply.clear();
        while !reply.ends_with(b"\n\n") {
            match again(|| stream.read(&mut room)) {
                Ok(count) if count > 0 => reply.extend_from_slice(&room[..count]),
                _ => break,
            }
        }
        if !reply.ends_with(b"\n\n") {
            break;
        }
        last = String::from_utf8(reply.clone()).expect("UTF-8");
    }
    let keys = keys_of(&last).into_iter();
    keys.map(String::from).collect()
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

/// How often to kill a server at least, for each of the three values of `--sync`.
fn least_kills() -> usize {
    let kills = env::var("METRICD_KILLS").map(|kills| kills.parse().expect("a number"));
    kills.unwrap_or(24usize).div_ceil(3)
}

/// How often servers with the same folder are killed. With more points, checkpoints are rarer.
const KILLS_OF_A_FOLDER: usize = 8;

/// Journal bytes after which the servers of every second start write a checkpoint.
const SMALL_JOURNAL_BYTES: usize = 8 << 10;

/// Kills servers at random moments of a load, many with the same folder, and checks after each restart
/// what is there.
#[track_caller]
fn check_kills(name: &str, sync: &str) {
    let (mut kills, mut during_checkpoints) = (0, 0);
    // Whether a checkpoint is hit is up to chance.
    while kills < least_kills() || during_checkpoints == 0 {
        assert!(kills < least_kills() + 100, "no kill during a checkpoint");
        let folder = Folder::new(&format!("{name}-{kills}"));
        let (mut model, mut random) = (Model::new(), Random(kills as u64));
        for kill in 0..KILLS_OF_A_FOLDER {
            kill_under_load(&folder, sync, kill, &mut model, &mut random);
            during_checkpoints += usize::from(folder.partial().exists());
        }
        kills += KILLS_OF_A_FOLDER;
        let (daemon, _) = folder.start(&[]);
        assert!(!folder.partial().exists());
        model.check(daemon.address);
        daemon.process.kill();
    }
    eprintln!("{name}: {kills} kills, {during_checkpoints} of them during a checkpoint");
}

/// Starts a server, checks what it holds, and kills it while clients put.
#[track_caller]
fn kill_under_load(
    folder: &Folder,
    sync: &str,
    kill: usize,
    model: &mut Model,
    random: &mut Random,
) {
    // Servers with many checkpoints, and the program itself, take turns.
    let has_checkpoints = kill % 4 != 3;
    let mut command = folder.metricd();
    command.args(["--sync", sync]);
    if has_checkpoints {
        command = folder.server_with_limit(SMALL_JOURNAL_BYTES, sync);
    }
    if random.below(3) == 0 {
        // One that is killed while it starts.
        let process = Process::spawn(&mut command);
        random.pause(3_000);
        process.kill();
    }
    let (daemon, _) = Daemon::start_hearing(&mut command);
    // With the small journal, the next one may have begun.
    assert!(has_checkpoints || !folder.partial().exists());
    model.check(daemon.address);
    model.load(daemon.address, |acknowledged| {
        wait_for_puts(acknowledged, 200 + random.below(2_000));
        if has_checkpoints && kill.is_multiple_of(2) {
            let start = Instant::now();
            while !folder.partial().exists() {
                assert!(start.elapsed() < DEADLINE, "no checkpoint");
                thread::yield_now();
            }
            random.pause(10);
        } else {
            random.pause(200);
        }
        daemon.process.kill();
    });
}

#[test]
fn kill_9_loses_nothing_acknowledged_with_sync_always() {
    check_kills("kills-always", "always");
}

#[test]
fn kill_9_loses_nothing_acknowledged_with_sync_never() {
    check_kills("kills-never", "never");
}

#[test]
fn kill_9_loses_nothing_acknowledged_with_sync_by_the_second() {
    check_kills("kills-seconds", "0.05");
}

#[test]
fn sigterm_under_load_keeps_what_is_acknowledged() {
    for sync in ["always", "never", "1"] {
        let folder = Folder::new(&format!("sigterm-{sync}"));
        let mut model = Model::new();
        let (daemon, _) = folder.start(&["--sync", sync]);
        model.load(daemon.address, |acknowledged| {
            wait_for_puts(acknowledged, 2_000);
            let start = Instant::now();
            daemon.process.stop();
            let took = start.elapsed();
            assert!(took < Duration::from_millis(5_200), "{took:?}");
        });
        let (daemon, _) = folder.start(&[]);
        model.check(daemon.address);
    }
}

#[test]
fn a_second_signal_under_load_ends_it_at_once() {
    let folder = Folder::new("second-signal");
    let mut model = Model::new();
    let (daemon, _) = folder.start(&["--sync", "always", "--stop-timeout", "1000"]);
    let address = daemon.address;
    // Without the second signal, it would be waited for.
    let (_stalled, _reply) = daemon.reader_of_a_long_reply();
    model.load(address, |acknowledged| {
        wait_for_puts(acknowledged, 500);
        daemon.process.signal(Signal::TERM);
        daemon.process.signal(Signal::INT);
        let start = Instant::now();
        daemon.process.end();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
    let (daemon, _) = folder.start(&[]);
    let reply = get_all(daemon.address);
    // The series of the stalled reader is not in the model.
    let mut newest = [0; CLIENTS as usize];
    for (key, timestamp, value) in points_of(&reply).filter(|(key, ..)| key.contains('.')) {
        let number = (value.parse::<f64>().expect("a value") * 100.0).round() as u64;
        let client = timestamp.rem_euclid(CLIENTS) as usize;
        assert!(number <= model.writers[client].puts, "{key}");
        newest[client] = number.max(newest[client]);
    }
    for (writer, newest) in model.writers.iter().zip(newest) {
        assert!(
            newest >= writer.acknowledged as u64,
            "client {}",
            writer.client
        );
    }
}

/// Fills a folder as a server leaves it that is killed. Returns the reply to `get *`.
#[track_caller]
fn fill(folder: &Folder, options: &[&str]) -> String {
    let (daemon, _) = folder.start(options);
    let points = put_some(&daemon);
    daemon.process.kill();
    points
}

/// Puts points of three series, each in a frame of its own. Returns the reply to `get *`.
#[track_caller]
fn put_some(daemon: &Daemon) -> String {
    let mut client = daemon.connect();
    for at in 0..PUTS {
        let line = format!("put k{} {at}.25 {at}\n", at % 3);
        client.exchange(line.as_bytes(), OK);
    }
    get_all(daemon.address)
}

const PUTS: usize = 60;

/// Fills a folder as [`fill`] does, with a checkpoint of several pieces.
#[track_caller]
fn fill_checkpoint(folder: &Folder) -> String {
    const POINTS: usize = 1_500;
    let (daemon, _) = Daemon::start_hearing(&mut folder.server_with_limit(1, "always"));
    let (mut puts, mut random) = (String::new(), Random(1));
    for key in 0..8 {
        for at in 0..POINTS {
            let value = f64::from_bits(1 << 62 | random.below(1 << 52) as u64);
            writeln!(puts, "put k{key} {value} {at}").expect("fits");
        }
    }
    let replies = daemon.connect().converse(puts.as_bytes().chunks(64 << 10));
    assert_same(&replies, &OK.repeat(8 * POINTS));
    // Each put makes a checkpoint due, since the journal is longer than it may be.
    let (mut client, start) = (daemon.connect(), Instant::now());
    let is_done = |names: &[String]| {
        let count = |kind: &str| names.iter().filter(|name| name.starts_with(kind)).count();
        count("checkpoint-") == 1 && count("journal-") == 1 && count("checkpoint.tmp") == 0
    };
    while !is_done(&folder.names()) {
        assert!(start.elapsed() < DEADLINE, "{:?}", folder.names());
        client.wait_for_a_turn();
    }
    let points = get_all(daemon.address);
    daemon.process.kill();
    points
}

/// Changes the bytes of a file.
#[track_caller]
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("is written");
}

/// Makes a file one of another version, with a checksum of its head that fits.
fn set_version(bytes: &mut [u8], version: u32) {
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = Folder::new("in-use");
    let (daemon, _) = folder.start(&[]);
    let mut client = daemon.connect();
    client.exchange(b"put k 1 1\n", OK);
    folder.check_refused(&[], "in use by another metricd");
    folder.check_refused(&["--salvage"], "in use by another metricd");
    client.exchange(b"put k 2 2\nget k\n", b"ok\n\nok\nk 1.0 1\nk 2.0 2\n\n");
    daemon.process.kill();
    // The lock ends with its owner.
    assert_eq!(folder.points(), "ok\nk 1.0 1\nk 2.0 2\n\n");
}

#[test]
fn a_path_that_cannot_be_a_folder_is_refused() {
    let folder = Folder::new("no-folder");
    fs::create_dir(folder.path()).expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "content").expect("a file");
    let refused = |path: &Path, text: &str| {
        let mut command = Command::new(METRICD);
        let line = check_refused(command.arg("--data").arg(path), text);
        assert!(line.contains(&path.display().to_string()), "{line}");
    };
    refused(&file, "not a folder");
    refused(&file.join("below"), "cannot create it");
    refused(&folder.path().join("none/below"), "cannot create it");
    refused(&folder.path().join("x".repeat(300)), "cannot create it");
    refused(Path::new("/dev/null"), "not a folder");
    assert_eq!(folder.names(), ["file"]);
    assert_eq!(fs::read(&file).expect("a file"), b"content");
}

#[test]
fn a_folder_that_is_not_writable_is_refused() {
    let folder = Folder::new("not-writable");
    fs::create_dir(folder.path()).expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).expect("its owner");
    let probe = folder.path().join("probe");
    if File::create(&probe).is_ok() {
        // The superuser may write everywhere but into a file system that takes no files.
        fs::remove_file(&probe).expect("is removed");
        let mut command = Command::new(METRICD);
        check_refused(
            command.args(["--data", "/sys"]),
            "cannot write the file `lock` in it",
        );
    } else {
        folder.check_refused(&[], "cannot write the file `lock` in it");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    for name in [
        "lock",
        "checkpoint.tmp",
        "sent-12345678",
        "journal-0000000000000001",
    ] {
        let folder = Folder::new("unusable");
        fs::create_dir_all(folder.path().join(name)).expect("a folder");
        check_refused(&mut folder.metricd(), name);
        fs::remove_dir(folder.path().join(name)).expect("is empty");
        if name.ends_with('1') {
            symlink("/none/such", folder.path().join(name)).expect("a link");
            check_refused(&mut folder.metricd(), name);
        }
    }
}

#[test]
fn files_of_a_newer_version_are_refused() {
    let folder = Folder::new("version");
    let points = fill(&folder, &["--sync", "always"]);
    let journal = folder.only("journal-");
    change(&journal, |bytes| set_version(bytes, 3));
    for options in [&[][..], &["--salvage"]] {
        let line = folder.check_refused(options, "version 3");
        assert!(line.contains("journal-0000000000000001"), "{line}");
    }
    change(&journal, |bytes| set_version(bytes, 2));
    assert_eq!(folder.points(), points);

    let folder = Folder::new("version-checkpoint");
    let points = fill_checkpoint(&folder);
    let checkpoint = folder.only("checkpoint-");
    change(&checkpoint, |bytes| set_version(bytes, 3));
    for options in [&[][..], &["--salvage"]] {
        folder.check_refused(options, "version 3");
    }
    change(&checkpoint, |bytes| set_version(bytes, 2));
    assert_eq!(folder.points(), points);
}

/// Damages a file, and expects that a start refuses it, and that one which salvages goes on without
/// the damaged part and keeps the file. Returns how many points are left.
#[track_caller]
fn check_damage(folder: &Folder, file: &Path, offset: usize, points: &str) -> usize {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    change(file, |bytes| bytes[offset] ^= 0x40);
    let damaged = fs::read(file).expect("a file");
    let line = folder.check_refused(&[], name);
    for text in ["byte", "before", "after"] {
        assert!(line.contains(text), "no word of \"{text}\": {line}");
    }

    let (daemon, said) = folder.start(&["--salvage"]);
    let said = said.join("\n");
    assert!(said.contains(name) && said.lines().count() <= 10, "{said}");
    let kept = fs::read(folder.path().join(format!("damaged-{name}")));
    assert!(kept.expect("the damaged file") == damaged);
    let left = get_all(daemon.address);
    let all: BTreeSet<_> = points_of(points).collect();
    assert!(points_of(&left).all(|point| all.contains(&point)));
    daemon
        .connect()
        .exchange(b"put new 1 1\nget new\n", b"ok\n\nok\nnew 1.0 1\n\n");
    daemon.process.kill();

    // From now on it starts as ever, with nothing more lost and the damaged file still there.
    let after = folder.points();
    assert_eq!(
        after,
        left.strip_suffix('\n').expect("a reply").to_owned() + "new 1.0 1\n\n"
    );
    assert!(fs::read(folder.path().join(format!("damaged-{name}"))).is_ok());
    points_of(&left).count()
}

#[test]
fn a_refusal_of_damage_says_what_to_do() {
    let folder = Folder::new("what-to-do");
    fill(&folder, &["--sync", "always"]);
    change(&folder.only("journal-"), |bytes| bytes[1_000] ^= 1);
    folder.check_refused(&[], "--salvage");
    let (_daemon, said) = folder.start(&["--salvage"]);
    let said = said.join("\n");
    assert!(
        said.contains("damaged-journal-"),
        "under which name the file is kept: {said}"
    );
}

#[test]
fn damage_in_the_middle_of_a_journal_is_refused_or_salvaged() {
    let folder = Folder::new("damage");
    let points = fill(&folder, &["--sync", "always"]);
    let journal = folder.only("journal-");
    let bytes = fs::read(&journal).expect("a file");
    // The file is longer than what is written.
    assert_eq!(bytes.last(), Some(&0));
    let written = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
    let left = check_damage(&folder, &journal, written / 2, &points);
    assert_eq!(left, PUTS - 1, "one frame is lost");
}

#[test]
fn damage_to_a_journal_after_an_orderly_end_is_refused_or_salvaged() {
    for sync in ["always", "1000", "never"] {
        let folder = Folder::new(&format!("damage-stopped-{sync}"));
        let (daemon, _) = folder.start(&["--sync", sync]);
        let points = put_some(&daemon);
        daemon.process.stop();
        let journal = folder.only("journal-");
        let middle = fs::read(&journal).expect("a file").len() / 2;
        let left = check_damage(&folder, &journal, middle, &points);
        assert_eq!(left, PUTS - 1, "one frame is lost");
    }
}

/// What a synced file begins with is there whatever happens to what comes after it.
#[test]
fn damage_at_the_beginning_of_a_journal_is_refused_or_salvaged() {
    for sync in ["always", "1000"] {
        let folder = Folder::new(&format!("damage-head-{sync}"));
        let points = fill(&folder, &["--sync", sync]);
        let journal = folder.only("journal-");
        let left = check_damage(&folder, &journal, 2, &points);
        assert_eq!(left, PUTS);
    }
}

/// The first frames have the keys of series that later frames know by number.
#[test]
fn damage_to_the_first_frame_of_a_journal_is_refused_or_salvaged() {
    let folder = Folder::new("damage-first");
    let points = fill(&folder, &["--sync", "always"]);
    let journal = folder.only("journal-");
    check_damage(&folder, &journal, FILE_HEAD_BYTES + 22, &points);
}

#[test]
fn damage_in_the_middle_of_a_checkpoint_is_refused_or_salvaged() {
    let folder = Folder::new("damage-checkpoint");
    let points = fill_checkpoint(&folder);
    let checkpoint = folder.only("checkpoint-");
    let bytes = fs::read(&checkpoint).expect("a file").len();
    let left = check_damage(&folder, &checkpoint, bytes * 3 / 4, &points);
    assert!(left < points_of(&points).count(), "{left} points");
}

/// Zeros at the end of a file may be room that was never used, but not in place of all that was synced.
#[test]
fn what_may_be_lost_is_told() {
    let folder = Folder::new("blank");
    fill(&folder, &["--sync", "always"]);
    let journal = folder.only("journal-");
    let whole = fs::read(&journal).expect("a file");
    for (what, left) in [
        ("nothing", vec![]),
        ("zeros", vec![0; whole.len()]),
        ("half a head", whole[..FILE_HEAD_BYTES / 2].to_vec()),
        (
            "a head and many zeros",
            [&whole[..FILE_HEAD_BYTES], &[0; 200 << 10]].concat(),
        ),
        ("half of a frame", whole[..FILE_HEAD_BYTES + 10].to_vec()),
    ] {
        fs::write(&journal, left).expect("is written");
        let (daemon, said) = folder.start(&["--sync", "always"]);
        let said = said.join("\n");
        assert!(said.contains("left out"), "{what}: {said}");
        daemon.process.kill();
        remove_later_journals(&folder, &journal);
    }
}

#[test]
fn zeros_after_the_end_of_a_file_are_not_what_is_missing_later() {
    let folder = Folder::new("blank-end");
    for number in 0..3 {
        let (daemon, _) = folder.start(&["--sync", "always"]);
        let put = format!("put k{number} 1 1\n");
        daemon.connect().exchange(put.as_bytes(), OK);
        daemon.process.stop();
    }
    let mut journals = folder.names();
    journals.retain(|name| name.starts_with("journal-"));
    let [first, second, third] = &journals[..] else {
        panic!("{journals:?}");
    };
    change(&folder.path().join(first), |bytes| bytes.extend([0; 100]));
    fs::remove_file(folder.path().join(second)).expect("a file");
    folder.check_refused(&[], &format!("{third}: at byte 0"));
}

/// A server goes on with its own files when its folder is moved, and leaves those alone that come in their place.
#[test]
fn a_folder_in_the_place_of_one_that_was_moved_is_left_alone() {
    let (folder, moved) = (Folder::new("moved"), Folder::new("moved-away"));
    let (first, _) = folder.start(&["--sync", "always"]);
    first.connect().exchange(b"put k 1 1\n", OK);
    fs::rename(folder.path(), moved.path()).expect("is moved");
    let points = {
        let (second, _) = folder.start(&["--sync", "always"]);
        let points = put_some(&second);
        first.process.stop();
        second.process.kill();
        points
    };
    assert_eq!(folder.points(), points);
    assert_eq!(moved.points(), "ok\nk 1.0 1\n\n");
}

/// The end of a process is no reason to tell that a file was longer than what is written.
#[test]
fn what_is_left_of_a_file_that_was_made_longer_ahead_is_cut_off_without_a_word() {
    let folder = Folder::new("ahead");
    let points = fill(&folder, &["--sync", "always"]);
    let journal = folder.only("journal-");
    let ahead = fs::read(&journal).expect("a file").len();
    let (daemon, said) = folder.start(&["--sync", "always"]);
    let said = said.join("\n");
    assert!(!said.contains("journal-"), "{said}");
    assert_eq!(get_all(daemon.address), points);
    assert!(fs::read(&journal).expect("a file").len() < ahead / 2);
    // Nor is anything left after an orderly end.
    put_some(&daemon);
    daemon.process.stop();
    let lengths = folder.content();
    let mut lengths = lengths.iter().map(|(name, bytes)| (name, bytes.len()));
    assert!(lengths.all(|(_, bytes)| bytes < ahead / 2), "{lengths:?}");
}

#[test]
fn a_torn_tail_is_cut_off() {
    let folder = Folder::new("torn");
    let points = fill(&folder, &["--sync", "1000"]);
    let journal = folder.only("journal-");
    let whole = fs::read(&journal).expect("a file");
    let at_end: [(&str, Vec<u8>, usize); 6] = [
        ("nothing", vec![], PUTS),
        ("zeros", vec![0; 5_000], PUTS),
        ("a zero", vec![0], PUTS),
        ("any bytes", (0..=255).collect(), PUTS),
        ("the first frame again", whole[24..60].to_vec(), PUTS),
        ("the whole file again", whole.clone(), PUTS),
    ];
    for (what, tail, count) in at_end {
        fs::write(&journal, [&whole[..], &tail].concat()).expect("is written");
        assert_eq!(folder.points(), points, "{what}: {count} points");
        remove_later_journals(&folder, &journal);
    }
    let mut counts = Vec::new();
    for bytes in [
        whole.len() - 1,
        whole.len() - 100,
        whole.len() / 2,
        60,
        30,
        24,
        23,
        8,
        1,
        0,
    ] {
        fs::write(&journal, &whole[..bytes]).expect("is written");
        let (left, all) = (folder.points(), points_of(&points).collect::<BTreeSet<_>>());
        let left: Vec<_> = points_of(&left).collect();
        // The values say in which order they were put.
        assert!(
            left.iter()
                .all(|point| all.contains(point) && point.1 < left.len() as i64)
        );
        counts.push(left.len());
        remove_later_journals(&folder, &journal);
    }
    assert!(
        counts[0] == PUTS - 1 && counts.is_sorted_by(|a, b| a >= b),
        "{counts:?}"
    );
    assert_eq!(counts[4..], [0; 6], "{counts:?}");
}

/// Removes what restarts have added to a journal of one file.
fn remove_later_journals(folder: &Folder, first: &Path) {
    for name in folder
        .names()
        .iter()
        .filter(|name| name.starts_with("journal-"))
    {
        let path = folder.path().join(name);
        if path != first {
            fs::remove_file(path).expect("is removed");
        }
    }
}

#[test]
fn every_kind_of_point_comes_back_from_the_journal_and_from_a_checkpoint() {
    let values = "0.0 -0.0 nan inf -inf 5e-324 1.7976931348623157e+308 0.1 -123.25 1e+16 0.30000000000000004";
    let folder = Folder::new("points");
    let (daemon, _) = folder.start(&[]);
    let mut client = daemon.connect();
    let long_key = "k".repeat(60_000);
    for (at, value) in values.split(' ').enumerate() {
        let late = 1_000 - 7 * (at as i64 * 5 % 11);
        for (key, timestamp) in [
            ("*", late),
            ("gr\u{fc}n", i64::MIN),
            (&long_key, i64::MAX),
            ("k", late),
        ] {
            client.exchange(format!("put {key} {value} {timestamp}\n").as_bytes(), OK);
        }
    }
    let points = get_all(daemon.address);
    daemon.process.kill();
    assert_eq!(points_of(&points).count(), 24);
    assert!(folder.points() == points, "from the journal");
    // This put changes nothing, and makes a checkpoint due.
    let (daemon, _) = Daemon::start_hearing(&mut folder.server_with_limit(1, "never"));
    daemon.connect().exchange(
        format!("put {long_key} 0.30000000000000004 {}\n", i64::MAX).as_bytes(),
        OK,
    );
    daemon.process.wait_for("a checkpoint", |_| {
        let names = folder.names();
        let journals = names
            .iter()
            .filter(|name| name.starts_with("journal-"))
            .count();
        (journals == 1 && names[0].starts_with("checkpoint-")).then_some(())
    });
    daemon.process.kill();
    assert!(folder.points() == points, "from a checkpoint");
}

#[test]
fn a_server_with_nothing_to_do_sleeps() {
    for sync in ["always", "never", "0.001"] {
        let folder = Folder::new(&format!("idle-{sync}"));
        let (daemon, _) = folder.start(&["--sync", sync]);
        let mut client = daemon.connect();
        client.exchange(b"put k 1 1\n", OK);
        // Each of its threads.
        daemon.process.wait_until_it_sleeps();
        client.exchange(b"put k 2 2\n", OK);
        daemon.process.wait_until_it_sleeps();
    }
}

#[test]
fn other_files_are_left_alone_and_an_unfinished_checkpoint_is_removed() {
    let folder = Folder::new("foreign");
    let points = fill(&folder, &[]);
    let names = [
        "journal-1",
        "journal-00000000000000001",
        "journal-000000000000000A",
        "checkpoint-",
        ".x",
        "journal-000000000000000g",
        "checkpoint-0000000000000001.old",
        "damaged-x",
        "other",
    ];
    for name in names {
        fs::write(folder.path().join(name), name).expect("is written");
    }
    fs::create_dir(folder.path().join("folder")).expect("a folder");
    fs::write(folder.path().join("checkpoint.tmp"), "unfinished").expect("is written");
    assert_eq!(folder.points(), points);
    // A checkpoint removes older files, but only its own.
    let (daemon, _) = Daemon::start_hearing(&mut folder.server_with_limit(1, "never"));
    let (mut client, start) = (daemon.connect(), Instant::now());
    while !folder
        .names()
        .iter()
        .any(|name| name.starts_with("checkpoint-0") && !name.ends_with("old"))
    {
        assert!(start.elapsed() < DEADLINE, "{:?}", folder.names());
        client.exchange(b"put k0 0.25 0\n", OK);
    }
    daemon.process.kill();
    assert_eq!(folder.points(), points);
    let content = folder.content();
    for name in names {
        assert_eq!(content[name], name.as_bytes());
    }
    assert!(content.contains_key("folder") && !content.contains_key("checkpoint.tmp"));
}

#[test]
fn only_its_owner_may_use_the_folder() {
    let folder = Folder::new("modes");
    fill(&folder, &[]);
    let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o7777;
    assert_eq!(mode(folder.path()), 0o700);
    for name in folder.names() {
        assert_eq!(mode(&folder.path().join(&name)), 0o600, "{name}");
    }
}

/// Numbers of files that no server writes, such as damage with a checksum that fits could leave.
#[test]
fn extreme_numbers_of_files_do_not_panic() {
    let head = |magic: &[u8; 8], number: u64| {
        let mut bytes = [&magic[..], &1u32.to_le_bytes(), &number.to_le_bytes()].concat();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    };
    let frame = |number: u64, payload: &[u8]| {
        let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(number.to_le_bytes());
        bytes.extend(payload);
        [&crc32c::crc32c(&bytes).to_le_bytes()[..], &bytes].concat()
    };
    let last = u64::MAX;
    for (name, content) in [
        (
            "checkpoint-0000000000000000",
            [head(b"mtrcckpt", 0), frame(0, b"end")],
        ),
        (
            "checkpoint-ffffffffffffffff",
            [head(b"mtrcckpt", last), frame(0, b"end")],
        ),
        (
            "journal-0000000000000000",
            [head(b"mtrcjrnl", 0), frame(0, b"")],
        ),
        (
            "journal-ffffffffffffffff",
            [head(b"mtrcjrnl", last), frame(last, b"")],
        ),
    ] {
        for options in [&[][..], &["--salvage"]] {
            let folder = Folder::new(name);
            DirBuilder::new()
                .mode(0o700)
                .create(folder.path())
                .expect("a folder");
            fs::write(folder.path().join(name), content.concat()).expect("is written");
            let process = Process::spawn(folder.metricd().args(options));
            // Listens, or says why not. Each line is checked for a panic.
            while process
                .log_line()
                .is_some_and(|line| !line.contains("listening on "))
            {}
            process.kill();
        }
    }
}

/// Limits the size of the files that a process writes; `None` is as large as they like.
fn limit_files(process: &Process, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(process.pid()), Resource::Fsize, limit).expect("may be set");
}

/// Puts one point after the other until one is answered otherwise than `expected`; that is the reply.
#[track_caller]
fn put_while(client: &mut Client, at: &mut usize, expected: &[u8]) -> Vec<u8> {
    let start = Instant::now();
    loop {
        *at += 1;
        client.send(format!("put k 0.5 {at}\n").as_bytes());
        let reply = client.reply();
        if reply != expected {
            return reply;
        }
        // The way back is a checkpoint: each of its syncs may take seconds on a disk that others use.
        assert!(start.elapsed() < 3 * DEADLINE, "always {}", show(expected));
    }
}

/// Waits until a process whose puts were refused stores them again, and says so.
#[track_caller]
fn wait_until_the_disk_works(process: &Process) {
    while !process
        .log_line()
        .expect("it runs")
        .contains("the disk works again")
    {}
}

/// Without this, the system kills a process whose file grows past the limit.
#[test]
fn a_limit_of_the_file_size_does_not_end_it() {
    let folder = Folder::new("file-size-signal");
    let (daemon, _) = folder.start(&["--sync", "always"]);
    let (mut client, mut at) = (daemon.connect(), 0);
    limit_files(&daemon.process, Some(1_000));
    assert_same(&put_while(&mut client, &mut at, OK), NOT_STORED);
    client.wait_for_a_turn();
}

/// Fills a disk, expects that puts are refused then and gets go on, makes room, and expects that puts
/// go on by themselves. In the end the disk is full, and the process is killed. Returns what it held.
#[track_caller]
fn check_full_disk(
    daemon: Daemon,
    make_full: impl Fn(&Process),
    make_room: impl Fn(&Process),
) -> Held {
    let (mut client, mut at) = (daemon.connect(), 0);
    client.exchange(b"put first 1 1\n", OK);
    for _ in 0..2 {
        make_full(&daemon.process);
        assert_same(&put_while(&mut client, &mut at, OK), NOT_STORED);
        // Refused without being executed, while gets go on.
        client.exchange(b"put never 1 1\n", NOT_STORED);
        client.exchange(b"get never\nget first\n", b"ok\n\nok\nfirst 1.0 1\n\n");
        make_room(&daemon.process);
        let start = Instant::now();
        wait_until_the_disk_works(&daemon.process);
        assert_same(&put_while(&mut client, &mut at, NOT_STORED), OK);
        let took = start.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
    make_full(&daemon.process);
    assert_same(&put_while(&mut client, &mut at, OK), NOT_STORED);
    let points = get_all(daemon.address);
    daemon.process.kill();
    Held { points, at }
}

/// What a server held whose disk was full.
struct Held {
    points: String,
    /// The timestamp of the last put, which was executed and not stored.
    at: usize,
}

impl Held {
    /// Checks that all is there after a restart.
    #[track_caller]
    fn check(&self, folder: &Folder) {
        let not_stored = format!("k 0.5 {}\n", self.at);
        let found = folder.points().replace(&not_stored, "");
        assert_same(
            found.as_bytes(),
            self.points.replace(&not_stored, "").as_bytes(),
        );
    }
}

#[test]
fn puts_are_refused_while_files_may_not_grow() {
    let folder = Folder::new("file-size");
    // The signal is ignored, as another test expects of the program itself.
    let mut command = through_shell("trap '' XFSZ;", "");
    let (daemon, _) = Daemon::start_hearing(command.arg("--data").arg(folder.path()));
    let no_room = |process: &Process| limit_files(process, Some(10));
    let room = |process: &Process| limit_files(process, None);
    check_full_disk(daemon, no_room, room).check(&folder);
}

/// A file system of its own, which is unmounted when it is dropped.
struct Mounted<'folder>(&'folder Path);

impl Mounted<'_> {
    /// Mounts one, or returns `None` where this process may not.
    fn new<'folder>(path: &'folder Path, arguments: &[&str]) -> Option<Mounted<'folder>> {
        fs::create_dir_all(path).expect("a folder");
        let mut mount = Command::new("mount");
        let end = mount.args(arguments).arg(path).output();
        let is_mounted = end.is_ok_and(|end| end.status.success());
        if !is_mounted {
            eprintln!("not tested: no file system may be mounted here");
        }
        is_mounted.then_some(Mounted(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // At once, though a file may still be open.
        let done = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(done.is_ok_and(|status| status.success()) || thread::panicking());
    }
}

/// A file system that stands still: who writes to it waits. It goes on when this is dropped, also
/// because the test has ended.
struct Frozen(Child);

impl Frozen {
    fn new(mounted: &Mounted) -> Frozen {
        let script = "fsfreeze -f \"$0\" && echo frozen && read _; fsfreeze -u \"$0\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(mounted.0);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = shell.expect("a shell");
        let mut said = [0; 7];
        let output = shell.stdout.as_mut().expect("its output");
        output.read_exact(&mut said).expect("it is frozen");
        Frozen(shell)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let end = self.0.wait();
        assert!(end.is_ok_and(|status| status.success()) || thread::panicking());
    }
}

#[test]
fn a_disk_that_stands_still_holds_up_only_those_who_put() {
    let around = Folder::new("still");
    fs::create_dir(around.path()).expect("a folder");
    let image = around.path().join("image");
    File::create(&image)
        .and_then(|file| file.set_len(8 << 20))
        .expect("a file");
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F"])
        .arg(&image)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return eprintln!("not tested: no mkfs.ext4");
    }
    let path = around.path().join("mounted");
    let image = image.to_str().expect("a path");
    let Some(mounted) = Mounted::new(&path, &["-o", "loop", image]) else {
        return;
    };
    for sync in ["always", "never", "0.001"] {
        let folder = Folder(mounted.0.join(sync));
        let (daemon, _) = folder.start(&["--sync", sync]);
        let (mut writer, mut reader) = (daemon.connect(), daemon.connect());
        writer.exchange(b"put k 1 1\n", OK);
        let frozen = Frozen::new(&mounted);
        writer.send(b"put k 2 2\n");
        let start = Instant::now();
        // A get may show what is not acknowledged yet.
        loop {
            reader.send(b"get k\n");
            if reader.reply() == b"ok\nk 1.0 1\nk 2.0 2\n\n" {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "the put is not executed");
        }
        for _ in 0..100 {
            reader.exchange(b"get k\n", b"ok\nk 1.0 1\nk 2.0 2\n\n");
            daemon.connect().exchange(b"get none\n", OK);
        }
        assert!(!writer.has_input(), "acknowledged, and not written");
        drop(frozen);
        writer.expect(OK);
        daemon.process.kill();
        assert_eq!(folder.points(), "ok\nk 1.0 1\nk 2.0 2\n\n");
    }
}

#[test]
fn puts_are_refused_while_the_disk_is_full() {
    let around = Folder::new("full-disk");
    let arguments = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
    let Some(mounted) = Mounted::new(around.path(), &arguments) else {
        return;
    };
    let folder = Folder(mounted.0.join("data"));
    let (daemon, _) = folder.start(&["--sync", "always"]);
    let ballast = mounted.0.join("ballast");
    let fill_up = |_: &Process| {
        let mut file = File::create(&ballast).expect("a file");
        // A whole page at once is what the system counts.
        while file.write_all(&[1; 4_096]).is_ok() {}
    };
    let remove_ballast = || fs::remove_file(&ballast).expect("is removed");
    let held = check_full_disk(daemon, fill_up, |_| remove_ballast());
    // There is no room for the journal of another one either, which serves those who read.
    let (daemon, _) = folder.start(&[]);
    let mut client = daemon.connect();
    client.exchange(b"put after 1 1\n", NOT_STORED);
    client.exchange(b"get after\n", OK);
    drop(daemon);
    remove_ballast();
    held.check(&folder);
}

/// The way back needs new files.
#[test]
fn clients_that_take_all_descriptors_do_not_keep_it_from_storing() {
    let folder = Folder::new("descriptors");
    let mut command = through_shell("trap '' XFSZ; ulimit -n 32;", "");
    // A receiver that nobody is takes descriptors too, to read and to connect.
    command.args(["--remote-write", "http://127.0.0.1:1", "--data"]);
    let (daemon, _) = Daemon::start_hearing(command.arg(folder.path()));
    let (mut client, mut at) = (daemon.connect(), 0);
    let _others: Vec<Client> = (0..32).map(|_| daemon.connect()).collect();
    let line = daemon.process.log_line().expect("there is no room for all");
    assert!(line.contains("further clients wait"), "{line}");
    limit_files(&daemon.process, Some(10));
    assert_same(&put_while(&mut client, &mut at, OK), NOT_STORED);
    // More attempts fail than it has descriptors to spare, each of which a client could take.
    while daemon.process.counts()["journal_failures"] < 1 + 4 {
        client.exchange(b"put k 0.5 0\n", NOT_STORED);
        // There is one each second.
        thread::sleep(Duration::from_millis(20));
    }
    limit_files(&daemon.process, None);
    wait_until_the_disk_works(&daemon.process);
    assert_same(&put_while(&mut client, &mut at, NOT_STORED), OK);
}

#[test]
fn another_folder_in_its_place_is_left_alone_and_it_goes_on_when_its_own_is_back() {
    let folder = Folder::new("moved");
    let moved = folder.path().with_extension("aside");
    let (daemon, _) = Daemon::start_hearing(&mut folder.server_with_limit(2_000, "always"));
    let mut client = daemon.connect();
    client.exchange(b"put first 1 1\n", OK);
    fs::rename(folder.path(), &moved).expect("is moved");
    fs::create_dir(folder.path()).expect("is created");
    fs::write(folder.path().join("journal-0000000000000001"), "another's").expect("is written");
    let mut at = 0;
    assert_same(&put_while(&mut client, &mut at, OK), NOT_STORED);
    let names = fs::read_dir(folder.path()).expect("it is there");
    assert_eq!(names.count(), 1);
    fs::remove_dir_all(folder.path()).expect("is removed");
    fs::rename(&moved, folder.path()).expect("is moved back");
    assert_same(&put_while(&mut client, &mut at, NOT_STORED), OK);
    client.exchange(b"get first\n", b"ok\nfirst 1.0 1\n\n");
}

#[test]
fn a_folder_that_vanishes_does_not_end_it() {
    let folder = Folder::new("vanished");
    let (daemon, _) = Daemon::start_hearing(&mut folder.server_with_limit(2_000, "always"));
    let mut client = daemon.connect();
    client.exchange(b"put first 1 1\n", OK);
    fs::remove_dir_all(folder.path()).expect("is removed");
    // Past the limit of the journal, so that a checkpoint is due.
    for at in 0..200 {
        client.send(format!("put k 0.5 {at}\n").as_bytes());
        let reply = client.reply();
        assert!(reply == OK || reply == NOT_STORED, "{}", show(&reply));
    }
    client.exchange(b"get first\n", b"ok\nfirst 1.0 1\n\n");
    assert!(!folder.path().exists());
}
