//! What removes points: floors, below which they are hidden and freed, and eviction of the oldest.
//!
//! Both walk all places in slices, and free the oldest part of a series at a time: blocks or, where
//! a series has none, half of its head; if all of its points go, the series. So nothing is encoded
//! but heads, and nothing is searched for.

use super::Store;
use super::timeline::Timeline;

/// A series without blocks takes as long to remove as so many blocks.
const SERIES_STEPS: usize = 4;

/// Half of a head takes as long to remove as so many blocks.
const HEAD_STEPS: usize = 16;

/// A series of more blocks is not freed at once.
const BLOCKS_AT_ONCE: usize = 1_000;

/// So many series are looked at to choose which points are the oldest.
const SAMPLED_SERIES: usize = 128;

/// One in so many series loses some of its points, at the least, before they are chosen again.
const SERIES_PER_EVICTED: usize = 16;

/// What is to be removed.
#[derive(Debug)]
pub struct Removal {
    /// No series has a part to remove up to an earlier timestamp.
    due: i64,
    /// Of what is below the floor.
    expiry: Option<Sweep>,
    /// Of the oldest.
    eviction: Option<Sweep>,
    /// Of series that are removed, and had too many blocks to free at once.
    condemned: Vec<Timeline>,
    /// What series are sampled by.
    random: u64,
    expired_points: u64,
    evicted_points: u64,
}

/// How far all series are looked at.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    /// The last timestamp to remove.
    up_to: i64,
    /// The next place to look at.
    place: usize,
    /// Of the series before it, when the earliest part ends that was left.
    due: i64,
}

impl Default for Removal {
    fn default() -> Removal {
        Removal {
            due: i64::MAX,
            expiry: None,
            eviction: None,
            condemned: Vec::new(),
            random: 0,
            expired_points: 0,
            evicted_points: 0,
        }
    }
}

impl Removal {
    /// Counts a new series, whose oldest part ends then.
    pub fn expect(&mut self, oldest_end: i64) {
        self.due = self.due.min(oldest_end);
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

    #[cfg(test)]
    pub fn condemned(&self) -> impl Iterator<Item = &Timeline> {
        self.condemned.iter()
    }
}

impl Sweep {
    fn new(up_to: i64) -> Sweep {
        let (place, due) = (0, i64::MAX);
        Sweep { up_to, place, due }
    }
}

/// Is told the place and the key of a series, and the timestamp up to which all its points are
/// about to be removed.
type Removed<'lent> = dyn FnMut(usize, &str, i64) + 'lent;

impl Store {
    /// Sets what is too old: points below `hidden_below` are not read from now on, to the point, by
    /// nobody, open snapshots included. Points below `removed_below`, if that is not past
    /// `hidden_below`, and else those below `hidden_below`, are gone: [`expire`](Self::expire) frees
    /// them, and puts of such points are not kept. A series whose points are all below is removed
    /// too; put again, it is new, and the last one.
    ///
    /// The store knows no clock: whoever wants to keep points for a day sets both floors to a day
    /// ago, now and then. The floors may be lowered again. Points that were only hidden are read
    /// again then: so a `removed_below` that is raised later than `hidden_below` is what a clock that
    /// is wrong for a while cannot harm.
    ///
    /// Constant time. Nothing is slower for it.
    ///
    /// ```
    /// let mut store = metricd::Store::new();
    /// store.put_all(&[1, 2, 3].map(|timestamp| metricd::Put {
    ///     key: "palm.cpu".into(),
    ///     timestamp,
    ///     value: 0.5,
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
        self.hidden_below = hidden_below;
        self.removed_below = removed_below.min(hidden_below);
    }

    /// The last timestamp that is hidden.
    pub(super) fn hidden_to(&self) -> Option<i64> {
        self.hidden_below.checked_sub(1)
    }

    /// The last timestamp that is gone.
    pub(super) fn removed_to(&self) -> Option<i64> {
        self.removed_below.checked_sub(1)
    }

    /// Frees a part of what is below [the floor](Self::set_floors), and says whether there is more
    /// to look at: whole blocks, half of the points of a series that has no blocks, and series that
    /// are wholly below. What is left below is never read.
    ///
    /// Looks at `most` series or frees as many blocks, some 100 ns each. Constant time if the floor
    /// is below the [next expiry](Self::next_expiry). To be called after the floor was raised, until
    /// it says that there is no more, but not more often than every few seconds for all series: a
    /// sweep looks at each.
    pub fn expire(&mut self, most: usize) -> bool {
        let freed = self.free_condemned(most);
        let points = self.totals.points;
        let started = self.removal.expiry.or_else(|| self.begin_expiry());
        if let Some(mut sweep) = started {
            let is_more = self.sweep(&mut sweep, most - freed, true, &mut |_, _, _| ());
            self.removal.expiry = is_more.then_some(sweep);
            if !is_more {
                self.removal.expect(sweep.due);
            }
        }
        self.removal.expired_points += (points - self.totals.points) as u64;
        self.removal.expiry.is_some() || !self.removal.condemned.is_empty()
    }

    /// Begins to look at all series, if any may have something to remove.
    fn begin_expiry(&mut self) -> Option<Sweep> {
        let up_to = self.removed_to().filter(|&to| to >= self.removal.due)?;
        self.removal.due = i64::MAX;
        Some(Sweep::new(up_to))
    }

    /// How high `removed_below` must be for [`expire`](Self::expire) to find anything to free, as
    /// far as is known: it may be less. `None` in a store that holds nothing.
    pub fn next_expiry(&self) -> Option<i64> {
        match self.removal.expiry {
            Some(_) => Some(self.removed_below),
            None if self.series.len() == 0 => None,
            None => Some(self.removal.due.saturating_add(1)),
        }
    }

    /// Removes the series at a place, all of which is below the floor. If it has too many blocks to
    /// free at once, these are left for the next expiry.
    pub(super) fn expire_at(&mut self, place: usize) {
        if let Some(timeline) = self.take(place) {
            self.removal.condemned.push(timeline);
            self.free_condemned(BLOCKS_AT_ONCE);
        }
    }

    /// How many points were removed because they were below the floor.
    pub fn expired_points(&self) -> u64 {
        self.removal.expired_points
    }

    /// Removes a series with all its points, also for snapshots that are open, and says whether
    /// there was one. Linear in the number of its blocks.
    pub fn remove(&mut self, key: &str) -> bool {
        let place = self.place_of(key);
        place.map(|place| self.remove_at(place)).is_some()
    }

    fn remove_at(&mut self, place: usize) {
        if let Some(timeline) = self.take(place) {
            self.totals.subtract(timeline.totals());
        }
    }

    /// Removes the points up to a timestamp from the series at a place; with the last of them, the
    /// series.
    pub(crate) fn remove_to(&mut self, place: usize, up_to: i64) {
        if let Some(series) = self.series.get_mut(place) {
            if series.timeline.last_timestamp() > up_to {
                series.timeline.remove_to(up_to, &mut self.totals);
            } else {
                self.remove_at(place);
            }
        }
    }

    /// Frees points of condemned series, at most so many blocks. Returns how many that were.
    fn free_condemned(&mut self, most: usize) -> usize {
        let (points, mut freed) = (self.totals.points, 0);
        while freed < most
            && let Some(mut timeline) = self.removal.condemned.pop()
        {
            let left = most - freed;
            if timeline.block_count() <= left {
                freed += timeline.block_count();
                self.totals.subtract(timeline.totals());
                continue;
            }
            if let Some((to, blocks)) = timeline.oldest_part(i64::MAX, left) {
                timeline.remove_to(to, &mut self.totals);
                freed += blocks;
            }
            self.removal.condemned.push(timeline);
        }
        self.removal.expired_points += (points - self.totals.points) as u64;
        freed
    }

    /// Frees a part of the oldest points of the store, and says whether there are more points: whole
    /// blocks, half of the points of a series that has no blocks, and series that lose all. To be
    /// called when there is no room, until there is.
    ///
    /// Points go roughly by timestamp: what is older than a timestamp for which this is a few percent
    /// of all is freed series by series, and then again. `removed` is told before it happens; it
    /// gets the place and the key of a series, and the timestamp up to which its points go.
    ///
    /// Looks at `most` series or frees as many blocks, some 100 ns each, and at most 64 more.
    pub fn evict(&mut self, most: usize, removed: &mut dyn FnMut(usize, &str, i64)) -> bool {
        let freed = self.free_condemned(most);
        let points = self.totals.points;
        let started = self.removal.eviction.or_else(|| self.begin_eviction());
        if let Some(mut sweep) = started {
            let is_more = self.sweep(&mut sweep, most - freed, false, removed);
            self.removal.eviction = is_more.then_some(sweep);
        }
        self.removal.evicted_points += (points - self.totals.points) as u64;
        self.series.len() > 0 || !self.removal.condemned.is_empty()
    }

    /// Chooses which points are the oldest: for one in so many series of a sample, its oldest part
    /// is among them. So a sweep frees something, unless series have changed meanwhile.
    fn begin_eviction(&mut self) -> Option<Sweep> {
        let mut ends = Vec::with_capacity(SAMPLED_SERIES);
        for _ in 0..SAMPLED_SERIES.min(self.series.len()) {
            let place = self.order.sample(self.removal.next_random())?;
            ends.push(self.series.get(place)?.timeline.oldest_share_end());
        }
        let lowest = ends.len().checked_sub(1)? / SERIES_PER_EVICTED;
        let (_, up_to, _) = ends.select_nth_unstable(lowest);
        Some(Sweep::new(*up_to))
    }

    /// How many points were [evicted](Self::evict).
    pub fn evicted_points(&self) -> u64 {
        self.removal.evicted_points
    }

    /// Goes on with a sweep by so many steps, and says whether there is more of it.
    fn sweep(
        &mut self,
        sweep: &mut Sweep,
        most: usize,
        is_exact: bool,
        removed: &mut Removed,
    ) -> bool {
        let mut steps = 0;
        while steps < most && sweep.place < self.series.end() {
            let (place, up_to) = (sweep.place, sweep.up_to);
            match self.remove_oldest(place, up_to, most - steps, is_exact, removed) {
                Ok(taken) => steps += taken,
                Err(due) => {
                    sweep.due = sweep.due.min(due);
                    sweep.place += 1;
                    steps += 1;
                }
            }
        }
        sweep.place < self.series.end()
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
