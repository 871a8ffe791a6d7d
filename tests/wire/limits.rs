//! The limits at their edges, the addresses, and stopping.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use metricd::{Config, Error, Hooks, Point, Server, StopHandle, Store, SyncPolicy};

use crate::oracle::Oracle;
use crate::support::{Client, DEADLINE, Folder, OK, Running, addresses_of, assert_same};

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(1_000);

/// The error when a server is bound from a configuration that it must refuse.
#[track_caller]
fn refusal(config: Config) -> String {
    match Server::bind(config) {
        Ok(_) => panic!("bound"),
        Err(Error::Setting { field, message }) => {
            assert!(message.starts_with(field), "{field}: {message:?}");
            message
        }
        Err(error) => error.to_string(),
    }
}

fn listening_on(address: &str) -> Config {
    Config {
        listen: vec![address.into()],
        ..Config::default()
    }
}

/// Stops a server, also when the thread that owns this panics.
struct StopOnDrop(StopHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A client whose long reply has begun, with the whole of that reply.
fn reader_of_a_long_reply(server: &Running) -> (Client, Vec<u8>) {
    let mut reader = server.connect();
    let reply = reader.begin_long_reply();
    (reader, reply)
}

#[test]
fn the_connection_limit_holds_at_its_edge() {
    for limit in [1, 2, 5] {
        let server = Running::start_with(Config {
            connection_limit: limit,
            ..Config::default()
        });
        let mut oracle = Oracle::new();
        // As many as the limit.
        let mut clients: Vec<Client> = (0..limit).map(|_| server.connect()).collect();
        for client in &mut clients {
            oracle.exchange(client, b"put k 1 1\n");
        }
        // The system connects two more, which have to wait.
        let mut waiting = [server.connect(), server.connect()];
        for client in &mut waiting {
            client.send(b"put k 2 2\nget k\n");
        }
        for client in &mut clients {
            client.wait_for_a_turn();
            oracle.exchange(client, b"get k\n");
        }
        assert!(waiting.iter().all(|client| !client.has_input()));

        // When one client leaves, one of them is served, and only one.
        let [mut first, mut second] = waiting;
        clients.remove(0);
        first.expect(b"ok\n\nok\nk 1.0 1\nk 2.0 2\n\n");
        for client in &mut clients {
            client.exchange(b"get k\n", b"ok\nk 1.0 1\nk 2.0 2\n\n");
        }
        first.wait_for_a_turn();
        assert!(!second.has_input());
        assert_same(&first.finish(), b"");
        second.expect(b"ok\n\nok\nk 1.0 1\nk 2.0 2\n\n");
    }
}

#[test]
fn clients_beyond_the_limit_are_served_one_after_the_other() {
    let server = Running::start_with(Config {
        connection_limit: 3,
        ..Config::default()
    });
    let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("put k 0.5 {number}\n").as_bytes());
    }
    for client in clients {
        assert_same(&client.finish(), OK);
    }
    let points: String = (0..60).map(|at| format!("k 0.5 {at}\n")).collect();
    server
        .connect()
        .exchange(b"get k\n", format!("ok\n{points}\n").as_bytes());
}

#[test]
fn the_longest_times_are_served_or_refused() {
    const MAX: Duration = Duration::MAX;
    let refused = refusal(Config {
        turn_time: MAX,
        ..Config::default()
    });
    let range = ": it takes 0 to 3600000 ms";
    assert!(refused.starts_with("turn_time is ") && refused.ends_with(range));
    let set: [fn(&mut Config); 9] = [
        |config| config.sync = SyncPolicy::Every(MAX),
        |config| config.retention = Some(MAX),
        |config| config.accept_retry = MAX,
        |config| config.full_log_interval = MAX,
        |config| config.idle_timeout = Some(MAX),
        |config| config.request_timeout = MAX,
        |config| config.stall_timeout = Some(MAX),
        |config| config.stop_timeout = MAX,
        |config| config.linger = MAX,
    ];
    for set in set {
        let folder = Folder::new();
        let mut config = Config {
            data: Some(folder.0.clone()),
            turn_time: Duration::from_secs(3_600),
            ..Config::default()
        };
        set(&mut config);
        let server = Running::start_with(config);
        let mut client = server.connect();
        client.exchange(b"put k 1 1\nget k\n", b"ok\n\nok\nk 1.0 1\n\n");
        assert_same(&client.finish(), b"");
        server.stop();
        assert!(server.join().is_ok());
    }
}

#[test]
fn a_server_with_the_lowest_limits_serves() {
    let server = Running::start_with(Config {
        connection_limit: 1,
        line_limit_bytes: 12,
        read_buffer_bytes: 1,
        write_buffer_bytes: 64 << 10,
        accepts_per_turn: 1,
        accept_retry: Duration::from_millis(1),
        full_log_interval: Duration::ZERO,
        events_per_turn: 1,
        turn_time: Duration::ZERO,
        turn_reply_bytes: 1,
        kept_limit_bytes: 0,
        unsent_limit_bytes: 4 << 10,
        snapshot_limit_bytes: 0,
        housework_notes: 1,
        stop_timeout: Duration::ZERO,
        linger: Duration::ZERO,
        ..Config::default()
    });
    for _ in 0..20 {
        let mut oracle = Oracle::with_line_limit(12);
        let mut client = server.connect();
        oracle.exchange(
            &mut client,
            b"put key 1 10\nput key 1 1\nput key 1 100\nget key\n",
        );
        assert_same(&client.finish(), b"");
    }
}

#[test]
fn one_accept_and_one_event_a_turn_serve_all_clients() {
    let server = Running::start_with(Config {
        accepts_per_turn: 1,
        events_per_turn: 1,
        ..Config::default()
    });
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.send(format!("put k {round} 1\n").as_bytes());
        }
        for client in clients.iter_mut().rev() {
            client.expect(OK);
        }
    }
}

#[test]
fn the_defaults_are_those_that_are_promised() {
    let config = Config::default();
    assert_eq!(config.listen, ["127.0.0.1:8888".into()]);
    assert_eq!(config.line_limit_bytes, 64 << 10);
    assert!(config.write_buffer_bytes >= 64 << 10);
    assert_eq!(config.stop_timeout, Duration::from_secs(5));
}

#[test]
fn a_field_out_of_its_range_is_named() {
    type Change = fn(&mut Config);
    let changes: [(&str, Change); 16] = [
        ("listen", |config| {
            config.listen = vec!["127.0.0.1:0".into(); 1_025]
        }),
        ("listen", |config| config.listen.clear()),
        ("connection_limit", |config| config.connection_limit = 0),
        ("line_limit_bytes", |config| config.line_limit_bytes = 0),
        ("read_buffer_bytes", |config| config.read_buffer_bytes = 0),
        ("read_buffer_bytes", |config| {
            config.read_buffer_bytes = usize::MAX
        }),
        ("write_buffer_bytes", |config| config.write_buffer_bytes = 0),
        ("write_buffer_bytes", |config| {
            config.write_buffer_bytes = (64 << 10) - 1
        }),
        ("write_buffer_bytes", |config| {
            config.write_buffer_bytes = usize::MAX
        }),
        ("accepts_per_turn", |config| config.accepts_per_turn = 0),
        ("accept_retry", |config| {
            config.accept_retry = Duration::ZERO
        }),
        ("events_per_turn", |config| config.events_per_turn = 0),
        ("events_per_turn", |config| {
            config.events_per_turn = usize::MAX
        }),
        ("turn_reply_bytes", |config| config.turn_reply_bytes = 0),
        ("unsent_limit_bytes", |config| {
            config.unsent_limit_bytes = (4 << 10) - 1
        }),
        ("housework_notes", |config| config.housework_notes = 0),
    ];
    for (field, change) in changes {
        let mut config = listening_on("127.0.0.1:0");
        change(&mut config);
        let message = refusal(config);
        assert!(message.contains(field), "{field}: {message}");
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let in_use = taken.local_addr().expect("an address");
    for address in [
        in_use.to_string().as_str(),
        "",
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:http!",
        "[::1:0",
        "no..such..host:0",
        // Reserved for documentation: no machine has it.
        "192.0.2.1:0",
    ] {
        let message = refusal(listening_on(address));
        assert!(message.contains(address), "{address}: {message}");
        // The same if it is one of several.
        let listen = vec!["127.0.0.1:0".into(), address.into()];
        let message = refusal(Config {
            listen,
            ..Config::default()
        });
        assert!(message.contains(address), "{address}: {message}");
    }
}

#[test]
fn an_address_can_be_listened_on_again_at_once() {
    let server = Running::start();
    let address = server.address;
    let mut client = server.connect();
    client.exchange(b"put k 1 1\n", OK);
    server.stop();
    server.join().expect("stops");
    assert_same(&client.finish(), b"");
    let server = Running::start_listening(listening_on(&address.to_string()));
    assert_eq!(server.address, address);
    server.connect().exchange(b"get k\n", OK);
}

#[test]
fn every_address_leads_to_the_same_store() {
    let mut listen = vec![
        "127.0.0.1:0".to_string(),
        "127.0.0.1:0".into(),
        "localhost:0".into(),
    ];
    // If the machine has IPv6.
    if TcpListener::bind("[::1]:0").is_ok() {
        listen.push("[::1]:0".into());
    }
    let asked_for = listen.len();
    let server = Running::start_listening(Config {
        listen: listen.into_iter().map(Into::into).collect(),
        ..Config::default()
    });
    let addresses = server.addresses.clone();
    assert!(addresses.len() >= asked_for, "{addresses:?}");
    assert!(
        addresses.iter().all(|address| address.port() != 0),
        "{addresses:?}"
    );
    assert!(
        addresses.iter().all(|address| address.ip().is_loopback()),
        "{addresses:?}"
    );
    let mut oracle = Oracle::new();
    for (number, address) in addresses.iter().enumerate() {
        let put = format!("put k{number} 1 1\n");
        oracle.exchange(&mut Client::connect(*address), put.as_bytes());
    }
    for address in addresses {
        oracle.exchange(&mut Client::connect(address), b"get *\n");
    }
}

#[test]
fn one_server_listens_on_all_addresses_of_ipv4_and_ipv6_on_the_same_port() {
    const ATTEMPTS: usize = 20;
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("not tested: this machine has no IPv6");
    }
    let bind = |_| {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        // Another process may take the port first. Then another port will do.
        Server::bind(Config {
            listen: [format!("0.0.0.0:{port}"), format!("[::]:{port}")]
                .map(Into::into)
                .to_vec(),
            ..Config::default()
        })
    };
    let mut attempts = (0..ATTEMPTS).map(bind);
    let server = attempts.find_map(Result::ok).expect("both are bound");
    assert_eq!(server.local_addrs().len(), 2);
    let port = addresses_of(&server)[0].port();
    let stop = server.stop_handle();
    let client = thread::spawn(move || {
        let _stop = StopOnDrop(stop);
        for (number, address) in ["127.0.0.1", "::1"].into_iter().enumerate() {
            let address = (address.parse::<IpAddr>().expect("an address"), port);
            let request = format!("put k {number} {number}\n");
            Client::connect(address.into()).exchange(request.as_bytes(), OK);
        }
    });
    server.run().expect("stops in order");
    client.join().expect("is served on both");
}

#[test]
fn a_store_that_is_handed_in_is_served_and_keeps_what_is_put() {
    let points = |store: &Store, key: &str| -> Vec<Point> { store.range(key, ..).collect() };
    let point = |timestamp, value| Point { timestamp, value };
    let mut store = Store::new();
    store.put("old", 1, 0.5);
    store.put("old", 2, 0.5);
    // Each run goes on with the store of the run before.
    for run in 0..3 {
        let stop = StopHandle::new().expect("there are descriptors left");
        let config = listening_on("127.0.0.1:0");
        let server = Server::bind_with(config, stop, store, Hooks::default()).expect("binds");
        let (address, stop) = (addresses_of(&server)[0], StopOnDrop(server.stop_handle()));
        let client = thread::spawn(move || {
            let _stop = stop;
            let mut client = Client::connect(address);
            let last = if run == 0 { 0.5 } else { 7.5 };
            let old = format!("ok\nold 0.5 1\nold {last:?} 2\n\n");
            client.exchange(b"get old\n", old.as_bytes());
            client.exchange(
                format!("put old 7.5 2\nput new {run} {run}\n").as_bytes(),
                &OK.repeat(2),
            );
        });
        store = server.run().expect("stops in order");
        client.join().expect("is served");
        assert_eq!(store.keys().collect::<Vec<_>>(), ["old", "new"]);
        assert_eq!(points(&store, "old"), [point(1, 0.5), point(2, 7.5)]);
        let new: Vec<Point> = (0..=run).map(|at| point(at, at as f64)).collect();
        assert_eq!(points(&store, "new"), new);
    }
}

#[test]
fn run_server_serves_or_says_why_not() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let error = metricd::run_server("127.0.0.1", port).expect_err("in use");
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{port}")),
        "{error}"
    );
    let error = metricd::run_server("no..such..host", 0).expect_err("no such host");
    assert!(error.to_string().contains("no..such..host"), "{error}");

    // An IPv6 address, if the machine has one, is given without brackets.
    if let Ok(taken) = TcpListener::bind("[::1]:0") {
        let port = taken.local_addr().expect("an address").port();
        let error = metricd::run_server("::1", port).expect_err("in use");
        let message = error.to_string();
        assert!(message.contains(&format!("[::1]:{port}")), "{message}");
    }

    // Runs until the process ends: nothing can stop it.
    drop(taken);
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        ended.send(metricd::run_server("127.0.0.1", port).map_err(|error| error.to_string()))
    });
    let start = Instant::now();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect(address).is_err() {
        assert_eq!(end.try_recv(), Err(mpsc::TryRecvError::Empty));
        assert!(start.elapsed() < DEADLINE, "does not listen");
    }
    Client::connect(address).exchange(b"put k 1 1\nget k\n", b"ok\n\nok\nk 1.0 1\n\n");
}

#[test]
fn stop_writes_the_replies_that_are_owed_and_closes() {
    let server = Running::start_with(Config {
        stop_timeout: NEVER,
        ..Config::default()
    });
    let idle = server.connect();
    let mut unfinished = server.connect();
    unfinished.exchange(b"put other 1 1\nput other 2", OK);
    let (reader, reply) = reader_of_a_long_reply(&server);
    server.stop();
    // While the reader is waited for, clients that are owed nothing are closed, and no more are
    // accepted.
    assert_same(&idle.rest(), b"");
    assert_same(&unfinished.rest(), b"");
    let patience = Duration::from_secs(1);
    // The listeners may close a moment after the first clients.
    let mut attempts = (0..500).map(|_| TcpStream::connect_timeout(&server.address, patience));
    let refused = attempts.find_map(Result::err).map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::ConnectionRefused), "still listens");
    assert!(server.is_running());
    assert_same(&reader.rest(), &reply);
    server.join().expect("stops in order");
}

#[test]
fn stop_cuts_no_reply_short() {
    let server = Running::start();
    let (mut reader, reply) = reader_of_a_long_reply(&server);
    let get = [b"get ".as_slice(), &b"k".repeat(4_000), b"\n"].concat();
    for _ in 0..5 {
        reader.send(&get);
    }
    reader.expect(&reply[..reply.len() / 2]);
    server.stop();
    // The first had begun; each of the others is sent whole or not at all.
    let rest = reader.rest();
    let replies = (rest.len() + reply.len() / 2) / reply.len();
    assert!((1..=6).contains(&replies), "{replies}");
    assert_same(&rest, &reply.repeat(replies)[reply.len() / 2..]);
    server.join().expect("stops in order");
}

#[test]
fn a_second_stop_ends_it_at_once() {
    let server = Running::start_with(Config {
        stop_timeout: NEVER,
        ..Config::default()
    });
    let (idle, (_stalled, _reply)) = (server.connect(), reader_of_a_long_reply(&server));
    server.stop();
    assert_same(&idle.rest(), b"");
    assert!(server.is_running());
    server.stop();
    server.join().expect("stops in order");
}

#[test]
fn two_stops_in_a_row_end_it_at_once() {
    let server = Running::start_with(Config {
        stop_timeout: NEVER,
        ..Config::default()
    });
    let (_stalled, _reply) = reader_of_a_long_reply(&server);
    server.stop();
    server.stop();
    server.join().expect("stops in order");
}

#[test]
fn a_stalled_reader_delays_the_end_by_the_stop_timeout_at_most() {
    for stop_timeout in [Duration::ZERO, Duration::from_millis(300)] {
        let server = Running::start_with(Config {
            stop_timeout,
            ..Config::default()
        });
        let (_stalled, _reply) = reader_of_a_long_reply(&server);
        let start = Instant::now();
        server.stop();
        server.join().expect("stops in order");
        assert!(start.elapsed() >= stop_timeout, "{:?}", start.elapsed());
        // Far from the 5 s of the default.
        assert!(start.elapsed() < stop_timeout + Duration::from_secs(3));
    }
}

#[test]
fn stop_waits_for_all_clients_that_are_owed_replies() {
    let server = Running::start_with(Config {
        stop_timeout: NEVER,
        linger: Duration::ZERO,
        ..Config::default()
    });
    // One waits for the rest of a long reply, the other has requests that are not executed yet.
    let (reader, reply) = reader_of_a_long_reply(&server);
    let mut pipelining = server.connect();
    let get = [b"get ".as_slice(), &b"k".repeat(4_000), b"\n"].concat();
    pipelining.send(&get.repeat(5));
    assert!(pipelining.wait_for_input());
    let mut idle = server.connect();
    idle.exchange(b"get none\n", OK);
    server.stop();
    // A client that is owed nothing is closed at once, since the linger is zero.
    assert_same(&idle.rest(), b"");
    assert!(server.is_running());
    assert_same(&pipelining.rest(), &reply.repeat(5));
    assert!(server.is_running());
    assert_same(&reader.rest(), &reply);
    server.join().expect("stops in order");
}

#[test]
fn stopping_keeps_its_times_under_load() {
    let gets = b"get k\n".repeat(10_000);
    for stops in [1, 2] {
        let server = Running::start_with(Config {
            stop_timeout: Duration::from_millis(300),
            ..Config::default()
        });
        let puts: String = (0..1_000).map(|at| format!("put k 0.5 {at}\n")).collect();
        server
            .connect()
            .exchange(puts.as_bytes(), &OK.repeat(1_000));
        // Each asks for 100 MB of replies and reads none.
        let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send(&gets);
        }
        let start = Instant::now();
        (0..stops).for_each(|_| server.stop());
        server.join().expect("stops in order");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn the_oldest_reader_is_cut_off_at_the_snapshot_limit() {
    let server = Running::start_with(Config {
        snapshot_limit_bytes: 100,
        ..Config::default()
    });
    let (reader, reply) = reader_of_a_long_reply(&server);
    let mut other = server.connect();
    other.exchange(b"put x 1 1\n", OK);
    let put = [b"put ".as_slice(), &b"k".repeat(4_000), b" 1.5 100\n"].concat();
    // The block that this changes is more than may be kept.
    other.exchange(&put, OK);
    let rest = reader.rest();
    assert!(rest.len() < reply.len() && reply.starts_with(&rest));
    // Others are served, and so are readers for whom nothing needs to be kept.
    other.exchange(b"get x\n", b"ok\nx 1.0 1\n\n");
    let (mut reader, reply) = reader_of_a_long_reply(&server);
    reader.expect(&reply);
}

#[test]
fn a_server_with_no_clients_stops_at_once() {
    let server = Running::start_with(Config {
        stop_timeout: NEVER,
        ..Config::default()
    });
    server.stop();
    server.join().expect("stops in order");
}

#[test]
fn stop_works_from_any_thread_and_at_any_time() {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }
    let (handed_out, handles) = mpsc::channel::<StopHandle>();
    let (ended, end) = mpsc::channel();
    let server = thread::spawn(move || {
        let server = Server::bind(listening_on("127.0.0.1:0")).expect("binds");
        let handle = || server.stop_handle();
        let before = assert_send(handle());
        handed_out.send(handle()).expect("the test waits for it");
        // Before the server runs.
        before.stop();
        ended
            .send(server.run().map(drop).map_err(|error| error.to_string()))
            .expect("the test waits for it");
    });
    assert_eq!(end.recv_timeout(DEADLINE), Ok(Ok(())));
    server.join().expect("does not panic");
    // After the server has ended.
    let handle = handles.recv_timeout(DEADLINE).expect("a handle");
    handle.stop();
    handle.stop();
}
