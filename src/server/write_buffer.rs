//! Bytes out, until written.

use std::io::{self, ErrorKind, Write};

/// Replies that a connection keeps between its turns.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    bytes: Box<[u8]>,
    /// `bytes[..written]` are written; `written <= bytes.len()`.
    written: usize,
}

impl WriteBuffer {
    /// A copy of `bytes`, with no spare capacity.
    pub fn new(bytes: &[u8]) -> WriteBuffer {
        WriteBuffer {
            bytes: bytes.into(),
            written: 0,
        }
    }

    /// Bytes that are allocated, until all is written.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What is not written yet.
    pub fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Writes until all is written or the sink would block; [`unwritten`](Self::unwritten) is the rest.
    pub fn write_to(&mut self, sink: &mut impl Write) -> io::Result<()> {
        self.written += write(sink, self.unwritten())?;
        Ok(())
    }
}

/// Writes until all is written or the sink would block, and returns how many bytes it took.
pub fn write(sink: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
