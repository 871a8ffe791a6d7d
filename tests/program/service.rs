//! The program under a service manager that speaks systemd's protocol: what it tells the manager, and
//! the sockets that it takes over.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::process::{Daemon, METRICD, Process, listening_line, listening_text};
use crate::support::{Client, DEADLINE, Folder, OK, again, temporary_path, unix_address};
use rustix::process::Signal;

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let path = temporary_path(name);
        let socket = UnixDatagram::bind(&path).expect("binds");
        let deadline = Some(DEADLINE);
        socket.set_read_timeout(deadline).expect("takes a timeout");
        Manager { socket, path }
    }

    /// The next message.
    #[track_caller]
    fn next(&self) -> String {
        let mut message = [0; 4_096];
        let count = again(|| self.socket.recv(&mut message)).expect("a message");
        String::from_utf8(message[..count].to_vec()).expect("text")
    }

    /// The program, as it is started by this manager on a free port.
    fn command(&self) -> Command {
        let mut command = Command::new(METRICD);
        command.args(["--listen", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", &self.path);
        command
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        fs::remove_file(&self.path).expect("is removed");
    }
}

const READY: &str = "READY=1\nSTATUS=listening";
const STOPPING: &str = "STOPPING=1\nSTATUS=stopping";
const ALIVE: &str = "WATCHDOG=1";

#[test]
fn the_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let manager = Manager::new("ready");
    let process = Process::spawn(&mut manager.command());
    assert_eq!(manager.next(), READY);
    assert!(process.listening_socket().is_some());
    let address = listening_line(&process);
    let (mut client, mut slow) = (Client::connect(address), Client::connect(address));
    client.exchange(b"put k 1 1\n", OK);
    let reply = slow.begin_long_reply();
    // No watchdog, no sign of life.
    process.wait_until_it_sleeps();
    process.signal(Signal::TERM);
    assert_eq!(manager.next(), STOPPING);
    slow.expect(&reply);
    drop((slow, client));
    assert_eq!(process.end().code, Some(0));
    manager
        .socket
        .set_nonblocking(true)
        .expect("takes the mode");
    manager.socket.recv(&mut [0]).expect_err("nothing else");
}

#[test]
fn a_server_that_cannot_listen_is_not_ready() {
    let manager = Manager::new("unready");
    let end = Process::spawn(manager.command().args(["--listen", "192.0.2.1:0"])).end();
    assert_eq!(end.code, Some(1));
    manager
        .socket
        .set_nonblocking(true)
        .expect("takes the mode");
    manager.socket.recv(&mut [0]).expect_err("nothing");
}

#[test]
fn the_name_of_the_managers_socket_may_be_abstract() {
    let name = format!("metricd-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = UnixDatagram::bind_addr(&address).expect("binds");
    let mut command = Command::new(METRICD);
    command.args(["--listen", "127.0.0.1:0"]);
    let process = Process::spawn(command.env("NOTIFY_SOCKET", format!("@{name}")));
    let mut message = [0; 100];
    manager
        .set_read_timeout(Some(DEADLINE))
        .expect("takes a timeout");
    let count = again(|| manager.recv(&mut message)).expect("a message");
    assert_eq!(&message[..count], READY.as_bytes());
    process.kill();
}

#[test]
fn a_manager_that_is_gone_is_logged_and_does_not_stop_it() {
    for path in ["/nowhere/socket", "/", "", "@", &"n".repeat(200)] {
        let mut command = Command::new(METRICD);
        command.args(["--listen", "127.0.0.1:0"]);
        let process = Process::spawn(command.env("NOTIFY_SOCKET", path));
        let warning = process.log_line().expect("a warning");
        assert!(
            warning.contains("cannot tell the service manager"),
            "{path}: {warning}"
        );
        Client::connect(listening_line(&process)).exchange(b"get none\n", OK);
        process.stop();
    }
}

#[test]
fn the_watchdog_gets_signs_of_life_twice_as_often_as_it_looks() {
    const INTERVAL: Duration = Duration::from_millis(100);
    let manager = Manager::new("watchdog");
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", (2 * INTERVAL.as_micros()).to_string());
    let process = Process::spawn(&mut command);
    let address = listening_line(&process);
    assert_eq!(manager.next(), READY);
    let mut client = Client::connect(address);
    for is_busy in [false, true] {
        assert_eq!(manager.next(), ALIVE);
        let mut ten_signs = || {
            let start = Instant::now();
            let mut signs = 0;
            while signs < 10 {
                if is_busy {
                    client.exchange(b"get none\n", OK);
                    manager
                        .socket
                        .set_nonblocking(true)
                        .expect("takes the mode");
                    signs += usize::from(manager.socket.recv(&mut [0]).is_ok());
                } else {
                    assert_eq!(manager.next(), ALIVE);
                    signs += 1;
                }
            }
            start.elapsed()
        };
        // The first of them may have been late, and on a busy machine more of them.
        let (least, most) = (INTERVAL * 5, INTERVAL * 19);
        let is_in_time = (0..5).any(|_| {
            let took = ten_signs();
            assert!(took > least, "{took:?}, busy: {is_busy}");
            took < most
        });
        assert!(is_in_time, "busy: {is_busy}");
    }
    process.stop();
}

#[test]
fn a_watchdog_of_another_process_or_of_no_time_gets_nothing() {
    for (variable, value) in [
        ("WATCHDOG_PID", "1"),
        ("WATCHDOG_PID", ""),
        ("WATCHDOG_USEC", "0"),
        ("WATCHDOG_USEC", "-5"),
        ("WATCHDOG_USEC", "soon"),
    ] {
        let manager = Manager::new("other-watchdog");
        let mut command = manager.command();
        command.env("WATCHDOG_USEC", "10000").env(variable, value);
        let process = Process::spawn(&mut command);
        assert_eq!(manager.next(), READY);
        process.wait_until_it_sleeps();
        process.signal(Signal::TERM);
        assert_eq!(manager.next(), STOPPING, "{variable}={value}");
        process.end();
    }
}

#[test]
fn a_manager_that_does_not_read_holds_up_nobody() {
    let manager = Manager::new("full");
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "2000");
    let process = Process::spawn(&mut command);
    let address = listening_line(&process);
    let warning = process
        .log_line()
        .expect("a warning when the queue is full");
    assert!(
        warning.contains("cannot tell the service manager"),
        "{warning}"
    );
    let (mut client, start) = (Client::connect(address), Instant::now());
    for _ in 0..100 {
        client.exchange(b"get none\n", OK);
    }
    // Each would take a second if the loop waited as long as a start does.
    assert!(start.elapsed() < DEADLINE);
    process.stop();
}

/// Starts the program, suspends it for a second while it reads the folder, and returns the first that
/// it tells.
fn start_suspended_meanwhile(manager: &Manager, folder: &Path) -> (Process, String) {
    let process = Process::spawn(manager.command().arg("--data").arg(folder));
    process.wait_for("reads the journal", |process| {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", process.pid)).ok()?;
        let mut links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.find(|link| link.starts_with(folder) && !link.ends_with("lock"))
    });
    process.signal(Signal::STOP);
    let (other, start) = (Daemon::start(&[]), Instant::now());
    let mut client = other.connect();
    while start.elapsed() < Duration::from_millis(1_100) {
        client.exchange(b"get none\n", OK);
    }
    process.signal(Signal::CONT);
    let message = manager.next();
    (process, message)
}

#[test]
fn a_start_that_takes_long_tells_how_far_it_is() {
    const PUTS: usize = 300_000;
    let folder = Folder::new();
    let daemon = Daemon::start(&["--data", folder.0.to_str().expect("text")]);
    let puts: String = (0..PUTS)
        .map(|at| format!("put k{} 0.5 {at}\n", at % 1_000))
        .collect();
    let replies = daemon.connect().converse(puts.as_bytes().chunks(1 << 16));
    assert_eq!(replies.len(), OK.len() * PUTS);
    daemon.process.kill();

    let manager = Manager::new("loading");
    // On a busy machine it may be through before it can be suspended.
    let mut attempts = (0..10).map(|_| start_suspended_meanwhile(&manager, &folder.0));
    let (process, message) = attempts
        .find(|(_, message)| message != READY)
        .expect("tells how far it is");
    let (status, patience) = message.split_once('\n').expect("two lines");
    let status = status.strip_prefix("STATUS=loading: ").expect("the status");
    let numbers = status.split(|character: char| !character.is_ascii_digit());
    let numbers: Vec<usize> = numbers.filter_map(|number| number.parse().ok()).collect();
    let [points, percent, rate] = numbers[..] else {
        panic!("{status}")
    };
    assert!(
        points > 0 && points < PUTS && percent < 100 && rate <= points,
        "{status}"
    );
    assert_eq!(patience, "EXTEND_TIMEOUT_USEC=60000000");
    let line = process.log_line().expect("the same");
    assert!(line.ends_with(&format!("loading: {status}")), "{line}");
    let mut messages = std::iter::from_fn(|| Some(manager.next()));
    messages.find(|message| message == READY);
    process.kill();
}

/// Starts the program with these as its descriptors from 3 on.
fn hand_over(first: OwnedFd, second: OwnedFd, variables: &str, options: &[&str]) -> Process {
    let mut command = Command::new("sh");
    let script =
        format!("exec 3<&0 4<&1 </dev/null >/dev/null; export {variables}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, METRICD]).args(options);
    command
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second))
        .stderr(Stdio::piped());
    Process::spawn_as_told(&mut command, usize::MAX)
}

const BOTH: &str = "LISTEN_PID=$$ LISTEN_FDS=2";

#[test]
fn sockets_that_are_handed_over_take_the_place_of_the_default_address() {
    let path = temporary_path("handed-over.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = tcp.local_addr().expect("an address");
    let unix = UnixListener::bind(&path).expect("binds");
    for options in [&[][..], &["--listen", "127.0.0.1:0"]] {
        // Those who come before it runs are served by it, and then by the next.
        let (mut early, mut early_unix) = (Client::connect(address), Client::connect_unix(&path));
        let sockets = (tcp.try_clone(), unix.try_clone());
        let (first, second) = (sockets.0.expect("a copy"), sockets.1.expect("a copy"));
        let process = hand_over(first.into(), second.into(), BOTH, options);
        assert_eq!(listening_line(&process), address);
        assert_eq!(listening_text(&process), unix_address(&path));
        if !options.is_empty() {
            Client::connect(listening_line(&process)).exchange(b"get none\n", OK);
        }
        early.exchange(b"put k 1 1\n", OK);
        early_unix.exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
        let mut own_line = process.stop().stderr.into_iter();
        assert!(
            own_line
                .next()
                .is_some_and(|line| line.contains("stopping"))
        );
        assert!(path.exists(), "it is not the server's");
    }
    fs::remove_file(path).expect("is removed");
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("a free port"));
    for variables in ["LISTEN_PID=1 LISTEN_FDS=2", "LISTEN_FDS=2", "LISTEN_PID=$$"] {
        let options = ["--listen", "127.0.0.1:0"];
        let process = hand_over(socket(), socket(), variables, &options);
        Client::connect(listening_line(&process)).exchange(b"get none\n", OK);
        assert_eq!(
            process.stop().stderr.len(),
            2,
            "one address, and that it stops"
        );
    }
}

#[test]
fn what_cannot_be_listened_on_is_one_line_and_status_1() {
    let listener = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let (connection, _other_end) = UnixStream::pair().expect("a pair of sockets");
    let file = fs::File::open("/dev/null").expect("opens");
    let cases: [(OwnedFd, &str, &str); 7] = [
        (datagrams.into(), BOTH, "socket 1 is not a stream socket"),
        (
            connection.into(),
            BOTH,
            "listen on a socket that was handed in",
        ),
        (file.into(), BOTH, "socket 1 is not a stream socket"),
        (
            listener(),
            "LISTEN_PID=$$ LISTEN_FDS=3",
            "socket 2 is not a stream socket",
        ),
        (listener(), "LISTEN_PID=$$ LISTEN_FDS=1025", "LISTEN_FDS"),
        (listener(), "LISTEN_PID=$$ LISTEN_FDS=-1", "LISTEN_FDS"),
        (listener(), "LISTEN_PID=$$ LISTEN_FDS=two", "LISTEN_FDS"),
    ];
    for (second, variables, says) in cases {
        let end = hand_over(listener(), second, variables, &["--listen", "127.0.0.1:0"]).end();
        assert_eq!((end.code, end.stderr.len()), (Some(1), 1), "{end:?}");
        assert!(end.stderr[0].contains(says), "{end:?}");
    }
}
