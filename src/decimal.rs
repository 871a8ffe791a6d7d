//! Doubles as scaled decimal integers: 12.5 as 125 with one decimal.
//!
//! Most telemetry is short decimals. Their digits are faster to print, and change less from point
//! to point, than their binary fractions. The test whether a double is such a decimal is that of
//! ALP (Afroozeh, Kuffo and Boncz, "ALP: Adaptive Lossless Floating-Point Compression", SIGMOD
//! 2023, section 3.1): scale, round, scale back, compare bits.

/// Digits are below this in magnitude. Any two decimals of at most fifteen digits are different
/// doubles, so these digits are the shortest that read back as the same double.
pub const DIGITS_LIMIT: i64 = 1_000_000_000_000_000;

/// The most decimals of a number.
pub const DECIMALS_MAX: u8 = 15;

/// The powers of ten up to 10^16, all of which doubles hold exactly.
pub const POWERS_OF_TEN: [u64; 17] = {
    let mut powers = [1; 17];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = 10 * powers[exponent - 1];
        exponent += 1;
    }
    powers
};

/// The same as doubles.
const SCALES: [f64; POWERS_OF_TEN.len()] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
];

/// The double nearest to `digits` ÷ 10^`decimals`, correctly rounded: the division of two exact
/// doubles rounds once (Clinger, "How to Read Floating Point Numbers Accurately", PLDI 1990,
/// section 3). `digits` is below [`DIGITS_LIMIT`] in magnitude.
///
/// # Panics
///
/// Where there are more than 16 decimals.
#[inline]
pub fn value_of(digits: i64, decimals: u8) -> f64 {
    digits as f64 / SCALES[usize::from(decimals)]
}

/// The digits of `value` with so many decimals, if [`value_of`] gives exactly this double for
/// them. Never for −0.0, infinities and NaN.
#[inline]
pub fn digits_of(value: f64, decimals: u8) -> Option<i64> {
    // Doubles from 2^52 to 2^53 are the integers, and so are their bits from there on: adding this
    // rounds to an integer. What is far from it in magnitude has other high bits.
    const ROUNDS: f64 = 3.0 * (1u64 << 51) as f64;
    let rounded = value * SCALES[usize::from(decimals)] + ROUNDS;
    let digits = (rounded.to_bits() as i64).wrapping_sub(ROUNDS.to_bits() as i64);
    let is_read_back = || value_of(digits, decimals).to_bits() == value.to_bits();
    (digits.unsigned_abs() < DIGITS_LIMIT as u64 && is_read_back()).then_some(digits)
}

/// The fewest decimals with which `value` has digits.
pub fn decimals_of(value: f64) -> Option<u8> {
    (0..=DECIMALS_MAX).find(|&decimals| digits_of(value, decimals).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_a_decimal_and_what_is_not() {
        let table = [
            (0.0, Some((0, 0))),
            (-0.0, None),
            (12.5, Some((1, 125))),
            (-99.87, Some((2, -9987))),
            (1e14, Some((0, 100_000_000_000_000))),
            (1e15, None),
            (999_999_999_999_999.0, Some((0, 999_999_999_999_999))),
            (1e-15, Some((15, 1))),
            (1e-16, None),
            (0.1 + 0.2, None),
            (std::f64::consts::PI, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (f64::MIN_POSITIVE, None),
        ];
        for (value, expected) in table {
            let found =
                decimals_of(value).map(|decimals| (decimals, digits_of(value, decimals).unwrap()));
            assert_eq!(found, expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn digits_read_back_the_same_double(bits: u64, decimals in 0..=DECIMALS_MAX) {
            let value = f64::from_bits(bits);
            if let Some(digits) = digits_of(value, decimals) {
                prop_assert_eq!(value_of(digits, decimals).to_bits(), bits);
            }
        }

        #[test]
        fn short_decimals_have_digits(digits in 1 - DIGITS_LIMIT..DIGITS_LIMIT, decimals in 0..=DECIMALS_MAX) {
            let value: f64 = format!("{digits}e-{decimals}").parse().unwrap();
            prop_assert_eq!(digits_of(value, decimals), Some(digits));
        }
    }
}
