use super::*;
use crate::config::WhenFull;
use crate::counters::Counts;
use crate::journal::file_places::FilePlaces;
use crate::journal::frame::FRAME_HEAD_BYTES;
use crate::journal::record::PutRecord;
use crate::journal::replay;
use crate::memory::Room;
use crate::protocol::response::{NOT_STORED, OK, WRONG_COMMAND};
use crate::server::StopHandle;
use crate::server::commit::{Admission, Outcome};
use mio::Waker;
use socket2::SockRef;
use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A commit that does what the test says.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Story>>);

struct Story {
    outcomes: Vec<Outcome>,
    /// How many puts each submission had.
    submitted: Vec<usize>,
    replayed: Store,
    places: FilePlaces,
    admission: Admission,
    /// What is still to be done before the end.
    unfinished: bool,
    /// It was asked whether there is.
    is_finishing: bool,
    turns: usize,
}

impl Default for Story {
    fn default() -> Story {
        Story {
            outcomes: Vec::new(),
            submitted: Vec::new(),
            replayed: Store::new(),
            places: FilePlaces::default(),
            admission: Admission::Open,
            unfinished: false,
            is_finishing: false,
            turns: 0,
        }
    }
}

impl Told {
    fn story(&self) -> MutexGuard<'_, Story> {
        self.0.lock().expect("no test panics while it is locked")
    }

    /// Decides the first submission that is pending.
    fn decide(&self, outcome: Outcome) {
        self.story().outcomes.push(outcome);
    }

    fn pending(&self) -> usize {
        let story = self.story();
        story.submitted.len() - story.outcomes.len()
    }
}

impl Commit for Told {
    fn record(&mut self) -> Option<PutRecord> {
        Some(PutRecord::new(usize::MAX))
    }

    fn submit(&mut self, puts: &mut PutRecord) -> u64 {
        assert!(!puts.is_empty());
        let (mut story, mut count) = (self.story(), 0);
        while !puts.is_empty() {
            let payload = &puts.take()[FRAME_HEAD_BYTES..];
            let Story {
                replayed, places, ..
            } = &mut *story;
            count += replay::read(payload, places, replayed).expect("puts");
        }
        story.submitted.push(count);
        story.submitted.len() as u64 - 1
    }

    fn look(&mut self, _will_wait: bool) -> bool {
        false
    }

    fn outcome(&self, number: u64) -> Outcome {
        let outcome = self.story().outcomes.get(number as usize).copied();
        outcome.unwrap_or(Outcome::Pending)
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn pending(&self) -> Range<u64> {
        let story = self.story();
        story.outcomes.len() as u64..story.submitted.len() as u64
    }

    fn admission(&self) -> Admission {
        self.story().admission
    }

    fn clean_up(&mut self, _store: &Store, puts: &mut PutRecord) {
        self.story().turns += 1;
        if !puts.is_empty() {
            self.submit(puts);
        }
    }

    fn finish(&mut self, _store: &Store, _puts: &mut PutRecord) -> bool {
        let mut story = self.story();
        story.is_finishing = true;
        story.unfinished
    }

    fn close(self: Box<Self>, _wait: Duration) -> Result<(), Error> {
        Ok(())
    }
}

thread_local! {
    static START: Instant = Instant::now();
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The time, which the test sets.
fn clock() -> Instant {
    START.with(|start| *start + PASSED.get())
}

/// A server whose loop takes a step when the test says so.
struct House {
    event_loop: EventLoop,
    told: Told,
}

impl House {
    fn new(config: Config) -> House {
        House::holding(0, config)
    }

    /// A house whose store has a series `k` of so many points.
    fn holding(points: i64, config: Config) -> House {
        PASSED.set(Duration::ZERO);
        let listen = vec![
            "127.0.0.1:0".into(),
            #[cfg(feature = "http")]
            crate::config::Listen {
                address: "127.0.0.1:0".into(),
                protocol: Protocol::Http,
            },
            #[cfg(feature = "graphite")]
            crate::config::Listen {
                address: "127.0.0.1:0".into(),
                protocol: Protocol::Graphite,
            },
        ];
        let (config, stop) = (Config { listen, ..config }, StopHandle::new());
        let mut store = Store::new();
        for timestamp in 1..=points {
            store.put("k", timestamp, 1.0);
        }
        let stop = stop.expect("there are descriptors left");
        let server =
            Server::bind_with(config, stop, store, hooks::Hooks::default()).expect("binds");
        let told = Told::default();
        House {
            event_loop: EventLoop::new(server, Box::new(told.clone()), clock),
            told,
        }
    }

    fn connect(&mut self) -> Client {
        self.connect_to(Protocol::Lines)
    }

    fn connect_to(&mut self, protocol: Protocol) -> Client {
        let mut addresses = self.event_loop.server.local_addrs_of(protocol);
        let address = addresses
            .next()
            .and_then(|address| address.tcp())
            .expect("TCP");
        drop(addresses);
        let stream = std::net::TcpStream::connect(address).expect("listens");
        stream.set_nonblocking(true).expect("takes the mode");
        // What is sent is there at once.
        stream.set_nodelay(true).expect("takes the mode");
        self.settle();
        Client(stream)
    }

    /// Takes turns until there is nothing to do, and the loop would wait.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            if self.event_loop.is_stopped() {
                return;
            }
            if !self.turn() && self.event_loop.timeout() != Some(Duration::ZERO) {
                return self.check();
            }
        }
        panic!("the loop spins");
    }

    /// Takes a turn without waiting, and returns whether there was an event.
    fn turn(&mut self) -> bool {
        let mut events = Events::with_capacity(64);
        let turned = self
            .event_loop
            .wait_and_turn(&mut events, Some(Duration::ZERO));
        turned.expect("takes a turn");
        !events.is_empty()
    }

    /// Compares what is counted with what there is.
    fn check(&self) {
        let EventLoop {
            clients,
            waiting,
            shared,
            ..
        } = &self.event_loop;
        let kept = clients
            .iter()
            .map(|(_, client)| client.connection.kept_bytes());
        let kept = kept.sum::<usize>() + waiting.kept_bytes();
        assert_eq!(shared.kept_bytes, kept);
    }

    /// Sends requests, and has them executed as far as they can be.
    fn send(&mut self, client: &mut Client, requests: &[u8]) {
        client.send(requests);
        self.settle();
    }

    fn decide(&mut self, outcome: Outcome) {
        self.told.decide(outcome);
        self.settle();
    }

    /// The same for all that is submitted, and for what that has submitted.
    fn decide_all(&mut self, outcome: Outcome) {
        while self.told.pending() > 0 {
            self.decide(outcome);
        }
    }

    fn admit(&mut self, admission: Admission) {
        self.told.story().admission = admission;
        self.settle();
    }

    /// Sets the time, and takes the turns that are due then.
    fn pass(&mut self, seconds: u64) {
        PASSED.set(Duration::from_secs(seconds));
        self.settle();
    }

    fn counts(&self) -> Counts {
        self.event_loop.server.counters.read()
    }

    fn client_count(&self) -> usize {
        self.event_loop.clients.len()
    }

    fn point_count(&self) -> usize {
        self.event_loop.shared.store.point_count()
    }

    fn stop(&mut self) {
        self.event_loop.server.stop_handle().stop();
        self.settle();
    }
}

struct Client(std::net::TcpStream);

impl Client {
    /// Sends requests, which are read in a later turn.
    fn send(&mut self, requests: &[u8]) {
        self.0.write_all(requests).expect("is read");
    }

    /// What has arrived by now.
    fn received(&mut self) -> String {
        let mut received = Vec::new();
        match self.0.read_to_end(&mut received) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        received.escape_ascii().to_string()
    }

    #[track_caller]
    fn expect(&mut self, replies: &[u8]) {
        assert_eq!(self.received(), replies.escape_ascii().to_string());
    }
}

const GET_REPLY: &[u8] = b"ok\nk 1.0 1\n\n";

#[test]
fn replies_to_puts_wait_for_their_commit_and_others_go_on() {
    let mut house = House::new(Config::default());
    let [mut one, mut other, mut reader] = [(); 3].map(|()| house.connect());
    house.send(&mut one, b"put k 1 1\n");
    // The point is stored, and other clients read it.
    house.send(&mut reader, b"get k\n");
    reader.expect(GET_REPLY);
    house.send(&mut one, b"get k\nput k 2 2\n");
    house.send(&mut other, b"put other 1 1\n");
    house.send(&mut reader, b"get other\n");
    reader.expect(b"ok\nother 1.0 1\n\n");
    one.expect(b"");
    other.expect(b"");
    house.decide(Outcome::Stored);
    // What was sent in the meantime is executed now, and its put waits again.
    one.expect(OK);
    other.expect(b"");
    house.send(&mut reader, b"get k\n");
    reader.expect(b"ok\nk 1.0 1\nk 2.0 2\n\n");
    house.decide(Outcome::Stored);
    other.expect(OK);
    one.expect(b"");
    house.decide(Outcome::Stored);
    one.expect(&[GET_REPLY, OK].concat());
    assert_eq!(house.told.story().submitted, [1, 1, 1]);
}

#[test]
fn puts_that_could_not_be_made_durable_are_answered_so_and_others_as_ever() {
    const STORED: Outcome = Outcome::Stored;
    const FAILED: Outcome = Outcome::NotStored;
    // What is sent at once, the outcomes, all replies. With no time, a get ends the turn.
    type Case = (
        &'static [u8],
        &'static [Outcome],
        &'static [&'static [u8]],
        Duration,
    );
    let (long, none) = (Duration::from_secs(1_000), Duration::ZERO);
    let pipelined = b"put k 1 1\nget k\nput k 1 1\nget none\n";
    let table: &[Case] = &[
        (pipelined, &[STORED], &[OK, GET_REPLY, OK, OK], long),
        (
            pipelined,
            &[FAILED],
            &[NOT_STORED, GET_REPLY, NOT_STORED, OK],
            long,
        ),
        (pipelined, &[STORED, STORED], &[OK, GET_REPLY, OK, OK], none),
        (
            pipelined,
            &[STORED, FAILED],
            &[OK, GET_REPLY, NOT_STORED, OK],
            none,
        ),
        (
            pipelined,
            &[FAILED, STORED],
            &[NOT_STORED, GET_REPLY, OK, OK],
            none,
        ),
        (
            b"put k 1 1\nput k 1 1\n",
            &[FAILED],
            &[NOT_STORED, NOT_STORED],
            long,
        ),
        (
            b"get none\nput k 1 1\nx\n",
            &[FAILED],
            &[OK, NOT_STORED, WRONG_COMMAND],
            long,
        ),
        (b"get none\nget none\n", &[], &[OK, OK], long),
    ];
    for &(requests, outcomes, replies, turn_time) in table {
        let mut house = House::new(Config {
            turn_time,
            ..Config::default()
        });
        let mut client = house.connect();
        house.send(&mut client, requests);
        for &outcome in outcomes {
            client.expect(b"");
            assert_eq!(house.told.pending(), 1);
            house.decide(outcome);
        }
        client.expect(&replies.concat());
        assert_eq!(house.told.pending(), 0);
    }
}

#[test]
fn of_many_connections_each_gets_the_outcome_of_its_own_puts() {
    let mut house = House::new(Config::default());
    let mut clients: Vec<Client> = (0..250).map(|_| house.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let request: &[u8] = [&b"get none\n"[..], b"put k 1 1\n"][usize::from(number >= 50)];
        client.send(request);
    }
    house.settle();
    let submissions = house.told.pending();
    assert!((3..200).contains(&submissions), "{submissions}");
    assert_eq!(house.told.story().submitted.iter().sum::<usize>(), 200);
    house.decide(Outcome::NotStored);
    for _ in 1..submissions {
        house.told.decide(Outcome::Stored);
    }
    // More than are replied to in one turn.
    house.settle();
    let failed = house.told.story().submitted[0];
    let replies: Vec<String> = clients.iter_mut().map(Client::received).collect();
    let denied = NOT_STORED.escape_ascii().to_string();
    assert_eq!(
        replies.iter().filter(|reply| **reply == denied).count(),
        failed
    );
    let ok = OK.escape_ascii().to_string();
    assert_eq!(
        replies.iter().filter(|reply| **reply == ok).count(),
        250 - failed
    );
}

#[test]
fn few_puts_of_several_clients_are_submitted_with_those_of_the_next_turn() {
    let many = b"put k 1 1\n".repeat(Config::COMMIT_PUTS as usize / 2);
    for (puts, submitted) in [
        (&[&b"put k 1 1\n"[..]][..], &[1][..]),
        (&[b"put k 1 1\n", b"get k\n"], &[]),
        (&[&many, &many[10..]], &[]),
        (&[&many, &many], &[32]),
    ] {
        let mut house = House::new(Config::default());
        let mut clients = [(); 3].map(|()| house.connect());
        for (client, puts) in clients.iter_mut().zip(puts) {
            client.send(puts);
        }
        house.turn();
        assert_eq!(house.told.story().submitted, submitted);
        clients[2].send(b"put k 2 2\n");
        let is_due = house.event_loop.timeout() == Some(Duration::ZERO);
        assert_eq!(is_due, submitted.is_empty());
        let put_count = puts.concat().split(|&byte| byte == b'p').count() - 1;
        let expected = match submitted {
            [] => vec![put_count + 1],
            _ => vec![put_count, 1],
        };
        house.turn();
        assert_eq!(house.told.story().submitted, expected);
        house.decide_all(Outcome::Stored);
        clients[2].expect(OK);
    }
}

#[test]
fn turns_that_leave_puts_do_not_keep_the_commit_from_cleaning_up() {
    let config = Config {
        read_buffer_bytes: 512,
        ..Config::default()
    };
    let mut house = House::new(config);
    // Two that have few puts in what is read at once, so that each turn could leave them.
    let requests = ["put k 1 1\n", &"get none\n".repeat(100)].concat();
    let mut clients = [(); 2].map(|()| house.connect());
    for client in &mut clients {
        let requests = requests.repeat(20);
        client.send(requests.as_bytes());
    }
    let (mut busy_turns, before) = (0, house.told.story().turns);
    for _ in 0..20 {
        // As if two others had just left theirs.
        house.event_loop.leaves_puts = true;
        busy_turns += usize::from(house.event_loop.ready.busy.len() == 2);
        house.turn();
        while house.told.pending() > 0 {
            house.told.decide(Outcome::Stored);
        }
    }
    assert!(busy_turns > 2, "{busy_turns}");
    assert_eq!(house.told.story().turns - before, 20);
}

#[test]
fn a_long_reply_after_puts_waits_for_them_and_then_goes_on() {
    let mut house = House::holding(20_000, Config::default());
    let mut client = house.connect();
    house.send(&mut client, b"put other 1 1\nget k\n");
    client.expect(b"");
    house.decide(Outcome::NotStored);
    let mut received = client.received();
    while !received.ends_with("k 1.0 20000\\n\\n") {
        house.settle();
        received += &client.received();
    }
    let denied = NOT_STORED.escape_ascii().to_string();
    assert!(received.starts_with(&(denied + "ok\\nk 1.0 1\\n")));
}

#[cfg(feature = "graphite")]
#[test]
fn puts_that_are_not_answered_are_submitted_and_counted_if_that_fails() {
    let mut house = House::new(Config::default());
    let [mut one, mut other] = [(); 2].map(|()| house.connect_to(Protocol::Graphite));
    house.send(&mut one, b"k 1 1\nk 2 2\n");
    house.send(&mut other, b"k 3 3\n");
    house.send(&mut one, b"k 4 4\nbad\n");
    assert_eq!(house.told.story().submitted, [2, 1, 1]);
    let counted = |house: &House| {
        let counts = house.counts();
        (counts.graphite_points, counts.graphite_points_refused)
    };
    let mut clients = [one, other];
    for (outcome, refused) in [
        (Outcome::NotStored, 2),
        (Outcome::Stored, 2),
        (Outcome::NotStored, 3),
    ] {
        house.decide(outcome);
        assert_eq!(counted(&house), (4, refused));
    }
    assert!(house.event_loop.unanswered.is_empty());
    for client in &mut clients {
        client.expect(b"");
    }
    let counts = house.counts();
    assert_eq!((counts.graphite_lines_bad, counts.requests_put), (1, 0));
}

#[cfg(feature = "graphite")]
#[test]
fn a_sender_of_graphite_lines_is_not_read_from_while_too_much_waits_for_the_disk() {
    for (next, stored, refused) in [(Admission::Open, 3, 0), (Admission::Refused, 0, 3)] {
        let mut house = House::new(Config::default());
        let mut client = house.connect_to(Protocol::Graphite);
        house.admit(Admission::Full);
        house.send(&mut client, b"bad\nk 1 1\nk 2.0 2.5\n");
        house.send(&mut client, b"bad\nk 3 3\n");
        let counts = house.counts();
        assert_eq!((counts.graphite_lines_bad, counts.graphite_points), (1, 0));
        // It makes nothing turn, and what came later is not read.
        assert_eq!(house.event_loop.timeout(), None);
        assert_eq!(house.event_loop.shared.kept_bytes, 16);
        house.admit(next);
        let counts = house.counts();
        assert_eq!(counts.graphite_lines_bad, 2);
        assert_eq!(counts.graphite_points, stored);
        assert_eq!(counts.graphite_points_refused, refused);
        assert_eq!(house.point_count() as u64, stored);
        client.expect(b"");
    }
}

#[test]
fn puts_of_a_client_that_is_gone_are_submitted() {
    let mut house = House::new(Config::default());
    let mut client = house.connect();
    house.send(&mut client, b"put k 1 1\n");
    client.send(b"put k 2 2\nput k 3 3\n");
    // Closed with a reply unread or to come, it is reset.
    drop(client);
    house.settle();
    house.decide(Outcome::Stored);
    house.decide_all(Outcome::NotStored);
    assert_eq!(house.client_count(), 0);
    let submitted: usize = house.told.story().submitted.iter().sum();
    assert_eq!((house.point_count(), submitted), (3, 3));
}

#[test]
fn refused_puts_are_not_executed() {
    let mut house = House::holding(1, Config::default());
    let mut client = house.connect();
    house.admit(Admission::Refused);
    house.send(&mut client, b"put k 2 2\nget k\nput  k 3 3\nput k x\n");
    client.expect(&[NOT_STORED, GET_REPLY, NOT_STORED, WRONG_COMMAND].concat());
    assert_eq!((house.point_count(), house.told.pending()), (1, 0));
    house.admit(Admission::Open);
    house.send(&mut client, b"put k 1 1\n");
    house.decide(Outcome::Stored);
    client.expect(OK);
}

#[test]
fn puts_wait_while_too_much_waits_for_the_disk_and_gets_do_not() {
    for (next, reply, points) in [
        (Admission::Open, OK, 3),
        (Admission::Refused, NOT_STORED, 1),
    ] {
        let mut house = House::holding(1, Config::default());
        let [mut one, mut other, mut reader] = [(); 3].map(|()| house.connect());
        house.admit(Admission::Full);
        house.send(&mut one, b"get k\nx\nput k 2 2\nput k 3 3\nget none\n");
        // All that was formed has left.
        one.expect(&[GET_REPLY, WRONG_COMMAND].concat());
        house.send(&mut other, b"put k 2 2\n");
        for _ in 0..3 {
            house.send(&mut one, b"get none\n");
            house.send(&mut reader, b"get none\nget k\n");
            reader.expect(&[OK, GET_REPLY].concat());
        }
        one.expect(b"");
        // Neither of them is read from, nor makes the loop turn.
        assert_eq!(house.event_loop.timeout(), None);
        assert_eq!(house.event_loop.shared.kept_bytes, 29 + 10);
        assert_eq!(house.point_count(), 1);
        house.admit(next);
        house.decide_all(Outcome::Stored);
        one.expect(&[reply, reply, &OK.repeat(4)].concat());
        other.expect(reply);
        assert_eq!(house.point_count(), points);
        let submitted: usize = house.told.story().submitted.iter().sum();
        assert_eq!(submitted, 3 * usize::from(points == 3));
    }
}

#[test]
fn a_disk_that_stands_still_does_not_make_the_loop_turn() {
    let mut house = House::new(Config::default());
    let mut clients: Vec<Client> = (0..20).map(|_| house.connect()).collect();
    for client in &mut clients[..10] {
        house.send(client, &b"put k 1 1\nget none\n".repeat(100));
    }
    house.admit(Admission::Full);
    for client in &mut clients[10..] {
        house.send(client, &b"put k 1 1\nget none\n".repeat(100));
    }
    let turns = house.told.story().turns;
    assert_eq!(house.event_loop.timeout(), Some(Config::DISK_PATIENCE));
    for client in &mut clients {
        house.send(client, b"put k 1 1\n");
    }
    // One for each event and one to see that there are no more.
    assert!(house.told.story().turns <= turns + 2 * clients.len());
    assert_eq!(house.event_loop.timeout(), Some(Config::DISK_PATIENCE));
    house.admit(Admission::Open);
    house.decide_all(Outcome::Stored);
    for client in &mut clients {
        client.expect(&OK.repeat(201));
    }
}

/// One turn in which each of the clients has sent its request.
fn turn_with(house: &mut House, clients: &mut [Client], request: impl Fn(usize) -> &'static str) {
    for (number, client) in clients.iter_mut().enumerate() {
        let request = request(number).as_bytes();
        client.send(request);
    }
    house.turn();
}

#[test]
fn clients_that_are_served_late_get_small_replies_only() {
    let config = Config {
        turn_time: Duration::ZERO,
        ..Config::default()
    };
    let mut house = House::holding(300, config);
    let mut clients: Vec<Client> = (0..40).map(|_| house.connect()).collect();
    let request = |number| ["get k\n", "get none\n"][number / 39];
    turn_with(&mut house, &mut clients, request);
    clients[39].expect(OK);
    // 16 were served in time, and one of the others was busy in the same turn.
    assert_eq!(count_owed(&house.event_loop.clients), 39 - 16 - 1);
    house.settle();
    for client in &mut clients[..39] {
        assert_eq!(client.received().matches("\\nk 1.0 ").count(), 300);
    }
}

#[test]
fn clients_that_are_served_in_time_get_their_share() {
    let mut house = House::holding(300, Config::default());
    let mut clients: Vec<Client> = (0..40).map(|_| house.connect()).collect();
    let request = |number| ["get k\nget last\n", "put last 1 1\n"][number / 39];
    turn_with(&mut house, &mut clients, request);
    for client in &mut clients[..39] {
        let received = client.received();
        assert!(received.ends_with("k 1.0 300\\n\\nok\\n\\n"), "{received}");
    }
    // What fits no share is for the busy ones, all of which are served while there is time.
    let mut house = House::holding(20_000, Config::default());
    let mut clients: Vec<Client> = (0..3).map(|_| house.connect()).collect();
    turn_with(&mut house, &mut clients, |_| "get k\n");
    for client in &mut clients {
        assert!(client.received().len() > 100_000);
    }
}

#[test]
fn replies_are_held_back_unless_connections_keep_much_and_memory_is_short() {
    const PIECE: usize = Config::FRESH_REPLY_MIN_BYTES;
    for (kept_limit_bytes, by_another, memory_limit_bytes, expected) in [
        (0, 0, None, 0..=PIECE),
        (20_000, 29_990, None, 60_000..=80_000),
        (20_000, 30_000, None, 30_000..=30_000 + PIECE),
        // Less than the process takes.
        (0, 0, Some(1 << 20), 0..=PIECE),
        // More than it ever takes.
        (0, 0, Some(usize::MAX), 30_000..=50_000),
    ] {
        let mut house = House::new(Config::default());
        let event_loop = &mut house.event_loop;
        event_loop.server.config.kept_limit_bytes = kept_limit_bytes;
        event_loop.server.config.memory_limit_bytes = memory_limit_bytes;
        let Shared { room, store, .. } = &mut event_loop.shared;
        *room = Room::new(memory_limit_bytes, WhenFull::Refuse);
        room.set_other_bytes(0, store);
        let mut another = house.connect();
        house.send(&mut another, &vec![b'x'; by_another]);
        let mut client = house.connect();
        client.send("x\n".repeat(2_000).as_bytes());
        let mut most_bytes = 0;
        for _ in 0..100 {
            house.turn();
            most_bytes = most_bytes.max(house.event_loop.shared.kept_bytes);
        }
        let case = (kept_limit_bytes, by_another, memory_limit_bytes);
        assert!(expected.contains(&most_bytes), "{case:?}: {most_bytes}");
        client.expect(&WRONG_COMMAND.repeat(2_000));
    }
}

#[test]
fn replies_are_held_back_where_memory_is_short_and_connections_keep_little() {
    let mut house = House::new(Config::default());
    let event_loop = &mut house.event_loop;
    // Less than the process takes.
    event_loop.server.config.memory_limit_bytes = Some(1 << 20);
    let Shared { room, store, .. } = &mut event_loop.shared;
    *room = Room::new(Some(1 << 20), WhenFull::Evict);
    room.set_other_bytes(0, store);
    // Half of what some are closed for, which is half of their part here.
    let much = event_loop.config().connections_part_bytes() / 4;
    for (kept_bytes, are_too_many) in [(0, false), (much - 1, false), (much, true)] {
        event_loop.shared.kept_bytes = kept_bytes;
        let answer = event_loop
            .shared
            .keeps_too_many_replies(event_loop.config());
        assert_eq!(answer, are_too_many, "{kept_bytes}");
    }
}

#[test]
fn what_waits_for_a_commit_does_not_keep_gets_from_being_served() {
    let mut house = House::new(Config {
        turn_reply_bytes: 3 * OK.len(),
        kept_limit_bytes: 3 * OK.len(),
        ..Config::default()
    });
    let mut clients: Vec<Client> = (0..10).map(|_| house.connect()).collect();
    for client in &mut clients {
        house.send(client, b"put k 1 1\n");
    }
    assert!(
        house
            .event_loop
            .shared
            .keeps_much(house.event_loop.config())
    );
    let mut reader = house.connect();
    house.send(&mut reader, b"get k\n");
    reader.expect(GET_REPLY);
    house.decide_all(Outcome::Stored);
    for client in &mut clients {
        client.expect(OK);
    }
    assert_eq!(house.event_loop.shared.kept_bytes, 0);
}

#[test]
fn a_server_that_stops_waits_for_its_commits() {
    let config = || Config {
        linger: Duration::ZERO,
        ..Config::default()
    };
    for (outcome, reply) in [(Outcome::Stored, OK), (Outcome::NotStored, NOT_STORED)] {
        let mut house = House::new(config());
        let mut client = house.connect();
        house.send(&mut client, b"put k 1 1\n");
        house.told.story().unfinished = true;
        house.stop();
        assert!(!house.event_loop.is_stopped());
        assert!(!house.told.story().is_finishing, "more may be put");
        house.decide(outcome);
        client.expect(reply);
        house.settle();
        assert!(!house.event_loop.is_stopped());
        assert_ne!(house.event_loop.timeout(), Some(Duration::ZERO));
        house.told.story().unfinished = false;
        assert!(house.event_loop.is_stopped());
    }
    // Nothing that is not executed is answered.
    let mut house = House::new(config());
    let mut client = house.connect();
    house.admit(Admission::Full);
    house.send(&mut client, b"put k 1 1\nput k 2 2\n");
    house.stop();
    assert!(!house.event_loop.is_stopped());
    assert_eq!(count_owed(&house.event_loop.clients), 1);
    assert_ne!(house.event_loop.timeout(), Some(Duration::ZERO));
    house.event_loop.server.stop_handle().stop();
    house.settle();
    assert!(house.event_loop.is_stopped());
    client.expect(b"");
}

#[test]
fn clients_that_linger_and_what_is_to_be_kept_are_waited_for_at_the_same_time() {
    let config = Config {
        linger: Duration::ZERO,
        ..Config::default()
    };
    let mut house = House::holding(1_000, config);
    let mut client = house.connect();
    house.send(&mut client, b"get k\n");
    house.told.story().unfinished = true;
    house.stop();
    for _ in 0..3 {
        assert!(!house.event_loop.is_stopped());
        house.settle();
    }
    assert_eq!(house.client_count(), 1, "it lingers");
    let timeout = house.event_loop.timeout();
    assert!(timeout > Some(Duration::from_secs(1)), "{timeout:?}");
    house.told.story().unfinished = false;
    assert!(house.event_loop.is_stopped());
}

#[test]
fn evictions_are_submitted_in_the_turn_in_which_they_happen() {
    let config = Config {
        memory_limit_bytes: Some(Config::MEMORY_LIMIT_MIN_BYTES),
        when_full: WhenFull::Evict,
        ..Config::default()
    };
    let mut house = House::holding(1_000, config);
    // Less than the process takes.
    house.event_loop.shared.room = Room::new(Some(1 << 10), WhenFull::Evict);
    house.settle();
    assert_eq!(house.point_count(), 0);
    let recorder = house.event_loop.shared.recorder.as_ref();
    assert!(recorder.is_some_and(|recorder| recorder.puts.is_empty()));
}

#[test]
fn what_is_too_old_at_the_start_goes_though_nothing_happens() {
    let config = Config {
        retention: Some(Duration::from_secs(10)),
        ..Config::default()
    };
    let mut house = House::holding(5, config);
    assert_eq!(house.event_loop.timeout(), Some(Duration::ZERO));
    house.settle();
    // All of it: the clock may be wrong.
    assert_eq!(house.point_count(), 5);
    assert_eq!(house.event_loop.timeout(), Some(Config::EXPIRY_INTERVAL));
    PASSED.set(Config::CLOCK_TRIAL);
    house.settle();
    assert_eq!(house.point_count(), 0);
}

#[test]
fn a_connection_is_not_closed_for_what_another_kept_that_is_over() {
    const KEPT: usize = 100 << 10;
    let mut house = House::new(Config {
        line_limit_bytes: 1 << 20,
        ..Config::default()
    });
    let mut clients = [(); 2].map(|()| house.connect());
    for client in &mut clients {
        house.send(client, &[b'x'; KEPT]);
    }
    let event_loop = &mut house.event_loop;
    assert_eq!(event_loop.shared.kept_bytes, 2 * KEPT);
    event_loop.server.config.memory_limit_bytes = Some(Config::MEMORY_SHARE * KEPT);
    let over = event_loop.clients.iter().map(|(key, _)| key).next();
    let over = over.expect("there are two");
    event_loop.clients[over].standing = Standing::Closed;
    event_loop.closed.push(over);
    event_loop.turn(clock());
    assert_eq!(house.client_count(), 1);
    assert_eq!(house.counts().connections_shed, 0);
    house.check();
}

#[test]
fn many_connections_that_keep_much_are_closed_in_several_turns() {
    const COUNT: usize = Config::SHED_PER_TURN + 3;
    let mut house = House::new(Config::default());
    let mut clients: Vec<Client> = (0..COUNT).map(|_| house.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        house.send(client, &vec![b'x'; 100 + number]);
    }
    let event_loop = &mut house.event_loop;
    // So little that all but the first are to go, down to a quarter of the part,
    event_loop.server.config.memory_limit_bytes = Some(Config::MEMORY_SHARE * 400);
    event_loop.turn(clock());
    assert_eq!(event_loop.clients.len(), COUNT, "there is room");
    // and less than the process takes.
    event_loop.shared.room = Room::new(Some(1 << 10), WhenFull::Refuse);
    // One of them has an event, and waits until enough are closed.
    event_loop.is_shedding = true;
    event_loop.make_ready(COUNT - 1);
    for (left, is_shedding) in [(3, true), (1, false), (1, false)] {
        event_loop.turn(clock());
        assert_eq!(event_loop.clients.len(), left);
        assert_eq!(event_loop.is_shedding, is_shedding);
    }
    assert_eq!(event_loop.shared.kept_bytes, 100);
    let counts = &event_loop.shared.tally.counts;
    assert_eq!(counts.connections_shed as usize, COUNT - 1);
    house.check();
}

#[test]
fn connections_that_keep_much_are_closed_before_others_are_read_from() {
    let mut house = House::new(Config::default());
    let mut clients: Vec<Client> = (0..20).map(|_| house.connect()).collect();
    for client in &mut clients {
        client.send(&[b'x'; 500]);
    }
    let event_loop = &mut house.event_loop;
    // They may keep half of their part, for there is more than may be. They are closed down to a quarter.
    event_loop.server.config.memory_limit_bytes = Some(Config::MEMORY_SHARE * 2_000);
    event_loop.shared.room = Room::new(Some(1 << 10), WhenFull::Refuse);
    for left in [18, 16, 14] {
        house.turn();
        assert_eq!(house.client_count(), left);
        assert_eq!(house.event_loop.shared.kept_bytes, 500);
    }
    house.check();
}

#[test]
fn connections_that_keep_much_and_wait_for_the_disk_do_not_make_the_loop_turn() {
    for when_full in [WhenFull::Refuse, WhenFull::Evict] {
        let mut house = House::new(Config {
            memory_limit_bytes: Some(usize::MAX),
            when_full,
            ..Config::default()
        });
        let mut client = house.connect();
        house.send(&mut client, &b"put k 1 1\n".repeat(100));
        let event_loop = &mut house.event_loop;
        assert!(event_loop.shared.kept_bytes > 100);
        event_loop.server.config.memory_limit_bytes = Some(Config::MEMORY_SHARE * 100);
        event_loop.shared.room = Room::new(Some(1 << 10), when_full);
        // Any event.
        house.connect();
        assert_eq!(house.counts().connections_shed, 0);
        house.decide_all(Outcome::Stored);
        client.expect(&OK.repeat(100));
    }
}

fn with_timeouts(idle: Option<u64>, stall: Option<u64>) -> Config {
    Config {
        idle_timeout: idle.map(Duration::from_secs),
        stall_timeout: stall.map(Duration::from_secs),
        ..Config::default()
    }
}

#[test]
fn a_connection_on_which_nothing_is_sent_is_closed() {
    for (passed, is_open) in [(109, true), (110, false), (111, false)] {
        let mut house = House::new(with_timeouts(Some(60), None));
        let mut client = house.connect();
        house.pass(20);
        // The beginning of a line is something.
        house.send(&mut client, b"pu");
        house.pass(50);
        house.send(&mut client, b"t k 1 1\n");
        house.decide(Outcome::Stored);
        client.expect(OK);
        house.pass(passed);
        assert_eq!(house.client_count(), usize::from(is_open), "{passed} s");
        assert_eq!(house.counts().connections_idle, u64::from(!is_open));
        assert_eq!(house.counts().connections_open, u64::from(is_open));
        let left = is_open.then_some(Duration::from_secs(1));
        assert_eq!(house.event_loop.timeout(), left);
    }
}

#[test]
fn a_client_that_waits_for_its_reply_is_not_idle() {
    let mut house = House::new(with_timeouts(Some(60), None));
    let [mut one, mut other] = [(); 2].map(|()| house.connect());
    house.send(&mut one, b"put k 1 1\n");
    house.admit(Admission::Full);
    house.send(&mut other, b"put k 2 2\n");
    house.pass(1_000);
    assert_eq!(house.client_count(), 2);
    // Nobody is due while both wait for the disk.
    assert_eq!(house.event_loop.timeout(), None);
    house.decide(Outcome::Stored);
    house.admit(Admission::Open);
    house.decide(Outcome::Stored);
    one.expect(OK);
    other.expect(OK);
    house.pass(1_059);
    assert_eq!(house.client_count(), 2);
    house.pass(1_060);
    assert_eq!(house.client_count(), 0);
    assert_eq!(house.event_loop.timeout(), None);
}

#[test]
fn a_client_that_takes_none_of_its_reply_is_cut_off() {
    for (passed, is_open) in [(319, true), (320, false), (321, false)] {
        let mut house = House::holding(300_000, with_timeouts(Some(2), Some(300)));
        let mut client = house.connect();
        house.send(&mut client, b"get k\n");
        // It takes something.
        house.pass(20);
        assert!(!client.received().is_empty());
        house.settle();
        assert!(house.event_loop.shared.kept_bytes > 0);
        house.pass(passed);
        assert_eq!(house.client_count(), usize::from(is_open), "{passed} s");
        assert_eq!(house.counts().connections_stalled, u64::from(!is_open));
        assert_eq!(house.counts().connections_idle, 0);
    }
}

#[test]
fn a_reply_goes_on_without_an_event_if_its_client_takes_some_of_it() {
    let mut house = House::holding(300_000, with_timeouts(None, Some(300)));
    let mut client = house.connect();
    house.send(&mut client, b"get k\n");
    let EventLoop {
        server,
        clients,
        shared,
        ..
    } = &mut house.event_loop;
    // As if the system did not tell.
    let registry = server.poll.registry();
    let stream = &mut clients[0].connection.stream;
    registry
        .reregister(stream, Token(0), READ_INTEREST)
        .expect("is registered");
    let kept_bytes = shared.kept_bytes;
    assert!(kept_bytes > 0 && !client.received().is_empty());
    house.settle();
    assert_eq!(house.event_loop.shared.kept_bytes, kept_bytes);
    house.pass(1);
    assert_ne!(house.event_loop.shared.kept_bytes, kept_bytes);
    assert!(!client.received().is_empty());
}

#[test]
fn a_client_that_does_not_close_after_the_server_has_is_cut_off() {
    let mut house = House::holding(1, with_timeouts(None, Some(300)));
    let mut client = house.connect();
    house.send(&mut client, b"GET / HTTP/1.1\n");
    client.expect(WRONG_COMMAND);
    house.pass(299);
    assert_eq!(house.client_count(), 1);
    house.pass(300);
    assert_eq!(
        (house.client_count(), house.counts().connections_stalled),
        (0, 1)
    );
}

#[cfg(feature = "http")]
#[test]
fn a_request_that_is_not_complete_in_time_is_refused_however_it_trickles() {
    for (head, body) in [
        ("GET / HTTP/1.1\r\n", "a"),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n",
            "b",
        ),
    ] {
        let mut house = House::new(Config {
            request_timeout: Duration::from_secs(30),
            ..with_timeouts(None, Some(300))
        });
        let mut client = house.connect_to(Protocol::Http);
        // A connection on which nothing was begun may stay as it is.
        house.pass(100);
        house.send(&mut client, head.as_bytes());
        for seconds in 101..130 {
            house.pass(seconds);
            house.send(&mut client, body.as_bytes());
            client.expect(b"");
        }
        house.pass(130);
        let answer = client.received();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(
            (house.counts().connections_late, house.client_count()),
            (1, 1)
        );
        // So may one that does not close, and sends on.
        for seconds in 131..160 {
            house.pass(seconds);
            house.send(&mut client, body.as_bytes());
        }
        assert_eq!(house.client_count(), 1);
        house.pass(160);
        assert_eq!(
            (house.counts().connections_stalled, house.client_count()),
            (1, 0)
        );
        house.settle();
        assert_eq!(house.event_loop.timeout(), None);
    }
}

#[cfg(feature = "http")]
#[test]
fn nothing_more_is_computed_for_a_client_that_has_hung_up() {
    let mut house = House::new(Config {
        turn_time: Duration::ZERO,
        ..Config::default()
    });
    for number in 0..10_000 {
        let store = &mut house.event_loop.shared.store;
        store.put(&number.to_string(), 1, 1.0);
    }
    let mut client = house.connect_to(Protocol::Http);
    let request = b"GET /metrics/find?query=none* HTTP/1.1\r\nHost: h\r\n\r\n";
    client.send(request);
    let turn = |house: &mut House| {
        house.turn();
        let mut clients = house.event_loop.clients.iter();
        clients.any(|(_, client)| client.connection.owes())
    };
    while !turn(&mut house) {}
    SockRef::from(&client.0)
        .set_linger(Some(Duration::ZERO))
        .expect("takes the time");
    drop(client);
    let turns = (0..).take_while(|_| turn(&mut house)).count();
    assert!(turns < 10, "{turns} turns");
    house.settle();
    assert_eq!(house.client_count(), 0);
}

#[cfg(feature = "http")]
#[test]
fn a_client_of_http_is_told_that_an_answer_is_cut_off() {
    type Meanwhile = fn(&mut House);
    let nothing: Meanwhile = |_| {};
    let fails: Meanwhile = |house| house.event_loop.shared.store = Store::new();
    let is_cut_off: Meanwhile = |house| {
        let store = &mut house.event_loop.shared.store;
        store.set_snapshot_limit_bytes(0);
        store.put("k", 0, 1.0);
        house.settle();
        assert_eq!(house.client_count(), 0);
    };
    let stops: Meanwhile = |house| {
        house.stop();
        house.pass(100);
        assert!(house.event_loop.is_stopped());
    };
    for (meanwhile, is_whole) in [
        (nothing, true),
        (fails, false),
        (is_cut_off, false),
        (stops, false),
    ] {
        let mut house = House::new(Config::default());
        let now = house.event_loop.shared.environment.now();
        for timestamp in now - 10..=now {
            house.event_loop.shared.store.put("k", timestamp, 1.0);
        }
        let mut client = house.connect_to(Protocol::Http);
        // More than fits what the system keeps.
        let targets = "&target=k".repeat(4);
        let request = format!("GET /render?from=-60000s{targets} HTTP/1.0\r\n\r\n");
        house.send(&mut client, request.as_bytes());
        meanwhile(&mut house);
        let mut house = Some(house).filter(|house| house.event_loop.stopping.is_none());
        let mut answer = Vec::new();
        let end = loop {
            match client.0.read_to_end(&mut answer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    house.as_mut().expect("it ends the connection").settle();
                }
                end => break end.map_err(|error| error.kind()).err(),
            }
        };
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.len() > 100_000);
        assert_eq!(answer.ends_with(b"]}]"), is_whole);
        assert_eq!(end, (!is_whole).then_some(ErrorKind::ConnectionReset));
    }
}

#[cfg(feature = "http")]
#[test]
fn it_is_told_over_http_whether_puts_are_taken() {
    for (admission, memory_limit_bytes, status, reason) in [
        (Admission::Open, None, "200", "ok"),
        // Less than the process takes.
        (Admission::Open, Some(1 << 10), "503", "the memory is full"),
        (Admission::Full, None, "503", "the disk is behind"),
        (Admission::Refused, None, "503", "the disk refuses"),
    ] {
        let mut house = House::new(Config::default());
        let room = Room::new(memory_limit_bytes, WhenFull::Refuse);
        house.event_loop.shared.room = room;
        house.admit(admission);
        let mut client = house.connect_to(Protocol::Http);
        house.send(&mut client, b"GET /healthz HTTP/1.0\r\n\r\n");
        let answer = client.received();
        let status = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&status), "{answer}");
        assert!(answer.contains(reason), "{answer}");
    }
}

#[test]
fn puts_wait_while_the_disk_does_not_answer_and_no_longer() {
    let mut house = House::new(Config::default());
    let mut clients = [house.connect(), house.connect(), house.connect()];
    house.send(&mut clients[0], b"put k 1 1\n");
    assert_eq!(house.event_loop.timeout(), Some(Config::DISK_PATIENCE));
    let patience = Config::DISK_PATIENCE.as_secs();
    house.pass(patience - 1);
    house.send(&mut clients[1], b"put k 1 2\n");
    assert_eq!(house.point_count(), 2);
    house.pass(patience);
    assert_eq!(house.event_loop.timeout(), None);
    house.send(&mut clients[2], b"get k\nput k 1 3\n");
    clients[2].expect(b"ok\nk 1.0 1\nk 1.0 2\n\n");
    assert_eq!(house.point_count(), 2);
    house.decide(Outcome::Stored);
    clients[0].expect(b"ok\n\n");
    assert_eq!(house.point_count(), 3);
    house.decide_all(Outcome::Stored);
    clients[1].expect(b"ok\n\n");
    clients[2].expect(b"ok\n\n");
    assert_eq!(house.event_loop.timeout(), None);
}

#[cfg(feature = "http")]
#[test]
fn a_connection_that_is_kept_alive_has_no_timer_and_is_idle() {
    let mut house = House::new(with_timeouts(Some(1_000), None));
    let mut client = house.connect_to(Protocol::Http);
    for (seconds, part) in [
        (0, &b"GET / HTTP/1.1\r\nHost:"[..]),
        (29, b" h\r\n\r\n"),
        (29, b"GET / HTTP/1.1\r\n"),
        (58, b"Host: h\r\n\r\n"),
    ] {
        house.pass(seconds);
        house.send(&mut client, part);
    }
    assert_eq!(client.received().matches("HTTP/1.1 ").count(), 2);
    house.pass(1_057);
    assert_eq!(house.counts().connections_late, 0);
    assert_eq!(
        (house.client_count(), house.event_loop.timeout()),
        (1, Some(Duration::from_secs(1)))
    );
    house.pass(1_058);
    assert_eq!(
        (house.client_count(), house.counts().connections_idle),
        (0, 1)
    );
}

#[test]
fn many_that_are_due_are_closed_a_few_in_each_turn() {
    let mut house = House::new(with_timeouts(Some(60), Some(300)));
    let _clients: Vec<Client> = (0..600).map(|_| house.connect()).collect();
    PASSED.set(Duration::from_secs(60));
    for left in [600 - 256, 600 - 512, 0] {
        house.turn();
        assert_eq!(house.client_count(), left);
        assert_eq!(house.event_loop.timeout(), Some(Duration::ZERO));
    }
    // The slab has room for more.
    house.settle();
    assert_eq!(house.event_loop.timeout(), None);
}

#[test]
fn connections_that_never_time_out_arm_no_timer() {
    let mut house = House::new(Config::default());
    let mut client = house.connect();
    house.send(&mut client, b"get k\n");
    client.expect(OK);
    assert_eq!(house.event_loop.timeout(), None);
}

#[test]
fn requests_are_counted() {
    let mut house = House::holding(
        1,
        Config {
            connection_limit: 2,
            ..Config::default()
        },
    );
    let [mut client, _other, _third] = [(); 3].map(|()| house.connect());
    let puts = b"put k 1 1\nput other 1 1\n".repeat(20);
    house.send(
        &mut client,
        &[&puts, &b"get k\nget *\nget none\nx\n"[..]].concat(),
    );
    assert_eq!(house.counts().journal_waiting_frames, 1);
    house.decide(Outcome::Stored);
    house.send(&mut client, b"\n\n");
    house.send(
        &mut client,
        &[&b"\n"[..], &b"y".repeat(70_000), b"\nput k 1 1\n\n"].concat(),
    );
    house.decide(Outcome::NotStored);
    house.admit(Admission::Refused);
    house.send(&mut client, b"put k 1 1\nput k 1\n");
    let counts = house.counts();
    let store = &house.event_loop.shared.store;
    let bytes = store.bytes();
    let expected = Counts {
        connections_open: 2,
        connections_accepted: 2,
        connections_paused: 1,
        requests_put: 41,
        requests_get: 3,
        requests_wrong: 4,
        requests_refused: 2,
        store_series: 2,
        store_points: store.point_count() as u64,
        store_points_bytes: bytes.points as u64,
        store_keys_bytes: 6,
        store_index_bytes: bytes.index as u64,
        connections_bytes: counts.connections_bytes,
        loop_turns: counts.loop_turns,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
    let least_bytes = 2 * size_of::<super::Client>() as u64;
    assert!(counts.loop_turns > 6 && counts.connections_bytes >= least_bytes);
}

#[test]
fn the_end_of_a_commit_wakes_the_loop() {
    let listen = vec!["127.0.0.1:0".into()];
    let config = Config {
        listen,
        ..Config::default()
    };
    let server = Server::bind(config).expect("binds");
    let address = server.local_addrs()[0].tcp().expect("TCP");
    let stop = server.stop_handle();
    let waker = Waker::new(server.poll.registry(), COMMITTED).expect("a waker");
    let told = Told::default();
    let commit = told.clone();
    let running =
        thread::spawn(move || EventLoop::new(server, Box::new(commit), Instant::now).run());
    let mut client = std::net::TcpStream::connect(address).expect("listens");
    client.write_all(b"put k 1 1\n").expect("is read");
    while told.pending() == 0 {
        thread::yield_now();
    }
    told.decide(Outcome::Stored);
    waker.wake().expect("the server runs");
    let mut reply = [0; OK.len()];
    client.read_exact(&mut reply).expect("is answered");
    stop.stop();
    let store = running.join().expect("does not panic").expect("stops");
    assert_eq!((&reply[..], store.point_count()), (OK, 1));
}
