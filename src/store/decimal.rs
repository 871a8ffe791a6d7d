//! Doubles as scaled decimal integers: 12.5 as 125 with one decimal.
//!
//! Most telemetry is short decimals, and its digits change less from point to point than its
//! binary fractions do. The test whether a double is such a decimal is that of ALP (Afroozeh,
//! Kuffo and Boncz, "ALP: Adaptive Lossless Floating-Point Compression", SIGMOD 2023, section
//! 3.1): scale, round, scale back, compare bits.

/// Digits are below this in magnitude, so that they are the shortest that read back the same
/// double: any two decimals of fifteen digits are different doubles.
pub const DIGITS_LIMIT: i64 = 1_000_000_000_000_000;

/// The most decimals that are tried.
pub const DECIMALS_MAX: u8 = 15;

/// Powers of ten that doubles hold exactly.
const POWERS_OF_TEN: [f64; DECIMALS_MAX as usize + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// The digits of `value` with so many decimals, where it is exactly the double that these read
/// back as. Never for −0.0, infinities and NaN.
#[inline]
pub fn digits_of(value: f64, decimals: u8) -> Option<i64> {
    // Adding and taking away this rounds to an integer whatever is far below it.
    const ROUNDS: f64 = 3.0 * (1u64 << 51) as f64;
    let scaled = value * POWERS_OF_TEN[usize::from(decimals)];
    if scaled.abs() >= DIGITS_LIMIT as f64 || scaled.is_nan() {
        return None;
    }
    let digits = ((scaled + ROUNDS) - ROUNDS) as i64;
    (value_of(digits, decimals).to_bits() == value.to_bits()).then_some(digits)
}

/// The double nearest to `digits` ÷ 10^`decimals`: one division of exact doubles.
#[inline]
pub fn value_of(digits: i64, decimals: u8) -> f64 {
    digits as f64 / POWERS_OF_TEN[usize::from(decimals)]
}

/// The fewest decimals, from `least` on, with which `value` has digits.
pub fn decimals_of(value: f64, least: u8) -> Option<u8> {
    (least..=DECIMALS_MAX).find(|&decimals| digits_of(value, decimals).is_some())
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
            let found = decimals_of(value, 0)
                .map(|decimals| (decimals, digits_of(value, decimals).unwrap()));
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
