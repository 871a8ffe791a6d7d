//! The real server, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use crate::process;

const START_TIMEOUT: Duration = Duration::from_secs(15);

/// A server is at rest when its memory is the same and it did not run from one look to the next.
const REST_INTERVAL: Duration = Duration::from_millis(100);
const REST_RUNNING_MOST: Duration = Duration::from_millis(1);
const REST_TIMEOUT: Duration = Duration::from_secs(20);

/// A started server. It is killed when this goes, whatever the way out.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Resident memory when it had just started.
    start_bytes: f64,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Either fails only where the process has already ended and been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Server {
    /// Starts it empty, on a port of its own choice.
    pub fn start() -> Result<Server, String> {
        let program = env!("CARGO_BIN_EXE_metricd");
        let child = Command::new(program)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program} does not start: {error}"))?;
        // From here on the process is killed when this function fails.
        let mut server = Server {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            start_bytes: 0.0,
        };
        let (announce, announced) = mpsc::channel();
        if let Some(errors) = server.child.stderr.take() {
            thread::spawn(move || follow(errors, &announce));
        }
        server.address = announced
            .recv_timeout(START_TIMEOUT)
            .map_err(|_| format!("{program} never said where it listens"))?;
        server.start_bytes = server.resident_bytes()?;
        Ok(server)
    }

    pub fn connect(&self) -> Result<Client, String> {
        Client::connect(self.address)
    }

    /// Processor time since it started, to the nanosecond.
    pub fn cpu_seconds(&self) -> Result<f64, String> {
        let time = process::cpu_time(self.child.id())?;
        Ok(time.running.as_secs_f64())
    }

    /// Resident memory over that at the start, once it has nothing more to do.
    pub fn growth_bytes(&self) -> Result<f64, String> {
        Ok(self.resident_bytes()? - self.start_bytes)
    }

    /// Resident memory, once it has nothing more to do.
    pub fn resident_bytes(&self) -> Result<f64, String> {
        let begin = Instant::now();
        let mut before = process::memory(self.child.id())?.resident_bytes;
        while begin.elapsed() < REST_TIMEOUT {
            let time_before = process::cpu_time(self.child.id())?.running;
            thread::sleep(REST_INTERVAL);
            let bytes = process::memory(self.child.id())?.resident_bytes;
            let time = process::cpu_time(self.child.id())?.running;
            if bytes == before && time.saturating_sub(time_before) < REST_RUNNING_MOST {
                return Ok(bytes as f64);
            }
            before = bytes;
        }
        let seconds = REST_TIMEOUT.as_secs();
        Err(format!("the server does not come to rest in {seconds} s"))
    }
}

/// Reads a log to its end, because a pipe that fills up might stop the server; passes its
/// address on and all other lines to standard error.
fn follow(log: ChildStderr, announce: &Sender<SocketAddr>) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        let address = line
            .rsplit_once("listening on ")
            .and_then(|(_, address)| address.trim().parse().ok());
        match address {
            // Nobody waits for a second address.
            Some(address) => drop(announce.send(address)),
            None => eprintln!("{line}"),
        }
    }
}
