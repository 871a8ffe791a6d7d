//! One listening socket: of TCP, or of Unix with its file.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockRef, TcpKeepalive, Type};

use super::socket_file::SocketFile;
use crate::config::Config;

/// Where a server listens.
///
/// ```
/// use metricd::Address;
///
/// let address = Address::Tcp(([127, 0, 0, 1], 8888).into());
/// assert_eq!(address.to_string(), "127.0.0.1:8888");
/// let address = Address::Unix("/run/metricd.sock".into());
/// assert_eq!(address.to_string(), "unix:/run/metricd.sock");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port of TCP.
    Tcp(SocketAddr),
    /// The path of a Unix socket: as it was given, or what a socket that was handed in is bound to.
    Unix(PathBuf),
}

impl Address {
    /// The address of TCP, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The socket of a client, of TCP or Unix. To read, to write, to shut down and to register are the same
/// calls of the system for either, so the standard library's type of the one serves both.
pub type Socket = TcpStream;

/// A socket that clients connect to.
#[derive(Debug)]
pub struct Listener {
    /// That of a Unix socket that was not handed in. It is removed before the socket is closed, since
    /// fields are dropped in this order.
    #[expect(dead_code, reason = "dropping it removes the file")]
    file: Option<SocketFile>,
    /// Of TCP or Unix: to register is the same call of the system for either.
    socket: TcpListener,
    pub address: Address,
    /// [`Config::unsent_limit_bytes`].
    unsent_limit_bytes: usize,
}

impl Listener {
    /// Listens on an address of TCP.
    pub fn tcp(address: SocketAddr, config: &Config) -> io::Result<Listener> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            // So that the same port of IPv4 can be listened on as well.
            socket.set_only_v6(true)?;
        }
        // A port whose last connections are still closing can be taken again.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        Listener::new(socket, None, config)
    }

    /// Listens on a Unix socket.
    pub fn unix(path: &Path, config: &Config) -> io::Result<Listener> {
        let (file, socket) = SocketFile::listen(path, config.socket_mode)?;
        Listener::new(socket, Some(file), config)
    }

    /// Listens on a socket that was handed in.
    pub fn handed_in(socket: OwnedFd, config: &Config) -> io::Result<Listener> {
        Listener::new(socket.into(), None, config)
    }

    fn new(
        socket: socket2::Socket,
        file: Option<SocketFile>,
        config: &Config,
    ) -> io::Result<Listener> {
        let bound_to = socket.local_addr()?;
        let address = match (&file, bound_to.as_socket()) {
            (Some(file), _) => Address::Unix(file.path.clone()),
            (None, Some(address)) => Address::Tcp(address),
            (None, None) => Address::Unix(bound_to.as_pathname().unwrap_or(Path::new("")).into()),
        };
        let is_tcp = address.tcp().is_some();
        if socket.r#type()? != Type::STREAM || !is_tcp && !bound_to.is_unix() {
            let message = "it is not a stream socket of TCP or Unix";
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        socket.set_nonblocking(true)?;
        // The queue is as long as the system allows. A client of TCP that finds it full tries again a
        // second later. Fails if the socket is that of a connection.
        socket.listen(i32::MAX)?;
        if is_tcp {
            prepare_connections(&socket, config)?;
        }
        Ok(Listener {
            file,
            socket: TcpListener::from_std(socket.into()),
            address,
            unsent_limit_bytes: config.unsent_limit_bytes,
        })
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Accepts the next client.
    pub fn accept(&self) -> io::Result<Socket> {
        if self.address.tcp().is_some() {
            return Ok(self.socket.accept()?.0);
        }
        let (stream, _) = SockRef::from(&self.socket).accept()?;
        stream.set_nonblocking(true)?;
        stream.set_send_buffer_size(self.unsent_limit_bytes)?;
        Ok(Socket::from_std(stream.into()))
    }
}

/// Sets on a listening socket of TCP what its connections take over from it, which costs each of them
/// nothing.
fn prepare_connections(socket: &socket2::Socket, config: &Config) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    limit_unsent(socket, config.unsent_limit_bytes)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Config::KEEPALIVE_TIME)
        .with_interval(Config::KEEPALIVE_INTERVAL)
        .with_retries(Config::KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Limits the bytes that wait in the system to be sent, which could grow to megabytes for a client
/// that does not read. Bytes in flight do not count, so clients that read are not slowed down.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_unsent(socket: &socket2::Socket, bytes: usize) -> io::Result<()> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    socket.set_tcp_notsent_lowat(bytes)
}

/// The same on systems that have one limit for both.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn limit_unsent(socket: &socket2::Socket, bytes: usize) -> io::Result<()> {
    socket.set_send_buffer_size(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;
    use std::thread;

    #[test]
    fn ipv6_sockets_leave_ipv4_to_others() {
        // Only a socket for all addresses of IPv6 could take those of IPv4 as well.
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        match Listener::tcp(address, &Config::default()) {
            Ok(listener) => assert!(SockRef::from(&listener.socket).only_v6().unwrap()),
            Err(error) => eprintln!("not tested without IPv6: {error}"),
        }
    }

    #[test]
    fn connections_of_tcp_are_kept_alive_and_do_not_delay_what_is_sent() {
        let config = Config {
            unsent_limit_bytes: 12_345,
            ..Config::default()
        };
        let own = Listener::tcp(([127, 0, 0, 1], 0).into(), &config).unwrap();
        let handed_in = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let handed_in = Listener::handed_in(handed_in.into(), &config).unwrap();
        for listener in [own, handed_in] {
            let address = listener.address.tcp().unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            let accepted = loop {
                match listener.accept() {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                    accepted => break accepted.unwrap(),
                }
            };
            let accepted = SockRef::from(&accepted);
            assert!(accepted.keepalive().unwrap() && accepted.tcp_nodelay().unwrap());
            assert_eq!(
                accepted.tcp_keepalive_time().unwrap(),
                Config::KEEPALIVE_TIME
            );
            assert_eq!(
                accepted.tcp_keepalive_interval().unwrap(),
                Config::KEEPALIVE_INTERVAL
            );
            assert_eq!(
                accepted.tcp_keepalive_retries().unwrap(),
                Config::KEEPALIVE_RETRIES
            );
            #[cfg(any(target_os = "linux", target_os = "android"))]
            assert_eq!(accepted.tcp_notsent_lowat().unwrap(), 12_345);
        }
    }
}
