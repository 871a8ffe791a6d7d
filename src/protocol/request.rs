//! The grammar: one line to one request.

use std::iter;

use super::{float, integer};
use crate::key::Key;
use crate::store::Put;
use crate::value::Value;

/// What a line asks for. Keys are slices of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<'line> {
    /// Nothing but white space. Whether it is answered depends on what came with it.
    Blank,
    /// Store one point.
    Put(Put<'line>),
    /// All points of the series under this key.
    Get(&'line str),
    /// All points of all series.
    GetAll,
}

/// The line is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongCommand;

/// How a protocol writes a put.
#[derive(Clone, Copy)]
pub(crate) enum Form<'a> {
    /// As `put <key> <value> <timestamp>`.
    Command,
    /// As `<key> <value> <timestamp>`. Of a timestamp and a value, the function makes the timestamp that is
    /// stored, or leaves the line to the slow path.
    #[cfg_attr(
        not(feature = "graphite"),
        expect(dead_code, reason = "only Graphite's protocol has it")
    )]
    Bare(&'a dyn Fn(i64, Value) -> Option<i64>),
}

/// The fast path: the put of the line that `text` begins with, and the length of the line with its
/// newline. The line is as clients write it: in ASCII, with single spaces, perhaps a carriage return at
/// its end, and a timestamp of digits. `None` says nothing about the text. `before` is how an
/// earlier line ended, and becomes how this one does.
#[inline(always)]
pub(crate) fn plain_put<'text>(
    text: &'text [u8],
    form: Form,
    before: &mut LineEnd,
) -> Option<(Put<'text>, usize)> {
    let words = match form {
        Form::Command => text.strip_prefix(b"put ")?,
        Form::Bare(_) => text,
    };
    let (key, rest) = split_plain_word(words)?;
    let (value, rest) = match float::leading_decimal(rest) {
        Some((value, [b' ', rest @ ..])) => (value, rest),
        _ => {
            let (value, rest) = split_plain_word(rest)?;
            (float::parse_any(value)?.into(), rest)
        }
    };
    if !before.begins(rest) {
        *before = LineEnd::read(rest)?;
    }
    let LineEnd {
        timestamp, length, ..
    } = *before;
    let rest = rest.get(length..)?;
    let timestamp = match form {
        Form::Command => timestamp,
        Form::Bare(stored) => stored(timestamp, value)?,
    };
    let put = Put {
        key: Key::of_ascii(key),
        timestamp,
        value,
    };
    Some((put, text.len() - rest.len()))
}

/// The end of a line: its timestamp and newline. Those who send many points at once mostly send them with one
/// timestamp, so that the next line ends in the same bytes.
#[derive(Clone, Copy)]
pub(crate) struct LineEnd {
    timestamp: i64,
    /// How many bytes it has.
    length: usize,
    /// These, the first one lowest. If they are more than 16 or not known, all ones, which no masked text is.
    bytes: u128,
    /// Ones where these count; zero if they are not known.
    mask: u128,
}

impl Default for LineEnd {
    fn default() -> LineEnd {
        LineEnd {
            timestamp: 0,
            length: 0,
            bytes: u128::MAX,
            mask: 0,
        }
    }
}

impl LineEnd {
    /// Reads the timestamp and the newline that `text` begins with.
    #[inline(always)]
    fn read(text: &[u8]) -> Option<LineEnd> {
        let (timestamp, rest) = integer::leading_digits(text)?;
        let ([b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..]) = rest else {
            return None;
        };
        let length = text.len() - rest.len();
        let mut end = LineEnd {
            timestamp,
            length,
            ..LineEnd::default()
        };
        if let Some(first) = text.first_chunk()
            && length <= first.len()
        {
            end.mask = u128::MAX >> (u128::BITS as usize - 8 * length);
            end.bytes = u128::from_le_bytes(*first) & end.mask;
        }
        Some(end)
    }

    /// Whether `text` begins with these bytes.
    #[inline(always)]
    fn begins(&self, text: &[u8]) -> bool {
        let first = text.first_chunk();
        first.is_some_and(|first| u128::from_le_bytes(*first) & self.mask == self.bytes)
    }
}

/// The word of ASCII that `text` begins with, and what follows the space after it.
#[inline(always)]
fn split_plain_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = text.split_at_checked(plain_word_length(text))?;
    let (b' ', rest) = rest.split_first()? else {
        return None;
    };
    (!word.is_empty()).then_some((word, rest))
}

/// How many bytes at the beginning of `text` are ASCII and neither white space nor control
/// characters (except DEL).
#[inline(always)]
fn plain_word_length(text: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut rest = text;
    while let Some((eight, after)) = rest.split_first_chunk() {
        let eight = u64::from_le_bytes(*eight);
        // Has the high bit of each byte that is above ASCII or below `!`. After the first such
        // byte it may have others too, which does not matter.
        let others = (eight | eight.wrapping_sub(0x21 * EACH)) & (0x80 * EACH);
        if others != 0 {
            return text.len() - rest.len() + others.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    let end = rest.iter().position(|byte| !matches!(byte, b'!'..=0x7f));
    text.len() - rest.len() + end.unwrap_or(rest.len())
}

/// Reads a line, given without its newline.
///
/// Words are split as Python's `str.split()` splits them, numbers are read as `float()` and
/// `int()` read them. Linear in the length of the line; allocates nothing.
pub fn parse(line: &[u8]) -> Result<Request<'_>, WrongCommand> {
    let mut words = words(str::from_utf8(line).map_err(|_| WrongCommand)?);
    let request = match words.next() {
        None => return Ok(Request::Blank),
        Some("put") => put(&mut words),
        Some("get") => words.next().map(|key| match key {
            "*" => Request::GetAll,
            key => Request::Get(key),
        }),
        Some(_) => None,
    };
    match (request, words.next()) {
        (Some(request), None) => Ok(request),
        _ => Err(WrongCommand),
    }
}

fn put<'line>(words: &mut impl Iterator<Item = &'line str>) -> Option<Request<'line>> {
    let key = words.next()?.into();
    let value = float::parse(words.next()?.as_bytes())?.into();
    let timestamp = integer::parse(words.next()?.as_bytes())?;
    Some(Request::Put(Put {
        key,
        timestamp,
        value,
    }))
}

/// The words of a text, as Python's `str.split()` splits it.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || next_word(&mut rest))
}

#[inline(never)]
fn next_word<'text>(rest: &mut &'text str) -> Option<&'text str> {
    let begun = rest.trim_start_matches(is_python_space);
    let end = begun.find(is_python_space).unwrap_or(begun.len());
    let (word, after) = begun.split_at(end);
    *rest = after;
    (!word.is_empty()).then_some(word)
}

/// Whether Python's `str.split()` splits at this: white space as Unicode and Rust define it, and
/// the four ASCII separators, which are white space in Python by their bidirectional class.
fn is_python_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

/// Whether a line is an HTTP request line: `METHOD target HTTP/1.x`, with the method in capital
/// letters.
///
/// Takes everything that a client would send: any white space between the words and around them,
/// and any target (RFC 9112, section 3). Linear in the length of the line.
pub fn is_http_request_line(line: &[u8]) -> bool {
    let words = line.split(u8::is_ascii_whitespace);
    let mut words = words.filter(|word| !word.is_empty());
    let (Some(method), Some(_target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    let minor_version = version.strip_prefix(b"HTTP/1.");
    method.iter().all(u8::is_ascii_uppercase)
        && matches!(minor_version, Some([digit]) if digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first_put(text: &str) -> Option<(Put<'_>, usize)> {
        plain_put(text.as_bytes(), Form::Command, &mut LineEnd::default())
    }

    fn get(key: &str) -> Result<Request<'_>, WrongCommand> {
        Ok(Request::Get(key))
    }

    #[test]
    fn lines_and_requests() {
        let put = |key: &'static str, value: f64, timestamp| {
            Ok(Request::Put(Put {
                key: key.into(),
                timestamp,
                value: value.into(),
            }))
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

    #[test]
    fn http_request_lines() {
        for line in [
            "GET / HTTP/1.1\r",
            "POST / HTTP/1.1",
            "OPTIONS * HTTP/1.0\r",
            "HEAD http://127.0.0.1:8888/path?query HTTP/1.1\r",
            "CONNECT 127.0.0.1:8888 HTTP/1.1\r",
            "PROPFIND /\u{e9} HTTP/1.9\r",
            "X x HTTP/1.1",
            "PUT k HTTP/1.1",
            " \tPOST\t/  HTTP/1.1 \t\r",
        ] {
            assert!(is_http_request_line(line.as_bytes()), "{line:?}");
            assert_eq!(parse(line.as_bytes()), Err(WrongCommand), "{line:?}");
        }
        assert!(is_http_request_line(b"POST /\xff HTTP/1.1"));
        for line in [
            "",
            "\r",
            "POST",
            "POST /",
            "POST  HTTP/1.1",
            "/ HTTP/1.1",
            "post / HTTP/1.1",
            "Post / HTTP/1.1",
            "POST1 / HTTP/1.1",
            "POST: / HTTP/1.1",
            "POST / HTTP/1.1 x",
            "POST / x HTTP/1.1",
            "POST / HTTP/1.",
            "POST / HTTP/1.10",
            "POST / HTTP/1.x",
            "POST / HTTP/2.0",
            "POST / HTTP/1",
            "POST / http/1.1",
            "POST / xHTTP/1.1",
            "GET k",
            "PUT k 1 1",
            "get k HTTP/1.1",
            "put HTTP/1.1 1 1",
            "Host: 127.0.0.1:8888\r",
        ] {
            assert!(!is_http_request_line(line.as_bytes()), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_reads_what_the_long_one_does(
            line in "put {0,2}[!-~é\u{1c}]{0,20}[ \t\u{a0}]{1,2}-?[0-9_.]{0,9} [0-9 -]{0,12}\r{0,2}",
            after in "[0-9a \n]{0,9}",
        ) {
            let text = line.clone() + "\n" + &after;
            if let Some((put, length)) = first_put(&text) {
                prop_assert_eq!(Ok(Request::Put(put)), parse(line.as_bytes()));
                prop_assert_eq!(length, line.len() + 1);
            }
            prop_assert_eq!(first_put(&line), None);
        }

        #[test]
        fn plain_lines_take_the_fast_path(key in "[!-~]{1,40}", digits: i32, timestamp in 0..=i64::MAX, end in "\r?") {
            let value = f64::from(digits) / 100.0;
            let line = format!("put {key} {value} {timestamp}{end}\n");
            let put = Put { key: Key::from(&key[..]), timestamp, value: value.into() };
            prop_assert_eq!(first_put(&line), Some((put, line.len())));
        }

        /// Lines are read alike whatever came before them.
        #[test]
        fn lines_that_end_as_those_before_them(
            ends in proptest::collection::vec("(12345678|1234567890123)[0-2]?[\r\n]{0,2}[0-1a]{0,20}", 1..20)
        ) {
            let mut before = LineEnd::default();
            for end in ends {
                let text = format!("put k 1 {end}\n");
                prop_assert_eq!(plain_put(text.as_bytes(), Form::Command, &mut before), first_put(&text));
            }
        }

        #[test]
        fn any_bytes_give_an_answer(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _answer = parse(&line);
        }
    }
}
