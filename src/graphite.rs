//! Graphite's plaintext protocol, pure: a line to a point, as carbon reads it.
//!
//! A line is `<key> <value> <timestamp>`, its words separated by white space. The tags of a key, which
//! follow it after semicolons, are a part of it as they were sent.

use crate::config::TimestampUnit;
use crate::key::Key;
use crate::protocol::request::{is_plain_word, plain_words, words};
use crate::protocol::{float, integer};
use crate::store::Put;

/// What a line asks for. Keys are slices of the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line<'line> {
    /// Store this point. Its timestamp is in the unit that was asked for.
    Put(Put<'line>),
    /// Store a point at the time at which the line came.
    PutNow {
        /// The name of the series.
        key: Key<'line>,
        /// Its value.
        value: f64,
    },
    /// Store nothing: the value is not a number.
    NotANumber,
}

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// It is not UTF-8.
    Encoding,
    /// It has not three words.
    Words,
    /// The second word is no value.
    Value,
    /// The third word is no timestamp, or one that 64 bits do not hold in this unit.
    Timestamp,
}

impl BadLine {
    /// The reason in words.
    pub fn reason(self) -> &'static str {
        match self {
            BadLine::Encoding => "not UTF-8",
            BadLine::Words => "not three words",
            BadLine::Value => "no value",
            BadLine::Timestamp => "no timestamp",
        }
    }
}

/// Integers up to this are the same as a double, which is what carbon reads timestamps as.
const EXACT_INTEGER_MAX: i64 = 1 << f64::MANTISSA_DIGITS;

/// The fast path of [`parse`]: a line in ASCII with single spaces, perhaps a carriage return at its
/// end, and a timestamp of digits. `None` says nothing about the line.
#[inline(always)]
pub fn plain_put(line: &[u8], unit: TimestampUnit) -> Option<Put<'_>> {
    let (key, value, timestamp) = plain_words(without_return(line))?;
    let seconds =
        integer::parse_short(timestamp).filter(|&seconds| seconds <= EXACT_INTEGER_MAX)?;
    Some(Put {
        key: Key::of_ascii(key),
        timestamp: seconds.checked_mul(unit.per_second())?,
        value: float::parse(value).filter(|value| !value.is_nan())?,
    })
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads a line, given without its newline, as carbon 1.1 does (`MetricLineReceiver` in its
/// `protocols.py`).
///
/// Words are split as Python's `str.split()` splits them. The value and the timestamp, in seconds, are
/// read as its `float()` reads them. The timestamp is cut to whole units, towards zero; -1, with any
/// fraction, means now. Linear in the length of the line.
///
/// # Errors
///
/// If carbon would drop the line. So it is too where carbon closes the connection: for bytes that are
/// not UTF-8, and for timestamps that are not finite.
pub fn parse(line: &[u8], unit: TimestampUnit) -> Result<Line<'_>, BadLine> {
    let (key, value, timestamp) = match plain_words(without_return(line)) {
        Some((key, value, timestamp)) if is_plain_word(timestamp) => {
            (Key::of_ascii(key), value, timestamp)
        }
        _ => any_words(line)?,
    };
    let value = float::parse(value).ok_or(BadLine::Value)?;
    let seconds = float::parse(timestamp).ok_or(BadLine::Timestamp)?;
    if value.is_nan() {
        return Ok(Line::NotANumber);
    }
    if seconds.trunc() == -1.0 {
        return Ok(Line::PutNow { key, value });
    }
    let timestamp = in_units(seconds, unit).ok_or(BadLine::Timestamp)?;
    Ok(Line::Put(Put {
        key,
        timestamp,
        value,
    }))
}

fn any_words(line: &[u8]) -> Result<(Key<'_>, &[u8], &[u8]), BadLine> {
    let mut words = words(str::from_utf8(line).map_err(|_| BadLine::Encoding)?);
    match [words.next(), words.next(), words.next(), words.next()] {
        [Some(key), Some(value), Some(timestamp), None] => {
            Ok((key.into(), value.as_bytes(), timestamp.as_bytes()))
        }
        _ => Err(BadLine::Words),
    }
}

/// A number of seconds in whole units, cut towards zero.
fn in_units(seconds: f64, unit: TimestampUnit) -> Option<i64> {
    // A product of doubles is exact only up to 2^53.
    match integer_of(seconds)?.checked_mul(unit.per_second())? {
        units if seconds.fract() == 0.0 => Some(units),
        _ => integer_of(seconds * unit.per_second() as f64),
    }
}

/// The integer part, if 64 bits hold it.
fn integer_of(value: f64) -> Option<i64> {
    const END: f64 = -(i64::MIN as f64);
    (-END..END).contains(&value).then_some(value as i64)
}
