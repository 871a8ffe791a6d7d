//! Notes of how series were before puts. All snapshots share them.
//!
//! The first put into a series after a snapshot was opened takes a note of the newest timestamp that the
//! series has then. Points come in order as a rule, and all newer ones were put later. A put at an
//! older timestamp also keeps the block that it changes, with the newest note of the series.
//!
//! The notes of a series are a chain, from the newest to the oldest. A snapshot reads those that were
//! taken after it was opened. The oldest of these says where the snapshot ends. What was stored at some
//! time is in the oldest of them that keeps this time or, if none does, in the series itself.
//!
//! A note that no open snapshot needs is garbage. To look at a million notes takes too long to do it
//! when a snapshot is closed, so a sweep over all notes finds garbage later, in small steps. What a
//! garbage note keeps moves to the next older note, one extent a step, if a snapshot reads that one.
//! Then the older note is moved to the index of the garbage, and the chain stays whole. Garbage without
//! an older note is freed. Then an index of it is left, which leads to no note, to one of another
//! series, or to one that is not older: there the chain ends.
//!
//! Nobody reads the notes of a series that is removed. They are garbage when all snapshots are closed
//! that could have read them. The next series at its place begins a chain of its own. Its notes are
//! of younger snapshots than those of the former series, and so never taken for one of those.

use std::iter;
use std::mem;
use std::ops::Range;

use slab::Slab;

use super::extents::{Extent, Extents};
use super::order::Order;
use super::run::Run;
use super::series::Series;
use super::snapshot::Readers;

/// A put that takes memory for notes also does one step of the sweep for each four bytes of it. So
/// there is never more garbage than a third of the limit, even if nobody else sweeps.
const BYTES_PER_STEP: usize = 4;

/// The bytes that the first note allocates for notes. The system gives only the pages that are used. What is
/// longer than 32 MiB always goes back to the system when it is freed; glibc may keep what is shorter.
const ROOM_BYTES: usize = (32 << 20) + (1 << 20);

/// The epoch of what is stored now.
pub const NOW: u64 = u64::MAX;

/// The index of no note.
pub const NO_NOTE: u32 = u32::MAX;

/// What notes may take, in bytes: half of the indices, which leaves enough of them for garbage.
pub const MOST_BYTES: usize = (NO_NOTE as usize / 2).saturating_mul(size_of::<Note>());

/// A series and its place.
pub type At<'series> = (usize, &'series Series);

/// How a series was when the youngest snapshot of it was opened.
#[derive(Clone, Copy, Debug)]
struct Note {
    /// The epoch of that snapshot.
    epoch: u64,
    /// The newest timestamp. Points past it were put later.
    last: i64,
    /// The place of the series.
    place: u32,
    /// Index of the next older note, if that is of the same series and older.
    older: u32,
    /// Key of what was stored then, where puts at timestamps up to `last` changed it.
    kept: Option<u32>,
}

/// All notes, and what they take.
#[derive(Debug, Default)]
pub struct Notes {
    notes: Slab<Note>,
    kept: Slab<Extents>,
    /// All indices of notes are below this one.
    end: u32,
    /// Indices that are still to look at in this sweep.
    unswept: Range<u32>,
    /// Bytes of all notes, with what they keep.
    bytes: usize,
}

impl Notes {
    /// Bytes that are allocated, with those of blocks that a series may share. Room for notes
    /// that is not used is not counted.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes
    }

    /// To be called before a put while a snapshot is open: notes what the put would change, and
    /// says how many points were encoded for it. At the limit, cuts off the oldest snapshots.
    ///
    /// Logarithmic in the number of snapshots and in that of the blocks that were changed, and
    /// sweeps in proportion to the bytes that it takes.
    pub fn before_put(
        &mut self,
        series: &mut Series,
        place: usize,
        timestamp: i64,
        order: &Order,
        readers: &mut Readers,
    ) -> usize {
        let newest = self.newest((place, series));
        let bytes = self.bytes;
        if newest.is_none_or(|note| note.epoch < readers.youngest()) {
            let position = order.position(place, series.position);
            let Some(epoch) = readers.youngest_of(place, position) else {
                return 0;
            };
            if newest.is_none_or(|note| note.epoch < epoch) {
                self.add(series, place, epoch, readers);
            }
        } else if newest.is_some_and(|note| timestamp > note.last) {
            return 0;
        }
        let points_encoded = self.keep_stored(series, timestamp, readers);
        if self.bytes > bytes {
            readers.keep_limit();
            self.sweep(readers, (self.bytes - bytes) / BYTES_PER_STEP);
        }
        points_encoded
    }

    /// The newest note of a series.
    fn newest(&self, (place, series): At<'_>) -> Option<Note> {
        let note = self.notes.get(series.note as usize)?;
        (note.place as usize == place).then_some(*note)
    }

    /// The notes of a series that are not older than an epoch, from the newest to the oldest.
    fn since(&self, series: At<'_>, epoch: u64) -> impl Iterator<Item = Note> {
        let notes = iter::successors(self.newest(series), |note| self.older(note));
        notes.take_while(move |note| note.epoch >= epoch)
    }

    /// The next older note.
    fn older(&self, note: &Note) -> Option<Note> {
        let older = self.notes.get(note.older as usize)?;
        (older.place == note.place && older.epoch < note.epoch).then_some(*older)
    }

    /// Adds a note to the chain of a series.
    fn add(&mut self, series: &mut Series, place: usize, epoch: u64, readers: &mut Readers) {
        let note = Note {
            epoch,
            last: series.timeline.last_timestamp(),
            place: place as u32,
            older: series.note,
            kept: None,
        };
        series.note = insert(&mut self.notes, note);
        self.end = self.end.max(series.note + 1);
        readers.noted = readers.noted.max(epoch);
        self.count(epoch, size_of::<Note>() as isize, readers);
    }

    /// Keeps what a put is going to change, with the newest note of the series, unless that is kept
    /// already or past the note's end. Says how many points were encoded for it.
    fn keep_stored(&mut self, series: &Series, timestamp: i64, readers: &mut Readers) -> usize {
        let Some(note) = self.notes.get(series.note as usize) else {
            return 0;
        };
        if timestamp > note.last || self.kept_at(note, timestamp).is_ok() {
            return 0;
        }
        let (extent, points_encoded) = series.timeline.extent_at(timestamp);
        self.keep(series.note, &extent, readers);
        points_encoded
    }

    /// What a note keeps of a timestamp. If it keeps nothing: the last timestamp for which this is so.
    fn kept_at(&self, note: &Note, timestamp: i64) -> Result<&Extent, i64> {
        match note.kept.and_then(|kept| self.kept.get(kept as usize)) {
            Some(extents) => extents.find(timestamp).map_err(|(_, to)| to),
            None => Err(i64::MAX),
        }
    }

    /// Keeps an extent with a note, where the note does not keep another.
    fn keep(&mut self, index: u32, extent: &Extent, readers: &mut Readers) {
        let Some(note) = self.notes.get_mut(index as usize) else {
            return;
        };
        if extent.from > note.last {
            return;
        }
        let mut bytes = 0;
        let kept = *note.kept.get_or_insert_with(|| {
            bytes += size_of::<Extents>();
            insert(&mut self.kept, Extents::default())
        });
        if let Some(extents) = self.kept.get_mut(kept as usize) {
            bytes += extents.add(extent, note.last);
        }
        let epoch = note.epoch;
        self.count(epoch, bytes as isize, readers);
    }

    /// Takes the last extent that a note keeps, if there is one.
    fn take_kept(&mut self, index: u32, readers: &mut Readers) -> Option<Extent> {
        let note = self.notes.get_mut(index as usize)?;
        let key = note.kept? as usize;
        let extents = self.kept.get_mut(key)?;
        let (extent, mut bytes) = extents.pop()?;
        if extents.is_empty() {
            note.kept = None;
            bytes += size_of::<Extents>();
            self.kept.try_remove(key);
        }
        let epoch = note.epoch;
        self.count(epoch, -(bytes as isize), readers);
        Some(extent)
    }

    /// Decodes the next points of a series past `after` and up to `until`, as it was in an epoch,
    /// and says whether there are any.
    ///
    /// Takes a search in each note of the series that is not older than the epoch.
    pub fn next_run(
        &self,
        series: At<'_>,
        epoch: u64,
        mut after: Option<i64>,
        until: i64,
        run: &mut Run,
    ) -> bool {
        while let Some(from) = after.map_or(Some(i64::MIN), |after| after.checked_add(1)) {
            let (changed, to) = self.stored_at(series, epoch, from);
            let to = to.min(until);
            if to < from {
                return false;
            }
            let is_found = match changed {
                Some(extent) => extent.next_run(after, to, run),
                None => series.1.timeline.next_run(after, to, run),
            };
            if is_found {
                return true;
            }
            after = Some(to);
        }
        false
    }

    /// The newest timestamp of a series, as it was in an epoch. Takes a look at each note of the series
    /// that is not older than the epoch.
    #[cfg(any(test, feature = "http"))]
    pub fn last_timestamp(&self, series: At<'_>, epoch: u64) -> i64 {
        let oldest = self.since(series, epoch).last();
        oldest.map_or(series.1.timeline.last_timestamp(), |note| note.last)
    }

    /// Where the points are that a series had in an epoch, from a timestamp on: in an extent or, if
    /// there is none, in the series itself; and the last timestamp for which this is so. It is before
    /// `from` if there are no more points.
    fn stored_at(&self, series: At<'_>, epoch: u64, from: i64) -> (Option<&Extent>, i64) {
        let mut last = series.1.timeline.last_timestamp();
        let (mut changed, mut to) = (None, i64::MAX);
        for note in self.since(series, epoch) {
            last = note.last;
            match self.kept_at(&note, from) {
                Ok(extent) => (changed, to) = (Some(extent), extent.to),
                Err(gap_to) => to = to.min(gap_to),
            }
        }
        (changed, to.min(last))
    }

    /// Frees garbage in up to `most` steps, and says whether there may be more of it. A step looks
    /// at one index, or moves or frees one extent. Constant time if no snapshot was closed since the
    /// last sweep ended; else a sweep looks at as many indices as there ever were since the last
    /// time that there was no note.
    pub fn sweep(&mut self, readers: &mut Readers, most: usize) -> bool {
        for _ in 0..most {
            if self.unswept.is_empty() && mem::take(&mut readers.garbage) {
                // The older ones first, so that what is kept goes to the oldest at once.
                self.unswept = 0..self.end;
            }
            if self.unswept.is_empty() {
                break;
            }
            if !self.free(self.unswept.start, readers) {
                self.unswept.start += 1;
            }
            if self.notes.is_empty() {
                // The memory of both lists goes back to the system.
                *self = Notes::default();
            }
        }
        readers.garbage || !self.unswept.is_empty()
    }

    /// Frees a note or an extent that it keeps, if the note is garbage. Says whether it was: then
    /// there may be more of it at the same index.
    fn free(&mut self, index: u32, readers: &mut Readers) -> bool {
        let Some(note) = self.notes.get(index as usize).copied() else {
            return false;
        };
        let older = self.older(&note);
        let since = older.map_or(0, |older| older.epoch);
        if readers.any_of(note.place as usize, since, note.epoch) {
            return false;
        }
        if let Some(extent) = self.take_kept(index, readers) {
            if readers.oldest() <= since {
                self.keep(note.older, &extent, readers);
            }
            return true;
        }
        if let Some(older) = older
            && let Some(note) = self.notes.get_mut(index as usize)
        {
            *note = older;
        }
        let unused = if older.is_some() { note.older } else { index };
        self.notes.try_remove(unused as usize);
        self.count(note.epoch, -(size_of::<Note>() as isize), readers);
        true
    }

    /// Counts by how many bytes the notes of an epoch, with what they keep, have grown.
    fn count(&mut self, epoch: u64, bytes: isize, readers: &mut Readers) {
        self.bytes = self.bytes.wrapping_add_signed(bytes);
        readers.count(epoch, bytes);
    }
}

/// Adds an item and gives its index. The first one comes with [room](ROOM_BYTES) for more.
fn insert<T>(slab: &mut Slab<T>, item: T) -> u32 {
    if slab.capacity() == 0 {
        *slab = Slab::with_capacity(ROOM_BYTES / size_of::<T>());
    }
    slab.insert(item) as u32
}

#[cfg(test)]
impl Notes {
    /// How many notes there are.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Asserts that the chains of all series hold all notes but those of `removed` series, in
    /// order, and what they keep is in order too; gives the bytes that are allocated, counted one by
    /// one.
    pub fn check(&self, series: &super::series::SeriesList, any_removed: bool) -> usize {
        let mut count = 0;
        for (place, series) in series.iter() {
            let notes: Vec<Note> = self.since((place, series), 0).collect();
            assert!(notes.is_sorted_by(|newer, older| older.last <= newer.last));
            count += notes.len();
        }
        assert!(count == self.notes.len() || any_removed && count < self.notes.len());
        let kept = self.notes.iter().filter_map(|(_, note)| note.kept);
        let kept: Vec<usize> = kept
            .map(|kept| size_of::<Extents>() + self.kept[kept as usize].check())
            .collect();
        assert_eq!(kept.len(), self.kept.len());
        kept.iter().sum::<usize>() + self.notes.len() * size_of::<Note>()
    }
}
