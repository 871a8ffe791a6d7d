//! Hostile clients: any number of them, driven by one thread.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::daemon::Daemon;
use crate::support::client::shown;

pub const OK: &str = "ok\n\n";

/// Lines that are sent without end are repeated to at least this, because one system call must
/// send many of them.
const CYCLE_BYTES: usize = 64 << 10;

/// Requests that a client has sent and not seen answered: more than the server reads in a turn,
/// too little for a thousand clients to fill the machine's memory.
const WINDOW_BYTES: u64 = 128 << 10;

const READ_BYTES: usize = 256 << 10;
const TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_micros(100);

/// What each client sends, and what it must get; both come round so many times.
#[derive(Clone)]
pub struct Script {
    pub request: String,
    /// Empty: clients read nothing.
    pub reply: String,
    pub cycles: u64,
}

impl Script {
    pub fn once(request: String, reply: String) -> Script {
        Script {
            request,
            reply,
            cycles: 1,
        }
    }

    /// Lines without end, each of them answered by the same reply.
    pub fn endless(lines: &str, reply: &str) -> Script {
        let request = lines.repeat(1 + CYCLE_BYTES / lines.len());
        let mut script = Script::once(request, String::new());
        script.reply = reply.repeat(script.request.lines().count());
        script.cycles = u32::MAX.into();
        script
    }

    /// A point for each of the series at each of the timestamps, series by series.
    pub fn puts(series: Range<u32>, timestamps: Range<u32>, value: &str) -> Script {
        let reply = OK.repeat(series.len() * timestamps.len());
        let put = |key, at| format!("put k{key:07x} {value} {at}\n");
        let puts = |key| timestamps.clone().map(move |at| put(key, at));
        Script::once(series.flat_map(puts).collect(), reply)
    }

    /// What `get *` returns after these puts.
    pub fn points(&self) -> String {
        format!("ok\n{}\n", self.request.replace("put ", ""))
    }
}

pub struct Crowd {
    pub script: Script,
    clients: Vec<Client>,
}

struct Client {
    stream: TcpStream,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Crowd {
    pub fn connect(daemon: &Daemon, count: u32, script: Script) -> Result<Crowd> {
        let connect = |_| {
            let stream = TcpStream::connect_timeout(&daemon.process.address, TIMEOUT)?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(Client {
                stream,
                sent_bytes: 0,
                received_bytes: 0,
            })
        };
        let clients = (0..count).map(connect).collect::<Result<_>>()?;
        Ok(Crowd { script, clients })
    }

    /// Drives the clients until all is sent and all replies have come.
    pub fn finish(&mut self) -> Result<()> {
        self.drive(|is_finished| is_finished)
    }

    /// Drives the clients until the flag is set.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        self.drive(|_| stop.load(Ordering::Relaxed))
    }

    /// Lets all clients send, read and check replies, until told that it is over: the condition
    /// is asked again and again, and learns whether all is sent and all replies have come.
    fn drive(&mut self, is_over: impl Fn(bool) -> bool) -> Result<()> {
        let (mut buffer, begin) = (vec![0; READ_BYTES], Instant::now());
        while begin.elapsed() < TIMEOUT {
            let (mut is_finished, mut moved_bytes) = (true, 0);
            for client in &mut self.clients {
                let before = client.sent_bytes + client.received_bytes;
                is_finished &= client.turn(&self.script, &mut buffer)?;
                moved_bytes += client.sent_bytes + client.received_bytes - before;
            }
            if is_over(is_finished) {
                return Ok(());
            }
            if moved_bytes == 0 {
                thread::sleep(POLL_INTERVAL);
            }
        }
        bail!("clients are not served in time")
    }
}

impl Client {
    /// Reads and sends what it can, and says whether it has finished. Where the connection is
    /// broken it never does.
    fn turn(&mut self, script: &Script, buffer: &mut [u8]) -> Result<bool> {
        // First, because replies make room for requests.
        let (request, reply) = (script.request.as_bytes(), script.reply.as_bytes());
        while !reply.is_empty()
            && let Ok(count @ 1..) = self.stream.read(buffer)
        {
            self.check(&buffer[..count], reply)?;
        }
        let (request_bytes, reply_bytes) = (request.len() as u64, reply.len() as u64);
        let answered_bytes = self.received_bytes * request_bytes / reply_bytes.max(1);
        let total_bytes = request_bytes * script.cycles;
        let most_bytes = total_bytes.min(answered_bytes + WINDOW_BYTES);
        while self.sent_bytes < most_bytes {
            let begin = self.sent_bytes % request_bytes;
            let end = request_bytes.min(begin + most_bytes - self.sent_bytes);
            let Ok(count) = self.stream.write(&request[begin as usize..end as usize]) else {
                break;
            };
            self.sent_bytes += count as u64;
        }
        let is_answered = self.received_bytes == reply_bytes * script.cycles;
        Ok(self.sent_bytes == total_bytes && is_answered)
    }

    fn check(&mut self, mut received: &[u8], reply: &[u8]) -> Result<()> {
        while !received.is_empty() {
            let expected = &reply[(self.received_bytes % reply.len() as u64) as usize..];
            let (now, rest) = received.split_at(expected.len().min(received.len()));
            if !expected.starts_with(now) {
                bail!("a wrong answer: {}", shown(now));
            }
            self.received_bytes += now.len() as u64;
            received = rest;
        }
        Ok(())
    }
}
