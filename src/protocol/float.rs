//! Doubles as Python's `float()` reads them and as its `repr()` prints them.

use super::integer::{DIGITS, underscores_stand_between_digits, write_digits};

/// Powers of ten that a double holds exactly.
const EXACT_POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Reads what `float(text)` reads: sign, decimal point, exponent, `inf`, `infinity` and `nan` in
/// any case, single underscores between ASCII digits.
///
/// Rounds to nearest, ties to even; overflow gives an infinity, underflow zero. Every NaN is
/// the same NaN. `None` for anything else. Linear; allocates nothing.
///
/// ```
/// # use metricd::protocol::float::parse;
/// assert_eq!(parse("1_000.5e-1"), Some(100.05));
/// assert_eq!(parse("-Infinity"), Some(f64::NEG_INFINITY));
/// assert_eq!(parse("0x10"), None);
/// ```
pub fn parse(text: &str) -> Option<f64> {
    if let Some(value) = parse_plain(text.as_bytes()) {
        return Some(value);
    }
    // The standard library's grammar is Python's, but for the underscores.
    let value = match memchr::memchr(b'_', text.as_bytes()) {
        None => text.parse().ok()?,
        Some(_) => parse_underscored(text.as_bytes())?,
    };
    Some(if value.is_nan() { f64::NAN } else { value })
}

/// The fast path: plain decimals whose digits, taken as an integer, and whose power of ten both
/// are exact doubles, so that one division rounds once and correctly (Clinger, "How to Read
/// Floating Point Numbers Accurately", PLDI 1990, section 3). `None` says nothing about the text.
#[inline]
fn parse_plain(text: &[u8]) -> Option<f64> {
    let (negative, text) = match text {
        [b'-', text @ ..] => (true, text),
        text => (false, text),
    };
    // Fifteen digits are less than 2^53. One more byte is the point.
    if text.len() > 16 {
        return None;
    }
    let mut digits = 0u64;
    let mut point = None;
    for (index, &byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digits = digits * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(index),
            _ => return None,
        }
    }
    let count = text.len() - usize::from(point.is_some());
    if !(1..=15).contains(&count) {
        return None;
    }
    let decimals = point.map_or(0, |index| text.len() - index - 1);
    let magnitude = digits as f64 / EXACT_POWERS_OF_TEN[decimals];
    Some(if negative { -magnitude } else { magnitude })
}

/// Significant digits that decide the rounding of any double: halfway between two neighbours
/// needs at most 767; all that follow matter only by being zero or not.
const DECIDING_DIGITS: usize = 768;

/// A number with underscores: the same one without them, written anew as
/// `[-]digits e exponent` into a buffer of bounded size, however long the text is.
#[cold]
fn parse_underscored(text: &[u8]) -> Option<f64> {
    if !underscores_stand_between_digits(text) {
        return None;
    }
    let mut digits = Digits::new();
    let mut rest = text.iter().copied().filter(|&byte| byte != b'_').peekable();
    let negative = rest.next_if(|&byte| byte == b'-').is_some();
    if !negative {
        // A plus sign says nothing.
        rest.next_if_eq(&b'+');
    }
    while let Some(byte) = rest.next_if(u8::is_ascii_digit) {
        digits.push(byte, 0);
    }
    if rest.next_if_eq(&b'.').is_some() {
        while let Some(byte) = rest.next_if(u8::is_ascii_digit) {
            digits.push(byte, -1);
        }
    }
    let mut exponent = 0i64;
    if rest
        .next_if(|byte| byte.eq_ignore_ascii_case(&b'e'))
        .is_some()
    {
        let sign = if rest.next_if_eq(&b'-').is_some() {
            -1
        } else {
            1
        };
        if sign == 1 {
            rest.next_if_eq(&b'+');
        }
        // At least one digit must follow, as at least one must come before.
        rest.peek().filter(|byte| byte.is_ascii_digit())?;
        while let Some(byte) = rest.next_if(u8::is_ascii_digit) {
            exponent = exponent
                .saturating_mul(10)
                .saturating_add(sign * i64::from(byte - b'0'));
        }
    }
    if rest.next().is_some() || !digits.any {
        return None;
    }
    digits.value(negative, exponent)
}

/// The digits of a number, cut to those that decide it.
struct Digits {
    /// `kept[..length]` are the significant digits, without leading zeros.
    kept: [u8; DECIDING_DIGITS + 1 + "e-9223372036854775808".len()],
    length: usize,
    /// Power of ten of the last digit kept.
    exponent: i64,
    /// Whether any digit came, zeros included.
    any: bool,
}

impl Digits {
    fn new() -> Digits {
        Digits {
            kept: [0; _],
            length: 0,
            exponent: 0,
            any: false,
        }
    }

    /// Takes the next digit; `step` is −1 behind the decimal point.
    fn push(&mut self, digit: u8, step: i64) {
        self.any = true;
        if self.length < DECIDING_DIGITS {
            self.exponent += step;
            if self.length > 0 || digit != b'0' {
                self.kept[self.length] = digit;
                self.length += 1;
            }
        } else {
            self.exponent += step + 1;
            // One digit stands for all that were cut: zero or not.
            if self.length == DECIDING_DIGITS {
                self.kept[self.length] = b'0';
                self.length += 1;
                self.exponent -= 1;
            }
            if digit != b'0' {
                self.kept[DECIDING_DIGITS] = b'1';
            }
        }
    }

    fn value(mut self, negative: bool, exponent: i64) -> Option<f64> {
        use std::io::Write;
        if self.length == 0 {
            return Some(if negative { -0.0 } else { 0.0 });
        }
        let room = self.kept.len() - self.length;
        let mut end = &mut self.kept[self.length..];
        write!(end, "e{}", self.exponent.saturating_add(exponent)).ok()?;
        let length = self.length + room - end.len();
        let magnitude: f64 = str::from_utf8(&self.kept[..length]).ok()?.parse().ok()?;
        Some(if negative { -magnitude } else { magnitude })
    }
}

/// Appends what `repr(value)` prints: the shortest digits that read back the same, with `.0` or
/// an exponent, which is used from 1e16 up and below 1e-4 and has at least two digits.
pub fn append(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        if value.abs() >= 1e-4 || value == 0.0 {
            // Here zmij's layout is Python's.
            out.extend_from_slice(text.as_bytes());
        } else {
            append_small(out, text);
        }
    } else if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else {
        out.extend_from_slice(if value < 0.0 { b"-inf" } else { b"inf" });
    }
}

/// Appends what `repr` prints of the double nearest to `digits` ÷ 10^`decimals`, without making
/// it: any decimal of up to fifteen digits is the shortest that reads back its double.
///
/// `digits` is of at most fifteen digits, `decimals` at most 15.
pub fn append_decimal(out: &mut Vec<u8>, digits: i64, decimals: u8) {
    let decimals = usize::from(decimals);
    let mut text = [b'0'; DIGITS];
    let start = write_digits(&mut text, digits.unsigned_abs());
    let point = DIGITS - decimals;
    if start > point + 3 && digits != 0 {
        // Below 1e-4 there is an exponent.
        return append(out, digits as f64 / EXACT_POWERS_OF_TEN[decimals]);
    }
    // Before the point is at least one digit, and behind it; of more, no zeros at the end.
    let integer = &text[start.min(point - 1)..point];
    let fraction = &text[point..];
    let zeros = fraction
        .iter()
        .rev()
        .take_while(|&&digit| digit == b'0')
        .count();
    let fraction = if zeros < decimals {
        &fraction[..decimals - zeros]
    } else {
        b"0"
    };
    if digits < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(integer);
    out.push(b'.');
    out.extend_from_slice(fraction);
}

/// Lays out anew what zmij printed of a magnitude below 1e-4: it begins the exponents one power
/// of ten later and does not fill them up to two digits.
#[cold]
fn append_small(out: &mut Vec<u8>, text: &str) {
    let (sign, magnitude) = text.split_at(usize::from(text.starts_with('-')));
    out.extend_from_slice(sign.as_bytes());
    if let Some(digits) = magnitude.strip_prefix("0.0000") {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first.as_bytes());
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        }
        out.extend_from_slice(b"e-05");
    } else if let Some((digits, exponent)) = magnitude.split_once("e-") {
        out.extend_from_slice(digits.as_bytes());
        out.extend_from_slice(if exponent.len() < 2 { b"e-0" } else { b"e-" });
        out.extend_from_slice(exponent.as_bytes());
    } else {
        out.extend_from_slice(magnitude.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn repr(value: f64) -> String {
        let mut out = Vec::new();
        append(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    /// The same double to the bit, every NaN being the same.
    fn same(left: Option<f64>, right: Option<f64>) -> bool {
        left.map(f64::to_bits) == right.map(f64::to_bits)
    }

    /// `text` with an underscore between each two digits.
    fn underscored(text: &str) -> String {
        let mut out = String::new();
        for character in text.chars() {
            if character.is_ascii_digit() && out.ends_with(|last: char| last.is_ascii_digit()) {
                out.push('_');
            }
            out.push(character);
        }
        out
    }

    #[test]
    fn digits_past_the_deciding_ones_still_decide_a_tie() {
        // Exactly halfway between 1 and its neighbour, then one digit far behind that tips it.
        let half = "1.00000000000000011102230246251565404236316680908203125";
        for zeros in [0, 700, 714, 715, 716, 717, 5_000] {
            let tie = format!("{half}{}", "0".repeat(zeros));
            assert!(same(parse(&underscored(&tie)), Some(1.0)), "{zeros} zeros");
            let above = format!("{tie}1");
            assert!(
                same(parse(&underscored(&above)), Some(1.0f64.next_up())),
                "{zeros} zeros and 1"
            );
        }
        let long = format!("{}e-{}", "1".repeat(5_000), 4_999);
        assert!(same(parse(&underscored(&long)), long.parse().ok()));
    }

    proptest! {
        #[test]
        fn printed_and_read_again(bits: u64) {
            let value = f64::from_bits(bits);
            let value = if value.is_nan() { f64::NAN } else { value };
            let text = repr(value);
            prop_assert!(same(parse(&text), Some(value)), "{}", text);
            prop_assert!(same(parse(&underscored(&text)), Some(value)), "{}", underscored(&text));
        }

        #[test]
        fn short_decimals_are_printed_as_they_were_written(units in -99_999_999i64..99_999_999, decimals in 1usize..5) {
            let value = units as f64 / 10f64.powi(decimals as i32);
            let text = format!("{value:.decimals$}");
            prop_assert!(same(parse(&text), text.parse().ok()), "{}", text);
            let shortest = text.trim_end_matches('0');
            let shortest = if shortest.ends_with('.') { format!("{shortest}0") } else { shortest.into() };
            if value.abs() >= 1e-4 {
                prop_assert_eq!(repr(value), shortest);
            }
        }

        #[test]
        fn decimals_are_printed_as_their_doubles_are(digits in -999_999_999_999_999i64..=999_999_999_999_999, shift in 0u32..50, decimals in 0u8..=15) {
            let digits = digits >> shift;
            let mut out = Vec::new();
            append_decimal(&mut out, digits, decimals);
            let value = digits as f64 / EXACT_POWERS_OF_TEN[usize::from(decimals)];
            prop_assert_eq!(String::from_utf8(out).unwrap(), repr(value));
        }

        #[test]
        fn the_same_as_the_standard_library_reads(text in "[+-]?[0-9]{0,25}[.]?[0-9]{0,25}(e[+-]?[0-9]{0,4})?") {
            prop_assert!(same(parse(&text), text.parse().ok()), "{}", text);
            prop_assert!(same(parse(&underscored(&text)), text.parse().ok()), "{}", underscored(&text));
        }
    }
}
