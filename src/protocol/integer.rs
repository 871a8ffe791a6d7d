//! Integers as Python's `int()` reads them, and in decimal.

/// CPython refuses to read an integer of more digits (`sys.int_info.default_max_str_digits`),
/// however many of them are leading zeros, which is the only way to have so many here.
const DIGITS_MAX: usize = 4_300;

/// Reads what `int(text)` reads: a sign, ASCII digits, single underscores between digits.
///
/// `None` for anything else and for what does not fit 64 bits. Linear; allocates nothing.
///
/// ```
/// # use metricd::protocol::integer::parse;
/// assert_eq!(parse("1_503_319_740"), Some(1503319740));
/// assert_eq!(parse("-9223372036854775808"), Some(i64::MIN));
/// assert_eq!(parse("9223372036854775808"), None);
/// ```
pub fn parse(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let magnitude = match digits {
        // Eighteen digits always fit, so nothing needs watching but that they are digits.
        [_, ..] if digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit) => digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
        _ => parse_long(digits)?,
    };
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Digits with underscores, or more of them than always fit.
#[cold]
fn parse_long(digits: &[u8]) -> Option<u64> {
    if !underscores_stand_between_digits(digits) {
        return None;
    }
    let mut magnitude = 0u64;
    let mut count = 0;
    for byte in digits.iter().filter(|&&byte| byte != b'_') {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        magnitude = magnitude.checked_mul(10)?.checked_add(digit)?;
        count += 1;
    }
    (1..=DIGITS_MAX).contains(&count).then_some(magnitude)
}

/// Whether each underscore has an ASCII digit on either side: Python's rule for both kinds of
/// number.
pub(super) fn underscores_stand_between_digits(text: &[u8]) -> bool {
    let is_digit = |at: Option<usize>| {
        at.and_then(|at| text.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    memchr::memchr_iter(b'_', text).all(|at| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)))
}

/// Appends the decimal digits of `value`, with a minus sign where it is negative.
#[inline]
pub fn append(out: &mut Vec<u8>, value: i64) {
    let mut digits = [b'0'; DIGITS];
    let start = write_digits(&mut digits, value.unsigned_abs());
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// The most digits that a magnitude of 64 bits has.
pub(super) const DIGITS: usize = 20;

/// Writes the decimal digits of `rest`, at least one, to the end of `digits`, and says where
/// they begin.
#[inline]
pub(super) fn write_digits(digits: &mut [u8; DIGITS], mut rest: u64) -> usize {
    let mut start = DIGITS;
    // Two digits by one division.
    while rest >= 100 {
        let pair = (rest % 100) as u8;
        rest /= 100;
        start -= 2;
        digits[start] = b'0' + pair / 10;
        digits[start + 1] = b'0' + pair % 10;
    }
    start -= 1;
    digits[start] = b'0' + (rest % 10) as u8;
    if rest >= 10 {
        start -= 1;
        digits[start] = b'0' + (rest / 10) as u8;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_most_digits_that_python_reads() {
        assert_eq!(parse(&"0".repeat(DIGITS_MAX)), Some(0));
        assert_eq!(parse(&"0".repeat(DIGITS_MAX + 1)), None);
        assert_eq!(
            parse(&format!("-{}7", "0_".repeat(DIGITS_MAX - 1))),
            Some(-7)
        );
        assert_eq!(parse(&format!("-{}7", "0_".repeat(DIGITS_MAX))), None);
    }

    proptest! {
        #[test]
        fn appended_and_read_again(value: i64) {
            let mut out = b"x ".to_vec();
            append(&mut out, value);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(&text, &format!("x {value}"));
            prop_assert_eq!(parse(&text[2..]), Some(value));
        }

        #[test]
        fn the_same_as_the_standard_library_reads(text in "[+-]?[0-9]{0,21}") {
            prop_assert_eq!(parse(&text), text.parse().ok());
        }
    }
}
