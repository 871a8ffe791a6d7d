//! Numbers in the names of series, as Python writes them.

use std::collections::BinaryHeap;

use super::text::cut;
use crate::decimal::POWERS_OF_TEN;
pub(super) use crate::protocol::integer::parse_digits as integer;
use crate::protocol::{NUMBER_ROOM_BYTES, float};

/// The digits of a whole number. One copy of this is enough.
#[inline(never)]
pub fn whole(number: i64) -> String {
    number.to_string()
}

/// The shortest digits that read back the same, as `str` writes them: `2.0`, `1e+16`.
pub fn shortest(number: f64) -> String {
    let mut room = [0; NUMBER_ROOM_BYTES];
    let length = float::write(&mut room, number);
    String::from_utf8_lossy(&room[..length]).into()
}

/// At most six digits, as `%g` writes them: `2`, `0.333333`, `1e+06`. If the shortest digits end exactly
/// halfway, the exact value decides; a tie goes to even. Below 1e-11 and from 1e20 on, every such case is taken
/// for a tie.
pub fn general(number: f64) -> String {
    let text = shortest(number.abs());
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if !number.is_finite() || number == 0.0 {
        return [sign, text.strip_suffix(".0").unwrap_or(&text)].concat();
    }
    let (mantissa, exponent) = cut(&text, 'e').unwrap_or((&text, "0"));
    let (before_point, fraction) = cut(mantissa, '.').unwrap_or((mantissa, ""));
    let all = [before_point, fraction].concat();
    let digits = all.trim_start_matches('0');
    // The exponent of the first digit.
    let before = before_point.len() as i64 - (all.len() - digits.len()) as i64;
    let mut exponent = before - 1 + integer(exponent).unwrap_or(0);
    let digits = [digits, "000000"].concat();
    let (kept, rest) = digits.split_at(6);
    let rest = rest.trim_end_matches('0');
    let mut kept = integer(kept).unwrap_or(0);
    let decimals = usize::try_from(5 - exponent).ok();
    kept = match decimals.and_then(|decimals| POWERS_OF_TEN.get(decimals)) {
        Some(&power) if rest == "5" => scaled(number, power) as i64,
        // From 1e6 on, seven digits that end in 5 are the number itself, so it is a tie.
        _ => kept + i64::from(rest > "5" || (rest == "5" && kept % 2 == 1)),
    };
    if kept == 1_000_000 {
        (kept, exponent) = (100_000, exponent + 1);
    }
    // `repr` has an exponent from 1e16 on, `%g` from 1e6 on.
    let shown = if (6..16).contains(&exponent) {
        0
    } else {
        exponent
    };
    let rounded = [sign, &whole(kept), "e", &whole(shown - 5)].concat();
    let rounded = shortest(float::parse(rounded.as_bytes()).unwrap_or(number));
    let text = rounded.strip_suffix(".0").unwrap_or(&rounded);
    let mark = match exponent - shown {
        0 => return text.into(),
        6..10 => "e+0",
        _ => "e+",
    };
    [text, mark, &whole(exponent)].concat()
}

/// The numbers in ascending order. A heap makes a smaller program than `sort`.
#[inline(never)]
pub fn sorted(numbers: Vec<i64>) -> Vec<i64> {
    BinaryHeap::from(numbers).into_sorted_vec()
}

/// An integer that is in the same order as all numbers other than NaN are, with one zero.
pub fn ordered(number: f64) -> i64 {
    without_sign_order((number + 0.0).to_bits() as i64)
}

/// The number of which [`ordered`] makes this.
pub fn from_ordered(integer: i64) -> f64 {
    f64::from_bits(without_sign_order(integer) as u64)
}

/// The other bits of negative doubles are in the opposite order.
fn without_sign_order(bits: i64) -> i64 {
    if bits < 0 { !bits | i64::MIN } else { bits }
}

/// `number.abs()` times `power`, rounded to an integer, to even if it is in the middle. The number is below 2^33,
/// so that its significand is one of a fraction of at least 19 bits; `power` is at most 10^16.
fn scaled(number: f64, power: u64) -> u128 {
    let bits = number.abs().to_bits();
    let significand = bits & ((1 << 52) - 1) | 1 << 52;
    let halvings = 1075 - (bits >> 52) as u32;
    // What is too small for a shift of 128 bits is zero, a subnormal number included.
    if halvings >= 128 {
        return 0;
    }
    let product = u128::from(significand) * u128::from(power);
    let (whole, half) = (product >> halvings, 1 << (halvings - 1));
    let rest = product - (whole << halvings);
    whole + u128::from(rest > half || (rest == half && whole % 2 == 1))
}

/// `number` rounded to six decimals, to even if it is in the middle, as Python's `round` does.
pub fn round_to_six_decimals(number: f64) -> f64 {
    // From here on two doubles are further apart than two such decimals.
    if !number.is_finite() || number.abs() >= (1u64 << 33) as f64 {
        return number;
    }
    let millionths = scaled(number, 1_000_000) as f64;
    (millionths / 1e6).copysign(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn six_digits_are_written_as_python_does() {
        for (number, expected) in [
            (0.00001234565, "1.23456e-05"),
            (0.0001, "0.0001"),
            (-999_999.5, "-1e+06"),
            (999_999.0, "999999"),
            (1_234_567.0, "1.23457e+06"),
            (1e15, "1e+15"),
            (1.5e16, "1.5e+16"),
            (f64::MAX, "1.79769e+308"),
        ] {
            assert_eq!(general(number), expected);
        }
    }

    proptest! {
        #[test]
        fn six_digits_are_those_of_the_number_and_not_of_its_shortest_form(
            digits in 100_000i64..1_000_000,
            power in -17i32..9,
        ) {
            let number = format!("{digits}5e{power}").parse().expect("a number");
            let expected: f64 = format!("{number:.5e}").parse().expect("a number");
            let rounded: f64 = general(number).parse().expect("a number");
            prop_assert_eq!(rounded.to_bits(), expected.to_bits(), "{}", number);
        }

        #[test]
        fn numbers_are_rounded_as_their_decimals(
            bits in any::<u64>(),
            exact in -9e9..9e9,
            halves in -10_000_000i64..10_000_000,
        ) {
            for number in [f64::from_bits(bits), exact, halves as f64 / 128.0, halves as f64 / 1e7] {
                if number.is_nan() {
                    continue;
                }
                let expected: f64 = format!("{number:.6}").parse().expect("a number");
                let rounded = round_to_six_decimals(number);
                prop_assert_eq!(rounded.to_bits(), expected.to_bits(), "{} {} {}", number, rounded, expected);
            }
        }
    }
}
