//! A sealed block: up to a thousand points that are read and not changed any more.
//!
//! ```text
//! byte  0 … 7    timestamp of the first point, the low bits first
//!       8, 9     points
//!      10 …      chunks, by ascending timestamp
//! ```

use std::rc::Rc;

use super::Point;
use super::chunk::{self, Header};
use super::run::{Kind, RUN_POINTS, Run};

/// The most points of a block: what a put into the past costs at most is to write so many anew.
pub const BLOCK_POINTS: usize = 7 * RUN_POINTS;

/// What is allocated beside bytes that are shared, to count who does.
pub const SHARED_BYTES: usize = 2 * size_of::<usize>();

/// Bytes before the chunks.
const HEADER_BYTES: usize = 10;

/// An immutable block, shared by the series and the snapshots that read it.
#[derive(Clone, Debug)]
pub struct Block {
    bytes: Rc<[u8]>,
}

impl Block {
    /// A block of one run, which has at least one point.
    pub fn of_run(run: &Run) -> Block {
        let mut bytes = Vec::new();
        append_run(&mut bytes, run);
        Block {
            bytes: bytes.into(),
        }
    }

    /// Blocks of these points: one, or, where they are too many for one, halves.
    pub fn of_points(points: &[Point]) -> Vec<Block> {
        let count = points.len().div_ceil(BLOCK_POINTS).max(1);
        let blocks = points.chunks(points.len().div_ceil(count).max(1));
        let block_of = |points: &[Point]| {
            let mut bytes = Vec::with_capacity(2 * points.len());
            points
                .chunks(RUN_POINTS)
                .for_each(|run| append_run(&mut bytes, &Run::of_points(run, Kind::NARROWEST)));
            Block {
                bytes: bytes.into(),
            }
        };
        blocks.map(block_of).collect()
    }

    /// This block and, behind its points, those of `run`.
    pub fn and_run(&self, run: &Run) -> Block {
        let mut bytes = self.bytes.to_vec();
        append_run(&mut bytes, run);
        Block {
            bytes: bytes.into(),
        }
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

    /// Whether a run of so many points has room behind those of this block.
    pub fn has_room(&self, points: usize) -> bool {
        self.point_count() + points <= BLOCK_POINTS
    }

    /// All points, up to where the bytes are corrupt.
    pub fn points(&self) -> Vec<Point> {
        let mut points = Vec::with_capacity(self.point_count().min(BLOCK_POINTS));
        let mut run = Run::new();
        for (header, packed) in self.chunks() {
            if header.decode(packed, &mut run).is_err() || points.len() >= BLOCK_POINTS {
                break;
            }
            points.extend(run.points());
        }
        points
    }

    /// Decodes the next points behind `after` and up to `until`, and says whether there are any.
    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        let mut chunks = self.chunks().peekable();
        while let Some((header, packed)) = chunks.next() {
            let next = chunks.peek().map(|(next, _)| next.first_timestamp);
            let is_read = next.zip(after).is_some_and(|(next, after)| next <= after);
            if is_read {
                continue;
            }
            if header.decode(packed, run).is_err() {
                return false;
            }
            run.keep(after, until);
            if !run.is_empty() {
                return true;
            }
        }
        false
    }

    /// Each chunk's header, and the bytes behind it, of which the first are its own.
    fn chunks(&self) -> impl Iterator<Item = (Header, &[u8])> {
        let base = self.first_timestamp();
        let mut rest = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        std::iter::from_fn(move || {
            let header = Header::read(&mut rest, base)?;
            let packed = rest;
            rest = packed.get(header.packed_bytes()..).unwrap_or_default();
            Some((header, packed))
        })
    }
}

/// Appends a run to the bytes of a block, or begins them with it.
fn append_run(bytes: &mut Vec<u8>, run: &Run) {
    if bytes.is_empty() {
        let base = run.timestamps().first().copied().unwrap_or_default();
        bytes.extend(base.to_le_bytes());
        bytes.extend([0, 0]);
    }
    let (base, count) = (first_timestamp(bytes), point_count(bytes) + run.len());
    chunk::encode(bytes, run, base);
    bytes[8..HEADER_BYTES].copy_from_slice(&(count as u16).to_le_bytes());
}

fn first_timestamp(bytes: &[u8]) -> i64 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| i64::from_le_bytes(*bytes))
}

fn point_count(bytes: &[u8]) -> usize {
    bytes
        .get(8..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |count| usize::from(u16::from_le_bytes(*count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn walk(count: usize) -> Vec<Point> {
        let point = |at: usize| Point {
            timestamp: 10 * at as i64,
            value: (at * 7_919 % 101) as f64 / 100.0,
        };
        (0..count).map(point).collect()
    }

    /// All points behind `after`, by runs.
    fn read(block: &Block, mut after: Option<i64>) -> Vec<Point> {
        let (mut points, mut run) = (Vec::new(), Run::new());
        while points.len() < BLOCK_POINTS && block.next_run(after, i64::MAX, &mut run) {
            points.extend(run.points());
            after = run.timestamps().last().copied();
        }
        points
    }

    #[test]
    fn too_many_points_for_one_block_are_two() {
        for (count, blocks) in [
            (1, 1),
            (RUN_POINTS, 1),
            (RUN_POINTS + 1, 1),
            (BLOCK_POINTS, 1),
            (BLOCK_POINTS + 1, 2),
            (2 * BLOCK_POINTS, 2),
        ] {
            let points = walk(count);
            let sealed = Block::of_points(&points);
            assert_eq!(sealed.len(), blocks, "{count} points");
            let back: Vec<Point> = sealed.iter().flat_map(Block::points).collect();
            assert_eq!(back, points);
            assert_eq!(sealed.iter().map(Block::point_count).sum::<usize>(), count);
        }
    }

    #[test]
    fn reading_goes_on_behind_any_point() {
        let points = walk(700);
        let block = &Block::of_points(&points)[0];
        for after in [-1, 0, 5, 1_270, 1_280, 1_285, 6_980, 6_990, 7_000] {
            let behind: Vec<Point> = points
                .iter()
                .filter(|point| point.timestamp > after)
                .copied()
                .collect();
            assert_eq!(read(block, Some(after)), behind, "behind {after}");
        }
        assert_eq!(read(block, None), points);
    }

    proptest! {
        #[test]
        fn any_bytes_give_some_points(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let block = Block { bytes: bytes.into() };
            prop_assert!(block.points().len() <= BLOCK_POINTS + RUN_POINTS);
            let _some = read(&block, None);
        }

        #[test]
        fn a_damaged_block_gives_some_points(at in 0usize..400, byte: u8, length in 0usize..400) {
            let mut bytes = Block::of_points(&walk(400))[0].bytes.to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(length);
            let block = Block { bytes: bytes.into() };
            prop_assert!(block.points().len() <= BLOCK_POINTS + RUN_POINTS);
            let _some = read(&block, None);
        }
    }
}
