//! The server on its sockets: what is bound, and the event loop that serves it.

mod acceptor;
mod connection;
mod event_loop;
mod line_buffer;
mod stop;
mod write_buffer;

use std::net::SocketAddr;

use mio::net::UnixStream;
use mio::{Interest, Poll, Token};

use self::acceptor::Acceptor;
use self::event_loop::EventLoop;
#[doc(hidden)]
pub use self::line_buffer::{Line, LineBuffer};
pub use self::stop::StopHandle;
use crate::config::Config;
use crate::error::Error;

/// Token of the listening sockets; those of connections are their keys in the slab.
const LISTENERS: Token = Token(usize::MAX);

/// Token of the requests to stop.
const STOP: Token = Token(usize::MAX - 1);

/// A metrics server that is bound to its addresses and not running yet.
///
/// Clients can connect from now on; they are served by [`run`](Server::run), on the thread that
/// calls it.
///
/// ```
/// let config = metricd::Config { listen: vec!["[::1]:0".into()], ..Default::default() };
/// let server = match metricd::Server::bind(config) {
///     Ok(server) => server,
///     // Such as "cannot listen on [::1]:0: …" on a machine without IPv6.
///     Err(error) => return eprintln!("{error}"),
/// };
/// println!("clients can connect to {}", server.local_addrs()[0]);
/// let stop = server.stop_handle();
/// let thread = std::thread::spawn(move || server.run());
/// stop.stop();
/// assert!(thread.join().expect("the server does not panic").is_ok());
/// ```
#[derive(Debug)]
pub struct Server {
    config: Config,
    poll: Poll,
    acceptor: Acceptor,
    stop_handle: StopHandle,
    stop_requests: UnixStream,
}

impl Server {
    /// Binds a server to the addresses of `config` and takes what else it needs of the system.
    ///
    /// # Errors
    ///
    /// Says which field of `config` is out of its range, which address cannot be listened on and
    /// why, or what the system refused.
    pub fn bind(config: Config) -> Result<Server, Error> {
        config.check()?;
        let poll = Poll::new().map_err(Error::system("create a poll"))?;
        let (stop_handle, mut stop_requests) =
            stop::pair().map_err(Error::system("create a stop handle"))?;
        poll.registry()
            .register(&mut stop_requests, STOP, Interest::READABLE)
            .map_err(Error::system("watch for requests to stop"))?;
        let acceptor = Acceptor::bind(&config.listen, poll.registry(), LISTENERS)?;
        Ok(Server {
            config,
            poll,
            acceptor,
            stop_handle,
            stop_requests,
        })
    }

    /// The addresses that the server is really bound to, with the ports that the system chose
    /// where 0 was asked for.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        self.acceptor.addresses()
    }

    /// A handle that stops this server from any thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop_handle.clone()
    }

    /// Serves clients on this thread until it is stopped.
    ///
    /// # Errors
    ///
    /// Returns early only where the system refuses to wait for events.
    pub fn run(self) -> Result<(), Error> {
        EventLoop::new(self).run()
    }
}
