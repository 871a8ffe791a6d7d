//! What is answered to a request.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use super::failure::{Failure, Halt};
use crate::calendar::{DAY, MONTHS, WEEKDAYS, date_of, push_time};
use crate::turn::Turn;

/// What is answered to a request. The session adds what frames it.
pub struct Answer {
    /// What its head is made of.
    pub head: AnswerHead,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
pub enum Body {
    /// All of it.
    Whole(Cow<'static, [u8]>),
    /// It is formed piece by piece.
    Pieces(Box<dyn Pieces>),
}

/// A body that is formed piece by piece, so that a long one takes little memory and holds nobody up.
pub trait Pieces {
    /// Appends to `turn.replies` until the body is complete. A call may append nothing.
    ///
    /// # Errors
    ///
    /// If as many bytes are appended as the turn allows, or its time is up. Or if the body will never be
    /// complete: if nothing of it was appended yet, this is the answer.
    fn append(&mut self, turn: &mut Turn) -> Result<(), Halt>;

    /// Whether it can never be completed, since the snapshot that it reads is no longer kept. An answer
    /// without a snapshot is never cut off.
    fn is_cut_off(&self) -> bool {
        false
    }

    /// Bytes that it keeps between two pieces.
    fn kept_bytes(&self) -> usize;
}

/// What tells a client to send the body that it holds back.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How a request is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Without the body.
    pub is_head: bool,
    /// The client knows chunks: it speaks HTTP/1.1.
    pub takes_chunks: bool,
    /// Another request may follow.
    pub is_persistent: bool,
}

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// After so many bytes.
    Length(usize),
    /// After the last chunk.
    LastChunk,
    /// Where the connection ends; if there is no body, the head does not say.
    Close,
}

/// What the head of an answer is made of.
pub struct AnswerHead {
    /// Status code, such as 200.
    pub status: u16,
    /// Names and values of headers, such as `Content-Type`.
    pub headers: Vec<(&'static str, &'static str)>,
}

impl Answer {
    /// An answer with no headers but the type of its body.
    pub fn new(status: u16, content_type: &'static str, body: Body) -> Answer {
        let headers = vec![("Content-Type", content_type)];
        let head = AnswerHead { status, headers };
        Answer { head, body }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Answer {
        let body = Body::Whole([&failure.message, "\n"].concat().into_bytes().into());
        Answer::new(failure.status, "text/plain; charset=utf-8", body)
    }
}

impl AnswerHead {
    /// The bytes of the head.
    pub fn to_bytes(&self, tail: Tail, manner: Manner, now: SystemTime) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        let status = usize::from(self.status).to_string();
        push_all(&mut bytes, &["HTTP/1.1 ", &status, " "]);
        push_all(&mut bytes, &[reason(self.status), "\r\nDate: "]);
        push_date(&mut bytes, now);
        for (name, value) in &self.headers {
            push_all(&mut bytes, &["\r\n", name, ": ", value]);
        }
        // A browser is not to guess at what else a body could be.
        push(&mut bytes, "\r\nX-Content-Type-Options: nosniff");
        match tail {
            Tail::Length(length) => {
                push_all(&mut bytes, &["\r\nContent-Length: ", &length.to_string()])
            }
            Tail::LastChunk => push(&mut bytes, "\r\nTransfer-Encoding: chunked"),
            Tail::Close => {}
        }
        let connection = match (manner.is_persistent, manner.takes_chunks) {
            (false, _) => "\r\nConnection: close",
            (true, false) => "\r\nConnection: keep-alive",
            (true, true) => "",
        };
        push_all(&mut bytes, &[connection, "\r\n\r\n"]);
        bytes
    }
}

/// Appends a time as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
pub(super) fn push_date(out: &mut Vec<u8>, time: SystemTime) {
    // A clock that is set before 1970 is wrong anyway.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = i64::try_from(since.as_secs()).unwrap_or(0);
    let name = |names: &'static str, at: i64| &names[3 * at as usize..][..3];
    let (weekday, month) = (
        name(WEEKDAYS, time / DAY % 7),
        name(MONTHS, date_of(time).1 - 1),
    );
    // 1994-11-06 08:49:37
    let mut digits = Vec::new();
    push_time(&mut digits, time, b' ');
    let digits = String::from_utf8_lossy(&digits);
    let (year, day, clock) = (&digits[..4], &digits[8..10], &digits[11..]);
    push_all(out, &[weekday, ", ", day, " ", month, " "]);
    push_all(out, &[year, " ", clock, " GMT"]);
}

/// Appends a text.
pub fn push(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(text.as_bytes());
}

/// Appends one text after the other. One copy of it is enough.
#[inline(never)]
pub fn push_all(bytes: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        push(bytes, text);
    }
}

/// The text after a status code, for people who read along.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// What follows the bytes of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends the line before a chunk of so many bytes.
pub fn append_chunk_size(bytes: &mut Vec<u8>, size: usize) {
    push(bytes, &format!("{size:x}\r\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (978_307_199, "Sun, 31 Dec 2000 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let mut written = Vec::new();
            push_date(&mut written, time);
            assert_eq!(str::from_utf8(&written), Ok(expected));
        }
    }
}
