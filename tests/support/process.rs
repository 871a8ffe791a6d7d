//! The program as a process of its own.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Client, DEADLINE, OK};

pub const METRICD: &str = env!("CARGO_BIN_EXE_metricd");

/// A running process of the program. Killed when this is dropped.
pub struct Process {
    pub pid: u32,
    ended: mpsc::Receiver<ExitStatus>,
    has_ended: bool,
    stdout: mpsc::Receiver<String>,
    stderr: mpsc::Receiver<String>,
}

/// What a process that has ended leaves.
#[derive(Debug)]
pub struct End {
    /// `None` if a signal killed it.
    pub code: Option<i32>,
    pub stdout: Vec<String>,
    /// The lines that were not read before.
    pub stderr: Vec<String>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Process {
        Process::spawn_logging(command, Stdio::piped(), usize::MAX)
    }

    /// Reads at most so many lines of its standard error, if that is a pipe, and then closes it.
    pub fn spawn_logging(command: &mut Command, stderr: Stdio, most_lines: usize) -> Process {
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(stderr);
        Process::spawn_as_told(command, most_lines)
    }

    /// With the standard streams that the command has.
    pub fn spawn_as_told(command: &mut Command, most_lines: usize) -> Process {
        // Those that are for the tests would be taken for options.
        for (variable, _) in env::vars_os() {
            let is_set = command.get_envs().any(|(set, _)| set == variable);
            if variable.to_string_lossy().starts_with("METRICD_") && !is_set {
                command.env_remove(variable);
            }
        }
        let mut child = command.spawn().expect("the program can be started");
        let stdout = lines_of(child.stdout.take(), usize::MAX);
        let stderr = lines_of(child.stderr.take(), most_lines);
        let pid = child.id();
        let (ending, ended) = mpsc::channel();
        // The receiver is gone only if the test has failed.
        thread::spawn(move || ending.send(child.wait().expect("can be waited for")).ok());
        Process {
            pid,
            ended,
            has_ended: false,
            stdout,
            stderr,
        }
    }

    /// The next line on standard error, or `None` if that is closed.
    #[track_caller]
    pub fn log_line(&self) -> Option<String> {
        next_line(&self.stderr)
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.try_signal(signal).expect("the process runs");
    }

    pub fn try_signal(&self, signal: Signal) -> rustix::io::Result<()> {
        kill_process(self.pid(), signal)
    }

    /// Waits until it ends.
    #[track_caller]
    pub fn end(mut self) -> End {
        let status = self.ended.recv_timeout(DEADLINE).expect("ends");
        self.has_ended = true;
        End {
            code: status.code(),
            stdout: std::iter::from_fn(|| next_line(&self.stdout)).collect(),
            stderr: std::iter::from_fn(|| next_line(&self.stderr)).collect(),
        }
    }

    /// Ends it as `kill -9` does, unless it has ended.
    #[track_caller]
    pub fn kill(self) -> End {
        // Fails if it has ended by itself.
        self.try_signal(Signal::KILL).ok();
        self.end()
    }

    /// What it has counted so far, as it says in its log when it is asked.
    #[track_caller]
    pub fn counts(&self) -> HashMap<String, u64> {
        self.signal(Signal::USR1);
        let mut counts = HashMap::new();
        while !counts.contains_key("loop_turns") {
            let line = self.log_line().expect("runs");
            let pairs = line.split(' ').filter_map(|word| word.split_once('='));
            counts
                .extend(pairs.filter_map(|(name, count)| Some((name.into(), count.parse().ok()?))));
        }
        counts
    }

    /// Its identifier.
    pub fn pid(&self) -> Pid {
        let pid = self.pid.try_into().ok().and_then(Pid::from_raw);
        pid.expect("a process identifier")
    }

    /// Asks it to stop, and expects status 0.
    #[track_caller]
    pub fn stop(self) -> End {
        self.signal(Signal::TERM);
        let end = self.end();
        assert_eq!(end.code, Some(0), "{end:?}");
        end
    }

    /// A field of `/proc/PID/status`.
    pub fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("runs");
        field(&status, name)
    }

    /// The most memory that it has used so far.
    pub fn peak_kib(&self) -> u64 {
        let peak = self.status("VmHWM");
        let number = peak.split_whitespace().next().expect("a value");
        number.parse().expect("a number")
    }

    /// Whether it has a handler for a signal.
    pub fn catches(&self, signal: Signal) -> bool {
        let mask = u64::from_str_radix(&self.status("SigCgt"), 16).expect("a mask");
        mask >> (signal.as_raw() - 1) & 1 == 1
    }

    /// Of each of its threads the state, and how often it has given up the processor so far: to wait,
    /// or because the system took it away.
    pub fn activity(&self) -> Vec<[String; 3]> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).expect("runs");
        let status = |thread: &Path| fs::read_to_string(thread.join("status")).expect("runs");
        let threads = threads.map(|thread| status(&thread.expect("a thread").path()));
        let fields = [
            "State",
            "voluntary_ctxt_switches",
            "nonvoluntary_ctxt_switches",
        ];
        threads
            .map(|status| fields.map(|name| field(&status, name)))
            .collect()
    }

    /// Waits until it sleeps for 200 ms without a break, which pass in round trips to another
    /// process. A process that polls, or that has a timer for each 200 ms or less, never does.
    #[track_caller]
    pub fn wait_until_it_sleeps(&self) {
        let other = Daemon::start(&[]);
        let mut client = other.connect();
        let start = Instant::now();
        loop {
            let (before, began) = (self.activity(), Instant::now());
            while began.elapsed() < Duration::from_millis(200) {
                client.exchange(b"get -\n", OK);
            }
            let after = self.activity();
            let all_sleep = after.iter().all(|[state, ..]| state.starts_with('S'));
            if all_sleep && after == before {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "{before:?}, {after:?}");
        }
    }

    /// The address on which it listens, from the system, for a process whose log is not read.
    pub fn address_from_system(&self) -> SocketAddr {
        self.wait_for("listens", Process::listening_socket)
    }

    /// Repeats the question until there is an answer.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, answer: impl Fn(&Process) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(answer) = answer(self) {
                return answer;
            }
            assert!(start.elapsed() < DEADLINE, "waited for: {what}");
            thread::yield_now();
        }
    }

    pub fn listening_socket(&self) -> Option<SocketAddr> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?;
        let sockets: Vec<String> = descriptors
            .filter_map(|entry| {
                fs::read_link(entry.ok()?.path())
                    .ok()?
                    .into_os_string()
                    .into_string()
                    .ok()
            })
            .collect();
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.pid)).ok()?;
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, port) = fields.get(1)?.split_once(':')?;
            let port = u16::from_str_radix(port, 16).ok()?;
            let listens = fields.get(3)? == &"0A"
                && sockets.contains(&format!("socket:[{}]", fields.get(9)?));
            listens.then(|| SocketAddr::from(([127, 0, 0, 1], port)))
        })
    }
}

/// A field of a file of `/proc` that has one a line.
fn field(status: &str, name: &str) -> String {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.expect("the field").trim().to_string()
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended && self.ended.try_recv().is_err() {
            // Fails if it has ended by itself just now.
            self.try_signal(Signal::KILL).ok();
        }
        if !thread::panicking() {
            // Each line is checked for a panic as it is read.
            while next_line(&self.stderr).is_some() {}
        }
    }
}

/// The lines of a pipe as they come; none if there is no pipe.
fn lines_of(pipe: Option<impl Read + Send + 'static>, most: usize) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let Some(pipe) = pipe else {
        return receiver;
    };
    thread::spawn(move || {
        let lines = BufReader::new(pipe).split(b'\n').map_while(Result::ok);
        for line in lines.take(most) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

#[track_caller]
fn next_line(lines: &mpsc::Receiver<String>) -> Option<String> {
    match lines.recv_timeout(DEADLINE) {
        Ok(line) => {
            let defect = line.contains("panicked at") || line.contains("stack backtrace");
            assert!(!defect, "{line}");
            Some(line)
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line, and not the end"),
    }
}

/// A process that listens, and the address from its log.
pub struct Daemon {
    pub process: Process,
    pub address: SocketAddr,
}

impl Daemon {
    /// Starts it on a free port.
    #[track_caller]
    pub fn start(options: &[&str]) -> Daemon {
        Daemon::start_as(
            Command::new(METRICD)
                .args(["--listen", "127.0.0.1:0"])
                .args(options),
        )
    }

    /// Starts it from a shell that runs this first.
    #[track_caller]
    pub fn start_after(shell: &str) -> Daemon {
        Daemon::start_as(&mut through_shell(shell, ""))
    }

    #[track_caller]
    pub fn start_as(command: &mut Command) -> Daemon {
        let process = Process::spawn(command);
        let address = listening_line(&process);
        Daemon { process, address }
    }

    /// Starts a process, and returns it when it listens, with the lines that it logged before.
    #[track_caller]
    pub fn start_hearing(command: &mut Command) -> (Daemon, Vec<String>) {
        let process = Process::spawn(command);
        let mut said = Vec::new();
        loop {
            let Some(line) = process.log_line() else {
                panic!("it ends, and says {said:?}");
            };
            match line.rsplit_once("listening on ") {
                Some((_, address)) => {
                    let address = address.parse().expect("an address");
                    return (Daemon { process, address }, said);
                }
                None => said.push(line),
            }
        }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A client whose long reply has begun, with the whole of that reply.
    pub fn reader_of_a_long_reply(&self) -> (Client, Vec<u8>) {
        let mut reader = self.connect();
        let reply = reader.begin_long_reply();
        (reader, reply)
    }
}

/// Reads the next line of the log, which must say where the process listens on TCP.
#[track_caller]
pub fn listening_line(process: &Process) -> SocketAddr {
    let address = listening_text(process);
    address.parse().unwrap_or_else(|_| panic!("{address}"))
}

/// Reads the next line of the log, which must say where the process listens.
#[track_caller]
pub fn listening_text(process: &Process) -> String {
    let line = process.log_line().expect("listens");
    let address = line.rsplit_once("listening on ");
    address.unwrap_or_else(|| panic!("{line}")).1.into()
}

/// The program on a free port, started by a shell that runs `first`, with these redirections.
pub fn through_shell(first: &str, redirections: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first} exec \"$0\" \"$@\" {redirections}")]);
    command.args([METRICD, "--listen", "127.0.0.1:0"]);
    command
}
