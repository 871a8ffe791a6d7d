//! Graphite's plaintext protocol, to the program itself: what is sent on one port is read at the
//! other, nothing is ever answered, and `collectd` feeds it.
//!
//! Without a `collectd` that test passes and says so, unless `METRICD_REQUIRE_PEERS` is set.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support;
use crate::support::process::{METRICD, Process};
use crate::support::{Client, DEADLINE, Folder, OK, temporary_path, unix_address};
use rustix::process::Signal;

/// The program with a port for each protocol.
struct Daemon {
    process: Process,
    lines: SocketAddr,
    graphite: SocketAddr,
}

impl Daemon {
    fn start(options: &[&str]) -> Daemon {
        let mut command = Command::new(METRICD);
        command.args(["--listen", "127.0.0.1:0", "--graphite", "127.0.0.1:0"]);
        let process = Process::spawn(command.args(options));
        let mut addresses = [(); 2].map(|()| {
            let (before, address) = listening(&process);
            (before.contains("graphite"), address)
        });
        // In the order of the options, unless the lines say which is which.
        addresses.sort_by_key(|(is_graphite, _)| *is_graphite);
        let [lines, graphite] = addresses.map(|(_, address)| address.parse().expect("TCP"));
        Daemon {
            process,
            lines,
            graphite,
        }
    }

    /// A client of the protocol that answers.
    fn client(&self) -> Client {
        Client::connect(self.lines)
    }

    fn sender(&self) -> Client {
        Client::connect(self.graphite)
    }

    /// Sends all of it on a connection of its own, whose end says that it is executed. Nothing is
    /// answered.
    #[track_caller]
    fn send(&self, lines: &[u8]) {
        let mut sender = self.sender();
        sender.send(lines);
        support::assert_same(&sender.finish(), b"");
    }

    #[track_caller]
    fn expect(&self, request: &str, reply: &str) {
        let reply = format!("ok\n{reply}\n");
        self.client().exchange(request.as_bytes(), reply.as_bytes());
    }
}

/// The next line of the log up to the words `listening on`, and the address after them.
#[track_caller]
fn listening(process: &Process) -> (String, String) {
    let line = process.log_line().expect("listens");
    let parts = line.rsplit_once("listening on ");
    let (before, address) = parts.unwrap_or_else(|| panic!("{line}"));
    (before.into(), address.into())
}

#[test]
fn what_comes_in_on_one_port_is_read_at_the_other() {
    let daemon = Daemon::start(&[]);
    daemon.send(
        b"a.load 0.5 1500000010\na.load 1e1 1500000000.9\r\n  a.load\t7  1500000005 \n\
          a.load;host=b;rack=c 1 1500000000\nunfinished 1 1500000000",
    );
    daemon.client().exchange(b"put a.load 8 1500000010\n", OK);
    daemon.send(b"a.load 9 1500000020\na.load nan 1500000021\n");
    daemon.expect(
        "get *\n",
        "a.load 10.0 1500000000\na.load 7.0 1500000005\na.load 8.0 1500000010\n\
         a.load 9.0 1500000020\na.load;host=b;rack=c 1.0 1500000000\n",
    );
    let counts = daemon.process.counts();
    assert_eq!(counts["graphite_points"], 5);
    assert_eq!(counts["graphite_points_nan"], 1);
    assert_eq!(counts["graphite_lines_bad"], 0);
    assert_eq!(counts["requests_put"], 1);
    daemon.process.stop();
}

#[test]
fn it_comes_in_by_unix_sockets_and_on_several_ports() {
    let path = temporary_path("graphite.sock");
    let mut command = Command::new(METRICD);
    command.args(["--listen", "127.0.0.1:0", "--graphite", "127.0.0.1:0"]);
    command.args(["--graphite", &unix_address(&path)]);
    let process = Process::spawn(&mut command);
    let addresses = [(); 3].map(|()| listening(&process).1);
    let mut client = Client::connect(addresses[0].parse().expect("TCP"));
    let senders = [
        Client::connect(addresses[1].parse().expect("TCP")),
        Client::connect_unix(&path),
    ];
    for (number, mut sender) in senders.into_iter().enumerate() {
        sender.send(format!("k {number} {number}\n").as_bytes());
        assert_eq!(sender.finish(), b"");
    }
    client.exchange(b"get k\n", b"ok\nk 0.0 0\nk 1.0 1\n\n");
    process.stop();
    assert!(!path.exists());
}

#[test]
fn slow_senders_hold_nobody_up_and_lose_nothing() {
    let daemon = Daemon::start(&[]);
    let (mut client, lines) = (daemon.client(), "slow.å 1.25 1500000000\nslow.å 2 -7.5\r\n");
    let mut senders = [(); 3].map(|()| daemon.sender());
    for (number, byte) in lines.bytes().enumerate() {
        for sender in &mut senders {
            sender.send(&[byte]);
        }
        let put = format!("put k 1 {number}\n");
        client.exchange(put.as_bytes(), OK);
    }
    for sender in senders {
        assert_eq!(sender.finish(), b"");
    }
    daemon.expect("get slow.å\n", "slow.å 2.0 -7\nslow.å 1.25 1500000000\n");
    assert_eq!(daemon.process.counts()["graphite_points"], 6);
}

#[test]
fn bad_lines_are_dropped_and_counted_and_logged_at_debug() {
    let sent = [
        &b"a 1 1\nput b 1 1\n\xff 1 1\nb 1\nb x 1\nb 1 inf\n\nb \x1b[31m 1\n"[..],
        b"long.",
        &vec![b'x'; 70_000],
        b" 1 1\n",
        b"a 2 2\n",
    ]
    .concat();
    for level in ["info", "debug"] {
        let daemon = Daemon::start(&["--log-level", level]);
        daemon.send(&sent);
        daemon.expect("get *\n", "a 1.0 1\na 2.0 2\n");
        let mut bad = Vec::new();
        daemon.process.signal(Signal::USR1);
        let counted = loop {
            let line = daemon.process.log_line().expect("runs");
            if line.contains("graphite_points") {
                break line;
            }
            bad.extend(
                line.split_once("bad Graphite line ")
                    .map(|(_, bad)| bad.to_owned()),
            );
        };
        assert!(counted.contains("graphite_points=2 "), "{counted}");
        assert!(counted.ends_with("graphite_lines_bad=8"), "{counted}");
        if level == "info" {
            assert_eq!(bad, [""; 0]);
            continue;
        }
        let expected = [
            "(not three words): put b 1 1",
            "(not UTF-8): \\xff 1 1",
            "(not three words): b 1",
            "(no value): b x 1",
            "(no timestamp): b 1 inf",
            "(not three words): ",
            "(no value): b \\x1b[31m 1",
        ];
        assert_eq!(bad[..7], expected);
        assert!(bad[7].starts_with("(too long): long.xxx"), "{}", bad[7]);
        assert!(bad[7].len() < 200);
    }
}

#[test]
fn lines_at_the_limit() {
    let daemon = Daemon::start(&["--line-limit", "20"]);
    daemon.send(b"key.of.0123456789 1 1\nkey.of.012345678 1 1\nkey.of.01234567 1 1\nk 1 1\n");
    daemon.expect(
        "get *\n",
        "key.of.012345678 1.0 1\nkey.of.01234567 1.0 1\nk 1.0 1\n",
    );
}

#[test]
fn timestamps_are_kept_in_the_unit_of_the_store() {
    let daemon = Daemon::start(&["--timestamp-unit", "ms"]);
    daemon.send(b"k 1 1500000000\nk 2 1500000000.1234\nk 3 9223372036854776\n");
    daemon.expect("get k\n", "k 1.0 1500000000000\nk 2.0 1500000000123\n");
    assert_eq!(daemon.process.counts()["graphite_lines_bad"], 1);
    let milliseconds = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.expect("after 1970").as_millis()
    };
    let before = milliseconds();
    daemon.send(b"now 1 -1\n");
    let after = milliseconds();
    let mut client = daemon.client();
    client.send(b"get now\n");
    let reply = String::from_utf8(client.reply()).expect("text");
    let timestamp = reply.split_whitespace().last().expect("a point");
    let timestamp: u128 = timestamp.parse().expect("a timestamp");
    assert!(
        (before..=after).contains(&timestamp),
        "{before} {reply} {after}"
    );
}

#[test]
fn a_web_page_puts_nothing() {
    let daemon = Daemon::start(&[]);
    let mut sender = daemon.sender();
    sender.send(b"a 1 1\nPOST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nb 1 1\n");
    // It is closed, though the sender has not.
    assert_eq!(sender.rest(), b"");
    daemon.expect("get *\n", "a 1.0 1\n");
}

#[test]
fn what_the_journal_has_survives_a_kill() {
    let folder = Folder::new();
    let data = ["--data", folder.0.to_str().expect("text")];
    let points = |from: usize| {
        let lines = (from..from + 1_000).map(|at| format!("k{} {at} {at}\n", at % 7));
        lines.collect::<String>()
    };
    let daemon = Daemon::start(&data);
    daemon.send(points(0).as_bytes());
    // The journal has what was put before.
    daemon.client().exchange(b"put last 1 1\n", OK);
    daemon.process.kill();

    let daemon = Daemon::start(&data);
    daemon.send(points(1_000).as_bytes());
    daemon.client().exchange(b"put last 2 2\n", OK);
    daemon.process.kill();

    let daemon = Daemon::start(&data);
    let expected = (0..2_000).step_by(7).map(|at| format!("k0 {at}.0 {at}\n"));
    daemon.expect("get k0\n", &expected.collect::<String>());
    daemon.expect("get last\n", "last 1.0 1\nlast 2.0 2\n");
    assert_eq!(daemon.process.counts()["store_points"], 2_002);
    daemon.send(b"k0 1 5000\n");
    // An end in order keeps all that was sent.
    daemon.process.stop();
    let daemon = Daemon::start(&data);
    assert_eq!(daemon.process.counts()["store_points"], 2_003);
    daemon.process.stop();
}

#[test]
fn what_memory_has_no_room_for_is_counted_and_the_sender_goes_on() {
    for (when_full, keeps_last) in [("refuse", false), ("evict", true)] {
        // More than the least: the code of a debug build takes some of it.
        let daemon = Daemon::start(&["--memory-limit", "16M", "--when-full", when_full]);
        let mut sender = daemon.sender();
        let mut sent = 0;
        for batch in 0..60 {
            let lines: String = (0..1_000)
                .map(|at| format!("series{:038} {}.5 {at}\n", batch * 1_000 + at, at))
                .collect();
            sender.send(lines.as_bytes());
            sent += 1_000;
        }
        sender.send(b"last 1 1\n");
        assert_eq!(sender.finish(), b"");
        let counts = daemon.process.counts();
        let (stored, refused) = (counts["graphite_points"], counts["graphite_points_refused"]);
        assert_eq!(stored + refused, sent + 1, "{counts:?}");
        assert_eq!(refused == 0, keeps_last, "{counts:?}");
        assert_eq!(counts["store_evicted_points"] > 0, keeps_last, "{counts:?}");
        daemon.expect("get last\n", if keeps_last { "last 1.0 1\n" } else { "" });
        assert!(daemon.process.peak_kib() < 16_384 * 105 / 100);
        daemon.process.stop();
    }
}

#[test]
fn many_connections_at_once_and_resets_in_the_middle_of_a_line() {
    const CONNECTIONS: usize = 500;
    if !support::may_open_files(4 * CONNECTIONS as u64) {
        let name = "graphite::many_connections_at_once_and_resets_in_the_middle_of_a_line";
        return support::run_with_open_files(4 * CONNECTIONS as u64, name);
    }
    let daemon = Daemon::start(&[]);
    let mut senders: Vec<Client> = (0..CONNECTIONS).map(|_| daemon.sender()).collect();
    for (number, sender) in senders.iter_mut().enumerate() {
        sender.send(format!("k 1 {number}\nhalf {number}").as_bytes());
    }
    for (number, sender) in senders.into_iter().enumerate() {
        // Every other one is reset, which may take what the server has not read with it.
        if number % 2 == 0 {
            let linger = socket2::SockRef::from(&sender.stream);
            linger.set_linger(Some(Duration::ZERO)).expect("takes it");
            drop(sender);
        } else {
            assert_eq!(sender.finish(), b"");
        }
    }
    daemon.expect("get half\n", "");
    let counts = daemon.process.counts();
    assert!(
        counts["graphite_points"] >= CONNECTIONS as u64 / 2,
        "{counts:?}"
    );
    assert_eq!(counts["graphite_lines_bad"], 0);
    daemon.process.wait_for("all are closed", |_| {
        (daemon.process.counts()["connections_open"] == 0).then_some(())
    });
    daemon.process.stop();
}

#[test]
fn bytes_at_random_store_what_is_in_order_among_them() {
    let daemon = Daemon::start(&["--line-limit", "300"]);
    let mut state = 2_003u64;
    let mut next = || {
        // Steele and Vigna's SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    const ALPHABET: &[u8] = b"a;1 .-\t\r\0\xff\xc3\xa9e_\n\n";
    let mut sent = Vec::new();
    for at in 0..2_000 {
        for _ in 0..next() % 200 {
            let byte = next();
            sent.push(match byte % 4 {
                0 => (byte >> 8) as u8,
                _ => ALPHABET[(byte >> 8) as usize % ALPHABET.len()],
            });
        }
        sent.extend(format!("\nin.order {at} {at}\n").into_bytes());
    }
    daemon.send(&sent);
    let lines = (0..2_000).map(|at| format!("in.order {at}.0 {at}\n"));
    daemon.expect("get in.order\n", &lines.collect::<String>());
    let counts = daemon.process.counts();
    let all: u64 = [
        "graphite_points",
        "graphite_points_nan",
        "graphite_lines_bad",
    ]
    .iter()
    .map(|name| counts[*name])
    .sum();
    assert_eq!(
        all,
        sent.iter().filter(|&&byte| byte == b'\n').count() as u64
    );
    daemon.process.stop();
}

/// A `collectd` that sends to a port, killed when this is dropped.
struct Collectd {
    process: Process,
    folder: Folder,
}

impl Collectd {
    /// Starts it with a configuration of its own. Without a collectd says so and returns `None`.
    fn start(graphite: SocketAddr) -> Option<Collectd> {
        let version = Command::new("collectd")
            .arg("-h")
            .stdout(Stdio::null())
            .status();
        if let Err(error) = version {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            support::skip_without("collectd");
            return None;
        }
        let folder = Folder::new();
        let configuration = folder.join("collectd.conf");
        fs::write(&configuration, configured(&folder.0, graphite)).expect("is written");
        let mut command = Command::new("collectd");
        command.arg("-f").arg("-C").arg(configuration);
        Some(Collectd {
            process: Process::spawn(&mut command),
            folder,
        })
    }

    /// What it wrote into its files of this name, one a day, itself.
    fn written(&self, file: &str) -> String {
        let (folder, name) = file.split_once('/').expect("a folder and a name");
        let files = fs::read_dir(self.folder.join("host").join(folder)).expect("it writes");
        let files = files.map(|file| file.expect("a file"));
        let days = files.filter(|file| file.file_name().to_string_lossy().starts_with(name));
        let texts = days.map(|file| fs::read_to_string(file.path()).expect("is read"));
        texts.collect()
    }
}

fn configured(folder: &Path, graphite: SocketAddr) -> String {
    let (folder, port) = (folder.display(), graphite.port());
    format!(
        r#"
Hostname "host"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/pid"
Interval 0.1
LoadPlugin load
LoadPlugin memory
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}"
</Plugin>
LoadPlugin write_graphite
<Plugin write_graphite>
  <Node "metricd">
    Host "127.0.0.1"
    Port "{port}"
    Protocol "tcp"
    Prefix "collectd."
  </Node>
</Plugin>
"#
    )
}

#[test]
fn collectd_feeds_it() {
    let daemon = Daemon::start(&[]);
    let Some(collectd) = Collectd::start(daemon.graphite) else {
        return;
    };
    let (mut client, start) = (daemon.client(), Instant::now());
    let mut points_of = |name: &str| -> Vec<String> {
        client.send(format!("get collectd.host.{name}\n").as_bytes());
        let reply = String::from_utf8(client.reply()).expect("text");
        let points = reply.lines().filter(|line| line.contains(' '));
        points.map(str::to_owned).collect()
    };
    // Each keeps one point a second, the last.
    while points_of("memory.memory-free").len() < 2 {
        assert!(start.elapsed() < DEADLINE, "{:?}", daemon.process.counts());
        thread::yield_now();
    }
    collectd.process.signal(Signal::TERM);
    collectd.process.wait_for("collectd ends", |process| {
        process.try_signal(Signal::CONT).is_err().then_some(())
    });
    for (name, file) in [
        ("load.load.shortterm", "load/load"),
        ("memory.memory-free", "memory/memory-free"),
    ] {
        let points = points_of(name);
        assert!(points.len() > 1, "{name}");
        let written = collectd.written(file);
        for point in points {
            let words: Vec<&str> = point.split(' ').collect();
            let value: f64 = words[1].parse().expect("a value");
            let timestamp: f64 = words[2].parse().expect("a timestamp");
            // Its files have more decimals of the time, and fewer of the value.
            let is_same = |row: &str| {
                let columns: Vec<f64> = row.split(',').flat_map(str::parse).collect();
                columns.len() > 1
                    && (columns[0] - timestamp).abs() < 0.51
                    && (columns[1] - value).abs() < 1e-6
            };
            assert!(
                written.lines().any(is_same),
                "{point}, in its own file:\n{written}"
            );
        }
    }
    assert_eq!(daemon.process.counts()["graphite_lines_bad"], 0);
    daemon.process.stop();
}
