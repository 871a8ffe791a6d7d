//! The wire protocol, pure: a line to a [`Request`](request::Request), points to reply bytes,
//! numbers as Python reads and prints them. Nothing here knows a socket or how points are kept.
//!
//! The functions that write put their bytes at the front of a slice and return how many they are.
//! They copy whole blocks of a fixed length, even if only a part of a block counts, since a copy
//! of a variable length costs a call. So the slice must be longer than what is written.

use std::borrow::Cow;

pub mod float;
pub mod integer;
pub mod request;
pub mod response;

/// The room that a number needs: the longest takes 24 bytes, and a block of eight may reach past
/// its end.
pub const NUMBER_ROOM_BYTES: usize = 32;

/// `text` without its underscores. `None` unless each of them has an ASCII digit on either side,
/// which is Python's rule for both kinds of number.
fn without_underscores(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr(b'_', text).is_none() {
        return Some(text.into());
    }
    let is_bad = |three: &[u8]| {
        three[1] == b'_' && !(three[0].is_ascii_digit() && three[2].is_ascii_digit())
    };
    let is_at_end = text.starts_with(b"_") || text.ends_with(b"_");
    let kept = text.iter().copied().filter(|&byte| byte != b'_');
    (!is_at_end && !text.windows(3).any(is_bad)).then(|| kept.collect())
}

/// Writes a block to the front of `room`.
///
/// # Panics
///
/// If `room` is shorter than the block.
#[inline(always)]
fn write_block<const N: usize>(room: &mut [u8], block: [u8; N]) {
    room[..N].copy_from_slice(&block);
}

/// What the tests of this module share.
#[cfg(test)]
mod tests {
    use super::NUMBER_ROOM_BYTES;

    /// What `write` writes.
    pub fn written(write: impl FnOnce(&mut [u8]) -> usize) -> String {
        let mut room = [0; NUMBER_ROOM_BYTES];
        let length = write(&mut room);
        String::from_utf8(room[..length].to_vec()).expect("numbers are ASCII")
    }

    /// Whether both are the same double to the bit, every NaN being the same.
    pub fn same(left: Option<f64>, right: Option<f64>) -> bool {
        left.map(f64::to_bits) == right.map(f64::to_bits)
    }

    /// `text` with an underscore between each two digits.
    pub fn underscored(text: &str) -> String {
        let mut out = String::new();
        for character in text.chars() {
            if character.is_ascii_digit() && out.ends_with(|last: char| last.is_ascii_digit()) {
                out.push('_');
            }
            out.push(character);
        }
        out
    }
}
