//! The real server, as a child process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

const TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A server that slept for so long has nothing to do.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);

const SECOND_SIGNAL_AFTER: Duration = Duration::from_millis(300);

/// A started server. It is killed when this is dropped.
pub struct Daemon {
    child: Child,
    pub address: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only where the process has already ended and been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Daemon {
    /// Starts it empty, on a port of its own choice.
    pub fn start(program: &Path, stop_timeout_seconds: u32) -> Result<Daemon> {
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--connection-limit", "20000"]);
        command.args(["--stop-timeout", &stop_timeout_seconds.to_string()]);
        let child = command.stderr(Stdio::piped()).spawn()?;
        let address = ([127, 0, 0, 1], 0).into();
        let mut daemon = Daemon { child, address };
        let log = daemon.child.stderr.take().ok_or("no standard error")?;
        let (announce, announced) = mpsc::channel();
        // Reads to the end, because a pipe that fills up might stop the server.
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(|line| line.ok()) {
                let address = line.rsplit(' ').next().and_then(|word| word.parse().ok());
                // Nobody waits for a second address.
                address.map(|address| announce.send(address).ok());
            }
        });
        let address = announced.recv_timeout(TIMEOUT);
        daemon.address = address.map_err(|_| "the server does not say where it listens")?;
        Ok(daemon)
    }

    fn status(&self) -> Result<String> {
        let path = format!("/proc/{}/status", self.child.id());
        Ok(fs::read_to_string(path)?)
    }

    /// Time so far in which it ran.
    pub fn running(&self) -> Duration {
        schedule(&self.child.id().to_string(), 0)
    }

    /// Time so far in which it was ready to run and had no core.
    pub fn delay(&self) -> Duration {
        schedule(&self.child.id().to_string(), 1)
    }

    /// A size in `/proc/PID/status`: `VmRSS` is what is resident, `VmHWM` the most that ever was.
    pub fn megabytes(&self, field: &str) -> Result<f64> {
        let status = self.status()?;
        let line = status.lines().find(|line| line.starts_with(field));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kibibytes.ok_or("no size of memory")?.parse::<f64>()? * 1024.0 / 1e6)
    }

    /// Its connections, and for each the kilobytes that wait in the system to be sent.
    pub fn connections(&self) -> Result<(usize, f64)> {
        const ESTABLISHED: &str = "01";
        let local_port = format!(":{:04X}", self.address.port());
        let (mut count, mut bytes) = (0, 0);
        for line in fs::read_to_string("/proc/net/tcp")?.lines() {
            // Number, local address, remote address, state, queues of bytes sent and received.
            let fields: Vec<&str> = line.split_whitespace().take(5).collect();
            if fields[1].ends_with(&local_port) {
                count += usize::from(fields[3] == ESTABLISHED);
                bytes += u64::from_str_radix(&fields[4][..8], 16)?;
            }
        }
        Ok((count, bytes as f64 / count.max(1) as f64 / 1e3))
    }

    /// Waits until it has nothing more to do.
    pub fn settle(&self) -> Result<()> {
        let (begin, mut before) = (Instant::now(), String::new());
        while begin.elapsed() < TIMEOUT {
            // This counts how often it began to sleep.
            let status = self.status()?;
            if status == before && status.contains("(sleeping)") {
                return Ok(());
            }
            before = status;
            thread::sleep(SETTLE_INTERVAL);
        }
        Err("the server does not come to rest".into())
    }

    /// Sends SIGTERM, once or twice, and says how long after the last one the process ended, or
    /// that it did not for as long as one waits; and the same by the clock.
    pub fn stop(mut self, signals: u32) -> Result<(Duration, Duration)> {
        let pid = Pid::from_raw(self.child.id() as i32).ok_or("no process id")?;
        for _ in 1..signals {
            kill_process(pid, Signal::TERM)?;
            thread::sleep(SECOND_SIGNAL_AFTER);
        }
        let (begin, before) = (Instant::now(), self.delay());
        // It may have ended: until it is waited for, the process id is still its own.
        kill_process(pid, Signal::TERM)?;
        loop {
            let (took, delayed) = (begin.elapsed(), self.delay().saturating_sub(before));
            match self.child.try_wait()? {
                None if took < TIMEOUT => thread::sleep(POLL_INTERVAL),
                None => return Ok((took, took)),
                Some(status) if !status.success() => return Err(status.to_string().into()),
                Some(_) => return Ok((took.saturating_sub(delayed), took)),
            }
        }
    }
}

/// Time so far in which a process or thread ran, field 0, or was ready to run and had no core, field
/// 1: that is the machine's doing, not the server's. Zero where the system does not tell.
pub fn schedule(process: &str, field: usize) -> Duration {
    let schedule = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap_or_default();
    let nanoseconds = schedule.split_whitespace().nth(field).unwrap_or("0");
    Duration::from_nanos(nanoseconds.parse().unwrap_or(0))
}
