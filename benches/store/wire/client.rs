//! A client that waits for each reply, and checks it.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use metricd::Point;

/// Puts sent before their replies are waited for. Both ways they fit the sockets' buffers.
const BATCH: usize = 1_000;

const PUT_REPLY: &[u8] = b"ok\n\n";

/// A server that neither sends nor takes anything for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest that one reply may take, however busily it is sent.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

const READ_BUFFER_BYTES: usize = 256 << 10;

pub struct Client {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
    put_replies: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Result<Client, String> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| format!("no connection to {address}: {error}"))?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .map_err(|error| format!("cannot set up a connection: {error}"))?;
        Ok(Client {
            stream,
            request: String::new(),
            buffer: vec![0; READ_BUFFER_BYTES],
            put_replies: PUT_REPLY.repeat(BATCH),
        })
    }

    /// Puts in batches; each is acknowledged, and nothing else is said.
    pub fn put_all<'key>(
        &mut self,
        puts: impl IntoIterator<Item = (&'key str, Point)>,
    ) -> Result<(), String> {
        let mut puts = puts.into_iter();
        loop {
            self.request.clear();
            let batch = puts.by_ref().take(BATCH);
            let count = batch.map(|(key, point)| self.add_put(key, point)).count();
            if count == 0 {
                return self.expect_silence();
            }
            self.send()?;
            self.expect_ok(count)?;
        }
    }

    /// One put, and how long it took to be acknowledged.
    pub fn put(&mut self, key: &str, point: Point) -> Result<Duration, String> {
        self.request.clear();
        self.add_put(key, point);
        let begin = Instant::now();
        self.send()?;
        self.expect_ok(1)?;
        Ok(begin.elapsed())
    }

    fn add_put(&mut self, key: &str, point: Point) {
        let Point { timestamp, value } = point;
        writeln!(self.request, "put {key} {value:?} {timestamp}")
            .expect("a string takes whatever is written to it");
    }

    pub fn ask(&mut self, request: &str) -> Result<(), String> {
        self.request.clear();
        self.request.push_str(request);
        self.send()
    }

    fn send(&mut self) -> Result<(), String> {
        self.stream
            .write_all(self.request.as_bytes())
            .map_err(|error| format!("cannot send: {error}"))
    }

    fn expect_ok(&mut self, puts: usize) -> Result<(), String> {
        let expected = &self.put_replies[..puts * PUT_REPLY.len()];
        let received = &mut self.buffer[..expected.len()];
        self.stream
            .read_exact(received)
            .map_err(|error| format!("a put is not acknowledged: {error}"))?;
        match received == expected {
            true => Ok(()),
            false => Err(format!("a put was answered {}", shown(received))),
        }
    }

    /// Nothing may follow the last reply.
    fn expect_silence(&mut self) -> Result<(), String> {
        let failed = |error| format!("cannot switch blocking: {error}");
        self.stream.set_nonblocking(true).map_err(failed)?;
        let outcome = self.stream.read(&mut self.buffer);
        self.stream.set_nonblocking(false).map_err(failed)?;
        match outcome {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(format!("the connection broke: {error}")),
            Ok(count) => Err(format!("not asked for: {}", shown(&self.buffer[..count]))),
        }
    }

    /// Reads a reply that holds points at full speed, and says how many. Its last bytes are to
    /// be `end`. Only the end of a reply is a blank line, and nothing was asked for behind it.
    pub fn read_points(&mut self, end: &[u8]) -> Result<usize, String> {
        let mut newlines = 0;
        // What was read last, at least as long as what is looked for in it.
        let mut last = Vec::new();
        let kept_bytes = end.len().max(2);
        let begin = Instant::now();
        while !last.ends_with(b"\n\n") {
            if begin.elapsed() > REPLY_TIMEOUT {
                return Err(format!("no end of a reply after {newlines} lines"));
            }
            let count = match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err(format!("cut off after {newlines} lines")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("after {newlines} lines: {error}")),
            };
            let received = &self.buffer[..count];
            newlines += received.iter().filter(|&&byte| byte == b'\n').count();
            if count >= kept_bytes {
                last.clear();
            }
            last.extend_from_slice(received);
            if last.len() > 2 * kept_bytes + READ_BUFFER_BYTES {
                last.drain(..last.len() - kept_bytes);
            }
        }
        match last.ends_with(end) {
            true => Ok(newlines - 2),
            false => Err("a reply does not end with the points that were put last".into()),
        }
    }

    pub fn expect_points(&mut self, points: usize, end: &[u8]) -> Result<(), String> {
        match self.read_points(end)? {
            received if received == points => self.expect_silence(),
            received => Err(format!("{received} points instead of {points}")),
        }
    }

    /// Compares a get of one series byte for byte.
    pub fn check_series(&mut self, key: &str, points: &[Point]) -> Result<(), String> {
        let reply = format!("ok\n{}", lines(key, points));
        self.ask(&format!("get {key}\n"))?;
        self.expect_points(points.len(), reply.as_bytes())
            .map_err(|error| format!("get {key}: {error}"))
    }
}

/// The lines of a series in a reply, and the blank one that ends it.
pub fn lines(key: &str, points: &[Point]) -> String {
    let mut lines = String::new();
    for Point { timestamp, value } in points {
        writeln!(lines, "{key} {value:?} {timestamp}")
            .expect("a string takes whatever is written to it");
    }
    lines.push('\n');
    lines
}

fn shown(bytes: &[u8]) -> String {
    let end = bytes.len().min(60);
    format!("`{}`", bytes[..end].escape_ascii())
}
