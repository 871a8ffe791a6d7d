//! The bytes of replies.

use std::ops::Range;

use super::integer::AscendingWriter;
use super::{NUMBER_ROOM_BYTES, write_block};

/// The whole reply to a put that is stored, and to a get that finds nothing.
pub const OK: &[u8] = b"ok\n\n";

/// The whole reply to anything that is not a request.
pub const WRONG_COMMAND: &[u8] = b"error\nwrong command\n\n";

/// The whole reply to a put that could not be made durable, or for which there is no room.
pub const NOT_STORED: &[u8] = b"error\nnot stored\n\n";

/// The beginning of the reply to a get that finds points.
pub const POINTS_BEGIN: &[u8] = b"ok\n";

/// The end of the reply to a get that finds points.
pub const POINTS_END: &[u8] = b"\n";

/// Copies `replies`, with [`NOT_STORED`] for each [`OK`] at the places `puts`, which ascend.
pub fn deny(replies: &[u8], puts: &[Range<usize>]) -> Vec<u8> {
    let (mut denied, mut copied) = (Vec::new(), 0);
    for puts in puts {
        denied.extend_from_slice(&replies[copied..puts.start]);
        denied.extend(NOT_STORED.repeat(puts.len() / OK.len()));
        copied = puts.end;
    }
    denied.extend_from_slice(&replies[copied..]);
    denied
}

/// Keys up to this length are copied as one block.
const KEY_BLOCK_BYTES: usize = 32;

/// Writes the lines of one series' points: `<key> <value> <timestamp>`.
pub struct PointWriter<'key> {
    key: &'key [u8],
    /// The key and spaces after it, if it is short.
    block: Option<[u8; KEY_BLOCK_BYTES]>,
    timestamps: AscendingWriter,
}

impl<'key> PointWriter<'key> {
    /// A writer of the points under this key.
    pub fn new(key: &'key str) -> PointWriter<'key> {
        let key = key.as_bytes();
        let block = (key.len() <= KEY_BLOCK_BYTES).then(|| {
            let mut block = [b' '; KEY_BLOCK_BYTES];
            block[..key.len()].copy_from_slice(key);
            block
        });
        PointWriter {
            key,
            block,
            timestamps: AscendingWriter::default(),
        }
    }

    /// The room that a line needs, in bytes, whatever its numbers are.
    pub fn line_room_bytes(&self) -> usize {
        self.key.len().max(KEY_BLOCK_BYTES) + 2 * NUMBER_ROOM_BYTES
    }

    /// Writes one line and returns its length in bytes. `write_value` writes the value at the
    /// front of the room that it is given, and returns its length.
    ///
    /// # Panics
    ///
    /// If `room` is shorter than [`line_room_bytes`](Self::line_room_bytes).
    #[inline]
    pub fn write(
        &mut self,
        room: &mut [u8],
        timestamp: i64,
        write_value: impl FnOnce(&mut [u8]) -> usize,
    ) -> usize {
        let mut length = self.key.len();
        match self.block {
            Some(block) => write_block(room, block),
            None => room[..length].copy_from_slice(self.key),
        }
        room[length] = b' ';
        length += 1;
        length += write_value(&mut room[length..]);
        room[length] = b' ';
        length += 1;
        length += self.timestamps.write(&mut room[length..], timestamp);
        room[length] = b'\n';
        length + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::float;

    #[test]
    fn lines_of_keys_of_any_length_fit_their_room() {
        for length in [1, 18, 31, 32, 33, 1_000] {
            let key = "k".repeat(length);
            let mut writer = PointWriter::new(&key);
            for (value, timestamp) in [
                (-f64::MAX, i64::MIN),
                (-1.5, 0),
                (-1.5e-300, -99_999_999_999_999_999),
            ] {
                let mut room = vec![0; writer.line_room_bytes()];
                let length = writer.write(&mut room, timestamp, |room| float::write(room, value));
                let line = String::from_utf8(room[..length].to_vec()).unwrap();
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!(words[0], key);
                assert_eq!(words[1].parse(), Ok(value));
                assert_eq!(words[2], format!("{timestamp}\n"));
            }
        }
    }
}
