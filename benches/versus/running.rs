//! A server that runs: started anew for each figure, killed when it has been taken.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::inlet::Inlet;
use crate::process;
use crate::scratch::{self, Scratch};
use crate::servers::{NOTHING, Readiness, Server};

const START_TIMEOUT: Duration = Duration::from_secs(15);
const START_POLL_INTERVAL: Duration = Duration::from_millis(5);
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(15);
const ACCEPT_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Times that a server is started before it counts as one that does not start: between the
/// choice of a free port and its use, another program may take it.
const START_ATTEMPTS: usize = 3;

/// Connections opened before the server is waited for: fewer than the shortest accept queue
/// in use (50, Twisted's), because a full one drops connections and delays them by seconds.
const CONNECTIONS_AT_ONCE: usize = 32;

/// Last lines of a server's log that are kept, to be shown when it fails.
const LOG_LINES_KEPT: usize = 4;

impl Server {
    /// Starts it anew, empty, on a port of its own.
    pub fn start(&self) -> Result<Running, String> {
        let mut outcome = self.start_once();
        for _ in 1..START_ATTEMPTS {
            if outcome.is_err() {
                outcome = self.start_once();
            }
        }
        outcome.map_err(|error| format!("{} does not start: {error}", self.name))
    }

    fn start_once(&self) -> Result<Running, String> {
        let place = Place::new().map_err(|error| format!("no port or folder: {error}"))?;
        for (name, text) in self.files {
            let path = place.scratch.path().join(name);
            fs::write(&path, place.fill_in(text))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let mut child = Command::new(&self.program)
            .args(self.arguments.iter().map(|word| place.fill_in(word)))
            .envs(self.environment.iter().copied())
            .current_dir(place.scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(Killed)
            .map_err(|error| format!("{}: {error}", self.program))?;
        let log = Log::default();
        let (announce, announced) = mpsc::channel();
        let on_output = self.readiness == Readiness::AnnouncedOnOutput;
        if let Some(output) = child.0.stdout.take() {
            follow(output, log.clone(), on_output.then(|| announce.clone()));
        }
        if let Some(errors) = child.0.stderr.take() {
            follow(errors, log.clone(), (!on_output).then_some(announce));
        }
        let address = match self.readiness {
            Readiness::Accepts => {
                let ports = &place.ports[..1 + usize::from(self.inlet.is_some())];
                let accepting = ports.iter().try_for_each(|port| child.await_port(*port));
                accepting.map(|()| local(place.ports[0]))
            }
            _ => announced.recv_timeout(START_TIMEOUT).map_err(not_announced),
        };
        let address = address.map_err(|error| format!("{error}; {}", log.text()))?;
        let inlet = self
            .inlet
            .map(|kind| Inlet::new(kind, local(place.ports[1])));
        Ok(Running {
            process_id: child.0.id(),
            _child: child,
            _scratch: place.scratch,
            address,
            inlet,
            log,
        })
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn not_announced(error: RecvTimeoutError) -> String {
    match error {
        RecvTimeoutError::Timeout => "it never said where it listens".into(),
        RecvTimeoutError::Disconnected => "it ended".into(),
    }
}

/// What a server that chooses no port of its own is given, in place of the words in braces.
struct Place {
    ports: [u16; 2],
    scratch: Scratch,
}

impl Place {
    fn new() -> io::Result<Place> {
        Ok(Place {
            ports: scratch::two_free_ports()?,
            scratch: Scratch::new()?,
        })
    }

    fn fill_in(&self, text: &str) -> String {
        let folder = self.scratch.path();
        text.replace("{port}", &self.ports[0].to_string())
            .replace("{query_port}", &self.ports[1].to_string())
            .replace("{folder}", &folder.to_string_lossy())
            .replace(NOTHING, "")
    }
}

/// A started server. It is killed when this goes, whatever the way out.
pub struct Running {
    pub process_id: u32,
    pub address: SocketAddr,
    /// Where a server that answers no put is asked what it has.
    pub inlet: Option<Inlet>,
    pub log: Log,
    _child: Killed,
    /// After the child, which writes into it as long as it lives.
    _scratch: Scratch,
}

/// A child process that does not outlive its handle.
struct Killed(Child);

impl Killed {
    fn await_port(&mut self, port: u16) -> Result<(), String> {
        let begin = Instant::now();
        while TcpStream::connect_timeout(&local(port), START_TIMEOUT).is_err() {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            if begin.elapsed() > START_TIMEOUT {
                return Err(format!("it does not listen on port {port}"));
            }
            thread::sleep(START_POLL_INTERVAL);
        }
        Ok(())
    }
}

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
        let text = lines.map_or_else(
            |_| String::new(),
            |lines| Vec::from(lines.clone()).join(" | "),
        );
        match text.is_empty() {
            true => "it logged nothing".into(),
            false => format!("it logged last: {text}"),
        }
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
