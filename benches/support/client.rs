//! A client that waits for each reply, and checks it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memchr::memchr_iter;

use super::process::Process;

/// A server that neither sends nor takes anything for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing follows a whole reply for so long.
const SILENCE: Duration = Duration::from_millis(5);

const READ_BUFFER_BYTES: usize = 256 << 10;

/// What is kept of the end of a long reply, at least.
const TAIL_BYTES: usize = 1 << 20;

/// Puts sent before their replies are waited for. Both ways they fit the sockets' buffers.
pub const BATCH: usize = 1_000;
pub const PUT_REPLY: &[u8] = b"ok\n\n";

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    tail: Vec<u8>,
}

impl Client {
    pub fn connect(server: &Process) -> Result<Client> {
        let stream = server.connect()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (buffer, tail) = (Vec::new(), Vec::new());
        Ok(Client {
            stream,
            buffer,
            tail,
        })
    }

    pub fn send(&mut self, requests: &[u8]) -> Result<()> {
        self.stream.write_all(requests).context("cannot send")
    }

    /// Sends requests and compares what comes back byte for byte.
    pub fn expect(&mut self, requests: &[u8], replies: &[u8]) -> Result<()> {
        self.send(requests)?;
        let outcome = self.expect_replies(replies);
        outcome.with_context(|| shown(requests))
    }

    /// Sends puts, each of them a line, in batches whose replies are waited for. Returns how many.
    pub fn put_lines(&mut self, lines: impl IntoIterator<Item = String>) -> Result<usize> {
        let (mut lines, mut count) = (lines.into_iter(), 0);
        loop {
            let batch: Vec<String> = lines.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(count);
            }
            count += batch.len();
            self.expect(batch.concat().as_bytes(), &PUT_REPLY.repeat(batch.len()))?;
        }
    }

    pub fn expect_replies(&mut self, replies: &[u8]) -> Result<()> {
        self.buffer.resize(replies.len(), 0);
        let outcome = self.stream.read_exact(&mut self.buffer);
        outcome.context("no whole reply")?;
        let (received, expected) = (&self.buffer[..], replies);
        ensure!(
            received == expected,
            "{}, not {}",
            shown(received),
            shown(expected)
        );
        Ok(())
    }

    /// Reads a reply of so many lines at full speed, and checks how it ends.
    pub fn expect_lines(&mut self, lines: usize, end: &[u8]) -> Result<()> {
        let received = self.read_lines(lines, b"")?;
        ensure!(received == lines, "{received} lines instead of {lines}");
        ensure!(self.tail.ends_with(end), "a reply ends otherwise");
        self.expect_silence()
    }

    /// Reads at least so many lines, up to the given end of a reply; says how many there are.
    pub fn read_lines(&mut self, least: usize, end: &[u8]) -> Result<usize> {
        let mut lines = 0;
        self.tail.clear();
        self.buffer.resize(READ_BUFFER_BYTES, 0);
        while lines < least || !self.tail.ends_with(end) {
            let count = self.stream.read(&mut self.buffer);
            let count = count.with_context(|| format!("after {lines} lines"))?;
            ensure!(count > 0, "cut off after {lines} lines");
            lines += memchr_iter(b'\n', &self.buffer[..count]).count();
            if self.tail.len() > 2 * TAIL_BYTES {
                self.tail.drain(..TAIL_BYTES);
            }
            self.tail.extend_from_slice(&self.buffer[..count]);
        }
        Ok(lines)
    }

    /// Nothing may follow the last reply.
    pub fn expect_silence(&mut self) -> Result<()> {
        self.stream.set_read_timeout(Some(SILENCE))?;
        let outcome = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let is_silent = outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        ensure!(is_silent, "something follows the last reply");
        Ok(())
    }
}

/// The beginning of what may be long.
pub fn shown(bytes: &[u8]) -> String {
    format!("`{}`", bytes[..bytes.len().min(60)].escape_ascii())
}
