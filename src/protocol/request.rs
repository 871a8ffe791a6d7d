//! The grammar: one line to one request.

use super::{float, integer};
use crate::key::Key;

/// What a line asks for. Keys are slices of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<'line> {
    /// White space only: whether it is answered depends on what came beside it.
    Blank,
    /// Store one point.
    #[expect(missing_docs, reason = "the words of the protocol")]
    Put {
        key: Key<'line>,
        timestamp: i64,
        value: f64,
    },
    /// All points of one series.
    #[expect(missing_docs, reason = "the words of the protocol")]
    Get { key: &'line str },
    /// All points of all series.
    GetAll,
}

/// A line that is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongCommand;

/// Reads a line, which comes without its newline.
///
/// Words are split as Python's `str.split()` splits them, numbers are read as `float()` and
/// `int()` read them. Linear in the length of the line; allocates nothing.
#[inline]
pub fn parse(line: &[u8]) -> Result<Request<'_>, WrongCommand> {
    match plain_put(line) {
        Some(put) => Ok(put),
        None => any_request(line),
    }
}

/// The fast path: a put as clients write it, of ASCII with single spaces, perhaps before a carriage
/// return. `None` says nothing about the line.
#[inline]
pub(crate) fn plain_put(line: &[u8]) -> Option<Request<'_>> {
    let words = line.strip_suffix(b"\r").unwrap_or(line);
    let words = words.strip_prefix(b"put ")?;
    let (key, words) = split_plain_word(words)?;
    let (value, timestamp) = split_plain_word(words)?;
    Some(Request::Put {
        key: Key::of_ascii(key),
        timestamp: integer::parse(timestamp)?,
        value: float::parse(value)?,
    })
}

/// A word of ASCII at the beginning of `text` and what is behind the space that ends it.
#[inline(always)]
fn split_plain_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = text.split_at_checked(plain_word_length(text))?;
    let (b' ', rest) = rest.split_first()? else {
        return None;
    };
    (!word.is_empty()).then_some((word, rest))
}

/// How many bytes at the beginning of `text` are plain ASCII: neither white space nor another
/// control character, nor part of a character beyond ASCII.
#[inline(always)]
fn plain_word_length(text: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut length = 0;
    while let Some(eight) = text[length..].first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        // The high bit of each byte that is above ASCII, or below `!`; behind the first of the
        // latter perhaps of others too, which does not matter.
        let others = (eight | eight.wrapping_sub(0x21 * EACH)) & (0x80 * EACH);
        if others != 0 {
            return length + others.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = text[length..]
        .iter()
        .position(|byte| !matches!(byte, b'!'..=0x7f));
    rest.map_or(text.len(), |offset| length + offset)
}

/// Any request, of any words.
fn any_request(line: &[u8]) -> Result<Request<'_>, WrongCommand> {
    let text = str::from_utf8(line).map_err(|_| WrongCommand)?;
    let mut words = text.split(is_python_space).filter(|word| !word.is_empty());
    let Some(command) = words.next() else {
        return Ok(Request::Blank);
    };
    let request = match command {
        "put" => put(&mut words),
        "get" => get(&mut words),
        _ => None,
    };
    match (request, words.next()) {
        (Some(request), None) => Ok(request),
        _ => Err(WrongCommand),
    }
}

fn put<'line>(words: &mut impl Iterator<Item = &'line str>) -> Option<Request<'line>> {
    let key = words.next()?.into();
    let value = float::parse(words.next()?.as_bytes())?;
    let timestamp = integer::parse(words.next()?.as_bytes())?;
    Some(Request::Put {
        key,
        timestamp,
        value,
    })
}

fn get<'line>(words: &mut impl Iterator<Item = &'line str>) -> Option<Request<'line>> {
    match words.next()? {
        "*" => Some(Request::GetAll),
        key => Some(Request::Get { key }),
    }
}

/// What `str.split()` splits at: Unicode white space, which is what Rust calls white space, and
/// the four ASCII separators, which Unicode gives the bidirectional class of a space or a
/// paragraph separator only.
fn is_python_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(key: &str) -> Result<Request<'_>, WrongCommand> {
        Ok(Request::Get { key })
    }

    #[test]
    fn lines_and_requests() {
        let put = |key: &'static str, value, timestamp| {
            Ok(Request::Put {
                key: key.into(),
                timestamp,
                value,
            })
        };
        let table: &[(&str, Result<Request, WrongCommand>)] = &[
            ("", Ok(Request::Blank)),
            (
                " \t\r\x0b\x0c\x1c\x1d\x1e\x1f\u{85}\u{3000}",
                Ok(Request::Blank),
            ),
            ("get *", Ok(Request::GetAll)),
            ("get k", get("k")),
            ("  get\r\tk\r", get("k")),
            ("get k k", Err(WrongCommand)),
            ("get", Err(WrongCommand)),
            ("GET k", Err(WrongCommand)),
            ("getk", Err(WrongCommand)),
            ("got k", Err(WrongCommand)),
            ("put * 1 1", put("*", 1.0, 1)),
            ("put k 1_0.5 -0_7", put("k", 10.5, -7)),
            ("put k 1", Err(WrongCommand)),
            ("put k 1 1 1", Err(WrongCommand)),
            ("put k x 1", Err(WrongCommand)),
            ("put k 1 1.0", Err(WrongCommand)),
            ("put put get 1", Err(WrongCommand)),
            ("\u{feff}get k", Err(WrongCommand)),
            ("get\u{a0}\u{e9}\u{2028}", get("\u{e9}")),
            ("get \u{200b}", get("\u{200b}")),
            ("get \0", get("\0")),
        ];
        for (line, request) in table {
            assert_eq!(parse(line.as_bytes()), *request, "{line:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_a_wrong_command() {
        for line in [
            &b"get \xff"[..],
            b"\x85",
            b"get k\xc2",
            b"get \xed\xa0\x80",
            b"get \xc0\x80",
        ] {
            assert_eq!(parse(line), Err(WrongCommand), "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_reads_what_the_long_one_does(line in "put {0,2}[!-~é\u{1c}]{0,20}[ \t\u{a0}]{1,2}-?[0-9_.]{0,9} [0-9 -]{0,12}\r{0,2}") {
            if let Some(put) = plain_put(line.as_bytes()) {
                prop_assert_eq!(Ok(put), any_request(line.as_bytes()));
            }
        }

        #[test]
        fn plain_lines_take_the_fast_path(key in "[!-~]{1,40}", digits: i32, timestamp: i64, end in "\r?") {
            let value = f64::from(digits) / 100.0;
            let line = format!("put {key} {value} {timestamp}{end}");
            let put = Request::Put { key: Key::from(&key[..]), timestamp, value };
            prop_assert_eq!(plain_put(line.as_bytes()), Some(put));
        }

        #[test]
        fn any_bytes_give_an_answer(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _answer = parse(&line);
        }
    }
}
