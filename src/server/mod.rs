//! The server on its sockets: what is bound, and the event loop that serves it.

mod acceptor;
mod client;
mod commit;
mod connection;
mod event_loop;
mod hooks;
mod line_buffer;
mod listener;
mod not_ready;
pub mod rarely;
mod ready_queue;
mod shared;
mod silence;
mod socket_file;
mod stop;
mod timeouts;
mod upkeep;
mod waiting;

use std::mem;
use std::time::Instant;

use mio::net::UnixStream;
use mio::{Interest, Poll, Token, Waker};

use self::acceptor::Acceptor;
use self::commit::InMemory;
pub use self::commit::{Admission, Commit, Outcome, Recorder};
use self::event_loop::EventLoop;
pub use self::hooks::{Event, Hooks, Progress};
#[cfg(all(test, feature = "http"))]
pub use self::line_buffer::Unread;
pub use self::line_buffer::{Line, LineBuffer, Lines};
pub use self::listener::Address;
use self::not_ready::NotReady;
pub use self::stop::StopHandle;
use crate::config::{Config, Protocol};
use crate::counters::Counters;
use crate::error::Error;
use crate::journal;
#[cfg(feature = "remote-write")]
use crate::remote_write::Receivers;
use crate::store::Store;

/// Token of the listening sockets; those of connections are their keys in the slab.
const LISTENERS: Token = Token(usize::MAX);

/// Token of the requests to stop.
const STOP: Token = Token(usize::MAX - 1);

/// Token of the events that tell that a commit is done.
const COMMITTED: Token = Token(usize::MAX - 2);

/// Token of the requests to report.
const REPORT: Token = Token(usize::MAX - 3);

/// A metrics server that is bound to its addresses and not running yet.
///
/// Clients can connect from now on. They are served by [`run`](Server::run), on the thread that
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
    /// To stop, and to report.
    requests: [UnixStream; 2],
    counters: Counters,
    hooks: Hooks,
    store: Store,
    /// Where what is put is to be kept.
    journal: Option<journal::Opened>,
    /// Where it is to be handed on to.
    #[cfg(feature = "remote-write")]
    receivers: Receivers,
}

impl Server {
    /// Binds a server to the addresses of `config`.
    ///
    /// # Errors
    ///
    /// If a field of `config` is out of its range, an address cannot be listened on, or the system
    /// refuses another resource. The error says which, and why.
    pub fn bind(config: Config) -> Result<Server, Error> {
        let stop_handle = StopHandle::new().map_err(Error::system("create a stop handle"))?;
        Server::bind_with(config, stop_handle, Store::new(), Hooks::default())
    }

    /// Like [`bind`](Self::bind), but with a stop handle that exists already, so that no request to
    /// stop is lost while the server is being bound, over a store that may hold points already, and
    /// for a program that has sockets for it, or wants to be told what it does. Each handle is for one
    /// server only.
    ///
    /// ```
    /// let mut store = metricd::Store::new();
    /// store.put("palm.cpu", 1_150_864_247, 23.7);
    /// let config = metricd::Config { listen: vec!["127.0.0.1:0".into()], ..Default::default() };
    /// let stop_handle = metricd::StopHandle::new().expect("there are descriptors left");
    /// let server = metricd::Server::bind_with(config, stop_handle, store, Default::default())?;
    /// # server.stop_handle().stop();
    /// let store = server.run()?;
    /// assert_eq!(store.point_count(), 1);
    /// # Ok::<(), metricd::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`bind`](Self::bind), and if one of the sockets cannot be listened on.
    pub fn bind_with(
        mut config: Config,
        stop_handle: StopHandle,
        store: Store,
        mut hooks: Hooks,
    ) -> Result<Server, Error> {
        config.check(hooks.listeners.len())?;
        config.fit_to_memory_limit();
        #[cfg(feature = "remote-write")]
        let receivers = Receivers::new(&config)?;
        let mut bound = Vec::new();
        let (store, journal) = match &config.data {
            Some(path) if store.series_count() == 0 => {
                let mut not_ready = NotReady::bind(&config)?;
                #[cfg(feature = "remote-write")]
                let readers = &receivers.positions();
                #[cfg(not(feature = "remote-write"))]
                let readers = &[];
                let (store, opened) = journal::open(path, &config, readers, &mut |event| {
                    (hooks.on_event)(event);
                    not_ready.answer();
                })?;
                bound = not_ready.listeners;
                (store, Some(opened))
            }
            Some(_) => return Err(Error::FilledStore),
            None => (store, None),
        };
        let poll = Poll::new().map_err(Error::system("create a poll"))?;
        let mut requests = stop_handle
            .receivers()
            .map_err(Error::system("create a stop handle"))?;
        for (receiver, token) in requests.iter_mut().zip([STOP, REPORT]) {
            poll.registry()
                .register(receiver, token, Interest::READABLE)
                .map_err(Error::system("watch for requests to stop"))?;
        }
        let handed_in = mem::take(&mut hooks.listeners);
        let acceptor = Acceptor::bind(&config, handed_in, bound, poll.registry())?;
        Ok(Server {
            config,
            poll,
            acceptor,
            stop_handle,
            requests,
            counters: Counters {
                #[cfg(feature = "remote-write")]
                receivers: receivers.seen(),
                ..Counters::default()
            },
            hooks,
            store,
            journal,
            #[cfg(feature = "remote-write")]
            receivers,
        })
    }

    /// The addresses that the server is bound to: first those of sockets that were handed in, then
    /// those of [`Config::listen`], in its order. Where the configured port is 0, this is the port that
    /// the system chose.
    pub fn local_addrs(&self) -> &[Address] {
        &self.acceptor.addresses
    }

    /// Those of [`local_addrs`](Self::local_addrs) at which this is spoken, in the same order.
    pub fn local_addrs_of(&self, protocol: Protocol) -> impl Iterator<Item = &Address> {
        let listening = self.local_addrs().iter().zip(self.acceptor.protocols());
        listening.filter_map(move |(address, spoken)| (spoken == protocol).then_some(address))
    }

    /// A handle that stops this server from any thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop_handle.clone()
    }

    /// A handle to what the server counts, for any thread.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Serves clients on this thread until it is stopped, and hands back the store with what they have
    /// put.
    ///
    /// # Errors
    ///
    /// If the system refuses to wait for events.
    pub fn run(mut self) -> Result<Store, Error> {
        let Some(opened) = self.journal.take() else {
            return EventLoop::new(self, Box::new(InMemory), Instant::now).run();
        };
        let waker = Waker::new(self.poll.registry(), COMMITTED);
        let waker = waker.map_err(Error::system("create a waker"))?;
        let wake = move || {
            // Fails only if there are so many wakes that one more would change nothing.
            let _redundant = waker.wake();
        };
        let started = opened.start(wake, &self.counters.journal);
        #[cfg_attr(not(feature = "remote-write"), expect(unused_variables))]
        let (journal, followers) = started.map_err(Error::system("start a thread"))?;
        #[cfg(feature = "remote-write")]
        mem::take(&mut self.receivers)
            .start(followers, &self.config)
            .map_err(Error::system("start a thread"))?;
        EventLoop::new(self, Box::new(journal), Instant::now).run()
    }
}
