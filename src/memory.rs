//! How much of the memory that the process may take is left.
//!
//! The limit is on what the system calls resident: code, stacks and the allocator's own included. To
//! ask the system takes a microsecond, too long for each put. So it is asked when what the server
//! counts itself has changed by a step, and in between the count goes on from there.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::config::{Config, WhenFull};
use crate::server::Recorder;
use crate::store::Store;

/// This share of the limit is left free: for what comes between two questions.
const MARGIN_SHARE: usize = 64;

/// With eviction, this share: freed pieces do not always fit what is new.
const EVICTION_MARGIN_SHARE: usize = 21;

/// The system is asked again when the count has changed by this share of the limit,
const STEP_SHARE: usize = 256;

/// or, near the limit, by half of what is left, but not by less than this share,
const LEAST_STEP_SHARE: usize = 4_096;

/// or when there was a look so many times, since not all memory is counted.
const LOOKS: u32 = 64;

/// Past the limit, eviction frees so many bytes for each that is to be used again, since freed pieces may
/// be too small for what is new. So all but the [least store](LEAST_STORE_SHARE) is freed before the limit is
/// passed by 5 %, whatever is put. If it were more, a query that takes memory for a while would cost
/// more points.
const FREED_FOR_USE: usize = 8;

/// Where nothing makes room, so many bytes must be free for each that is past the limit because freed
/// pieces were too small. So the limit is passed by less than 5 %, whatever is freed and put, unless
/// clients took much before.
const FREE_FOR_UNFIT: usize = 16;

/// Where the system does not tell what is resident: bytes beside those that are counted,
const UNCOUNTED_BYTES: usize = 4 << 20;

/// and this share of these, for the allocator.
const UNCOUNTED_SHARE: usize = 8;

/// How many bytes the server may count, so that what is resident stays below a limit.
///
/// While the count grows to where it never was, what is resident grows by what that really takes,
/// with the allocator's part; so what is left up to the limit is room. When the count has shrunk,
/// the allocator keeps most of what was freed, to be used again: that is room too. Where it is not
/// used again, since the pieces do not fit, what is resident grows all the same, and the room becomes
/// less by as much.
struct Memory {
    /// What may be resident, if there is a limit.
    target_bytes: Option<usize>,
    /// Whether something makes room once that is passed.
    frees_more: bool,
    /// Asks the system what is resident.
    ask: Box<dyn FnMut() -> Option<usize> + Send>,
    /// What it said the last time.
    resident_bytes: usize,
    /// The most that was counted, less what was given back to the system since.
    most_counted_bytes: usize,
    /// What came to be resident while less was counted, and has not gone: buffers that the system gives
    /// and gets back.
    passing_bytes: usize,
    /// The most that clients took past what is kept free for them.
    most_past_reserve_bytes: usize,
    /// With eviction: what was past the target when it was asked first, and is used again.
    past_at_start_bytes: usize,
    /// The counts for which it is not asked again: all of them, if there is no limit.
    steps: Range<usize>,
    /// How many more looks there are until it is asked again.
    looks: u32,
}

impl Memory {
    /// The memory of this process, of which so many bytes may be resident.
    fn new(limit_bytes: Option<usize>, when_full: WhenFull) -> Memory {
        let statm = limit_bytes.and_then(|_| File::open("/proc/self/statm").ok());
        Memory::asking(limit_bytes, when_full, move || {
            resident_bytes(statm.as_ref()?)
        })
    }

    fn asking(
        limit_bytes: Option<usize>,
        when_full: WhenFull,
        ask: impl FnMut() -> Option<usize> + Send + 'static,
    ) -> Memory {
        let margin_share = match when_full {
            WhenFull::Refuse => MARGIN_SHARE,
            WhenFull::Evict => EVICTION_MARGIN_SHARE,
        };
        Memory {
            target_bytes: limit_bytes.map(|limit| limit - limit / margin_share),
            frees_more: when_full == WhenFull::Evict,
            ask: Box::new(ask),
            resident_bytes: 0,
            most_counted_bytes: 0,
            passing_bytes: 0,
            most_past_reserve_bytes: 0,
            past_at_start_bytes: 0,
            steps: 0..limit_bytes.map_or(usize::MAX, |_| 0),
            looks: 0,
        }
    }

    /// Up to which count there is room before this is to be asked again, now that so many bytes are
    /// counted, if `spare_bytes` are to be left free; `None` if there is no room for more.
    ///
    /// Constant time. Asks the system now and then.
    fn room_until(&mut self, counted_bytes: usize, spare_bytes: usize) -> Option<usize> {
        let most = self.most_bytes(counted_bytes).saturating_sub(spare_bytes);
        (counted_bytes < most).then_some(most.min(self.steps.end))
    }

    /// Up to how many counted bytes there is room, now that there are so many.
    fn most_bytes(&mut self, counted_bytes: usize) -> usize {
        let Some(target) = self.target_bytes else {
            return usize::MAX;
        };
        self.looks = self.looks.saturating_sub(1);
        if self.looks == 0 || !self.steps.contains(&counted_bytes) {
            self.ask(target, counted_bytes);
        }
        self.most(target)
    }

    /// Notes that so many bytes were freed, so that the system is asked that much earlier: what takes their
    /// place may not fit there, and then more is resident though the count is as before.
    fn note_freed(&mut self, bytes: usize) {
        self.steps.end = self.steps.end.saturating_sub(bytes);
    }

    fn most(&self, target: usize) -> usize {
        let resident = self.resident_bytes;
        // The sum may be more than 32 bits hold.
        let sum = self.most_counted_bytes as u128 + target as u128;
        let most = usize::try_from(sum.saturating_sub(resident as u128)).unwrap_or(usize::MAX);
        let over = resident.saturating_sub(target);
        let kept_free = if self.frees_more {
            let unfit = over.saturating_sub(self.past_at_start_bytes);
            unfit.saturating_mul(FREED_FOR_USE - 1)
        } else {
            // Not for what clients took, and the allocator with them: most of that never goes, and puts
            // would be refused for good.
            let of_clients = 2 * self.most_past_reserve_bytes;
            let unfit = self.passing_bytes.saturating_sub(of_clients);
            over.min(unfit).saturating_mul(FREE_FOR_UNFIT - 1)
        };
        most.saturating_sub(kept_free)
    }

    #[cold]
    fn ask(&mut self, target: usize, counted_bytes: usize) {
        let uncounted = counted_bytes / UNCOUNTED_SHARE + UNCOUNTED_BYTES;
        let resident = (self.ask)().unwrap_or(counted_bytes + uncounted);
        let most_counted = self.most_counted_bytes;
        let is_first = self.resident_bytes == 0;
        if counted_bytes < most_counted {
            self.passing_bytes += resident.saturating_sub(self.resident_bytes);
        }
        let returned = self.resident_bytes.saturating_sub(resident);
        let passed = returned.min(self.passing_bytes);
        self.passing_bytes -= passed;
        self.most_counted_bytes = counted_bytes.max(most_counted.saturating_sub(returned - passed));
        self.resident_bytes = resident;
        let past = resident.saturating_sub(target);
        self.past_at_start_bytes = match is_first {
            true => past,
            false => self.past_at_start_bytes.min(past),
        };
        let step = target / STEP_SHARE;
        let half = self.most(target).saturating_sub(counted_bytes) / 2;
        let up = half.clamp(target / LEAST_STEP_SHARE, step);
        self.steps = counted_bytes.saturating_sub(step)..counted_bytes + up;
        self.looks = LOOKS;
    }
}

/// This share of the limit is kept free for connections, which are served even if the store is full.
const RESERVE_SHARE: usize = 32;

/// A store of less than this share of the limit makes no room, and may grow unless others take as much.
const LEAST_STORE_SHARE: usize = 8;

/// Series and blocks that are looked at, or freed, to make room, before it is looked whether there is
/// some: the work of a few microseconds.
const EVICTION_STEPS: usize = 64;

/// The most of them that are looked at or freed before a put is refused: the work of some milliseconds.
const EVICTION_STEPS_MAX: usize = 65_536;

/// The room that the store has for more.
pub struct Room {
    memory: Memory,
    when_full: WhenFull,
    /// Bytes that are counted beside those of the store,
    other_bytes: usize,
    /// and those that are kept free for them.
    reserve_bytes: usize,
    /// A store of fewer bytes makes no room, and may grow unless others take as much.
    least_store_bytes: usize,
    /// Up to here the store may grow before the memory is looked at again.
    store_until_bytes: usize,
}

impl Default for Room {
    /// Room without a limit.
    fn default() -> Room {
        Room::new(None, WhenFull::Refuse)
    }
}

impl Room {
    /// The room in this process, of which so many bytes may be resident.
    pub fn new(limit_bytes: Option<usize>, when_full: WhenFull) -> Room {
        Room {
            memory: Memory::new(limit_bytes, when_full),
            when_full,
            other_bytes: 0,
            reserve_bytes: limit_bytes.unwrap_or(0) / RESERVE_SHARE,
            least_store_bytes: limit_bytes.unwrap_or(0) / LEAST_STORE_SHARE,
            store_until_bytes: 0,
        }
    }

    /// Says how many bytes are counted beside those of the store. To be called now and then even if
    /// they are the same, since there is memory that nobody counts.
    pub fn set_other_bytes(&mut self, other_bytes: usize, store: &Store) {
        self.other_bytes = other_bytes;
        let past_reserve = other_bytes.saturating_sub(self.reserve_bytes);
        self.memory.most_past_reserve_bytes = self.memory.most_past_reserve_bytes.max(past_reserve);
        // If neither eviction nor the closing of connections is going to free more, puts that waited for
        // that would be refused for good.
        self.memory.frees_more =
            self.when_full == WhenFull::Evict || other_bytes > self.reserve_bytes;
        self.look(store);
    }

    /// Whether there is room for a few puts more.
    #[inline]
    pub fn has(&mut self, store: &Store) -> bool {
        store.allocated_bytes() < self.store_until_bytes || self.look(store)
    }

    #[cold]
    fn look(&mut self, store: &Store) -> bool {
        let counted_bytes = self.other_bytes + store.allocated_bytes();
        let unused_bytes = self.reserve_bytes.saturating_sub(self.other_bytes);
        // Connections that keep much may keep more before the next look.
        let spare_bytes = unused_bytes.max(self.reserve_bytes / 2);
        let until = self.memory.room_until(counted_bytes, spare_bytes);
        let mut until = until.map(|until| until.saturating_sub(self.other_bytes));
        // Little is left to be freed: what is resident is what the allocator keeps for what is new.
        let keep_little = self.other_bytes <= self.least_store_bytes;
        if self.evicts() && keep_little && self.is_small(store) {
            until = until.max(Some(self.least_store_bytes));
        }
        self.store_until_bytes = until.unwrap_or(0);
        until.is_some()
    }

    /// How many bytes were resident when the system was asked last.
    pub fn resident_bytes(&self) -> usize {
        self.memory.resident_bytes
    }

    /// Whether puts are refused for lack of room.
    #[cfg(feature = "http")]
    pub fn is_refusing(&mut self, store: &Store) -> bool {
        !self.may_make(store) && !self.has(store)
    }

    /// Whether the oldest points are to make room. Those of a small store never do: it may grow, unless
    /// clients keep much.
    pub fn may_make(&self, store: &Store) -> bool {
        self.evicts() && !self.is_small(store) && store.series_count() > 0
    }

    /// Whether the oldest points are to make room once there is none.
    pub fn evicts(&self) -> bool {
        self.when_full == WhenFull::Evict
    }

    fn is_small(&self, store: &Store) -> bool {
        store.allocated_bytes() < self.least_store_bytes
    }

    /// If the oldest points [are to make room](Self::may_make), removes some of them, and records
    /// that. Returns whether so many bytes may be used: because there is room, because several times as many
    /// were freed, or because the records of that take as many, until they are on the disk.
    #[cold]
    pub fn make(
        &mut self,
        wanted_bytes: usize,
        store: &mut Store,
        mut recorder: Option<&mut Recorder>,
    ) -> bool {
        let mut record = |place: usize, key: &str, up_to: i64| {
            let recorder = recorder.as_mut();
            recorder.map_or(0, |recorder| recorder.puts.remove(place, key, up_to))
        };
        self.make_telling(wanted_bytes, store, &mut record)
    }

    /// Keeps so many bytes free in addition. To be called before anything is stored.
    pub fn keep_free(&mut self, bytes: usize) {
        let target = self.memory.target_bytes;
        self.memory.target_bytes = target.map(|target| target.saturating_sub(bytes));
    }

    /// Makes room for more of what a start reads, if the oldest points [are to make room](Self::may_make).
    /// Calls `evicted` with the place of each series that is about to lose points.
    #[inline]
    pub fn make_at_start(&mut self, store: &mut Store, evicted: &mut dyn FnMut(usize)) {
        if self.may_make(store) && !self.has(store) {
            let mut tell = |place: usize, _: &str, _: i64| {
                evicted(place);
                0
            };
            self.make_telling(Config::EVICTION_BYTES, store, &mut tell);
        }
    }

    /// Makes room. `record` is called before a series loses points, as by [`Store::evict`], and returns the
    /// bytes of its record.
    #[cold]
    fn make_telling(
        &mut self,
        wanted_bytes: usize,
        store: &mut Store,
        record: &mut dyn FnMut(usize, &str, i64) -> usize,
    ) -> bool {
        let mut recorded_bytes = 0;
        let enough_bytes = wanted_bytes.saturating_mul(FREED_FOR_USE);
        let down_to_bytes = store.allocated_bytes().checked_sub(enough_bytes);
        let mut steps_left = EVICTION_STEPS_MAX;
        while steps_left > 0 {
            let is_enough = down_to_bytes.is_some_and(|to| store.allocated_bytes() <= to);
            if is_enough || self.has(store) || recorded_bytes > wanted_bytes {
                return true;
            }
            let before_bytes = store.allocated_bytes();
            // Not many long keys at once.
            let series_bytes = before_bytes / store.series_count().max(1);
            let steps = (Config::EVICTION_BYTES / series_bytes.max(1)).clamp(1, EVICTION_STEPS);
            steps_left = steps_left.saturating_sub(steps);
            let mut record = |place: usize, key: &str, up_to: i64| {
                recorded_bytes += record(place, key, up_to);
            };
            if !self.may_make(store) || !store.evict(steps, &mut record) {
                break;
            }
            let freed_bytes = before_bytes.saturating_sub(store.allocated_bytes());
            self.memory.note_freed(freed_bytes);
        }
        self.has(store)
    }
}

/// What is resident, by the file in which the system says so in pages.
fn resident_bytes(statm: &File) -> Option<usize> {
    let mut text = [0; 128];
    let length = statm.read_at(&mut text, 0).ok()?;
    let text = str::from_utf8(&text[..length]).ok()?;
    let pages: usize = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size())
}

/// What is resident of this process, if the system says so.
#[cfg(feature = "http")]
pub fn resident_bytes_now() -> Option<usize> {
    resident_bytes(&File::open("/proc/self/statm").ok()?)
}

#[cfg(test)]
impl Room {
    /// Room that the oldest points make, where so many bytes are taken to be resident each time that it is
    /// asked.
    pub fn evicting(
        limit_bytes: usize,
        ask: impl FnMut() -> Option<usize> + Send + 'static,
    ) -> Room {
        let mut room = Room::new(Some(limit_bytes), WhenFull::Evict);
        room.memory = Memory::asking(Some(limit_bytes), WhenFull::Evict, ask);
        (room.reserve_bytes, room.least_store_bytes) = (0, 0);
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::PutRecord;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const MB: usize = 1 << 20;

    /// A limit of 64 MB, of which one is the margin, and what is resident.
    fn memory(when_full: WhenFull) -> (Memory, impl Fn(usize)) {
        let resident = Arc::new(AtomicUsize::new(3 * MB));
        let asked = Arc::clone(&resident);
        let ask = move || Some(asked.load(Ordering::Relaxed));
        let set = move |bytes| resident.store(bytes, Ordering::Relaxed);
        (Memory::asking(Some(64 * MB), when_full, ask), set)
    }

    #[test]
    fn there_is_room_for_what_is_not_resident_yet() {
        let (mut memory, set_resident) = memory(WhenFull::Refuse);
        assert_eq!(memory.most_bytes(0), 60 * MB);
        // What is counted takes a fifth more.
        for counted in 0..=50 {
            set_resident((3 + counted + counted / 5) * MB);
            let most = memory.most_bytes(counted * MB);
            assert_eq!(most, (60 - counted / 5) * MB, "{counted}");
        }
        // All of it is used: 3 + 50 + 10.
        assert_eq!(memory.most_bytes(50 * MB), 50 * MB);
    }

    #[test]
    fn what_was_freed_is_room_again_whether_the_system_gets_it_back_or_not() {
        for returned in [0, 5, 10] {
            let (mut memory, set_resident) = memory(WhenFull::Refuse);
            memory.most_bytes(0);
            set_resident(63 * MB);
            assert_eq!(memory.most_bytes(55 * MB), 55 * MB);
            set_resident((63 - returned) * MB);
            assert_eq!(memory.most_bytes(45 * MB), 55 * MB, "{returned}");
        }
        // More than was ever counted.
        let (mut memory, set_resident) = memory(WhenFull::Refuse);
        set_resident(60 * MB);
        memory.most_bytes(0);
        set_resident(3 * MB);
        assert_eq!(memory.most_bytes(MB), 61 * MB);
    }

    #[test]
    fn what_is_not_used_again_is_no_room() {
        let (mut memory, set_resident) = memory(WhenFull::Refuse);
        memory.most_bytes(0);
        set_resident(60 * MB);
        assert_eq!(memory.most_bytes(57 * MB), 60 * MB);
        assert_eq!(memory.most_bytes(40 * MB), 60 * MB);
        set_resident(62 * MB);
        assert_eq!(memory.most_bytes(42 * MB), 58 * MB);
        // Past the limit by 2.
        set_resident(65 * MB);
        assert_eq!(memory.most_bytes(45 * MB), (57 - 2 * FREE_FOR_UNFIT) * MB);
        memory.frees_more = true;
        assert_eq!(memory.most_bytes(45 * MB), (57 - 2 * FREED_FOR_USE) * MB);
    }

    #[test]
    fn with_eviction_what_a_start_loads_past_the_limit_is_used_again() {
        let (mut memory, set_resident) = memory(WhenFull::Evict);
        let target = memory.target_bytes.expect("a limit");
        set_resident(target + 10 * MB);
        assert_eq!(memory.most_bytes(60 * MB), 50 * MB);
        set_resident(target + 11 * MB);
        memory.looks = 0;
        assert_eq!(memory.most_bytes(40 * MB), (50 - FREED_FOR_USE) * MB);
    }

    #[test]
    fn what_comes_and_goes_beside_what_was_freed_leaves_as_much_room() {
        let (mut memory, set_resident) = memory(WhenFull::Refuse);
        memory.most_bytes(0);
        set_resident(60 * MB);
        assert_eq!(memory.most_bytes(57 * MB), 60 * MB);
        for _ in 0..10 {
            set_resident(62 * MB);
            assert_eq!(memory.most_bytes(42 * MB), 58 * MB);
            set_resident(60 * MB);
            assert_eq!(memory.most_bytes(40 * MB), 60 * MB);
        }
        // Past the limit by 2, of which one is not of clients, whatever came and went before.
        memory.most_past_reserve_bytes = 2 * MB;
        set_resident(65 * MB);
        assert_eq!(memory.most_bytes(45 * MB), (55 - 15) * MB);
    }

    #[test]
    fn as_much_must_be_freed_as_others_took_past_the_limit() {
        let (mut memory, set_resident) = memory(WhenFull::Refuse);
        set_resident(189 * MB);
        assert_eq!(memory.most_bytes(150 * MB), 24 * MB);
        assert_eq!(memory.most_bytes(20 * MB), 24 * MB);
    }

    #[test]
    fn the_limit_is_kept_if_nothing_fits_into_what_was_freed() {
        // All but a sixth is freed at once, or all but the least store bit by bit; nothing that comes fits
        // into it.
        let least = 64 * MB / LEAST_STORE_SHARE;
        for (when_full, mut counted, grows) in [
            (WhenFull::Refuse, 10 * MB, 1_000),
            (WhenFull::Evict, least, 0),
        ] {
            let (mut memory, set_resident) = memory(when_full);
            let spare = 64 * MB / RESERVE_SHARE / 2;
            let full = memory.most_bytes(0) - spare;
            let mut resident = 3 * MB + full;
            set_resident(resident);
            memory.most_bytes(full);
            while memory.room_until(counted, spare).is_some() {
                (counted, resident) = (counted + grows, resident + 1_000);
                set_resident(resident);
            }
            assert!(resident < 64 * MB + 64 * MB / 20, "{resident}");
            assert!(resident > 64 * MB, "{resident}");
        }
    }

    #[test]
    fn what_clients_took_does_not_keep_puts_from_being_stored() {
        for (of_clients, room) in [(3 * MB, 55), (2 * MB, 55 - 15), (0, 55 - 30)] {
            let (mut memory, set_resident) = memory(WhenFull::Refuse);
            memory.most_bytes(0);
            set_resident(60 * MB);
            memory.most_bytes(57 * MB);
            memory.most_bytes(40 * MB);
            // Past the limit by 2, and 5 came beside what was freed.
            set_resident(65 * MB);
            memory.most_past_reserve_bytes = of_clients;
            assert_eq!(memory.most_bytes(45 * MB), room * MB, "{of_clients}");
        }
    }

    #[test]
    fn a_store_that_is_small_makes_no_room() {
        for (points, of_clients, has_room) in [
            (50_000, (1 << 17) + 1, false),
            (50_000, 1 << 17, true),
            (900_000, (1 << 17) + 1, false),
            (900_000, 1 << 17, true),
        ] {
            let mut store = Store::new();
            for place in 0..points {
                store.put(&format!("k{}", place % 10), place / 10, place as f64 * 0.1);
            }
            let (before, limit) = (store.point_count(), 1 << 20);
            let mut room = Room::new(Some(limit), WhenFull::Evict);
            // Twice the limit, whatever is removed.
            room.memory = Memory::asking(Some(limit), WhenFull::Evict, move || Some(2 * limit));
            room.set_other_bytes(of_clients, &store);
            assert_eq!(room.make(usize::MAX, &mut store, None), has_room);
            let is_spared = store.point_count() == before;
            assert_eq!(is_spared, points == 50_000);
            let least = limit / LEAST_STORE_SHARE;
            assert!(store.allocated_bytes() < least);
            assert!(is_spared || store.allocated_bytes() > least / 2);
        }
    }

    #[test]
    fn room_is_made_where_few_long_series_are_left_of_many_short_ones() {
        let mut store = Store::new();
        for series in 0..20_000 {
            store.put(&format!("short {series}"), 0, 0.5);
        }
        for point in 1..100_000 {
            let value = f64::from_bits((point * point) << 40);
            store.put(&format!("long {}", point % 4), point as i64, value);
        }
        store.set_floors(1, 1);
        while store.expire(1_000) {}
        assert_eq!(store.series_count(), 4);
        let limit = store.allocated_bytes();
        let mut room = Room::new(Some(limit), WhenFull::Evict);
        // Twice the limit, whatever is removed.
        room.memory = Memory::asking(Some(limit), WhenFull::Evict, move || Some(2 * limit));
        for _ in 0..10 {
            assert!(room.make(1_000, &mut store, None));
        }
    }

    #[test]
    fn puts_are_taken_when_several_times_as_much_was_freed() {
        for (wanted, is_enough) in [(0, true), (1_000, true), (1 << 20, false)] {
            let mut store = Store::new();
            (0..10_000).for_each(|series| store.put(&format!("k{series}"), series, 0.5));
            let mut room = Room::new(Some(1 << 20), WhenFull::Evict);
            room.memory = Memory::asking(Some(1 << 20), WhenFull::Evict, move || Some(2 << 20));
            let before = store.allocated_bytes();
            assert_eq!(room.make(wanted, &mut store, None), is_enough);
            assert!(!room.has(&store));
            let freed = before - store.allocated_bytes();
            assert!(freed >= FREED_FOR_USE * wanted.min(before / 100), "{freed}");
            assert!(
                !is_enough || freed < FREED_FOR_USE * wanted + 20_000,
                "{freed}"
            );
        }
    }

    /// Room with a limit of 64 MB, of which two are the reserve, where clients kept 4 MB when this much
    /// was resident beyond what may be.
    fn room_past_the_limit(when_full: WhenFull, over_bytes: isize) -> (Room, Store) {
        let (mut room, store) = (Room::new(Some(64 * MB), when_full), Store::new());
        let target = room.memory.target_bytes.expect("a limit");
        let resident = target.strict_add_signed(over_bytes);
        room.memory.ask = Box::new(move || Some(resident));
        room.least_store_bytes = 0;
        room.set_other_bytes(4 * MB, &store);
        (room, store)
    }

    #[test]
    fn puts_that_are_refused_do_not_wait_until_more_is_free_than_they_use() {
        let half = MB as isize / 2;
        for (when_full, other_bytes, has_room) in [
            (WhenFull::Refuse, 3 * MB / 2, true),
            (WhenFull::Refuse, 2 * MB, true),
            // Connections may yet be closed, or points be evicted.
            (WhenFull::Refuse, 9 * MB / 4, false),
            (WhenFull::Evict, 3 * MB / 2, false),
        ] {
            let (mut room, mut store) = room_past_the_limit(when_full, half);
            // It came later.
            room.memory.past_at_start_bytes = 0;
            room.set_other_bytes(other_bytes, &store);
            assert_eq!(room.has(&store), has_room, "{when_full:?} {other_bytes}");
            // Of the 4 MB before.
            assert_eq!(room.memory.most_past_reserve_bytes, 2 * MB);
            store.put("k", 0, 0.5);
            #[cfg(feature = "http")]
            assert_eq!(
                room.is_refusing(&store),
                !has_room && when_full == WhenFull::Refuse
            );
        }
    }

    #[test]
    fn there_is_no_room_just_before_clients_that_keep_much_reach_the_limit() {
        for (left, has_room) in [(MB + 1, true), (MB, false)] {
            let (mut room, store) = room_past_the_limit(WhenFull::Refuse, -(left as isize));
            assert_eq!(room.has(&store), has_room, "{left}");
        }
    }

    #[test]
    fn the_memory_is_looked_at_when_the_store_has_grown_so_far() {
        let mut store = Store::new();
        store.put("k", 0, 0.5);
        let bytes = store.allocated_bytes();
        for (until_bytes, looks) in [(bytes + 1, 0), (bytes, 1), (bytes - 1, 1)] {
            let mut room = Room::new(Some(64 * MB), WhenFull::Refuse);
            (room.memory.looks, room.memory.steps) = (LOOKS, 0..usize::MAX);
            room.store_until_bytes = until_bytes;
            assert!(room.has(&store) && room.has(&store));
            assert_eq!(room.memory.looks, LOOKS - looks, "{until_bytes}");
        }
    }

    #[test]
    fn the_system_is_asked_the_sooner_the_more_eviction_frees() {
        let mut store = Store::new();
        (0..10_000).for_each(|series| store.put(&format!("k{series}"), series, 0.5));
        let before_bytes = store.allocated_bytes();
        let mut room = Room::new(Some(16 * MB), WhenFull::Evict);
        room.least_store_bytes = 0;
        // Full, and not to be asked by the count alone.
        room.memory.resident_bytes = room.memory.target_bytes.expect("a limit");
        room.memory.most_counted_bytes = before_bytes;
        (room.memory.looks, room.memory.steps) = (u32::MAX, 0..usize::MAX);
        assert!(room.make(10_000, &mut store, None));
        let freed_bytes = before_bytes - store.allocated_bytes();
        assert!(freed_bytes >= 10_000 * FREED_FOR_USE);
        assert_eq!(room.memory.steps.end, usize::MAX - freed_bytes);
    }

    #[test]
    fn no_more_keys_are_recorded_than_puts_take() {
        let mut store = Store::new();
        let key = "k".repeat(20_000);
        (0..100).for_each(|series| store.put(&format!("{key}{series}"), series, 0.5));
        let mut room = Room::new(Some(1 << 20), WhenFull::Evict);
        room.memory = Memory::asking(Some(1 << 20), WhenFull::Evict, || Some(2 << 20));
        let mut recorder = Recorder::new(PutRecord::new(usize::MAX));
        assert!(room.make(100_000, &mut store, Some(&mut recorder)));
        let evicted_bytes = (100 - store.series_count()) * key.len();
        assert!(
            (100_000..200_000).contains(&evicted_bytes),
            "{evicted_bytes}"
        );
    }

    #[test]
    fn a_limit_near_the_end_of_the_address_space_is_one() {
        for resident in [3 * MB, usize::MAX / 2] {
            let mut memory =
                Memory::asking(Some(usize::MAX), WhenFull::Refuse, move || Some(resident));
            let counted = usize::MAX / 2;
            assert!(memory.most_bytes(counted) > counted);
        }
    }

    #[test]
    fn the_system_is_asked_when_the_count_has_changed() {
        let target = 63 * MB;
        let (step, least) = (target / STEP_SHARE, target / LEAST_STEP_SHARE);
        for (resident, up) in [(3 * MB, step), (target, least), (target + MB, least)] {
            let asked = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&asked);
            let mut memory = Memory::asking(Some(64 * MB), WhenFull::Refuse, move || {
                count.fetch_add(1, Ordering::Relaxed);
                Some(resident)
            });
            let (top, bottom) = (MB + 2 * up, MB + 2 * up - step);
            for (counted, expected) in [
                (0, 1),
                (0, 0),
                (MB, 1),
                (MB + up - 1, 0),
                (MB + up, 1),
                (top, 1),
                (bottom, 0),
                (bottom - 1, 1),
            ] {
                memory.most_bytes(counted);
                assert_eq!(asked.swap(0, Ordering::Relaxed), expected, "{counted}");
            }
            for _ in 0..LOOKS {
                memory.most_bytes(bottom - 1);
            }
            assert_eq!(asked.swap(0, Ordering::Relaxed), 1);
            let left = memory.steps.end - bottom;
            for (freed, expected) in [(left, 0), (1, 1), (usize::MAX, 1)] {
                memory.note_freed(freed);
                memory.most_bytes(bottom - 1);
                assert_eq!(asked.swap(0, Ordering::Relaxed), expected, "{freed}");
            }
        }
    }

    #[test]
    fn where_the_system_does_not_tell_more_counts_as_resident_than_is_counted() {
        let mut memory = Memory::asking(Some(64 * MB), WhenFull::Refuse, || None);
        for (counted, most) in [(0, 63 - 4), (8, 63 - 4 - 1), (48, 63 - 4 - 6)] {
            assert_eq!(memory.most_bytes(counted * MB), most * MB, "{counted}");
        }
    }

    #[test]
    fn there_is_room_until_the_system_is_to_be_asked_again_or_until_none_is_left() {
        let target = 63 * MB;
        for (left, room) in [
            (10 * MB, target / STEP_SHARE),
            (200_000, 100_000),
            (1_000, 1_000),
        ] {
            let (mut memory, set_resident) = memory(WhenFull::Refuse);
            set_resident(target - left);
            assert_eq!(memory.room_until(MB, 0), Some(MB + room));
        }
    }

    #[test]
    fn without_a_limit_nothing_is_asked() {
        let mut memory = Memory::asking(None, WhenFull::Refuse, || unreachable!());
        assert_eq!(memory.most_bytes(usize::MAX), usize::MAX);
    }

    #[cfg(all(target_os = "linux", feature = "http"))]
    #[test]
    fn the_system_says_what_is_resident() {
        let bytes = resident_bytes_now();
        assert!(
            bytes.is_some_and(|bytes| (MB..1 << 31).contains(&bytes)),
            "{bytes:?}"
        );
    }
}
