//! What the tests over the network share: a server in a thread, on a port of its own, and a client
//! that waits for the replies it expects, with a deadline and no sleeps.

// Each test binary uses a part of this.
#![allow(dead_code)]

pub mod http;
#[cfg(feature = "remote-write")]
pub mod json;
// Reads from /proc what a process uses.
#[cfg(all(feature = "daemon", target_os = "linux"))]
pub mod process;
// Processes, too.
#[cfg(all(feature = "daemon", feature = "remote-write", target_os = "linux"))]
pub mod receivers;

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use metricd::{Config, Server, StopHandle};

/// How long any one wait may take before the test fails: far more than is ever needed.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub const OK: &[u8] = b"ok\n\n";
pub const WRONG_COMMAND: &[u8] = b"error\nwrong command\n\n";

/// Says that a test is skipped, since a program that it takes is not installed.
///
/// # Panics
///
/// If `METRICD_REQUIRE_PEERS` is set.
pub fn skip_without(program: &str) {
    let is_required = env::var_os("METRICD_REQUIRE_PEERS").is_some();
    assert!(!is_required, "{program} is not installed");
    say(&format!("SKIPPED: {program} is not installed"));
}

/// Whether a program is installed; if not, the test is to be skipped.
///
/// # Panics
///
/// As [`skip_without`].
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let version = command.arg("--version").stdin(Stdio::null());
    let is_installed = version.output().is_ok();
    if !is_installed {
        skip_without(program);
    }
    is_installed
}

/// Prints a line, though what a test prints is otherwise only shown if it fails.
pub fn say(line: &str) {
    // Fails if standard error is closed, which does not matter to the test.
    writeln!(io::stderr(), "{line}").ok();
}

/// A server in a thread of this process, stopped when it is dropped.
pub struct Running {
    /// The first address that the server listens on.
    pub address: SocketAddr,
    /// All of them.
    pub addresses: Vec<SocketAddr>,
    /// Its Unix socket, which clients connect to if there is one.
    path: Option<PathBuf>,
    stop: StopHandle,
    /// Carries nothing: its sender is dropped when the thread ends.
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<Result<(), metricd::Error>>>,
}

impl Running {
    pub fn start() -> Running {
        Running::start_with(Config::default())
    }

    /// Starts a server with these limits, on a free port of 127.0.0.1, and on a Unix socket if that is
    /// what these tests are about.
    pub fn start_with(config: Config) -> Running {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let mut listen = vec!["127.0.0.1:0".into()];
        let path = (env!("CARGO_CRATE_NAME") == "wire_unix").then(|| {
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            temporary_path(&format!("wire-{number}.sock"))
        });
        listen.extend(path.iter().map(|path| unix_address(path).into()));
        let mut running = Running::start_listening(Config { listen, ..config });
        running.path = path;
        running
    }

    /// Starts a server on the addresses that the configuration names.
    pub fn start_listening(config: Config) -> Running {
        let (started, start) = mpsc::channel();
        let (ending, ended) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _until_the_thread_ends = ending;
            let server = Server::bind(config)?;
            let handle = server.stop_handle();
            started
                .send((addresses_of(&server), handle))
                .expect("the test waits for it");
            server.run().map(drop)
        });
        let (addresses, stop) = start.recv_timeout(DEADLINE).expect("the server starts");
        Running {
            address: addresses[0],
            addresses,
            path: None,
            stop,
            ended,
            thread: Some(thread),
        }
    }

    /// A new connection to the server, whose reads and writes fail after [`DEADLINE`].
    pub fn connect(&self) -> Client {
        match &self.path {
            Some(path) => Client::connect_unix(path),
            None => Client::connect(self.address),
        }
    }

    /// Asks the server to stop, as a signal would.
    pub fn stop(&self) {
        self.stop.stop();
    }

    pub fn is_running(&self) -> bool {
        matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Empty))
    }

    /// Waits until the server has stopped, and returns what `run` returned.
    #[track_caller]
    pub fn join(mut self) -> Result<(), metricd::Error> {
        let ended = self.ended.recv_timeout(DEADLINE);
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected), "stops");
        let thread = self.thread.take().expect("joined once");
        thread.join().expect("the server does not panic")
    }
}

/// A path in the folder for temporary files, which is short enough for a socket, for this process alone.
pub fn temporary_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("metricd-{}-{name}", std::process::id()))
}

/// A folder for one test, which is removed with this.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = temporary_path(&format!("{}-{number}", env!("CARGO_CRATE_NAME")));
        fs::create_dir(&path).expect("a new folder");
        Folder(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("a file").file_name();
        entries
            .map(|entry| name(entry).into_string().expect("a name"))
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is in the folder for temporary files.
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Checks cases at the same time, each on a thread of its own: for those that mostly wait.
pub fn all_at_once<T: Send>(cases: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || check(case));
        }
    });
}

/// Has this process log to its standard error what the program logs there by default.
pub fn log_to_standard_error() {
    struct Logger;
    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }
        fn log(&self, record: &log::Record) {
            say(&record.args().to_string());
        }
        fn flush(&self) {}
    }
    log::set_logger(&Logger).expect("the first logger");
    log::set_max_level(log::LevelFilter::Info);
}

/// Random numbers, the same for each seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) % end as u64) as usize
    }

    /// Lets others run for a random time.
    pub fn pause(&mut self, most: usize) {
        for _ in 0..self.below(most) {
            std::thread::yield_now();
        }
    }
}

/// The address of a Unix socket, as an option takes it.
pub fn unix_address(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Where a server listens on TCP.
pub fn addresses_of(server: &Server) -> Vec<SocketAddr> {
    let addresses = server.local_addrs().iter();
    addresses.filter_map(|address| address.tcp()).collect()
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.stop.stop();
        self.stop.stop();
        let ended = self.ended.recv_timeout(DEADLINE);
        if !std::thread::panicking() {
            assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected), "stops");
            thread
                .join()
                .expect("the server does not panic")
                .expect("the server runs until stopped");
        }
    }
}

/// A client whose failures say what went wrong, and whose waits end.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        TcpStream::connect_timeout(&address, DEADLINE)
            .expect("connects")
            .into()
    }

    pub fn connect_unix(path: impl AsRef<Path>) -> Client {
        UnixStream::connect(path).expect("connects").into()
    }

    fn with_timeouts(stream: TcpStream) -> Client {
        let deadline = Some(DEADLINE);
        stream.set_read_timeout(deadline).expect("takes a timeout");
        stream.set_write_timeout(deadline).expect("takes a timeout");
        Client { stream }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .expect("the server takes what is sent");
    }

    /// Waits for exactly these bytes.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        let mut buffer = vec![0; expected.len().min(64 << 10)];
        let mut missing = expected;
        while !missing.is_empty() {
            let most = missing.len().min(buffer.len());
            match again(|| self.stream.read(&mut buffer[..most])) {
                Ok(0) => panic!("closed, missing: \"{}\"", excerpt(missing, 0)),
                Ok(count) => {
                    assert_same(&buffer[..count], &missing[..count]);
                    missing = &missing[count..];
                }
                Err(error) => panic!("{error}, missing: \"{}\"", excerpt(missing, 0)),
            }
        }
    }

    /// Sends a request and waits for exactly this reply.
    #[track_caller]
    pub fn exchange(&mut self, request: &[u8], reply: &[u8]) {
        self.send(request);
        self.expect(reply);
    }

    /// Waits for one reply of any content, up to the blank line that ends it.
    #[track_caller]
    pub fn reply(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        let mut buffer = [0; 4096];
        while !reply.ends_with(b"\n\n") {
            let count = again(|| self.stream.read(&mut buffer)).expect("a reply");
            assert_ne!(count, 0, "closed after \"{}\"", excerpt(&reply, 0));
            reply.extend_from_slice(&buffer[..count]);
        }
        reply
    }

    /// What one read returns.
    #[track_caller]
    pub fn read_once(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 20];
        let count = again(|| self.stream.read(&mut buffer)).expect("something to read");
        buffer.truncate(count);
        buffer
    }

    /// Waits until there is something to read; false if it is the end.
    pub fn wait_for_input(&self) -> bool {
        again(|| self.stream.peek(&mut [0])).expect("something to read") > 0
    }

    /// Whether there is something to read, the end included.
    pub fn has_input(&self) -> bool {
        self.stream.set_nonblocking(true).expect("takes the mode");
        let peeked = again(|| self.stream.peek(&mut [0]));
        self.stream.set_nonblocking(false).expect("takes the mode");
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Returns when the server has had a whole turn of its loop since the call.
    #[track_caller]
    pub fn wait_for_a_turn(&mut self) {
        // The events of a turn come in any order, so it takes a second turn to be sure.
        for _ in 0..2 {
            self.exchange(b"get -\n", OK);
        }
    }

    /// Resets the connection, as closing a socket with unread input does.
    pub fn reset(self) {
        assert!(self.wait_for_input(), "closed by the server first");
    }

    /// Puts a series and asks for it, and returns the reply when it has begun: 3 MB, far more than
    /// the system and the server hold for a client that does not read.
    #[track_caller]
    pub fn begin_long_reply(&mut self) -> Vec<u8> {
        const POINTS: usize = 750;
        let key = "k".repeat(4_000);
        let lines = (0..POINTS).map(|at| format!("{key} 0.5 {at}\n"));
        let (puts, lines): (String, String) =
            lines.map(|line| (format!("put {line}"), line)).unzip();
        self.exchange(puts.as_bytes(), &OK.repeat(POINTS));
        self.send(format!("get {key}\n").as_bytes());
        assert!(self.wait_for_input());
        format!("ok\n{lines}\n").into_bytes()
    }

    pub fn shutdown_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shuts down");
    }

    /// Reads to the end.
    #[track_caller]
    pub fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream
            .read_to_end(&mut rest)
            .expect("the server closes in order");
        rest
    }

    /// Closes the sending side and reads to the end.
    #[track_caller]
    pub fn finish(self) -> Vec<u8> {
        self.shutdown_sending();
        self.rest()
    }

    /// Sends these pieces, each in a write of its own, and reads all replies at the same time, so
    /// that neither side waits for the other.
    pub fn converse<'a>(self, pieces: impl Iterator<Item = &'a [u8]> + Send) -> Vec<u8> {
        let mut sender = Client {
            stream: self.stream.try_clone().expect("a second handle"),
        };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for piece in pieces {
                    sender.send(piece);
                }
                sender.shutdown_sending();
            });
            self.rest()
        })
    }
}

impl From<TcpStream> for Client {
    fn from(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("takes nodelay");
        Client::with_timeouts(stream)
    }
}

impl From<UnixStream> for Client {
    fn from(stream: UnixStream) -> Client {
        // All that is called is the same for either kind of socket.
        Client::with_timeouts(OwnedFd::from(stream).into())
    }
}

/// Fails unless both are the same bytes, and shows only the part where they first differ.
#[track_caller]
pub fn assert_same(received: &[u8], expected: &[u8]) {
    if received != expected {
        let pairs = received.iter().zip(expected);
        let at = pairs.take_while(|(one, other)| one == other).count();
        panic!(
            "received \"{}\", expected \"{}\" (byte {at} of {} and {})",
            excerpt(received, at),
            excerpt(expected, at),
            received.len(),
            expected.len(),
        );
    }
}

/// Whether this process may have so many files open.
pub fn may_open_files(count: u64) -> bool {
    let limit = Command::new("sh")
        .args(["-c", "ulimit -n"])
        .output()
        .expect("a shell");
    let limit = String::from_utf8_lossy(&limit.stdout).trim().to_string();
    limit == "unlimited" || limit.parse::<u64>().expect("a number") >= count
}

/// Runs a test of this binary, by its full name, in a process that may have so many files open.
#[track_caller]
pub fn run_with_open_files(count: u64, test: &str) {
    let this = std::env::current_exe().expect("the path of the tests");
    let run = Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -n {count} && exec \"$0\" --exact \"$1\""),
        ])
        .args([this.as_os_str(), test.as_ref()])
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

/// Repeats a call that was interrupted, as calls with a timeout are when the process is suspended
/// and resumed.
pub fn again<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Bytes as messages show them.
pub fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The bytes around a position, as messages show them.
fn excerpt(bytes: &[u8], at: usize) -> String {
    let part = &bytes[at.saturating_sub(60)..bytes.len().min(at + 200)];
    show(part)
}
