//! Where the series of a file of the journal are.

use std::mem;

use super::frame::{FILE_HEAD_BYTES, FRAME_MAX_BYTES};
use super::record::Record;

/// The place of series that each record declares.
pub const NO_PLACE: u32 = u32::MAX;

/// Stands for a series that is not declared.
pub const UNKNOWN: u64 = u64::MAX;

/// How many places a page has. A page never grows, so it is never copied.
const PAGE_PLACES: usize = 1 << 9;

/// Where the series of a file of the journal are: in the store that it is replayed to, or among those that a
/// follower has found in it.
#[derive(Debug, Default)]
pub struct FilePlaces {
    /// By the place in the file, [`PAGE_PLACES`] in each page.
    pages: Vec<Vec<u64>>,
    /// That of the next frame, if none is lost before it.
    epoch: u64,
}

impl FilePlaces {
    /// Goes on with a frame of this epoch. In another one, places may have got other series in frames
    /// that are lost, and so all are forgotten.
    pub fn go_on(&mut self, epoch: u64) {
        if mem::replace(&mut self.epoch, epoch) != epoch {
            self.forget();
        }
    }

    /// Forgets all series. The memory stays, to be used again.
    pub fn forget(&mut self) {
        self.pages.iter_mut().for_each(|page| page.fill(UNKNOWN));
    }

    /// Allocates memory for `places`.
    pub fn take_room(&mut self, places: usize) {
        let pages = places.div_ceil(PAGE_PLACES).max(self.pages.len());
        self.pages.resize(pages, vec![UNKNOWN; PAGE_PLACES]);
    }

    /// Where the series of this place is; [`UNKNOWN`] if it is not declared.
    #[inline]
    pub fn get(&self, place: u32) -> u64 {
        let page = self.pages.get(place as usize / PAGE_PLACES);
        let found = page.and_then(|page| page.get(place as usize % PAGE_PLACES));
        found.copied().unwrap_or(UNKNOWN)
    }

    /// Notes a declaration.
    pub fn declare(&mut self, record: &Record, to: u64) {
        self.epoch = self.epoch.wrapping_add(u64::from(record.is_reused));
        if record.place != NO_PLACE {
            self.set(record.place, to);
        }
    }

    /// Notes where the series of this place is.
    pub fn set(&mut self, place: u32, to: u64) {
        let page = place as usize / PAGE_PLACES;
        if self.pages.len() <= page {
            self.pages.resize(page + 1, Vec::new());
        }
        let page = &mut self.pages[page];
        if page.is_empty() {
            page.resize(PAGE_PLACES, UNKNOWN);
        }
        page[place as usize % PAGE_PLACES] = to;
    }
}

/// Where a key is: whether it is held or in the file, where it begins there, and how many bytes it has.
#[derive(Clone, Copy, Debug)]
pub struct KeyPlace(pub u64);

impl KeyPlace {
    /// Bits of the length: a key is shorter than its frame.
    const LENGTH_BITS: u32 = FRAME_MAX_BYTES.ilog2();

    /// The first offset that has no room: 64 GiB.
    pub const OFFSET_END: u64 = 1 << (u64::BITS - 1 - Self::LENGTH_BITS);

    /// No key in a file has less: none begins before the end of the file's head.
    pub const LEAST_IN_FILE: u64 = (FILE_HEAD_BYTES as u64) << (1 + Self::LENGTH_BITS);

    pub fn new(is_held: bool, offset: u64, bytes: usize) -> KeyPlace {
        KeyPlace(u64::from(is_held) | (bytes as u64) << 1 | offset << (1 + Self::LENGTH_BITS))
    }

    /// A key at this offset of the file; `None` if that is past the largest that there is room for.
    pub fn in_file(offset: u64, bytes: usize) -> Option<KeyPlace> {
        (offset < Self::OFFSET_END).then(|| Self::new(false, offset, bytes))
    }

    pub fn is_held(self) -> bool {
        self.0 & 1 != 0
    }

    pub fn bytes(self) -> usize {
        (self.0 >> 1) as usize & (FRAME_MAX_BYTES - 1)
    }

    pub fn offset(self) -> u64 {
        self.0 >> (1 + Self::LENGTH_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_key_has_room_for_the_longest_and_the_last_one() {
        assert_eq!(KeyPlace::OFFSET_END, 64 << 30);
        for is_held in [false, true] {
            for offset in [0, 1, KeyPlace::OFFSET_END - 1] {
                for bytes in [0, 1, FRAME_MAX_BYTES - 1] {
                    let key = KeyPlace::new(is_held, offset, bytes);
                    let found = (key.is_held(), key.offset(), key.bytes());
                    assert_eq!(found, (is_held, offset, bytes));
                }
            }
        }
    }
}
