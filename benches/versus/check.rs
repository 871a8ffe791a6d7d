//! Each server's answers, before any of them is timed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::servers::{Need, Server};
use crate::workload::Point;

const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests sent at once to a server that takes them so.
const PIPELINED: usize = 100;

pub fn check(server: &Server) -> Result<(), String> {
    let running = server.start()?;
    let mut streams = running.connect(1)?;
    let stream = &mut streams[0];
    let dialect = server.dialect;

    let later = point("check.one", 5_021, 1_700_000_010);
    let earlier = point("check.one", 1_300, 1_700_000_000);
    let other = point("check.two", 7, 1_700_000_000);
    for point in [&later, &earlier, &other] {
        expect(stream, &put(dialect, point), dialect.put_reply)?;
    }
    if server.can(Need::Reading) {
        let one = (dialect.get_reply)(&[earlier.clone(), later.clone()]);
        expect(stream, &(dialect.get)("check.one"), &one)?;
        let all = (dialect.get_reply)(&[earlier, later, other.clone()]);
        expect(stream, dialect.get_all, &all)?;
    }
    if server.can(Need::Pipelining) {
        let requests = put(dialect, &other).repeat(PIPELINED);
        expect(stream, &requests, &dialect.put_reply.repeat(PIPELINED))?;
    }
    Ok(())
}

fn point(key: &str, value: u32, timestamp: u64) -> Point {
    Point {
        key: key.into(),
        value,
        timestamp,
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
