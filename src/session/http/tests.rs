use super::*;
use crate::counters::Counts;
use crate::http::{Body, Parameters};
use crate::memory::Room;
use crate::server::Unread;
use crate::store::Store;
use crate::turn::{Allowance, Environment};
use proptest::prelude::*;
use std::mem;
use std::str;
use std::time::{Duration, UNIX_EPOCH};

/// The most bytes of a head, and of a body.
const LIMIT: usize = 300;

/// A session, and what it borrows for its turns.
struct Desk {
    session: HttpSession,
    store: Store,
    counts: Counts,
    input: LineBuffer,
    unread: Unread,
    reply_bytes: usize,
    /// How long each turn may take.
    time: Duration,
    /// How many turns were taken.
    turns: usize,
    /// The client takes its answers.
    is_answered: bool,
    kept_room_bytes: usize,
}

impl Desk {
    fn new(reply_bytes: usize) -> Desk {
        Desk {
            session: HttpSession {
                answer,
                ..HttpSession::default()
            },
            store: Store::new(),
            counts: Counts::default(),
            input: LineBuffer::new(LIMIT, 64 << 10),
            unread: Unread::default(),
            reply_bytes,
            time: Duration::MAX / 4,
            turns: 0,
            is_answered: true,
            kept_room_bytes: usize::MAX,
        }
    }

    /// Sends these pieces, each when the one before is used up, and returns all answers.
    fn send(&mut self, pieces: &[&[u8]]) -> Vec<u8> {
        let mut replies = Vec::new();
        let mut pieces = pieces.iter();
        loop {
            self.input.load(mem::take(&mut self.unread));
            if !self.session.is_replying() && !self.input.has_unscanned() {
                let Some(mut piece) = pieces.next().filter(|_| !self.session.is_over()).copied()
                else {
                    self.unread = self.input.save();
                    return replies;
                };
                self.input
                    .read_from(&mut piece, usize::MAX)
                    .expect("a slice");
                assert!(piece.is_empty());
            }
            let environment = Environment {
                wall_clock: || UNIX_EPOCH + Duration::from_secs(784_111_777),
                ..Environment::default()
            };
            let mut allowance = Allowance::new(1 << 20, self.reply_bytes, self.time, Instant::now);
            let full_at = replies.len() + self.reply_bytes;
            let mut turn = Turn {
                kept_room_bytes: self.kept_room_bytes,
                store: &mut self.store,
                replies: &mut replies,
                full_at,
                allowance: &mut allowance,
                is_answered: self.is_answered,
                recorder: None,
                room: &mut Room::default(),
                counts: &mut self.counts,
                environment: &environment,
                is_postponed: false,
            };
            self.session.execute(&mut self.input, &mut turn, false);
            self.turns += 1;
            assert!(replies.len() < full_at + (LIMIT << 2) + self.reply_bytes);
            self.unread = self.input.save();
            assert!(self.unread.len() == 0 || !self.session.is_over());
        }
    }
}

/// Answers with what was asked for, in the way that the path names.
fn answer(request: &Request, _turn: &mut Turn) -> Answer {
    let body = format!("{request:?}\n").into_bytes();
    let pieces = |pieces: &[&'static str], ends: Result<(), Failure>| {
        let pieces = pieces.iter().rev().copied().collect();
        let kept_bytes = request
            .parameters
            .get("kept")
            .map_or(0, |kept| kept.parse().unwrap());
        Body::Pieces(Box::new(Script {
            pieces,
            ends,
            kept_bytes,
        }))
    };
    let failure = Failure::new(503, "no more");
    let body = match request.path.as_str() {
        "/pieces" => pieces(&["one", "", "two, which is longer", "", "3"], Ok(())),
        "/piece" => pieces(&["one"], Ok(())),
        "/nothing" => pieces(&[""], Ok(())),
        "/late" => pieces(&["", "one", ""], Ok(())),
        "/growing" => pieces(&["", "one"], Ok(())),
        "/failure" => pieces(&["", ""], Err(failure)),
        "/breaks" => pieces(&["one", "two"], Err(failure)),
        _ => Body::Whole(body.into()),
    };
    let headers = vec![("Content-Type", "text/plain")];
    Answer {
        head: AnswerHead {
            status: 200,
            headers,
        },
        body,
    }
}

/// Pieces, the last one first, of which each call appends one, and what comes after them.
#[derive(Debug)]
struct Script {
    pieces: Vec<&'static str>,
    ends: Result<(), Failure>,
    /// What is kept once one of them is appended.
    kept_bytes: usize,
}

impl Pieces for Script {
    fn append(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        turn.replies
            .extend_from_slice(self.pieces.pop().unwrap_or_default().as_bytes());
        match &self.ends {
            _ if !self.pieces.is_empty() => Err(Halt::Pause),
            Ok(()) => Ok(()),
            // What was appended in the same call counts for nothing.
            Err(failure) => Err(failure.clone().into()),
        }
    }

    fn is_cut_off(&self) -> bool {
        false
    }

    fn kept_bytes(&self) -> usize {
        if self.pieces.len() == 1 {
            self.kept_bytes
        } else {
            0
        }
    }
}

/// An answer as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    status: u16,
    /// In lower case.
    headers: Vec<String>,
    body: Vec<u8>,
    /// It ends as its head says.
    is_whole: bool,
}

/// Reads the answers to requests of these methods.
fn read_all(mut bytes: &[u8], methods: &[&str]) -> Vec<Read> {
    let mut answers = Vec::new();
    let mut methods = methods.iter();
    while !bytes.is_empty() {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("an end of the head");
        let head = str::from_utf8(&bytes[..end]).expect("text").to_lowercase();
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n").map(String::from);
        let status = lines.next().expect("a line")[9..12]
            .parse()
            .expect("a number");
        if status == 100 {
            continue;
        }
        let headers: Vec<String> = lines.collect();
        let value = |name: &str| {
            let mut values = headers
                .iter()
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let value = values.next();
            assert_eq!(values.next(), None, "{name} twice");
            value
        };
        let (mut body, mut is_whole) = (Vec::new(), true);
        let has_body = methods.next() != Some(&"HEAD");
        let length: Option<usize> =
            value("content-length").map(|length| length.parse().expect("a number"));
        if !has_body {
        } else if let Some(length) = length {
            assert_eq!(value("transfer-encoding"), None);
            body = bytes[..length].to_vec();
            bytes = &bytes[length..];
        } else if value("transfer-encoding").is_some() {
            (body, is_whole, bytes) = read_chunks(bytes);
        } else {
            assert_eq!(value("connection"), Some("close"));
            body = mem::take(&mut bytes).to_vec();
        }
        assert_eq!(value("date"), Some("sun, 06 nov 1994 08:49:37 gmt"));
        assert_eq!(value("x-content-type-options"), Some("nosniff"));
        answers.push(Read {
            status,
            headers,
            body,
            is_whole,
        });
    }
    answers
}

/// The bytes of all chunks, whether the last one is there, and what follows.
fn read_chunks(mut bytes: &[u8]) -> (Vec<u8>, bool, &[u8]) {
    let mut body = Vec::new();
    while !bytes.is_empty() {
        let end = bytes
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("a size");
        let size = usize::from_str_radix(str::from_utf8(&bytes[..end]).expect("text"), 16);
        let size = size.expect("a number");
        let (chunk, rest) = bytes[end + 2..].split_at(size);
        body.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n").expect("an end of the chunk");
        if size == 0 {
            return (body, true, bytes);
        }
    }
    (body, false, bytes)
}

/// What a client reads that sends this at once.
fn exchange(requests: &str, methods: &[&str]) -> (Vec<Read>, bool) {
    let mut desk = Desk::new(1 << 20);
    let replies = desk.send(&[requests.as_bytes()]);
    (read_all(&replies, methods), desk.session.is_over())
}

#[test]
fn what_is_asked_for_is_understood() {
    let long = "x".repeat(LIMIT - "GET / HTTP/1.1\r\nHost:\r\nX:\r\n\r\n".len());
    for (request, expected) in [
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\na=b\r\n0000\r\n\r\n",
            r#"Post, path: "/", parameters: Parameters([("a", "b")])"#,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n",
            r#"Post, path: "/", parameters: Parameters([])"#,
        ),
        (
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            r#"Get, path: "/", parameters: Parameters([])"#,
        ),
        (
            "GET /a%20b/%c3%A9?x=1&y=a+b%2B&x=2&&z&=v&w== HTTP/1.1\r\nHost: a\r\n\r\n",
            r#"Get, path: "/a b/é", parameters: Parameters([("x", "1"), ("y", "a b+"), ("x", "2"), ("z", ""), ("", "v"), ("w", "=")])"#,
        ),
        (
            "GET /a+b%zz% HTTP/1.0\r\n\r\n",
            r#"Get, path: "/a+b%zz%", parameters: Parameters([])"#,
        ),
        (
            "GET HTTP://h:80?q=1 HTTP/1.1\r\nhOST: [::1]:80\r\n\r\n",
            r#"Get, path: "/", parameters: Parameters([("q", "1")])"#,
        ),
        (
            "GET http://h/p?/?# HTTP/1.1\r\nHost: h\r\n\r\n",
            r#"Get, path: "/p", parameters: Parameters([("/?#", "")])"#,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b",
            r#"Other, path: "/", parameters: Parameters([])"#,
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b",
            r#"Get, path: "/", parameters: Parameters([])"#,
        ),
        (
            "POST /?a=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0003\r\n\r\na=b",
            r#"Post, path: "/", parameters: Parameters([("a", "1"), ("a", "b")])"#,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: Application/X-www-form-urlencoded ; charset=UTF-8\r\nContent-Length:  3 \r\n\r\na=b",
            r#"Post, path: "/", parameters: Parameters([("a", "b")])"#,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n2;x;y=\"\t;\r\na=\r\n000A\r\nb&c=de%20f\r\n0\r\nX: y\r\nz:\r\n\r\n",
            r#"Post, path: "/", parameters: Parameters([("a", "b"), ("c", "de f")])"#,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            r#"Post, path: "/", parameters: Parameters([])"#,
        ),
        (
            "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            r#"Get, path: "/", parameters: Parameters([])"#,
        ),
        (
            &format!("GET / HTTP/1.1\r\nHost:\r\nX:{long}\r\n\r\n"),
            r#"Get, path: "/", parameters: Parameters([])"#,
        ),
    ] {
        let (answers, _) = exchange(request, &[]);
        assert_eq!(answers.len(), 1, "{request}");
        let body = str::from_utf8(&answers[0].body).expect("text");
        assert_eq!(
            (answers[0].status, body),
            (200, &*format!("Request {{ method: {expected} }}\n")),
            "{request}"
        );
    }
}

/// What is answered to a request that is malformed, or not offered; and what it is.
fn refused() -> Vec<(u16, String)> {
    let mut refused = Vec::new();
    let mut add = |status, request: String| refused.push((status, request));
    let long = "x".repeat(LIMIT);
    for line in [
        "GET /",
        "GET",
        "",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.",
        "GET / HTTP/1.1x",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTPS/1.1",
        "GET / HTTP/1,1",
        "GET / HTTP/+1.1",
        "GET /a b HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "G\0T / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET /\r HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET\r/ HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT h:80 HTTP/1.1",
        "GET h HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET https://h/ HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "GET http://?a HTTP/1.1",
        "GET http:h HTTP/1.1",
        "GET /%ff HTTP/1.1",
        "GET /?a=%ff HTTP/1.1",
    ] {
        // An empty line is no request line.
        if !line.is_empty() {
            add(400, format!("{line}\r\nHost: h\r\n\r\n"));
        }
    }
    for version in ["0.9", "1.2", "2.0", "3.0", "9.9"] {
        add(505, format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n"));
    }
    for method in ["get", "GETS", "FOO", "PRI", "PUTT", "M-SEARCH"] {
        add(501, format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    for headers in [
        "",
        "Host: h\r\nHost: h\r\n",
        "Host: h\r\nhost: i\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a@b\r\n",
        "Host: é\r\n",
        "Host : h\r\n",
        "Host\t: h\r\n",
        " Host: h\r\n",
        "Host: h\r\n folded\r\n",
        "Host: h\r\n\tfolded\r\n",
        "Host: h\r\nX\r\n",
        "Host: h\r\n: x\r\n",
        "Host: h\r\nX y: z\r\n",
        "Host: h\r\nX@: z\r\n",
        "Host: h\r\n\0: z\r\n",
        "Host: h\r\nX: \0\r\n",
        "Host: h\r\nX: a\x01b\r\n",
        "Host: h\r\nX: \x7f\r\n",
        "Host: h\r\nX: a\rb\r\n",
        "Host: h\r\nX: a\r\r\n",
        "Host: h\r\nX\r: a\r\n",
        "Host: h\r\né: z\r\n",
        "Host: h\nX: y\r\n",
        "Host: h\r\nX: y\n",
        "Host: h\n\n",
        "Host: h\r\n\n",
        "Host: h\r\nContent-Type: a\r\nContent-Type: b\r\n",
    ] {
        add(400, format!("GET / HTTP/1.1\r\n{headers}\r\n"));
    }
    add(400, "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n".into());
    add(400, "GET / HTTP/1.1\nHost: h\n\n".into());
    add(400, "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n".into());
    add(400, "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n".into());
    add(400, "\r\n GET / HTTP/1.1\r\nHost: h\r\n\r\n".into());
    for length in [
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "",
        "5x",
        "0x5",
        "5 5",
        "5\t5",
        "1e1",
        "\u{b}5",
        "5\u{a0}",
        "18446744073709551616",
        "99999999999999999999999",
        "5;5",
        "\"5\"",
    ] {
        add(
            400,
            format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\nabcde"),
        );
        add(
            400,
            format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\nabcde"),
        );
    }
    for (status, headers) in [
        (400, "Content-Length: 5\r\nContent-Length: 5"),
        (400, "Content-Length: 5\r\nContent-Length: 6"),
        (400, "Content-Length: 5\r\ncontent-length: 6"),
        (400, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        (400, "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        (400, "Transfer-Encoding: chunked\r\nContent-Length: 0"),
        (400, "Transfer-Encoding: identity\r\nContent-Length: 5"),
        (
            400,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        (400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
        (400, "Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
        (400, "Transfer-Encoding:"),
        (400, "Transfer-Encoding: chunked, x"),
        (400, "Transfer-Encoding: chunked, chunked"),
        (400, "Transfer-Encoding: chunked,"),
        (400, "Transfer-Encoding: chunked, identity"),
        (400, "Transfer-Encoding: \u{b}chunked"),
        (400, "Transfer-Encoding: chun\0ked"),
        (400, "Transfer-Encoding\u{b}: chunked"),
        (400, "Transfer-Encoding : chunked"),
        (
            400,
            "Transfer_Encoding: chunked\r\n Transfer-Encoding: chunked",
        ),
        (400, "X: y\nTransfer-Encoding: chunked"),
        (400, "X: y\rTransfer-Encoding: chunked"),
        (400, "Transfer-Encoding:\r\n chunked"),
        (400, "Transfer-Encoding: identity"),
        (400, "Transfer-Encoding: gzip"),
        (501, "Transfer-Encoding: gzip, chunked"),
        (501, "Transfer-Encoding: , chunked"),
        (400, "Transfer-Encoding: xchunked"),
        (400, "Transfer-Encoding: chunked;q=1"),
        (400, "Transfer-Encoding: \"chunked\""),
        (400, "Transfer-Encoding: 'chunked'"),
        (400, "Transfer-Encoding: chunked\u{a0}"),
        (417, "Content-Length: 5\r\nExpect: x"),
        (417, "Content-Length: 5\r\nExpect: 100-continue, x"),
        (411, "X: y"),
        (411, "Content-Length : 5".trim_end_matches(" : 5")),
    ] {
        // The last one has no colon, which is worse.
        let status = if headers == "Content-Length" {
            400
        } else {
            status
        };
        add(
            status,
            format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n0\r\n\r\n"),
        );
    }
    add(
        400,
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
    );
    add(411, "POST / HTTP/1.0\r\n\r\n".into());
    add(
        413,
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            LIMIT + 1
        ),
    );
    add(
        413,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\n".into(),
    );
    for (status, chunks) in [
        (400, "\r\n\r\n"),
        (400, ";\r\n\r\n"),
        (400, "5\nabcde\r\n0\r\n\r\n"),
        (400, "5\rabcde\r\n0\r\n\r\n"),
        (400, "5 \r\nabcde\r\n0\r\n\r\n"),
        (400, " 5\r\nabcde\r\n0\r\n\r\n"),
        (400, "5 ;a\r\nabcde\r\n0\r\n\r\n"),
        (400, "+5\r\nabcde\r\n0\r\n\r\n"),
        (400, "-5\r\nabcde\r\n0\r\n\r\n"),
        (400, "0x5\r\nabcde\r\n0\r\n\r\n"),
        (400, "5_\r\nabcde\r\n0\r\n\r\n"),
        (400, "g\r\nabcde\r\n0\r\n\r\n"),
        (400, "5\r\nabcde0\r\n\r\n"),
        (400, "5\r\nabcdef\r\n0\r\n\r\n"),
        (400, "5\r\nabcde\n0\r\n\r\n"),
        (400, "5\r\nabcde\r0\r\n\r\n"),
        (400, "5;\nabcde\r\n0\r\n\r\n"),
        (400, "5;a\rb\r\nabcde\r\n0\r\n\r\n"),
        (400, "5;\0\r\nabcde\r\n0\r\n\r\n"),
        (400, "5;\x7f\r\nabcde\r\n0\r\n\r\n"),
        (400, "00000000000000005\r\nabcde\r\n0\r\n\r\n"),
        (413, "12d\r\n"),
        (413, "ffffffffffffffff\r\n"),
        (413, "fffffffffffffffff\r\n"),
        (400, "0\r\n \r\n\r\n"),
        (400, "0\r\nX\r\n\r\n"),
        (400, "0\r\n:x\r\n\r\n"),
        (400, "0\r\nX : y\r\n\r\n"),
        (400, "0\r\nX: y\n\r\n"),
        (400, "0\r\nX: a\rb\r\n\r\n"),
        (400, "0\r\nX: \0\r\n\r\n"),
        (400, "0\r\nX: y\r\n fold\r\n\r\n"),
        (400, "0\r\n\n"),
        (400, "0\r\n\rx"),
        (400, "0\n\r\n"),
    ] {
        add(
            status,
            format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"),
        );
    }
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    add(413, format!("{chunked}1;{long}\r\nx\r\n0\r\n\r\n"));
    add(413, format!("{chunked}0\r\na:{}\r\n\r\n", &long[1..]));
    add(413, format!("{chunked}{}", "1\r\nx\r\n".repeat(LIMIT + 1)));
    add(414, format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"));
    add(414, format!("GET /{long}"));
    add(
        431,
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}\r\n\r\n"),
    );
    add(431, format!("GET / HTTP/1.1\r\nHost: h\r\nX: {long}"));
    let exact = "x".repeat(LIMIT - "GET / HTTP/1.1\r\nHost:\r\nX:\r\n\r\n".len() + 1);
    add(431, format!("GET / HTTP/1.1\r\nHost:\r\nX:{exact}\r\n\r\n"));
    add(
        431,
        format!("GET / HTTP/1.1\r\nHost:\r\n{}\r\n", "a:\r\n".repeat(LIMIT)),
    );
    refused
}

/// What may follow a request, and must not be executed as one.
const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn what_is_malformed_or_not_offered_is_refused_and_nothing_after_it_is_read() {
    for (status, request) in refused() {
        let (answers, is_over) = exchange(&format!("{request}{NEXT}"), &[]);
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [status], "{request:?}");
        assert!(is_over, "{request:?}");
        assert!(answers[0].headers.contains(&"connection: close".into()));
        assert!(!answers[0].body.is_empty());
    }
}

#[test]
fn more_headers_than_the_limit_are_refused() {
    let mut input = LineBuffer::new(64 << 10, 64 << 10);
    for (count, expected) in [(99, None), (100, Some(431))] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "a: b\r\n".repeat(count)
        );
        input
            .read_from(&mut request.as_bytes(), usize::MAX)
            .expect("a slice");
        let length = search_head(&mut input).expect("whole");
        let parsed = Head::parse(&input.bytes()[..length]);
        assert_eq!(parsed.err().map(|failure| failure.status), expected);
        input.clear();
    }
}

#[test]
fn each_request_of_a_pipeline_is_answered_in_order() {
    let requests = "GET /a HTTP/1.1\r\nHost: h\r\n\r\nHEAD /pieces HTTP/1.1\r\nHost: h\r\n\r\n\
        GET /pieces HTTP/1.1\r\nHost: h\r\n\r\nHEAD /b HTTP/1.1\r\nHost: h\r\n\r\n\
        POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nd=e\
        DELETE /f HTTP/1.1\r\nHost: h\r\n\r\nGET /failure HTTP/1.1\r\nHost: h\r\n\r\nGET /g HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /h HTTP/1.1\r\nHost: h\r\n\r\n";
    let methods = ["GET", "HEAD", "GET", "HEAD", "POST", "DELETE", "GET", "GET"];
    let (answers, is_over) = exchange(requests, &methods);
    let bodies: Vec<String> = answers
        .iter()
        .map(|answer| String::from_utf8_lossy(&answer.body).into_owned())
        .collect();
    assert_eq!(
        answers
            .iter()
            .map(|answer| answer.status)
            .collect::<Vec<_>>(),
        [200, 200, 200, 200, 200, 200, 503, 200]
    );
    for (body, part) in bodies.iter().zip([
        "\"/a\"",
        "",
        "onetwo, which is longer3",
        "",
        "\"d\", \"e\"",
        "\"/f\"",
        "no more",
        "\"/g\"",
    ]) {
        assert!(
            body.contains(part) && body.is_empty() == part.is_empty(),
            "{body}"
        );
    }
    assert!(is_over && answers.iter().all(|answer| answer.is_whole));
    assert!(
        answers[3]
            .headers
            .iter()
            .any(|header| header.starts_with("content-length: "))
    );
}

#[test]
fn bodies_are_framed_by_what_is_known_of_them() {
    let has = |answer: &Read, header: &str| answer.headers.iter().any(|known| known == header);
    for (path, length, body) in [
        ("/piece", Some(3), "one"),
        ("/nothing", Some(0), ""),
        ("/pieces", None, "onetwo, which is longer3"),
        ("/late", None, "one"),
    ] {
        let (answers, is_over) = exchange(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"), &[]);
        assert_eq!(
            (
                str::from_utf8(&answers[0].body),
                is_over,
                answers[0].is_whole
            ),
            (Ok(body), false, true)
        );
        match length {
            Some(length) => assert!(has(&answers[0], &format!("content-length: {length}"))),
            None => assert!(has(&answers[0], "transfer-encoding: chunked")),
        }
        // A client of HTTP/1.0 is told a length, or reads to the end.
        for (option, keeps) in [
            ("", false),
            ("Connection: x, Keep-Alive\r\n", true),
            ("Connection: keep-alive\r\nConnection: close\r\n", false),
        ] {
            let (answers, is_over) = exchange(&format!("GET {path} HTTP/1.0\r\n{option}\r\n"), &[]);
            assert_eq!(str::from_utf8(&answers[0].body), Ok(body));
            let keeps = keeps && length.is_some();
            assert_eq!(is_over, !keeps, "{path} {option}");
            assert!(has(
                &answers[0],
                if keeps {
                    "connection: keep-alive"
                } else {
                    "connection: close"
                }
            ));
            assert!(!has(&answers[0], "transfer-encoding: chunked"));
        }
    }
}

#[test]
fn a_body_that_breaks_off_lacks_its_last_chunk() {
    let (answers, is_over) = exchange(
        &format!("GET /breaks HTTP/1.1\r\nHost: h\r\n\r\n{NEXT}"),
        &[],
    );
    assert_eq!(
        (
            answers.len(),
            &answers[0].body[..],
            answers[0].is_whole,
            is_over
        ),
        (1, &b"one"[..], false, true)
    );
}

#[test]
fn an_answer_to_head_is_that_to_get_without_the_body() {
    for path in ["/", "/whatever"] {
        let of = |method: &str| {
            Desk::new(1 << 20)
                .send(&[format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()])
        };
        let (get, head) = (of("GET"), of("HEAD"));
        // The name of the method is one longer, in the body alone.
        let get = String::from_utf8(get)
            .expect("text")
            .split_once("\r\n\r\n")
            .expect("a head")
            .0
            .to_string();
        let head = String::from_utf8(head).expect("text");
        let length = |head: &str| {
            head.split_once("Content-Length: ")
                .expect("a length")
                .1
                .trim()
                .parse::<usize>()
                .expect("a number")
        };
        assert_eq!(length(&get) + 1, length(&head));
        assert!(head.ends_with("\r\n\r\n"));
    }
    let (answers, _) = exchange("HEAD / HTTP/1.1\r\n\r\n", &["HEAD"]);
    assert_eq!((answers[0].status, answers.len()), (400, 1));
    let reply = Desk::new(1 << 20).send(&[b"HEAD / HTTP/1.1\r\n\r\n"]);
    assert!(reply.ends_with(b"\r\n\r\n"));
    // As little if it is the body that is malformed.
    let request = "HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx";
    let reply = Desk::new(1 << 20).send(&[request.as_bytes()]);
    assert!(reply.starts_with(b"HTTP/1.1 400") && reply.ends_with(b"\r\n\r\n"));
}

#[test]
fn a_client_is_told_to_go_on_if_the_body_is_wanted_and_not_there() {
    let head = |version: &str, more: &str| {
        format!("POST /a HTTP/{version}\r\nHost: h\r\nExpect: 100-Continue\r\n{more}\r\n")
    };
    let told = |pieces: &[&str]| {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        let reply = Desk::new(1 << 20).send(&pieces);
        assert_eq!(read_all(&reply, &[]).len(), 1);
        reply
            .windows(12)
            .filter(|part| part == b"HTTP/1.1 100")
            .count()
    };
    let (length, chunked) = ("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n");
    assert_eq!(told(&[&head("1.1", length), "a", "=b"]), 1);
    assert_eq!(
        told(&[&head("1.1", chunked), "3\r\n", "a=b\r\n0\r\n\r\n"]),
        1
    );
    assert_eq!(told(&[&(head("1.1", length) + "a"), "=b"]), 0);
    assert_eq!(told(&[&head("1.1", "Content-Length: 0\r\n")]), 0);
    assert_eq!(told(&[&head("1.0", length), "a=b"]), 0);
    assert_eq!(told(&[&head("1.1", "Content-Length: 301\r\n")]), 0);
}

#[test]
fn a_body_of_another_type_is_not_taken_for_a_form() {
    let request = format!(
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}{NEXT}"
    );
    let (answers, is_over) = exchange(&request, &[]);
    assert_eq!(
        (answers[0].status, answers[1].status, is_over),
        (415, 200, false)
    );
}

#[test]
fn a_request_that_is_late_is_answered_and_the_session_is_over() {
    for (sent, is_begun) in [
        ("", false),
        ("\r\n", false),
        ("G", true),
        ("GET / HTTP/1.1\r\n", true),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na",
            true,
        ),
        (NEXT, false),
    ] {
        let mut desk = Desk::new(1 << 20);
        let before = desk.send(&[sent.as_bytes()]);
        assert_eq!(desk.session.awaited_since().is_some(), is_begun, "{sent:?}");
        assert_eq!(before.is_empty(), sent != NEXT);
        if is_begun {
            assert!(desk.session.expire());
            let answers = read_all(&desk.send(&[]), &[]);
            assert_eq!((answers[0].status, desk.session.is_over()), (408, true));
            assert!(!desk.session.expire());
        }
    }
}

#[test]
fn a_request_that_goes_on_has_no_longer_for_it() {
    let mut desk = Desk::new(1 << 20);
    let mut since = Vec::new();
    for byte in NEXT.repeat(2).as_bytes() {
        desk.send(&[&[*byte]]);
        since.push(desk.session.awaited_since());
    }
    let (first, second) = since.split_at(NEXT.len());
    let distinct = |of: &[Option<Instant>]| {
        of[..of.len() - 1]
            .iter()
            .all(|since| *since == of[0] && since.is_some())
    };
    assert!(distinct(first) && distinct(second) && first[0] < second[0]);
    assert!(first.last() == Some(&None) && second.last() == Some(&None));
    // The next one begins in the same turn in which the one before is complete.
    let (mut desk, half) = (Desk::new(1 << 20), NEXT.len() / 2);
    desk.send(&[&NEXT.as_bytes()[..half]]);
    let first = desk.session.awaited_since();
    desk.send(&[[&NEXT[half..], &NEXT[..half]].concat().as_bytes()]);
    assert!(desk.session.awaited_since() > first);
}

#[test]
fn the_requests_of_a_turn_are_few_if_their_answers_are_long_or_take_long() {
    for (reply_bytes, time, turns) in [
        (1 << 20, Duration::MAX / 4, 1),
        (1 << 20, Duration::ZERO, 10),
        (1, Duration::MAX / 4, 10),
    ] {
        let mut desk = Desk::new(reply_bytes);
        desk.time = time;
        let replies = desk.send(&[NEXT.repeat(10).as_bytes()]);
        assert_eq!((read_all(&replies, &[]).len(), desk.turns), (10, turns));
        assert_eq!(desk.counts.requests_http, 10);
    }
}

#[test]
fn the_longest_that_is_taken_is_taken() {
    for (size, status) in [(LIMIT, 200), (LIMIT + 1, 413)] {
        let padding = "x".repeat(size);
        let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in [
            format!("{size:x}\r\n{padding}\r\n0\r\n\r\n"),
            format!("1\r\nx\r\n{:x}\r\n{}\r\n0\r\n\r\n", size - 1, &padding[1..]),
            format!("1;{}\r\nx\r\n0\r\n\r\n", &padding[1..]),
            format!("1;x\r\nx\r\n0\r\nx:{}\r\n\r\n", &padding[4..]),
        ] {
            assert_eq!(
                exchange(&(chunked.to_string() + &body), &[]).0[0].status,
                status,
                "{body}"
            );
        }
        let body = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n{padding}");
        assert_eq!(exchange(&body, &[]).0[0].status, status);
        // The beginning of a head, which may still end.
        let replies = Desk::new(1 << 20).send(&[padding.as_bytes()]);
        assert_eq!(replies.is_empty(), size == LIMIT);
    }
}

#[test]
fn one_that_lingers_does_so_since_it_began_to() {
    let mut session = HttpSession::default();
    let began = Instant::now();
    session.linger(began);
    session.linger(began + Duration::from_secs(1));
    assert_eq!(session.awaited_since(), Some(began));
}

#[test]
fn a_client_that_has_gone_is_not_answered() {
    let mut desk = Desk::new(1 << 20);
    desk.send(&[b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n"]);
    desk.is_answered = false;
    let rest = [&[b'x'; 300], NEXT.as_bytes()].concat();
    assert_eq!(desk.send(&[&rest]), b"");
    assert!(desk.session.is_over() && !desk.session.is_replying());
    assert_eq!(desk.session.kept_bytes(), 0);
}

#[test]
fn the_parameters_are_as_many_as_they_may_be() {
    for (count, status) in [(999, None), (1_000, None), (1_001, Some(400))] {
        let mut parameters = Parameters::default();
        let added = parameters.add_encoded("a=b&".repeat(count).as_bytes());
        assert_eq!(added.err().map(|failure| failure.status), status);
    }
}

#[test]
fn a_session_keeps_what_it_says() {
    let mut desk = Desk::new(1 << 20);
    assert_eq!(desk.session.kept_bytes(), 0);
    desk.send(&[
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n",
        &[b'x'; 200],
    ]);
    assert!((200..=600).contains(&desk.session.kept_bytes()));
    desk.send(&[&[b'x'; 100]]);
    assert_eq!(desk.session.kept_bytes(), 0);
}

/// Requests of all kinds, with what may go wrong.
fn any_request() -> impl Strategy<Value = String> {
    let refused = refused();
    let good = prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /pieces?a=b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /breaks HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /failure HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "\r\nPOST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na=b\r\nc=d%",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\na=b\r\n2\r\n\r\n\r\n0\r\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    ]);
    prop_oneof![
        8 => good.prop_map(String::from),
        1 => prop::sample::select(refused).prop_map(|(_, request)| request),
        1 => "[\\x00-\\x7f]{0,20}",
    ]
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_answers(
        requests in prop::collection::vec(any_request(), 1..8),
        cuts in prop::collection::vec(1..60usize, 1..40),
        reply_bytes in 1..2_000usize,
    ) {
        let all = requests.concat();
        let mut whole = Desk::new(1 << 20);
        let expected = whole.send(&[all.as_bytes()]);
        let (mut pieces, mut rest) = (Vec::new(), all.as_bytes());
        for size in cuts.iter().cycle() {
            let (piece, left) = rest.split_at(rest.len().min(*size));
            pieces.push(piece);
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        let mut cut = Desk::new(reply_bytes);
        let answers = cut.send(&pieces);
        prop_assert_eq!(read_all(&answers, &[]), read_all(&expected, &[]));
        prop_assert_eq!(cut.session.is_over(), whole.session.is_over());
    }

    #[test]
    fn random_bytes_are_answered_by_whole_answers(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let replies = Desk::new(1 << 20).send(&[&bytes]);
        prop_assert!(read_all(&replies, &[]).len() <= 1);
    }

    /// Two requests that each are refused or served alone are so together, in spite of a byte that was
    /// replaced: no byte lets a reader see other bounds than those that the table names.
    #[test]
    fn a_byte_that_is_replaced_smuggles_nothing(request in any_request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = request.into_bytes();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.extend_from_slice(NEXT.as_bytes());
        let mut desk = Desk::new(1 << 20);
        let replies = desk.send(&[&bytes]);
        let answers = read_all(&replies, &[]);
        prop_assert!(desk.session.is_over() || answers.len() <= 3);
    }
}

#[test]
fn an_answer_that_would_keep_more_than_there_is_room_for_is_refused() {
    for (kept, room, status) in [
        (100_000, 100_000, 200),
        (100_001, 100_000, 503),
        (Config::ANSWER_KEPT_BYTES, 0, 200),
        (Config::ANSWER_KEPT_BYTES + 1, 0, 503),
    ] {
        let mut desk = Desk::new(1_000);
        desk.kept_room_bytes = room;
        let request = format!("GET /growing?kept={kept} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answers = String::from_utf8(desk.send(&[request.as_bytes()])).expect("ASCII");
        assert!(
            answers.starts_with(&format!("HTTP/1.1 {status} ")),
            "{kept}: {answers}"
        );
    }
}
