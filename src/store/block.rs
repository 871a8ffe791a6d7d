//! A sealed block: up to about a thousand points that are read and not changed any more.
//!
//! ```text
//! byte  0 … 7    timestamp of the first point, the low bits first
//!       8, 9     how many points there are, the low bits first: 1 to 1,280
//!      10 …      chunks up to the end, by ascending timestamp: see chunk.rs
//! ```
//!
//! Only this file writes these bytes, and checks them when they come from an [image](super::image).
//! So bytes that cannot be decoded are a defect of the store itself: it panics, rather than lose
//! points silently.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::chunk::{self, Header};
use super::run::{RUN_POINTS, Run, merge};

/// The most points of a block.
pub const BLOCK_POINTS: usize = 7 * RUN_POINTS;

/// The most points of a block with all late ones that may be merged into it.
const MERGED_POINTS: usize = BLOCK_POINTS + RUN_POINTS;

/// The most points of a chunk that is rewritten: with late points that come next, it is still read
/// as one run.
const REWRITTEN_POINTS: usize = RUN_POINTS;

/// What is allocated beside bytes that are shared, to count who shares them.
pub const SHARED_BYTES: usize = 2 * size_of::<usize>();

/// Bytes before the chunks.
const HEADER_BYTES: usize = 10;

/// Why decoding cannot fail here. Blocks are written by [`chunk`] in this process's memory, or were
/// checked when they were read: bytes that do not decode are a defect of ours, and to go on without
/// them would lose their points for good.
const NOT_CORRUPT: &str = "a sealed block is as it was written";

/// An immutable block, shared by the series and the snapshots that read it.
#[derive(Clone, Debug)]
pub struct Block {
    bytes: Arc<[u8]>,
}

impl Block {
    /// A block of one run, which has at least one point.
    pub fn of_run(run: &Run) -> Block {
        let mut bytes = Vec::new();
        push_chunk(&mut bytes, run);
        Block::of_bytes(&bytes)
    }

    /// Reads a block from bytes that come from elsewhere and may be any. Returns it with the timestamp
    /// of its last point. `None` unless the bytes decode to as many points as they say, by ascending
    /// timestamp. What has to be decoded is decoded into `run`.
    ///
    /// Allocates nothing but the block.
    pub fn read(bytes: &[u8], run: &mut Run) -> Option<(Block, i64)> {
        let (base, rest) = bytes.split_first_chunk()?;
        let base = i64::from_le_bytes(*base);
        let (count, mut rest) = rest.split_first_chunk()?;
        let count = usize::from(u16::from_le_bytes(*count));
        let (mut found, mut last) = (0, None);
        while !rest.is_empty() {
            let header = Header::read(&mut rest, base)?;
            let is_next = match last {
                Some(last) => header.first_timestamp > last,
                None => header.first_timestamp == base,
            };
            if !is_next {
                return None;
            }
            last = Some(header.check(rest, run)?);
            rest = &rest[header.packed_bytes()..];
            found += header.count;
        }
        let is_whole = found == count && count <= MERGED_POINTS;
        Some((Block::of_bytes(bytes), last.filter(|_| is_whole)?))
    }

    /// The points of this block and, after them, those of `run`.
    pub fn and_run(&self, run: &Run) -> Block {
        // Most points take less than two bytes.
        let mut bytes = Vec::with_capacity(self.bytes.len() + 2 * run.len());
        bytes.extend_from_slice(&self.bytes);
        push_chunk(&mut bytes, run);
        Block::of_bytes(&bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Timestamp of the first point.
    pub fn first_timestamp(&self) -> i64 {
        first_timestamp(&self.bytes)
    }

    pub fn point_count(&self) -> usize {
        point_count(&self.bytes)
    }

    /// Bytes that are allocated, with those of the counts of who shares them.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes.len() + SHARED_BYTES
    }

    /// Whether a run of so many points has room after those of this block.
    pub fn has_room(&self, points: usize) -> bool {
        self.point_count() + points <= BLOCK_POINTS
    }

    /// Decodes the next points after `after` and up to `until`, and says whether there are any.
    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        let mut chunks = self.chunks().peekable();
        while let Some((header, packed)) = chunks.next() {
            let next = chunks.peek().map(|(next, _)| next.first_timestamp);
            let is_read = next.zip(after).is_some_and(|(next, after)| next <= after);
            if is_read {
                continue;
            }
            header.decode(packed, run).expect(NOT_CORRUPT);
            run.keep(after, until);
            if !run.is_empty() {
                return true;
            }
        }
        false
    }

    /// The points of this block with `late` ones, which replace those at their timestamps: one
    /// block or several, and how many points were rewritten for that. `None` if this block holds
    /// all of them already.
    ///
    /// Linear in the points of the chunks that late ones fall into. Other chunks are copied.
    pub fn merged(&self, late: &Run) -> Option<(Vec<Block>, usize)> {
        let chunks = self.chunks_with(late);
        let block_count = self.point_count().div_ceil(BLOCK_POINTS);
        let most = (self.point_count() + late.len()).div_ceil(block_count);
        let (mut blocks, mut rewritten) = (Vec::new(), 0);
        let mut run = Run::new();
        let mut bytes = Vec::with_capacity(self.bytes.len() + 4 * late.len());
        let mut push = |write: &dyn Fn(&mut Vec<u8>)| {
            if point_count(&bytes) >= most {
                blocks.push(Block::of_bytes(&mem::take(&mut bytes)));
            }
            write(&mut bytes);
        };
        for group in chunks.chunk_by(|one, next| one.late.is_empty() == next.late.is_empty()) {
            if group.iter().all(|chunk| chunk.holds(late, &mut run)) {
                for chunk in group {
                    push(&|bytes| keep_chunk(bytes, &chunk.header, chunk.packed));
                }
            } else {
                for run in rewritten_runs(group, late, &mut run) {
                    push(&|bytes| push_chunk(bytes, &run));
                    rewritten += run.len();
                }
            }
        }
        blocks.push(Block::of_bytes(&bytes));
        (rewritten > 0).then_some((blocks, rewritten))
    }

    /// The chunks, and the places of the late points that fall into each or, of the first one,
    /// before it.
    fn chunks_with(&self, late: &Run) -> Vec<Chunk<'_>> {
        let mut chunks = self.chunks().peekable();
        let mut start = 0;
        std::iter::from_fn(|| {
            let (header, packed) = chunks.next()?;
            let end = chunks.peek().map_or(late.len(), |(next, _)| {
                let next = next.first_timestamp;
                late.timestamps()
                    .partition_point(|&timestamp| timestamp < next)
            });
            Some(Chunk {
                header,
                packed,
                late: mem::replace(&mut start, end)..end,
            })
        })
        .collect()
    }

    /// Each chunk's header, and the bytes after it, of which the first are its own.
    fn chunks(&self) -> impl Iterator<Item = (Header, &[u8])> {
        let base = self.first_timestamp();
        let mut rest = &self.bytes[HEADER_BYTES..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let header = Header::read(&mut rest, base).expect(NOT_CORRUPT);
            let packed = rest;
            rest = packed.get(header.packed_bytes()..).expect(NOT_CORRUPT);
            Some((header, packed))
        })
    }

    fn of_bytes(bytes: &[u8]) -> Block {
        Block {
            bytes: bytes.into(),
        }
    }
}

/// A chunk of a block, and late points that fall into it.
struct Chunk<'block> {
    header: Header,
    /// The bytes after the header, of which the first are its own.
    packed: &'block [u8],
    /// Their places.
    late: Range<usize>,
}

impl Chunk<'_> {
    fn decode(&self, run: &mut Run) {
        self.header.decode(self.packed, run).expect(NOT_CORRUPT);
    }

    /// Whether the late points change nothing. Decodes the chunk into `run` if it has to.
    fn holds(&self, late: &Run, run: &mut Run) -> bool {
        if self.late.is_empty() {
            return true;
        }
        self.decode(run);
        run.holds(late, self.late.clone())
    }
}

/// Neighbouring chunks with their late points, as runs of about the same length.
fn rewritten_runs(chunks: &[Chunk], late: &Run, run: &mut Run) -> Vec<Run> {
    let points = chunks
        .iter()
        .map(|chunk| chunk.header.count + chunk.late.len());
    let count = points.sum::<usize>();
    let most = count.div_ceil(count.div_ceil(REWRITTEN_POINTS));
    let mut runs = Vec::with_capacity(count.div_ceil(most));
    for chunk in chunks {
        chunk.decode(run);
        merge(&mut runs, most, run, late, chunk.late.clone());
    }
    runs
}

/// Appends a run to the bytes of a block, or begins them with it.
fn push_chunk(bytes: &mut Vec<u8>, run: &Run) {
    let base = count_chunk(bytes, run.timestamps()[0], run.len());
    chunk::encode(bytes, run, base);
}

/// The same of a chunk of another block.
fn keep_chunk(bytes: &mut Vec<u8>, header: &Header, packed: &[u8]) {
    let base = count_chunk(bytes, header.first_timestamp, header.count);
    header.write(bytes, base);
    bytes.extend_from_slice(&packed[..header.packed_bytes()]);
}

/// Counts the points of one more chunk, and returns the timestamp of the block's first point.
fn count_chunk(bytes: &mut Vec<u8>, chunk_timestamp: i64, chunk_points: usize) -> i64 {
    if bytes.is_empty() {
        bytes.extend(chunk_timestamp.to_le_bytes());
        bytes.extend([0, 0]);
    }
    let count = (point_count(bytes) + chunk_points) as u16;
    bytes[8..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
    first_timestamp(bytes)
}

fn first_timestamp(bytes: &[u8]) -> i64 {
    i64::from_le_bytes(*bytes.first_chunk().expect(NOT_CORRUPT))
}

/// 0 of bytes that are not begun yet.
fn point_count(bytes: &[u8]) -> usize {
    match bytes[..] {
        [_, _, _, _, _, _, _, _, low, high, ..] => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Point;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn walk(count: usize) -> Vec<Point> {
        let point = |at: usize| Point {
            timestamp: 10 * at as i64,
            value: (at * 7_919 % 101) as f64 / 100.0,
        };
        (0..count).map(point).collect()
    }

    fn block_of(points: &[Point]) -> Block {
        let mut runs = points.chunks(RUN_POINTS).map(Run::of_points);
        let first = Block::of_run(&runs.next().expect("there are points"));
        runs.fold(first, |block, run| block.and_run(&run))
    }

    /// All points after `after`, by runs.
    fn read(block: &Block, mut after: Option<i64>) -> Vec<Point> {
        let (mut points, mut run) = (Vec::new(), Run::new());
        while block.next_run(after, i64::MAX, &mut run) {
            points.extend(run.points());
            after = run.timestamps().last().copied();
        }
        points
    }

    #[test]
    fn reading_goes_on_after_any_point() {
        let points = walk(700);
        let block = &block_of(&points);
        for after in [-1, 0, 5, 1_270, 1_280, 1_285, 6_980, 6_990, 7_000] {
            let later: Vec<Point> = points
                .iter()
                .filter(|point| point.timestamp > after)
                .copied()
                .collect();
            assert_eq!(read(block, Some(after)), later, "after {after}");
        }
        assert_eq!(read(block, None), points);
    }

    proptest! {
        #[test]
        fn late_points_are_merged_as_into_a_map(count in 1usize..=BLOCK_POINTS, late in proptest::collection::btree_map(-50i64..12_000, 0u8..4, 1..=RUN_POINTS)) {
            let points = walk(count);
            let block = block_of(&points);
            let late: Vec<Point> = late
                .into_iter()
                .map(|(timestamp, value)| Point { timestamp, value: f64::from(value) })
                .collect();
            let map = |points: &[Point]| -> BTreeMap<i64, u64> {
                points.iter().map(|point| (point.timestamp, point.value.to_bits())).collect()
            };
            let mut expected = map(&points);
            expected.extend(map(&late));
            let (blocks, rewritten) = block.merged(&Run::of_points(&late)).unwrap_or((vec![block.clone()], 0));
            let merged: Vec<Point> = blocks.iter().flat_map(|block| read(block, None)).collect();
            prop_assert_eq!(map(&merged), expected);
            prop_assert!(merged.is_sorted_by_key(|point| point.timestamp));
            prop_assert_eq!(merged.len(), blocks.iter().map(Block::point_count).sum::<usize>());
            prop_assert!(blocks.iter().all(|block| block.point_count() <= BLOCK_POINTS + late.len()));
            prop_assert!(rewritten <= points.len() + late.len());
            prop_assert_eq!(rewritten == 0, map(&points) == map(&merged));
        }
    }

    #[test]
    fn chunks_that_nothing_late_falls_into_stay_as_they_are() {
        let points = walk(BLOCK_POINTS);
        let block = block_of(&points);
        let repeated: Vec<Point> = points.iter().copied().step_by(7).collect();
        assert!(block.merged(&Run::of_points(&repeated)).is_none());
        let late = [Point {
            value: 77.0,
            ..points[3 * RUN_POINTS + 5]
        }];
        let (blocks, rewritten) = block
            .merged(&Run::of_points(&late))
            .expect("a value differs");
        assert_eq!((blocks.len(), rewritten), (1, RUN_POINTS));
        let mut expected = points;
        expected[3 * RUN_POINTS + 5].value = 77.0;
        assert_eq!(read(&blocks[0], None), expected);
    }

    #[test]
    #[should_panic(expected = "a sealed block is as it was written")]
    fn bytes_that_do_not_decode_are_no_shorter_block() {
        let mut bytes = block_of(&walk(400)).bytes.to_vec();
        bytes.pop();
        read(&Block::of_bytes(&bytes), None);
    }
}
