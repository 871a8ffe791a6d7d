//! Graphite's plaintext protocol, pure: a line to a point, as carbon reads it.
//!
//! A line is `<key> <value> <timestamp>`, its words separated by white space. The tags of a key, which
//! follow it after semicolons, are a part of it as they were sent.

use crate::config::TimestampUnit;
use crate::protocol::float;
use crate::protocol::request::words;
use crate::store::Put;
use crate::value::Value;

/// Integers up to this are the same as a double, which is what carbon reads timestamps as.
const EXACT_INTEGER_MAX: i64 = 1 << f64::MANTISSA_DIGITS;

/// The timestamp to store for a line that the [fast path](crate::protocol::request::plain_put) reads; `None`
/// leaves the line to [`parse`].
pub fn plain_timestamp(seconds: i64, value: Value, unit: TimestampUnit) -> Option<i64> {
    let is_plain = seconds <= EXACT_INTEGER_MAX && !value.to_double().is_nan();
    seconds.checked_mul(unit.per_second()).filter(|_| is_plain)
}

/// Reads a line, given without its newline, as carbon 1.1 does (`MetricLineReceiver` in its
/// `protocols.py`). `None` if nothing is to be stored: the value is not a number.
///
/// Words are split as Python's `str.split()` splits them. The value and the timestamp, in seconds, are
/// read as its `float()` reads them. The timestamp is cut to whole units, towards zero; -1, with any
/// fraction, means `now`. Linear in the length of the line.
///
/// # Errors
///
/// The reason in words, if carbon would drop the line, or close the connection, as it does for bytes that are not
/// UTF-8 and for timestamps that are not finite.
pub fn parse(
    line: &[u8],
    unit: TimestampUnit,
    now: impl Fn() -> i64,
) -> Result<Option<Put<'_>>, &'static str> {
    let text = str::from_utf8(line).map_err(|_| "not UTF-8")?;
    let mut words = words(text);
    let four = [words.next(), words.next(), words.next(), words.next()];
    let [Some(key), Some(value), Some(written), None] = four else {
        return Err("not three words");
    };
    let value = float::parse(value.as_bytes()).ok_or("no value")?;
    let seconds = float::parse(written.as_bytes()).ok_or("no timestamp")?;
    if value.is_nan() {
        return Ok(None);
    }
    let timestamp = match seconds.trunc() == -1.0 {
        true => now(),
        false => in_units(seconds, written.as_bytes(), unit).ok_or("no timestamp")?,
    };
    Ok(Some(Put {
        key: key.into(),
        timestamp,
        value: value.into(),
    }))
}

/// A number of seconds in whole units, cut towards zero; `text` is how it is written.
fn in_units(seconds: f64, text: &[u8], unit: TimestampUnit) -> Option<i64> {
    let per_second = unit.per_second();
    let whole = integer_of(seconds)?.checked_mul(per_second)?;
    if seconds.fract() == 0.0 {
        return Some(whole);
    }
    match decimals(text) {
        Some(decimals) => {
            let part = part_of(decimals, per_second);
            whole.checked_add(if seconds < 0.0 { -part } else { part })
        }
        None => integer_of(seconds * per_second as f64),
    }
}

/// The digits after the point of a number without an exponent.
fn decimals(text: &[u8]) -> Option<&[u8]> {
    let point = memchr::memchr(b'.', text)?;
    let decimals = &text[point + 1..];
    decimals.iter().all(u8::is_ascii_digit).then_some(decimals)
}

/// A fraction of a second in whole units, cut. A double of our time has but seven of its decimals.
fn part_of(decimals: &[u8], per_second: i64) -> i64 {
    let (mut part, mut unit) = (0, per_second);
    for digit in decimals {
        unit /= 10;
        part += unit * i64::from(digit - b'0');
    }
    part
}

/// The integer part, if 64 bits hold it.
fn integer_of(value: f64) -> Option<i64> {
    const END: f64 = -(i64::MIN as f64);
    (-END..END).contains(&value).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use crate::protocol::NUMBER_ROOM_BYTES;
    use crate::protocol::request::{self, Form, LineEnd};
    use TimestampUnit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
    use proptest::prelude::*;

    fn plain_put(text: &[u8], unit: TimestampUnit) -> Option<(Put<'_>, usize)> {
        let timestamp = |seconds, value| plain_timestamp(seconds, value, unit);
        request::plain_put(text, Form::Bare(&timestamp), &mut LineEnd::default())
    }

    const UNITS: [TimestampUnit; 4] = [Seconds, Milliseconds, Microseconds, Nanoseconds];

    /// The bytes that a table of `make_lines.py` writes as this.
    fn unescaped(text: &str) -> Vec<u8> {
        let mut parts = text.split("\\x");
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (code, rest) = part.split_at(2);
            bytes.push(u8::from_str_radix(code, 16).expect("two digits"));
            bytes.extend_from_slice(rest.as_bytes());
        }
        bytes
    }

    /// The time at which all lines come. No line names it.
    const NOW: i64 = 1_234_567_890_987_654_321;

    /// What a table of `make_lines.py` says of a line that is read so.
    fn said(line: Result<Option<Put>, &'static str>) -> String {
        let escaped = |key: Key| {
            let bytes = key.as_bytes().iter();
            let escaped = bytes.map(|&byte| match byte {
                b' '..=b'~' if byte != b'\\' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            });
            escaped.collect::<String>()
        };
        let repr = |value| {
            let mut room = [0; NUMBER_ROOM_BYTES];
            let length = float::write(&mut room, value);
            String::from_utf8_lossy(&room[..length]).into_owned()
        };
        match line {
            Ok(Some(put)) => {
                let (key, value) = (escaped(put.key), repr(put.value.to_double()));
                match put.timestamp {
                    NOW => format!("now {key} {value}"),
                    timestamp => format!("put {key} {value} {timestamp}"),
                }
            }
            Ok(None) => "nan".into(),
            Err(_) => "error".into(),
        }
    }

    /// Reads a line by both paths, if the fast one takes it.
    fn read(line: &[u8], unit: TimestampUnit) -> Result<Option<Put<'_>>, &'static str> {
        let read = parse(line, unit, || NOW);
        if let Some((put, _)) = plain_put(&[line, b"\n"].concat(), unit) {
            assert_eq!(read, Ok(Some(put)));
        }
        read
    }

    #[test]
    fn lines_are_read_as_carbon_reads_them() {
        let table = include_str!("../tests/graphite/lines.tsv");
        let mut rows = 0;
        for row in table.lines().skip(3) {
            let (line, theirs) = row.split_once('\t').expect("a line, a tab, a result");
            // Where carbon closes the connection, only the line is dropped here.
            let theirs = theirs.replace("closed", "error");
            let bytes = unescaped(line);
            assert_eq!(said(read(&bytes, Seconds)), theirs, "{line}");
            rows += 1;
        }
        assert!(rows >= 2_000, "only {rows} rows");
    }

    #[test]
    fn timestamps_are_cut_to_whole_units() {
        for (timestamp, in_units) in [
            (
                "1500000000",
                UNITS.map(|unit| Some(1_500_000_000 * unit.per_second())),
            ),
            (
                "1500000000.75",
                [
                    Some(1_500_000_000),
                    Some(1_500_000_000_750),
                    Some(1_500_000_000_750_000),
                    Some(1_500_000_000_750_000_000),
                ],
            ),
            (
                "1.0009999",
                [Some(1), Some(1_000), Some(1_000_999), Some(1_000_999_900)],
            ),
            (
                "-2.0009",
                [
                    Some(-2),
                    Some(-2_000),
                    Some(-2_000_900),
                    Some(-2_000_900_000),
                ],
            ),
            ("0.5e-9", [Some(0); 4]),
            (
                "-0.0015",
                [Some(0), Some(-1), Some(-1_500), Some(-1_500_000)],
            ),
            (
                "9223372036",
                UNITS.map(|unit| Some(9_223_372_036 * unit.per_second())),
            ),
            (
                "9223372037",
                [
                    Some(9_223_372_037),
                    Some(9_223_372_037_000),
                    Some(9_223_372_037_000_000),
                    None,
                ],
            ),
            (
                "-9223372036.8",
                [
                    Some(-9_223_372_036),
                    Some(-9_223_372_036_800),
                    Some(-9_223_372_036_800_000),
                    Some(-9_223_372_036_800_000_000),
                ],
            ),
            (
                "-9223372036.9",
                [
                    Some(-9_223_372_036),
                    Some(-9_223_372_036_900),
                    Some(-9_223_372_036_900_000),
                    None,
                ],
            ),
            (
                "9007199254740991",
                [
                    Some(9_007_199_254_740_991),
                    Some(9_007_199_254_740_991_000),
                    None,
                    None,
                ],
            ),
            (
                "-9223372036854777",
                [Some(-9_223_372_036_854_776), None, None, None],
            ),
            (
                "9223372036854774784",
                [Some(9_223_372_036_854_774_784), None, None, None],
            ),
            ("9223372036854775807", [None; 4]),
        ] {
            for (unit, expected) in UNITS.into_iter().zip(in_units) {
                let line = format!("k 0.5 {timestamp}");
                let put = expected.map(|timestamp| {
                    Some(Put {
                        key: "k".into(),
                        timestamp,
                        value: 0.5.into(),
                    })
                });
                let expected = put.ok_or("no timestamp");
                assert_eq!(
                    read(line.as_bytes(), unit),
                    expected,
                    "{timestamp} {unit:?}"
                );
            }
        }
    }

    #[test]
    fn decimals_are_kept_as_far_as_the_unit_goes() {
        for (unit, digits) in UNITS.into_iter().zip([0, 3, 6, 9]) {
            for second in [0, 1_073_741_824, 1_150_864_247, 2_147_483_648] {
                for part in (0..unit.per_second()).step_by(unit.per_second() as usize / 1_000 + 1) {
                    let line = format!("k 1 {second}.{part:0digits$}4");
                    let timestamp = second * unit.per_second() + part;
                    let put = Put {
                        key: "k".into(),
                        timestamp,
                        value: 1.0.into(),
                    };
                    assert_eq!(read(line.as_bytes(), unit), Ok(Some(put)), "{line}");
                }
            }
        }
    }

    #[test]
    fn bad_lines_say_why() {
        for (line, why) in [
            (&b"\xff 1 2"[..], "not UTF-8"),
            (b"", "not three words"),
            (b"a 1", "not three words"),
            (b"a 1 2 3", "not three words"),
            (b"a x y", "no value"),
            (b"a 1 y", "no timestamp"),
            (b"a nan y", "no timestamp"),
            (b"a 1 inf", "no timestamp"),
        ] {
            assert_eq!(read(line, Seconds), Err(why), "{}", line.escape_ascii());
        }
    }

    fn any_unit() -> impl Strategy<Value = TimestampUnit> {
        proptest::sample::select(&UNITS[..])
    }

    proptest! {
        #[test]
        fn the_fast_path_reads_what_the_long_one_does(
            line in "[!-~é\u{1c}]{0,20}[ \t\u{a0}]{1,2}(-?[0-9_.]{0,9}|nan) [0-9 .-]{0,20}\r{0,2}",
            unit in any_unit(), after in "[0-9a \n]{0,9}",
        ) {
            let text = line.clone() + "\n" + &after;
            if let Some((put, length)) = plain_put(text.as_bytes(), unit) {
                prop_assert_eq!(Ok(Some(put)), parse(line.as_bytes(), unit, || NOW));
                prop_assert_eq!(length, line.len() + 1);
            }
            prop_assert_eq!(plain_put(line.as_bytes(), unit), None);
        }

        #[test]
        fn plain_lines_take_the_fast_path(
            key in "[!-~]{1,40}", digits: i32, seconds in 0..1i64 << 33, unit in any_unit(), end in "\r?",
        ) {
            let value = f64::from(digits) / 100.0;
            let line = format!("{key} {value} {seconds}{end}\n");
            let timestamp = seconds * unit.per_second();
            let put = Put { key: Key::from(&key[..]), timestamp, value: value.into() };
            prop_assert_eq!(plain_put(line.as_bytes(), unit), Some((put, line.len())));
        }

        #[test]
        fn any_bytes_are_read(line in proptest::collection::vec(any::<u8>(), 0..64), unit in any_unit()) {
            let _put = parse(&line, unit, || NOW);
        }
    }
}
