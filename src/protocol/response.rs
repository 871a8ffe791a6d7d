//! The bytes of replies.

use super::{float, integer};

/// The whole reply to a put that is stored, and to a get that found nothing.
pub const OK: &[u8] = b"ok\n\n";

/// The whole reply to anything that is no request.
pub const WRONG_COMMAND: &[u8] = b"error\nwrong command\n\n";

/// What the reply to a get begins with where there are points.
pub const POINTS_BEGIN: &[u8] = b"ok\n";

/// What it ends with.
pub const POINTS_END: &[u8] = b"\n";

/// Appends the line of one point: `<key> <value> <timestamp>`.
#[inline]
pub fn append_point(out: &mut Vec<u8>, key: &str, value: f64, timestamp: i64) {
    out.extend_from_slice(key.as_bytes());
    out.push(b' ');
    float::append(out, value);
    out.push(b' ');
    integer::append(out, timestamp);
    out.push(b'\n');
}
