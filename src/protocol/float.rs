//! Doubles as Python's `float()` reads them and as its `repr()` prints them.

use lexical_parse_float::FromLexical;

use super::integer::{
    self, EIGHT_DIGITS, digits_and_others, eight_digits, join_digits, more_digits,
};
use super::{without_underscores, write_block};
use crate::decimal::{POWERS_OF_TEN, value_of};
use crate::value::Value;

/// Reads what `float(text)` reads: sign, decimal point, exponent, `inf`, `infinity` and `nan` in
/// any case, single underscores between ASCII digits.
///
/// Rounds to nearest, ties to even. Overflow gives an infinity, underflow gives zero, and every
/// NaN is the same NaN. `None` for anything else. Linear. Allocates nothing, except for a copy of a
/// text that has underscores.
///
/// ```
/// # use metricd::internals::float::parse;
/// assert_eq!(parse(b"1_000.5e-1"), Some(100.05));
/// assert_eq!(parse(b"-Infinity"), Some(f64::NEG_INFINITY));
/// assert_eq!(parse(b"0x10"), None);
/// ```
pub fn parse(text: &[u8]) -> Option<f64> {
    match leading_decimal(text) {
        Some((value, [])) => Some(value.to_double()),
        _ => parse_any(text),
    }
}

/// The slow path of [`parse`].
pub(super) fn parse_any(text: &[u8]) -> Option<f64> {
    // The crate's grammar is Python's, except for the underscores.
    let value = f64::from_lexical(&without_underscores(text)?).ok()?;
    Some(if value.is_nan() { f64::NAN } else { value })
}

/// The fast path: the decimal that `text` begins with, of up to fifteen digits and without an exponent, and
/// what follows it. `None` says nothing about the text.
#[inline(always)]
pub(super) fn leading_decimal(text: &[u8]) -> Option<(Value, &[u8])> {
    let (is_negative, text) = match text {
        [b'-', text @ ..] => (true, text),
        _ => (false, text),
    };
    let short = text.first_chunk().and_then(|eight| short_decimal(*eight));
    let (digits, decimals, length) = short.or_else(|| long_decimal(text))?;
    let magnitude = digits as i64;
    let digits = if is_negative { -magnitude } else { magnitude };
    if is_negative && magnitude == 0 {
        // -0.0, which has no digits.
        return None;
    }
    let value = Value::of_decimal(digits, decimals as u8);
    Some((value, text.get(length..)?))
}

/// The digits of the decimal that these characters begin with, how many of them are decimals, and its length:
/// at most seven characters, one of them the point. `None` says nothing about the text.
///
/// Has no branch that depends on the length, since that changes from number to number.
#[inline(always)]
fn short_decimal(text: [u8; 8]) -> Option<(u64, usize, usize)> {
    let (text, others) = digits_and_others(u64::from_le_bytes(text));
    // If all eight are digits, this is the first of them, which is no point.
    let point_bit = others.trailing_zeros() % u64::BITS;
    let is_point = (text >> point_bit) as u8 == b'.' ^ b'0';
    let end_bit = (others & others.wrapping_sub(1)).trailing_zeros();
    if !is_point || end_bit == u64::BITS || end_bit == 8 {
        return None;
    }
    let before = !(u64::MAX << point_bit);
    let digits = text & before | text >> 8 & !before;
    // The last digit goes into the last of eight bytes.
    let digits = join_digits(digits << (72 - end_bit));
    let (point, end) = (point_bit as usize / 8, end_bit as usize / 8);
    Some((digits, end - point - 1, end))
}

/// The same for up to fifteen digits, with or without a point.
#[inline(never)]
fn long_decimal(text: &[u8]) -> Option<(u64, usize, usize)> {
    let (mut digits, mut rest) = more_digits(0, text);
    let (mut count, mut decimals) = (text.len() - rest.len(), 0);
    if let [b'.', fraction @ ..] = rest {
        (digits, rest) = more_digits(digits, fraction);
        decimals = fraction.len() - rest.len();
        count += decimals;
    }
    (1..=15)
        .contains(&count)
        .then_some((digits, decimals, text.len() - rest.len()))
}

/// Writes what `repr(value)` prints, and returns its length in bytes.
///
/// That is the shortest digits that read back as the same double, with `.0` or an exponent. The
/// exponent is used from 1e16 up and below 1e-4, and has at least two digits.
///
/// # Panics
///
/// If `room` is shorter than [`NUMBER_ROOM_BYTES`](super::NUMBER_ROOM_BYTES).
///
/// ```
/// # use metricd::internals::{NUMBER_ROOM_BYTES, float};
/// let mut room = [0; NUMBER_ROOM_BYTES];
/// let length = float::write(&mut room, 0.00001);
/// assert_eq!(&room[..length], b"1e-05");
/// ```
pub fn write(room: &mut [u8], value: f64) -> usize {
    let mut buffer = zmij::Buffer::new();
    match buffer.format(value).as_bytes() {
        _ if value.is_nan() => write_all(room, &[b"nan"]),
        printed if value != 0.0 && value.abs() < 1e-4 => write_small(room, printed),
        // Here zmij prints what Python does.
        printed => write_all(room, &[printed]),
    }
}

/// Writes what `repr` prints of the double nearest to `digits` ÷ 10^`decimals`, and returns its
/// length in bytes.
///
/// `digits` has at most fifteen digits, so it is the shortest decimal that reads back as this
/// double, and the double is not needed to print it.
///
/// # Panics
///
/// If `room` is shorter than [`NUMBER_ROOM_BYTES`](super::NUMBER_ROOM_BYTES), or there are more
/// than 15 decimals.
#[inline]
pub fn write_decimal(room: &mut [u8], digits: i64, decimals: u8) -> usize {
    let magnitude = digits.unsigned_abs();
    let unit = POWERS_OF_TEN[usize::from(decimals)];
    if magnitude * 10_000 < unit && digits != 0 {
        // Below 1e-4 there is an exponent.
        return write(room, value_of(digits, decimals));
    }
    // Overwritten if there is no sign.
    room[0] = b'-';
    let sign = usize::from(digits < 0);
    let room = &mut room[sign..];
    let decimals = usize::from(decimals);
    sign + if magnitude < EIGHT_DIGITS && decimals < 8 {
        write_short_decimal(room, magnitude, decimals)
    } else {
        write_long_decimal(room, magnitude / unit, magnitude % unit, decimals)
    }
}

/// Writes a decimal of up to eight digits, at least one of them before the point.
#[inline(always)]
fn write_short_decimal(room: &mut [u8], magnitude: u64, decimals: usize) -> usize {
    let digits = eight_digits(magnitude);
    let integer_digits = 8 - decimals;
    let zeros = (digits.trailing_zeros() as usize / 8).min(integer_digits - 1);
    write_block(room, integer::text(digits >> (8 * zeros)));
    let length = integer_digits - zeros;
    room[length] = b'.';
    let fraction = digits.checked_shr(8 * integer_digits as u32).unwrap_or(0);
    length + 1 + write_fraction(&mut room[length + 1..], fraction)
}

/// Writes a decimal of up to sixteen digits before the point and as many after it.
fn write_long_decimal(room: &mut [u8], integer: u64, fraction: u64, decimals: usize) -> usize {
    let mut length = integer::write_magnitude(room, integer);
    room[length] = b'.';
    length += 1;
    let sixteen_digits = fraction * POWERS_OF_TEN[16 - decimals];
    let first = eight_digits(sixteen_digits / EIGHT_DIGITS);
    let last = eight_digits(sixteen_digits % EIGHT_DIGITS);
    if last == 0 {
        return length + write_fraction(&mut room[length..], first);
    }
    write_block(&mut room[length..], integer::text(first));
    length + 8 + write_fraction(&mut room[length + 8..], last)
}

/// Writes eight digits without the zeros at the end, but at least one digit.
#[inline(always)]
fn write_fraction(room: &mut [u8], digits: u64) -> usize {
    let zeros = (digits | 1).leading_zeros() / 8;
    write_block(room, integer::text(digits));
    8 - zeros as usize
}

/// Writes as Python does what zmij printed of a number below 1e-4: zmij uses exponents only below
/// 1e-5, and does not pad them to two digits.
#[cold]
fn write_small(room: &mut [u8], printed: &[u8]) -> usize {
    let (sign, magnitude) = printed.split_at(usize::from(printed[0] == b'-'));
    match (magnitude.strip_prefix(b"0.0000"), magnitude) {
        (Some([digit]), _) => write_all(room, &[sign, &[*digit], b"e-05"]),
        (Some([first, rest @ ..]), _) => write_all(room, &[sign, &[*first], b".", rest, b"e-05"]),
        (_, [digits @ .., b'e', b'-', exponent]) => {
            write_all(room, &[sign, digits, b"e-0", &[*exponent]])
        }
        _ => write_all(room, &[printed]),
    }
}

/// Writes parts one after the other.
fn write_all(room: &mut [u8], parts: &[&[u8]]) -> usize {
    parts.iter().fold(0, |length, part| {
        room[length..][..part.len()].copy_from_slice(part);
        length + part.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::{same, underscored, written};
    use proptest::prelude::*;

    fn repr(value: f64) -> String {
        written(|room| write(room, value))
    }

    /// The digits of the halfway point between a finite double and the next one, times 10^1075.
    fn halfway_after(below: f64) -> String {
        let unit = if below == f64::MAX {
            2f64.powi(971)
        } else {
            below.next_up() - below
        };
        // A double has at most 309 digits before the point and 1,074 after it.
        let digits = |value: f64| format!("{value:01400.1074}").replace('.', "").into_bytes();
        let mut carry = 0;
        let digits = digits(below).into_iter().zip(digits(unit)).rev();
        let mut halfway: Vec<u8> = digits
            .map(|(below, unit)| {
                carry += 5 * u32::from(2 * (below - b'0') + unit - b'0');
                let digit = b'0' + (carry % 10) as u8;
                carry /= 10;
                digit
            })
            .collect();
        halfway.reverse();
        let halfway = String::from_utf8(halfway).unwrap();
        halfway.trim_start_matches('0').into()
    }

    #[track_caller]
    fn check(text: &str) {
        let expected = text.parse().ok();
        assert!(same(parse(text.as_bytes()), expected), "{text}");
        assert!(
            same(parse(underscored(text).as_bytes()), expected),
            "{text}"
        );
    }

    #[test]
    fn halfway_points_at_the_edges_of_the_doubles() {
        let least_normal = f64::MIN_POSITIVE;
        for below in [
            0.0,
            f64::from_bits(1),
            least_normal.next_down(),
            least_normal,
            f64::MAX,
        ] {
            let halfway = halfway_after(below);
            let even = if below.to_bits() % 2 == 0 {
                below
            } else {
                below.next_up()
            };
            for zeros in [0, 1, 766, 767, 768, 769, 5_000] {
                let zeros = "0".repeat(zeros);
                let text = format!("{halfway}.{zeros}e-1075");
                assert_eq!(parse(text.as_bytes()), Some(even), "{text}");
                let text = format!("{halfway}.{zeros}1e-1075");
                assert_eq!(parse(text.as_bytes()), Some(below.next_up()), "{text}");
            }
        }
        // Smaller tables than these have been seen to round it down.
        let above = "10001238091163872047058868747821408571491e98";
        assert_eq!(parse(above.as_bytes()), Some(1.000_123_809_116_387_3e138));
    }

    #[test]
    fn what_is_not_a_number() {
        for text in [
            "", "+", ".", "e1", ".e1", "1e", "1e+", "1e1.", "1e1e1", "1.1.1", "+-1", "1 ", "0x1",
            "infi", "nan0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        for text in [
            "_1", "1_", "1__1", "1_.1", "1._1", "1_e1", "1e_1", "-_1", "i_nf",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_and_read_again(bits: u64) {
            let value = f64::from_bits(bits);
            let value = if value.is_nan() { f64::NAN } else { value };
            let text = repr(value);
            prop_assert!(same(parse(text.as_bytes()), Some(value)), "{}", text);
            prop_assert!(same(parse(underscored(&text).as_bytes()), Some(value)), "{}", underscored(&text));
        }

        #[test]
        fn short_decimals_are_printed_as_they_were_written(units in -99_999_999i64..99_999_999, decimals in 1usize..5) {
            let value = units as f64 / 10f64.powi(decimals as i32);
            let text = format!("{value:.decimals$}");
            prop_assert!(same(parse(text.as_bytes()), text.parse().ok()), "{}", text);
            let shortest = text.trim_end_matches('0');
            let shortest = if shortest.ends_with('.') { format!("{shortest}0") } else { shortest.into() };
            if value.abs() >= 1e-4 {
                prop_assert_eq!(repr(value), shortest);
            }
        }

        #[test]
        fn decimals_are_printed_as_their_doubles_are(digits in -999_999_999_999_999i64..=999_999_999_999_999, shift in 0u32..50, decimals in 0u8..=15) {
            let digits = digits >> shift;
            let text = written(|room| write_decimal(room, digits, decimals));
            prop_assert_eq!(text, repr(value_of(digits, decimals)));
        }

        #[test]
        fn the_same_as_the_standard_library_reads(text in "[+-]?[0-9]{0,25}[.]?[0-9]{0,25}(e[+-]?[0-9]{0,4})?") {
            prop_assert!(same(parse(text.as_bytes()), text.parse().ok()), "{}", text);
            prop_assert!(same(parse(underscored(&text).as_bytes()), text.parse().ok()), "{}", underscored(&text));
        }

        #[test]
        fn a_decimal_before_other_text(text in "-?[0-9]{0,5}[.]?[0-9]{0,5}", after in "[ -~\n\u{80}-\u{ff}]{0,12}") {
            let whole = format!("{text} {after}");
            let read = leading_decimal(whole.as_bytes());
            // The fast path leaves -0.0 to the long one.
            let expected = text.parse::<f64>().ok().filter(|value| value.to_bits() != (-0.0f64).to_bits());
            prop_assert_eq!(read.map(|(value, _)| value.to_double().to_bits()), expected.map(f64::to_bits));
            if let Some((_, rest)) = read {
                prop_assert_eq!(rest, &whole.as_bytes()[text.len()..]);
            }
        }

        #[test]
        fn near_halfway_points(bits in 0..f64::MAX.to_bits(), length in 1usize..800, last in "[0-9]{0,3}", negative: bool) {
            let mut digits = halfway_after(f64::from_bits(bits));
            let length = length.min(digits.len());
            let cut = digits.len() - length;
            digits.truncate(length);
            let exponent = cut as i64 - last.len() as i64 - 1_075;
            let sign = if negative { "-" } else { "" };
            check(&format!("{sign}{digits}{last}e{exponent}"));
        }

        #[test]
        fn any_text_of_the_characters_of_numbers(text in "[-+.eE0-9]{0,8}", long in "[-+]?[0-9]{0,900}[.]?[0-9]{0,900}(e[-+]?[0-9]{1,25})?") {
            check(&text);
            check(&long);
        }
    }
}
