//! The points of one series that are not in its head: sealed blocks, and late points.

use super::Point;
use super::block::Block;
use super::late::Late;
use super::run::{Kind, Run};

/// A block is rewritten when there is one late point for so many of its own.
const BLOCK_POINTS_PER_LATE: usize = 9;

/// Points that are not in the head.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By ascending timestamp: all points of one are older than those of the next.
    pub sealed: Vec<Sealed>,
    /// Timestamp of the newest point that was sealed. Later ones fall into the head.
    pub sealed_to: i64,
    /// Late points that fall into the head.
    pub late: Late,
}

/// A block, and late points that fall into it or, of the first one, before it. Cheap to clone: both
/// are shared with the clones.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Of the oldest point, so that a search need not look into the blocks.
    pub first_timestamp: i64,
    pub block: Block,
    pub late: Late,
}

impl History {
    /// Appends a run of newer points than all here.
    pub fn append(&mut self, run: &Run) {
        let &[.., last] = run.timestamps() else {
            return;
        };
        self.sealed_to = last;
        match self.sealed.last_mut() {
            Some(last) if last.block.has_room(run.len()) => last.block = last.block.and_run(run),
            _ => {
                // Blocks are large, and so there are few.
                self.sealed.reserve_exact(1);
                self.sealed.push(Sealed::new(Block::of_run(run)));
            }
        }
    }

    /// Stores a point that falls into the block at this place, and returns how many points were
    /// rewritten.
    pub fn put_sealed(&mut self, place: usize, point: Point, kind: Kind) -> usize {
        let sealed = &mut self.sealed[place];
        let limit = sealed.block.point_count() / BLOCK_POINTS_PER_LATE;
        let Some(late) = sealed.late_at(point.timestamp).put(point, kind, limit) else {
            return 0;
        };
        let Some((blocks, rewritten)) = sealed.block.merged(&late.in_order()) else {
            return 0;
        };
        self.sealed.reserve_exact(blocks.len() - 1);
        let blocks = blocks.into_iter().map(Sealed::new);
        self.sealed.splice(place..=place, blocks);
        rewritten
    }

    /// The place of the block that a timestamp falls into; `None` if it falls into the head.
    #[inline]
    pub fn block_at(&self, timestamp: i64) -> Option<usize> {
        let is_sealed = timestamp <= self.sealed_to && !self.sealed.is_empty();
        is_sealed.then(|| self.place_of(timestamp))
    }

    /// Which block a timestamp falls into: the last that begins at it or before it; the first
    /// one if none does.
    pub fn place_of(&self, timestamp: i64) -> usize {
        self.begun_to(timestamp).saturating_sub(1)
    }

    /// The last timestamp that falls into the block at this place.
    pub fn end_of(&self, place: usize) -> i64 {
        let next = self.sealed.get(place + 1);
        next.map_or(self.sealed_to, |next| next.first_timestamp - 1)
    }

    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        let start = after.map_or(0, |after| self.place_of(after));
        let mut within = self.sealed[start..]
            .iter()
            .take_while(|sealed| sealed.first_timestamp <= until);
        within.any(|sealed| sealed.next_run(after, until, run))
    }

    pub fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.late.is_empty()
    }

    /// How many blocks begin at a timestamp or before it.
    pub fn begun_to(&self, timestamp: i64) -> usize {
        let last = self.sealed.last();
        if last.is_some_and(|last| last.first_timestamp <= timestamp) {
            // So it mostly is, and no other is looked at.
            return self.sealed.len();
        }
        self.sealed
            .partition_point(|sealed| sealed.first_timestamp <= timestamp)
    }

    /// Removes all sealed points up to a timestamp.
    pub fn remove_to(&mut self, up_to: i64) {
        let Some(last) = self.begun_to(up_to).checked_sub(1) else {
            return;
        };
        let end = self.end_of(last);
        let rest = match end <= up_to {
            true => Vec::new(),
            false => self.sealed[last].rest(Some(up_to), end).0,
        };
        self.sealed
            .splice(..=last, rest.into_iter().map(Sealed::new));
        if self.sealed.len() <= self.sealed.capacity() / 2 {
            self.sealed.shrink_to_fit();
        }
    }

    /// Bytes that are allocated beside the blocks.
    pub fn own_bytes(&self) -> usize {
        size_of::<History>()
            + self.sealed.capacity() * size_of::<Sealed>()
            + self.late.allocated_bytes()
    }
}

impl Sealed {
    pub fn allocated_bytes(&self) -> usize {
        self.block.allocated_bytes() + self.late.allocated_bytes()
    }

    pub fn new(block: Block) -> Sealed {
        Sealed {
            first_timestamp: block.first_timestamp(),
            block,
            late: Late::default(),
        }
    }

    /// All points, the late ones merged in, and how many points were encoded for that.
    pub fn whole(&self) -> (Vec<Block>, usize) {
        let merged = match self.late.is_empty() {
            true => None,
            false => self.block.merged(&self.late.in_order()),
        };
        merged.unwrap_or_else(|| (vec![self.block.clone()], 0))
    }

    /// The same of the points after `after` and up to `until`.
    pub fn rest(&self, mut after: Option<i64>, until: i64) -> (Vec<Block>, usize) {
        let (mut run, mut blocks, mut points_encoded) = (Run::new(), Vec::<Block>::new(), 0);
        while self.next_run(after, until, &mut run) {
            points_encoded += run.len();
            match blocks.last_mut() {
                Some(last) if last.has_room(run.len()) => *last = last.and_run(&run),
                _ => blocks.push(Block::of_run(&run)),
            }
            after = run.timestamps().last().copied();
        }
        (blocks, points_encoded)
    }

    /// Where a late point at this timestamp goes.
    pub fn late_at(&mut self, timestamp: i64) -> &mut Late {
        self.first_timestamp = self.first_timestamp.min(timestamp);
        &mut self.late
    }

    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        if !self.block.next_run(after, until, run) {
            run.reset(0, Kind::Bits, false);
        }
        self.late.merge_into(after, until, run);
        !run.is_empty()
    }
}
