//! The event loop: who gets a turn, when, and until when.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Registry, Token};
use slab::Slab;

use super::acceptor::Accepted;
use super::connection::{Connection, Desk, Next, Stream};
use super::{LISTENERS, STOP, Server, stop};
use crate::error::Error;

/// How long a stopping server waits for clients that may still be fetching the last replies,
/// which the system has taken.
const LINGER: Duration = Duration::from_secs(1);

/// What is asked for when requests are awaited: urgent data is no request, and yet to be known.
#[cfg(any(target_os = "linux", target_os = "android"))]
const READ_INTEREST: Interest = Interest::READABLE.add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const READ_INTEREST: Interest = Interest::READABLE;

/// A server that runs. One turn of it: wait for events, note whom they concern, accept, give each
/// of those who are ready a turn, and forget those who are gone.
pub struct EventLoop {
    server: Server,
    desk: Desk,
    clients: Slab<Client>,
    /// Keys of the connections that get a turn, each once.
    ready: VecDeque<usize>,
    /// Keys of those that are over. They leave the slab when all events at hand are dealt with,
    /// so that none of these is taken for one of a later connection under the same key.
    closed: Vec<usize>,
}

/// A connection and what the loop knows of it.
struct Client {
    connection: Connection<TcpStream>,
    /// What the poll is asked to tell of.
    interest: Interest,
    /// Whether its key is in the ready queue, or in the list of those that are over.
    is_listed: bool,
}

impl EventLoop {
    pub fn new(server: Server) -> EventLoop {
        EventLoop {
            desk: Desk::new(&server.config),
            server,
            clients: Slab::new(),
            ready: VecDeque::new(),
            closed: Vec::new(),
        }
    }

    /// Turns until it is stopped.
    pub fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(self.server.config.events_per_turn);
        for address in self.server.local_addrs() {
            log::info!("listening on {address}");
        }
        let mut stop_requests = 0;
        while stop_requests == 0 {
            let timeout = self.timeout();
            self.wait(&mut events, timeout)?;
            stop_requests = self.take_events(&events);
            self.accept();
            self.serve_ready();
        }
        self.drain(&mut events, stop_requests)
    }

    /// Writes what is owed, and returns when it is written, when the time is up, or when asked
    /// to stop once more.
    fn drain(mut self, events: &mut Events, mut stop_requests: usize) -> Result<(), Error> {
        let deadline = Instant::now().checked_add(self.server.config.stop_timeout);
        log::info!("stopping: {} connections", self.clients.len());
        self.server.acceptor.close();
        // What had come before is still executed; then nothing more is.
        self.queue_all();
        self.serve_ready();
        for (_, client) in &mut self.clients {
            client.connection.stop();
        }
        self.queue_all();
        self.serve_ready();
        let mut lingers_until = None;
        while stop_requests < 2 && !self.clients.is_empty() {
            // Who is owed something is waited for longer than who may only be fetching it.
            let patience = if self.owing() > 0 {
                deadline
            } else {
                let linger = LINGER.min(self.server.config.stop_timeout);
                Some(*lingers_until.get_or_insert_with(|| Instant::now() + linger))
            };
            let left = patience.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            let timeout = if self.ready.is_empty() {
                left
            } else {
                Some(Duration::ZERO)
            };
            self.wait(events, timeout)?;
            stop_requests += self.take_events(events);
            self.serve_ready();
        }
        let owing = self.owing();
        if owing > 0 {
            log::warn!("{owing} clients did not take all of their replies");
        }
        log::info!("stopped");
        Ok(())
    }

    /// How many clients are owed replies that the system has not taken.
    fn owing(&self) -> usize {
        self.clients
            .iter()
            .filter(|(_, client)| client.connection.owes_replies())
            .count()
    }

    /// How long the loop may wait: not at all while there is something to do, else for ever, so
    /// that an idle server makes no system calls.
    fn timeout(&self) -> Option<Duration> {
        if self.ready.is_empty() {
            self.server.acceptor.timeout()
        } else {
            Some(Duration::ZERO)
        }
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> Result<(), Error> {
        match self.server.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(Error::system("wait for events")(error))
            }
            _ => Ok(()),
        }
    }

    /// Queues what the events point to, and says how many requests to stop have come. Events
    /// are hints: what there is to do shows when it is tried.
    fn take_events(&mut self, events: &Events) -> usize {
        let mut stop_requests = 0;
        for event in events {
            match event.token() {
                LISTENERS => self.server.acceptor.wake(),
                STOP => stop_requests += stop::count(&mut self.server.stop_requests),
                Token(key) => self.take_event(key, event),
            }
        }
        stop_requests
    }

    fn take_event(&mut self, key: usize, event: &Event) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let is_end = event.is_read_closed() || event.is_write_closed() || event.is_error();
        // A read stops short of urgent data.
        if is_end || event.is_priority() {
            client.connection.read_on();
        }
        queue(&mut self.ready, key, client);
    }

    fn queue_all(&mut self) {
        for (key, client) in &mut self.clients {
            queue(&mut self.ready, key, client);
        }
    }

    fn accept(&mut self) {
        for _ in 0..self.server.config.accepts_per_turn {
            let limit = self.server.config.connection_limit;
            match self.server.acceptor.accept(self.clients.len(), limit) {
                Accepted::None => return,
                Accepted::Gone => {}
                Accepted::Client(stream) => {
                    if let Err(error) = self.add_client(stream) {
                        log::debug!("cannot serve a client that connected: {error}");
                    }
                }
            }
        }
    }

    fn add_client(&mut self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let entry = self.clients.vacant_entry();
        let interest = READ_INTEREST;
        self.server
            .poll
            .registry()
            .register(&mut stream, Token(entry.key()), interest)?;
        log::debug!("connection {} opened", entry.key());
        entry.insert(Client {
            connection: Connection::new(stream),
            interest,
            is_listed: false,
        });
        Ok(())
    }

    /// Gives a turn to each connection that is queued now; those that need another one queue up
    /// behind all others.
    fn serve_ready(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            self.serve(key);
        }
        self.remove_closed();
    }

    fn serve(&mut self, key: usize) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.is_listed = false;
        let next = client.connection.turn(&mut self.desk);
        let registry = self.server.poll.registry();
        let is_over = match next {
            Next::AwaitRead => client.set_interest(READ_INTEREST, key, registry).is_err(),
            Next::AwaitWrite => client
                .set_interest(Interest::WRITABLE, key, registry)
                .is_err(),
            Next::Again => {
                queue(&mut self.ready, key, client);
                false
            }
            Next::Close => true,
        };
        if is_over {
            client.is_listed = true;
            self.closed.push(key);
        }
    }

    fn remove_closed(&mut self) {
        if self.closed.is_empty() {
            return;
        }
        for key in self.closed.drain(..) {
            self.clients.remove(key);
            log::debug!("connection {key} closed");
        }
        self.server.acceptor.make_room();
    }
}

impl Stream for TcpStream {
    fn end_output(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Client {
    /// Asks the poll for what the connection waits for. Where that is something new, the poll
    /// tells at once if it is so already, and nothing is missed.
    fn set_interest(
        &mut self,
        interest: Interest,
        key: usize,
        registry: &Registry,
    ) -> io::Result<()> {
        if self.interest == interest {
            return Ok(());
        }
        self.interest = interest;
        registry.reregister(self.connection.stream(), Token(key), interest)
    }
}

/// Queues a connection for a turn, once.
fn queue(ready: &mut VecDeque<usize>, key: usize, client: &mut Client) {
    if !client.is_listed {
        client.is_listed = true;
        ready.push_back(key);
    }
}
