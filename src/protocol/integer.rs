//! Integers as Python's `int()` reads them, and in decimal.

use super::{without_underscores, write_block};

/// CPython does not read integers of more digits (`sys.int_info.default_max_str_digits`), leading
/// zeros included. Here only leading zeros can make so many.
const READ_DIGITS_MAX: usize = 4_300;

/// Reads what `int(text)` reads: a sign, ASCII digits, single underscores between digits.
///
/// `None` for anything else, and for what does not fit 64 bits. Linear. Allocates nothing, except
/// for a copy of a text that has underscores.
///
/// ```
/// # use metricd::internals::integer::parse;
/// assert_eq!(parse(b"1_503_319_740"), Some(1503319740));
/// assert_eq!(parse(b"-9223372036854775808"), Some(i64::MIN));
/// assert_eq!(parse(b"9223372036854775808"), None);
/// ```
pub fn parse(text: &[u8]) -> Option<i64> {
    match leading_digits(text) {
        Some((value, [])) => Some(value),
        _ => parse_any(text),
    }
}

/// The fast path: the number whose digits `text` begins with, at most nineteen, which fit 64 bits, and
/// what follows them. `None` says nothing about the text.
#[inline(always)]
pub(super) fn leading_digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let (mut magnitude, mut rest) = (0, text);
    if let Some((eight, after)) = text.split_first_chunk()
        && let Some(eight) = parse_eight_digits(*eight)
    {
        (magnitude, rest) = (eight, after);
    }
    let (magnitude, rest) = more_digits(magnitude, rest);
    let count = text.len() - rest.len();
    let value = i64::try_from(magnitude).ok()?;
    (1..=19).contains(&count).then_some((value, rest))
}

/// The number whose first digits are `number`, and whose others `text` begins with; and what follows
/// these. Modulo 2^64.
#[inline(always)]
pub(super) fn more_digits(mut number: u64, mut text: &[u8]) -> (u64, &[u8]) {
    while let [digit @ b'0'..=b'9', rest @ ..] = text {
        number = number.wrapping_mul(10);
        number = number.wrapping_add(u64::from(digit - b'0'));
        text = rest;
    }
    (number, text)
}

/// Reads eight digits at once.
#[inline]
pub(super) fn parse_eight_digits(text: [u8; 8]) -> Option<u64> {
    let (digits, others) = digits_and_others(u64::from_le_bytes(text));
    (others == 0).then(|| join_digits(digits))
}

/// Turns each digit into its value, and any other byte into more than nine. The second number has the lowest bit
/// set of each byte that is no digit; after the first byte that is not ASCII, perhaps of digits too.
#[inline(always)]
pub(super) fn digits_and_others(text: u64) -> (u64, u64) {
    let digits = text ^ 0x3030_3030_3030_3030;
    let others = digits | digits.wrapping_add(0x7676_7676_7676_7676);
    (digits, others >> 7 & 0x0101_0101_0101_0101)
}

/// The number of eight digits, the first in the lowest byte: neighbours are joined to pairs, pairs to fours,
/// and these to the number (Daniel Lemire, "Quickly parsing eight digits", 2018).
#[inline(always)]
pub(super) fn join_digits(digits: u64) -> u64 {
    let pairs = (10 * digits + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (100 * pairs + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (10_000 * fours + (fours >> 32)) & 0xffff_ffff
}

#[cold]
fn parse_any(text: &[u8]) -> Option<i64> {
    // The grammar of the standard library is Python's, except for the underscores.
    let text = without_underscores(text)?;
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_read = digits <= READ_DIGITS_MAX;
    is_read.then(|| parse_digits(str::from_utf8(&text).ok()?))?
}

/// Reads digits, perhaps after a sign, and nothing else.
#[inline(never)]
pub(crate) fn parse_digits(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Writes the decimal digits of `value`, after a minus sign if it is negative, and returns the
/// length in bytes.
///
/// # Panics
///
/// If `room` is shorter than [`NUMBER_ROOM_BYTES`](super::NUMBER_ROOM_BYTES).
///
/// ```
/// # use metricd::internals::{NUMBER_ROOM_BYTES, integer};
/// let mut room = [0; NUMBER_ROOM_BYTES];
/// let length = integer::write(&mut room, -1503319740);
/// assert_eq!(&room[..length], b"-1503319740");
/// ```
#[inline]
pub fn write(room: &mut [u8], value: i64) -> usize {
    // Overwritten if there is no sign.
    room[0] = b'-';
    let sign = usize::from(value < 0);
    sign + write_magnitude(&mut room[sign..], value.unsigned_abs())
}

/// Numbers below this have at most eight digits.
pub(super) const EIGHT_DIGITS: u64 = 100_000_000;

/// Writes the decimal digits of `magnitude`, eight at a time.
pub(super) fn write_magnitude(room: &mut [u8], magnitude: u64) -> usize {
    if magnitude < EIGHT_DIGITS {
        return write_first_digits(room, magnitude);
    }
    let length = write_magnitude(room, magnitude / EIGHT_DIGITS);
    let last = eight_digits(magnitude % EIGHT_DIGITS);
    write_block(&mut room[length..], text(last));
    length + 8
}

/// Writes a number below 10^8 without the zeros before its first digit.
#[inline(always)]
fn write_first_digits(room: &mut [u8], number: u64) -> usize {
    let digits = eight_digits(number);
    // The last digit is written even if it is zero.
    let zeros = (digits | 1 << 56).trailing_zeros() / 8;
    write_block(room, text(digits >> (8 * zeros)));
    8 - zeros as usize
}

/// The eight decimal digits of a number below 10^8, one in each byte, the first in the lowest.
///
/// Splits the number by 10^4, both parts by 10^2, and all four by 10. The divisions of all parts
/// are done at once, as multiplications, which are exact for numbers this small (Paul Khuong, "How
/// to print integers really fast", 2017).
#[inline(always)]
pub(super) fn eight_digits(number: u64) -> u64 {
    debug_assert!(number < EIGHT_DIGITS);
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x0f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

/// Eight digits as text.
#[inline]
pub(super) fn text(digits: u64) -> [u8; 8] {
    (digits | 0x3030_3030_3030_3030).to_le_bytes()
}

/// Writes integers that mostly ascend in small steps, like timestamps.
///
/// The text of the next integer is the last text plus the step. The last eight digits are added
/// all at once, as long as the digits before them do not change.
#[derive(Default)]
pub struct AscendingWriter {
    /// The integer that was written last.
    last: i64,
    /// Steps below this change its last eight digits alone. At first there are none.
    step_limit: u64,
    /// Its last eight digits, one in each byte, the last digit in the lowest.
    low_digits: u64,
    /// `high[..high_length]` is the text before these eight digits, at least one digit.
    high: [u8; 8],
    high_length: usize,
    /// The last step, and its digits.
    step: u64,
    step_digits: u64,
}

impl AscendingWriter {
    /// Writes what [`write()`] does, and panics if that does.
    #[inline(always)]
    pub fn write(&mut self, room: &mut [u8], value: i64) -> usize {
        let step = value.wrapping_sub(self.last) as u64;
        if step >= self.step_limit {
            return self.write_in_full(room, value);
        }
        if step != self.step {
            (self.step, self.step_digits) = (step, eight_digits(step).swap_bytes());
        }
        self.last = value;
        self.step_limit -= step;
        self.low_digits = sum_of_digits(self.low_digits, self.step_digits);
        write_block(room, self.high);
        write_block(
            &mut room[self.high_length..],
            text(self.low_digits.swap_bytes()),
        );
        self.high_length + 8
    }

    #[cold]
    fn write_in_full(&mut self, room: &mut [u8], value: i64) -> usize {
        let length = write(room, value);
        *self = AscendingWriter::default();
        // As an unsigned number, a negative one is larger than all these.
        if (EIGHT_DIGITS..EIGHT_DIGITS * EIGHT_DIGITS).contains(&(value as u64)) {
            self.last = value;
            let low = value as u64 % EIGHT_DIGITS;
            self.step_limit = EIGHT_DIGITS - low;
            self.low_digits = eight_digits(low).swap_bytes();
            self.high_length = length - 8;
            self.high[..length - 8].copy_from_slice(&room[..length - 8]);
        }
        length
    }
}

/// The digits of the sum of two numbers of eight digits each. The sum has eight digits too.
#[inline(always)]
fn sum_of_digits(one: u64, other: u64) -> u64 {
    // A digit must carry at 10, but a byte carries at 256. So 246 is added to each byte, and
    // subtracted again from those that did not carry: exactly these have their high bits set.
    let raised = one + other + 0xf6f6_f6f6_f6f6_f6f6;
    let kept = (raised & 0xf0f0_f0f0_f0f0_f0f0) >> 4;
    raised - (kept << 4 | kept & 0x0606_0606_0606_0606)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::written;
    use proptest::prelude::*;

    #[test]
    fn the_most_digits_that_python_reads() {
        assert_eq!(parse("0".repeat(READ_DIGITS_MAX).as_bytes()), Some(0));
        assert_eq!(parse("0".repeat(READ_DIGITS_MAX + 1).as_bytes()), None);
        assert_eq!(
            parse(format!("-{}7", "0_".repeat(READ_DIGITS_MAX - 1)).as_bytes()),
            Some(-7)
        );
        assert_eq!(
            parse(format!("-{}7", "0_".repeat(READ_DIGITS_MAX)).as_bytes()),
            None
        );
    }

    proptest! {
        #[test]
        fn written_and_read_again(value: i64) {
            let text = written(|room| write(room, value));
            prop_assert_eq!(&text, &value.to_string());
            prop_assert_eq!(parse(text.as_bytes()), Some(value));
        }

        #[test]
        fn ascending_integers_are_written_as_any_are(first: i64, shift in 0u32..64, steps in proptest::collection::vec((0i64..1_000_000_000, 0u32..30), 1..40)) {
            let mut writer = AscendingWriter::default();
            let mut value = first >> shift;
            for (step, shift) in steps {
                prop_assert_eq!(written(|room| writer.write(room, value)), value.to_string());
                value = value.saturating_add(step >> shift);
            }
        }

        #[test]
        fn eight_digits_are_read(number in 0..EIGHT_DIGITS, place in 0usize..8, byte: u8) {
            let mut digits = text(eight_digits(number));
            prop_assert_eq!(parse_eight_digits(digits), Some(number));
            digits[place] = byte;
            prop_assert_eq!(parse_eight_digits(digits).is_some(), byte.is_ascii_digit());
        }

        #[test]
        fn eight_digits_are_those_of_the_number(number in 0..EIGHT_DIGITS, shift in 0u32..27) {
            let number = number >> shift;
            let text = String::from_utf8(text(eight_digits(number)).to_vec()).unwrap();
            prop_assert_eq!(text, format!("{number:08}"));
        }

        #[test]
        fn the_same_as_the_standard_library_reads(text in "[+-]?[0-9]{0,21}") {
            prop_assert_eq!(parse(text.as_bytes()), text.parse().ok());
        }
    }
}
