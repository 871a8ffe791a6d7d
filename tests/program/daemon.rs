//! The program itself, as an operator sees it: options, log, signals, exit status, and what it
//! does when it runs short of descriptors, memory or standard streams.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::process::{Daemon, End, METRICD, Process, listening_line, through_shell};
use crate::support::{
    Client, OK, WRONG_COMMAND, again, all_at_once, assert_same, may_open_files, run_with_open_files,
};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

#[track_caller]
fn run<S: AsRef<OsStr>>(options: &[S]) -> End {
    Process::spawn(Command::new(METRICD).args(options)).end()
}

#[test]
fn the_log_says_where_it_listens() {
    let daemon = Daemon::start(&[]);
    assert_ne!(daemon.address.port(), 0);
    daemon
        .connect()
        .exchange(b"put k 1 1\nget k\n", b"ok\n\nok\nk 1.0 1\n\n");
    let end = daemon.process.stop();
    assert_eq!(end.stdout, [""; 0]);
    assert!(!end.stderr.is_empty(), "the log says that it stops");
}

#[test]
fn the_log_has_a_line_for_each_address() {
    let mut command = Command::new(METRICD);
    let listen = ["--listen", "127.0.0.1:0"];
    let process = Process::spawn(command.args(listen).args(listen).args(listen));
    let addresses = [(); 3].map(|()| listening_line(&process));
    let mut ports = addresses.map(|address| address.port()).to_vec();
    ports.sort();
    ports.dedup();
    assert_eq!(ports.len(), 3);
    for (number, address) in addresses.into_iter().enumerate() {
        let mut client = Client::connect(address);
        client.exchange(format!("put k 0.5 {number}\n").as_bytes(), OK);
    }
    Client::connect(addresses[0]).exchange(b"get k\n", b"ok\nk 0.5 0\nk 0.5 1\nk 0.5 2\n\n");
    process.stop();
}

#[test]
fn connections_and_bad_lines_are_logged_at_debug_only() {
    let logged = |options: &[&str]| {
        let daemon = Daemon::start(options);
        let mut client = daemon.connect();
        client.exchange(b"nonsense\n\xff\nput k x 1\n", &WRONG_COMMAND.repeat(3));
        client.send(b"get *\n");
        client.reset();
        assert_same(&daemon.connect().finish(), b"");
        daemon.connect().wait_for_a_turn();
        daemon.process.stop().stderr.len()
    };
    let idle = Daemon::start(&[]).process.stop().stderr.len();
    assert_eq!(logged(&[]), idle);
    assert_eq!(logged(&["--log-level", "info"]), idle);
    assert!(logged(&["--log-level", "debug"]) > idle);
}

#[test]
fn every_option_is_accepted() {
    let options = "--connection-limit 2 --line-limit 20 --read-buffer 10 --write-buffer 65536 \
        --unsent-limit 4096 --snapshot-limit 0 --accepts-per-turn 1 --events-per-turn 1 \
        --memory-limit 1G --when-full refuse --retention 99999d --timestamp-unit s \
        --idle-timeout 1h --stall-timeout never --stop-timeout 1 --log-level info";
    let daemon = Daemon::start(&options.split_whitespace().collect::<Vec<_>>());
    let (mut first, mut second, mut third) = (daemon.connect(), daemon.connect(), daemon.connect());
    // The line limit, at its edge and one above.
    first.exchange(
        b"put 0123456789 1 200\nput 0123456789 1 3000\n",
        &[OK, WRONG_COMMAND].concat(),
    );
    second.exchange(b"get 0123456789\n", b"ok\n0123456789 1.0 200\n\n");
    // The connection limit.
    assert!(!third.has_input());
    third.send(b"get none\n");
    first.wait_for_a_turn();
    second.wait_for_a_turn();
    assert!(!third.has_input());
    drop(first);
    assert!(third.wait_for_input());
    daemon.process.stop();
}

#[test]
fn the_stop_timeout_ends_the_wait_for_a_stalled_reader() {
    let daemon = Daemon::start(&["--stop-timeout", "1"]);
    let (_stalled, _reply) = daemon.reader_of_a_long_reply();
    let start = Instant::now();
    daemon.process.stop();
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(4),
        "{took:?}"
    );
}

/// How many bytes of a long reply the system holds for a client that does not read: what the
/// client can still read after the process is killed.
fn bytes_held_for_a_stalled_reader(options: &[&str]) -> usize {
    let daemon = Daemon::start(options);
    let (reader, reply) = daemon.reader_of_a_long_reply();
    let mut other = daemon.connect();
    // In each turn the reader gets another piece, until the system takes no more.
    for _ in 0..200 {
        other.wait_for_a_turn();
    }
    daemon.process.signal(Signal::KILL);
    let held = reader.rest();
    assert!(reply.starts_with(&held));
    held.len()
}

#[test]
fn the_unsent_limit_bounds_what_the_system_holds_for_a_stalled_reader() {
    let [little, much] = ["4096", "16777216"]
        .map(|limit| bytes_held_for_a_stalled_reader(&["--unsent-limit", limit]));
    assert!(
        little < 1 << 20 && much > little + (512 << 10),
        "{little}, {much}"
    );
}

#[test]
fn clients_that_are_still_for_too_long_are_cut_off() {
    let cases = [
        (["--idle-timeout", "1"], false, "is closed: Idle"),
        (["--stall-timeout", "1"], true, "is closed: Stalled"),
    ];
    all_at_once(cases, |(options, reply, closed)| {
        let daemon = Daemon::start(&[&options[..], &["--log-level", "debug"]].concat());
        let start = Instant::now();
        let client = if reply {
            daemon.reader_of_a_long_reply().0
        } else {
            daemon.connect()
        };
        while let line = daemon.process.log_line().expect("it logs that")
            && !line.ends_with(closed)
        {}
        assert!(start.elapsed() >= Duration::from_secs(1));
        client.rest();
    });
}

#[test]
fn what_came_while_the_process_was_suspended_counts_before_its_timeouts() {
    let [daemon, beside] = ["1", "2"].map(|time| Daemon::start(&["--idle-timeout", time]));
    let mut client = daemon.connect();
    client.exchange(b"put k 1 1\n", OK);
    // A client of another server shows that this one waits for events now, and then that its time is over.
    let mut other = beside.connect();
    other.exchange(b"put k 1 1\n", OK);
    daemon.process.signal(Signal::STOP);
    other.rest();
    client.send(b"put k 2 2\n");
    daemon.process.signal(Signal::CONT);
    client.expect(OK);
}

#[test]
fn a_signal_has_it_log_what_it_has_counted() {
    let daemon = Daemon::start(&[]);
    let mut client = daemon.connect();
    client.exchange(
        b"put k 1 1\nput k 2 2\nnonsense\n",
        &[OK, OK, WRONG_COMMAND].concat(),
    );
    for puts in [2, 3] {
        daemon.process.signal(Signal::USR1);
        let report = [(); 7].map(|()| daemon.process.log_line().expect("a line"));
        for (line, said) in report.iter().zip([
            "connections_open=1 connections_accepted=1 ",
            &format!("requests_put={puts} requests_get=0 requests_wrong=1 requests_refused=0"),
            "graphite_points=0 graphite_points_refused=0 ",
            "store_series=1 ",
            "journal_syncs=0 ",
            "remote_sent_points=0 ",
            "loop_turns=",
        ]) {
            assert!(line.contains(said), "{line}");
        }
        client.exchange(b"put k 1 1\n", OK);
    }
    daemon.process.stop();
}

#[test]
fn the_snapshot_limit_says_when_a_stalled_reader_is_cut_off() {
    all_at_once([("0", true), ("1000000", false)], |(limit, is_cut_off)| {
        let daemon = Daemon::start(&["--snapshot-limit", limit]);
        let (reader, reply) = daemon.reader_of_a_long_reply();
        let put = [b"put ", &reply[3..4_003], b" 1.5 100\n"].concat();
        daemon.connect().exchange(&put, OK);
        let received = reader.finish();
        assert!(reply.starts_with(&received));
        assert_eq!(received.len() < reply.len(), is_cut_off, "limit {limit}");
    });
}

#[test]
fn a_server_with_nothing_to_do_sleeps() {
    let daemon = Daemon::start(&[]);
    let mut idle = daemon.connect();
    idle.exchange(b"put k 1 1\n", OK);
    let (_stalled, _reply) = daemon.reader_of_a_long_reply();
    // The server has closed its side, the client has not.
    let mut web_page = daemon.connect();
    web_page.exchange(b"GET / HTTP/1.1\n", WRONG_COMMAND);
    daemon.process.wait_until_it_sleeps();
    idle.exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
}

/// The signals that stop the program, except SIGHUP if these tests run under `nohup`: then the
/// program also ignores it.
fn stop_signals() -> Vec<Signal> {
    let status = fs::read_to_string("/proc/self/status").expect("is read");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.expect("the field").trim(), 16).expect("a mask");
    let mut signals = vec![Signal::INT, Signal::TERM, Signal::HUP];
    signals.retain(|signal| ignored >> (signal.as_raw() - 1) & 1 == 0);
    signals
}

#[test]
fn a_signal_stops_it_and_replies_that_are_owed_are_written() {
    all_at_once(stop_signals(), |signal| {
        let daemon = Daemon::start(&["--stop-timeout", "1000"]);
        let idle = daemon.connect();
        let (reader, reply) = daemon.reader_of_a_long_reply();
        daemon.process.signal(signal);
        assert_same(&idle.rest(), b"");
        assert_same(&reader.rest(), &reply);
        let end = daemon.process.end();
        assert_eq!(end.code, Some(0), "{signal:?}: {end:?}");
        assert_eq!(end.stdout, [""; 0]);
        assert!(TcpStream::connect(daemon.address).is_err());
    });
}

#[test]
fn a_signal_stops_it_when_nobody_is_connected() {
    for signal in stop_signals() {
        let daemon = Daemon::start(&["--stop-timeout", "1000"]);
        daemon.process.signal(signal);
        assert_eq!(daemon.process.end().code, Some(0), "{signal:?}");
    }
}

#[test]
fn a_signal_while_it_starts_stops_it() {
    type Moment = (&'static str, fn(&Process, Signal) -> bool);
    let moments: [Moment; 2] = [
        ("it catches the signal", Process::catches),
        ("it listens", |process, _| {
            process.listening_socket().is_some()
        }),
    ];
    for (moment, has_come) in moments {
        for signal in stop_signals().repeat(5) {
            let mut command = Command::new(METRICD);
            let process = Process::spawn(command.args(["--listen", "127.0.0.1:0"]));
            process.wait_for(moment, |process| has_come(process, signal).then_some(()));
            process.signal(signal);
            let end = process.end();
            assert_eq!(end.code, Some(0), "{signal:?} as soon as {moment}: {end:?}");
        }
    }
}

#[test]
fn a_hangup_does_not_stop_it_under_nohup() {
    let daemon = Daemon::start_after("trap '' HUP &&");
    let mut client = daemon.connect();
    client.exchange(b"put k 1 1\n", OK);
    daemon.process.signal(Signal::HUP);
    client.wait_for_a_turn();
    client.exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
    daemon.process.stop();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let cases = [
        [Signal::TERM, Signal::TERM],
        [Signal::INT, Signal::INT],
        [Signal::INT, Signal::TERM],
        [Signal::TERM, Signal::INT],
    ];
    all_at_once(cases, |[first, second]| {
        let daemon = Daemon::start(&["--stop-timeout", "1000"]);
        let (idle, (_stalled, _reply)) = (daemon.connect(), daemon.reader_of_a_long_reply());
        daemon.process.signal(first);
        // The first has been handled: two of one kind that wait together count as one.
        assert_same(&idle.rest(), b"");
        daemon.process.signal(second);
        daemon.process.end();
    });
}

#[test]
fn a_second_signal_ends_it_at_once_under_load() {
    let daemon = Daemon::start(&["--stop-timeout", "1000"]);
    let (_stalled, reply) = daemon.reader_of_a_long_reply();
    let gets = [b"get ", &reply[3..4_003], b"\n"].concat().repeat(16);
    let mut clients: Vec<Client> = (0..100).map(|_| daemon.connect()).collect();
    for client in &mut clients {
        client.send(&gets);
    }
    daemon.process.signal(Signal::TERM);
    daemon.process.signal(Signal::INT);
    let start = Instant::now();
    let end = daemon.process.end();
    let took = start.elapsed();
    assert!(
        end.code == Some(0) && took < Duration::from_secs(2),
        "{took:?}, {end:?}"
    );
}

#[test]
fn bad_usage_is_one_line_and_status_2() {
    // What is given, and what the line must name.
    let cases: &[(&[&str], &str)] = &[
        (&["--nonsense"], "--nonsense"),
        (&["--nonsense=1"], "--nonsense"),
        (&["-x"], "-x"),
        (&["extra"], "extra"),
        (&[""], ""),
        (&["127.0.0.1:0"], "127.0.0.1:0"),
        (&["--listen"], "--listen"),
        (&["--listen", ""], "listen"),
        (&["--listen", "nonsense"], "nonsense"),
        (&["--listen", "127.0.0.1"], "127.0.0.1"),
        (&["--listen", "127.0.0.1:"], "127.0.0.1:"),
        (&["--listen", "127.0.0.1:http!"], "127.0.0.1:http!"),
        (&["--listen", "127.0.0.1:65536"], "127.0.0.1:65536"),
        (&["--listen", "127.0.0.1:-1"], "127.0.0.1:-1"),
        (&["--listen", "127.0.0.1:0", "--listen", "::1"], "::1"),
        (&["--listen", "unix:"], "unix:"),
        (&["--socket-mode"], "--socket-mode"),
        (&["--socket-mode", "rw"], "rw"),
        (&["--socket-mode", "8"], "8"),
        (&["--socket-mode", "1000"], "1000"),
        (&["--connection-limit"], "--connection-limit"),
        (&["--connection-limit", "many"], "many"),
        (&["--connection-limit", "many"], "--connection-limit"),
        (&["--connection-limit", "-1"], "-1"),
        (&["--connection-limit", "1.5"], "1.5"),
        (&["--connection-limit", ""], "--connection-limit"),
        (&["--connection-limit", "0"], "connection-limit"),
        (
            &["--connection-limit", "99999999999999999999"],
            "99999999999999999999",
        ),
        (&["--data"], "--data"),
        (&["--data", ""], "--data"),
        (&["--data", "d", "--sync"], "--sync"),
        (&["--data", "d", "--sync", "often"], "--sync"),
        (&["--data", "d", "--sync", "-1"], "--sync"),
        (&["--data", "d", "--sync", "inf"], "--sync"),
        (&["--sync", "1"], "--sync"),
        (&["--salvage"], "--salvage"),
        (&["--data", "d", "--salvage=no"], "--salvage"),
        (&["--line-limit"], "--line-limit"),
        (&["--line-limit", "x"], "--line-limit"),
        (&["--line-limit", "0"], "line-limit"),
        (&["--read-buffer", "x"], "--read-buffer"),
        (&["--read-buffer", "0"], "read-buffer"),
        (&["--write-buffer", "x"], "--write-buffer"),
        (&["--write-buffer", "65535"], "write-buffer"),
        (&["--write-buffer", "18446744073709551615"], "write-buffer"),
        (&["--unsent-limit", "x"], "--unsent-limit"),
        (&["--unsent-limit", "4095"], "unsent-limit"),
        (&["--snapshot-limit", "x"], "--snapshot-limit"),
        (&["--accepts-per-turn", "x"], "--accepts-per-turn"),
        (&["--accepts-per-turn", "0"], "accepts-per-turn"),
        (&["--events-per-turn", "x"], "--events-per-turn"),
        (&["--events-per-turn", "0"], "events-per-turn"),
        (&["--stop-timeout"], "--stop-timeout"),
        (&["--stop-timeout", "soon"], "--stop-timeout"),
        (&["--stop-timeout", "-1"], "--stop-timeout"),
        (&["--idle-timeout", "-1"], "--idle-timeout"),
        (&["--stall-timeout"], "--stall-timeout"),
        (&["--retention", "90 d"], "90 d"),
        (&["--memory-limit", "1"], "--memory-limit"),
        (&["--when-full", "drop"], "drop"),
        (&["--timestamp-unit"], "--timestamp-unit"),
        (&["--log-level"], "--log-level"),
        (&["--log-level", "loud"], "loud"),
    ];
    for (options, named) in cases {
        let end = run(options);
        let (stderr, shown) = (&end.stderr, format!("{options:?}: {end:?}"));
        assert_eq!(end.code, Some(2), "{shown}");
        assert_eq!(end.stdout, [""; 0], "{shown}");
        assert_eq!(stderr.len(), 1, "{shown}");
        // A field of the configuration is spelled with underscores, and the option with hyphens.
        let line = stderr[0].replace('_', "-");
        assert!(line.contains(named) && line.len() > named.len(), "{shown}");
    }
}

#[test]
fn bad_usage_says_what_is_taken() {
    let too_many = ["--listen", "127.0.0.1:0"].repeat(1_025);
    let cases: &[(&[&str], &str)] = &[
        (&["--listen"], "HOST:PORT"),
        (&["--listen", "nonsense"], "HOST:PORT"),
        (&["--listen", "nonsense"], "unix:PATH"),
        (&["--socket-mode", "1000"], "777"),
        (&too_many, "1024"),
        (&["--log-level"], "debug"),
        (&["--log-level", "loud"], "debug"),
        (&["--connection-limit"], "a number"),
        (&["--connection-limit", "many"], "a number"),
        (&["--connection-limit", "0"], "1"),
        (&["--line-limit", "0"], "1"),
        (&["--write-buffer", "1"], "65536"),
        (&["--events-per-turn", "65537"], "65536"),
        (&["--data"], "a folder"),
        (&["--sync", "1"], "--data"),
        (&["--when-full", "evict"], "--memory-limit"),
        (&["--memory-limit", "8388607"], "8388608"),
        (
            &["--memory-limit", "16M", "--line-limit", "262145"],
            "262144 with this limit on memory",
        ),
        (&["--memory-limit", "32m"], "32M"),
        (&["--retention", "0.5"], "1s"),
        (&["--idle-timeout", "x"], "never"),
        (&["--stall-timeout", "0.9"], "1s"),
        (&["--timestamp-unit", "h"], "ms"),
        (&["--sync", "0"], "always"),
        (&["--sync", "0.0009"], "0.001"),
        (&["--nonsense"], "--help"),
    ];
    for (options, taken) in cases {
        let end = run(options);
        let [line] = &end.stderr[..] else {
            panic!("{end:?}")
        };
        let given = options.get(1).unwrap_or(&"\n");
        let said = line.replace(given, "").replace(',', "");
        assert!(end.code == Some(2) && said.contains(taken), "{line}");
    }
}

#[test]
fn arguments_that_are_not_unicode_are_bad_usage() {
    let not_unicode = OsStr::from_bytes(b"\xff");
    for options in [
        vec![not_unicode],
        vec![OsStr::new("--listen"), not_unicode],
        vec![OsStr::new("--connection-limit"), not_unicode],
        vec![OsStr::from_bytes(b"--\xff")],
    ] {
        let end = run(&options);
        assert_eq!(end.code, Some(2), "{options:?}: {end:?}");
        assert_eq!(end.stderr.len(), 1, "{options:?}: {end:?}");
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_is_one_line_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let in_use = taken.local_addr().expect("an address").to_string();
    // The last is reserved for documentation: no machine has it.
    for address in [in_use.as_str(), "no..such..host:0", "192.0.2.1:0"] {
        for options in [
            vec!["--listen", address],
            vec!["--listen", "127.0.0.1:0", "--listen", address],
        ] {
            let end = run(&options);
            let shown = format!("{options:?}: {end:?}");
            assert_eq!(end.code, Some(1), "{shown}");
            assert_eq!(end.stdout, [""; 0], "{shown}");
            assert_eq!(end.stderr.len(), 1, "{shown}");
            let line = &end.stderr[0];
            assert!(line.starts_with("metricd: --listen: cannot "), "{shown}");
            assert!(line.contains(address), "{shown}");
        }
    }
}

#[test]
fn help_fits_80_columns() {
    let end = run(&["--help"]);
    assert_eq!(end.code, Some(0));
    assert_eq!(end.stderr, [""; 0]);
    for line in &end.stdout {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(end.stdout.iter().any(|line| line.contains("--listen")));
}

#[test]
fn options_are_taken_from_the_environment() {
    let mut command = Command::new(METRICD);
    command
        .env("METRICD_LISTEN", "127.0.0.1:0,127.0.0.1:0")
        .env("METRICD_LINE_LIMIT", "10")
        .env("METRICD_LISTN", "127.0.0.1:0")
        .env("METRICD_PORT", "tcp://10.0.0.1:8888");
    let process = Process::spawn(&mut command);
    let ignored = process.log_line().expect("a warning");
    let said = "ignored, since metricd --help lists no such option: METRICD_LISTN";
    assert!(ignored.ends_with(said), "{ignored}");
    let addresses = [(); 2].map(|()| listening_line(&process));
    Client::connect(addresses[1]).exchange(b"put 2345 1 2\nget k\n", &[WRONG_COMMAND, OK].concat());
    process.stop();

    command.env("METRICD_LINE_LIMIT", "0");
    let end = Process::spawn(&mut command).end();
    assert_eq!(end.code, Some(2), "{end:?}");
    let error = end.stderr.last().expect("an error");
    assert!(
        error.starts_with("metricd: METRICD_LINE_LIMIT is 0: it takes "),
        "{error}"
    );
}

#[test]
fn version_is_one_line() {
    let end = run(&["--version"]);
    assert_eq!(end.code, Some(0));
    assert_eq!(end.stderr, [""; 0]);
    assert_eq!(end.stdout, [concat!("metricd ", env!("CARGO_PKG_VERSION"))]);
}

#[test]
fn output_that_cannot_be_written_does_not_panic() {
    for option in ["--help", "--version", "--nonsense"] {
        for redirection in [">/dev/full", ">&-", "2>/dev/full", "2>&-", ">&- 2>&-"] {
            let mut command = through_shell("", redirection);
            let end = Process::spawn(command.arg(option)).end();
            // 101 is the status of a panic.
            assert!(
                matches!(end.code, Some(0..=2)),
                "{option} {redirection}: {end:?}"
            );
        }
    }
}

#[test]
fn missing_standard_streams_do_not_stop_it() {
    for redirection in [
        "<&-",
        ">&-",
        "<&- >&-",
        "2>&-",
        "2>/dev/full",
        ">/dev/full 2>/dev/full",
        "<&- >&- 2>&-",
    ] {
        let mut command = through_shell("", redirection);
        // At this level there is something to log for each client.
        let process = Process::spawn(command.args(["--log-level", "debug"]));
        let address = process.address_from_system();
        for _ in 0..10 {
            let mut client = Client::connect(address);
            client.exchange(
                b"nonsense\nput k 1 1\nget k\n",
                b"error\nwrong command\n\nok\n\nok\nk 1.0 1\n\n",
            );
        }
        process.stop();
    }
}

#[test]
fn a_log_that_is_closed_does_not_stop_it() {
    let mut command = Command::new(METRICD);
    command.args(["--listen", "127.0.0.1:0", "--log-level", "debug"]);
    // The one line that is read may be a debug line, and not say where it listens.
    let process = Process::spawn_logging(&mut command, Stdio::piped(), 1);
    let address = process.address_from_system();
    assert!(process.log_line().is_some());
    assert_eq!(process.log_line(), None, "the pipe is closed");
    for _ in 0..10 {
        let mut client = Client::connect(address);
        client.exchange(b"nonsense\nget none\n", b"error\nwrong command\n\nok\n\n");
    }
    process.stop();
}

#[test]
fn a_full_log_that_is_non_blocking_does_not_stop_it() {
    // As when the parent process has made the descriptor that they share non-blocking.
    let (unread, log) = UnixStream::pair().expect("a pair of sockets");
    log.set_nonblocking(true).expect("takes the mode");
    let mut command = Command::new(METRICD);
    command.args(["--listen", "127.0.0.1:0", "--log-level", "debug"]);
    let process = Process::spawn_logging(&mut command, OwnedFd::from(log).into(), 0);
    let mut client = Client::connect(process.address_from_system());
    // Enough to fill the buffer several times.
    for _ in 0..100 {
        client.exchange(&b"nonsense\n".repeat(100), &WRONG_COMMAND.repeat(100));
    }
    process.stop();
    drop(unread);
}

#[test]
fn a_full_log_that_is_blocking_does_not_stop_it() {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let terminal = openpt(flags).expect("a terminal");
    unlockpt(&terminal).expect("a terminal that can be opened");
    let (pipe, into_pipe) = std::io::pipe().expect("a pipe");
    let (socket, into_socket) = UnixStream::pair().expect("a pair of sockets");
    let logs = [
        ioctl_tiocgptpeer(&terminal, flags).expect("its other side"),
        into_pipe.into(),
        into_socket.into(),
    ];
    all_at_once(logs, |log| {
        let shared = log.try_clone().expect("a second descriptor");
        let mut command = Command::new(METRICD);
        command.args(["--listen", "127.0.0.1:0", "--log-level", "debug"]);
        let process = Process::spawn_logging(&mut command, log.into(), 0);
        let mut client = Client::connect(process.address_from_system());
        // Several times what the largest of the three holds.
        for _ in 0..10 {
            client.exchange(&b"nonsense\n".repeat(500), &WRONG_COMMAND.repeat(500));
        }
        // The descriptor is still blocking for others who share it.
        let mode = fcntl_getfl(&shared).expect("the mode");
        assert!(!mode.contains(OFlags::NONBLOCK));
        // A client that has said that it read the last replies is not waited for.
        client.wait_for_a_turn();
        process.stop();
    });
    drop((terminal, pipe, socket));
}

#[test]
fn a_log_in_a_file_keeps_what_others_write_there() {
    let path = std::env::temp_dir().join(format!("metricd-test-{}", std::process::id()));
    let mut file = fs::File::create(&path).expect("a file");
    let log = file.try_clone().expect("a second descriptor");
    let mut command = Command::new(METRICD);
    command.args(["--listen", "127.0.0.1:0"]);
    file.write_all(b"before\n").expect("is written");
    let process = Process::spawn_logging(&mut command, log.into(), 0);
    let address = process.address_from_system();
    process.stop();
    file.write_all(b"after\n").expect("is written");
    let written = fs::read_to_string(&path).expect("is read");
    fs::remove_file(&path).expect("is removed");
    let listening = format!("listening on {address}\n");
    assert!(
        written.starts_with("before\n") && written.ends_with("\nafter\n"),
        "{written}"
    );
    assert!(written.contains(&listening), "{written}");
}

#[test]
fn a_long_message_is_cut_to_one_line() {
    // All together they are longer than a socket takes at once.
    for name_bytes in [1_000, 100_000] {
        let mut command = Command::new(METRICD);
        command.args(["--listen", "127.0.0.1:0"]);
        for letter in ["A", "B", "C", "D"] {
            command.env(format!("METRICD_{}", letter.repeat(name_bytes)), "x");
        }
        let (daemon, lines) = Daemon::start_hearing(&mut command);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].len(), 511);
        daemon.process.stop();
    }
}

#[test]
fn it_needs_no_environment_and_no_directory() {
    let mut command = Command::new(METRICD);
    command
        .args(["--listen", "127.0.0.1:0"])
        .env_clear()
        .current_dir("/");
    let daemon = Daemon::start_as(&mut command);
    daemon
        .connect()
        .exchange(b"put k 1 1\nget k\n", b"ok\n\nok\nk 1.0 1\n\n");
    daemon.process.stop();
}

/// Forty clients connect to a daemon that has room for some of them.
#[track_caller]
fn check_that_the_others_wait(daemon: Daemon, room: std::ops::Range<usize>) {
    let mut served: Vec<Client> = (0..40).map(|_| daemon.connect()).collect();
    for client in &mut served {
        client.send(b"put k 1 1\n");
    }
    daemon
        .process
        .log_line()
        .expect("the log says that there is no room");
    served[0].expect(OK);
    // All that were accepted are served in the turn after the log line, perhaps after this client.
    served[0].wait_for_a_turn();
    served[0].wait_for_a_turn();
    let count = 1 + served[1..]
        .iter()
        .filter(|client| client.has_input())
        .count();
    assert!(room.contains(&count), "{count} are served");

    // Those are the first ones. The others wait, and cost nothing.
    let waiting = served.split_off(count);
    for client in &mut served[1..] {
        client.expect(OK);
    }
    daemon.process.wait_until_it_sleeps();
    assert!(!waiting[0].has_input());
    for client in &mut served {
        client.wait_for_a_turn();
    }

    // As soon as one closes, the next is served.
    for mut next in waiting {
        assert_same(&served.remove(0).finish(), b"");
        next.expect(OK);
        served.push(next);
    }
    for client in &mut served {
        client.exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
    }
    // Logged once: what follows is that it stops, and at most that there is room again.
    let end = daemon.process.stop();
    assert!(end.stderr.len() <= 3, "{end:?}");
}

#[test]
fn without_descriptors_for_more_it_serves_the_clients_it_has() {
    let few = format!("ulimit -n {} &&", descriptors_needed() + 8);
    check_that_the_others_wait(Daemon::start_after(&few), 4..9);
}

#[test]
fn at_the_connection_limit_it_serves_the_clients_it_has() {
    check_that_the_others_wait(Daemon::start(&["--connection-limit", "7"]), 7..8);
}

#[test]
fn a_thousand_clients_that_connect_while_it_is_suspended_are_each_served() {
    const CLIENTS: usize = 1_000;
    const SYSTEM_LIMIT: &str = "/proc/sys/net/core/somaxconn";
    let queue = fs::read_to_string(SYSTEM_LIMIT).expect("the system's limit of the accept queue");
    if queue.trim().parse::<usize>().expect("a number") < CLIENTS {
        return eprintln!("not tested: {SYSTEM_LIMIT} is {queue}");
    }
    if !may_open_files(4_000) {
        let this = "daemon::a_thousand_clients_that_connect_while_it_is_suspended_are_each_served";
        return run_with_open_files(4_000, this);
    }
    let daemon = Daemon::start(&[]);
    daemon.process.signal(Signal::STOP);
    // A client that finds the accept queue full tries again after a second at the earliest.
    let patience = Duration::from_millis(900);
    let connect = |number| match TcpStream::connect_timeout(&daemon.address, patience) {
        Ok(stream) => Client::from(stream),
        Err(error) => panic!("{error}, after {number} of {CLIENTS} clients"),
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(connect).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("put k 0.5 {number}\n").as_bytes());
    }
    daemon.process.signal(Signal::CONT);
    for client in &mut clients {
        client.expect(OK);
    }
    let points: String = (0..CLIENTS).map(|at| format!("k 0.5 {at}\n")).collect();
    clients[CLIENTS - 1].exchange(b"get k\n", format!("ok\n{points}\n").as_bytes());
}

#[test]
fn too_few_descriptors_to_start_are_one_line_and_status_1() {
    let mut refused = 0;
    for descriptors in (0..descriptors_needed()).rev() {
        let first = format!("ulimit -n {descriptors} &&");
        let mut command = through_shell(&first, "");
        let version = Process::spawn(command.arg("--version")).end();
        if version.code != Some(0) {
            // Not even enough to load the program.
            break;
        }
        let end = Process::spawn(&mut through_shell(&first, "")).end();
        assert_eq!(end.code, Some(1), "{descriptors} descriptors: {end:?}");
        assert_eq!(end.stderr.len(), 1, "{descriptors} descriptors: {end:?}");
        refused += 1;
    }
    assert!(refused > 0, "every limit was enough");
}

/// The lowest limit of descriptors with which it starts, whatever it inherits.
#[track_caller]
fn descriptors_needed() -> usize {
    let daemon = Daemon::start(&[]);
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.process.pid)).expect("runs");
    let numbers = open.map(|entry| {
        let name = entry.expect("a descriptor").file_name();
        name.to_string_lossy().parse::<usize>().expect("a number")
    });
    // It may have had a few more open while it started.
    let mut enough = numbers.max().expect("has some") + 4;
    daemon.process.stop();
    loop {
        let first = format!("ulimit -n {} &&", enough - 1);
        let process = Process::spawn(&mut through_shell(&first, ""));
        let line = process.log_line().expect("listens or says why not");
        if !line.contains("listening on ") {
            assert_eq!(process.end().code, Some(1), "{line}");
            return enough;
        }
        process.stop();
        enough -= 1;
    }
}

#[test]
fn an_endless_line_takes_no_memory() {
    let daemon = Daemon::start(&[]);
    let mut client = daemon.connect();
    client.send(&b"put k 1 ".repeat(100_000));
    daemon.connect().wait_for_a_turn();
    let before = daemon.process.peak_kib();
    for _ in 0..40 {
        client.send(&b"put k 1 ".repeat(100_000));
    }
    client.exchange(b"\nget k\n", &[WRONG_COMMAND, OK].concat());
    let grown = daemon.process.peak_kib() - before;
    assert!(grown < 4 << 10, "{grown} KiB for a line of 32 MB");
}

#[test]
fn stalled_readers_take_little_memory() {
    let daemon = Daemon::start(&[]);
    let (mut reader, reply) = daemon.reader_of_a_long_reply();
    reader.expect(&reply);
    let before = daemon.process.peak_kib();
    let get = [b"get ", &reply[3..4_003], b"\n"].concat();
    let mut stalled: Vec<Client> = (0..20).map(|_| daemon.connect()).collect();
    for client in &mut stalled {
        // What a client pipelines after its long request is not read either.
        client.send(&get.repeat(10));
        assert!(client.wait_for_input());
    }
    reader.wait_for_a_turn();
    let grown = daemon.process.peak_kib() - before;
    // Each may fill its buffers; 20 replies of 3 MB are 60 MB.
    assert!(grown < 20 << 10, "{grown} KiB for 20 stalled readers");
}

#[test]
fn stalled_readers_take_little_memory_while_others_put() {
    let daemon = Daemon::start(&[]);
    let (mut writer, key) = (daemon.connect(), "k".repeat(100));
    let puts: String = (0..200_000)
        .map(|at| format!("put {key} 0.5 {}\n", 2 * at))
        .collect();
    let puts = puts.as_bytes().chunks(1 << 20);
    let received = daemon.connect().converse(puts);
    assert_same(&received, &OK.repeat(200_000));
    let before = daemon.process.peak_kib();
    let mut stalled: Vec<Client> = (0..20).map(|_| daemon.connect()).collect();
    for (number, client) in stalled.iter_mut().enumerate() {
        client.send(format!("get {key}\n").as_bytes());
        assert!(client.wait_for_input());
        writer.exchange(format!("put {key} 1 {}\n", 2 * number + 1).as_bytes(), OK);
    }
    let grown = daemon.process.peak_kib() - before;
    // The series itself is 3 MB of numbers: a copy for each reader would be 60 MB.
    assert!(grown < 20 << 10, "{grown} KiB for 20 stalled readers");
}

#[test]
fn a_client_that_only_writes_takes_little_memory() {
    let daemon = Daemon::start(&[]);
    let mut witness = daemon.connect();
    let key = "k".repeat(2_000);
    witness.exchange(
        format!("put {key} 1 1\nput {key} 1 2\n").as_bytes(),
        &OK.repeat(2),
    );
    let before = daemon.process.peak_kib();
    let mut hog = daemon.connect();
    let patience = Some(Duration::from_millis(500));
    hog.stream
        .set_write_timeout(patience)
        .expect("takes a timeout");
    let requests = format!("get {key}\n").repeat(100);
    let mut written = 0;
    let stopped = loop {
        match again(|| hog.stream.write(requests.as_bytes())) {
            Ok(count) => written += count,
            Err(error) => break error.kind(),
        }
        assert!(written < 512 << 20, "the server reads without end");
    };
    assert!(
        matches!(stopped, ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{stopped}"
    );
    witness.wait_for_a_turn();
    let grown = daemon.process.peak_kib() - before;
    assert!(
        grown < 4 << 10,
        "{grown} KiB after {written} bytes of requests"
    );
}
