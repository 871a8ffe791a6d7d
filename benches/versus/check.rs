//! Each server's answers, before any of them is timed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::inlet::Inlet;
use crate::running::Running;
use crate::servers::{Need, Server};
use crate::workload::Point;

const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests sent at once to a server that takes them so.
const PIPELINED: usize = 100;

pub fn check(server: &Server) -> Result<(), String> {
    let running = server.start()?;
    match &running.inlet {
        Some(inlet) => check_inlet(server, &running, inlet),
        None => check_replies(server, &running),
    }
}

fn check_replies(server: &Server, running: &Running) -> Result<(), String> {
    let stream = &mut running.connect(1)?[0];
    let dialect = server.dialect;
    let (one, other) = (check_points("check.one"), check_points("check.two"));
    // The later point first: a series comes back in the order of time.
    for point in [&one[1], &one[0], &other[0]] {
        expect(stream, &put(dialect, point), dialect.put_reply)?;
    }
    let other = &other[..1];
    if let Some(get) = &dialect.get
        && server.can(Need::KeepingLatest)
    {
        expect(stream, &(get.request)("check.two"), &(get.reply)(other))?;
        if server.can(Need::Reading) {
            expect(stream, &(get.request)("check.one"), &(get.reply)(&one))?;
        }
    }
    if let Some(get_all) = &dialect.get_all
        && server.can(Need::Reading)
    {
        let request = (get_all.request)(&["check.one".into(), "check.two".into()]);
        let reply = (get_all.reply)(&[one, other.to_vec()]);
        expect(stream, &request, &reply)?;
    }
    if server.can(Need::Pipelining) {
        let puts = (0..PIPELINED as u64).map(|number| point("check.three", 7, number));
        let requests: Vec<u8> = puts.flat_map(|point| put(dialect, &point)).collect();
        expect(stream, &requests, &dialect.put_reply.repeat(PIPELINED))?;
    }
    Ok(())
}

fn check_inlet(server: &Server, running: &Running, inlet: &Inlet) -> Result<(), String> {
    let stream = &mut running.connect(1)?[0];
    let points = check_points("check.one");
    let first = put(server.dialect, &points[1]);
    let last = put(server.dialect, &points[0]);
    stream
        .write_all(&[first, last.clone()].concat())
        .map_err(|error| format!("cannot send: {error}"))?;
    inlet.await_points(points.len() as u64, &[&last])?;
    inlet.check_series(&points)
}

fn check_points(key: &str) -> Vec<Point> {
    vec![point(key, 1_300, 0), point(key, 5_021, 10)]
}

fn point(key: &str, value: u32, seconds: u64) -> Point {
    Point {
        key: key.into(),
        value,
        timestamp: 1_700_000_000 + seconds,
    }
}

fn put(dialect: &Dialect, point: &Point) -> Vec<u8> {
    let mut bytes = Vec::new();
    (dialect.put)(&mut bytes, &point.key, point.value, point.timestamp);
    bytes
}

/// Sends a request, or several, and compares what comes back byte for byte.
pub fn expect(stream: &mut TcpStream, request: &[u8], reply: &[u8]) -> Result<(), String> {
    let mut received = vec![0; reply.len()];
    stream
        .set_read_timeout(Some(REPLY_TIMEOUT))
        .and_then(|()| stream.write_all(request))
        .and_then(|()| stream.read_exact(&mut received))
        .map_err(|error| format!("{} got no whole reply: {error}", shown(request)))?;
    if received != reply {
        let (received, reply) = (shown(&received), shown(reply));
        let request = shown(request);
        return Err(format!("{request} was answered {received}, not {reply}"));
    }
    Ok(())
}

fn shown(bytes: &[u8]) -> String {
    let end = bytes.len().min(60);
    format!("`{}`", bytes[..end].escape_ascii())
}
