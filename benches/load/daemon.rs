//! The real server, as a child process.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::process::Process;

const TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A server that slept for so long has nothing to do.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);

const SECOND_SIGNAL_AFTER: Duration = Duration::from_millis(300);

/// A started server.
pub struct Daemon {
    pub process: Process,
}

impl Daemon {
    /// Starts it empty, on a port of its own choice.
    pub fn start(options: &[&str]) -> Result<Daemon> {
        let process = Process::metricd(["--connection-limit", "20000"].iter().chain(options))?;
        Ok(Daemon { process })
    }

    /// One of the numbers that it counts.
    pub fn count(&self, name: &str) -> Result<f64> {
        kill_process(Pid::from_child(&self.process.child), Signal::USR1)?;
        // This is in the last line of a report.
        let report = self.process.log_until("loop_turns=")?;
        let number = |word: &str| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        let mut words = report.split_whitespace();
        words.find_map(number).context("no such count")
    }

    fn status(&self) -> Result<String> {
        let path = format!("/proc/{}/status", self.process.child.id());
        Ok(fs::read_to_string(path)?)
    }

    /// A size in `/proc/PID/status`: `VmRSS` is what is resident, `VmHWM` the most that ever was.
    pub fn megabytes(&self, field: &str) -> Result<f64> {
        let status = self.status()?;
        let line = status.lines().find(|line| line.starts_with(field));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kibibytes.context("no size of memory")?.parse::<f64>()? * 1024.0 / 1e6)
    }

    /// Its connections, and for each the kilobytes that wait in the system to be sent.
    pub fn connections(&self) -> Result<(usize, f64)> {
        const ESTABLISHED: &str = "01";
        let local_port = format!(":{:04X}", self.process.address.port());
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
        bail!("the server does not come to rest")
    }

    /// Sends SIGTERM, once or twice, and says how long after the last one the process ended, or
    /// that it did not for as long as one waits; and the same by the clock.
    pub fn stop(mut self, signals: u32) -> Result<(Duration, Duration)> {
        let pid = Pid::from_child(&self.process.child);
        for _ in 1..signals {
            kill_process(pid, Signal::TERM)?;
            thread::sleep(SECOND_SIGNAL_AFTER);
        }
        // For how long it has been ready to run and had no core: that is the machine's doing.
        let delay = |process: &Process| process.cpu().map_or(0.0, |cpu| cpu.waiting);
        let (begin, before) = (Instant::now(), delay(&self.process));
        let mut delayed = 0.0;
        // It may have ended: until it is waited for, the process id is still its own.
        kill_process(pid, Signal::TERM)?;
        loop {
            let took = begin.elapsed();
            delayed = f64::max(delayed, delay(&self.process) - before);
            match self.process.child.try_wait()? {
                None if took < TIMEOUT => thread::sleep(POLL_INTERVAL),
                None => return Ok((took, took)),
                Some(status) if !status.success() => bail!("{status}"),
                Some(_) => {
                    return Ok((
                        took.mul_f64(1.0 - (delayed / took.as_secs_f64()).min(1.0)),
                        took,
                    ));
                }
            }
        }
    }
}
