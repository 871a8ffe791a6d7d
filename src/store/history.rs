//! The points of one series that are not in its head: sealed blocks, and late points that fall into them.

use std::sync::Arc;

use super::Point;
use super::block::{Block, SHARED_BYTES};
use super::head::Head;
use super::run::{Kind, RUN_POINTS, Run, merge};

/// A block is rewritten when there is one late point for so many of its own.
const BLOCK_POINTS_PER_LATE: usize = 9;

/// Points that are not in the head, at least one.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By ascending timestamp: all points of one are older than those of the next.
    pub sealed: Vec<Sealed>,
    /// Timestamp of the newest point that was sealed. Later ones fall into the head.
    pub sealed_to: i64,
}

/// A block, and late points that fall into it or, of the first one, before it. Cheap to clone: both
/// are shared with the clones.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Of the oldest point, so that a search need not look into the blocks.
    pub first_timestamp: i64,
    block: Block,
    /// In as few bytes as in the head, until there are enough of them to be worth rewriting the block.
    pub late: Option<Arc<Head>>,
}

impl History {
    /// Appends a run of newer points than all here, at least one.
    pub fn append(&mut self, run: &Run) {
        self.sealed_to = run.timestamps()[run.len() - 1];
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
        sealed.first_timestamp = sealed.first_timestamp.min(point.timestamp);
        // The first one says how many there may be, and of what kind they are likely to be.
        let limit = sealed.block.point_count() / BLOCK_POINTS_PER_LATE;
        let begin = || Arc::new(Head::new(kind, limit.clamp(1, RUN_POINTS)));
        // Copied only if a snapshot shares them.
        let late = Arc::make_mut(sealed.late.get_or_insert_with(begin));
        late.push_late(point);
        if !late.is_full() {
            return 0;
        }
        let merged = sealed.merged();
        sealed.late = None;
        let Some((blocks, rewritten)) = merged else {
            return 0;
        };
        self.sealed.reserve_exact(blocks.len() - 1);
        let blocks = blocks.into_iter().map(Sealed::new);
        self.sealed.splice(place..=place, blocks);
        rewritten
    }

    /// Where a late point at this timestamp goes; `None` if it falls into the head.
    pub fn late_at(&mut self, timestamp: i64) -> Option<&mut Option<Arc<Head>>> {
        let place = self.block_at(timestamp)?;
        let sealed = &mut self.sealed[place];
        sealed.first_timestamp = sealed.first_timestamp.min(timestamp);
        Some(&mut sealed.late)
    }

    /// The place of the block that a timestamp falls into; `None` if it falls into the head.
    #[inline]
    pub fn block_at(&self, timestamp: i64) -> Option<usize> {
        (timestamp <= self.sealed_to).then(|| self.place_of(timestamp))
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
}

impl Sealed {
    pub fn allocated_bytes(&self) -> usize {
        let late = self.late.as_ref().map_or(0, |late| {
            SHARED_BYTES + size_of::<Head>() + late.allocated_bytes()
        });
        self.block.allocated_bytes() + late
    }

    /// Late points count until they are merged, also those that replace others.
    pub fn point_count(&self) -> usize {
        self.block.point_count() + self.late.as_ref().map_or(0, |late| late.len())
    }

    pub fn new(block: Block) -> Sealed {
        Sealed {
            first_timestamp: block.first_timestamp(),
            block,
            late: None,
        }
    }

    /// All points, if late ones are to be merged in, and how many were encoded for that. `None` if these change
    /// nothing.
    fn merged(&self) -> Option<(Vec<Block>, usize)> {
        let mut late = Run::new();
        self.late.as_ref()?.read(&mut late);
        self.block.merged(&late)
    }

    /// All points, the late ones merged in, and how many points were encoded for that.
    pub fn whole(&self) -> (Vec<Block>, usize) {
        let merged = self.merged();
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

    /// Decodes the next points after `after` and up to `until`, and says whether there are any. Late ones for
    /// which the run has no room come with the next.
    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        if !self.block.next_run(after, until, run) {
            run.reset(0, Kind::Bits, false);
        }
        if let Some(points) = &self.late {
            let mut late = Run::new();
            points.read(&mut late);
            late.keep(after, run.timestamps().last().copied().unwrap_or(until));
            if !late.is_empty() {
                let mut runs = Vec::with_capacity(2);
                merge(&mut runs, RUN_POINTS, run, &late, 0..late.len());
                *run = runs.swap_remove(0);
            }
        }
        !run.is_empty()
    }
}
