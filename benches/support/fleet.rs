//! Clients of a server: one thread, one event loop, closed loops over any number of connections.
//!
//! Each connection sends a batch of requests, waits for all of their replies, and sends the
//! next; unpipelined is a batch of one. Where nothing is answered, batches follow each other as
//! the socket takes them. The work per request is one read, one write and one look at the clock,
//! so that the server is what is measured.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{mem, thread};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use memchr::memchr_iter;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::*;

const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Few: a reply that comes just after a look at what is ready waits for as many turns, and that
/// is no latency of the server's.
const EVENTS_PER_TURN: usize = 8;

/// Read from one connection in one turn: a reader of long replies holds the others up by no
/// more than this takes.
pub const READ_BUFFER_BYTES: usize = 64 << 10;

/// How often a fleet that waits looks whether it is over.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The longest that a run may take beyond its own time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Nothing follows a whole reply for so long.
const SILENCE: Duration = Duration::from_millis(5);

/// Puts sent before their replies are waited for.
const BATCH: usize = 1_000;

/// How long clients go on.
#[derive(Clone, Copy)]
pub enum Until<'a> {
    Batches(usize),
    Time(Duration),
    /// Until the flag is set. Those who are cut off meanwhile are left out.
    Told(&'a AtomicBool),
}

pub struct Fleet {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    script: Script,
    /// Works beside the others for as long as they do, and is only counted.
    is_beside: bool,
    /// Has something to do in this run, and has no batch for it yet.
    is_at_work: bool,
    begins: bool,
    batches: usize,
    /// Bytes of the batch that the socket has taken.
    sent: usize,
    sent_at: Instant,
    /// Bytes or lines of replies that are still to come, and lines that came where they are counted.
    owed: usize,
    lines: usize,
    ends_in_newline: bool,
}

/// What a fleet did.
pub struct Run<'a> {
    until: Until<'a>,
    pub begin: Instant,
    /// By those measured, in the time until the last of them was done.
    pub requests: usize,
    pub seconds: f64,
    /// Batches by those beside, in the time until they were done too.
    pub batches_beside: usize,
    pub seconds_in_all: f64,
    /// Nanoseconds from sending each batch to the end of its replies.
    pub latencies: Histogram<u64>,
    /// How many of those measured, and of those beside, have not finished.
    pub at_work: [usize; 2],
}

impl Run<'_> {
    /// The latency that the given part of all batches did not exceed; not a number where
    /// nothing is answered.
    pub fn latency_micros(&self, part: f64) -> f64 {
        match self.latencies.is_empty() {
            true => f64::NAN,
            false => self.latencies.value_at_quantile(part) as f64 / 1e3,
        }
    }
}

impl Fleet {
    pub fn new() -> Result<Fleet> {
        Ok(Fleet {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            clients: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
        })
    }

    /// So many clients that send the same.
    pub fn connect(server: &Server, count: usize, script: &Script) -> Result<Fleet> {
        let mut fleet = Fleet::new()?;
        for _ in 0..count {
            fleet.add(server, script.clone())?;
        }
        Ok(fleet)
    }

    /// A client that is told later what to send.
    pub fn one(server: &Server) -> Result<Fleet> {
        Fleet::connect(server, 1, &Script::default())
    }

    pub fn add(&mut self, server: &Server, script: Script) -> Result<()> {
        let stream = server.connect()?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let (registry, token) = (self.poll.registry(), Token(self.clients.len()));
        registry.register(&mut stream, token, INTEREST)?;
        self.clients.push(Client {
            stream,
            script,
            is_beside: false,
            is_at_work: false,
            begins: false,
            batches: 0,
            sent: 0,
            sent_at: Instant::now(),
            owed: 0,
            lines: 0,
            ends_in_newline: false,
        });
        Ok(())
    }

    /// The client that was added last works beside the others.
    pub fn put_last_beside(&mut self) {
        let last = self.clients.last_mut();
        last.expect("it was added").is_beside = true;
    }

    /// Their rings have come round so often.
    pub fn skip_laps(&mut self, laps: usize) {
        for client in &mut self.clients {
            client.script.laps_before = laps;
        }
    }

    /// Every client sends this, and what comes back is compared byte for byte.
    pub fn expect(&mut self, request: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) -> Result<()> {
        let outcome = self.ask(Script::once(&request, &Reply::same(reply), 0));
        outcome.with_context(|| shown(request.as_ref())).map(drop)
    }

    /// Every client sends this, and gets at least so many lines up to a blank one; returns how many lines
    /// the last of them got.
    pub fn read(&mut self, request: &str, least_lines: usize) -> Result<usize> {
        self.ask(Script::once(request, &Reply::GrowingLines, least_lines))
    }

    fn ask(&mut self, script: Script) -> Result<usize> {
        for client in &mut self.clients {
            client.script = script.clone();
        }
        self.finish()?;
        Ok(self.clients.last().context("no client")?.lines)
    }

    /// Sends puts, each of them a line, in batches whose replies are waited for. Returns how many.
    pub fn put_lines(&mut self, lines: impl IntoIterator<Item = String>) -> Result<usize> {
        let (mut lines, mut count) = (lines.into_iter().peekable(), 0);
        while lines.peek().is_some() {
            let batch: Vec<String> = lines.by_ref().take(BATCH).collect();
            count += batch.len();
            self.expect(batch.concat(), "ok\n\n".repeat(batch.len()))?;
        }
        self.expect_silence()?;
        Ok(count)
    }

    /// Nothing may follow the last reply.
    pub fn expect_silence(&mut self) -> Result<()> {
        thread::sleep(SILENCE);
        for client in &mut self.clients {
            let outcome = client.stream.read(&mut [0]);
            let is_silent = outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            ensure!(is_silent, "something follows the last reply");
        }
        Ok(())
    }

    /// What has come unread is read now.
    pub fn take_replies(&mut self, reply: &Reply) -> Result<()> {
        for client in &mut self.clients {
            client.script.reply = reply.clone();
            client.owed = client.script.owed();
        }
        self.finish()
    }

    /// One batch of each client.
    pub fn finish(&mut self) -> Result<()> {
        self.run(Until::Batches(1), false).map(drop)
    }

    /// What each client sent last.
    pub fn last_batches(&self) -> impl Iterator<Item = &[u8]> {
        self.clients.iter().map(|client| client.script.bytes())
    }

    /// Runs with or without those beside. Unless it is told when to stop, every request sent has been
    /// answered when this returns.
    pub fn run<'a>(&mut self, until: Until<'a>, with_beside: bool) -> Result<Run<'a>> {
        let mut run = Run {
            until,
            begin: Instant::now(),
            requests: 0,
            seconds: 0.0,
            batches_beside: 0,
            seconds_in_all: 0.0,
            latencies: Histogram::new(3)?,
            at_work: [0, 0],
        };
        for client in &mut self.clients {
            client.is_at_work = with_beside || !client.is_beside;
            (client.begins, client.batches) = (client.owed == 0, 0);
            run.at_work[usize::from(client.is_beside)] += usize::from(client.is_at_work);
        }
        let patience = match until {
            Until::Time(time) => time + PATIENCE,
            _ => PATIENCE,
        };
        let mut ready: Vec<usize> = (0..self.clients.len()).collect();
        loop {
            for number in ready.drain(..) {
                let client = &mut self.clients[number];
                if client.is_at_work && client.serve(&mut self.buffer, &mut run)? {
                    // Brings another event, after those of the others.
                    let registry = self.poll.registry();
                    registry.reregister(&mut client.stream, Token(number), INTEREST)?;
                }
            }
            let is_told = matches!(until, Until::Told(stop) if stop.load(Ordering::Relaxed));
            if is_told || run.at_work == [0, 0] {
                run.seconds_in_all = run.begin.elapsed().as_secs_f64();
                return Ok(run);
            }
            ensure!(run.begin.elapsed() < patience, "no end of replies");
            self.poll.poll(&mut self.events, Some(POLL_INTERVAL))?;
            ready.extend(self.events.iter().map(|event| event.token().0));
        }
    }
}

impl Client {
    /// Does what can be done now; returns whether there is more to read.
    fn serve(&mut self, buffer: &mut [u8], run: &mut Run) -> Result<bool> {
        let outcome = self.turn(buffer, run);
        if matches!(run.until, Until::Told(_))
            && outcome.as_ref().is_err_and(|error| error.is::<io::Error>())
        {
            self.stop(run);
            return Ok(false);
        }
        outcome
    }

    /// Sends what is unsent, takes what has come with one read, and begins the next batch once
    /// all of it has. A read that does not fill the buffer has drained the socket: what comes
    /// later is a new edge.
    fn turn(&mut self, buffer: &mut [u8], run: &mut Run) -> Result<bool> {
        if mem::take(&mut self.begins) {
            self.begin_batch(run.begin)?;
        }
        self.send()?;
        if self.owed == 0 {
            self.go_on_unanswered(run)?;
            return Ok(false);
        }
        let count = match self.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            outcome => outcome,
        };
        let count = count.context("cannot receive")?;
        if self.take(&buffer[..count])? {
            self.finish_batch(run)?;
        }
        Ok(count == buffer.len())
    }

    fn begin_batch(&mut self, now: Instant) -> Result<()> {
        (self.owed, self.lines) = (self.script.next_batch(), 0);
        (self.sent, self.sent_at) = (0, now);
        self.send()
    }

    /// Sends what is left of the batch, as far as the socket has room.
    fn send(&mut self) -> Result<()> {
        let batch = self.script.bytes();
        while self.sent < batch.len() {
            match self.stream.write(&batch[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Where nothing is answered, batches follow each other until the socket is full. What is not read is
    /// sent once.
    fn go_on_unanswered(&mut self, run: &mut Run) -> Result<()> {
        let is_once = matches!(self.script.reply, Reply::Unread);
        let goes_on = !is_once || matches!(run.until, Until::Batches(_));
        while goes_on && self.is_at_work && self.sent == self.script.bytes().len() {
            self.finish_batch(run)?;
        }
        Ok(())
    }

    /// Takes what has come off what is owed; true when that was all.
    fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        let lines = || memchr_iter(b'\n', bytes).count();
        let units = match &self.script.reply {
            Reply::Unread => 0,
            Reply::Same { repeated, length } => {
                let into_reply = (length - self.owed % length) % length;
                let expected = &repeated[into_reply..into_reply + bytes.len()];
                ensure!(bytes == expected, "a wrong reply: {}", shown(bytes));
                bytes.len()
            }
            Reply::Lines => lines(),
            // One line stays owed until the blank one has come.
            Reply::GrowingLines => {
                let is_blank = bytes == b"\n" && self.ends_in_newline;
                let is_end = is_blank || bytes.ends_with(b"\n\n");
                let lines = lines();
                self.lines += lines;
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
        self.batches += 1;
        if self.is_beside {
            run.batches_beside += 1;
        } else {
            let latency = now.duration_since(self.sent_at);
            run.latencies.record(latency.as_nanos() as u64)?;
            run.requests += self.script.requests();
        }
        let goes_on = match run.until {
            _ if self.is_beside => run.at_work[0] > 0,
            Until::Batches(count) => self.batches < count,
            Until::Time(time) => now < run.begin + time,
            Until::Told(_) => true,
        };
        if goes_on {
            return self.begin_batch(now);
        }
        self.stop(run);
        Ok(())
    }

    fn stop(&mut self, run: &mut Run) {
        self.is_at_work = false;
        run.at_work[usize::from(self.is_beside)] -= 1;
        if !self.is_beside && run.at_work[0] == 0 {
            run.seconds = run.begin.elapsed().as_secs_f64();
        }
    }
}
