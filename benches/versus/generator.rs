//! The load: one thread, one event loop, closed loops over any number of connections.
//!
//! Each connection sends a batch of requests, waits for all of their replies, and sends the
//! next; unpipelined is a batch of one. Replies are checked byte for byte where they are all
//! alike, and counted by their newlines where they are long. The work per request is one read,
//! one write and one look at the clock, so that the server is what is measured; where it was
//! not, `Interval` tells.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::process as this_process;
use std::time::{Duration, Instant};

use memchr::memchr_iter;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::process::{self, CpuTime};
use crate::servers::Running;
use crate::workload::Script;

const EVENTS_PER_TURN: usize = 1_024;
const READ_BUFFER_BYTES: usize = 256 << 10;

/// A server that sends nothing for so long, with requests before it, has failed the case.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that a run may take beyond its own time.
const OVERTIME: Duration = Duration::from_secs(120);

/// A side that runs, or waits for a core, for more than this share of the time has nothing to
/// spare.
const BUSY_SHARE: f64 = 0.9;

/// What ends a reply.
pub enum Reply {
    /// Each reply is the same `length` bytes; `repeated` is more of them than one read takes.
    Constant { repeated: Vec<u8>, length: usize },
    /// Each reply ends with its so-many-th newline.
    Newlines(usize),
}

impl Reply {
    pub fn constant(reply: &[u8]) -> Reply {
        Reply::Constant {
            repeated: reply.repeat(READ_BUFFER_BYTES / reply.len() + 2),
            length: reply.len(),
        }
    }

    /// What one reply counts: bytes, or newlines.
    fn units(&self) -> usize {
        match self {
            Reply::Constant { length, .. } => *length,
            Reply::Newlines(newlines) => *newlines,
        }
    }

    /// How much of what is owed has come with these bytes.
    fn count(&self, bytes: &[u8], owed: usize) -> Result<usize, String> {
        let units = match self {
            Reply::Constant { repeated, length } => {
                let into_reply = (length - owed % length) % length;
                if bytes != &repeated[into_reply..into_reply + bytes.len()] {
                    return Err(format!("a wrong reply: {}", beginning(bytes)));
                }
                bytes.len()
            }
            Reply::Newlines(_) => memchr_iter(b'\n', bytes).count(),
        };
        if units > owed {
            return Err(format!("more replies than requests: {}", beginning(bytes)));
        }
        Ok(units)
    }
}

fn beginning(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(60)].escape_ascii().to_string()
}

/// When a run ends. Either way every request sent has been answered by then.
#[derive(Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    BatchesOfEach(u64),
}

pub struct Generator {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    reply: Reply,
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    script: Script,
    /// The rest of the batch that the socket has not taken yet.
    unsent: Range<usize>,
    /// Units of reply still to come; 0 between batches.
    owed: usize,
    sent_at: Instant,
    batches_left: u64,
}

/// What a run did.
pub struct Run {
    pub requests: u64,
    pub elapsed: Duration,
    /// Nanoseconds from sending each batch to the end of its replies, ascending.
    latencies: Vec<u64>,
}

impl Run {
    /// The latency that the given part of all batches did not exceed, in microseconds.
    pub fn latency_micros(&self, part: f64) -> f64 {
        let rank = (self.latencies.len() as f64 * part).ceil() as usize;
        let index = rank.clamp(1, self.latencies.len().max(1)) - 1;
        self.latencies
            .get(index)
            .map_or(0.0, |&nanoseconds| nanoseconds as f64 / 1e3)
    }

    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// The state of a run under way.
struct Progress {
    deadline: Option<Instant>,
    /// Clients with replies to come.
    waiting: usize,
    requests: u64,
    latencies: Vec<u64>,
}

impl Generator {
    /// Connects a client for each script.
    pub fn connect(
        server: &Running,
        scripts: Vec<Script>,
        reply: Reply,
    ) -> Result<Generator, String> {
        let streams = server.connect(scripts.len())?;
        let poll = Poll::new().map_err(|error| format!("no poll: {error}"))?;
        let mut clients = Vec::with_capacity(scripts.len());
        for (stream, script) in streams.into_iter().zip(scripts) {
            let mut client = Client {
                stream: nonblocking(stream).map_err(|error| error.to_string())?,
                script,
                unsent: 0..0,
                owed: 0,
                sent_at: Instant::now(),
                batches_left: 0,
            };
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut client.stream, Token(clients.len()), interest)
                .map_err(|error| format!("cannot poll a connection: {error}"))?;
            clients.push(client);
        }
        Ok(Generator {
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            clients,
            reply,
            buffer: vec![0; READ_BUFFER_BYTES],
        })
    }

    pub fn run(&mut self, until: Until) -> Result<Run, String> {
        let begin = Instant::now();
        let (time, batches) = match until {
            Until::Elapsed(time) => (Some(time), u64::MAX),
            Until::BatchesOfEach(count) => (None, count),
        };
        let mut progress = Progress {
            deadline: time.map(|time| begin + time),
            waiting: self.clients.len(),
            requests: 0,
            latencies: Vec::with_capacity(1 << 20),
        };
        let last_moment = begin + time.unwrap_or_default() + OVERTIME;
        for client in &mut self.clients {
            client.batches_left = batches;
            client.begin_batch(&self.reply, Instant::now())?;
        }
        while progress.waiting > 0 {
            match self.poll.poll(&mut self.events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                outcome => outcome.map_err(|error| format!("poll: {error}"))?,
            }
            if self.events.is_empty() {
                return Err(format!("no reply in {} s", PATIENCE.as_secs()));
            }
            for event in &self.events {
                self.clients[event.token().0].turn(
                    event,
                    &self.reply,
                    &mut self.buffer,
                    &mut progress,
                )?;
            }
            if Instant::now() > last_moment {
                return Err(format!("took {} s too long", OVERTIME.as_secs()));
            }
        }
        progress.latencies.sort_unstable();
        Ok(Run {
            requests: progress.requests,
            elapsed: begin.elapsed(),
            latencies: progress.latencies,
        })
    }
}

fn nonblocking(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}

impl Client {
    fn begin_batch(&mut self, reply: &Reply, now: Instant) -> Result<(), String> {
        self.batches_left -= 1;
        self.owed = reply.units() * self.script.batch;
        self.unsent = self.script.next_batch();
        self.sent_at = now;
        self.write_unsent()
    }

    fn write_unsent(&mut self) -> Result<(), String> {
        while !self.unsent.is_empty() {
            match self.stream.write(self.script.bytes(self.unsent.clone())) {
                Ok(count) => self.unsent.start += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot send: {error}")),
            }
        }
        Ok(())
    }

    /// Takes what has come and sends what comes next. A read that does not fill the buffer
    /// has drained the socket: what comes later is a new edge.
    fn turn(
        &mut self,
        event: &Event,
        reply: &Reply,
        buffer: &mut [u8],
        progress: &mut Progress,
    ) -> Result<(), String> {
        if event.is_writable() {
            self.write_unsent()?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("cannot receive: {error}")),
            };
            self.owed -= reply.count(&buffer[..count], self.owed)?;
            if self.owed == 0 {
                self.finish_batch(reply, progress)?;
            }
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    fn finish_batch(&mut self, reply: &Reply, progress: &mut Progress) -> Result<(), String> {
        let now = Instant::now();
        let latency = now.duration_since(self.sent_at);
        progress.latencies.push(latency.as_nanos() as u64);
        progress.requests += self.script.batch as u64;
        let in_time = progress.deadline.is_none_or(|deadline| now < deadline);
        if in_time && self.batches_left > 0 {
            return self.begin_batch(reply, now);
        }
        progress.waiting -= 1;
        Ok(())
    }
}

/// A run together with the processor time that both sides took for it.
pub struct Interval {
    pub run: Run,
    pub server: CpuTime,
    generator: CpuTime,
}

impl Interval {
    pub fn measure(
        server: &Running,
        generator: &mut Generator,
        until: Until,
    ) -> Result<Interval, String> {
        let own_id = this_process::id();
        let server_before = process::cpu_time(server.process_id)?;
        let own_before = process::cpu_time(own_id)?;
        let run = generator.run(until)?;
        Ok(Interval {
            run,
            server: process::cpu_time(server.process_id)?.since(server_before),
            generator: process::cpu_time(own_id)?.since(own_before),
        })
    }

    pub fn server_micros_a_request(&self) -> f64 {
        self.server.running.as_secs_f64() * 1e6 / self.run.requests as f64
    }

    pub fn server_percent(&self) -> f64 {
        100.0 * self.share(self.server.running)
    }

    pub fn generator_percent(&self) -> f64 {
        100.0 * self.share(self.generator.running)
    }

    /// Whether more load could have been had from a faster generator.
    pub fn generator_was_the_limit(&self) -> bool {
        let wanted_a_core = |time: CpuTime| self.share(time.running + time.waiting) > BUSY_SHARE;
        wanted_a_core(self.generator) && !wanted_a_core(self.server)
    }

    /// The part of the time that either side was ready and had no core to run on.
    pub fn waiting_share(&self) -> f64 {
        self.share(self.server.waiting.max(self.generator.waiting))
    }

    fn share(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.run.elapsed.as_secs_f64()
    }
}
