//! Many clients, slow clients and clients that misbehave: each gets what the protocol promises,
//! and none disturbs the others.

use std::io::{ErrorKind, Write};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use metricd::Config;

use crate::oracle::Oracle;
use crate::support::{
    Client, DEADLINE, OK, Running, WRONG_COMMAND, again, assert_same, may_open_files,
    run_with_open_files,
};

/// The longest that one round trip may take while other clients keep the server busy.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A key so long that a series of few points has a long reply.
fn long_key() -> String {
    "k".repeat(1_400)
}

/// Puts a point at each of these timestamps of one series.
#[track_caller]
fn fill(
    client: &mut Client,
    oracle: &mut Oracle,
    key: &str,
    timestamps: impl Iterator<Item = i64>,
) {
    let puts: String = timestamps
        .map(|at| format!("put {key} 0.5 {at}\n"))
        .collect();
    oracle.exchange(client, puts.as_bytes());
}

/// Repeats a request until its reply is the expected one.
#[track_caller]
fn wait_for_reply(client: &mut Client, request: &[u8], expected: &[u8]) {
    let start = Instant::now();
    loop {
        client.send(request);
        let reply = client.reply();
        if reply == expected {
            return;
        }
        if start.elapsed() > DEADLINE {
            assert_same(&reply, expected);
        }
    }
}

/// How long one round trip takes.
#[track_caller]
fn round_trip(client: &mut Client) -> Duration {
    let start = Instant::now();
    client.exchange(b"get -\n", OK);
    start.elapsed()
}

#[test]
fn many_clients_are_served_side_by_side() {
    let server = Running::start();
    let mut oracle = Oracle::new();
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            let requests = format!(
                "put k{number} {round} {round}\nget k{number}\nput shared {number} {round}\n"
            );
            oracle.exchange(client, requests.as_bytes());
        }
    }
    for client in &mut clients {
        oracle.exchange(client, b"get shared\n");
    }
    oracle.exchange(&mut clients[0], b"get *\n");
}

#[test]
fn clients_in_many_threads_each_get_their_own_replies() {
    let server = Running::start();
    let address = server.address;
    thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let mut oracle = Oracle::new();
                for round in 0..100 {
                    let requests =
                        format!("put k{number} {round} {}\nwrong\nget k{number}\n", -round);
                    oracle.exchange(&mut client, requests.as_bytes());
                }
            });
        }
    });
    let mut client = server.connect();
    client.send(b"get *\n");
    let lines = client.reply().split(|byte| *byte == b'\n').count();
    // One for "ok", one for each point, and two empty pieces after the last newlines.
    assert_eq!(lines, 1 + 800 + 2);
}

#[test]
fn a_thousand_clients_that_connect_at_once_are_each_served() {
    const CLIENTS: usize = 1_000;
    // Both ends of each connection are in this process, with those of other tests.
    if !may_open_files(4_000) {
        return run_with_open_files(
            4_000,
            "clients::a_thousand_clients_that_connect_at_once_are_each_served",
        );
    }
    let server = Running::start();
    let address = server.address;
    let start = Barrier::new(50);
    let mut clients: Vec<Client> = thread::scope(|scope| {
        let connect = || {
            start.wait();
            (0..CLIENTS / 50)
                .map(|_| Client::connect(address))
                .collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..50).map(|_| scope.spawn(connect)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("connects"))
            .collect()
    });
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("put k 0.5 {number}\n").as_bytes());
    }
    for client in &mut clients {
        client.expect(OK);
    }
    let points: String = (0..CLIENTS).map(|at| format!("k 0.5 {at}\n")).collect();
    let reply = format!("ok\n{points}\n");
    // The last client is served like the first.
    for number in [0, CLIENTS / 2, CLIENTS - 1] {
        clients[number].exchange(b"get k\n", reply.as_bytes());
    }
}

#[test]
fn a_connection_for_every_request_is_served() {
    let server = Running::start();
    let mut oracle = Oracle::new();
    for round in 0..500 {
        let mut client = server.connect();
        oracle.exchange(
            &mut client,
            format!("put k {round} {}\n", round % 40).as_bytes(),
        );
        // Half of them end their input and wait for the end, half just close.
        if round % 2 == 0 {
            assert_same(&client.finish(), b"");
        }
    }
    oracle.exchange(&mut server.connect(), b"get k\n");
}

#[test]
fn puts_before_a_close_are_stored_though_no_reply_was_read() {
    // 1,000 puts in 17 KB: few enough that the system holds them all when the client closes.
    let puts: String = (0..1_000)
        .map(|at| format!("put k 0.5 {:05}\n", at))
        .collect();
    let points: String = (0..1_000).map(|at| format!("k 0.5 {at}\n")).collect();
    let stored = format!("ok\n{points}\n");
    for read_buffer_bytes in [16, 1_024, 64 << 10] {
        for unread_reply in [false, true] {
            let server = Running::start_with(Config {
                read_buffer_bytes,
                ..Config::default()
            });
            let mut witness = server.connect();
            let mut hasty = server.connect();
            if unread_reply {
                // Closing with an unread reply resets the connection.
                hasty.send(b"put before 1 1\n");
                assert!(hasty.wait_for_input());
            }
            hasty.send(puts.as_bytes());
            hasty.send(b"put k 7 7");
            drop(hasty);
            wait_for_reply(&mut witness, b"get k\n", stored.as_bytes());
        }
    }
}

#[test]
fn clients_that_put_and_close_lose_no_point() {
    let server = Running::start();
    let mut witness = server.connect();
    for round in 0..300 {
        server
            .connect()
            .send(format!("put k 0.5 {round}\n").as_bytes());
    }
    let points: String = (0..300).map(|at| format!("k 0.5 {at}\n")).collect();
    wait_for_reply(
        &mut witness,
        b"get k\n",
        format!("ok\n{points}\n").as_bytes(),
    );
}

#[test]
fn complete_requests_before_a_reset_are_executed() {
    // The third client is served when the one that resets has gone.
    let server = Running::start_with(Config {
        connection_limit: 2,
        ..Config::default()
    });
    let mut witness = server.connect();
    let mut victim = server.connect();
    victim.send(b"put k 1 1\nput k 2 2");
    victim.reset();
    server.connect().exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
    witness.exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
}

#[test]
fn a_reset_in_the_middle_of_a_reply_does_not_disturb_others() {
    let server = Running::start_with(Config {
        connection_limit: 2,
        ..Config::default()
    });
    let (mut witness, mut oracle) = (server.connect(), Oracle::new());
    let key = long_key();
    fill(&mut witness, &mut oracle, &key, 0..4_000);
    let get = format!("get {key}\n");
    let reply = oracle.answer(get.as_bytes());
    for taken in [0, 1, 100_000] {
        let mut victim = server.connect();
        victim.send(get.as_bytes());
        victim.send(get.as_bytes());
        victim.expect(&reply[..taken]);
        victim.reset();
        witness.exchange(b"get none\n", OK);
    }
    // Of the two connections that the limit allows, the victims hold none.
    server.connect().exchange(get.as_bytes(), &reply);
}

#[test]
fn half_closed_clients_get_all_replies() {
    let server = Running::start();
    let (mut writer, mut oracle) = (server.connect(), Oracle::new());
    let key = long_key();
    fill(&mut writer, &mut oracle, &key, 0..3_000);
    let get = format!("get {key}\n");
    for tail in ["", "put k 9 9", "get *", "nonsense", "  "] {
        let requests = format!("put k 1 1\n{get}get k\nwrong\n{get}put k 2 2\nget k\n");
        let lines = requests.split_inclusive('\n');
        let replies: Vec<Vec<u8>> = lines.map(|line| oracle.answer(line.as_bytes())).collect();
        let replies = replies.concat();
        let mut reader = server.connect();
        reader.send(requests.as_bytes());
        reader.send(tail.as_bytes());
        // The input ends after all requests, or while the first long reply is being sent.
        if tail.is_empty() {
            reader.expect(&replies[..1_000]);
            assert_same(&reader.finish(), &replies[1_000..]);
        } else {
            assert_same(&reader.finish(), &replies);
        }
        oracle.exchange(&mut writer, b"get k\n");
    }
}

/// For each step, the timestamps of its puts to a series that has 0, 10, 20, and so on to 29,990.
const CHANGES: [&[i64]; 10] = [
    // After the last point; also before the first, and others in between.
    &[30_000],
    &[30_010, -10],
    &[-20, 30_020],
    &[30_030, 30_030],
    &[30_040, 0, 20_005],
    // In place of a point, and between two, alone.
    &[15_000],
    &[30_040],
    &[15_005],
    &[],
    &[15_005, 0, 29_990],
];

/// Does the puts of a step, with values that tell it from others, and begins one more series.
#[track_caller]
fn change(writer: &mut Client, oracle: &mut Oracle, key: &str, step: usize) {
    let timestamps = CHANGES[step % CHANGES.len()];
    for (number, at) in timestamps.iter().enumerate() {
        let put = format!("put {key} {step}.{number} {at}\n");
        oracle.exchange(writer, put.as_bytes());
    }
    oracle.exchange(writer, format!("put new-{step} 1 1\n").as_bytes());
}

#[test]
fn slow_readers_get_what_was_stored_when_their_get_was_executed() {
    let server = Running::start();
    let (mut writer, mut oracle) = (server.connect(), Oracle::new());
    let key = long_key();
    // 4 MB: much more than the system holds between server and client.
    fill(&mut writer, &mut oracle, &key, (0..3_000).map(|at| at * 10));

    let mut readers = Vec::new();
    for step in 0..CHANGES.len() {
        let mut reader = server.connect();
        // Otherwise the system may take megabytes for a client that has begun to read.
        socket2::SockRef::from(&reader.stream)
            .set_recv_buffer_size(64 << 10)
            .expect("takes a size");
        let name = if step % 3 == 2 { "*" } else { &key };
        let get = format!("get {name}\n");
        let reply = oracle.answer(get.as_bytes());
        reader.send(get.as_bytes());
        // The reply has begun, so the get is executed.
        reader.expect(&reply[..100]);
        change(&mut writer, &mut oracle, &key, step);
        readers.push((reader, reply));
    }
    for (step, (reader, reply)) in readers.iter_mut().enumerate() {
        reader.expect(&reply[100..reply.len() / 2]);
        change(&mut writer, &mut oracle, &key, CHANGES.len() + step);
    }
    for (step, (mut reader, reply)) in readers.into_iter().rev().enumerate() {
        reader.expect(&reply[reply.len() / 2..]);
        oracle.exchange(&mut reader, b"get new-4\n");
        assert_same(&reader.finish(), b"");
        change(&mut writer, &mut oracle, &key, 2 * CHANGES.len() + step);
    }
    oracle.exchange(&mut writer, format!("get {key}\nget *\n").as_bytes());
}

#[test]
fn a_slow_reader_of_many_small_series_gets_what_was_stored_when_its_get_was_executed() {
    let server = Running::start();
    let (mut writer, mut oracle) = (server.connect(), Oracle::new());
    let name = "s".repeat(2_000);
    let puts: String = (0..2_500)
        .map(|series| format!("put {series}{name} 0.5 5\n"))
        .collect();
    oracle.exchange(&mut writer, puts.as_bytes());

    let mut reader = server.connect();
    let reply = oracle.answer(b"get *\n");
    reader.send(b"get *\n");
    reader.expect(&reply[..100]);
    for series in [0, 1, 1_250, 2_498, 2_499, 2_500] {
        let puts =
            format!("put {series}{name} 7 5\nput {series}{name} 8 4\nput {series}{name} 9 6\n");
        oracle.exchange(&mut writer, puts.as_bytes());
    }
    reader.expect(&reply[100..]);
    oracle.exchange(&mut reader, b"get *\n");
}

#[test]
fn an_endless_line_is_one_wrong_command() {
    for (line_limit_bytes, read_buffer_bytes) in [(64 << 10, 64 << 10), (16, 64 << 10), (100, 7)] {
        let server = Running::start_with(Config {
            line_limit_bytes,
            read_buffer_bytes,
            ..Config::default()
        });
        let mut witness = server.connect();
        let mut endless = server.connect();
        for part in [b"put k 1 ".as_slice(), b"get *  \t ", b"\xff\0\r\x0b"] {
            for _ in 0..10 {
                endless.send(&part.repeat(2_000));
                assert!(round_trip(&mut witness) < AT_ONCE);
            }
        }
        // No part of it was executed as a request.
        let replies = [WRONG_COMMAND, b"ok\n\n", OK, b"ok\nk 2.0 2\n\n"].concat();
        endless.exchange(b" 1\nget *\nput k 2 2\nget k\n", &replies);
        assert_same(&endless.finish(), b"");
    }
}

#[test]
fn lines_at_the_limit_are_requests_and_longer_ones_are_not() {
    for (line_limit_bytes, read_buffer_bytes) in [
        (64 << 10, 64 << 10),
        (64 << 10, 1_000),
        (100, 64 << 10),
        (100, 7),
        (100, 100),
        (100, 1),
    ] {
        let server = Running::start_with(Config {
            line_limit_bytes,
            read_buffer_bytes,
            ..Config::default()
        });
        let mut witness = server.connect();
        let mut client = server.connect();
        let mut oracle = Oracle::with_line_limit(line_limit_bytes);
        for length in [line_limit_bytes - 1, line_limit_bytes, line_limit_bytes + 1] {
            let key = "k".repeat(length - "put  0.5 1".len());
            let spaces = " ".repeat(length - "put k 0.5 2".len());
            for line in [
                format!("put {key} 0.5 1\n"),
                format!("put k{spaces} 0.5 2\n"),
            ] {
                assert_eq!(line.len(), length + 1);
                oracle.exchange(&mut client, line.as_bytes());
                // In two pieces, cut at the limit and before it.
                for cut in [length / 2, length - 1, length] {
                    let (head, tail) = line.as_bytes().split_at(cut);
                    client.send(head);
                    witness.wait_for_a_turn();
                    client.exchange(tail, &oracle.answer(line.as_bytes()));
                }
                // Between other requests, to which it does no harm.
                oracle.exchange(
                    &mut client,
                    format!("put a 1 1\n{line}get a\n{line}").as_bytes(),
                );
            }
        }
        oracle.exchange(&mut witness, b"get *\n");
        assert_same(&client.finish(), b"");
    }
}

#[test]
fn a_client_that_reads_nothing_does_not_delay_others() {
    let server = Running::start();
    let (mut writer, mut oracle) = (server.connect(), Oracle::new());
    let key = long_key();
    fill(&mut writer, &mut oracle, &key, 0..500);
    let get = format!("get {key}\n");
    let mut hogs: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for hog in &mut hogs {
        hog.send(get.repeat(20).as_bytes());
    }
    let mut newcomer = server.connect();
    for round in 0..50 {
        assert!(round_trip(&mut newcomer) < AT_ONCE);
        oracle.exchange(
            &mut newcomer,
            format!("put other {round} 1\nget other\n").as_bytes(),
        );
    }
    // Once they read, they get every reply whole.
    let reply = oracle.answer(get.as_bytes());
    for hog in &mut hogs {
        for _ in 0..20 {
            hog.expect(&reply);
        }
    }
}

#[test]
fn a_client_that_keeps_the_server_busy_does_not_delay_others() {
    let server = Running::start();
    let (mut writer, mut oracle) = (server.connect(), Oracle::new());
    let key = long_key();
    fill(&mut writer, &mut oracle, &key, 0..3_000);
    let get = format!("get {key}\n");
    let reply_length = oracle.answer(get.as_bytes()).len();
    let small = b"get -\n".repeat(50_000);
    let busy: [(&[u8], usize); 3] = [
        (&get.repeat(10).into_bytes(), 10 * reply_length),
        (&small, 50_000 * OK.len()),
        (b"get *\nget *\nget *\nget *\n", 4 * reply_length),
    ];
    for (requests, length) in busy {
        let (address, (ended, end)) = (server.address, mpsc::channel());
        thread::scope(|scope| {
            scope.spawn(move || {
                let replies = Client::connect(address).converse([requests].into_iter());
                ended.send(replies.len()).expect("the test waits for it");
            });
            let received = loop {
                assert!(round_trip(&mut writer) < AT_ONCE);
                match end.try_recv() {
                    Err(mpsc::TryRecvError::Empty) => {}
                    received => break received,
                }
            };
            assert_eq!(received, Ok(length));
        });
    }
}

#[test]
fn the_work_for_one_client_in_one_turn_is_bounded() {
    // 3,000 puts in 54 KB: the system takes them all at once, the server reads a few at a time.
    const PUTS: usize = 3_000;
    let server = Running::start_with(Config {
        read_buffer_bytes: 64,
        ..Config::default()
    });
    let (mut busy, mut other) = (server.connect(), server.connect());
    let overtakes = |round: usize| {
        let puts: String = (0..PUTS)
            .map(|at| format!("put k{round} 0.5 {at:04}\n"))
            .collect();
        busy.send(puts.as_bytes());
        other.send(format!("get k{round}\n").as_bytes());
        let lines = other.reply().split(|byte| *byte == b'\n').count();
        busy.expect(&OK.repeat(PUTS));
        lines < PUTS
    };
    // Not in every round: the get itself may come too late.
    assert!(
        (0..100).any(overtakes),
        "the get was always executed after all puts"
    );
}

/// Writes the request again and again until the server stops reading. Returns the bytes written.
fn write_until_stopped(client: &mut Client, request: &[u8]) -> usize {
    const FAR_TOO_MUCH: usize = 512 << 20;
    let patience = Some(Duration::from_millis(500));
    client
        .stream
        .set_write_timeout(patience)
        .expect("takes a timeout");
    let mut written = 0;
    loop {
        match again(|| client.stream.write(&request[written % request.len()..])) {
            Ok(count) => written += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(written < FAR_TOO_MUCH, "the server reads without end");
    }
    client
        .stream
        .set_write_timeout(Some(DEADLINE))
        .expect("takes a timeout");
    written
}

#[test]
fn a_client_that_only_writes_is_not_read_from_and_gets_every_reply_once_it_reads() {
    let server = Running::start();
    let (mut witness, mut oracle) = (server.connect(), Oracle::new());
    let key = "k".repeat(2_000);
    fill(&mut witness, &mut oracle, &key, 0..4);
    // About as long as its reply, so that the buffers of both directions fill together.
    let request = format!("get{}{key}\n", " ".repeat(6_000)).into_bytes();
    let reply = oracle.answer(&request);

    let mut hog = server.connect();
    let written = write_until_stopped(&mut hog, &request);
    for _ in 0..20 {
        assert!(round_trip(&mut witness) < AT_ONCE);
    }
    for _ in 0..written / request.len() {
        hog.expect(&reply);
    }
    // The last request may be written in part only.
    hog.exchange(&request[written % request.len()..], &reply);
    assert_same(&hog.finish(), b"");
}

#[test]
fn every_put_of_a_client_that_only_writes_is_stored() {
    let server = Running::start();
    let mut witness = server.connect();
    let mut hog = server.connect();
    let request = format!("put k 1 1{}\n", " ".repeat(1_000)).into_bytes();
    // The replies are short and the requests long: the server may read them all, or stop reading.
    const PUTS: usize = 8_000;
    let requests = request.repeat(PUTS);
    let mut writer = Client {
        stream: hog.stream.try_clone().expect("a second handle"),
    };
    thread::scope(|scope| {
        scope.spawn(move || writer.send(&requests));
        for _ in 0..20 {
            assert!(round_trip(&mut witness) < AT_ONCE);
        }
        hog.expect(&OK.repeat(PUTS));
    });
    witness.exchange(b"get k\n", b"ok\nk 1.0 1\n\n");
}

/// A read stops short of urgent data, and nothing says that there is more after it.
#[cfg(all(feature = "daemon", any(target_os = "linux", target_os = "android")))]
#[test]
fn requests_after_urgent_data_are_answered() {
    let server = Running::start();
    let mut client = server.connect();
    for _ in 0..50 {
        client.send(b"get a\n");
        let urgent = socket2::SockRef::from(&client.stream).send_out_of_band(b"!");
        assert_eq!(urgent.expect("the server takes what is sent"), 1);
        client.exchange(b"get b\n", &[OK, OK].concat());
    }
}
