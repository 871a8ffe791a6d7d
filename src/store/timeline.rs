//! The points of one series: the newest in an open head, the older ones in sealed blocks. Points
//! that come late wait in the head or beside the block that they fall into, until there are enough of
//! them to be worth rewriting it.
//!
//! A point that repeats one that is stored, as a client sends that does not know whether its puts
//! arrived, waits like any other. When its turn comes and nothing differs, no block is rewritten:
//! so it costs its share of decoding once, and not a search for each put.

use std::ops::Range;
use std::sync::Arc;

use super::Point;
use super::block::Block;
use super::extents::{Extent, Points};
use super::head::Head;
use super::history::{History, Sealed};
use super::run::{Kind, RUN_POINTS, Run};
use crate::value::Value;

/// Half of a head with fewer points is not worth removing: it goes with the series.
const HALVED_HEAD_POINTS: usize = 8;

/// One in so many blocks is the share that goes first.
const OLDEST_SHARE: usize = 32;

/// What timelines take and hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Bytes that are allocated, blocks that are shared with snapshots included.
    pub bytes: usize,
    /// Points; of those of one timestamp, each that is not merged yet.
    pub points: usize,
}

impl Totals {
    /// Counts that what was `before` is `after` now.
    pub fn replace(&mut self, before: Totals, after: Totals) {
        self.bytes = self.bytes + after.bytes - before.bytes;
        self.points = self.points + after.points - before.points;
    }
}

/// Points by ascending timestamp, each timestamp once; at least one.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The newest points, at least one.
    head: Head,
    /// What short timelines do without.
    history: Option<Box<History>>,
}

impl Timeline {
    /// A timeline of one point, of the series at this place.
    pub fn new(point: Point, place: usize) -> Timeline {
        let mut head = Head::new(Kind::INTEGERS, first_head_points(place));
        head.push_any(point);
        let history = None;
        Timeline { head, history }
    }

    /// Replaces the points that are not sealed by `blocks`, which are newer than all sealed points and end at
    /// `sealed_to`, and by the points of `newest` after them. Leaves `blocks` empty. Keeps the totals.
    pub fn replace_newest(
        &mut self,
        blocks: &mut Vec<Block>,
        sealed_to: i64,
        newest: &Run,
        totals: &mut Totals,
    ) {
        let count = self.block_count();
        let before = self.totals_of(count..count);
        if !blocks.is_empty() {
            let history = self.history.get_or_insert_default();
            if history.sealed.is_empty() {
                history.sealed.reserve_exact(blocks.len());
            }
            history.sealed.extend(blocks.drain(..).map(Sealed::new));
            history.sealed_to = sealed_to;
            self.head.begin_next();
        }
        self.head.refill(newest);
        totals.replace(before, self.totals_of(count..self.block_count()));
    }

    /// Begins again with a newer point than all: of those before it, the sealed ones are left, to be removed.
    /// Keeps the totals.
    pub fn begin_again(&mut self, point: Point, totals: &mut Totals) {
        let before = self.totals_of(0..0);
        self.head.begin_next();
        self.head.push_any(point);
        totals.replace(before, self.totals_of(0..0));
    }

    /// Timestamp of the newest point.
    pub fn last_timestamp(&self) -> i64 {
        self.head.last_timestamp()
    }

    /// The byte after which a point at this timestamp goes, if there is one.
    #[inline]
    pub fn byte_before(&self, timestamp: i64) -> Option<u8> {
        if timestamp > self.last_timestamp() {
            return self.head.newest_byte();
        }
        let history = self.history.as_ref()?;
        let sealed = &history.sealed[history.block_at(timestamp)?];
        sealed.late.as_ref()?.newest_byte()
    }

    /// Stores a point if it is simply the next one of the head, and says whether it is. Keeps the totals.
    #[inline(always)]
    pub fn push(&mut self, timestamp: i64, value: Value, totals: &mut Totals) -> bool {
        if timestamp <= self.last_timestamp() || self.head.is_full() {
            return false;
        }
        let before = self.head.allocated_bytes();
        self.head.push(timestamp, value);
        let after = self.head.allocated_bytes();
        if after != before {
            totals.bytes = totals.bytes + after - before;
        }
        totals.points += 1;
        true
    }

    /// Moves the points of the full head into the last block or a new one: all of them, or all but the newest.
    fn seal(&mut self, is_whole: bool) {
        let mut run = Run::new();
        self.head.read(&mut run);
        let newest = match is_whole {
            true => None,
            false => run.points().last(),
        };
        if let Some(newest) = newest {
            run.keep(None, newest.timestamp - 1);
        }
        if run.kind() == Kind::Bits {
            // The first values may have been no decimals, and most of the others are.
            run = Run::of_points(&run.points().collect::<Vec<Point>>());
        }
        self.head.begin_next();
        self.history.get_or_insert_default().append(&run);
        if let Some(newest) = newest {
            self.head.push_any(newest);
        }
    }

    /// Stores a point for which the head has to be sealed or sorted, or a block rewritten. Returns how many
    /// points were rewritten.
    fn put_rewriting(&mut self, point: Point) -> usize {
        if let Some(history) = &mut self.history
            && let Some(place) = history.block_at(point.timestamp)
        {
            return history.put_sealed(place, point, self.head.kind());
        }
        let is_late = point.timestamp <= self.last_timestamp();
        if !self.head.is_full() {
            let mut run = Run::new();
            self.head.read(&mut run);
            let is_new = !run.holds(&Run::of_points(&[point]), 0..1);
            if is_new {
                run.push_point(point);
                run.sort();
            }
            // There are late points, if not this one.
            if is_new || run.len() < self.head.len() {
                self.head.refill(&run);
            }
            return if is_new { run.len() } else { 0 };
        }
        self.seal(!is_late);
        if is_late {
            // It falls into the block, or replaces the newest point.
            return self.put_rewriting(point);
        }
        self.head.push_any(point);
        0
    }

    /// About the last timestamp of the points that are the first to be removed: the first block; where
    /// there is none, half of the head, or all of a short one.
    pub fn oldest_end(&self) -> i64 {
        if let Some(history) = &self.history {
            return history.end_of(0);
        }
        let last = self.last_timestamp();
        match self.head.len() {
            HALVED_HEAD_POINTS.. => i64::midpoint(self.head.first_timestamp(), last),
            _ => last,
        }
    }

    /// As [`oldest_end`](Self::oldest_end), but of the oldest 32nd of the blocks, if there are 32: to remove them
    /// one by one from the front of a long list would be slow.
    pub fn oldest_share_end(&self) -> i64 {
        match &self.history {
            Some(history) if history.sealed.len() >= OLDEST_SHARE => {
                history.end_of(history.sealed.len() / OLDEST_SHARE)
            }
            _ => self.oldest_end(),
        }
    }

    /// What is to be removed up to about `limit`: at most so many blocks or, where there are none, half
    /// of the head. Returns the timestamp of its last point, and how many blocks it is. `None` if the
    /// [oldest part](Self::oldest_end) ends past `limit`, or nothing would be left.
    pub fn oldest_part(&self, limit: i64, most_blocks: usize) -> Option<(i64, usize)> {
        if self.oldest_end() > limit {
            return None;
        }
        if let Some(history) = &self.history {
            let begun = history.begun_to(limit);
            let is_whole = history.end_of(begun - 1) <= limit;
            let blocks = (begun - usize::from(!is_whole)).min(most_blocks);
            return Some((history.end_of(blocks - 1), blocks));
        }
        let mut run = Run::new();
        self.head.read(&mut run);
        let half = run.timestamps().get(run.len().checked_sub(2)? / 2)?;
        Some((*half, 0))
    }

    /// Removes all points up to a timestamp that is before the newest. Keeps the totals.
    ///
    /// Linear in the number of blocks, with little for each that stays. What is removed of a block
    /// or the head in part takes decoding and encoding it.
    pub fn remove_to(&mut self, up_to: i64, totals: &mut Totals) {
        let history = self.history.as_ref();
        let begun = history.map_or(0, |history| history.begun_to(up_to));
        let after = self.sealed().len() - begun;
        let before = self.totals_of(0..begun);
        if let Some(history) = &mut self.history {
            history.remove_to(up_to);
        }
        self.history.take_if(|history| history.sealed.is_empty());
        if self.history.is_none() {
            let mut run = Run::new();
            self.head.read(&mut run);
            run.keep(Some(up_to), i64::MAX);
            if run.len() < self.head.len() {
                self.head.refill(&run);
            }
        }
        totals.replace(before, self.totals_of(0..self.sealed().len() - after));
    }

    /// How many blocks there are.
    pub fn block_count(&self) -> usize {
        self.sealed().len()
    }

    /// The next sealed points after `after`, with late ones that fall into them: as blocks by
    /// ascending timestamp, the timestamp up to which these are all points, and how many points were
    /// encoded for that, 10 to 150 ns each. `None` if no point after `after` is sealed.
    ///
    /// Encodes at most the points of one block, and of most blocks none.
    pub fn next_blocks(&self, after: Option<i64>) -> Option<(Vec<Block>, i64, usize)> {
        let history = self.history.as_deref()?;
        let from = after.map_or(i64::MIN, |after| after.saturating_add(1));
        let place = history.block_at(from)?;
        let (sealed, to) = (&history.sealed[place], history.end_of(place));
        let (blocks, points_encoded) = match sealed.first_timestamp < from {
            true => sealed.rest(after, to),
            false => sealed.whole(),
        };
        Some((blocks, to, points_encoded))
    }

    /// Decodes the points past `after` and up to `until` that are not sealed.
    pub fn newest(&self, after: Option<i64>, until: i64, run: &mut Run) {
        self.head.read(run);
        run.keep(after, until);
    }

    /// Decodes the next points after `after` and up to `until`, and says whether there are any.
    pub fn next_run(&self, after: Option<i64>, until: i64, run: &mut Run) -> bool {
        let history = self.history.as_deref();
        if history.is_some_and(|history| history.next_run(after, until, run)) {
            return true;
        }
        self.newest(after, until, run);
        !run.is_empty()
    }

    /// What all takes and holds. Linear in the number of blocks.
    pub fn totals(&self) -> Totals {
        self.totals_of(0..self.sealed().len())
    }

    /// The same, but of the blocks only those in the range `blocks`.
    fn totals_of(&self, blocks: Range<usize>) -> Totals {
        let mut totals = Totals {
            bytes: self.head.allocated_bytes(),
            points: self.head.len(),
        };
        if let Some(history) = &self.history {
            let list_bytes = history.sealed.capacity() * size_of::<Sealed>();
            totals.bytes += size_of::<History>() + list_bytes;
        }
        for sealed in &self.sealed()[blocks] {
            totals.bytes += sealed.allocated_bytes();
            totals.points += sealed.point_count();
        }
        totals
    }

    /// Stores any other point, and returns how many points were rewritten for it: now and then
    /// those of the head or of a part of a block. Keeps the totals.
    #[cold]
    pub fn put_late_or_seal(&mut self, point: Point, totals: &mut Totals) -> usize {
        if self.head.repeats_newest(point) {
            return 0;
        }
        if let Some(points) = self.open_late(point.timestamp) {
            let before = points.allocated_bytes();
            points.push_late(point);
            totals.bytes = totals.bytes + points.allocated_bytes() - before;
            totals.points += 1;
            return 0;
        }
        // Compares the totals of the block that the point falls into, and of what it is replaced
        // or followed by.
        let history = self.history.as_ref();
        let first = history.map_or(0, |history| history.place_of(point.timestamp));
        let after = self.sealed().len().saturating_sub(first + 1);
        let before = self.totals_of(first..self.sealed().len() - after);
        let points_rewritten = self.put_rewriting(point);
        totals.replace(before, self.totals_of(first..self.sealed().len() - after));
        points_rewritten
    }

    /// Where a late point at this timestamp goes, if nothing else has to be done for it.
    fn open_late(&mut self, timestamp: i64) -> Option<&mut Head> {
        let is_late = timestamp <= self.last_timestamp();
        let history = self.history.as_mut();
        match history.and_then(|history| history.late_at(timestamp)) {
            // The last one that it takes is the first to be rewritten.
            Some(late) => Arc::get_mut(late.as_mut()?).filter(|late| !late.is_full_with_next()),
            None => (is_late && self.head.takes_late()).then_some(&mut self.head),
        }
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
        let history = self.history.as_deref();
        if let Some(history) = history
            && let Some(place) = history.block_at(timestamp)
        {
            let sealed = history.sealed[place].clone();
            let from = match place {
                0 => i64::MIN,
                _ => sealed.first_timestamp,
            };
            let to = history.end_of(place);
            let points = Points::Sealed(sealed);
            return (Extent { from, to, points }, 0);
        }
        let mut run = Run::new();
        self.head.read(&mut run);
        let points = match run.points().next() {
            Some(point) if run.len() == 1 => Points::One(point),
            _ => Points::Sealed(Sealed::new(Block::of_run(&run))),
        };
        let from = history.map_or(i64::MIN, |history| history.sealed_to + 1);
        let to = i64::MAX;
        (Extent { from, to, points }, run.len())
    }
}

/// How many points make the first head of the series at this place full. Series that began together
/// would otherwise all be sealed in the same moment.
fn first_head_points(place: usize) -> usize {
    RUN_POINTS - place % (RUN_POINTS / 2)
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

    /// Puts a point, and checks that the bytes are counted right.
    fn put_counted(timeline: &mut Timeline, point: Point) -> usize {
        let mut totals = timeline.totals();
        let value = point.value.into();
        let rewritten = match timeline.push(point.timestamp, value, &mut totals) {
            true => 0,
            false => timeline.put_late_or_seal(point, &mut totals),
        };
        assert_eq!(totals, timeline.totals());
        rewritten
    }

    fn remove_counted(timeline: &mut Timeline, up_to: i64) {
        let mut totals = timeline.totals();
        timeline.remove_to(up_to, &mut totals);
        assert_eq!(totals, timeline.totals());
    }

    fn put_all(
        points: impl IntoIterator<Item = (i64, f64)>,
    ) -> (Option<Timeline>, BTreeMap<i64, u64>) {
        let (mut timeline, mut naive) = (None, BTreeMap::new());
        for (timestamp, value) in points {
            put(&mut timeline, &mut naive, timestamp, value);
        }
        (timeline, naive)
    }

    fn put(
        timeline: &mut Option<Timeline>,
        naive: &mut BTreeMap<i64, u64>,
        timestamp: i64,
        value: f64,
    ) {
        let point = Point { timestamp, value };
        match timeline {
            Some(timeline) => {
                put_counted(timeline, point);
            }
            None => *timeline = Some(Timeline::new(point, 0)),
        }
        naive.insert(timestamp, value.to_bits());
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

    /// Puts of the kinds that clients send: forwards, again, again with other values, late.
    fn stretch() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let points = proptest::collection::vec(value(), 1..400);
        (timestamp(), -2i64..4, points, 1usize..3).prop_map(|(first, step, values, times)| {
            let timestamps = (0..).map(|at| first.saturating_add(step * at));
            timestamps.zip(values).collect::<Vec<_>>().repeat(times)
        })
    }

    #[test]
    fn the_rest_of_a_block_with_many_late_points_can_be_read() {
        let (in_order, late) = (
            (0..2_000).map(|at| 10 * at),
            (1..=240).map(|at| 10 * at + 5),
        );
        let (timeline, _) = put_all(in_order.chain(late).map(|timestamp| (timestamp, 0.5)));
        let timeline = timeline.expect("points");
        let (blocks, ..) = timeline.next_blocks(Some(0)).expect("blocks");
        let mut run = Run::new();
        let read = |block: &Block| Block::read(block.as_bytes(), &mut run).map(|(_, last)| last);
        let ends: Vec<Option<i64>> = blocks.iter().map(read).collect();
        assert!(ends.iter().all(Option::is_some), "{ends:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
        #[test]
        fn stretches_and_repeats_give_the_points_of_a_map(stretches in proptest::collection::vec(stretch(), 1..12), pieces in 1usize..200) {
            let mut naive = BTreeMap::new();
            let mut timeline = None::<Timeline>;
            let mut held = Vec::new();
            for stretch in stretches {
                for (timestamp, value) in stretch {
                    put(&mut timeline, &mut naive, timestamp, value);
                }
                // As a snapshot holds it.
                held.extend(timeline.clone().map(|timeline| (timeline, naive.clone())));
            }
            for (timeline, naive) in held {
                prop_assert!(timeline.totals().points >= naive.len());
                prop_assert!(read(&timeline, pieces) == naive.into_iter().collect::<Vec<_>>());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, ..ProptestConfig::default() })]
        #[test]
        fn removal_to_a_timestamp_is_that_of_a_map(
            stretches in proptest::collection::vec((stretch(), timestamp(), any::<bool>()), 1..8),
            most_blocks in 1usize..4,
        ) {
            let mut naive = BTreeMap::new();
            let mut timeline = None::<Timeline>;
            for (stretch, limit, is_part) in stretches {
                for (timestamp, value) in stretch {
                    put(&mut timeline, &mut naive, timestamp, value);
                }
                let timeline = timeline.as_mut().expect("there are points");
                let part = timeline.oldest_part(limit, most_blocks);
                let up_to = match part {
                    _ if timeline.last_timestamp() <= limit => continue,
                    None if is_part => continue,
                    Some((to, blocks)) if is_part => {
                        prop_assert!(blocks == 0 || to <= limit && blocks <= most_blocks);
                        prop_assert!(to < timeline.last_timestamp());
                        prop_assert_ne!(naive.range(..=to).count(), 0);
                        to
                    }
                    _ => limit,
                };
                remove_counted(timeline, up_to);
                naive.retain(|&timestamp, _| timestamp > up_to);
                prop_assert!(timeline.oldest_end() > up_to);
                prop_assert!(timeline.history.as_ref().is_none_or(|history| !history.sealed.is_empty()));
                let expected: Vec<_> = naive.iter().map(|(&at, &bits)| (at, bits)).collect();
                prop_assert!(read(timeline, usize::MAX) == expected);
            }
        }
    }

    /// The last value that a head knows may be that of another point.
    #[test]
    fn a_point_with_the_value_of_a_late_or_ordinary_one_replaces_the_newest() {
        for newest in 20..200 {
            let points = (0..=newest).map(|at| (10 * at, at as f64));
            for (timestamp, value, before) in [
                (10 * newest - 5, 700.0, 700.0),
                (10 * newest, f64::NAN, newest as f64 - 1.0),
            ] {
                let mut timeline = put_all(points.clone()).0.expect("points were put");
                put_counted(&mut timeline, Point { timestamp, value });
                let (timestamp, value) = (10 * newest, before);
                put_counted(&mut timeline, Point { timestamp, value });
                let last = read(&timeline, usize::MAX).pop();
                assert_eq!(last, Some((timestamp, value.to_bits())));
            }
        }
    }

    #[test]
    fn a_repeated_point_is_not_rewritten() {
        let value = |at: i64| ((at * 7_919) % 101) as f64 / 100.0;
        let points = |timestamps: std::ops::Range<i64>| timestamps.map(|at| (10 * at, value(at)));
        let mut timeline = put_all(points(0..2_000)).0.expect("points were put");
        let before = read(&timeline, usize::MAX);
        let mut put = |(timestamp, value)| put_counted(&mut timeline, Point { timestamp, value });
        assert_eq!(points(0..2_000).map(&mut put).sum::<usize>(), 0);
        assert_eq!(
            (0..1_000)
                .map(|_| put((19_990, value(1_999))))
                .sum::<usize>(),
            0
        );
        // Other values are, in time.
        assert!(
            points(500..800)
                .map(|(at, value)| put((at, value + 1.0)))
                .sum::<usize>()
                > 0
        );
        let after = read(&timeline, usize::MAX);
        assert_eq!(after.len(), before.len());
        assert_ne!(after, before);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_points_of_a_map(points in proptest::collection::vec((timestamp(), value()), 1..1_500), pieces in 1usize..200) {
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
                    put_counted(&mut timeline, point);
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
                assert_eq!(timeline.totals().points, count as usize);
                size_of::<Timeline>() + timeline.totals().bytes
            });
            assert!(
                bytes[1] < 2 * bytes[0] && bytes[2] < 2 * bytes[0],
                "{count}: {bytes:?}"
            );
        }
    }
}
