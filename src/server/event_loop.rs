//! The event loop: waits for events, and gives each connection its turns.

mod closing;
mod replies;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Token};
use slab::Slab;

use self::replies::Executed;
use super::client::{Client, READ_INTEREST, Standing};
use super::commit::{Commit, Recorder};
use super::connection::{Connection, Next};
use super::hooks;
use super::listener::Socket;
use super::rarely::Rarely;
use super::ready_queue::ReadyQueue;
use super::shared::Shared;
use super::silence::Silence;
use super::stop::{self, Stopping};
use super::timeouts::{Stillness, Timeouts};
use super::upkeep::Upkeep;
use super::waiting::WaitingReplies;
use super::{COMMITTED, LISTENERS, REPORT, STOP, Server};
use crate::config::{Config, Protocol};
use crate::error::Error;
use crate::store::Store;
use crate::turn::{Allowance, Clock};

/// Fresh connections that are served between two looks at the clock: some 0.1 ms.
const CLIENTS_PER_LOOK: usize = 16;

/// How long a commit may take to end when there is no time left: less than anyone notices.
const CLOSE_WAIT: Duration = Duration::from_millis(50);

/// A server that runs.
///
/// It waits for events, and then takes a turn: all connections that are ready execute, what they
/// put is committed, all get their replies. A slice of cleaning up ends the turn.
pub struct EventLoop {
    server: Server,
    shared: Shared,
    commit: Box<dyn Commit>,
    clock: Clock,
    clients: Slab<Client>,
    ready: ReadyQueue,
    /// Connections whose replies are in `shared.replies`, in the same order.
    executed: Vec<Executed>,
    waiting: WaitingReplies,
    silence: Silence,
    /// The last turn has put something that is not submitted yet. It is submitted with what the next
    /// turn puts.
    leaves_puts: bool,
    /// This turn may leave what it puts: the one before it left nothing.
    may_leave: bool,
    /// Of each commit that is pending and has puts that are never answered: its number, and how many
    /// these are.
    unanswered: VecDeque<(u64, u64)>,
    /// Keys of connections whose next line is a put that may not be executed yet, in the order in
    /// which they came to it.
    postponed: Vec<usize>,
    /// Keys of connections that are over. They leave the slab at the end of the turn, when all
    /// events are handled, so that no event is taken for one of a later connection of the same key.
    closed: Vec<usize>,
    timeouts: Timeouts,
    stop_requests: usize,
    stopping: Option<Stopping>,
    has_housework: bool,
    cut_off_log: Rarely,
    /// More connections are to be closed, since memory is short.
    is_shedding: bool,
    shed_log: Rarely,
    upkeep: Upkeep,
    /// When to say that the loop goes round.
    alive_due: Option<Instant>,
}

impl EventLoop {
    pub fn new(mut server: Server, mut commit: Box<dyn Commit>, clock: Clock) -> Self {
        let mut store = mem::take(&mut server.store);
        store.set_snapshot_limit_bytes(server.config.snapshot_limit_bytes);
        let recorder = commit.record().map(Recorder::new);
        let mut shared = Shared::new(store, recorder, &server.config);
        shared.tally.publish_to(&server.counters.event_loop);
        shared.environment.counters = server.counters.clone();
        let upkeep = Upkeep::new(&server.config, &shared, clock());
        let log_interval = server.config.full_log_interval;
        EventLoop {
            shared,
            timeouts: Timeouts::new(&server.config, clock()),
            upkeep,
            alive_due: server.hooks.alive_interval.map(|_| clock()),
            server,
            commit,
            clock,
            clients: Slab::new(),
            ready: ReadyQueue::default(),
            executed: Vec::new(),
            waiting: WaitingReplies::default(),
            silence: Silence::default(),
            leaves_puts: false,
            may_leave: true,
            unanswered: VecDeque::new(),
            postponed: Vec::new(),
            closed: Vec::new(),
            stop_requests: 0,
            stopping: None,
            // What was recovered may be too old or too much, though nobody connects.
            has_housework: true,
            cut_off_log: Rarely::new(log_interval),
            is_shedding: false,
            shed_log: Rarely::new(log_interval),
        }
    }

    /// Takes turns until the server is stopped, and hands back the store.
    pub fn run(mut self) -> Result<Store, Error> {
        let mut events = Events::with_capacity(self.config().events_per_turn);
        let acceptor = &self.server.acceptor;
        for (address, protocol) in acceptor.addresses.iter().zip(acceptor.protocols()) {
            match protocol {
                Protocol::Lines => info!("listening on {address}"),
                #[cfg(any(feature = "graphite", feature = "http"))]
                _ => info!("{protocol}: listening on {address}"),
            }
        }
        while !self.is_stopped() {
            let mut timeout = self.timeout();
            if timeout != Some(Duration::ZERO) && self.commit.look(true) {
                timeout = Some(Duration::ZERO);
            }
            self.wait_and_turn(&mut events, timeout)?;
        }
        let owed = count_owed(&self.clients);
        if owed > 0 {
            warn!("{owed} clients have not got all of their replies: see --stop-timeout");
        }
        let stopping = self.stopping.as_ref().filter(|_| self.stop_requests < 2);
        let wait = stopping.map_or(Duration::ZERO, |stopping| {
            stopping.time_left((self.clock)())
        });
        self.commit.close(wait.max(CLOSE_WAIT))?;
        info!("stopped");
        Ok(self.shared.store)
    }

    fn config(&self) -> &Config {
        &self.server.config
    }

    fn wait_and_turn(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let polled = self.server.poll.poll(events, timeout);
        self.commit.look(false);
        match polled {
            // By SIGCONT, for one: what came while the process was suspended is handled before timers that ran
            // out meanwhile.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled.map_err(Error::system("wait for events"))?,
        }
        let now = (self.clock)();
        self.timeouts.now = now;
        self.say_alive(now);
        let is_to_report = self.handle_events(events);
        if self.stop_requests > 0 && self.stopping.is_none() {
            self.begin_stopping(now);
        }
        self.accept(now);
        self.turn(now);
        self.publish_counts(now);
        if is_to_report {
            self.report();
        }
        Ok(())
    }

    /// How long the loop may wait for events: not at all while there is something to do, else until
    /// the next timer is due. Without a timer it is `None`, so that an idle server makes no system
    /// calls.
    fn timeout(&self) -> Option<Duration> {
        let acceptor = &self.server.acceptor;
        let has_work = !self.ready.is_empty()
            || self.has_housework
            || self.timeouts.is_looking()
            || self.is_shedding
            || self.leaves_puts;
        if has_work || acceptor.is_waiting() || self.may_reply() || self.may_readmit() {
            return Some(Duration::ZERO);
        }
        let stopping = self.stopping.as_ref();
        let stopping = stopping.and_then(|stopping| stopping.due((self.clock)()));
        let due = [
            acceptor.retry_at(),
            stopping,
            self.timeouts.wake_at(),
            self.upkeep.wake_at(&self.shared),
            self.silence.due(),
            self.alive_due,
        ];
        let due = due.into_iter().flatten().min()?;
        Some(due.saturating_duration_since((self.clock)()))
    }

    /// Tells the program around the server, when it is time, that the loop goes round.
    fn say_alive(&mut self, now: Instant) {
        if self.alive_due.is_some_and(|due| now >= due) {
            (self.server.hooks.on_event)(hooks::Event::Alive);
            let interval = self.server.hooks.alive_interval;
            self.alive_due = interval.and_then(|interval| now.checked_add(interval));
        }
    }

    /// Queues the connections that have events, and counts the requests to stop. Events are hints
    /// only: a turn tries to read or write, and finds out. Returns whether there are requests to report.
    fn handle_events(&mut self, events: &Events) -> bool {
        let mut is_to_report = false;
        for event in events {
            let [stops, reports] = &mut self.server.requests;
            match event.token() {
                LISTENERS => self.server.acceptor.wake(),
                STOP => self.stop_requests += stop::take_requests(stops),
                REPORT => is_to_report |= stop::take_requests(reports) > 0,
                COMMITTED => {}
                Token(key) => self.handle_event(key, event),
            }
        }
        is_to_report
    }

    fn handle_event(&mut self, key: usize, event: &Event) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let has_hung_up = event.is_write_closed() || event.is_error();
        if has_hung_up {
            self.shared.kept_bytes -= client.connection.kept_bytes();
            client.connection.hang_up();
            self.shared.kept_bytes += client.connection.kept_bytes();
        }
        // A read stops short of urgent data.
        if has_hung_up || event.is_read_closed() || event.is_priority() {
            client.connection.expects_short_reads = true;
        }
        match &mut client.standing {
            Standing::Idle => self.make_ready(key),
            Standing::Executed { is_ready } => *is_ready = true,
            Standing::Ready | Standing::Postponed | Standing::Closed => {}
        }
    }

    /// Queues a connection that is in no queue.
    #[inline]
    fn make_ready(&mut self, key: usize) {
        let client = &mut self.clients[key];
        client.standing = Standing::Ready;
        self.ready.push(key, client.connection.kept_bytes());
    }

    /// Queues the connections that wait for an event and of which this is true.
    fn make_all_ready(&mut self, is_due: impl Fn(&Client) -> bool) {
        for (key, client) in &mut self.clients {
            if client.standing == Standing::Idle && is_due(client) {
                client.standing = Standing::Ready;
                self.ready.busy.push_back(key);
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..self.config().accepts_per_turn {
            let server = &mut self.server;
            let connections = self.clients.len();
            let accepted = server.acceptor.accept(now, connections, &server.config);
            let Some((socket, protocol)) = accepted else {
                return;
            };
            if let Err(error) = self.add_client(socket, protocol) {
                debug!("cannot serve a client that connected: {error}");
            }
        }
    }

    fn add_client(&mut self, mut socket: Socket, protocol: Protocol) -> io::Result<()> {
        let entry = self.clients.vacant_entry();
        self.server
            .poll
            .registry()
            .register(&mut socket, Token(entry.key()), READ_INTEREST)?;
        debug!("connection {} opened", entry.key());
        entry.insert(Client {
            connection: Connection::new(socket, protocol),
            interest: READ_INTEREST,
            standing: Standing::Idle,
            still_since: self.timeouts.arm(Stillness::Idle, None),
        });
        self.shared.tally.counts.connections_accepted += 1;
        Ok(())
    }

    /// All execute, commit, all get their replies; then a slice of cleaning up.
    fn turn(&mut self, now: Instant) {
        let other_bytes = self.other_bytes();
        self.upkeep.begin_turn(&mut self.shared, other_bytes, now);
        self.reply_to_committed();
        self.count_unanswered();
        if self.may_readmit() {
            for key in mem::take(&mut self.postponed) {
                self.make_ready(key);
            }
        }
        // While connections are closed to keep less memory, the others do not come to keep more.
        if !self.is_shedding {
            self.serve_ready(now);
        }
        self.close_still();
        self.remove_closed();
        self.shed_connections(now);
        self.do_housework(now);
        self.silence.note(self.commit.pending(), now);
    }

    fn serve_ready(&mut self, now: Instant) {
        // Never in two turns in a row: the commit cleans up in a turn that ends with all submitted.
        self.may_leave = !self.leaves_puts;
        self.serve_fresh(now + self.config().turn_time);
        if !self.ready.busy.is_empty() {
            self.serve_busy();
        }
    }

    /// Serves all that are fresh. Those that are left when the time is over get only so much that small
    /// requests are answered: the rest of a larger one is for a busy turn.
    fn serve_fresh(&mut self, ends_at: Instant) {
        let mut share = self.ready.fresh_share(self.config(), self.clock);
        for served in 1..=self.ready.fresh.len() {
            if let Some(key) = self.ready.fresh.pop_front() {
                self.serve(key, share.clone());
            }
            if served.is_multiple_of(CLIENTS_PER_LOOK) && (self.clock)() >= ends_at {
                share.reply_bytes = Config::LATE_REPLY_BYTES;
            }
            if self.keeps_too_much() {
                break;
            }
        }
        self.commit_and_reply();
    }

    /// Serves at least one of those that are busy, and more while there is time.
    fn serve_busy(&mut self) {
        let share = self.ready.busy_share(self.config(), self.clock);
        let ends_at = (self.clock)() + self.config().turn_time;
        for _ in 0..self.ready.busy.len() {
            if let Some(key) = self.ready.busy.pop_front() {
                self.serve(key, share.clone());
            }
            if (self.clock)() >= ends_at || self.keeps_too_much() {
                break;
            }
        }
        self.commit_and_reply();
    }

    /// Lets a connection execute. The replies that it appends are written after the commit.
    fn serve(&mut self, key: usize, mut allowance: Allowance) {
        if self.shared.keeps_much(&self.server.config) {
            allowance.lower_to_least();
        }
        let admission = self.admission();
        let client = &mut self.clients[key];
        let start = self.shared.replies.len();
        self.shared.kept_bytes -= client.connection.kept_bytes();
        if let Some(recorder) = &mut self.shared.recorder {
            recorder.admission = admission;
        }
        client.connection.execute(&mut self.shared, &mut allowance);
        client.standing = Standing::Executed { is_ready: false };
        let replies = start..self.shared.replies.len();
        if replies.is_empty() {
            return self.end_turn(key);
        }
        self.executed.push(Executed { key, replies });
        let are_many = self.executed.len() >= Config::TURN_REPLIES;
        if are_many || self.shared.replies.len() >= self.config().turn_reply_bytes {
            self.commit_and_reply();
        }
    }

    /// Ends the turn of a connection: it awaits an event or another turn, or is over.
    fn end_turn(&mut self, key: usize) {
        let client = &mut self.clients[key];
        let next = client.connection.next();
        self.shared.kept_bytes += client.connection.kept_bytes();
        let has_event = client.standing == Standing::Executed { is_ready: true };
        client.standing = Standing::Idle;
        let interest = match next {
            Next::AwaitRead => READ_INTEREST,
            Next::AwaitWrite => Interest::WRITABLE,
            Next::AwaitAdmission => {
                client.standing = Standing::Postponed;
                return self.postponed.push(key);
            }
            Next::Again => {
                client.standing = Standing::Ready;
                return self.ready.busy.push_back(key);
            }
            Next::Close => return self.close(key),
        };
        let registry = self.server.poll.registry();
        if client.set_interest(interest, key, registry).is_err() {
            self.close(key);
        } else if has_event {
            self.make_ready(key);
        } else {
            let awaited_since = client.connection.session.awaited_since();
            client.still_since = self.timeouts.arm(client.stillness(), awaited_since);
        }
    }

    /// Bytes of all connections.
    fn connections_bytes(&self) -> usize {
        self.clients.capacity() * size_of::<Client>() + self.shared.kept_bytes
    }

    /// Bytes of all but the store, as far as they are counted.
    fn other_bytes(&self) -> usize {
        self.connections_bytes() + self.shared.buffer_bytes() + self.commit.pending_bytes()
    }

    /// Cleans up a slice of the store, and wakes clients whose replies were cut off.
    fn do_housework(&mut self, now: Instant) {
        let admission = self.admission();
        let config = &self.server.config;
        self.has_housework = self.shared.store.clean_up(config.housework_notes);
        let upkeep = &mut self.upkeep;
        self.has_housework |= upkeep.clean_up(&mut self.shared, admission, config, now);
        if let Some(recorder) = self.shared.recorder.as_mut().filter(|_| !self.leaves_puts) {
            // After that, so that what was evicted is submitted though no other turn follows.
            self.commit.clean_up(&self.shared.store, &mut recorder.puts);
        }
        let cut_off = self.shared.store.snapshots_cut_off();
        let counts = &mut self.shared.tally.counts;
        if mem::replace(&mut counts.connections_cut_off, cut_off) == cut_off {
            return;
        }
        if self.cut_off_log.is_due(now) {
            warn!(
                "slow readers are cut off: what is kept for them is at --snapshot-limit, or at its part \
                 of --memory-limit"
            );
        }
        // Those that wait for their clients would not notice.
        self.make_all_ready(|client| client.connection.session.is_cut_off());
    }

    /// Publishes the counts at the end of a turn.
    fn publish_counts(&mut self, turn_began: Instant) {
        let connections_bytes = self.connections_bytes();
        let shared = &mut self.shared;
        let counts = &mut shared.tally.counts;
        counts.connections_open = self.clients.len() as u64;
        counts.connections_paused = self.server.acceptor.pauses;
        let (store, bytes) = (&shared.store, shared.store.bytes());
        counts.connections_bytes = connections_bytes as u64;
        counts.store_series = store.series_count() as u64;
        counts.store_points = store.point_count() as u64;
        counts.store_points_bytes = bytes.points as u64;
        counts.store_keys_bytes = bytes.keys as u64;
        counts.store_index_bytes = bytes.index as u64;
        counts.store_snapshots_bytes = bytes.snapshots as u64;
        counts.store_evicted_points = store.evicted_points();
        counts.store_expired_points = store.expired_points();
        let pending = self.commit.pending();
        counts.journal_waiting_frames = pending.end - pending.start;
        counts.add_turn((self.clock)().saturating_duration_since(turn_began));
        shared.tally.publish();
    }

    /// Logs what was counted.
    #[cold]
    fn report(&self) {
        for line in self.server.counters.read().to_string().lines() {
            info!("{line}");
        }
        #[cfg(feature = "remote-write")]
        for receiver in &self.server.counters.receivers {
            if let Some(line) = receiver.last_error_line() {
                info!("{line}");
            }
        }
    }

    /// Stops accepting, and closes each connection after one more read, when what was read is
    /// executed and all replies are written.
    fn begin_stopping(&mut self, now: Instant) {
        info!("stopping: {} connections", self.clients.len());
        self.server.acceptor.close();
        (self.server.hooks.on_event)(hooks::Event::Stopping);
        for (_, client) in &mut self.clients {
            client.connection.begin_closing();
        }
        self.make_all_ready(|_| true);
        self.stopping = Some(Stopping::new(now, self.config()));
    }

    /// Whether the server is stopping, and has nothing more to wait for: neither clients nor what is
    /// to be kept of their puts.
    fn is_stopped(&mut self) -> bool {
        let Some(stopping) = &mut self.stopping else {
            return false;
        };
        let owed = count_owed(&self.clients);
        let now = (self.clock)();
        let waits = stopping.waits_for(self.clients.len(), owed, now);
        let (recorder, store) = (&mut self.shared.recorder, &self.shared.store);
        // Once nobody is owed anything, nothing more is put.
        let recorder = recorder.as_mut().filter(|_| owed == 0);
        let must_keep = recorder.is_some_and(|all| self.commit.finish(store, &mut all.puts));
        let is_kept = owed == 0 && (!must_keep || stopping.is_time_for_disk(now));
        self.stop_requests > 1 || stopping.time_left(now).is_zero() || is_kept && !waits
    }
}

/// How many clients have requests to be executed or replies to be written.
fn count_owed(clients: &Slab<Client>) -> usize {
    clients.iter().filter(|(_, client)| client.owes()).count()
}

#[cfg(test)]
mod tests;
