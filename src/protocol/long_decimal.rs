//! Reads decimals that have underscores, or more digits than the standard library reads quickly.
//!
//! The first digits of a decimal and the same digits plus one mostly round to the same double,
//! which is then the result (Daniel Lemire, "Number parsing at a gigabyte per second", Software:
//! Practice and Experience 51 (8), 2021). Otherwise they round to two neighbours. Then all digits
//! decide on which side of the halfway point between these two the decimal is, by a comparison of
//! large integers. The standard library takes up to 15 µs for that.

use std::cmp::Ordering;

use super::{NUMBER_ROOM_BYTES, integer};

/// How many significant digits decide the rounding: a halfway point has at most 767. Of the digits
/// after them, it only matters whether all are zeros.
const DECIDING_DIGITS: usize = 768;

/// How many digits are rounded first. The standard library is quick with up to nineteen digits, so
/// that these plus one are not too many either.
const HEAD_DIGITS: usize = 18;

/// Reads what [`float::parse`](super::float::parse) reads, except `inf` and `nan`. Linear.
#[cold]
pub fn parse(text: &[u8]) -> Option<f64> {
    if !integer::underscores_stand_between_digits(text) {
        return None;
    }
    let (negative, text) = integer::split_sign(text);
    let (text, exponent) = match memchr::memchr2(b'e', b'E', text) {
        Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let point = memchr::memchr(b'.', text).unwrap_or(text.len());
    let (integer, fraction) = (&text[..point], text.get(point + 1..).unwrap_or_default());
    if integer.is_empty() && fraction.is_empty() {
        return None;
    }
    let is_digit = |byte: &&u8| **byte != b'_';
    let (mut digits, mut length, mut zeros) = ([0; DECIDING_DIGITS + 1], 0, 0);
    for byte in integer.iter().chain(fraction).filter(is_digit) {
        match byte.is_ascii_digit().then(|| byte - b'0')? {
            0 if length == 0 => zeros += 1,
            digit if length < DECIDING_DIGITS => {
                digits[length] = digit;
                length += 1;
            }
            0 => {}
            // Stands for all digits from here on.
            _ => {
                digits[DECIDING_DIGITS] = 1;
                length = DECIDING_DIGITS + 1;
            }
        }
    }
    let before_point = integer.iter().filter(is_digit).count() as i64;
    let exponent = exponent.saturating_add(before_point - zeros);
    let magnitude = nearest_double(&digits[..length], exponent)?;
    Some(if negative { -magnitude } else { magnitude })
}

/// Reads an exponent. One that does not fit 64 bits is read as the nearest that does, which gives
/// the same double: an infinity or zero.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = integer::split_sign(text);
    let magnitude = integer::parse_saturating(digits)?;
    let exponent = i64::try_from(magnitude).unwrap_or(i64::MAX);
    Some(if negative { -exponent } else { exponent })
}

/// The double nearest to 0.`digits` × 10^`exponent`. The first of the digits is not zero.
fn nearest_double(digits: &[u8], exponent: i64) -> Option<f64> {
    let head = &digits[..digits.len().min(HEAD_DIGITS)];
    let exponent_of_last = |digits: &[u8]| exponent.saturating_sub(digits.len() as i64);
    let below = nearest_to_short(number_of(head), exponent_of_last(head))?;
    if head.len() == digits.len() {
        return Some(below);
    }
    let above = nearest_to_short(number_of(head) + 1, exponent_of_last(head))?;
    if below == above {
        return Some(below);
    }
    // They differ, so the number is in the range of the doubles, and its exponent is small.
    let exponent = exponent_of_last(digits) as i32;
    Some(match compare_with_halfway(digits, exponent, below) {
        Ordering::Less => below,
        Ordering::Equal if below.to_bits() % 2 == 0 => below,
        _ => above,
    })
}

/// The integer of these digits, which are at most nineteen.
fn number_of(digits: &[u8]) -> u64 {
    let append = |number, &digit| 10 * number + u64::from(digit);
    digits.iter().fold(0, append)
}

/// The double nearest to `number` × 10^`exponent`, as the standard library finds it.
fn nearest_to_short(number: u64, exponent: i64) -> Option<f64> {
    let mut text = [0; 2 * NUMBER_ROOM_BYTES + 1];
    let e = integer::write_magnitude(&mut text, number);
    text[e] = b'e';
    let length = e + 1 + integer::write(&mut text[e + 1..], exponent);
    str::from_utf8(&text[..length]).ok()?.parse().ok()
}

/// Compares the number `digits` × 10^`exponent`, which rounds to `below` or to the next double, with
/// the halfway point between these two.
fn compare_with_halfway(digits: &[u8], exponent: i32, below: f64) -> Ordering {
    let mut number = Natural::from(0);
    for digits in digits.chunks(19) {
        number.multiply_add(10u64.pow(digits.len() as u32), number_of(digits));
    }
    // `below` is `mantissa` × 2^`binary_exponent`.
    let biased_exponent = (below.to_bits() >> 52) as i32;
    let fraction = below.to_bits() & ((1 << 52) - 1);
    let mantissa = fraction | u64::from(biased_exponent > 0) << 52;
    let binary_exponent = biased_exponent.max(1) - 1_075;
    let mut halfway = Natural::from(2 * mantissa + 1);
    let halfway_exponent = binary_exponent - 1;
    // Each side takes the powers of 5 and 2 with which the other one would be divided.
    number.multiply_by_power_of_5(exponent.max(0) as u32);
    halfway.multiply_by_power_of_5((-exponent).max(0) as u32);
    let shift = exponent - halfway_exponent;
    number.shift_left(shift.max(0) as u32);
    halfway.shift_left((-shift).max(0) as u32);
    number.limbs.iter().rev().cmp(halfway.limbs.iter().rev())
}

/// Enough for [`DECIDING_DIGITS`] and one more, since 10^769 < 2^2560. Nothing else gets larger: the two
/// sides of a comparison are about equal, and one of them is either such digits, or below 2^1025,
/// or at most 5^1076 × 2^54.
const LIMBS: usize = 40;

/// A large natural number.
struct Natural {
    /// The lowest limb first. Those from `length` on are zero.
    limbs: [u64; LIMBS],
    length: usize,
}

impl From<u64> for Natural {
    fn from(number: u64) -> Natural {
        let mut limbs = [0; LIMBS];
        limbs[0] = number;
        Natural { limbs, length: 1 }
    }
}

impl Natural {
    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = summand;
        for limb in &mut self.limbs[..self.length] {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = product as u64;
            carry = (product >> 64) as u64;
        }
        if carry > 0 {
            self.limbs[self.length] = carry;
            self.length += 1;
        }
    }

    fn multiply_by_power_of_5(&mut self, exponent: u32) {
        // 5^27 is the largest power of 5 that fits 64 bits.
        for _ in 0..exponent / 27 {
            self.multiply_add(5u64.pow(27), 0);
        }
        self.multiply_add(5u64.pow(exponent % 27), 0);
    }

    fn shift_left(&mut self, bits: u32) {
        let limbs = bits as usize / 64;
        self.limbs.copy_within(..self.length, limbs);
        self.limbs[..limbs].fill(0);
        self.length += limbs;
        self.multiply_add(1 << (bits % 64), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::{same, underscored};
    use proptest::prelude::*;

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
    }

    #[test]
    fn what_is_not_a_number() {
        for text in [
            "", "+", ".", "e1", ".e1", "1e", "1e+", "1e1.", "1e1e1", "1.1.1", "+-1", "1 ", "nan",
            "inf",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        for text in ["_1", "1_", "1__1", "1_.1", "1._1", "1_e1", "1e_1", "-_1"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
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
