//! An HTTP client that sends requests to one receiver over one connection.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::retry::retry_after;
use super::socket::{Socket, Stream};
use super::url::Url;
use super::{headers, invalid};
use crate::error::explained;
use crate::http::{BodyReader, Framing, ResponseHead};

/// The answer of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// How long `Retry-After` asks to wait.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, as one line of text.
    pub text: String,
}

impl Response {
    /// Whether the same request would be refused again. After 408 and 429 it may be taken later.
    pub fn is_refusal(&self) -> bool {
        matches!(self.status, 400..=499) && !matches!(self.status, 408 | 429)
    }

    /// Whether it refuses a request for its length, or for some of its points, so that parts of it may be
    /// taken. Receivers have no other way to say so than their words: Prometheus, Mimir and Cortex speak of
    /// samples, series and labels, VictoriaMetrics and InfluxDB of points and timestamps.
    pub fn is_about_a_part(&self) -> bool {
        const WORDS: &str = "sample series label point timestamp order bounds";
        let text = self.text.as_bytes();
        let is_in_text = |word: &str| {
            let mut parts = text.windows(word.len());
            parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        };
        let is_about_points = || WORDS.split(' ').any(is_in_text);
        matches!(self.status, 409 | 413) || matches!(self.status, 400 | 422) && is_about_points()
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = match self.status {
            300..=399 => " (redirects are not followed: change the URL)",
            _ => "",
        };
        write!(f, "it answers {}: {}{hint}", self.status, self.text)
    }
}

/// Sends requests to a receiver.
pub trait Transport: Send + 'static {
    /// Sends a request with this body, and waits for the answer.
    ///
    /// # Errors
    ///
    /// If the request cannot be sent, or no valid head of an answer arrives in time. The message is for an
    /// operator.
    fn post(&mut self, body: &[u8]) -> io::Result<Response>;
}

/// An HTTP/1.1 client of one receiver.
///
/// The status alone says whether a request was taken. A body that is cut, malformed, too long or late is not an
/// error; it only closes the connection. So a receiver that stores a request, but sends a wrong body, does not get
/// the same request for ever.
pub struct Client {
    url: Url,
    header_file: Option<PathBuf>,
    timeout: Duration,
    /// The connection of the last request, if it can be used again.
    kept: Option<Connection>,
}

struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes that were received and are not parsed yet.
    input: Vec<u8>,
    /// Whether another request may be sent: the last answer has arrived in full, and does not end the connection.
    is_reusable: bool,
}

/// The most bytes of all heads of an answer, interim ones included.
const HEAD_MAX_BYTES: usize = 16 << 10;

/// The most bytes of a body that are read. To read more would cost more than a new connection.
const BODY_MAX_BYTES: usize = 16 << 10;

/// The most bytes of one read.
const READ_BYTES: usize = 4 << 10;

/// The most characters of a body that are shown.
const TEXT_CHARACTERS: usize = 200;

impl Client {
    /// Creates a client, which connects when it sends the first request.
    ///
    /// `timeout` limits each request, from connecting to the end of the answer. Only the lookup of a name is not
    /// limited.
    pub fn new(url: Url, header_file: Option<PathBuf>, timeout: Duration) -> Client {
        Client {
            url,
            header_file,
            timeout,
            kept: None,
        }
    }

    fn request_head(&self, body_bytes: usize) -> io::Result<String> {
        let Url {
            target, authority, ..
        } = &self.url;
        let version = env!("CARGO_PKG_VERSION");
        let lines = match &self.header_file {
            Some(path) => headers::read(path).map_err(explained(&path.display().to_string()))?,
            None => String::new(),
        };
        Ok(format!(
            "POST {target} HTTP/1.1\r\n\
             Host: {authority}\r\n\
             User-Agent: metricd/{version}\r\n\
             Content-Type: application/x-protobuf\r\n\
             Content-Encoding: snappy\r\n\
             X-Prometheus-Remote-Write-Version: 0.1.0\r\n\
             Content-Length: {body_bytes}\r\n\
             {lines}\r\n"
        ))
    }

    fn connect(&self, deadline: Instant) -> io::Result<Connection> {
        let socket = Socket::connect(&self.url.host, self.url.port, deadline)
            .map_err(explained("cannot connect"))?;
        #[cfg(feature = "tls")]
        if self.url.is_secure {
            return Ok(Connection::new(super::tls::encrypt(
                socket,
                &self.url.host,
            )?));
        }
        Ok(Connection::new(socket))
    }
}

impl Transport for Client {
    fn post(&mut self, body: &[u8]) -> io::Result<Response> {
        let deadline = Instant::now() + self.timeout;
        let head = self.request_head(body.len())?;
        // A connection on which anything came after the last answer is not used again.
        if let Some(mut kept) = self.kept.take().filter(|kept| kept.stream.is_idle()) {
            kept.stream.set_deadline(deadline);
            let answer = kept.exchange(head.as_bytes(), body);
            let is_gone = |error: &io::Error| error.kind() != ErrorKind::TimedOut;
            // A receiver may close an idle connection at the moment when a request is sent. Whether it has taken
            // that request is not known, so it may get it twice, as after any other failure.
            if !(kept.input.is_empty() && answer.as_ref().is_err_and(is_gone)) {
                self.kept = kept.is_reusable.then_some(kept);
                return answer;
            }
        }
        let mut connection = self.connect(deadline)?;
        let answer = connection.exchange(head.as_bytes(), body);
        self.kept = connection.is_reusable.then_some(connection);
        answer
    }
}

impl Connection {
    fn new(stream: impl Stream + 'static) -> Connection {
        Connection {
            stream: Box::new(stream),
            input: Vec::new(),
            is_reusable: false,
        }
    }

    /// Sends a request and reads the answer.
    fn exchange(&mut self, head: &[u8], body: &[u8]) -> io::Result<Response> {
        self.is_reusable = false;
        let sent = self.stream.send(head).and_then(|()| self.stream.send(body));
        let answer = self.read_answer();
        self.is_reusable &= sent.is_ok();
        match (sent, answer) {
            (Ok(()), answer) => answer,
            // A receiver may refuse a request before all of it was sent, such as one that is too long. But it cannot
            // have taken a request of which it has only a part, even if it says so.
            (Err(_), Ok(response)) if response.status >= 300 => Ok(response),
            (Err(error), _) => Err(explained("cannot send the request")(error)),
        }
    }

    fn read_answer(&mut self) -> io::Result<Response> {
        let head = self.read_head()?;
        let (text, is_at_end) = self.read_body(head.framing);
        self.is_reusable = is_at_end && head.is_persistent;
        let asked = head.retry_after;
        Ok(Response {
            status: head.status,
            retry_after: asked.and_then(|value| retry_after(&value, SystemTime::now())),
            text,
        })
    }

    /// Reads the head of the answer, and skips interim heads (RFC 9110, section 15.2).
    fn read_head(&mut self) -> io::Result<ResponseHead> {
        let mut head_bytes = 0;
        loop {
            let parsed = ResponseHead::parse(&self.input)
                .map_err(|reason| invalid(format!("the answer is malformed: {reason}")))?;
            let parsed_bytes = parsed
                .as_ref()
                .map_or(self.input.len(), |(_, length)| *length);
            if head_bytes + parsed_bytes > HEAD_MAX_BYTES {
                return Err(invalid(format!(
                    "the head of the answer is longer than {HEAD_MAX_BYTES} bytes"
                )));
            }
            let Some((head, length)) = parsed else {
                self.read_more_of_head()?;
                continue;
            };
            self.input.drain(..length);
            head_bytes += length;
            match head.status {
                101 => return Err(invalid("the receiver changes to another protocol")),
                100..=199 => {}
                _ => return Ok(head),
            }
        }
    }

    fn read_more_of_head(&mut self) -> io::Result<()> {
        let count = self
            .read_more()
            .map_err(explained("cannot read the answer"))?;
        if count > 0 {
            return Ok(());
        }
        let message = match self.input.is_empty() {
            true => "the receiver closed the connection and answered nothing",
            false => "the receiver closed the connection in the head of its answer",
        };
        Err(io::Error::new(ErrorKind::UnexpectedEof, message))
    }

    /// Reads the body of an answer. Returns its beginning as text, and whether all of it and nothing else has
    /// arrived.
    fn read_body(&mut self, framing: Option<Framing>) -> (String, bool) {
        let most = BODY_MAX_BYTES as u64;
        // Without a length, or with one that is too long, it is read up to the limit.
        let (framing, has_end) = match framing {
            Some(Framing::Chunked) => (Framing::Chunked, true),
            Some(Framing::Length(length)) => (Framing::Length(length.min(most)), length <= most),
            None => (Framing::Length(most), false),
        };
        let Ok(mut reader) = BodyReader::new(framing, BODY_MAX_BYTES) else {
            return (String::new(), false);
        };
        let is_at_end = loop {
            match reader.read(&self.input) {
                Ok(taken) => drop(self.input.drain(..taken)),
                Err(_malformed_or_too_long) => break false,
            }
            if reader.is_complete() {
                break has_end && self.input.is_empty();
            }
            if !matches!(self.read_more(), Ok(1..)) {
                break false;
            }
        };
        (one_line(reader.bytes()), is_at_end)
    }

    /// Receives some bytes. Returns how many: none if the receiver has closed the connection.
    fn read_more(&mut self) -> io::Result<usize> {
        let mut bytes = [0; READ_BYTES];
        let length = self.stream.receive(&mut bytes)?;
        self.input.extend_from_slice(&bytes[..length]);
        Ok(length)
    }
}

/// The beginning of a text as one line: line ends and characters that cannot be seen are escaped as in Rust.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut line = String::new();
    for character in text.trim().chars().take(TEXT_CHARACTERS) {
        match character {
            '"' | '\'' | '\\' => line.push(character),
            _ => line.extend(character.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests;
