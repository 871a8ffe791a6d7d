//! One connection to a receiver, over which requests go out and answers come in.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant, SystemTime};

use super::headers::HeaderFile;
use super::retry::retry_after;
use super::socket::{Socket, Stream};
use super::url::Url;
use crate::http::{BodyReader, Framing, ResponseHead};

/// What a receiver has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// The beginning of its body, as text on one line.
    pub text: String,
}

impl Response {
    /// Whether the request is not to be sent again as it is. With 408 and 429 it is a matter of time.
    pub fn is_refusal(&self) -> bool {
        matches!(self.status, 400..=499) && !matches!(self.status, 408 | 429)
    }

    /// Whether it refuses a request for its length, or for some of its points, so that parts of it may be
    /// taken. Receivers have no other way to say so than their words: Prometheus, Mimir and Cortex speak of
    /// samples, series and labels, VictoriaMetrics and InfluxDB of points and timestamps.
    pub fn is_about_a_part(&self) -> bool {
        const WORDS: [&str; 7] = [
            "sample",
            "series",
            "label",
            "point",
            "timestamp",
            "order",
            "bounds",
        ];
        let text = self.text.to_ascii_lowercase();
        let is_about_points = || WORDS.iter().any(|word| text.contains(word));
        matches!(self.status, 409 | 413) || matches!(self.status, 400 | 422) && is_about_points()
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answers {}: {}", self.status, self.text)
    }
}

/// Sends bodies somewhere.
pub trait Transport: Send + 'static {
    /// Sends the body of a request, and returns when the answer to it is complete, or cannot be.
    ///
    /// # Errors
    ///
    /// If no head of an answer has come in time, or none that HTTP allows. In words for an operator.
    fn post(&mut self, body: &[u8]) -> io::Result<Response>;
}

/// An HTTP/1.1 client of one receiver.
///
/// The status decides what becomes of a request. If the body after it is cut, malformed, too long or late, this
/// is no error; the connection is closed. So a receiver that stores what it gets, and errs later, is
/// not sent the same for ever.
pub struct Client {
    url: Url,
    headers: Option<HeaderFile>,
    timeout: Duration,
    /// The connection of the last request, if another may follow on it.
    kept: Option<Connection>,
}

struct Connection {
    stream: Box<dyn Stream>,
    /// What was read, and belongs to nothing that was taken from it.
    input: Vec<u8>,
}

/// The most bytes of the heads of an answer, those before the last one included. Twice what most servers send at most.
const HEAD_MAX_BYTES: usize = 16 << 10;

/// The most bytes of a body that are read. To read more costs more than another connection.
const BODY_MAX_BYTES: usize = 16 << 10;

/// Bytes that are read at once.
const READ_BYTES: usize = 4 << 10;

/// The most characters of a body that are told.
const TEXT_CHARACTERS: usize = 200;

impl Client {
    /// A client that is not connected yet. A request, with all that is done for it, may take so long, beside
    /// the time that looking up a name takes, which cannot be limited.
    pub fn new(url: Url, headers: Option<HeaderFile>, timeout: Duration) -> Client {
        Client {
            url,
            headers,
            timeout,
            kept: None,
        }
    }

    fn head(&self, body_bytes: usize) -> io::Result<String> {
        let Url {
            target, authority, ..
        } = &self.url;
        let version = env!("CARGO_PKG_VERSION");
        let lines = self.headers.as_ref().map(HeaderFile::lines).transpose()?;
        let lines = lines.unwrap_or_default();
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
            .map_err(|error| explain("cannot connect", &error))?;
        #[cfg(feature = "tls")]
        if self.url.is_secure {
            return Ok(Connection::new(super::tls::encrypt(
                socket,
                &self.url.host,
            )?));
        }
        Ok(Connection::new(socket))
    }

    /// Keeps a connection if another request may follow.
    fn keep(&mut self, connection: Connection, answer: io::Result<Answer>) -> io::Result<Response> {
        let Answer { response, is_last } = answer?;
        self.kept = (!is_last).then_some(connection);
        Ok(response)
    }
}

impl Transport for Client {
    fn post(&mut self, body: &[u8]) -> io::Result<Response> {
        let deadline = Instant::now() + self.timeout;
        let head = self.head(body.len())?;
        // What has come on it since the last answer belongs to no request.
        if let Some(mut kept) = self.kept.take().filter(|kept| kept.stream.is_idle()) {
            kept.stream.set_deadline(deadline);
            let answer = kept.exchange(head.as_bytes(), body);
            let is_gone = |error: &io::Error| error.kind() != ErrorKind::TimedOut;
            // Receivers close connections that were idle, without looking at what is under way. Whether the
            // request was executed is not known, so it may be twice, as after any other failure.
            if !(kept.input.is_empty() && answer.as_ref().is_err_and(is_gone)) {
                return self.keep(kept, answer);
            }
        }
        let mut connection = self.connect(deadline)?;
        let answer = connection.exchange(head.as_bytes(), body);
        self.keep(connection, answer)
    }
}

struct Answer {
    response: Response,
    /// No other request may follow on this connection.
    is_last: bool,
}

impl Connection {
    fn new(stream: impl Stream + 'static) -> Connection {
        Connection {
            stream: Box::new(stream),
            input: Vec::new(),
        }
    }

    /// Sends a request and reads the answer.
    fn exchange(&mut self, head: &[u8], body: &[u8]) -> io::Result<Answer> {
        let sent = self.send(head, body);
        let answer = self.answer();
        match (sent, answer) {
            (Ok(()), answer) => answer,
            // A request that is too long, say, is refused before it was sent to its end. What has
            // not come to its end was not executed, though, whatever the answer says.
            (Err(_), Ok(Answer { response, .. })) if response.status >= 300 => {
                let is_last = true;
                Ok(Answer { response, is_last })
            }
            (Err(error), _) => Err(explain("cannot send the request", &error)),
        }
    }

    fn send(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        self.stream.send(head)?;
        self.stream.send(body)
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head()?;
        let (text, is_at_end) = self.body(head.framing);
        let asked = head.retry_after;
        Ok(Answer {
            response: Response {
                status: head.status,
                retry_after: asked.and_then(|value| retry_after(&value, SystemTime::now())),
                text,
            },
            is_last: !(is_at_end && head.is_persistent),
        })
    }

    /// Reads the head of the answer. Those before it, which say that it will come, are passed over.
    fn head(&mut self) -> io::Result<ResponseHead> {
        let mut head_bytes = 0;
        loop {
            let parsed = ResponseHead::parse(&self.input).map_err(|reason| {
                io::Error::new(
                    ErrorKind::InvalidData,
                    format!("the answer is malformed: {reason}"),
                )
            })?;
            let passed = parsed
                .as_ref()
                .map_or(self.input.len(), |(_, length)| *length);
            if head_bytes + passed > HEAD_MAX_BYTES {
                let message =
                    format!("the head of the answer is longer than {HEAD_MAX_BYTES} bytes");
                return Err(io::Error::new(ErrorKind::InvalidData, message));
            }
            let Some((head, length)) = parsed else {
                self.read_head_on()?;
                continue;
            };
            self.input.drain(..length);
            head_bytes += length;
            match head.status {
                101 => {
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        "the receiver changes to another protocol",
                    ));
                }
                100..=199 => {}
                _ => return Ok(head),
            }
        }
    }

    fn read_head_on(&mut self) -> io::Result<()> {
        match self.read_on() {
            Ok(0) if self.input.is_empty() => {
                Err("the receiver closed the connection and answered nothing")
            }
            Ok(0) => Err("the receiver closed the connection in the head of its answer"),
            Ok(_) => return Ok(()),
            Err(error) => return Err(explain("cannot read the answer", &error)),
        }
        .map_err(|message| io::Error::new(ErrorKind::UnexpectedEof, message))
    }

    /// Reads the body of an answer. Returns its beginning as text, and whether it, and nothing else, has come.
    fn body(&mut self, framing: Option<Framing>) -> (String, bool) {
        let most = BODY_MAX_BYTES as u64;
        // If nothing says where it ends, or that is too far away, it ends where no more is read.
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
            if !matches!(self.read_on(), Ok(1..)) {
                break false;
            }
        };
        (one_line(reader.bytes()), is_at_end)
    }

    fn read_on(&mut self) -> io::Result<usize> {
        let mut bytes = [0; READ_BYTES];
        let length = self.stream.receive(&mut bytes)?;
        self.input.extend_from_slice(&bytes[..length]);
        Ok(length)
    }
}

fn explain(failed: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{failed}: {error}"))
}

/// The beginning of a text, with what would not be seen, or be more than one line, in the manner of Rust.
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
