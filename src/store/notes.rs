//! Notes of how series were before puts, which all snapshots share.
//!
//! The first put into a series after a snapshot was opened takes a note of its newest timestamp:
//! points come in order as a rule, and whatever is newer was put later. A put at an older timestamp
//! also keeps the block that it changes, with the newest note of the series. The notes of a series
//! are a chain from the newest to the oldest. A snapshot reads those that were taken after it was
//! opened. The oldest of them says where the snapshot ends. Where two of them say what was stored
//! at some time, the older one is right; where none does, the series itself is.
//!
//! A note that no open snapshot needs is garbage. Closing a snapshot must not take the time that it
//! takes to look at a million notes, so garbage is found later, by a sweep over all notes in small
//! steps. What a garbage note keeps goes to the next older note, if there still is a snapshot that
//! reads that one.

use std::collections::BTreeMap;
use std::mem;

use super::extents::Extents;
use super::pool::{NONE, Pool};
use super::run::Run;
use super::series::{Series, SeriesList};
use super::snapshot::Readers;
use super::timeline::Extent;

/// What the notes of all readers may take in bytes, unless it is set.
pub const LIMIT_BYTES: usize = 64 << 20;

/// A put that takes memory for notes also does one step of the sweep for so many bytes. So there is
/// never more garbage than a third of the limit, even if nobody else sweeps.
const BYTES_PER_STEP: usize = 4;

/// The epoch of what is stored now.
pub const NOW: u64 = u64::MAX;

/// How a series was when the youngest snapshot of it was opened.
#[derive(Clone, Copy, Debug)]
struct Note {
    /// The epoch of that snapshot.
    epoch: u64,
    /// The newest timestamp. Points past it were put later.
    last: i64,
    /// The place of the series.
    place: u32,
    /// The next older note of the series, or [`NONE`].
    older: u32,
    /// The next newer one, or [`NONE`].
    newer: u32,
    /// Index of what it keeps, or [`NONE`].
    kept: u32,
}

/// What was stored when a note was taken, where puts at timestamps up to `last` changed it.
#[derive(Debug)]
struct Kept {
    /// Index of the note.
    note: u32,
    extents: Extents,
}

/// All notes, and what they take.
#[derive(Debug)]
pub struct Notes {
    notes: Pool<Note>,
    kept: Pool<Kept>,
    /// The first so many notes are still to look at in this sweep.
    unswept: u32,
    /// Bytes of all notes, with what they keep.
    bytes: usize,
    /// The same by epoch, without the epochs before that of the oldest open snapshot, …
    bytes_by_epoch: BTreeMap<u64, usize>,
    /// … and the sum of these, which is what cutting off snapshots makes less.
    read_bytes: usize,
    /// What `read_bytes` may be.
    limit_bytes: usize,
}

impl Default for Notes {
    fn default() -> Notes {
        Notes {
            notes: Pool::default(),
            kept: Pool::default(),
            unswept: 0,
            bytes: 0,
            bytes_by_epoch: BTreeMap::new(),
            read_bytes: 0,
            limit_bytes: LIMIT_BYTES,
        }
    }
}

impl Notes {
    /// Sets how many bytes the notes that open snapshots can read may take. Where they take more,
    /// the next note that is taken cuts the oldest snapshots off.
    pub fn set_limit_bytes(&mut self, bytes: usize) {
        // Half of the indices that there are leaves enough of them for garbage.
        let most = (NONE as usize / 2).saturating_mul(size_of::<Note>());
        self.limit_bytes = bytes.min(most);
    }

    /// Bytes that are allocated, with those of blocks that a series may share. Room for notes
    /// that was never used takes no memory and is not counted.
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
        series: &mut SeriesList,
        place: usize,
        timestamp: i64,
        readers: &mut Readers,
    ) -> usize {
        let Some(one) = series.get_mut(place) else {
            return 0;
        };
        let newest = self.notes.get(one.note).copied();
        let covers = |note: Note| note.epoch >= readers.youngest;
        if newest.is_some_and(|note| covers(note) && timestamp > note.last) {
            return 0;
        }
        let bytes = self.bytes;
        if !newest.is_some_and(covers) {
            let Some(epoch) = readers.youngest_of(place) else {
                return 0;
            };
            if newest.is_none_or(|note| note.epoch < epoch) {
                self.add(one, place, epoch);
                readers.noted = readers.noted.max(epoch);
            }
        }
        let points_encoded = self.keep_extent(one, timestamp);
        if self.bytes > bytes {
            self.keep_limit(readers);
            let steps = (self.bytes - bytes) / BYTES_PER_STEP;
            self.sweep(series, readers, steps);
        }
        points_encoded
    }

    /// Adds a note to the chain of a series.
    fn add(&mut self, series: &mut Series, place: usize, epoch: u64) {
        let older = series.note;
        let index = self.notes.push(Note {
            epoch,
            last: series.timeline.last_timestamp(),
            place: place as u32,
            older,
            newer: NONE,
            kept: NONE,
        });
        series.note = index;
        if let Some(older) = self.notes.get_mut(older) {
            older.newer = index;
        }
        self.count(epoch, size_of::<Note>());
    }

    /// Keeps what a put is going to change, with the newest note of the series, unless that is kept
    /// already or past the note's end. Says how many points were encoded for it.
    fn keep_extent(&mut self, series: &Series, timestamp: i64) -> usize {
        let index = series.note;
        let Some(note) = self.notes.get_mut(index) else {
            return 0;
        };
        if timestamp > note.last {
            return 0;
        }
        let epoch = note.epoch;
        let Some(Kept { extents, .. }) = self.kept.get_mut(note.kept) else {
            let (extent, points_encoded) = series.timeline.extent_at(timestamp);
            self.keep(index, Extents::One(extent));
            return points_encoded;
        };
        let Err(gap) = extents.find(timestamp) else {
            return 0;
        };
        let before = extents.list_bytes();
        let (extent, points_encoded) = series.timeline.extent_at(timestamp);
        let extent = extent.part(Some(gap.from), Some(gap.to)).unwrap_or(extent);
        let kept = extent.allocated_bytes();
        extents.insert(&gap, extent);
        let bytes = kept + extents.list_bytes() - before;
        self.count(epoch, bytes);
        points_encoded
    }

    /// Adds what a note keeps, which is nothing yet.
    fn keep(&mut self, index: u32, extents: Extents) {
        let bytes = size_of::<Kept>() + extents.allocated_bytes();
        let note = index;
        let kept = self.kept.push(Kept { note, extents });
        if let Some(note) = self.notes.get_mut(index) {
            note.kept = kept;
            let epoch = note.epoch;
            self.count(epoch, bytes);
        }
    }

    /// Takes what a note keeps, if it keeps something.
    fn take_kept(&mut self, index: u32) -> Option<Extents> {
        let note = self.notes.get_mut(index)?;
        let (epoch, place) = (note.epoch, mem::replace(&mut note.kept, NONE));
        self.kept.get(place)?;
        let extents = self.kept.swap_remove(place).extents;
        if let Some(moved) = self.kept.get(place)
            && let Some(note) = self.notes.get_mut(moved.note)
        {
            note.kept = place;
        }
        self.discount(epoch, size_of::<Kept>() + extents.allocated_bytes());
        Some(extents)
    }

    /// Decodes the next points of a series past `after` and up to `until`, as it was in an epoch,
    /// and says whether there are any.
    ///
    /// Takes a search in each note of the series that is not older than the epoch.
    pub fn next_run(
        &self,
        series: &Series,
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
                None => series.timeline.next_run(after, to, run),
            };
            if is_found {
                return true;
            }
            after = Some(to);
        }
        false
    }

    /// Where the points of a series are that it had in an epoch, from a timestamp on: in an extent,
    /// or else in the series itself; and the last timestamp for which this is so. It is before
    /// `from` where there are no more points.
    fn stored_at(&self, series: &Series, epoch: u64, from: i64) -> (Option<&Extent>, i64) {
        let mut last = series.timeline.last_timestamp();
        let (mut changed, mut to) = (None, i64::MAX);
        let mut index = series.note;
        while let Some(note) = self.notes.get(index)
            && note.epoch >= epoch
        {
            last = note.last;
            index = note.older;
            match self.kept.get(note.kept).map(|kept| kept.extents.find(from)) {
                Some(Ok(extent)) => (changed, to) = (Some(extent), extent.to),
                Some(Err(gap)) => to = to.min(gap.to),
                None => {}
            }
        }
        (changed, to.min(last))
    }

    /// Cuts off the oldest snapshots until those that are left can read no more than the limit.
    fn keep_limit(&mut self, readers: &mut Readers) {
        while self.read_bytes > self.limit_bytes {
            self.forget_before(readers.oldest());
            if self.read_bytes <= self.limit_bytes || !readers.cut_off_oldest() {
                break;
            }
        }
    }

    /// Counts the notes of epochs before that of the oldest snapshot as garbage, which they are.
    fn forget_before(&mut self, oldest: u64) {
        while let Some(first) = self.bytes_by_epoch.first_entry()
            && *first.key() < oldest
        {
            self.read_bytes -= first.remove();
        }
    }

    /// Frees garbage, looking at up to `most` notes or a few more, and says whether there may be
    /// more of it. Constant time if no snapshot was closed since the last sweep ended.
    pub fn sweep(&mut self, series: &mut SeriesList, readers: &mut Readers, most: usize) -> bool {
        let mut steps = 0;
        loop {
            if self.unswept == 0 {
                if !mem::take(&mut readers.garbage) {
                    return false;
                }
                self.forget_before(readers.oldest());
                self.unswept = self.notes.len() as u32;
            } else if steps >= most {
                return true;
            } else {
                self.unswept -= 1;
                steps += self.look_at(self.unswept, series, readers);
            }
        }
    }

    /// Removes a note if it is garbage, and says how many steps that took.
    fn look_at(&mut self, index: u32, series: &mut SeriesList, readers: &Readers) -> usize {
        let Some(&note) = self.notes.get(index) else {
            return 1;
        };
        let older = self.notes.get(note.older).copied();
        let since = older.map_or(0, |older| older.epoch);
        if readers.any_of(note.place as usize, since, note.epoch) {
            return 1;
        }
        let mut steps = 1;
        if let Some(newer) = self.take_kept(index) {
            steps += newer.len();
            if let Some(older) = older.filter(|older| readers.oldest() <= older.epoch) {
                let kept = self.take_kept(note.older);
                if let Some(joined) = Extents::joined(kept, newer, older.last) {
                    steps += joined.len();
                    self.keep(note.older, joined);
                }
            }
        }
        self.link(series, note.place, note.newer, note.older);
        self.discount(note.epoch, size_of::<Note>());
        self.notes.swap_remove(index);
        self.repair_moved(index, series);
        steps
    }

    /// Makes two notes of a series neighbours. With no newer one, the older is the newest.
    fn link(&mut self, series: &mut SeriesList, place: u32, newer: u32, older: u32) {
        match self.notes.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => {
                if let Some(series) = series.get_mut(place as usize) {
                    series.note = older;
                }
            }
        }
        if let Some(older) = self.notes.get_mut(older) {
            older.newer = newer;
        }
    }

    /// Tells those that know a note by its index that it has this one now.
    fn repair_moved(&mut self, index: u32, series: &mut SeriesList) {
        let Some(&moved) = self.notes.get(index) else {
            return;
        };
        self.link(series, moved.place, moved.newer, index);
        self.link(series, moved.place, index, moved.older);
        if let Some(kept) = self.kept.get_mut(moved.kept) {
            kept.note = index;
        }
    }

    fn count(&mut self, epoch: u64, bytes: usize) {
        self.bytes += bytes;
        self.read_bytes += bytes;
        *self.bytes_by_epoch.entry(epoch).or_default() += bytes;
    }

    fn discount(&mut self, epoch: u64, bytes: usize) {
        self.bytes -= bytes;
        if let Some(of_epoch) = self.bytes_by_epoch.get_mut(&epoch) {
            *of_epoch -= bytes;
            self.read_bytes -= bytes;
            if *of_epoch == 0 {
                self.bytes_by_epoch.remove(&epoch);
            }
        }
    }
}

#[cfg(test)]
impl Notes {
    /// How many notes there are.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Asserts that the chains of all series hold all notes, in order, and what they keep is in
    /// order too; gives the bytes that are allocated, counted one by one.
    pub fn check(&self, series: &SeriesList) -> usize {
        let (mut count, mut bytes, mut kept_count) = (0, 0, 0);
        for (place, series) in series.iter().enumerate() {
            let (mut newer, mut index) = (NONE, series.note);
            while let Some(note) = self.notes.get(index) {
                assert_eq!((note.place as usize, note.newer), (place, newer));
                let newer_note = self.notes.get(newer);
                assert!(newer_note.is_none_or(|newer| newer.epoch > note.epoch));
                assert!(newer_note.is_none_or(|newer| newer.last >= note.last));
                if let Some(Kept { note, extents }) = self.kept.get(note.kept) {
                    assert_eq!(*note, index);
                    let list = extents.as_slice();
                    assert!(list.iter().all(|extent| extent.from <= extent.to));
                    assert!(list.windows(2).all(|pair| pair[0].to < pair[1].from));
                    bytes += size_of::<Kept>() + extents.allocated_bytes();
                    kept_count += 1;
                }
                count += 1;
                (newer, index) = (index, note.older);
            }
            assert_eq!(index, NONE);
        }
        assert_eq!((count, kept_count), (self.notes.len(), self.kept.len()));
        assert!(self.read_bytes <= self.bytes);
        assert!(self.bytes_by_epoch.values().all(|&bytes| bytes > 0));
        assert_eq!(self.read_bytes, self.bytes_by_epoch.values().sum::<usize>());
        bytes + count * size_of::<Note>()
    }
}
