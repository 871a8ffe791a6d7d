//! The event loop: waits for events, and gives each connection its turns.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::Shutdown;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Registry, Token};
use slab::Slab;
use socket2::SockRef;

use super::acceptor::Accepted;
use super::commit::Commit;
use super::connection::{Connection, Next, Shared, Stream};
use super::ready_queue::ReadyQueue;
use super::{COMMITTED, LISTENERS, STOP, Server, stop};
use crate::config::{Config, Protocol};
use crate::error::Error;
use crate::store::Store;
use crate::turn::{Allowance, Clock};

/// Interest of a connection that awaits requests. Urgent data is no request, but a read stops short
/// of it, so its arrival must be known.
#[cfg(any(target_os = "linux", target_os = "android"))]
const READ_INTEREST: Interest = Interest::READABLE.add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const READ_INTEREST: Interest = Interest::READABLE;

/// A server that runs.
///
/// It waits for events, and then takes a turn: all connections that are ready execute, what they
/// put is committed, all get their replies. A slice of cleaning up ends the turn.
pub struct EventLoop<'store, C> {
    server: Server,
    shared: Shared<'store>,
    commit: C,
    clock: Clock,
    clients: Slab<Client>,
    ready: ReadyQueue,
    /// Connections whose replies are in `shared.replies`, in the same order.
    answered: Vec<Answered>,
    /// Replies that wait for a commit, in the order of the commits.
    waiting: VecDeque<Waiting>,
    /// The sum of their bytes.
    waiting_bytes: usize,
    /// Keys of connections that are over. They leave the slab at the end of the turn, when all
    /// events are handled, so that no event is taken for one of a later connection of the same key.
    closed: Vec<usize>,
    stopping: Option<Stopping>,
    has_housework: bool,
    /// How many snapshots were cut off at the last look.
    snapshots_cut_off: u64,
    /// When cutting off was last logged.
    cut_off_logged_at: Option<Instant>,
}

/// A connection and what the loop knows of it.
struct Client {
    connection: Connection<TcpStream>,
    /// What it is registered for with the poll.
    interest: Interest,
    standing: Standing,
}

/// What a connection waits for between two steps of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It waits for an event.
    Idle,
    /// It is in the ready queue.
    Ready,
    /// It has executed, and waits for the commit and its replies.
    Answered,
    /// It is over, and in the list of those to remove.
    Closed,
}

/// A connection that has executed, and where its replies are in `shared.replies`.
struct Answered {
    key: usize,
    replies: Range<usize>,
}

/// Replies that wait for the commit of this number.
struct Waiting {
    number: u64,
    key: usize,
    replies: Box<[u8]>,
}

/// A server that was asked to stop.
struct Stopping {
    /// Until when to wait for clients that are owed something; `None` means without limit.
    deadline: Option<Instant>,
    /// Until when to wait for clients that may still be fetching their replies, once no client is
    /// owed anything.
    lingers_until: Option<Instant>,
}

impl<'store, C: Commit> EventLoop<'store, C> {
    pub fn new(server: Server, store: &'store mut Store, commit: C, clock: Clock) -> Self {
        store.set_snapshot_limit_bytes(server.config.snapshot_limit_bytes);
        EventLoop {
            shared: Shared::new(store, &server.config),
            server,
            commit,
            clock,
            clients: Slab::new(),
            ready: ReadyQueue::default(),
            answered: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            closed: Vec::new(),
            stopping: None,
            has_housework: false,
            snapshots_cut_off: 0,
            cut_off_logged_at: None,
        }
    }

    /// Takes turns until the server is stopped.
    pub fn run(mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(self.config().events_per_turn);
        for address in self.server.local_addrs() {
            log::info!("listening on {address}");
        }
        let mut stop_requests = 0;
        while stop_requests < 2 && !self.is_stopped() {
            self.wait(&mut events)?;
            stop_requests += self.handle_events(&events);
            if stop_requests > 0 && self.stopping.is_none() {
                self.begin_stopping();
            }
            self.accept();
            self.turn();
        }
        let owed = count_owed(&self.clients);
        if owed > 0 {
            log::warn!("{owed} clients did not take all of their replies");
        }
        log::info!("stopped");
        Ok(())
    }

    fn config(&self) -> &Config {
        &self.server.config
    }

    fn wait(&mut self, events: &mut Events) -> Result<(), Error> {
        let timeout = self.timeout();
        match self.server.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(Error::system("wait for events")(error))
            }
            _ => Ok(()),
        }
    }

    /// How long the loop may wait for events: not at all while there is something to do, else until
    /// the next timer is due. Without a timer it is `None`, so that an idle server makes no system
    /// calls.
    fn timeout(&self) -> Option<Duration> {
        let may_serve = self.may_serve() && !self.ready.is_empty();
        if may_serve || self.has_housework || self.server.acceptor.is_waiting() {
            return Some(Duration::ZERO);
        }
        let stopping = self.stopping.as_ref();
        let timers = [
            self.server.acceptor.retry_at(),
            stopping.and_then(|stopping| stopping.deadline),
            stopping.and_then(|stopping| stopping.lingers_until),
        ];
        let due = timers.into_iter().flatten().min()?;
        Some(due.saturating_duration_since((self.clock)()))
    }

    /// Whether more may be executed before what is executed is committed.
    fn may_serve(&self) -> bool {
        self.waiting_bytes < self.config().turn_reply_bytes
    }

    /// Queues the connections that have events, and returns how many requests to stop there were.
    /// Events are hints only: a turn tries to read or write, and finds out.
    fn handle_events(&mut self, events: &Events) -> usize {
        let mut stop_requests = 0;
        for event in events {
            match event.token() {
                LISTENERS => self.server.acceptor.wake(),
                STOP => stop_requests += stop::take_requests(&mut self.server.stop_requests),
                COMMITTED => {}
                Token(key) => self.handle_event(key, event),
            }
        }
        stop_requests
    }

    fn handle_event(&mut self, key: usize, event: &Event) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let is_end = event.is_read_closed() || event.is_write_closed() || event.is_error();
        // A read stops short of urgent data.
        if is_end || event.is_priority() {
            client.connection.expect_short_reads();
        }
        self.make_ready(key);
    }

    /// Queues a connection that waits for an event.
    fn make_ready(&mut self, key: usize) {
        let client = &mut self.clients[key];
        if client.standing == Standing::Idle {
            client.standing = Standing::Ready;
            let kept_bytes = client.connection.kept_bytes();
            self.ready.push(key, kept_bytes);
        }
    }

    fn accept(&mut self) {
        let acceptor = &self.server.acceptor;
        if !acceptor.is_waiting() && acceptor.retry_at().is_none() {
            return;
        }
        let (now, limit) = ((self.clock)(), self.config().connection_limit);
        for _ in 0..self.config().accepts_per_turn {
            match self.server.acceptor.accept(now, self.clients.len(), limit) {
                Accepted::None => return,
                Accepted::Gone => {}
                Accepted::Client(stream, protocol) => {
                    if let Err(error) = self.add_client(stream, protocol) {
                        log::debug!("cannot serve a client that connected: {error}");
                    }
                }
            }
        }
    }

    fn add_client(&mut self, mut stream: TcpStream, protocol: Protocol) -> io::Result<()> {
        stream.set_nodelay(true)?;
        limit_unsent(&stream, self.config().unsent_limit_bytes)?;
        let entry = self.clients.vacant_entry();
        let interest = READ_INTEREST;
        self.server
            .poll
            .registry()
            .register(&mut stream, Token(entry.key()), interest)?;
        log::debug!("connection {} opened", entry.key());
        entry.insert(Client {
            connection: Connection::new(stream, protocol),
            interest,
            standing: Standing::Idle,
        });
        Ok(())
    }

    /// All execute, commit, all get their replies; then a slice of cleaning up.
    fn turn(&mut self) {
        self.reply_to_committed();
        self.serve_fresh();
        self.commit_and_reply();
        self.serve_busy();
        self.commit_and_reply();
        self.remove_closed();
        self.do_housework();
    }

    /// Whether all connections together keep so much that they get the least shares.
    fn keeps_much(&self) -> bool {
        self.shared.kept_bytes >= self.config().kept_limit_bytes
    }

    /// Gives fresh connections their small shares.
    fn serve_fresh(&mut self) {
        let share = self
            .ready
            .fresh_share(self.config(), self.keeps_much(), self.clock);
        for _ in 0..self.ready.fresh.len() {
            if !self.may_serve() {
                return;
            }
            if let Some(key) = self.ready.fresh.pop_front() {
                self.serve(key, share.clone());
            }
        }
    }

    /// Gives busy connections their large shares: at least one of them, and more while there is time.
    fn serve_busy(&mut self) {
        if self.ready.busy.is_empty() {
            return;
        }
        let share = self
            .ready
            .busy_share(self.config(), self.keeps_much(), self.clock);
        let ends_at = (self.clock)() + self.config().turn_time;
        for _ in 0..self.ready.busy.len() {
            if !self.may_serve() {
                return;
            }
            if let Some(key) = self.ready.busy.pop_front() {
                self.serve(key, share.clone());
            }
            if (self.clock)() >= ends_at {
                return;
            }
        }
    }

    /// Lets a connection execute. The replies that it appends are written after the commit.
    fn serve(&mut self, key: usize, mut allowance: Allowance) {
        let client = &mut self.clients[key];
        let start = self.shared.replies.len();
        self.shared.kept_bytes -= client.connection.kept_bytes();
        client.connection.execute(&mut self.shared, &mut allowance);
        client.standing = Standing::Answered;
        if self.shared.replies.len() == start {
            self.end_turn(key);
            return;
        }
        let replies = start..self.shared.replies.len();
        self.answered.push(Answered { key, replies });
        let are_many = self.answered.len() >= Config::TURN_REPLIES;
        if are_many || self.shared.replies.len() >= self.config().turn_reply_bytes {
            self.commit_and_reply();
        }
    }

    /// Submits what was put, and writes all replies, except those that must wait until it is
    /// committed.
    fn commit_and_reply(&mut self) {
        if self.answered.is_empty() {
            return;
        }
        let number = self.commit.submit();
        let is_committed = self.commit.committed() >= number;
        let mut answered = mem::take(&mut self.answered);
        let mut all = mem::take(&mut self.shared.replies);
        for Answered { key, replies } in answered.drain(..) {
            let replies = &all[replies];
            if is_committed || !self.clients[key].connection.has_put() {
                self.reply(key, replies);
            } else {
                self.waiting_bytes += replies.len();
                self.waiting.push_back(Waiting {
                    number,
                    key,
                    replies: replies.into(),
                });
            }
        }
        // The next turn reuses their memory.
        all.clear();
        (self.answered, self.shared.replies) = (answered, all);
    }

    /// Writes the replies that waited for a commit which is done.
    fn reply_to_committed(&mut self) {
        let committed = self.commit.committed();
        while let Some(waiting) = self.waiting.pop_front() {
            if waiting.number > committed {
                self.waiting.push_front(waiting);
                return;
            }
            self.waiting_bytes -= waiting.replies.len();
            self.reply(waiting.key, &waiting.replies);
            // Events that came in the meantime were ignored.
            self.make_ready(waiting.key);
        }
    }

    fn reply(&mut self, key: usize, replies: &[u8]) {
        let piece_bytes = self.config().write_buffer_bytes;
        self.clients[key].connection.reply(replies, piece_bytes);
        self.end_turn(key);
    }

    /// Ends the turn of a connection: it awaits an event or another turn, or is over.
    fn end_turn(&mut self, key: usize) {
        let client = &mut self.clients[key];
        let next = client.connection.next();
        let registry = self.server.poll.registry();
        client.standing = Standing::Idle;
        let is_over = match next {
            Next::AwaitRead => client.set_interest(READ_INTEREST, key, registry).is_err(),
            Next::AwaitWrite => client
                .set_interest(Interest::WRITABLE, key, registry)
                .is_err(),
            Next::Again => {
                client.standing = Standing::Ready;
                self.ready.busy.push_back(key);
                false
            }
            Next::Close => true,
        };
        self.shared.kept_bytes += client.connection.kept_bytes();
        if is_over {
            client.standing = Standing::Closed;
            self.closed.push(key);
        }
    }

    fn remove_closed(&mut self) {
        if self.closed.is_empty() {
            return;
        }
        for key in self.closed.drain(..) {
            let client = self.clients.remove(key);
            self.shared.kept_bytes -= client.connection.kept_bytes();
            log::debug!("connection {key} closed");
        }
        self.server.acceptor.make_room();
    }

    /// Cleans up a slice of the store, and wakes clients whose replies were cut off.
    fn do_housework(&mut self) {
        let slice = self.config().housework_notes;
        self.has_housework = self.shared.store.clean_up(slice);
        let cut_off = self.shared.store.snapshots_cut_off();
        if mem::replace(&mut self.snapshots_cut_off, cut_off) == cut_off {
            return;
        }
        let (now, interval) = ((self.clock)(), self.config().full_log_interval);
        let is_old = |logged_at: Instant| now.saturating_duration_since(logged_at) >= interval;
        if self.cut_off_logged_at.is_none_or(is_old) {
            self.cut_off_logged_at = Some(now);
            log::warn!("slow readers are cut off: what is kept for them is at its limit");
        }
        // Those that wait for their clients would not notice.
        for (key, client) in &mut self.clients {
            if client.standing == Standing::Idle && client.connection.is_cut_off() {
                client.standing = Standing::Ready;
                self.ready.busy.push_back(key);
            }
        }
    }

    /// Stops accepting, and closes each connection after one more read, when what was read is
    /// executed and all replies are written.
    fn begin_stopping(&mut self) {
        log::info!("stopping: {} connections", self.clients.len());
        self.server.acceptor.close();
        for (key, client) in &mut self.clients {
            client.connection.begin_closing();
            if client.standing == Standing::Idle {
                client.standing = Standing::Ready;
                self.ready.busy.push_back(key);
            }
        }
        self.stopping = Some(Stopping {
            deadline: (self.clock)().checked_add(self.config().stop_timeout),
            lingers_until: None,
        });
    }

    /// Whether the server is stopping, and has nothing more to wait for.
    fn is_stopped(&mut self) -> bool {
        let Some(stopping) = &mut self.stopping else {
            return false;
        };
        let owed = count_owed(&self.clients);
        let linger = self.server.config.linger;
        let now = (self.clock)();
        stopping.lingers_until = match stopping.lingers_until {
            _ if owed > 0 => None,
            None => now.checked_add(linger),
            lingers_until => lingers_until,
        };
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        self.clients.is_empty() || is_due(stopping.deadline) || is_due(stopping.lingers_until)
    }
}

/// How many clients have requests to be executed or replies to be written.
fn count_owed(clients: &Slab<Client>) -> usize {
    let owes = |client: &Client| client.standing == Standing::Answered || client.connection.owes();
    clients.iter().filter(|(_, client)| owes(client)).count()
}

/// Limits the bytes that wait in the system to be sent, which could grow to megabytes for a client
/// that does not read. Bytes in flight do not count, so clients that read are not slowed down.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn limit_unsent(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    SockRef::from(stream).set_tcp_notsent_lowat(bytes)
}

/// The same on systems that have one limit for both.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn limit_unsent(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    SockRef::from(stream).set_send_buffer_size(bytes)
}

impl Stream for TcpStream {
    fn end_output(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Client {
    /// Registers what the connection waits for. A change of interest gives an event at once if the
    /// socket is ready already, so nothing is missed.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::response::OK;
    use mio::Waker;
    use std::io::{ErrorKind, Read, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::thread;

    /// A commit that is done when the test says so.
    #[derive(Clone)]
    struct Slow {
        submitted: Arc<AtomicU64>,
        committed: Arc<AtomicU64>,
        waker: Arc<Waker>,
    }

    impl Commit for Slow {
        fn submit(&mut self) -> u64 {
            self.submitted.fetch_add(1, SeqCst) + 1
        }

        fn committed(&self) -> u64 {
            self.committed.load(SeqCst)
        }
    }

    impl Slow {
        /// Waits until more commits than these are submitted.
        fn wait_for_submitted(&self, commits: u64) {
            while self.submitted.load(SeqCst) <= commits {
                thread::yield_now();
            }
        }

        fn finish(&self) {
            self.committed.store(self.submitted.load(SeqCst), SeqCst);
            self.waker.wake().expect("the server runs");
        }
    }

    struct Client(std::net::TcpStream);

    impl Client {
        fn connect(address: std::net::SocketAddr) -> Client {
            let stream = std::net::TcpStream::connect(address).expect("listens");
            let deadline = Some(Duration::from_secs(20));
            stream.set_read_timeout(deadline).expect("takes a timeout");
            Client(stream)
        }

        fn send(&mut self, requests: &[u8]) {
            self.0.write_all(requests).expect("is read");
        }

        #[track_caller]
        fn expect(&mut self, replies: &[u8]) {
            let mut received = vec![0; replies.len()];
            self.0.read_exact(&mut received).expect("replies in time");
            assert_eq!(
                received.escape_ascii().to_string(),
                replies.escape_ascii().to_string()
            );
        }

        /// Asks again until this is the reply.
        fn ask_until(&mut self, request: &[u8], reply: &[u8]) {
            loop {
                self.send(request);
                let mut received = Vec::new();
                while !received.ends_with(b"\n\n") {
                    let mut byte = [0];
                    self.0.read_exact(&mut byte).expect("replies in time");
                    received.extend(byte);
                }
                if received == reply {
                    return;
                }
            }
        }

        fn has_nothing(&self) -> bool {
            self.0.set_nonblocking(true).expect("takes the mode");
            let peeked = self.0.peek(&mut [0]).map_err(|error| error.kind());
            self.0.set_nonblocking(false).expect("takes the mode");
            peeked == Err(ErrorKind::WouldBlock)
        }
    }

    /// Runs `test` beside a server whose commits take as long as it says.
    fn with_slow_commits<T>(
        config: Config,
        test: impl FnOnce(std::net::SocketAddr, &Slow) -> T,
    ) -> T {
        let listen = vec!["127.0.0.1:0".into()];
        let server = Server::bind(Config { listen, ..config }).expect("binds");
        let (address, stop) = (server.local_addrs()[0], server.stop_handle());
        let waker = Waker::new(server.poll.registry(), COMMITTED).expect("a waker");
        let commit = Slow {
            submitted: Arc::default(),
            committed: Arc::default(),
            waker: Arc::new(waker),
        };
        thread::scope(|scope| {
            let of_server = commit.clone();
            let run = || EventLoop::new(server, &mut Store::new(), of_server, Instant::now).run();
            let running = scope.spawn(run);
            let result = test(address, &commit);
            stop.stop();
            commit.finish();
            running.join().expect("does not panic").expect("stops");
            result
        })
    }

    #[test]
    fn replies_to_puts_wait_for_their_commit_and_others_go_on() {
        with_slow_commits(Config::default(), |address, commit| {
            let [mut one, mut other, mut reader] = [(); 3].map(|()| Client::connect(address));
            one.send(b"put k 1 1\n");
            // The point is stored, and other clients read it.
            reader.ask_until(b"get k\n", b"ok\nk 1.0 1\n\n");
            one.send(b"get k\nput k 2 2\n");
            other.send(b"put other 1 1\n");
            reader.ask_until(b"get other\n", b"ok\nother 1.0 1\n\n");
            assert!(one.has_nothing() && other.has_nothing());
            commit.finish();
            one.expect(OK);
            other.expect(OK);
            // What was sent in the meantime is executed now, and its put waits again.
            reader.ask_until(b"get k\n", b"ok\nk 1.0 1\nk 2.0 2\n\n");
            assert!(one.has_nothing());
            commit.finish();
            one.expect(&[b"ok\nk 1.0 1\n\n", OK].concat());
            one.send(b"get other\n");
            one.expect(b"ok\nother 1.0 1\n\n");
        });
    }

    #[test]
    fn what_waits_unsent_is_limited() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).expect("listens");
        limit_unsent(&stream, 5_000).expect("takes the limit");
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().ok(), Some(5_000));
    }

    #[test]
    fn what_waits_for_a_commit_is_bounded() {
        let config = Config {
            turn_reply_bytes: 3 * OK.len(),
            ..Config::default()
        };
        with_slow_commits(config, |address, commit| {
            let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(address)).collect();
            for client in &mut clients {
                client.send(b"put k 1 1\n");
            }
            // Of ten, three are executed for each commit.
            for commits in 0..4 {
                commit.wait_for_submitted(commits);
                commit.finish();
            }
            for client in &mut clients {
                client.expect(OK);
            }
            assert!((4..=10).contains(&commit.submitted.load(SeqCst)));
        });
    }

    #[test]
    fn replies_that_wait_for_a_commit_are_written_by_a_stopping_server() {
        let mut client = with_slow_commits(Config::default(), |address, _| {
            let [mut client, mut reader] = [(); 2].map(|()| Client::connect(address));
            client.send(b"put k 1 1\n");
            reader.ask_until(b"get k\n", b"ok\nk 1.0 1\n\n");
            client
        });
        client.expect(OK);
    }
}
