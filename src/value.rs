//! The value of a point on its way into the store.

use std::fmt;

use crate::decimal::{self, DIGITS_LIMIT, POWERS_OF_TEN, value_of};

/// A double, perhaps as the decimal that it was written as.
///
/// Most values are written and kept as short decimals. To make a double of one and a decimal of that again
/// takes two divisions: 8 % of the time of a put.
///
/// ```
/// let value = metricd::Value::from(12.5);
/// assert_eq!(value.to_double(), 12.5);
/// ```
#[derive(Clone, Copy, Default)]
pub struct Value {
    /// Digits, below [`DIGITS_LIMIT`] in magnitude; if it is no decimal, the bits of the double.
    number: i64,
    /// How many of the digits are decimals, at most 15, or [`NO_DECIMAL`].
    decimals: u8,
}

/// More than any decimal has.
const NO_DECIMAL: u8 = u8::MAX;

impl Value {
    /// `digits` ÷ 10^`decimals`, of at most fifteen digits and as many decimals.
    #[inline(always)]
    pub(crate) fn of_decimal(digits: i64, decimals: u8) -> Value {
        debug_assert!(digits.unsigned_abs() < DIGITS_LIMIT as u64);
        debug_assert!(decimals <= decimal::DECIMALS_MAX);
        Value {
            number: digits,
            decimals,
        }
    }

    /// The double, to the bit.
    #[inline]
    pub fn to_double(self) -> f64 {
        match self.decimals {
            NO_DECIMAL => f64::from_bits(self.number as u64),
            decimals => value_of(self.number, decimals),
        }
    }

    /// The [digits](decimal::digits_of) of the double with so many decimals, if it has any.
    #[inline(always)]
    pub(crate) fn digits(self, decimals: u8) -> Option<i64> {
        // With zeros after them, the digits are those of the same number, and so of the same double.
        let zeros = usize::from(decimals).checked_sub(usize::from(self.decimals));
        let power = zeros.and_then(|zeros| POWERS_OF_TEN.get(zeros));
        if let Some(&power) = power
            && let Some(digits) = self.number.checked_mul(power as i64)
            && (1 - DIGITS_LIMIT..DIGITS_LIMIT).contains(&digits)
        {
            return Some(digits);
        }
        decimal::digits_of(self.to_double(), decimals)
    }
}

impl From<f64> for Value {
    fn from(double: f64) -> Value {
        Value {
            number: double.to_bits() as i64,
            decimals: NO_DECIMAL,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_double().fmt(f)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.to_double() == other.to_double()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A decimal and its double have the same digits.
        #[test]
        fn digits_are_those_of_the_double(
            digits in 1 - DIGITS_LIMIT..DIGITS_LIMIT, shift in 0u32..50, decimals in 0u8..=15, wanted in 0u8..=15
        ) {
            let value = Value::of_decimal(digits >> shift, decimals);
            let double = Value::from(value.to_double());
            prop_assert_eq!(value, double);
            prop_assert_eq!(value.digits(wanted), double.digits(wanted));
            prop_assert_eq!(value.digits(wanted), decimal::digits_of(value.to_double(), wanted));
        }

        #[test]
        fn any_double_stays_what_it_is(bits: u64) {
            let value = Value::from(f64::from_bits(bits));
            prop_assert_eq!(value.to_double().to_bits(), bits);
        }
    }
}
