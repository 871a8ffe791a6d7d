//! The load: one thread, one event loop, closed loops over any number of connections.
//!
//! Each connection sends a batch of requests, waits for all of their replies, and sends the
//! next; unpipelined is a batch of one. Where nothing is answered, batches follow each other as
//! the socket takes them, and the run ends when the server has them all. The work per request
//! is one read, one write and one look at the clock, so that the server is what is measured;
//! where it was not, the tables tell.

use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use memchr::memchr_iter;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::servers::Running;
use crate::support::client::shown;
use crate::support::process::Cpu;
use crate::workload::Script;

const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Few: a reply that comes just after a look at what is ready waits for as many turns, and that
/// is no latency of the server's.
const EVENTS_PER_TURN: usize = 8;

/// Read from one connection in one turn: a reader of long replies holds the others up by no
/// more than this takes.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// The longest that a server may take to answer, or a run beyond its own time.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the end of a reply is known, and whether it is the right one.
pub enum Reply {
    /// Each is the same `length` bytes, none where puts are not answered; `repeated` is more of
    /// them than one read takes.
    Same { repeated: Vec<u8>, length: usize },
    /// Each has as many lines as the script says of its request.
    Lines,
    /// Each has at least as many lines, and ends with its blank line.
    GrowingLines,
}

impl Reply {
    pub fn same(reply: &[u8]) -> Reply {
        let (length, count) = (reply.len(), READ_BUFFER_BYTES / reply.len().max(1) + 2);
        let repeated = reply.repeat(count);
        Reply::Same { repeated, length }
    }
}

pub struct Generator<'a> {
    running: &'a Running,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    script: Script,
    /// Shared: a thousand copies of what replies are compared with would fill the cache.
    reply: Rc<Reply>,
    /// Works beside the others for as long as they do, and is only counted.
    is_beside: bool,
    is_at_work: bool,
    /// Bytes of the batch that the socket has taken.
    sent: usize,
    sent_at: Instant,
    /// Bytes or lines of replies that are still to come.
    owed: usize,
    ends_in_newline: bool,
}

/// What a run did, and the processor time that both sides took for it.
pub struct Run {
    /// By those measured, in the time until the last of them was done.
    pub requests: usize,
    pub seconds: f64,
    /// Batches by those beside, in the time until they were done too.
    pub batches_beside: usize,
    pub seconds_in_all: f64,
    /// Nanoseconds from sending each batch to the end of its replies.
    latencies: Histogram<u64>,
    pub server_cpu: Cpu,
    pub own_cpu: Cpu,
    deadline: Instant,
    /// How many of those measured, and of those beside, have not finished.
    at_work: [usize; 2],
}

impl Run {
    /// The latency that the given part of all batches did not exceed; not a number where
    /// nothing is answered.
    pub fn latency_micros(&self, part: f64) -> f64 {
        match self.latencies.is_empty() {
            true => f64::NAN,
            false => self.latencies.value_at_quantile(part) as f64 / 1e3,
        }
    }
}

impl<'a> Generator<'a> {
    pub fn new(running: &'a Running) -> Result<Generator<'a>> {
        Ok(Generator {
            running,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            clients: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
        })
    }

    /// Connects a client.
    pub fn add(&mut self, script: Script, reply: &Rc<Reply>, is_beside: bool) -> Result<()> {
        let stream = self.running.process.connect()?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.clients.len());
        let registry = self.poll.registry();
        registry.register(&mut stream, token, INTEREST)?;
        self.clients.push(Client {
            stream,
            script,
            reply: reply.clone(),
            is_beside,
            is_at_work: false,
            sent: 0,
            sent_at: Instant::now(),
            owed: 0,
            ends_in_newline: false,
        });
        Ok(())
    }

    /// Runs for so long, with or without those beside. Every request sent has been answered, or
    /// has arrived, when this returns.
    pub fn run(&mut self, time: Duration, with_beside: bool) -> Result<Run> {
        let own_id = std::process::id();
        let server_before = self.running.process.cpu()?;
        let own_before = Cpu::of(own_id)?;
        let begin = Instant::now();
        let mut run = Run {
            requests: 0,
            seconds: 0.0,
            batches_beside: 0,
            seconds_in_all: 0.0,
            latencies: Histogram::new(3)?,
            server_cpu: Cpu::default(),
            own_cpu: Cpu::default(),
            deadline: begin + time,
            at_work: [0, 0],
        };
        for client in &mut self.clients {
            if with_beside || !client.is_beside {
                run.at_work[usize::from(client.is_beside)] += 1;
                client.begin(&mut run)?;
            }
        }
        while run.at_work != [0, 0] {
            self.turn(&mut run)?;
            if run.at_work[0] == 0 && run.seconds == 0.0 {
                run.seconds = begin.elapsed().as_secs_f64();
            }
            let is_late = Instant::now() > run.deadline + PATIENCE;
            ensure!(!is_late, "no end of replies in {PATIENCE:?}");
        }
        if let Some(inlet) = &self.running.inlet {
            let scripts = self.clients.iter().map(|client| &client.script);
            let last_lines: Vec<&[u8]> = scripts.map(Script::last_request).collect();
            inlet.await_points(run.requests, &last_lines)?;
            run.seconds = begin.elapsed().as_secs_f64();
            // Times between writes that the socket took: nobody waited for a reply.
            run.latencies.clear();
        }
        run.seconds_in_all = begin.elapsed().as_secs_f64();
        run.server_cpu = self.running.process.cpu()?.since(server_before);
        run.own_cpu = Cpu::of(own_id)?.since(own_before);
        Ok(run)
    }

    /// Waits for events, and serves each client that one came for.
    fn turn(&mut self, run: &mut Run) -> Result<()> {
        self.poll.poll(&mut self.events, Some(PATIENCE))?;
        for event in &self.events {
            let client = &mut self.clients[event.token().0];
            if client.is_at_work && client.turn(&mut self.buffer, run)? {
                // Brings another event, after those of the others.
                let registry = self.poll.registry();
                registry.reregister(&mut client.stream, event.token(), INTEREST)?;
            }
        }
        Ok(())
    }
}

impl Client {
    fn begin(&mut self, run: &mut Run) -> Result<()> {
        self.is_at_work = true;
        self.begin_batch(Instant::now())?;
        self.go_on_unanswered(run)
    }

    fn begin_batch(&mut self, now: Instant) -> Result<()> {
        self.script.next_batch();
        self.owed = match *self.reply {
            Reply::Same { length, .. } => length * self.script.batch,
            Reply::Lines | Reply::GrowingLines => self.script.reply_lines(),
        };
        (self.sent, self.sent_at) = (0, now);
        self.send()
    }

    /// Sends what is left of the batch, as far as the socket has room.
    fn send(&mut self) -> Result<()> {
        let batch = self.script.batch_bytes();
        while self.sent < batch.len() {
            match self.stream.write(&batch[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Where nothing is answered, batches follow each other until the socket is full.
    fn go_on_unanswered(&mut self, run: &mut Run) -> Result<()> {
        while self.is_at_work && self.owed == 0 && self.sent == self.script.batch_bytes().len() {
            self.finish_batch(run)?;
        }
        Ok(())
    }

    /// Sends what is unsent, takes what has come with one read, and begins the next batch once
    /// all of it has. A read that does not fill the buffer has drained the socket: what comes
    /// later is a new edge. Returns whether there is more to read.
    fn turn(&mut self, buffer: &mut [u8], run: &mut Run) -> Result<bool> {
        self.send()?;
        if self.owed == 0 {
            self.go_on_unanswered(run)?;
            return Ok(false);
        }
        let count = match self.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            outcome => outcome.context("cannot receive")?,
        };
        ensure!(count > 0, "the server closed a connection");
        if self.take(&buffer[..count])? {
            self.finish_batch(run)?;
        }
        Ok(count == buffer.len())
    }

    /// Takes what has come off what is owed; true when that was all.
    fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        let units = match &*self.reply {
            Reply::Same { repeated, length } => {
                let into_reply = (length - self.owed % length) % length;
                let expected = &repeated[into_reply..into_reply + bytes.len()];
                ensure!(bytes == expected, "a wrong reply: {}", shown(bytes));
                bytes.len()
            }
            Reply::Lines => memchr_iter(b'\n', bytes).count(),
            // One line stays owed until the blank one has come.
            Reply::GrowingLines => {
                let is_blank = bytes == b"\n" && self.ends_in_newline;
                let is_end = is_blank || bytes.ends_with(b"\n\n");
                let lines = memchr_iter(b'\n', bytes).count();
                lines.min(self.owed - usize::from(!is_end))
            }
        };
        ensure!(units <= self.owed, "too many replies: {}", shown(bytes));
        self.owed -= units;
        self.ends_in_newline = bytes.ends_with(b"\n");
        Ok(self.owed == 0)
    }

    fn finish_batch(&mut self, run: &mut Run) -> Result<()> {
        let now = Instant::now();
        let goes_on = if self.is_beside {
            run.batches_beside += 1;
            run.at_work[0] > 0
        } else {
            let latency = now.duration_since(self.sent_at);
            run.latencies.record(latency.as_nanos() as u64)?;
            run.requests += self.script.batch;
            now < run.deadline
        };
        if goes_on {
            return self.begin_batch(now);
        }
        self.is_at_work = false;
        run.at_work[usize::from(self.is_beside)] -= 1;
        Ok(())
    }
}
