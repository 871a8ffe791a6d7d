//! Lengths of time, as Graphite writes them: `10min`, `-1d`, `1h30min`.

use super::number::integer;

/// Seconds in the units of intervals, by how they begin. A month has 30 days, a year 365.
const UNITS: [(&str, i64); 7] = [
    ("s", 1),
    ("min", 60),
    ("h", 3_600),
    ("d", 86_400),
    ("w", 604_800),
    ("mon", 2_592_000),
    ("y", 31_536_000),
];

/// The longest interval, as in Python: a thousand million days.
const SECONDS_MAX: i64 = 86_400 * 1_000_000_000;

/// Seconds of an interval: a sign, or none for a plus, and numbers with a unit each. `None` if it is
/// no interval, an empty one included.
pub fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut seconds = 0i64;
    while !rest.is_empty() {
        let digits = rest.bytes().position(|next| !next.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().position(|next| !next.is_ascii_alphabetic());
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let known = |(name, _): &&(&str, i64)| unit.starts_with(name);
        let (_, unit_seconds) = UNITS.iter().find(known)?;
        let added = integer(number)?.checked_mul(*unit_seconds)?;
        seconds = seconds.checked_add(added)?;
        rest = after;
    }
    (seconds < SECONDS_MAX).then_some(sign * seconds)
}
