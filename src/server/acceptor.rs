//! The listening sockets: who is let in, and what happens when there is no room.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use mio::Registry;

use super::LISTENERS;
use super::listener::{Address, Listener, Socket};
use super::rarely::Rarely;
use crate::config::{Config, Listen, Protocol};
use crate::error::Error;

/// All listening sockets. They share one token, so after an event of any one, all are tried.
#[derive(Debug)]
pub struct Acceptor {
    /// Each with what is spoken there.
    listeners: Vec<(Listener, Protocol)>,
    /// The listener whose turn it is to be the first.
    first: usize,
    /// Where each listens, in the order in which they were bound.
    pub addresses: Vec<Address>,
    state: State,
    full_log: Rarely,
    /// How often accepting paused because there was no room.
    pub pauses: u64,
}

/// Whether clients may be waiting in the system's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No. An event will tell when one comes.
    Quiet,
    /// Perhaps. The next turn looks.
    Waiting,
    /// Perhaps, but there is no room for them until a connection closes. No event will tell. Where
    /// it is the system that has no descriptor or memory, another process may free some, so the
    /// server tries again at this time.
    Full { retry_at: Option<Instant> },
}

impl Acceptor {
    /// Listens on the sockets that were handed in, and on every address that each of
    /// [`Config::listen`] resolves to, unless there are listeners for it already, in the same order.
    pub fn bind(
        config: &Config,
        handed_in: Vec<OwnedFd>,
        bound: Vec<Vec<Listener>>,
        registry: &Registry,
    ) -> Result<Acceptor, Error> {
        let mut listeners = Vec::new();
        for socket in handed_in {
            let listener = Listener::handed_in(socket, config);
            let listener =
                listener.map_err(Error::system("listen on a socket that was handed in"))?;
            listeners.push((listener, Protocol::Lines));
        }
        let mut bound = bound.into_iter();
        for listen in &config.listen {
            let listening = match bound.next() {
                Some(listening) if !listening.is_empty() => listening,
                _ => listen_on(listen, config)?,
            };
            let listening = listening.into_iter();
            listeners.extend(listening.map(|listener| (listener, listen.protocol)));
        }
        let mut addresses = Vec::new();
        for (listener, _) in &mut listeners {
            addresses.push(listener.address.clone());
            let registered = listener.register(registry, LISTENERS);
            registered.map_err(Error::system("watch a listening socket"))?;
        }
        Ok(Acceptor {
            listeners,
            first: 0,
            addresses,
            state: State::Quiet,
            full_log: Rarely::new(config.full_log_interval),
            pauses: 0,
        })
    }

    /// Stops listening: clients that come from now on are refused.
    pub fn close(&mut self) {
        self.listeners.clear();
        self.state = State::Quiet;
    }

    /// What is spoken at each of the addresses, as long as it listens.
    pub fn protocols(&self) -> impl Iterator<Item = Protocol> {
        self.listeners.iter().map(|&(_, protocol)| protocol)
    }

    /// To be called when an event says that clients are waiting.
    pub fn wake(&mut self) {
        if self.state == State::Quiet {
            self.state = State::Waiting;
        }
    }

    /// To be called when a connection has closed, so that there is room for another one.
    pub fn make_room(&mut self) {
        if self.state != State::Quiet {
            self.state = State::Waiting;
        }
    }

    /// Whether [`accept`](Self::accept) is to be called without waiting for an event.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// When to call [`accept`](Self::accept) at the latest, event or not.
    pub fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Full { retry_at } => retry_at,
            _ => None,
        }
    }

    /// Accepts the next client, if there is one and room for it beside the `connections` that are served. Returns
    /// its socket, and what is spoken where it came in.
    pub fn accept(
        &mut self,
        now: Instant,
        connections: usize,
        config: &Config,
    ) -> Option<(Socket, Protocol)> {
        if !self.is_waiting() && self.retry_at().is_none_or(|retry_at| retry_at > now) {
            return None;
        }
        if connections >= config.connection_limit {
            let why = &"as many as --connection-limit and --memory-limit allow";
            self.be_full(now, None, connections, why);
            return None;
        }
        let mut state = State::Quiet;
        for turn in 0..self.listeners.len() {
            let at = (self.first + turn) % self.listeners.len();
            let (listener, protocol) = &self.listeners[at];
            match listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(socket) => {
                    // Next time the other listeners come first.
                    self.first = at + 1;
                    self.state = State::Waiting;
                    return Some((socket, *protocol));
                }
                Err(error) if is_of_one_client(&error) => {
                    debug!("a client was gone before it was accepted: {error}");
                    // Others may wait after it.
                    state = State::Waiting;
                }
                Err(error) => {
                    let retry_at = now.checked_add(config.accept_retry);
                    self.be_full(now, retry_at, connections, &error);
                    return None;
                }
            }
        }
        self.state = state;
        None
    }

    /// Accepts nobody until a connection closes or it is `retry_at`, and logs why.
    fn be_full(
        &mut self,
        now: Instant,
        retry_at: Option<Instant>,
        connections: usize,
        why: &dyn Display,
    ) {
        self.state = State::Full { retry_at };
        self.pauses += 1;
        if self.full_log.is_due(now) {
            warn!(
                "{why}: serving {connections} connections, further clients wait until one closes"
            );
        }
    }
}

/// Whether an error of `accept` is about one client and not about the server. The client has left
/// the queue by then. The list is that of accept(2).
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

/// Listens on the path of a Unix socket, or on every address of this machine that the given one resolves
/// to.
pub fn listen_on(listen: &Listen, config: &Config) -> Result<Vec<Listener>, Error> {
    let resolve_error = |source| Error::Resolve {
        listen: listen.clone(),
        source,
    };
    let listen_error = |source| Error::Listen {
        listen: listen.clone(),
        source,
    };
    let address = &listen.address;
    if let Some(path) = address.strip_prefix(Listen::UNIX) {
        let listener = Listener::unix(Path::new(path), config).map_err(listen_error)?;
        return Ok(vec![listener]);
    }
    // The standard library finds the zone of an IPv6 address by its name only without the brackets.
    let in_brackets = || {
        let (host, port) = address.strip_prefix('[')?.split_once("]:")?;
        let is_address = host.contains(':');
        is_address.then(|| (host, port.parse().ok()?).to_socket_addrs().ok())?
    };
    let resolved = in_brackets().map_or_else(|| address.to_socket_addrs(), Ok);
    let addresses: Vec<_> = resolved.map_err(resolve_error)?.collect();
    listen_on_each(&addresses, config).map_err(listen_error)
}

/// Listens on each of the addresses of TCP that this machine has, once.
fn listen_on_each(addresses: &[SocketAddr], config: &Config) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    let mut missing = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for (number, address) in addresses.iter().enumerate() {
        // A host that is in two lines of a hosts file may have an address twice.
        if addresses[..number].contains(address) {
            continue;
        }
        match Listener::tcp(*address, config) {
            Ok(listener) => listeners.push(listener),
            Err(error) => match error.kind() {
                // The machine has the address, and does not let the server listen on it.
                ErrorKind::AddrInUse | ErrorKind::PermissionDenied => return Err(error),
                // A host name may have an IPv6 address on a machine without IPv6.
                _ => missing = error,
            },
        }
    }
    match listeners.is_empty() {
        true => Err(missing),
        false => Ok(listeners),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;
    use std::time::Duration;

    #[test]
    fn an_address_that_a_host_has_twice_is_listened_on_once() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = listen_on_each(&[address; 2], &Config::default()).unwrap();
        assert_eq!(listeners.len(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_zone_of_an_address_may_be_a_name() {
        for (address, is_resolved) in [("[fe80::1%lo]:0", true), ("[fe80::1%none]:0", false)] {
            let error = listen_on(&address.into(), &Config::default()).err();
            let error = error.expect("nobody has that address");
            assert_eq!(
                matches!(error, Error::Listen { .. }),
                is_resolved,
                "{error}"
            );
        }
    }

    #[test]
    fn being_full_is_tried_again_and_logged_again_when_it_is_time() {
        let retry = Duration::from_secs(3);
        let config = Config {
            listen: vec!["127.0.0.1:0".into()],
            accept_retry: retry,
            connection_limit: 1,
            ..Config::default()
        };
        let poll = Poll::new().unwrap();
        let mut acceptor =
            Acceptor::bind(&config, Vec::new(), Vec::new(), poll.registry()).unwrap();
        let (start, tick) = (Instant::now(), Duration::from_nanos(1));
        assert!(!acceptor.is_waiting() && acceptor.retry_at().is_none());
        acceptor.wake();
        assert!(acceptor.is_waiting());

        acceptor.be_full(start, Some(start + retry), 0, &"no memory");
        assert_eq!(acceptor.retry_at(), Some(start + retry));
        acceptor.wake();
        assert!(!acceptor.is_waiting());
        let too_early = start + retry - tick;
        assert!(acceptor.accept(too_early, 0, &config).is_none());
        assert_eq!(acceptor.retry_at(), Some(start + retry));
        assert!(acceptor.accept(start + retry, 0, &config).is_none());
        assert_eq!(acceptor.retry_at(), None, "nobody was waiting");

        acceptor.wake();
        assert!(acceptor.accept(start, 1, &config).is_none());
        assert!(
            !acceptor.is_waiting() && acceptor.retry_at().is_none(),
            "no room"
        );
        acceptor.make_room();
        assert!(acceptor.is_waiting());
    }
}
