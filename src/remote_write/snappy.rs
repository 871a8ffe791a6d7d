//! Compression in the block format of Snappy.
//!
//! The format: <https://github.com/google/snappy/blob/main/format_description.txt>.

use crate::store::write_varint;

/// Bits of an index in the table.
const TABLE_BITS: u32 = 14;

/// How many bytes must be equal for a copy to be found. Fewer than six find copies that are not worth their bytes;
/// more find too few. Decimals of few digits share the low bytes of their doubles, and timestamps their high ones.
const LOOKED_UP_BYTES: usize = 6;

/// The longest distance of a copy: what its two bytes can hold.
const DISTANCE_MAX: usize = u16::MAX as usize;

/// Compresses blocks.
#[derive(Debug, Default)]
pub struct Compressor {
    /// For each hash, the index where bytes with this hash were last seen. They are compared before use.
    table: Vec<u32>,
}

impl Compressor {
    /// Compresses a block of fewer than 2³² bytes to `out`, whose content it replaces.
    ///
    /// Greedy: copies from the last place where the same bytes were seen, extended as far as possible in both
    /// directions. Linear in the block.
    ///
    /// # Panics
    ///
    /// If the block is longer.
    pub fn compress(&mut self, block: &[u8], out: &mut Vec<u8>) {
        assert!(u32::try_from(block.len()).is_ok(), "a longer block");
        out.clear();
        write_varint(out, block.len() as u64);
        self.table.clear();
        self.table.resize(1 << TABLE_BITS, 0);
        // Bytes before `written` are in `out`; bytes from `at` on were not looked up yet.
        let (mut written, mut at) = (0, 0);
        while let Some(word) = word_at(block, at) {
            let seen = &mut self.table[hash(word)];
            let from = std::mem::replace(seen, at as u32) as usize;
            let distance = at - from;
            let is_same = |&from: &u64| (from ^ word) << (64 - 8 * LOOKED_UP_BYTES) == 0;
            if (1..=DISTANCE_MAX).contains(&distance)
                && word_at(block, from).as_ref().is_some_and(is_same)
            {
                let before = same_before(&block[written..at], &block[..from]);
                let end = at + same_after(&block[from..], &block[at..]);
                write_literal(out, &block[written..at - before]);
                write_copy(out, distance, end - (at - before));
                (written, at) = (end, end);
            } else {
                // Steps grow while nothing is found, since such bytes seldom compress.
                at += 1 + (at - written) / 32;
            }
        }
        write_literal(out, &block[written..]);
    }
}

/// The eight bytes from this index on, if there are as many.
fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*word))
}

/// The index in the table for the first bytes of a word (Knuth's multiplicative hashing).
fn hash(word: u64) -> usize {
    let bytes = word << (64 - 8 * LOOKED_UP_BYTES);
    (bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - TABLE_BITS)) as usize
}

/// How many bytes are equal at the ends of both.
fn same_before(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().rev().zip(other.iter().rev());
    pairs.take_while(|(one, other)| one == other).count()
}

/// How many bytes are equal at the beginnings of both.
fn same_after(earlier: &[u8], later: &[u8]) -> usize {
    let mut count = 0;
    while let (Some(one), Some(other)) = (word_at(earlier, count), word_at(later, count)) {
        if one != other {
            return count + (one ^ other).trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    let pairs = earlier[count..].iter().zip(&later[count..]);
    count + pairs.take_while(|(one, other)| one == other).count()
}

fn write_literal(out: &mut Vec<u8>, bytes: &[u8]) {
    let Some(last) = bytes.len().checked_sub(1) else {
        return;
    };
    if last < 60 {
        out.push((last << 2) as u8);
    } else {
        // The length takes one to four bytes.
        let last = last as u32;
        let count = last.ilog2() / 8 + 1;
        out.push((59 + count as u8) << 2);
        out.extend_from_slice(&last.to_le_bytes()[..count as usize]);
    }
    out.extend_from_slice(bytes);
}

/// Writes copies of `length` bytes in all, which must be at least four.
fn write_copy(out: &mut Vec<u8>, distance: usize, mut length: usize) {
    while length > 0 {
        // At most 64 bytes, but so that none or at least four are left, as the two-byte form needs.
        let count = match length {
            ..=64 => length,
            65..=67 => 60,
            _ => 64,
        };
        let [low, high, ..] = distance.to_le_bytes();
        if count < 12 && distance < 1 << 11 {
            out.extend_from_slice(&[(high << 5) | ((count - 4) << 2) as u8 | 1, low]);
        } else {
            out.extend_from_slice(&[((count - 1) << 2) as u8 | 2, low, high]);
        }
        length -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Compresses, and checks that another decoder reads the same. Returns how many bytes it took.
    #[track_caller]
    fn check(block: &[u8]) -> usize {
        let (mut compressor, mut out) = (Compressor::default(), vec![1, 2, 3]);
        // What was compressed before must not matter.
        for _ in 0..2 {
            compressor.compress(block, &mut out);
            let read = snap::raw::Decoder::new().decompress_vec(&out);
            assert!(read.expect("a block") == block, "{} bytes", block.len());
        }
        assert!(out.len() <= snap::raw::max_compress_len(block.len()));
        out.len()
    }

    /// Bytes that do not repeat (xorshift, by Marsaglia).
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn blocks_of_all_sizes_come_back() {
        let mut sizes: Vec<usize> = (0..300).collect();
        for size in [1 << 11, 1 << 16, 1 << 17, 1 << 20] {
            sizes.extend([size - 1, size, size + 1]);
        }
        let noise = noise((1 << 20) + 1);
        for size in sizes {
            assert!(check(&noise[..size]) >= size);
            assert!(check(&vec![7; size]) <= 12 + size / 20);
        }
    }

    #[test]
    fn copies_of_all_lengths_from_all_distances_come_back() {
        let noise = noise(1_000);
        for distance in [8, 63, 64, 200, 2047, 2048, 65_534, 65_535, 65_536, 65_537] {
            for length in (1..=distance.min(200)).chain([distance]) {
                let mut block = noise[..distance.min(200)].to_vec();
                block.resize(distance, 0);
                block.extend_from_within(..length);
                block.extend_from_slice(&noise[900..]);
                let compressed = check(&block);
                let is_found = distance < 1 << 16 && length >= 8;
                let with_copy =
                    distance.min(200) + 100 + distance / 20 + 12 + 3 * length.div_ceil(64);
                assert!(
                    !is_found || compressed <= with_copy,
                    "{length} from {distance}"
                );
                let is_too_far = distance >= 1 << 16 && length == 200;
                assert!(!is_too_far || compressed > 500, "{length} from {distance}");
            }
        }
    }

    #[test]
    fn literals_of_all_lengths_come_back() {
        for length in [
            1,
            59,
            60,
            61,
            256,
            257,
            1 << 16,
            (1 << 16) + 1,
            1 << 24,
            (1 << 24) + 1,
        ] {
            let (bytes, mut out) = (vec![7; length], Vec::new());
            write_varint(&mut out, length as u64);
            write_literal(&mut out, &bytes);
            let read = snap::raw::Decoder::new().decompress_vec(&out);
            assert!(read.expect("a block") == bytes, "{length}");
        }
    }

    #[test]
    fn a_copy_is_two_bytes_where_it_may_be() {
        for (distance, length, bytes) in [
            (2047, 11, 2),
            (2047, 12, 3),
            (2048, 11, 3),
            (2047, 64, 3),
            (2047, 65, 5),
            (2047, 67, 5),
            (2047, 68, 5),
            (2047, 129, 8),
        ] {
            let mut out = Vec::new();
            write_copy(&mut out, distance, length);
            assert_eq!(out.len(), bytes, "{length} from {distance}");
        }
    }

    proptest! {
        #[test]
        fn any_block_comes_back(block in vec(any::<u8>(), 0..2_000)) {
            check(&block);
        }

        #[test]
        fn repetitive_blocks_come_back(
            pieces in vec(vec(0u8..3, 1..80), 1..6),
            order in vec(any::<prop::sample::Index>(), 0..200),
        ) {
            let block: Vec<u8> = order.iter().flat_map(|at| at.get(&pieces).clone()).collect();
            check(&block);
        }
    }
}
