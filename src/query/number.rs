//! Numbers in the names of series, as Python writes them.

use crate::protocol::{NUMBER_ROOM_BYTES, float};

/// The shortest digits that read back the same, as `str` writes them: `2.0`, `1e+16`.
pub fn shortest(number: f64) -> String {
    let mut room = [0; NUMBER_ROOM_BYTES];
    let length = float::write(&mut room, number);
    String::from_utf8_lossy(&room[..length]).into()
}

/// Six digits at most, as `%g` writes them: `2`, `0.333333`, `1e+06`.
pub fn general(number: f64) -> String {
    if !number.is_finite() {
        return shortest(number);
    }
    let rounded = format!("{number:.5e}");
    // Both parts are there, since this is how Rust writes a finite number so.
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        return without_zeros(&format!("{number:.decimals$}")).into();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs())
}

/// `digits` without what says nothing after the point.
fn without_zeros(digits: &str) -> &str {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
}

/// `number` rounded to six decimals, to even if it is in the middle, as Python's `round` does.
pub fn round_to_six_decimals(number: f64) -> f64 {
    // From here on two doubles are further apart than two such decimals.
    if !number.is_finite() || number.abs() >= (1u64 << 33) as f64 {
        return number;
    }
    let bits = number.abs().to_bits();
    let exponent = (bits >> 52) as i32 - 1075;
    let fraction = bits & ((1 << 52) - 1);
    // What is too small for a shift of 128 bits is zero, a subnormal number included.
    if exponent <= -128 {
        return 0f64.copysign(number);
    }
    // The number is at most 2^33, so that it has a fraction of at least 19 bits.
    let scaled = u128::from(fraction | 1 << 52) * 1_000_000;
    let whole = scaled >> -exponent;
    let half = 1u128 << (-exponent - 1);
    let rest = scaled & ((half << 1) - 1);
    let goes_up = rest > half || (rest == half && whole & 1 == 1);
    let millionths = (whole + u128::from(goes_up)) as f64;
    (millionths / 1e6).copysign(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_rounded_as_their_decimals(
            bits in any::<u64>(),
            exact in -9e9..9e9,
            halves in -10_000_000i64..10_000_000,
        ) {
            for number in [f64::from_bits(bits), exact, halves as f64 / 128.0, halves as f64 / 1e7] {
                let expected: f64 = format!("{number:.6}").parse().expect("a number");
                let rounded = round_to_six_decimals(number);
                prop_assert_eq!(rounded.to_bits(), expected.to_bits(), "{} {} {}", number, rounded, expected);
            }
        }
    }
}
