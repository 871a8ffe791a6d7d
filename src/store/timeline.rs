//! The points of one series: the newest in an open head, the older ones in sealed blocks, and
//! those that came late beside the block that they fall into, until there are enough of them to
//! be worth writing it anew.

use std::mem;
use std::ops::Range;
use std::rc::Rc;

use super::Point;
use super::block::{Block, SHARED_BYTES};
use super::head::Head;
use super::run::{RUN_POINTS, Run};

/// A block is written anew when there is one late point for so many of its own.
const BLOCK_POINTS_PER_LATE: usize = 24;

/// The same of the head, which takes less to write.
const HEAD_POINTS_PER_LATE: usize = 16;

/// Points by ascending timestamp, each timestamp once; at least one.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The newest points, at least one.
    head: Head,
    /// What short timelines do without.
    history: Option<Box<History>>,
}

/// Points that are not in the head.
#[derive(Clone, Debug, Default)]
struct History {
    /// By ascending timestamp: all points of one are older than those of the next.
    sealed: Vec<Sealed>,
    /// Late points that fall into the head, by ascending timestamp.
    late: Vec<Point>,
}

/// A block, and late points that fall into it or, of the first one, before it.
#[derive(Clone, Debug)]
struct Sealed {
    block: Block,
    /// By ascending timestamp. One whose timestamp the block has as well replaces it. Shared with
    /// the snapshots, like the block.
    late: Option<Rc<[Point]>>,
}

impl Timeline {
    /// A timeline of one point, of the series at this place.
    pub fn new(point: Point, place: usize) -> Timeline {
        // Series that began together would all be sealed in the same moment.
        let first_run_points = RUN_POINTS - place % (RUN_POINTS / 2);
        Timeline {
            head: Head::new(point, first_run_points),
            history: None,
        }
    }

    /// Timestamp of the newest point.
    pub fn last_timestamp(&self) -> i64 {
        self.head.last_timestamp()
    }

    /// The byte behind which the next point goes, if it is the newest.
    pub fn newest_byte(&self) -> Option<u8> {
        self.head.newest_byte()
    }

    /// Stores a point, and says how many points were written anew for it: none where it is the
    /// newest, else, now and then, those of the head or of a block.
    #[inline]
    pub fn put(&mut self, point: Point) -> usize {
        if point.timestamp > self.last_timestamp() {
            self.put_newest(point);
            return 0;
        }
        self.put_late(point)
    }

    /// Stores a point as [`put`](Self::put) does, and keeps count of the bytes that are allocated.
    #[inline]
    pub fn put_counted(&mut self, point: Point, bytes: &mut usize) -> usize {
        if point.timestamp <= self.last_timestamp() || self.head.is_full() {
            return self.put_and_compare(point, bytes);
        }
        let before = self.head.allocated_bytes();
        self.head.push(point);
        *bytes = *bytes + self.head.allocated_bytes() - before;
        0
    }

    #[inline]
    fn put_newest(&mut self, point: Point) {
        if self.head.is_full() {
            self.seal();
        }
        self.head.push(point);
    }

    /// Moves the points of the head into the last block, or a new one.
    #[cold]
    fn seal(&mut self) {
        let mut run = Run::new();
        self.head.decode(&mut run);
        self.head.begin_next();
        self.history.get_or_insert_default().append(&run);
    }

    #[cold]
    fn put_late(&mut self, point: Point) -> usize {
        let in_head = self
            .head
            .first_timestamp()
            .is_some_and(|first| first <= point.timestamp);
        let history = self.history.get_or_insert_default();
        if !in_head && !history.sealed.is_empty() {
            return history.put_sealed(point);
        }
        insert(&mut history.late, point);
        if history.late.len() * HEAD_POINTS_PER_LATE < self.head.len() {
            return 0;
        }
        self.rewrite_head()
    }

    /// Writes the head anew with the late points that fall into it, and says how many points that
    /// is.
    fn rewrite_head(&mut self) -> usize {
        let Some(history) = &mut self.history else {
            return 0;
        };
        let late = mem::take(&mut history.late);
        if history.sealed.is_empty() {
            self.history = None;
        }
        let mut run = Run::new();
        self.head.decode(&mut run);
        self.head.clear();
        let points = merged(run.points(), &late);
        for &point in &points {
            self.put_newest(point);
        }
        points.len()
    }

    /// Decodes the next points behind `after` and up to `until`, and says whether there are any.
    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        let history = self.history.as_deref();
        if history.is_some_and(|history| history.next_run(after, until, run)) {
            return true;
        }
        self.head.decode(run);
        run.keep(after, until);
        merge_late(
            history.map_or(&[], |history| &history.late),
            after,
            until,
            run,
        );
        !run.is_empty()
    }

    /// Counts the points; where some came late, by decoding all, since these may replace others.
    pub fn point_count(&self) -> usize {
        let Some(history) = &self.history else {
            return self.head.len();
        };
        if history.late.is_empty() && history.sealed.iter().all(|sealed| sealed.late.is_none()) {
            let sealed = history
                .sealed
                .iter()
                .map(|sealed| sealed.block.point_count());
            return sealed.sum::<usize>() + self.head.len();
        }
        let (mut run, mut count, mut after) = (Run::new(), 0, None);
        while self.next_run(after, i64::MAX, &mut run) {
            count += run.len();
            after = run.timestamps().last().copied();
        }
        count
    }

    /// Bytes that are allocated, blocks that are shared with snapshots included. Linear in the
    /// number of blocks.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes_of_blocks(0..self.sealed().len())
    }

    /// Bytes that are allocated for all but the blocks, and for those of `blocks`.
    fn bytes_of_blocks(&self, blocks: Range<usize>) -> usize {
        let history = self.history.as_ref();
        let of_blocks = self.sealed()[blocks].iter().map(Sealed::allocated_bytes);
        self.head.allocated_bytes()
            + history.map_or(0, |history| history.own_bytes())
            + of_blocks.sum::<usize>()
    }

    /// Stores a point that may change a block, and compares the bytes before and after: of the
    /// block that the point falls into, and of what it is replaced or followed by.
    #[cold]
    fn put_and_compare(&mut self, point: Point, bytes: &mut usize) -> usize {
        let history = self.history.as_ref();
        let first = history.map_or(0, |history| history.place_of(point.timestamp));
        let after = self.sealed().len().saturating_sub(first + 1);
        let before = self.bytes_of_blocks(first..self.sealed().len() - after);
        let points_rewritten = self.put(point);
        *bytes += self.bytes_of_blocks(first..self.sealed().len() - after);
        *bytes -= before;
        points_rewritten
    }

    fn sealed(&self) -> &[Sealed] {
        self.history.as_ref().map_or(&[], |history| &history.sealed)
    }

    /// What is stored around a timestamp: all that a put at it can change, and no more than one
    /// block or the head.
    ///
    /// A block is shared. Of the head a block is made: how many points that took to encode comes
    /// with it.
    pub fn extent_at(&self, timestamp: i64) -> (Extent, usize) {
        let sealed = self.sealed();
        let first_of_head = self.head.first_timestamp().filter(|_| !sealed.is_empty());
        let head_from = first_of_head.unwrap_or(i64::MIN);
        let Some(history) = self.history.as_ref().filter(|_| timestamp < head_from) else {
            return self.extent_of_head(head_from);
        };
        let place = history.place_of(timestamp);
        let from_of = |place: usize| {
            let sealed: Option<&Sealed> = sealed.get(place);
            sealed.map_or(head_from, |sealed| sealed.block.first_timestamp())
        };
        let extent = Extent {
            from: if place == 0 { i64::MIN } else { from_of(place) },
            to: from_of(place + 1) - 1,
            points: Points::Sealed(sealed[place].clone()),
        };
        (extent, 0)
    }

    fn extent_of_head(&self, from: i64) -> (Extent, usize) {
        let history = self.history.as_ref();
        let late = history.map_or(&[][..], |history| &history.late);
        let mut run = Run::new();
        self.head.decode(&mut run);
        let points = match run.points().next() {
            Some(point) if run.len() == 1 && late.is_empty() => Points::One(point),
            _ => Points::Sealed(Sealed {
                block: Block::of_run(&run),
                late: (!late.is_empty()).then(|| late.into()),
            }),
        };
        let to = i64::MAX;
        (Extent { from, to, points }, run.len())
    }
}

/// The points that were stored between two timestamps at one moment.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The first timestamp.
    pub from: i64,
    /// The last timestamp.
    pub to: i64,
    /// These points, and perhaps others before and after.
    points: Points,
}

#[derive(Clone, Debug)]
enum Points {
    /// The only one of a series, which many have no more of.
    One(Point),
    Sealed(Sealed),
}

impl Extent {
    /// Decodes the next points past `after` and up to `until`, both of which are within it, and
    /// says whether there are any.
    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        match &self.points {
            Points::One(point) => {
                run.set_points(&[*point]);
                run.keep(after, until);
                !run.is_empty()
            }
            Points::Sealed(sealed) => sealed.next_run(after, until, run),
        }
    }

    /// The part between two timestamps, if there is any. None is before or past all others.
    pub fn part(&self, from: Option<i64>, to: Option<i64>) -> Option<Extent> {
        let (from, to) = (self.from.max(from?), self.to.min(to?));
        (from <= to).then(|| Extent {
            from,
            to,
            points: self.points.clone(),
        })
    }

    /// Bytes that are allocated, though others may share them.
    pub fn allocated_bytes(&self) -> usize {
        match &self.points {
            Points::One(_) => 0,
            Points::Sealed(sealed) => sealed.allocated_bytes(),
        }
    }
}

impl History {
    /// Appends a run of newer points than all here, and what came late for them.
    fn append(&mut self, run: &Run) {
        let late = mem::take(&mut self.late);
        match self.sealed.last_mut() {
            Some(last) if last.block.has_room(run.len()) => {
                last.block = last.block.and_run(run);
                last.set_late([last.late(), &late].concat());
            }
            _ => {
                let mut sealed = Sealed {
                    block: Block::of_run(run),
                    late: None,
                };
                sealed.set_late(late);
                self.sealed.push(sealed);
            }
        }
    }

    /// Stores a point that is older than the head, and says how many points were written anew.
    fn put_sealed(&mut self, point: Point) -> usize {
        let index = self.place_of(point.timestamp);
        let sealed = &mut self.sealed[index];
        let mut late = sealed.late().to_vec();
        insert(&mut late, point);
        if late.len() * BLOCK_POINTS_PER_LATE < sealed.block.point_count() {
            sealed.set_late(late);
            return 0;
        }
        let points = merged(sealed.block.points().into_iter(), &late);
        let anew = Block::of_points(&points).into_iter();
        let anew = anew.map(|block| Sealed { block, late: None });
        self.sealed.splice(index..=index, anew);
        points.len()
    }

    /// Which block a timestamp falls into: the last that begins at it or before it; the first
    /// one where none does.
    fn place_of(&self, timestamp: i64) -> usize {
        let behind = self
            .sealed
            .partition_point(|sealed| sealed.block.first_timestamp() <= timestamp);
        behind.saturating_sub(1)
    }

    fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        let start = after.map_or(0, |after| self.place_of(after));
        let mut within = self.sealed[start..]
            .iter()
            .take_while(|sealed| sealed.first_timestamp() <= until);
        within.any(|sealed| sealed.next_run(after, until, run))
    }

    /// Bytes that are allocated beside the blocks.
    fn own_bytes(&self) -> usize {
        size_of::<History>()
            + self.sealed.capacity() * size_of::<Sealed>()
            + self.late.capacity() * size_of::<Point>()
    }
}

impl Sealed {
    fn allocated_bytes(&self) -> usize {
        let late = self.late.as_ref();
        self.block.allocated_bytes() + late.map_or(0, |late| size_of_val(&**late) + SHARED_BYTES)
    }

    fn late(&self) -> &[Point] {
        self.late.as_deref().unwrap_or_default()
    }

    fn set_late(&mut self, late: Vec<Point>) {
        self.late = if late.is_empty() {
            None
        } else {
            Some(late.into())
        };
    }

    /// Timestamp of the oldest point.
    fn first_timestamp(&self) -> i64 {
        let of_block = self.block.first_timestamp();
        self.late()
            .first()
            .map_or(of_block, |late| late.timestamp.min(of_block))
    }

    fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        if !self.block.next_run(after, until, run) {
            run.set_points(&[]);
        }
        merge_late(self.late(), after, until, run);
        !run.is_empty()
    }
}

/// Puts the late points behind `after` in their places in `run`, up to its last or, where it is
/// empty, up to `until`; where that is too many for a run, its last points are left for the next.
fn merge_late(late: &[Point], after: Option<i64>, until: i64, run: &mut Run) {
    let until = run.timestamps().last().copied().unwrap_or(until);
    let start = after.map_or(0, |after| {
        late.partition_point(|late| late.timestamp <= after)
    });
    let end = late
        .partition_point(|late| late.timestamp <= until)
        .max(start);
    if start < end {
        let points = merged(run.points(), &late[start..end]);
        run.set_points(&points);
    }
}

/// Inserts a point in its place, or replaces the one that has its timestamp.
fn insert(points: &mut Vec<Point>, point: Point) {
    match points.binary_search_by_key(&point.timestamp, |other| other.timestamp) {
        Ok(found) => points[found] = point,
        Err(between) => points.insert(between, point),
    }
}

/// Two lists of points as one by ascending timestamp; a point of `new` replaces one of `old`.
fn merged(old: impl Iterator<Item = Point>, new: &[Point]) -> Vec<Point> {
    let mut points = Vec::with_capacity(old.size_hint().0 + new.len());
    let mut old = old.peekable();
    for &point in new {
        while let Some(before) = old.next_if(|old| old.timestamp < point.timestamp) {
            points.push(before);
        }
        old.next_if(|old| old.timestamp == point.timestamp);
        points.push(point);
    }
    points.extend(old);
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn read(timeline: &Timeline, pieces: usize) -> Vec<(i64, u64)> {
        let mut points = Vec::new();
        let mut run = Run::new();
        let mut after = None;
        while timeline.next_run(after, i64::MAX, &mut run) {
            for point in run.points().take(pieces) {
                points.push((point.timestamp, point.value.to_bits()));
                after = Some(point.timestamp);
            }
        }
        points
    }

    fn put_all(
        points: impl IntoIterator<Item = (i64, f64)>,
    ) -> (Option<Timeline>, BTreeMap<i64, u64>) {
        let (mut timeline, mut naive) = (None::<Timeline>, BTreeMap::new());
        for (timestamp, value) in points {
            let point = Point { timestamp, value };
            match &mut timeline {
                Some(timeline) => {
                    timeline.put(point);
                }
                None => timeline = Some(Timeline::new(point, 0)),
            }
            naive.insert(timestamp, value.to_bits());
        }
        (timeline, naive)
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            6 => (-10_000i64..10_000).prop_map(|digits| digits as f64 / 100.0),
            1 => any::<f64>(),
            1 => prop_oneof![Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(1e-300)],
        ]
    }

    fn timestamp() -> impl Strategy<Value = i64> {
        prop_oneof![
            10 => 0i64..3_000,
            1 => any::<i64>(),
            1 => prop_oneof![Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX), Just(i64::MAX - 1)],
        ]
    }

    proptest! {
        #[test]
        fn any_order_gives_the_points_of_a_map(points in proptest::collection::vec((timestamp(), value()), 1..3_000), pieces in 1usize..200) {
            let (timeline, naive) = put_all(points);
            prop_assert_eq!(read(&timeline.unwrap(), pieces), naive.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn series_that_began_together_are_sealed_at_different_times() {
        let points = |count: i64| {
            (0..count).map(|at| Point {
                timestamp: at,
                value: 1.5,
            })
        };
        let mut sealed_at = BTreeMap::new();
        for place in 0..RUN_POINTS {
            let mut timeline = Timeline::new(points(1).next().unwrap(), place);
            let seals: Vec<i64> = points(1_000)
                .skip(1)
                .filter(|&point| {
                    let before = timeline.head.len();
                    timeline.put(point);
                    timeline.head.len() <= before
                })
                .map(|point| point.timestamp)
                .collect();
            assert!((80..=160).contains(&seals[0]), "{place}: {seals:?}");
            assert!(seals.windows(2).all(|pair| pair[1] - pair[0] == 160));
            *sealed_at.entry(seals[0]).or_insert(0) += 1;
        }
        assert!(
            sealed_at.values().all(|&series| series == 2),
            "{sealed_at:?}"
        );
    }

    /// The same points in another order, by Fisher and Yates with a linear congruence.
    fn shuffled(mut points: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
        let mut state = 1u64;
        for i in (1..points.len()).rev() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            points.swap(i, (state >> 33) as usize % (i + 1));
        }
        points
    }

    #[test]
    fn backwards_and_at_random_take_about_the_same_memory_as_forwards() {
        for count in [12, 100, 1_000, 10_000] {
            let walk = |i: i64| ((i * 7_919) % 101) as f64 / 100.0;
            let forwards: Vec<_> = (0..count).map(|i| (10 * i, walk(i))).collect();
            let backwards = forwards.iter().rev().copied().collect();
            let at_random = shuffled(forwards.clone());
            let bytes = [forwards, backwards, at_random].map(|points| {
                let (timeline, naive) = put_all(points);
                let timeline = timeline.unwrap();
                assert_eq!(
                    read(&timeline, usize::MAX),
                    naive.into_iter().collect::<Vec<_>>()
                );
                assert_eq!(timeline.point_count(), count as usize);
                size_of::<Timeline>() + timeline.allocated_bytes()
            });
            assert!(
                bytes[1] < 2 * bytes[0] && bytes[2] < 2 * bytes[0],
                "{count}: {bytes:?}"
            );
        }
    }
}
