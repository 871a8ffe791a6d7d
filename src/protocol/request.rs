//! The grammar: one line to one request.

use super::{float, integer};

/// What a line asks for. Keys are slices of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<'line> {
    /// White space only: whether it is answered depends on what came beside it.
    Blank,
    /// Store one point.
    #[expect(missing_docs, reason = "the words of the protocol")]
    Put {
        key: &'line str,
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
pub fn parse(line: &[u8]) -> Result<Request<'_>, WrongCommand> {
    let mut words = Words {
        rest: str::from_utf8(line).map_err(|_| WrongCommand)?,
    };
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

fn put<'line>(words: &mut Words<'line>) -> Option<Request<'line>> {
    let key = words.next()?;
    let value = float::parse(words.next()?)?;
    let timestamp = integer::parse(words.next()?)?;
    Some(Request::Put {
        key,
        timestamp,
        value,
    })
}

fn get<'line>(words: &mut Words<'line>) -> Option<Request<'line>> {
    match words.next()? {
        "*" => Some(Request::GetAll),
        key => Some(Request::Get { key }),
    }
}

/// The words of a line, from left to right.
struct Words<'line> {
    rest: &'line str,
}

impl<'line> Iterator for Words<'line> {
    type Item = &'line str;

    #[inline(always)]
    fn next(&mut self) -> Option<&'line str> {
        let text = self.rest.as_bytes();
        let start = match text {
            // A single space between words, or none before the first.
            [b' ', b'!'..=b'~', ..] => 1,
            [b'!'..=b'~', ..] => 0,
            _ => find(self.rest, 0, |is_space| !is_space)?,
        };
        let end = end_of_ascii_word(text, start);
        let end = match text.get(end) {
            None => end,
            Some(b' ') => end,
            Some(_) => find(self.rest, end, |is_space| is_space).unwrap_or(text.len()),
        };
        let (word, rest) = (&self.rest[start..end], &self.rest[end..]);
        self.rest = rest;
        Some(word)
    }
}

/// The first byte from `start` on that may not be of a word of plain ASCII: a space, a control
/// character, or part of a character beyond ASCII; the length of the text where there is none.
#[inline(always)]
fn end_of_ascii_word(text: &[u8], start: usize) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut place = start;
    while let Some(eight) = text[place..].first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        // The high bit of each byte that is above ASCII, or below `!`; behind the first of the
        // latter perhaps of others too, which does not matter.
        let others = (eight | eight.wrapping_sub(0x21 * EACH)) & (0x80 * EACH);
        if others != 0 {
            return place + others.trailing_zeros() as usize / 8;
        }
        place += 8;
    }
    let rest = text[place..]
        .iter()
        .position(|byte| !matches!(byte, b'!'..=0x7f));
    rest.map_or(text.len(), |offset| place + offset)
}

/// Where the first character from `start` on begins whose being white space is `wanted`.
fn find(text: &str, start: usize, wanted: impl Fn(bool) -> bool) -> Option<usize> {
    let mut characters = text[start..].char_indices();
    characters
        .find(|&(_, c)| wanted(is_python_space(c)))
        .map(|(offset, _)| start + offset)
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
        let put = |key, value, timestamp| {
            Ok(Request::Put {
                key,
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
        fn words_are_those_of_a_naive_split(text in "[ab \t\u{1c}\u{85}\u{e9}\u{3000}\u{200b}]{0,12}") {
            let naive: Vec<&str> =
                text.split(is_python_space).filter(|word| !word.is_empty()).collect();
            prop_assert_eq!(Words { rest: &text }.collect::<Vec<_>>(), naive);
        }

        #[test]
        fn any_bytes_give_an_answer(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _answer = parse(&line);
        }
    }
}
