//! What removes points: floors, below which they are hidden and freed, and eviction of the oldest.
//!
//! Both walk over places in slices, and remove the oldest part of a series at a time: blocks or, where
//! a series has none, half of its head; where all of its points go, the series. So no block is
//! decoded or encoded.
//!
//! An expiry walks over all places. An eviction, like the hand of a clock, goes on from where it was:
//! series that were put to at about the same time, and then no more, are often neighbours, since
//! new series go to the places that were freed.

use std::collections::BinaryHeap;
use std::hint::black_box;
use std::ops::Range;

use super::timeline::Totals;
use super::{Point, Store};

/// A series without blocks takes as long to remove as so many blocks.
const SERIES_STEPS: usize = 4;

/// Half of a head takes as long to remove as so many blocks.
const HEAD_STEPS: usize = 16;

/// So many places are looked at before the first of them is removed from.
const PLACES_AT_ONCE: usize = 128;

/// So many series are looked at to choose which points are the oldest.
const SAMPLED_SERIES: usize = 128;

/// One in so many series has some of the oldest points.
const SERIES_PER_EVICTED: usize = 8;

/// So many places are looked at before it is chosen again which points are the oldest.
const EVICTED_PLACES: usize = 1_024;

/// Where fewer than one in so many places had some of these, the neighbours are not looked at next.
const PLACES_PER_EVICTED: usize = 2 * SERIES_PER_EVICTED;

/// What is to be removed.
#[derive(Debug, Default)]
pub struct Removal {
    /// While the floor is not past this, nothing is to be removed, except perhaps points that came late.
    due: Option<i64>,
    /// Of what is below the floor.
    expiry: Option<Sweep>,
    /// Of the oldest. When it has ended, it says where the next is to begin.
    eviction: Option<Sweep>,
    /// What series are sampled by.
    random: u64,
    expired_points: u64,
    evicted_points: u64,
}

/// A walk over places.
#[derive(Debug, Default)]
struct Sweep {
    /// The last timestamp to remove.
    up_to: i64,
    /// The places to look at.
    places: Range<usize>,
    /// The place up to which what is to be removed was loaded into the processor's cache.
    warm_to: usize,
    /// How often something was removed.
    removals: usize,
}

impl Removal {
    /// Notes when the oldest part of a series ends.
    pub fn note_due(&mut self, oldest_end: i64) {
        let due = self.due.get_or_insert(oldest_end);
        *due = oldest_end.min(*due);
    }

    /// By a linear congruence of Knuth's, which never repeats itself in practice.
    fn next_random(&mut self) -> u64 {
        const FACTOR: u64 = 6_364_136_223_846_793_005;
        self.random = self
            .random
            .wrapping_mul(FACTOR)
            .wrapping_add(1_442_695_040_888_963_407);
        // The high bits are the best ones.
        self.random >> 16
    }
}

/// Is told the place and the key of a series, and the timestamp up to which all its points are
/// about to be removed.
type Removed<'lent> = dyn FnMut(usize, &str, i64) + 'lent;

impl Store {
    /// Sets two floors. From now on nobody reads points below `hidden_below`, open snapshots
    /// included. Points below `removed_below` are removed: [`expire`](Self::expire) frees them, and
    /// puts of such points are not kept. A series that has no other points is removed with them; put
    /// again, it is new, and comes last. A `removed_below` past `hidden_below` counts as equal to it.
    ///
    /// The store knows no clock. To keep points for a day, set both floors to a day ago every few
    /// seconds. Both may be lowered again: what was hidden alone can be read again then, and of what
    /// was removed, what is not freed yet. So after a clock has jumped ahead, raise `hidden_below` at
    /// once, and `removed_below` as soon as the clock is trusted.
    ///
    /// Constant time.
    ///
    /// ```
    /// let mut store = metricd::Store::new();
    /// store.put_all(&[1, 2, 3].map(|timestamp| metricd::Put {
    ///     key: "palm.cpu".into(),
    ///     timestamp,
    ///     value: 0.5.into(),
    /// }));
    /// store.set_floors(3, 3);
    /// store.put("palm.cpu", 2, 0.5);
    /// store.put("eardrum.memory", 2, 0.5);
    /// assert!(store.range("palm.cpu", ..).map(|point| point.timestamp).eq([3]));
    /// store.set_floors(4, 4);
    /// while store.expire(100) {}
    /// assert_eq!(store.series_count(), 0);
    /// ```
    pub fn set_floors(&mut self, hidden_below: i64, removed_below: i64) {
        let hidden_to = hidden_below.checked_sub(1);
        let removed_to = removed_below.checked_sub(1).min(hidden_to);
        if removed_to < self.removed_to && self.removal.expiry.take().is_some() {
            // Its floor is too high now. The next one looks at all series.
            self.removal.due = Some(i64::MIN);
        }
        (self.hidden_to, self.removed_to) = (hidden_to, removed_to);
    }

    /// Frees a part of what is below [the floor](Self::set_floors), and says whether to call it again
    /// for more. It frees whole blocks, half of the points of a series that has no blocks, and series
    /// that are wholly below. What it leaves is less than that for each series.
    ///
    /// Looks at `most` series or frees as many blocks, some 100 ns each. When it has looked at all
    /// series, the next call begins again, but not before the floor is past the oldest part of some series:
    /// its oldest block or, if it has no blocks, the older half of its points, or all if they are few. Until
    /// then a call takes constant time. So it can be called every few seconds after the floor was raised,
    /// and then until it says that this was all.
    pub fn expire(&mut self, most: usize) -> bool {
        let points = self.totals.points;
        let sweep = self.removal.expiry.take().or_else(|| self.begin_expiry());
        let sweep = sweep.map(|sweep| self.sweep(sweep, most, true, &mut |_, _, _| ()));
        self.removal.expiry = sweep.filter(|sweep| !sweep.places.is_empty());
        if self.totals.points < points {
            join_freed_memory();
        }
        self.removal.expired_points += (points - self.totals.points) as u64;
        self.removal.expiry.is_some()
    }

    /// Begins to look at all series, if any may have something to remove.
    fn begin_expiry(&mut self) -> Option<Sweep> {
        let due = self.removal.due?;
        let up_to = self.removed_to.filter(|&to| to >= due)?;
        self.removal.due = None;
        Some(Sweep {
            up_to,
            places: 0..self.series.end(),
            ..Sweep::default()
        })
    }

    /// Begins the series at a place again, all of which is below the floor: it is new, and comes last. Its
    /// blocks are left for the next expiry, since there may be too many to free at once.
    pub(super) fn begin_again(&mut self, place: usize, point: Point) {
        let Some(series) = self.series.get_mut(place) else {
            return;
        };
        let position = self.order.position(place, series.position);
        self.order.remove(position);
        series.position = self.order.push(place);
        let points = self.totals.points + 1;
        series.timeline.begin_again(point, &mut self.totals);
        self.removal.expired_points += (points - self.totals.points) as u64;
        self.removal.note_due(series.timeline.oldest_end());
    }

    /// How many points were removed because they were below the floor.
    pub fn expired_points(&self) -> u64 {
        self.removal.expired_points
    }

    /// Removes a series with all its points, also for snapshots that are open, and says whether
    /// there was one. Linear in the number of its blocks.
    pub fn remove(&mut self, key: &str) -> bool {
        let place = self.place_of(key);
        place.map(|place| self.remove_to(place, i64::MAX)).is_some()
    }

    /// Removes the points up to a timestamp from the series at a place; with the last of them, the
    /// series. Says whether there is none at the place then.
    pub(crate) fn remove_to(&mut self, place: usize, up_to: i64) -> bool {
        let series = self.series.get_mut(place);
        if let Some(series) = series.filter(|series| series.timeline.last_timestamp() > up_to) {
            series.timeline.remove_to(up_to, &mut self.totals);
            return false;
        }
        if let Some(series) = self.series.remove(place) {
            let hash = self.index.hash((&*series.key).into());
            self.index.remove(hash, place);
            let position = self.order.position(place, series.position);
            self.order.remove(position);
            self.key_bytes -= series.key.len();
            let totals = series.timeline.totals();
            self.totals.replace(totals, Totals::default());
        }
        true
    }

    /// Frees some of the oldest points of the store, and says whether any points are left: whole
    /// blocks, half of the points of a series that has no blocks, and series with their keys if they
    /// lose all points. To be called while there is no room.
    ///
    /// Points go about by timestamp: the store chooses one such that an eighth of the series have
    /// something older that can be freed, frees that of a thousand series, and chooses the next.
    /// `removed` is called before it happens, with the place and the key of a series, and the
    /// timestamp up to which it loses its points. Snapshots that are open may still read some of them.
    ///
    /// Looks at `most` series or frees as many blocks, some 100 ns each; to choose a timestamp, at 128
    /// series more.
    pub fn evict(&mut self, most: usize, removed: &mut dyn FnMut(usize, &str, i64)) -> bool {
        let points = self.totals.points;
        let sweep = match self.removal.eviction.take() {
            Some(sweep) if !sweep.places.is_empty() => Some(sweep),
            ended => self.begin_eviction(ended),
        };
        self.removal.eviction = sweep.map(|sweep| self.sweep(sweep, most, false, removed));
        self.removal.evicted_points += (points - self.totals.points) as u64;
        self.series.len() > 0
    }

    /// Chooses which points are the oldest: for one in so many series of a sample, its oldest part
    /// is among them. Unless many were found just before the next places, looks at those around the
    /// oldest of the sample. So, of two sweeps, one frees something.
    fn begin_eviction(&mut self, before: Option<Sweep>) -> Option<Sweep> {
        let mut ends = BinaryHeap::with_capacity(SAMPLED_SERIES);
        for _ in 0..SAMPLED_SERIES.min(self.series.len()) {
            let place = self.order.sample(self.removal.next_random())?;
            ends.push((self.series.get(place)?.timeline.oldest_share_end(), place));
        }
        // A heap makes a smaller program than `sort`.
        let ends = ends.into_sorted_vec();
        let (up_to, _) = *ends.get(ends.len().checked_sub(1)? / SERIES_PER_EVICTED)?;
        let end = self.series.end();
        let found_enough = |sweep: &Sweep| {
            let is_enough = sweep.removals >= EVICTED_PLACES / PLACES_PER_EVICTED;
            is_enough && sweep.places.end < end
        };
        let next = before.filter(found_enough).map(|sweep| sweep.places.end);
        // From where on places are looked at together: so none is left out again and again.
        let first = next.unwrap_or(ends[0].1 / EVICTED_PLACES * EVICTED_PLACES);
        Some(Sweep {
            up_to,
            places: first..end.min(first + EVICTED_PLACES),
            ..Sweep::default()
        })
    }

    /// How many points were [evicted](Self::evict).
    pub fn evicted_points(&self) -> u64 {
        self.removal.evicted_points
    }

    /// Goes on with a sweep by so many steps.
    fn sweep(
        &mut self,
        mut sweep: Sweep,
        most: usize,
        is_exact: bool,
        removed: &mut Removed,
    ) -> Sweep {
        let mut steps = 0;
        while steps < most && !sweep.places.is_empty() {
            let (place, up_to) = (sweep.places.start, sweep.up_to);
            if sweep.warm_to <= place {
                sweep.warm_to = place + PLACES_AT_ONCE;
                self.warm_removal(place..sweep.warm_to, up_to);
            }
            match self.remove_oldest(place, up_to, most - steps, is_exact, removed) {
                Ok(taken) => {
                    sweep.removals += 1;
                    steps += taken;
                }
                Err(due) => {
                    self.removal.note_due(due);
                    sweep.places.start += 1;
                    steps += 1;
                }
            }
        }
        sweep
    }

    /// Loads what the removal of series from the index needs into the processor's cache, several at
    /// the same time.
    fn warm_removal(&self, places: Range<usize>, up_to: i64) {
        for series in places.filter_map(|place| self.series.get(place)) {
            if series.timeline.last_timestamp() <= up_to {
                black_box(self.index.guess(self.index.hash((&*series.key).into())));
            }
        }
    }

    /// Removes the oldest part of a series if it is about up to a timestamp or, if `is_exact`, not
    /// past it. Returns how many steps of a sweep that takes.
    ///
    /// # Errors
    ///
    /// If nothing is removed: when the oldest part ends.
    fn remove_oldest(
        &mut self,
        place: usize,
        up_to: i64,
        most_blocks: usize,
        is_exact: bool,
        removed: &mut Removed,
    ) -> Result<usize, i64> {
        let series = self.series.get(place).ok_or(i64::MAX)?;
        let timeline = &series.timeline;
        let (last, blocks) = (timeline.last_timestamp(), timeline.block_count());
        let (to, steps) = if last <= up_to && blocks <= most_blocks {
            (last, blocks + SERIES_STEPS)
        } else {
            let part = timeline.oldest_part(up_to, most_blocks);
            let (to, blocks) = part.ok_or_else(|| timeline.oldest_end())?;
            (to, if blocks > 0 { blocks } else { HEAD_STEPS })
        };
        if is_exact && to > up_to {
            return Err(to);
        }
        removed(place, &series.key, to);
        self.remove_to(place, to);
        Ok(steps)
    }
}

/// Spares a later put the joining of memory that was freed in small pieces. glibc leaves it until it
/// is asked for this much, and then it took 8 ms for all that was freed of 30,000 series.
fn join_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(2_048)));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn value(at: i64) -> f64 {
        (at * 7_919 % 101) as f64 / 100.0
    }

    /// Puts points into a series, a step apart.
    fn fill(store: &mut Store, key: &str, first: i64, step: i64, count: i64) {
        (0..count).for_each(|at| store.put(key, first + step * at, value(at)));
    }

    fn first_timestamp(store: &Store, key: &str) -> Option<i64> {
        store.range(key, ..).next().map(|point| point.timestamp)
    }

    /// Expires all, and returns how many slices that takes.
    fn expire_all(store: &mut Store, most: usize) -> usize {
        1 + (0..).take_while(|_| store.expire(most)).count()
    }

    /// Evicts until there is no more, or no need to. Returns up to when each series lost its points.
    fn evict_while(
        store: &mut Store,
        most: usize,
        is_full: impl Fn(&Store) -> bool,
    ) -> BTreeMap<String, i64> {
        let (mut removed, mut calls) = (BTreeMap::new(), 0);
        while is_full(store) {
            let is_more = store.evict(most, &mut |_, key, up_to| {
                let before = removed.insert(key.to_owned(), up_to);
                assert!(
                    before.is_none_or(|before| before < up_to),
                    "{key} goes forwards"
                );
            });
            calls += 1;
            assert!(calls * most.min(1_000) < 1_000_000, "it does not end");
            if !is_more {
                break;
            }
        }
        store.check(false);
        removed
    }

    #[test]
    fn churn_leaves_nothing() {
        let mut store = Store::new();
        // The most bytes of the third hour, and of all that follow: an index has its ups and downs.
        let (mut third_hour, mut later) = (0, 0);
        for minute in 0..24 * 60 {
            let time = 1_500_000_000 + 60 * minute;
            for age in 0..5.min(minute + 1) {
                for pod in 10..50 {
                    store.put(&format!("pod{:04}.{pod}.cpu", minute - age), time, 0.5);
                }
            }
            let floor = time - 60 * 60;
            store.set_floors(floor, floor);
            expire_all(&mut store, 100);
            match minute {
                ..120 => {}
                120..180 => third_hour = third_hour.max(store.allocated_bytes()),
                _ => later = later.max(store.allocated_bytes()),
            }
        }
        store.check(false);
        assert_eq!(store.series_count(), 65 * 40);
        assert!(
            later <= third_hour + third_hour / 20,
            "{later}, and {third_hour} in the third hour"
        );
        store.set_floors(i64::MAX, i64::MAX);
        expire_all(&mut store, 100);
        let bytes = store.bytes();
        assert_eq!((store.series_count(), bytes.keys, bytes.points), (0, 0, 0));
        assert!(bytes.index < third_hour / 50, "{bytes:?}");
    }

    #[test]
    fn what_is_below_the_floor_is_freed_in_slices_of_so_many_blocks() {
        let mut store = Store::new();
        fill(&mut store, "long", 0, 1, 120_000);
        fill(&mut store, "short", 0, 1, 100);
        fill(&mut store, "old", 0, 1, 100_000);
        fill(&mut store, "new", 99_990, 1, 20);
        let (points, bytes) = (store.point_count(), store.allocated_bytes());
        assert_eq!(expire_all(&mut store, 10), 1, "there is no floor");
        store.set_floors(100_000, 100_000);
        let (mut slices, mut before) = (1, points);
        while store.expire(10) {
            assert!(before - store.point_count() < 11 * 1_280);
            (slices, before) = (slices + 1, store.point_count());
        }
        assert!((15..200).contains(&slices), "{slices}");
        assert_eq!(store.series_count(), 2);
        assert!(store.point_count() < 20_000 + 10 + 1_280);
        assert!(store.allocated_bytes() < bytes / 4);
        assert_eq!(
            store.expired_points() as usize,
            points - store.point_count()
        );
        store.check(false);

        assert_eq!(first_timestamp(&store, "long"), Some(100_000));
        assert_eq!(first_timestamp(&store, "new"), Some(100_000));
        let next = store.removal.due.expect("there are series") + 1;
        assert!((100_001..=101_121).contains(&next), "{next}");
        let (before, removal) = (store.point_count(), format!("{:?}", store.removal));
        store.set_floors(next - 1, next - 1);
        assert_eq!(expire_all(&mut store, usize::MAX), 1);
        assert_eq!(
            format!("{:?}", store.removal),
            removal,
            "nothing was looked at"
        );
        store.set_floors(next, next);
        expire_all(&mut store, usize::MAX);
        assert!(store.point_count() < before);
    }

    #[test]
    fn a_series_of_a_few_points_goes_when_all_do_and_a_head_by_halves() {
        let mut store = Store::new();
        fill(&mut store, "few", 1, 1, 7);
        fill(&mut store, "head", 1, 1, 80);
        for (floor, few, head) in [
            (7, 7, 80),
            (8, 0, 80),
            (41, 0, 40),
            (60, 0, 40),
            (61, 0, 20),
        ] {
            store.set_floors(floor, floor);
            expire_all(&mut store, 3);
            assert_eq!(store.point_count(), few + head, "{floor}");
            let first = Some(floor).filter(|&floor| floor <= 7);
            assert_eq!(first_timestamp(&store, "few"), first);
            assert_eq!(first_timestamp(&store, "head"), Some(floor));
            store.check(false);
        }
    }

    #[test]
    fn hidden_points_come_back_and_removed_ones_do_not() {
        let mut store = Store::new();
        fill(&mut store, "k", 0, 1, 50);
        store.set_floors(1_000, 10);
        expire_all(&mut store, 10);
        store.put("k", 20, 0.5);
        store.put("k", 9, 0.5);
        store.put("hidden", 999, 0.5);
        assert_eq!(store.range("k", ..).count() + store.keys().count(), 0);
        store.set_floors(10, 20);
        assert_eq!(first_timestamp(&store, "k"), Some(10));
        assert!(store.keys().eq(["k", "hidden"]));
        store.put("k", 10, 77.0);
        let first = store.range("k", ..).next().map(|point| point.value);
        assert_eq!(first, Some(77.0), "the lower floor counts");
    }

    #[test]
    fn what_is_past_a_lowered_floor_stays_though_its_removal_had_begun() {
        const SERIES: usize = 100;
        let mut store = Store::new();
        let keys: Vec<String> = (0..SERIES).map(|number| format!("k{number}")).collect();
        keys.iter().for_each(|key| fill(&mut store, key, 0, 1, 20));
        store.set_floors(1_000, 1_000);
        assert!(store.expire(10));
        store.set_floors(10, 10);
        keys.iter().for_each(|key| store.put(key, 15, 0.5));
        expire_all(&mut store, 10);
        assert_eq!(store.series_count(), SERIES);
        for key in &keys {
            assert!(store.range(key, ..).any(|point| point.timestamp == 15));
        }
        store.set_floors(1_000, 1_000);
        assert!(store.expire(10));
        store.set_floors(i64::MIN, i64::MIN);
        assert_eq!(expire_all(&mut store, 10), 1);
        store.set_floors(1_000, 1_000);
        expire_all(&mut store, 10);
        assert_eq!(store.series_count(), 0);
    }

    #[test]
    fn a_put_to_a_series_below_the_floor_does_not_free_all_of_it_at_once() {
        let mut store = Store::new();
        fill(&mut store, "k", 0, 1, 3_000_000);
        let points = store.point_count();
        store.set_floors(4_000_000, 4_000_000);
        store.put("k", 3_999_999, 1.0);
        assert_eq!(store.point_count(), points, "it is not kept");
        store.put("k", 4_000_000, 1.0);
        store.check(false);
        let left = store.point_count();
        assert!((points - 160..=points).contains(&left), "{left}");
        assert!(
            store
                .range("k", ..)
                .map(|point| point.timestamp)
                .eq([4_000_000])
        );
        assert!(expire_all(&mut store, 500) > 3);
        store.check(false);
        assert_eq!(
            (store.point_count(), store.expired_points()),
            (1, 3_000_000)
        );
    }

    #[test]
    fn a_series_that_is_put_again_after_all_was_below_the_floor_is_the_last_one() {
        let mut store = Store::new();
        for key in ["a", "b", "c"] {
            store.put(key, 1, 0.5);
        }
        let mut snapshot = store.snapshot_all();
        let mut of_a = store.snapshot("a").expect("it was put");
        store.set_floors(2, 2);
        for key in ["b", "a"] {
            store.put(key, 2, 0.5);
        }
        assert!(store.keys().eq(["b", "a"]));
        assert_eq!(store.series_count(), 3, "c is not looked at yet");
        let mut run = crate::Run::new();
        for snapshot in [&mut snapshot, &mut of_a] {
            assert_eq!(snapshot.next_run(&store, &mut run), Ok(None));
        }
        expire_all(&mut store, 100);
        assert_eq!((store.series_count(), store.expired_points()), (2, 3));
    }

    #[test]
    fn the_oldest_points_of_one_long_series_are_evicted() {
        let mut store = Store::new();
        fill(&mut store, "k", 0, 10, 300_000);
        let half = store.allocated_bytes() / 2;
        let removed = evict_while(&mut store, 7, |store| store.allocated_bytes() > half);
        let up_to = removed["k"];
        assert_eq!(first_timestamp(&store, "k"), Some((up_to / 10 + 1) * 10));
        assert_eq!(store.range("k", ..).count(), store.point_count());
        assert!(store.allocated_bytes() > half - 20_000);
        assert_eq!(store.evicted_points(), (up_to / 10 + 1) as u64);
    }

    #[test]
    fn the_oldest_points_of_many_series_are_evicted_about_in_order() {
        const SERIES: i64 = 60;
        let mut store = Store::new();
        for at in 0..15_000 {
            for series in 0..SERIES {
                // Some have a point in each step, others now and then.
                if at % (1 + series % 5) == 0 {
                    store.put(&format!("host{series}"), at, value(series + at));
                }
            }
        }
        let (all, goal) = (store.allocated_bytes(), store.allocated_bytes() * 2 / 3);
        let removed = evict_while(&mut store, 50, |store| store.allocated_bytes() > goal);
        assert!(store.allocated_bytes() > goal - all / 10);
        let latest = *removed.values().max().expect("there was no room");
        let first = store.keys().filter_map(|key| first_timestamp(&store, key));
        let first = first.min().expect("there are points");
        // A block of the slowest series is 5,600 steps long.
        assert!((4_000..7_000).contains(&latest), "{latest}");
        assert!(latest - first < 5_600, "{latest}, and {first} is left");
        assert_eq!(store.series_count(), SERIES as usize);
    }

    #[test]
    fn few_places_are_looked_at_where_neighbours_are_of_one_age() {
        const SERIES: i64 = 20_000;
        // Of each twenty, the last one is the oldest; the places of the first were used again since.
        let timestamp = |series: i64| match series / (SERIES / 20) {
            19 => 1,
            twentieth => 10 + twentieth,
        };
        let mut store = Store::new();
        for series in 0..SERIES {
            store.put(&format!("series{series}"), timestamp(series), 0.5);
        }
        let (mut removed, mut idle_slices) = ([0; 40], 0);
        while store.series_count() > SERIES as usize / 2 {
            let before = store.series_count();
            store.evict(64, &mut |_, _, up_to| removed[up_to as usize] += 1);
            let is_idle = store.series_count() == before;
            idle_slices = if is_idle { idle_slices + 1 } else { 0 };
            assert!(idle_slices <= 2 * EVICTED_PLACES / 64, "{removed:?}");
        }
        assert!(removed[1] > 800, "{removed:?}");
        assert!(
            removed[10..16].iter().all(|&count| count > 800),
            "{removed:?}"
        );
        assert_eq!(removed[24..], [0; 16]);
    }

    #[test]
    fn eviction_makes_room_and_ends_whatever_there_is() {
        let late = |at: i64| at * 7_919 % 20_011;
        let garbage = |at: i64| [i64::MAX, i64::MIN, 5, 1 << 40][at as usize % 4] ^ (at / 4);
        type Timestamps<'t> = &'t dyn Fn(i64) -> i64;
        let cases: [(&str, i64, i64, Timestamps); 6] = [
            ("one point each, at one time", 3_000, 1, &|_| 7),
            ("one point each", 3_000, 1, &|at| at),
            ("one point", 1, 1, &|at| at),
            ("out of order", 3, 20_000, &late),
            ("garbage", 50, 300, &garbage),
            ("backwards", 2, 5_000, &|at| -at),
        ];
        for (name, series, points, timestamp) in cases {
            for most in [10, 100_000] {
                let mut store = Store::new();
                for at in 0..series * points {
                    let key = format!("series{}", at % series);
                    store.put(&key, timestamp(at), at as f64);
                }
                let count = store.series_count();
                let goal = store.allocated_bytes() / 2;
                evict_while(&mut store, most, |store| store.allocated_bytes() > goal);
                let is_empty = store.series_count() == 0;
                assert!(
                    store.allocated_bytes() <= goal || is_empty,
                    "{name}, by {most}"
                );
                assert!(store.series_count() < count || points > 1, "{name}");
                evict_while(&mut store, most, |_| true);
                assert_eq!(store.bytes().points, 0, "{name}, by {most}");
                assert!(!store.evict(most, &mut |_, _, _| ()));
            }
        }
    }
}
