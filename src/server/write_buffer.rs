//! Bytes out, until written.

use std::io::{self, ErrorKind, Write};

/// Bytes that are to be written, in order.
///
/// The server has one, in which the replies of a turn are formed; a connection has one for what
/// its socket did not take, which is empty, and costs no memory outside this struct, while the
/// client reads.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    bytes: Vec<u8>,
    /// `bytes[..written]` are written; `written < bytes.len()`, or both are zero.
    written: usize,
}

impl WriteBuffer {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Where to append.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Forgets what is to be written.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Writes until all is written or the sink takes no more for now: what is left then says
    /// which.
    pub fn write_to(&mut self, sink: &mut impl Write) -> io::Result<()> {
        while self.written < self.bytes.len() {
            match sink.write(&self.bytes[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(())
    }

    /// Moves what is left into a buffer of just its size; this one is empty again and keeps its
    /// room for the next turn.
    pub fn take_rest(&mut self) -> WriteBuffer {
        let rest = self.bytes[self.written..].to_vec();
        self.clear();
        WriteBuffer {
            bytes: rest,
            written: 0,
        }
    }
}
