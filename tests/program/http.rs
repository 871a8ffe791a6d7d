//! HTTP through the socket: by hand, and by `curl`.
//!
//! Without `curl` its tests pass and say so, unless `METRICD_REQUIRE_PEERS` is set.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support;
use crate::support::process::{Daemon, listening_line, listening_text};
use crate::support::{
    Client, OK, may_open_files, run_with_open_files, show, temporary_path, unix_address,
};
use metricd::{Config, Listen, Protocol, Server};

/// A request for nothing that there is.
const GET: &[u8] = b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n";

/// The program, with a listener for each protocol.
struct House {
    daemon: Daemon,
    http: SocketAddr,
}

impl House {
    fn start(options: &[&str]) -> House {
        let daemon = Daemon::start(&[&["--http", "127.0.0.1:0"], options].concat());
        let http = listening_line(&daemon.process);
        House { daemon, http }
    }

    fn connect(&self) -> Client {
        Client::connect(self.http)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Shows that the main port is served.
    #[track_caller]
    fn put(&self) {
        self.daemon.connect().exchange(b"put k 1 1\n", OK);
    }
}

/// Reads an answer whose length is told: its head, and its body.
#[track_caller]
fn read_answer(client: &mut Client) -> (String, Vec<u8>) {
    let mut answer = Vec::new();
    loop {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(answer[..end].to_vec()).expect("text");
            let body = answer.split_off(end + 4);
            let length = head.split("Content-Length: ").nth(1).expect("a length");
            let length: usize = length
                .lines()
                .next()
                .expect("a line")
                .parse()
                .expect("a number");
            assert!(body.len() <= length, "{}", show(&body));
            let mut rest = vec![0; length - body.len()];
            std::io::Read::read_exact(&mut client.stream, &mut rest).expect("the rest");
            return (head, [body, rest].concat());
        }
        let mut byte = [0];
        std::io::Read::read_exact(&mut client.stream, &mut byte).expect("an answer");
        answer.push(byte[0]);
    }
}

/// The status of the one answer before the end, or none if there is no answer.
#[track_caller]
fn last_status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    assert!(text.matches("HTTP/1.1 ").count() <= 1, "{text}");
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
    Some(status.parse().expect("a number"))
}

/// An address for HTTP on a free port.
fn http() -> Listen {
    Listen {
        address: "127.0.0.1:0".into(),
        protocol: Protocol::Http,
    }
}

#[test]
fn it_is_known_what_is_spoken_at_each_address() {
    let server = Server::bind(Config {
        listen: vec![http(), "127.0.0.1:0".into(), http()],
        ..Config::default()
    });
    let server = server.expect("binds");
    let all = server.local_addrs();
    let of = |protocol| server.local_addrs_of(protocol).collect::<Vec<_>>();
    assert_eq!(of(Protocol::Http), [&all[0], &all[2]]);
    assert_eq!(of(Protocol::Lines), [&all[1]]);
}

#[test]
fn each_port_speaks_its_own_protocol_alone() {
    let house = House::start(&[]);
    let answer = house.connect();
    let mut client = answer;
    client.send(b"put k 1 1\n");
    assert_eq!(last_status(&client.rest()), Some(400));
    let mut client = house.daemon.connect();
    client.send(GET);
    assert_eq!(client.rest(), b"error\nwrong command\n\n");
    assert_eq!(house.daemon.connect().finish(), b"");
    house.put();
}

#[test]
fn a_pipeline_is_answered_in_order_on_a_connection_that_stays() {
    let house = House::start(&[]);
    let mut client = house.connect();
    // In an order that does not repeat.
    let has_body = |at: usize| (at * at % 2_003).is_multiple_of(3);
    let posted =
        b"POST /none HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc";
    let request = |at| if has_body(at) { posted } else { GET };
    let requests: Vec<&[u8]> = (0..2_000).map(request).collect();
    let mut sender = Client::from(client.stream.try_clone().expect("a second handle"));
    thread::scope(|scope| {
        scope.spawn(|| sender.send(&requests.concat()));
        for at in 0..requests.len() {
            let status = if has_body(at) { 415 } else { 404 };
            let (head, _) = read_answer(&mut client);
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        }
    });
    client.send(GET);
    read_answer(&mut client);
    assert_eq!(client.finish(), b"");
}

#[test]
fn what_was_sent_before_the_end_of_the_input_is_answered() {
    let house = House::start(&[]);
    for (sent, answers) in [
        (&[GET, GET].concat()[..], 2),
        (&[GET, b"GET /"].concat(), 1),
        (b"GET /", 0),
        (b"", 0),
    ] {
        let mut client = house.connect();
        client.send(sent);
        let answer = String::from_utf8(client.finish()).expect("text");
        assert_eq!(answer.matches("HTTP/1.1 404").count(), answers, "{answer}");
    }
}

#[test]
fn a_client_that_vanishes_while_it_is_answered_harms_nobody() {
    let house = House::start(&[]);
    for _ in 0..20 {
        let mut client = house.connect();
        client.send(&GET.repeat(1_000));
        client.reset();
    }
    house.put();
}

#[test]
fn an_answer_waits_for_its_reader_and_takes_little_memory() {
    let house = House::start(&[]);
    let mut clients: Vec<Client> = (0..8).map(|_| house.connect()).collect();
    let requests = GET.repeat(1_000);
    for client in &mut clients {
        // Until the server no longer reads.
        client.stream.set_nonblocking(true).expect("takes the mode");
        let mut taken = 0;
        while taken < requests.len() * 1_000 {
            match client.stream.write(&requests[taken % requests.len()..]) {
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        client
            .stream
            .set_nonblocking(false)
            .expect("takes the mode");
    }
    house.put();
    house.daemon.process.wait_until_it_sleeps();
    assert!(
        house.daemon.process.peak_kib() < 32 << 10,
        "{}",
        house.daemon.process.peak_kib()
    );
    for mut client in clients {
        assert!(read_answer(&mut client).0.starts_with("HTTP/1.1 404"));
    }
}

#[test]
fn a_request_that_does_not_end_is_refused_in_time() {
    let house = House::start(&["--request-timeout", "1"]);
    let begin = Instant::now();
    let clients: Vec<Client> = [
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na",
    ]
    .into_iter()
    .map(|begun| {
        let mut client = house.connect();
        client.send(begun.as_bytes());
        client
    })
    .collect();
    // Nothing is begun on this one.
    let mut still = house.connect();
    for client in clients {
        assert_eq!(last_status(&client.rest()), Some(408));
    }
    assert!(begin.elapsed() >= Duration::from_secs(1));
    still.send(GET);
    read_answer(&mut still);
    house.put();
}

#[test]
fn a_head_or_a_body_without_end_is_refused_and_takes_little_memory() {
    let house = House::start(&[]);
    let peak = house.daemon.process.peak_kib();
    let line = "X-Header: something\r\n".repeat(1_000);
    for (status, begin, piece) in [
        (414, "GET /", "x".repeat(20_000)),
        (431, "GET / HTTP/1.1\r\n", line.clone()),
        (
            413,
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            format!("4e20\r\n{}\r\n", "x".repeat(20_000)),
        ),
        (
            413,
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            line,
        ),
        (
            413,
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n",
            "x".repeat(20_000),
        ),
    ] {
        let client = house.connect();
        let pieces = std::iter::once(begin).chain(std::iter::repeat_n(&*piece, 1_000));
        let answer = client.converse(pieces.map(str::as_bytes));
        assert_eq!(last_status(&answer), Some(status), "{begin}");
    }
    assert!(house.daemon.process.peak_kib() < peak + 2_000);
    house.put();
}

#[test]
fn the_line_limit_is_that_of_a_head_and_of_a_body() {
    let house = House::start(&["--line-limit", "200"]);
    let head = |length: usize| {
        let padding = "x".repeat(length - "GET / HTTP/1.1\r\nHost:\r\nX:\r\n\r\n".len());
        format!("GET / HTTP/1.1\r\nHost:\r\nX:{padding}\r\n\r\n")
    };
    let body = |length: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    for length in [199, 200] {
        let mut client = house.connect();
        for request in [head(length), body(length), head(length)] {
            client.send(request.as_bytes());
            assert!(
                !read_answer(&mut client).0.contains("Connection: close"),
                "{request}"
            );
        }
    }
    for (status, request) in [(431, head(201)), (413, body(201))] {
        let mut client = house.connect();
        client.send(request.as_bytes());
        assert_eq!(last_status(&client.rest()), Some(status));
    }
}

#[test]
fn the_connection_limit_is_that_of_all_listeners_together() {
    let house = House::start(&["--connection-limit", "2"]);
    let mut main = house.daemon.connect();
    main.exchange(b"put k 1 1\n", OK);
    let mut first = house.connect();
    first.send(GET);
    read_answer(&mut first);
    let mut second = house.connect();
    second.send(GET);
    main.wait_for_a_turn();
    assert!(!second.has_input());
    drop(first);
    read_answer(&mut second);
    // One that is closed by the server makes room too.
    second.send(b"GET / HTTP/1.0\r\n\r\n");
    assert!(second.rest().starts_with(b"HTTP/1.1 "));
    let mut third = house.connect();
    third.send(GET);
    read_answer(&mut third);
}

#[test]
fn a_thousand_connections_are_kept_alive_while_others_put() {
    if !may_open_files(3_000) {
        return run_with_open_files(
            3_000,
            "http::a_thousand_connections_are_kept_alive_while_others_put",
        );
    }
    let house = House::start(&[]);
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        let mut client = house.daemon.connect();
        let putting = scope.spawn(move || {
            let mut longest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                client.exchange(b"put k 1 1\n", OK);
                longest = longest.max(begin.elapsed());
            }
            longest
        });
        let mut clients: Vec<Client> = (0..1_000).map(|_| house.connect()).collect();
        for _ in 0..3 {
            clients.iter_mut().for_each(|client| client.send(GET));
            for client in &mut clients {
                assert!(read_answer(client).0.starts_with("HTTP/1.1 404"));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let longest = putting.join().expect("all are answered");
        // Far more than it takes, on a machine that is busy with something else.
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        for client in clients {
            assert_eq!(client.finish(), b"");
        }
    });
}

#[test]
fn an_idle_server_sleeps_though_connections_are_kept_alive() {
    let house = House::start(&[]);
    let mut clients: Vec<Client> = (0..10).map(|_| house.connect()).collect();
    for client in &mut clients {
        let (begin, rest) = GET.split_at(20);
        client.send(begin);
        client.send(rest);
        read_answer(client);
    }
    house.daemon.process.wait_until_it_sleeps();
    for mut client in clients {
        client.send(GET);
        read_answer(&mut client);
    }
}

/// What `curl` prints, or `None` if there is none.
fn curl(arguments: &[&str]) -> Option<String> {
    let run = Command::new("curl")
        .args(["-sS", "--max-time", "20"])
        .args(arguments)
        .output();
    match run {
        Ok(run) => {
            assert!(run.status.success(), "{}", show(&run.stderr));
            Some(String::from_utf8_lossy(&run.stdout).into_owned())
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            support::skip_without("curl");
            None
        }
    }
}

#[test]
fn curl_is_answered() {
    let house = House::start(&[]);
    let body = temporary_path("http-body");
    std::fs::write(&body, "target=".to_string() + &"x".repeat(50_000)).expect("is written");
    let body = format!("@{}", body.display());
    let url = house.url("/none");
    for (arguments, expected) in [
        (&["-w", " %{http_code} %{num_connects}"][..], " 404 1"),
        (&["-I", "-w", "%{http_code} %{size_download}"], "404 0"),
        (&["-d", "target=a", "-w", " %{http_code}"], " 404"),
        (
            &[
                "-d",
                &body,
                "-H",
                "Transfer-Encoding: chunked",
                "-w",
                " %{http_code}",
            ],
            " 404",
        ),
        (
            &[
                "-d",
                &body,
                "-H",
                "Expect: 100-continue",
                "-w",
                " %{http_code}",
            ],
            " 404",
        ),
        (
            &["-G", "-d", &body, "-o", "/dev/null", "-w", "%{http_code}"],
            "404",
        ),
        (
            &[
                "-G",
                "-d",
                &body,
                "-d",
                &body,
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
            ],
            "414",
        ),
        (&["--http1.0", "-w", " %{http_code}"], " 404"),
        (&["-X", "DELETE", "-w", " %{http_code}"], ""),
        (
            &["-X", "BREW", "-o", "/dev/null", "-w", "%{http_code}"],
            "501",
        ),
        (
            &["-X", "POST", "-o", "/dev/null", "-w", "%{http_code}"],
            "411",
        ),
        (
            &[
                "-H",
                "Expect: cake",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
            ],
            "417",
        ),
        (
            &[
                "-H",
                "Content-Type: application/json",
                "-d",
                "{}",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
            ],
            "415",
        ),
    ] {
        let Some(printed) = curl(&[&[&*url], arguments].concat()) else {
            return;
        };
        assert!(printed.ends_with(expected), "{arguments:?}: {printed}");
    }
    // The second and the third come on the same connection.
    let connections = curl(&[
        "-o",
        "/dev/null",
        "-o",
        "/dev/null",
        "-o",
        "/dev/null",
        "-w",
        "%{num_connects}",
        &url,
        &url,
        &url,
    ]);
    assert_eq!(connections.as_deref(), Some("100"));
    std::fs::remove_file(&body[1..]).expect("is there");
}

#[test]
fn curl_is_answered_on_a_unix_socket() {
    let path = temporary_path("http.sock");
    let daemon = Daemon::start(&["--http", &unix_address(&path)]);
    assert_eq!(listening_text(&daemon.process), unix_address(&path));
    let arguments = [
        "--unix-socket",
        &path.display().to_string(),
        "http://h/none",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
    ];
    if let Some(printed) = curl(&arguments) {
        assert_eq!(printed, "404");
    }
}
