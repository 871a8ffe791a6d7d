//! The servers side by side: what each is called, how it is started, what it cannot do.
//!
//! A further peer is a further `Server` here and, where it speaks something else, a `Dialect`.

use std::collections::VecDeque;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::dialect::{Dialect, LINES};
use crate::process;

/// The hidden first argument under which this program is the ceiling.
pub const CEILING_ARGUMENT: &str = "--ceiling";

const START_TIMEOUT: Duration = Duration::from_secs(15);
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(15);
const ACCEPT_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Connections opened before the server is waited for: fewer than the shortest accept queue
/// in use (100, asyncio's), because a full one drops connections and delays them by seconds.
const CONNECTIONS_AT_ONCE: usize = 64;

/// Last lines of a server's log that are kept, to be shown when it fails.
const LOG_LINES_KEPT: usize = 10;

/// What a case needs that not every server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Pipelining,
    Reading,
}

pub struct Server {
    pub name: &'static str,
    program: String,
    arguments: Vec<String>,
    environment: &'static [(&'static str, &'static str)],
    announces_on: Announcement,
    pub dialect: &'static Dialect,
    /// With the reason, for the reader of the table.
    pub cannot: &'static [(Need, &'static str)],
}

/// Where a server that chose its own port says `listening on HOST:PORT`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announcement {
    StandardOutput,
    StandardError,
}

/// All servers that this machine can run, metricd first, and a line for each that it cannot.
pub fn all() -> Result<(Vec<Server>, Vec<String>), String> {
    let mut missing = Vec::new();
    let mut servers = vec![metricd(), ceiling()?];
    match reference() {
        Ok(server) => servers.push(server),
        Err(reason) => missing.push(format!("reference: left out, {reason}")),
    }
    Ok((servers, missing))
}

fn metricd() -> Server {
    Server {
        name: "metricd",
        program: env!("CARGO_BIN_EXE_metricd").into(),
        arguments: vec!["--listen".into(), "127.0.0.1:0".into()],
        environment: &[],
        announces_on: Announcement::StandardError,
        dialect: &LINES,
        cannot: &[],
    }
}

fn ceiling() -> Result<Server, String> {
    let program = env::current_exe().map_err(|error| format!("no path of my own: {error}"))?;
    Ok(Server {
        name: "ceiling",
        program: program.to_string_lossy().into_owned(),
        arguments: vec![CEILING_ARGUMENT.into()],
        environment: &[],
        announces_on: Announcement::StandardError,
        dialect: &LINES,
        cannot: &[(Need::Reading, "keeps no points")],
    })
}

/// The state that glibc's malloc reaches by itself once a process has freed a block of 32 MiB,
/// as a `get *` makes the reference do. Before that, each of the 256 KiB buffers that asyncio
/// receives into is mapped and unmapped anew, for three times the cost of a request: a matter
/// of how long ago it was started, and no merit of another server.
const SETTLED_MALLOC: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TRIM_THRESHOLD_", "67108864"),
];

fn reference() -> Result<Server, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/asyncio_reference.py");
    if !Path::new(script).exists() {
        return Err(format!("no {script}"));
    }
    let version = Command::new("python3").arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Err("python3 does not run".into());
    }
    Ok(Server {
        name: "reference",
        program: "python3".into(),
        arguments: vec![script.into(), "127.0.0.1".into(), "0".into()],
        environment: &SETTLED_MALLOC,
        announces_on: Announcement::StandardOutput,
        dialect: &LINES,
        cannot: &[(
            Need::Pipelining,
            "takes all that one read gives for one request",
        )],
    })
}

impl Server {
    pub fn command_line(&self) -> String {
        let mut words = Vec::new();
        for (name, value) in self.environment {
            words.push(format!("{name}={value}"));
        }
        words.push(self.program.clone());
        words.extend(self.arguments.iter().cloned());
        words.join(" ")
    }

    /// Why the server cannot do a case that needs these, if so.
    pub fn reason_against(&self, needs: &[Need]) -> Option<&'static str> {
        let reason = self.cannot.iter().find(|(need, _)| needs.contains(need));
        reason.map(|(_, reason)| *reason)
    }

    pub fn can(&self, need: Need) -> bool {
        self.reason_against(&[need]).is_none()
    }

    /// Starts it anew, empty, on a port of its own choice.
    pub fn start(&self) -> Result<Running, String> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(Killed)
            .map_err(|error| format!("{} does not start: {error}", self.program))?;
        let log = Log::default();
        let (announce, announced) = mpsc::channel();
        let on_output = self.announces_on == Announcement::StandardOutput;
        if let Some(output) = child.0.stdout.take() {
            follow(output, log.clone(), on_output.then(|| announce.clone()));
        }
        if let Some(errors) = child.0.stderr.take() {
            follow(errors, log.clone(), (!on_output).then_some(announce));
        }
        let address = announced.recv_timeout(START_TIMEOUT).map_err(|_| {
            let said = log.text();
            format!("{} never said where it listens: {said}", self.name)
        })?;
        Ok(Running {
            process_id: child.0.id(),
            _child: child,
            address,
            log,
        })
    }
}

/// A started server. It is killed when this goes, whatever the way out.
pub struct Running {
    pub process_id: u32,
    pub address: SocketAddr,
    pub log: Log,
    _child: Killed,
}

/// A child process that does not outlive its handle.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Either fails only where the process has already ended and been waited for.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Running {
    /// Opens connections and returns when the server has accepted them all.
    pub fn connect(&self, count: usize) -> Result<Vec<TcpStream>, String> {
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            for _ in 0..CONNECTIONS_AT_ONCE.min(count - streams.len()) {
                let stream = TcpStream::connect_timeout(&self.address, ACCEPT_TIMEOUT)
                    .map_err(|error| format!("connection {}: {error}", streams.len() + 1))?;
                stream
                    .set_nodelay(true)
                    .map_err(|error| format!("TCP_NODELAY: {error}"))?;
                streams.push(stream);
            }
            self.await_accepted()?;
        }
        Ok(streams)
    }

    fn await_accepted(&self) -> Result<(), String> {
        let begin = Instant::now();
        while process::accept_queue(self.address.port())? > 0 {
            if begin.elapsed() > ACCEPT_TIMEOUT {
                return Err("connections are not accepted".into());
            }
            thread::sleep(ACCEPT_POLL_INTERVAL);
        }
        Ok(())
    }
}

/// The last lines that a server logged.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn add(&self, line: String) {
        if let Ok(mut lines) = self.0.lock() {
            if lines.len() == LOG_LINES_KEPT {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    pub fn text(&self) -> String {
        let lines = self.0.lock();
        lines.map_or_else(
            |_| String::new(),
            |lines| Vec::from(lines.clone()).join(" | "),
        )
    }
}

/// Reads a server's output on a thread, to its end: a pipe that fills up would stop the server.
fn follow(output: impl Read + Send + 'static, log: Log, announce: Option<Sender<SocketAddr>>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let address = line
                .rsplit_once("listening on ")
                .and_then(|(_, address)| address.trim().parse().ok());
            if let (Some(announce), Some(address)) = (&announce, address) {
                // Nobody waits for a second address.
                announce.send(address).ok();
            }
            log.add(line);
        }
    });
}
