//! The listening sockets: who is let in, and what happens when there is no room.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::error::Error;

/// How long being full is not logged again, however often clients come and go meanwhile.
const LOGGED_AGAIN: Duration = Duration::from_secs(600);

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
    /// The same, for want of descriptors or memory, which others than the server can free too.
    NoResources,
}

impl Acceptor {
    /// Listens on every address that each of `listen` resolves to.
    pub fn bind(listen: &[String], registry: &Registry, token: Token) -> Result<Acceptor, Error> {
        let mut listeners = Vec::new();
        for address in listen {
            listeners.append(&mut listen_on(address)?);
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

    /// A connection closed, so that there is room; or time has passed, and there may be.
    pub fn make_room(&mut self) {
        if self.state != State::Quiet {
            self.state = State::Waiting;
        }
    }

    /// Whether the loop is to come back without waiting for an event.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// Whether room may come by without the server's doing.
    pub fn lacks_resources(&self) -> bool {
        self.state == State::NoResources
    }

    /// Accepts the next client, or says that there is none, or no room for one.
    ///
    /// `connections` are served at present, of `limit` at the most.
    pub fn accept(&mut self, connections: usize, limit: usize) -> Option<TcpStream> {
        if self.state != State::Waiting {
            return None;
        }
        if connections >= limit {
            self.state = State::NoRoom;
            self.log_full(connections, "the connection limit is reached");
            return None;
        }
        for turn in 0..self.listeners.len() {
            match accept_from(&self.listeners[turn]) {
                Ok(Some(stream)) => {
                    // The others come first next time.
                    self.listeners.rotate_left(turn + 1);
                    return Some(stream);
                }
                Ok(None) => {}
                Err(error) => {
                    self.state = State::NoResources;
                    self.log_full(connections, &error.to_string());
                    return None;
                }
            }
        }
        self.state = State::Quiet;
        None
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

/// One client, or none where none is waiting. An error is want of resources.
fn accept_from(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        match listener.accept() {
            Ok((stream, _peer)) => return Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if is_of_one_client(&error) => {
                log::debug!("a client was gone before it was accepted: {error}");
            }
            Err(error) => return Err(error),
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
            | ErrorKind::PermissionDenied
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
            // A host name may have an IPv6 address on a machine without IPv6.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => missing = error,
            Err(error) if error.kind() == ErrorKind::Unsupported => missing = error,
            Err(error) => return Err(listen_error(error)),
        }
    }
    if listeners.is_empty() {
        Err(listen_error(missing))
    } else {
        Ok(listeners)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Binding gave it a queue of 128. Clients that find no place there try again a second later.
    #[cfg(feature = "daemon")]
    socket2::SockRef::from(&listener).listen(i32::MAX)?;
    Ok(listener)
}
