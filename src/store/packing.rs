//! Integers in few bits: zigzag, variable-length bytes, and runs of one width.

/// Signed to unsigned so that small magnitudes become small numbers: 0, −1, 1, −2 to 0, 1, 2, 3.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends `value` seven bits a byte, the low ones first, the high bit set in all but the last
/// (LEB128).
#[inline(always)]
pub fn write_varint(out: &mut Vec<u8>, value: u64) {
    if value < 1 << 14 && out.capacity() - out.len() >= 2 {
        // Whether it takes one byte or two is often hard to predict, so there is no branch for it.
        let is_long = value >= 0x80;
        let length = out.len() + 1 + usize::from(is_long);
        out.push(value as u8 | u8::from(is_long) << 7);
        out.push((value >> 7) as u8);
        out.truncate(length);
    } else {
        write_long_varint(out, value);
    }
}

/// The same of a number of any length.
fn write_long_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front of `bytes`; `None` if it does not end, or not within 64 bits.
#[inline]
pub fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = match **bytes {
        [first, second, ..] if first & second < 0x80 => {
            // Most numbers take one byte or two. Which is often hard to predict, so there is no branch for it.
            let is_long = first >> 7;
            let high = u64::from(second) * u64::from(is_long);
            let number = u64::from(first & 0x7f) | high << 7;
            (number, &bytes[1 + usize::from(is_long)..])
        }
        _ => read_long_varint(bytes)?,
    };
    *bytes = rest;
    Some(number)
}

/// A number of any length, and the bytes after it.
fn read_long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    let mut rest = bytes;
    for shift in (0..64).step_by(7) {
        let byte = rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some((number, rest));
        }
    }
    None
}

/// Bits that a number needs.
pub fn width_of(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Bytes that `count` numbers of `width` bits take.
pub fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends the low `width` bits of each value, the first in the lowest bits, and fills up the last
/// byte with zeros. `width` is 0 to 64, and no value has more bits.
pub fn pack(out: &mut Vec<u8>, width: u32, values: impl Iterator<Item = u64>) {
    if width == 0 {
        return;
    }
    let mut pending = 0u64;
    // Fewer than 64.
    let mut pending_bits = 0;
    for value in values {
        pending |= value << pending_bits;
        pending_bits += width;
        if pending_bits >= 64 {
            out.extend_from_slice(&pending.to_le_bytes());
            pending_bits -= 64;
            // The high bits, for which there was no room.
            pending = value.unbounded_shr(width - pending_bits);
        }
    }
    out.extend_from_slice(&pending.to_le_bytes()[..pending_bits.div_ceil(8) as usize]);
}

/// Fills in `values` by `value_of` each of the numbers of `width` bits in `bytes`. Bits past the end
/// of `bytes` are zeros. `width` is 0 to 64.
#[inline(always)]
pub fn unpack(bytes: &[u8], width: u32, values: &mut [i64], mut value_of: impl FnMut(u64) -> i64) {
    let mask = u64::MAX.unbounded_shr(u64::BITS - width);
    for (place, value) in values.iter_mut().enumerate() {
        let (start, shift) = (place * width as usize / 8, place * width as usize % 8);
        let word = bytes.get(start..start + 8).and_then(<[u8]>::first_chunk);
        let number = match word {
            // A word holds a whole number of up to 57 bits, wherever in a byte it begins.
            Some(&word) if width <= 57 => u64::from_le_bytes(word) >> shift,
            _ => (last_word(bytes, start) >> shift) as u64,
        };
        *value = value_of(number & mask);
    }
}

/// Twice as many bytes as a word has, or as many as there are.
#[cold]
fn last_word(bytes: &[u8], start: usize) -> u128 {
    let mut word = [0; 16];
    let rest = bytes.get(start..).unwrap_or_default();
    for (byte, &from) in word.iter_mut().zip(rest) {
        *byte = from;
    }
    u128::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zigzag_and_back(value: i64) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
            prop_assert!(value.unsigned_abs() > 1 << 62 || zigzag(value) <= value.unsigned_abs() * 2);
        }

        #[test]
        fn varint_and_back(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            write_varint(&mut out, value);
            let mut rest = &out[..];
            prop_assert_eq!(read_varint(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
            prop_assert_eq!(read_varint(&mut &out[..out.len() - 1]), None);
        }

        #[test]
        fn packed_and_unpacked(values in proptest::collection::vec(any::<u64>(), 0..140), width in 0u32..=64) {
            let values: Vec<u64> = values.iter().map(|value| if width == 0 { 0 } else { value >> (64 - width) }).collect();
            let mut out = Vec::new();
            pack(&mut out, width, values.iter().copied());
            prop_assert_eq!(out.len(), packed_bytes(values.len(), width));
            for more in [0, 1, 7, 8, 20] {
                // Whatever follows does not matter.
                out.resize(packed_bytes(values.len(), width) + more, 0xa5);
                let mut unpacked = vec![0; values.len()];
                unpack(&out, width, &mut unpacked, |value| value as i64);
                prop_assert!(values.iter().map(|&value| value as i64).eq(unpacked));
            }
        }
    }

    #[test]
    fn a_varint_without_end_is_none() {
        assert_eq!(read_varint(&mut &[0x80; 20][..]), None);
        assert_eq!(read_varint(&mut &[][..]), None);
    }
}
