//! The load: one thread, one event loop, closed loops over any number of connections.
//!
//! Each connection sends a batch of requests, waits for all of their replies, and sends the
//! next; unpipelined is a batch of one. Where nothing is answered, batches follow each other as
//! the socket takes them, and the run ends when the server has them all. The work per request
//! is one read, one write and one look at the clock, so that the server is what is measured;
//! where it was not, `Interval` tells.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::reply::{Owed, Reply};
use crate::running::Running;
use crate::workload::Script;

/// Few: a reply that comes just behind a look at what is ready waits for as many turns, and that
/// is no latency of the server's.
const EVENTS_PER_TURN: usize = 8;

/// Read from one connection in one turn: a reader of long replies holds the others up by no
/// more than this takes.
pub const READ_BUFFER_BYTES: usize = 64 << 10;

/// A server that sends nothing for so long, with requests before it, has failed the case.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that a run may take beyond its own time.
const OVERTIME: Duration = Duration::from_secs(120);

/// What one connection does.
pub struct Load {
    script: Script,
    reply: Rc<Reply>,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Measured,
    /// Works beside the others for as long as they do, and is only counted.
    Beside,
}

impl Load {
    /// Replies are all the same bytes, which are shared: a thousand copies of what they are
    /// compared with would fill the cache.
    pub fn checked(scripts: Vec<Script>, reply: &[u8]) -> Vec<Load> {
        let reply = Rc::new(Reply::constant(reply));
        let load = |script| Load {
            script,
            reply: reply.clone(),
            role: Role::Measured,
        };
        scripts.into_iter().map(load).collect()
    }

    /// Replies are counted by their newlines, being long, or not all alike.
    pub fn counted(script: Script) -> Load {
        Load {
            script,
            reply: Rc::new(Reply::Newlines),
            role: Role::Measured,
        }
    }

    pub fn beside(script: Script, reply: Reply) -> Load {
        Load {
            script,
            reply: Rc::new(reply),
            role: Role::Beside,
        }
    }
}

/// When a run ends. Either way every request sent has been answered by then.
#[derive(Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    BatchesOfEach(u64),
}

pub struct Generator<'a> {
    server: &'a Running,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    /// Off at first.
    pub runs_those_beside: bool,
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    load: Load,
    /// The rest of the batch that the socket has not taken yet.
    unsent: Range<usize>,
    owed: Owed,
    sent_at: Instant,
    batches_left: u64,
    at_work: bool,
}

/// What a run did.
pub struct Run {
    /// By those measured, in the time until the last of them was done.
    pub requests: u64,
    pub elapsed: Duration,
    /// Batches by those beside, in the time until they were done too.
    pub batches_beside: u64,
    pub elapsed_in_all: Duration,
    /// Nanoseconds from sending each batch to the end of its replies, ascending.
    latencies: Vec<u64>,
}

impl Run {
    /// The latency that the given part of all batches did not exceed, in microseconds.
    pub fn latency_micros(&self, part: f64) -> Option<f64> {
        let rank = (self.latencies.len() as f64 * part).ceil() as usize;
        let index = rank.clamp(1, self.latencies.len().max(1)) - 1;
        let nanoseconds = self.latencies.get(index)?;
        Some(*nanoseconds as f64 / 1e3)
    }

    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }
}

/// The state of a run under way.
struct Progress {
    deadline: Option<Instant>,
    /// Measured clients at work, then those beside.
    measured_at_work: usize,
    beside_at_work: usize,
    requests: u64,
    batches_beside: u64,
    latencies: Vec<u64>,
}

impl Progress {
    fn new(begin: Instant, until: Until) -> Progress {
        Progress {
            deadline: match until {
                Until::Elapsed(time) => Some(begin + time),
                Until::BatchesOfEach(_) => None,
            },
            measured_at_work: 0,
            beside_at_work: 0,
            requests: 0,
            batches_beside: 0,
            latencies: Vec::with_capacity(1 << 20),
        }
    }
}

/// Whether a client must have another turn without waiting for an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Again,
    Waiting,
}

impl<'a> Generator<'a> {
    /// Connects a client for each load.
    pub fn connect(server: &'a Running, loads: Vec<Load>) -> Result<Generator<'a>, String> {
        let streams = server.connect(loads.len())?;
        let poll = Poll::new().map_err(|error| format!("no poll: {error}"))?;
        let mut clients = Vec::with_capacity(loads.len());
        for (stream, load) in streams.into_iter().zip(loads) {
            let mut client = Client::new(stream, load).map_err(|error| error.to_string())?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut client.stream, Token(clients.len()), interest)
                .map_err(|error| format!("cannot poll a connection: {error}"))?;
            clients.push(client);
        }
        Ok(Generator {
            server,
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            clients,
            runs_those_beside: false,
            buffer: vec![0; READ_BUFFER_BYTES],
        })
    }

    pub fn run(&mut self, until: Until) -> Result<Run, String> {
        let begin = Instant::now();
        let mut progress = Progress::new(begin, until);
        let mut ready = self.begin(until, &mut progress)?;
        let last_moment = progress.deadline.unwrap_or(begin) + OVERTIME;
        let mut elapsed = None;
        while progress.measured_at_work + progress.beside_at_work > 0 {
            self.turn(&mut ready, &mut progress)?;
            if progress.measured_at_work == 0 {
                elapsed.get_or_insert_with(|| begin.elapsed());
            }
            if Instant::now() > last_moment {
                return Err(format!("took {} s too long", OVERTIME.as_secs()));
            }
        }
        if self.await_points(progress.requests)? {
            elapsed = None;
            // Times between writes that the socket took: nobody waited for a reply.
            progress.latencies.clear();
        }
        progress.latencies.sort_unstable();
        let elapsed_in_all = begin.elapsed();
        Ok(Run {
            requests: progress.requests,
            elapsed: elapsed.unwrap_or(elapsed_in_all),
            batches_beside: progress.batches_beside,
            elapsed_in_all,
            latencies: progress.latencies,
        })
    }

    /// The first batch of each client; returns all of them as ready.
    fn begin(&mut self, until: Until, progress: &mut Progress) -> Result<Vec<usize>, String> {
        let mut ready = Vec::with_capacity(self.clients.len());
        for (number, client) in self.clients.iter_mut().enumerate() {
            match client.load.role {
                Role::Measured => progress.measured_at_work += 1,
                Role::Beside if self.runs_those_beside => progress.beside_at_work += 1,
                Role::Beside => continue,
            }
            client.batches_left = match until {
                Until::Elapsed(_) => u64::MAX,
                Until::BatchesOfEach(count) => count,
            };
            client.at_work = true;
            client.begin_batch(Instant::now())?;
            ready.push(number);
        }
        Ok(ready)
    }

    /// A turn for each client that an event came for or that was left ready.
    fn turn(&mut self, ready: &mut Vec<usize>, progress: &mut Progress) -> Result<(), String> {
        let timeout = match ready.is_empty() {
            true => PATIENCE,
            false => Duration::ZERO,
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome.map_err(|error| format!("poll: {error}"))?,
        }
        if self.events.is_empty() && ready.is_empty() {
            return Err(format!("no reply in {} s", PATIENCE.as_secs()));
        }
        let left_ready = ready.len();
        ready.extend(self.events.iter().map(|event| event.token().0));
        let mut kept = 0;
        for index in 0..ready.len() {
            let number = ready[index];
            // One that was left ready may have an event too: one turn is enough.
            if index >= left_ready && ready[..kept].contains(&number) {
                continue;
            }
            let client = &mut self.clients[number];
            if client.turn(&mut self.buffer, progress)? == Turn::Again {
                ready[kept] = number;
                kept += 1;
            }
        }
        ready.truncate(kept);
        Ok(())
    }

    /// Waits until a server that answers nothing has what was sent; false where all is answered.
    fn await_points(&self, count: u64) -> Result<bool, String> {
        let Some(inlet) = &self.server.inlet else {
            return Ok(false);
        };
        let scripts = self.clients.iter().map(|client| &client.load.script);
        let last_lines: Vec<&[u8]> = scripts.map(Script::last_request).collect();
        inlet.await_points(count, &last_lines).map(|()| true)
    }
}

impl Client {
    fn new(stream: std::net::TcpStream, load: Load) -> io::Result<Client> {
        stream.set_nonblocking(true)?;
        Ok(Client {
            stream: TcpStream::from_std(stream),
            load,
            unsent: 0..0,
            owed: Owed::default(),
            sent_at: Instant::now(),
            batches_left: 0,
            at_work: false,
        })
    }

    fn begin_batch(&mut self, now: Instant) -> Result<(), String> {
        self.batches_left -= 1;
        self.unsent = self.load.script.next_batch();
        self.owed = self.load.reply.owed(&self.load.script);
        self.sent_at = now;
        self.write_unsent()
    }

    fn write_unsent(&mut self) -> Result<(), String> {
        while !self.unsent.is_empty() {
            let bytes = self.load.script.bytes(self.unsent.clone());
            match self.stream.write(bytes) {
                Ok(count) => self.unsent.start += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot send: {error}")),
            }
        }
        Ok(())
    }

    /// Sends what is unsent, takes what has come with one read, and begins the next batch once
    /// all of it has. A read that does not fill the buffer has drained the socket: what comes
    /// later is a new edge.
    fn turn(&mut self, buffer: &mut [u8], progress: &mut Progress) -> Result<Turn, String> {
        if !self.at_work {
            return Ok(Turn::Waiting);
        }
        self.write_unsent()?;
        if matches!(*self.load.reply, Reply::None) {
            if !self.unsent.is_empty() {
                return Ok(Turn::Waiting);
            }
            self.finish_batch(progress)?;
            return Ok(Turn::Again);
        }
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Waiting),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Turn::Again),
            Err(error) => return Err(format!("cannot receive: {error}")),
        };
        self.load.reply.take(&mut self.owed, &buffer[..count])?;
        if self.owed.is_nothing() {
            self.finish_batch(progress)?;
        }
        match count == buffer.len() {
            true => Ok(Turn::Again),
            false => Ok(Turn::Waiting),
        }
    }

    fn finish_batch(&mut self, progress: &mut Progress) -> Result<(), String> {
        let now = Instant::now();
        let goes_on = match self.load.role {
            Role::Measured => {
                let latency = now.duration_since(self.sent_at);
                progress.latencies.push(latency.as_nanos() as u64);
                progress.requests += self.load.script.batch as u64;
                progress.deadline.is_none_or(|deadline| now < deadline)
            }
            Role::Beside => {
                progress.batches_beside += 1;
                progress.measured_at_work > 0
            }
        };
        if goes_on && self.batches_left > 0 {
            return self.begin_batch(now);
        }
        self.at_work = false;
        match self.load.role {
            Role::Measured => progress.measured_at_work -= 1,
            Role::Beside => progress.beside_at_work -= 1,
        }
        Ok(())
    }
}
