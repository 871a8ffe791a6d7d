//! The head of an answer that a client gets.

use httparse::Status;

use super::framing::{Framing, all, framing, is_persistent};

/// What the head of an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code, 100 to 599. Of those below 200, another answer follows.
    pub status: u16,
    /// Where the body ends; if the head does not say, where the connection does.
    pub framing: Option<Framing>,
    /// Another request may be sent after the body.
    pub is_persistent: bool,
    /// The value of `Retry-After`.
    pub retry_after: Option<String>,
}

/// The most headers of an answer. Receivers, and the proxies before them, send about ten.
const HEADERS_MAX: usize = 64;

impl ResponseHead {
    /// Reads the head at the beginning of these bytes, and says how long it is. `None` if it is not whole.
    ///
    /// # Errors
    ///
    /// What is wrong with it. Then it is not sure where the answer ends.
    pub fn parse(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let length = match parsed.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let (Some(status @ 100..=599), Some(minor)) = (parsed.code, parsed.version) else {
            return Err("there is no such status".to_owned());
        };
        let is_modern = minor > 0;
        let text = |value: &[u8]| str::from_utf8(value).ok().map(str::to_owned);
        let head = ResponseHead {
            status,
            // RFC 9112, section 6.3: these have no body, whatever their head says.
            framing: match status {
                100..=199 | 204 | 304 => Some(Framing::Length(0)),
                _ => framing(parsed.headers, is_modern)
                    .map_err(|failure| failure.message.into_owned())?,
            },
            is_persistent: is_persistent(parsed.headers, is_modern),
            retry_after: all(parsed.headers, "Retry-After").next().and_then(text),
        };
        Ok(Some((head, length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Framing::{Chunked, Length};

    #[test]
    fn heads_say_where_the_answer_ends() {
        for (head, expected) in [
            ("1.1 200 OK", Some((200, None, true))),
            ("1.1 200", Some((200, None, true))),
            ("1.0 200 OK", Some((200, None, false))),
            (
                "1.0 200 OK|Connection: keep-alive|Content-Length: 1",
                Some((200, Some(Length(1)), true)),
            ),
            (
                "1.1 400 Bad|content-length: 12",
                Some((400, Some(Length(12)), true)),
            ),
            (
                "1.1 400 Bad|Content-Length: 12|Connection: x, Close",
                Some((400, Some(Length(12)), false)),
            ),
            (
                "1.1 500 Bad|Transfer-Encoding: Chunked",
                Some((500, Some(Chunked), true)),
            ),
            (
                "1.1 100 Continue|Content-Length: 12",
                Some((100, Some(Length(0)), true)),
            ),
            (
                "1.1 204 None|Content-Length: 12",
                Some((204, Some(Length(0)), true)),
            ),
            (
                "1.1 304 Same|Transfer-Encoding: chunked",
                Some((304, Some(Length(0)), true)),
            ),
            ("1.1 200 OK|Content-Length: 1|Content-Length: 1", None),
            ("1.1 200 OK|Content-Length: 1, 1", None),
            ("1.1 200 OK|Content-Length: +1", None),
            ("1.1 200 OK|Content-Length: -1", None),
            ("1.1 200 OK|Content-Length:", None),
            ("1.1 200 OK|Content-Length: 18446744073709551616", None),
            (
                "1.1 200 OK|Content-Length: 1|Transfer-Encoding: chunked",
                None,
            ),
            ("1.1 200 OK|Transfer-Encoding: gzip, chunked", None),
            ("1.1 200 OK|Transfer-Encoding: gzip", None),
            ("1.0 200 OK|Transfer-Encoding: chunked", None),
            ("1.1 099 OK", None),
            ("1.1 600 OK", None),
            ("1.1 20 OK", None),
            ("1.1 2000 OK", None),
            ("2.0 200 OK", None),
            ("1.1 200 OK|no name", None),
            ("1.1 200 OK|Content-Length : 1", None),
        ] {
            let bytes = format!("HTTP/{head}||").replace('|', "\r\n");
            let read = match ResponseHead::parse(bytes.as_bytes()) {
                Ok(Some((head, length))) => {
                    assert_eq!(length, bytes.len(), "{head:?}");
                    Some((head.status, head.framing, head.is_persistent))
                }
                Ok(None) => panic!("{head} is whole"),
                Err(_) => None,
            };
            assert_eq!(read, expected, "{head}");
        }
    }

    #[test]
    fn headers_are_counted_and_the_first_retry_after_is_taken() {
        let head = |count| {
            format!(
                "HTTP/1.1 200 OK\r\n{}\r\n",
                "Retry-After: 7\r\n".repeat(count)
            )
        };
        let (read, _) = ResponseHead::parse(head(64).as_bytes()).unwrap().unwrap();
        assert_eq!(read.retry_after.as_deref(), Some("7"));
        assert!(ResponseHead::parse(head(65).as_bytes()).is_err());
    }
}
