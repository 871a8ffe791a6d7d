//! The listening sockets: who is let in, and what happens when there is no room.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::error::Error;

/// How long being full is not logged again, however often clients come and go meanwhile.
const LOGGED_AGAIN: Duration = Duration::from_secs(600);

/// How long to wait for descriptors or memory that somebody else may free.
const RESOURCES_RETRY: Duration = Duration::from_secs(1);

/// All listening sockets, which share one token: an event of any is a reason to look at all.
#[derive(Debug)]
pub struct Acceptor {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    state: State,
    /// When being full was last logged.
    logged_at: Option<Instant>,
}

/// Whether clients may be waiting in the system's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// None: an event will tell.
    Quiet,
    /// Perhaps: to be looked at in the next turn.
    Waiting,
    /// Perhaps, but there is no room for them before a connection closes. No event is promised.
    NoRoom,
    /// The same, for want of descriptors or memory, which others than the server can free too: to
    /// be tried again at this time.
    NoResources { retry_at: Instant },
}

/// What came of trying to accept a client.
pub enum Accepted {
    Client(TcpStream),
    /// It was gone before it was accepted.
    Gone,
    /// There is none, or no room for one.
    None,
}

impl Acceptor {
    /// Listens on every address that each of `listen` resolves to.
    pub fn bind(
        listen: &[crate::config::Listen],
        registry: &Registry,
        token: Token,
    ) -> Result<Acceptor, Error> {
        let mut listeners = Vec::new();
        for address in listen {
            listeners.append(&mut listen_on(&address.address)?);
        }
        let mut addresses = Vec::new();
        for listener in &mut listeners {
            addresses.push(
                listener
                    .local_addr()
                    .map_err(Error::system("read an address"))?,
            );
            registry
                .register(listener, token, Interest::READABLE)
                .map_err(Error::system("watch a listening socket"))?;
        }
        Ok(Acceptor {
            listeners,
            addresses,
            state: State::Quiet,
            logged_at: None,
        })
    }

    /// Listens no more: clients that come are refused.
    pub fn close(&mut self) {
        self.listeners.clear();
        self.state = State::Quiet;
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// An event came: clients are waiting, whether or not there is room.
    pub fn wake(&mut self) {
        if self.state == State::Quiet {
            self.state = State::Waiting;
        }
    }

    /// A connection closed, so that there is room.
    pub fn make_room(&mut self) {
        if self.state != State::Quiet {
            self.state = State::Waiting;
        }
    }

    /// How long the loop may wait for an event on account of the listeners; `None` is for ever.
    pub fn timeout(&self) -> Option<Duration> {
        match self.state {
            State::Quiet | State::NoRoom => None,
            State::Waiting => Some(Duration::ZERO),
            State::NoResources { retry_at } => {
                Some(retry_at.saturating_duration_since(Instant::now()))
            }
        }
    }

    /// When to look at the listeners without an event; `None` is never.
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Quiet | State::NoRoom => None,
            State::Waiting => Some(Instant::now()),
            State::NoResources { retry_at } => Some(retry_at),
        }
    }

    /// Accepts the next client, if there is one, and room for it.
    ///
    /// `connections` are served at present, of `limit` at the most.
    pub fn accept(&mut self, connections: usize, limit: usize) -> Accepted {
        match self.state {
            State::Waiting => {}
            State::NoResources { retry_at } if retry_at <= Instant::now() => {}
            _ => return Accepted::None,
        }
        if connections >= limit {
            self.state = State::NoRoom;
            self.log_full(connections, "the connection limit is reached");
            return Accepted::None;
        }
        for turn in 0..self.listeners.len() {
            match self.listeners[turn].accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok((stream, _peer)) => {
                    // The others come first next time.
                    self.listeners.rotate_left(turn + 1);
                    self.state = State::Waiting;
                    return Accepted::Client(stream);
                }
                Err(error) if is_of_one_client(&error) => {
                    log::debug!("a client was gone before it was accepted: {error}");
                    return Accepted::Gone;
                }
                Err(error) => {
                    self.state = State::NoResources {
                        retry_at: Instant::now() + RESOURCES_RETRY,
                    };
                    self.log_full(connections, &error.to_string());
                    return Accepted::None;
                }
            }
        }
        self.state = State::Quiet;
        Accepted::None
    }

    fn log_full(&mut self, connections: usize, why: &str) {
        if self
            .logged_at
            .is_none_or(|logged_at| logged_at.elapsed() >= LOGGED_AGAIN)
        {
            self.logged_at = Some(Instant::now());
            log::warn!(
                "{why}: serving {connections} connections, further clients wait until one closes"
            );
        }
    }
}

/// Whether an error of `accept` concerns the client at the head of the queue, which is then
/// gone from it, and not the server: as accept(2) lists them.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
    )
}

/// Listens on every address that `address` resolves to and that this machine has.
fn listen_on(address: &str) -> Result<Vec<TcpListener>, Error> {
    let resolve_error = |source| Error::Resolve {
        address: address.into(),
        source,
    };
    let listen_error = |source| Error::Listen {
        address: address.into(),
        source,
    };
    let mut listeners = Vec::new();
    let mut missing = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for socket_address in address.to_socket_addrs().map_err(resolve_error)? {
        match listen(socket_address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_of_this_machine(&error) => return Err(listen_error(error)),
            // A host name may have an IPv6 address on a machine without IPv6.
            Err(error) => missing = error,
        }
    }
    if listeners.is_empty() {
        Err(listen_error(missing))
    } else {
        Ok(listeners)
    }
}

/// Whether the machine has the address, and it cannot be listened on all the same.
fn is_of_this_machine(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AddrInUse | ErrorKind::PermissionDenied
    )
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Binding gave it a queue of 128. Clients that find no place there try again a second later.
    socket2::SockRef::from(&listener).listen(i32::MAX)?;
    Ok(listener)
}
