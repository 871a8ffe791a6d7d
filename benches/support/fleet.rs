//! Clients of a server: one thread, one event loop, closed loops over any number of connections.
//!
//! Each connection sends a batch of requests, waits for all of their replies, and sends the
//! next; unpipelined is a batch of one. Where nothing is answered, batches follow each other as
//! the socket takes them. The work per request is one read, one write and one look at the clock,
//! so that the server is what is measured.

use std::io::{self, ErrorKind, Read, Write};

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

/// Nothing follows a whole reply for so long.
const SILENCE: Duration = Duration::from_millis(5);

/// Puts sent before their replies are waited for.
const BATCH: usize = 1_000;

/// How long clients go on.
#[derive(Clone, Copy)]
pub enum Until<'a> {
    /// Each client has sent every batch of its script.
    Once,
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
    /// Has a batch under way.
    is_at_work: bool,
    /// Bytes of the batch that the socket has taken.
    sent: usize,
    sent_at: Instant,
    /// Bytes or lines of replies that are still to come.
    owed: usize,
    ends_in_newline: bool,
}

/// What a fleet did.
pub struct Run<'a> {
    until: Until<'a>,
    pub begin: Instant,
    /// By those measured, in the time until the last of them was done.
    pub requests: usize,
    pub seconds: f64,
    pub batches_beside: usize,
    /// From sending each batch to the end of its replies.
    pub latencies: Latencies,
    /// How many of those measured, and of those beside, have not finished.
    pub at_work: [usize; 2],
}

impl Fleet {
    /// A client for each script.
    pub fn connect(server: &Server, scripts: impl IntoIterator<Item = Script>) -> Result<Fleet> {
        let mut fleet = Fleet {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_TURN),
            clients: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
        };
        for script in scripts {
            fleet.add(server, script, false)?;
        }
        Ok(fleet)
    }

    /// So many clients that send the same.
    pub fn same(server: &Server, count: usize, script: &Script) -> Result<Fleet> {
        Fleet::connect(server, (0..count).map(|_| script.clone()))
    }

    /// A client that is told later what to send.
    pub fn one(server: &Server) -> Result<Fleet> {
        Fleet::connect(server, [Script::default()])
    }

    /// Another client, which works with the others, or beside them.
    pub fn add(&mut self, server: &Server, script: Script, is_beside: bool) -> Result<()> {
        let stream = server.connect()?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let (registry, token) = (self.poll.registry(), Token(self.clients.len()));
        registry.register(&mut stream, token, INTEREST)?;
        self.clients.push(Client {
            stream,
            script,
            is_beside,
            is_at_work: false,
            sent: 0,
            sent_at: Instant::now(),
            owed: 0,
            ends_in_newline: false,
        });
        Ok(())
    }

    /// Their rings have come round so often.
    pub fn skip_laps(&mut self, laps: usize) {
        for client in &mut self.clients {
            client.script.skip_laps(laps);
        }
    }

    /// Every client sends this, and what comes back is compared byte for byte.
    pub fn expect(&mut self, request: &str, reply: &str) -> Result<()> {
        self.ask(request, &Reply::same(reply), 0)
    }

    /// Every client sends this, and gets so many lines.
    pub fn read(&mut self, request: &str, lines: usize) -> Result<()> {
        self.ask(request, &Reply::Lines, lines)
    }

    fn ask(&mut self, request: &str, reply: &Reply, lines: usize) -> Result<()> {
        let script = Script::once(request, reply, lines);
        for client in &mut self.clients {
            client.script = script.clone();
        }
        self.finish().with_context(|| shown(request.as_bytes()))
    }

    /// The clients share these puts, in batches, or one by one, whose replies are waited for.
    /// Returns how many.
    pub fn put(
        &mut self,
        mut puts: impl Iterator<Item = String>,
        reply: &str,
        is_pipelined: bool,
    ) -> Result<usize> {
        let (reply, mut count) = (Reply::same(reply), 0);
        loop {
            let puts: Vec<_> = puts.by_ref().take(BATCH).map(|put| (put, 0)).collect();
            if puts.is_empty() {
                self.expect_silence()?;
                return Ok(count);
            }
            count += puts.len();
            let shares = puts.chunks(puts.len().div_ceil(self.clients.len()));
            for (client, share) in self.clients.iter_mut().zip(shares) {
                let batch = if is_pipelined { share.len() } else { 1 };
                client.script = Script::ring(&reply, batch, share);
            }
            self.finish()?;
        }
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

    /// Every client sends its script once.
    pub fn finish(&mut self) -> Result<()> {
        self.run(Until::Once).map(drop)
    }

    /// What each client sent last.
    pub fn last_batches(&self) -> impl Iterator<Item = &[u8]> {
        self.clients.iter().map(|client| client.script.bytes())
    }

    /// Unless it is told when to stop, every request sent has been answered when this returns.
    pub fn run<'a>(&mut self, until: Until<'a>) -> Result<Run<'a>> {
        let mut run = Run {
            until,
            begin: Instant::now(),
            requests: 0,
            seconds: 0.0,
            batches_beside: 0,
            latencies: Latencies::new(DIGITS)?,
            at_work: [0, 0],
        };
        for client in &mut self.clients {
            client.begin_batch(run.begin);
            run.at_work[usize::from(client.is_beside)] += 1;
        }
        let mut ready: Vec<usize> = (0..self.clients.len()).collect();
        loop {
            for number in ready.drain(..) {
                let client = &mut self.clients[number];
                if !client.is_at_work {
                    continue;
                }
                match client.turn(&mut self.buffer, &mut run) {
                    // Brings another event, after those of the others.
                    Ok(true) => {
                        let registry = self.poll.registry();
                        registry.reregister(&mut client.stream, Token(number), INTEREST)?;
                    }
                    Ok(false) => {}
                    Err(error) if error.is::<io::Error>() && matches!(until, Until::Told(_)) => {
                        client.stop(&mut run);
                    }
                    Err(error) => return Err(error),
                }
            }
            let is_over = match until {
                Until::Told(stop) => stop.load(Ordering::Relaxed),
                _ => run.at_work == [0, 0],
            };
            if is_over {
                return Ok(run);
            }
            ensure!(run.begin.elapsed() < PATIENCE, "no end of replies");
            self.poll.poll(&mut self.events, Some(POLL_INTERVAL))?;
            ready.extend(self.events.iter().map(|event| event.token().0));
        }
    }
}

impl Client {
    /// Sends what is unsent, takes what has come with one read, and begins the next batch once
    /// all of it has. A read that does not fill the buffer has drained the socket: what comes
    /// later is a new edge. Returns whether there is more to read.
    fn turn(&mut self, buffer: &mut [u8], run: &mut Run) -> Result<bool> {
        self.send()?;
        // Where nothing is answered, batches follow each other until the socket is full.
        while self.owed == 0 {
            if self.sent < self.script.bytes().len() || !self.finish_batch(run)? {
                return Ok(false);
            }
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

    fn begin_batch(&mut self, now: Instant) {
        self.owed = self.script.next_batch();
        (self.sent, self.sent_at, self.is_at_work) = (0, now, true);
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
                lines().min(self.owed - usize::from(!is_end))
            }
        };
        ensure!(units <= self.owed, "too many replies: {}", shown(bytes));
        self.owed -= units;
        self.ends_in_newline = bytes.ends_with(b"\n");
        Ok(self.owed == 0)
    }

    /// Begins the next batch, if there is one.
    fn finish_batch(&mut self, run: &mut Run) -> Result<bool> {
        let now = Instant::now();
        if self.is_beside {
            run.batches_beside += 1;
        } else {
            let latency = now.duration_since(self.sent_at);
            run.latencies.record(latency.as_nanos() as u64)?;
            run.requests += self.script.requests();
        }
        let goes_on = match run.until {
            _ if self.is_beside => run.at_work[0] > 0,
            Until::Once => !self.script.is_round(),
            Until::Time(time) => now < run.begin + time,
            Until::Told(_) => !matches!(self.script.reply, Reply::Unread),
        };
        if goes_on {
            self.begin_batch(now);
            self.send()?;
        } else {
            self.stop(run);
        }
        Ok(goes_on)
    }

    fn stop(&mut self, run: &mut Run) {
        self.is_at_work = false;
        run.at_work[usize::from(self.is_beside)] -= 1;
        if !self.is_beside && run.at_work[0] == 0 {
            run.seconds = run.begin.elapsed().as_secs_f64();
        }
    }
}
