//! Decimals with underscores, or of more digits than the standard library is quick with.
//!
//! Where the first digits of a decimal leave two neighbouring doubles to choose from, the standard
//! library takes up to 15 µs to choose. Here that takes a few comparisons of large integers: the
//! decimal against the middle between the two (Daniel Lemire, "Number parsing at a gigabyte per
//! second", Software: Practice and Experience 51 (8), 2021, section 11; William Clinger, "How to
//! Read Floating Point Numbers Accurately", PLDI 1990).

use std::cmp::Ordering;

use super::{NUMBER_ROOM_BYTES, integer};

/// Significant digits that decide the rounding of any double: the middle between two neighbours
/// has at most 767. Of all that follow it matters only whether they are zeros.
const DECIDING_DIGITS: usize = 768;

/// Digits that the first estimate takes, few enough that the standard library is quick with them
/// and with their number plus one.
const HEAD_DIGITS: usize = 18;

/// Reads what [`float::parse`](super::float::parse) does, but for `inf` and `nan`. Linear.
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
    let (integer, fraction) = match memchr::memchr(b'.', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    if integer.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut decimal = Decimal::new(exponent);
    for &byte in integer.iter().filter(|&&byte| byte != b'_') {
        decimal.push_before_point(byte)?;
    }
    for &byte in fraction.iter().filter(|&&byte| byte != b'_') {
        decimal.push_after_point(byte)?;
    }
    let magnitude = decimal.nearest_double()?;
    Some(if negative { -magnitude } else { magnitude })
}

/// The digits of an exponent, at least one. What does not fit 64 bits is as good as infinite.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = integer::split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut exponent = 0i64;
    for byte in digits.iter().filter(|&&byte| byte != b'_') {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        exponent = exponent.saturating_mul(10).saturating_add(digit);
    }
    Some(if negative { -exponent } else { exponent })
}

/// The digits that decide a number: 0.`digits` × 10^`exponent`.
struct Decimal {
    /// `digits[..length]` are the significant digits, from the first that is not zero; where some
    /// are cut off that are not all zeros, a one stands for them.
    digits: [u8; DECIDING_DIGITS + 1],
    length: usize,
    exponent: i64,
}

impl Decimal {
    fn new(exponent: i64) -> Decimal {
        Decimal {
            digits: [0; _],
            length: 0,
            exponent,
        }
    }

    /// `None` where the byte is no digit.
    fn push_before_point(&mut self, byte: u8) -> Option<()> {
        let is_leading_zero = self.push(byte)?;
        if !is_leading_zero {
            self.exponent = self.exponent.saturating_add(1);
        }
        Some(())
    }

    /// `None` where the byte is no digit.
    fn push_after_point(&mut self, byte: u8) -> Option<()> {
        let is_leading_zero = self.push(byte)?;
        if is_leading_zero {
            self.exponent = self.exponent.saturating_sub(1);
        }
        Some(())
    }

    /// Keeps a digit, unless it is a leading zero, which is returned.
    fn push(&mut self, byte: u8) -> Option<bool> {
        if !byte.is_ascii_digit() {
            return None;
        }
        if self.length == 0 && byte == b'0' {
            return Some(true);
        }
        if self.length < DECIDING_DIGITS {
            self.digits[self.length] = byte - b'0';
            self.length += 1;
        } else if byte != b'0' {
            self.digits[DECIDING_DIGITS] = 1;
            self.length = DECIDING_DIGITS + 1;
        }
        Some(false)
    }

    fn nearest_double(&self) -> Option<f64> {
        let digits = &self.digits[..self.length];
        let head = &digits[..self.length.min(HEAD_DIGITS)];
        let exponent_of_last = |digits: &[u8]| self.exponent.saturating_sub(digits.len() as i64);
        let number = number_of(head) as i64;
        let below = nearest_double(number, exponent_of_last(head))?;
        if head.len() == self.length {
            return Some(below);
        }
        let above = nearest_double(number + 1, exponent_of_last(head))?;
        if below == above {
            return Some(below);
        }
        // So the exponent is small.
        let order = compare_with_middle(digits, exponent_of_last(digits) as i32, below);
        let is_tie_to_below = order.is_eq() && below.to_bits() % 2 == 0;
        Some(if order.is_lt() || is_tie_to_below {
            below
        } else {
            above
        })
    }
}

/// The number that these digits write, at most nineteen of them.
fn number_of(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |number, &digit| 10 * number + u64::from(digit))
}

/// The double nearest to `number` × 10^`exponent`, as the standard library finds it.
fn nearest_double(number: i64, exponent: i64) -> Option<f64> {
    let mut text = [0; 2 * NUMBER_ROOM_BYTES + 1];
    let e = integer::write(&mut text, number);
    text[e] = b'e';
    let length = e + 1 + integer::write(&mut text[e + 1..], exponent);
    str::from_utf8(&text[..length]).ok()?.parse().ok()
}

/// Compares the number `digits` × 10^`exponent` with the middle between `below` and the double
/// after that, one of which is nearest to it.
fn compare_with_middle(digits: &[u8], exponent: i32, below: f64) -> Ordering {
    let mut number = Natural::from(0);
    for digits in digits.chunks(19) {
        number.multiply_add(10u64.pow(digits.len() as u32), number_of(digits));
    }
    // Of a double that is not negative: `mantissa` × 2^`binary_exponent`.
    let biased_exponent = (below.to_bits() >> 52) as i32;
    let fraction = below.to_bits() & ((1 << 52) - 1);
    let mantissa = fraction | u64::from(biased_exponent > 0) << 52;
    let binary_exponent = biased_exponent.max(1) - 1_075;
    let mut middle = Natural::from(2 * mantissa + 1);
    let middle_exponent = binary_exponent - 1;
    // Both sides times the powers of 5 and 2 that make them integers.
    let multiplied = if exponent >= 0 {
        &mut number
    } else {
        &mut middle
    };
    multiplied.multiply_by_power_of_5(exponent.unsigned_abs());
    let shift = exponent - middle_exponent;
    let shifted = if shift >= 0 { &mut number } else { &mut middle };
    shifted.shift_left(shift.unsigned_abs());
    number.compare(&middle)
}

/// Enough for all [`Decimal`] digits, 10^769 < 2^2560, and for a middle of about the same size.
const LIMBS: usize = 40;

/// A large natural number.
struct Natural {
    /// The lowest first; those from `length` on are zero.
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
        // 5^27 is the greatest power of 5 that fits 64 bits.
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

    fn compare(&self, other: &Natural) -> Ordering {
        self.limbs.iter().rev().cmp(other.limbs.iter().rev())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{same, underscored};
    use proptest::prelude::*;

    /// The digits of the middle between a finite double and the next one, times 10^1075.
    fn middle_after(below: f64) -> String {
        let unit = if below == f64::MAX {
            2f64.powi(971)
        } else {
            below.next_up() - below
        };
        // A double has at most 309 digits before the point and 1,074 after it.
        let digits = |value: f64| format!("{value:01400.1074}").replace('.', "").into_bytes();
        let mut carry = 0;
        let digits = digits(below).into_iter().zip(digits(unit)).rev();
        let mut middle: Vec<u8> = digits
            .map(|(below, unit)| {
                carry += 5 * u32::from(2 * (below - b'0') + unit - b'0');
                let digit = b'0' + (carry % 10) as u8;
                carry /= 10;
                digit
            })
            .collect();
        middle.reverse();
        let middle = String::from_utf8(middle).unwrap();
        middle.trim_start_matches('0').into()
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
    fn the_middle_of_the_edges_of_all_doubles() {
        let least_normal = f64::MIN_POSITIVE;
        for below in [
            0.0,
            f64::from_bits(1),
            least_normal.next_down(),
            least_normal,
            f64::MAX,
        ] {
            let middle = middle_after(below);
            let even = if below.to_bits() % 2 == 0 {
                below
            } else {
                below.next_up()
            };
            for zeros in [0, 1, 766, 767, 768, 769, 5_000] {
                let zeros = "0".repeat(zeros);
                let text = format!("{middle}.{zeros}e-1075");
                assert_eq!(parse(text.as_bytes()), Some(even), "{text}");
                let text = format!("{middle}.{zeros}1e-1075");
                assert_eq!(parse(text.as_bytes()), Some(below.next_up()), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_number() {
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
        fn near_the_middle_of_two_doubles(bits in 0..f64::MAX.to_bits(), length in 1usize..800, last in "[0-9]{0,3}", negative: bool) {
            let mut digits = middle_after(f64::from_bits(bits));
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
