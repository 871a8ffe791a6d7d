//! A body: what a length or chunks frame.

use super::failure::Failure;
use super::framing::Framing;

/// Collects a body as it comes.
pub struct BodyReader {
    body: Vec<u8>,
    /// The most bytes of the body, and of the extensions and trailers of chunks.
    limit: usize,
    /// Bytes of extensions and trailers so far.
    extra: usize,
    /// How many bytes of the end of a line must come first: CR and LF, or LF.
    line_end: usize,
    is_chunked: bool,
    state: State,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes, at least one: of a chunk, or of a body whose length was told.
    Bytes(usize),
    /// The size of a chunk, of which so many digits have come.
    Size { size: usize, digits: u8 },
    /// An extension of the chunk.
    Extension { size: usize },
    /// A trailer, or the empty line that ends the body.
    Trailer,
    /// The rest of the name of a trailer.
    TrailerName,
    /// Its value.
    TrailerValue,
    /// Nothing.
    Complete,
}

/// Digits of the size of a chunk, leading zeros included.
const DIGITS_MAX: u8 = 16;

impl BodyReader {
    /// A reader of a body of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// If it is known to be longer.
    pub fn new(framing: Framing, limit: usize) -> Result<BodyReader, Failure> {
        let state = match framing {
            Framing::Chunked => State::Size { size: 0, digits: 0 },
            Framing::Length(0) => State::Complete,
            Framing::Length(length) => {
                let length = usize::try_from(length).ok();
                let length = length.filter(|&length| length <= limit);
                State::Bytes(length.ok_or_else(|| too_long(limit))?)
            }
        };
        Ok(BodyReader {
            body: Vec::new(),
            limit,
            extra: 0,
            line_end: 0,
            is_chunked: framing == Framing::Chunked,
            state,
        })
    }

    pub fn is_complete(&self) -> bool {
        self.state == State::Complete && self.line_end == 0
    }

    /// Bytes that are allocated.
    #[cfg(feature = "http")]
    pub fn allocated_bytes(&self) -> usize {
        self.body.capacity()
    }

    /// What has come of the body, without what frames it.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// Takes what has come, and returns how many bytes of it belong to the body and what frames it: all,
    /// unless the body is complete.
    ///
    /// # Errors
    ///
    /// If a chunk is malformed, or the body is too long.
    pub fn read(&mut self, input: &[u8]) -> Result<usize, Failure> {
        let mut rest = input;
        while let [byte, after @ ..] = rest {
            match self.state {
                _ if self.line_end > 0 => {
                    self.line_end -= 1;
                    if *byte != b"\n\r"[self.line_end] {
                        return Err(malformed());
                    }
                    rest = after;
                }
                State::Complete => break,
                State::Bytes(left) => {
                    let (bytes, after) = rest.split_at(left.min(rest.len()));
                    self.body.extend_from_slice(bytes);
                    rest = after;
                    self.state = match left - bytes.len() {
                        0 if self.is_chunked => {
                            self.line_end = 2;
                            State::Size { size: 0, digits: 0 }
                        }
                        0 => State::Complete,
                        left => State::Bytes(left),
                    };
                }
                _ => {
                    self.state = self.after(*byte)?;
                    rest = after;
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    /// What comes after a byte of what frames a chunk: RFC 9112, section 7.1. White space is nowhere
    /// taken but in extensions and the values of trailers.
    fn after(&mut self, byte: u8) -> Result<State, Failure> {
        let is_text = byte == b'\t' || byte >= b' ' && byte != 0x7f;
        let next = match (self.state, byte) {
            (State::Size { digits: 1.., size } | State::Extension { size }, b'\r') => match size {
                0 => State::Trailer,
                size => State::Bytes(size),
            },
            (State::Size { digits: 1.., size }, b';') => State::Extension { size },
            (State::Size { size, digits }, _) => {
                let digit = hex_digit(byte).filter(|_| digits < DIGITS_MAX);
                // Both are at most 64 MiB, so nothing overflows.
                let size = size * 16 + usize::from(digit.ok_or_else(malformed)?);
                if self.body.len() + size > self.limit {
                    return Err(too_long(self.limit));
                }
                let digits = digits + 1;
                return Ok(State::Size { size, digits });
            }
            (State::Trailer, b'\r') => State::Complete,
            (State::TrailerValue, b'\r') => State::Trailer,
            (State::Trailer | State::TrailerName, _) if is_of_token(byte) => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::Extension { .. } | State::TrailerValue, _) if is_text => self.state,
            _ => return Err(malformed()),
        };
        if byte == b'\r' {
            self.line_end = 1;
        } else {
            self.extra += 1;
        }
        if self.extra > self.limit {
            return Err(too_long(self.limit));
        }
        Ok(next)
    }
}

fn malformed() -> Failure {
    "a chunk of the body is malformed".into()
}

fn too_long(limit: usize) -> Failure {
    Failure::new(413, format!("the body is longer than {limit} bytes"))
}

/// Whether the name of a header may have this byte: RFC 9110, section 5.6.2.
pub fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The value of a hexadecimal digit.
pub fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
