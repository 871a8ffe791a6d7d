//! What the program around a server hands in, and what it is told.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What the program around a server hands in, and what it wants to be told, such as a service that
/// speaks with its manager. The default is nothing.
///
/// ```
/// use std::net::TcpListener;
/// use metricd::{Config, Event, Hooks, Server, StopHandle, Store};
///
/// let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
/// let hooks = Hooks {
///     listeners: vec![listener.into()],
///     on_event: Box::new(|event| match event {
///         Event::Loading(progress) => println!("not yet: {progress}"),
///         Event::Stopping => println!("it stops"),
///         _ => {}
///     }),
///     ..Hooks::default()
/// };
/// let config = Config { listen: vec![], ..Config::default() };
/// let stop_handle = StopHandle::new().expect("there are descriptors left");
/// let server = Server::bind_with(config, stop_handle, Store::new(), hooks)?;
/// # server.stop_handle().stop();
/// server.run()?;
/// # Ok::<(), metricd::Error>(())
/// ```
pub struct Hooks {
    /// Sockets of TCP and Unix that are bound already. The line protocol is spoken there, beside
    /// [`Config::listen`](crate::Config::listen), which may be empty then. All together are at most
    /// 1,024.
    pub listeners: Vec<OwnedFd>,

    /// Called on the thread that binds and runs the server, which waits for it.
    pub on_event: Box<dyn FnMut(Event) + Send>,

    /// How often to call it with [`Event::Alive`] at least. Default: never, so that a server with
    /// nothing to do makes no system calls.
    pub alive_interval: Option<Duration>,
}

/// What a server tells the program around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It is reading what is kept on disk, and has come so far. About once a second.
    Loading(Progress),
    /// Its loop goes round: see [`Hooks::alive_interval`].
    Alive,
    /// It was asked to stop, and stops.
    Stopping,
}

/// How far a start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Points that were read so far.
    pub points: u64,
    /// The share of the files that was read so far.
    pub percent: u64,
    /// Points that were read in a second, on average.
    pub points_per_second: u64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (points, percent, speed) = (self.points, self.percent, self.points_per_second);
        write!(f, "loading: {points} points, {percent} %, {speed} points/s")
    }
}

impl Default for Hooks {
    fn default() -> Hooks {
        Hooks {
            listeners: Vec::new(),
            on_event: Box::new(|_| {}),
            alive_interval: None,
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("listeners", &self.listeners)
            .field("alive_interval", &self.alive_interval)
            .finish_non_exhaustive()
    }
}
