//! The bytes of replies.

use super::integer;

/// The whole reply to a put that is stored, and to a get that found nothing.
pub const OK: &[u8] = b"ok\n\n";

/// The whole reply to anything that is no request.
pub const WRONG_COMMAND: &[u8] = b"error\nwrong command\n\n";

/// What the reply to a get begins with where there are points.
pub const POINTS_BEGIN: &[u8] = b"ok\n";

/// What it ends with.
pub const POINTS_END: &[u8] = b"\n";

/// Appends what stands before the value of a point, whose line is `<key> <value> <timestamp>`.
#[inline]
pub fn append_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(key.as_bytes());
    out.push(b' ');
}

/// Appends what stands behind the value of a point.
#[inline]
pub fn append_timestamp(out: &mut Vec<u8>, timestamp: i64) {
    out.push(b' ');
    integer::append(out, timestamp);
    out.push(b'\n');
}
