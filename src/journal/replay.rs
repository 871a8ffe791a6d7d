//! From records back to a store.

use std::io;

use super::file_places::{FilePlaces, KeyPlace, NO_PLACE, UNKNOWN};
use super::file_system::DiskFile;
#[cfg(test)]
use super::file_system::FileSystem;
use super::record::{Reader, Record};
use crate::memory::Room;
use crate::store::{PUTS_AT_ONCE, Placed, Point, Put, Store};

/// The place of a series that was declared, and has lost all points. Those in the store are below it, and
/// each [`KeyPlace`] is past it.
const GONE: u64 = NO_PLACE as u64;
const _: () = assert!(GONE < KeyPlace::LEAST_IN_FILE);

/// A store, and the file of the journal that is replayed to it.
#[derive(Default)]
pub struct Replay {
    pub store: Store,
    /// Room for it. When it runs out, the oldest points are evicted if they are to be.
    pub room: Room,
    /// Where the series of the file are in the store, or their keys in the file.
    places: FilePlaces,
    /// For each place in the store, the place in the file, and where the key is. Empty unless points may be
    /// evicted.
    homes: Vec<(u32, KeyPlace)>,
    /// To be put at once.
    held: Vec<(usize, Point)>,
}

impl Replay {
    /// Begins another file.
    pub fn begin_file(&mut self) {
        self.places.forget();
        self.homes.clear();
    }

    /// Applies the records of a frame's payload, which ends at the offset `end` of its file, in order. Returns how
    /// many puts there are, and where in the payload the first bytes are that are no record, or one of a
    /// series that is not declared. All others are applied, up to the first bytes that are none.
    ///
    /// # Errors
    ///
    /// If a key in the file cannot be read again.
    pub fn frame(
        &mut self,
        payload: &[u8],
        end: u64,
        file: &mut dyn DiskFile,
    ) -> io::Result<(usize, Option<usize>)> {
        let Some(mut reader) = Reader::begin(payload, &mut self.places) else {
            return Ok((0, Some(0)));
        };
        let (mut puts, mut wrong) = (0, None);
        while !reader.rest.is_empty() {
            let offset = payload.len() - reader.rest.len();
            let Some(record) = reader.next() else {
                wrong.get_or_insert(offset);
                break;
            };
            if !self.apply(&record, end - reader.rest.len() as u64, file)? {
                wrong.get_or_insert(offset);
            } else if record.value.is_some() {
                puts += 1;
            }
        }
        self.put_held();
        Ok((puts, wrong))
    }

    /// Applies a record that ends at this offset of the file, unless its series is not known.
    #[inline]
    fn apply(&mut self, record: &Record, end: u64, file: &mut dyn DiskFile) -> io::Result<bool> {
        let place = self.places.get(record.place);
        match (record.key, record.value) {
            (None, _) if place == UNKNOWN => return Ok(false),
            (None, _) if place > GONE => self.apply_by_key(record, KeyPlace(place), file)?,
            (None, Some(value)) => {
                // What is put to a series that is gone is left out.
                let timestamp = record.timestamp;
                self.held.push((place as usize, Point { timestamp, value }));
                if self.held.len() == PUTS_AT_ONCE {
                    self.put_held();
                }
            }
            (None, None) => {
                let home = self.homes.get(place as usize);
                let key = home.map_or(KeyPlace(GONE), |&(_, key)| key);
                self.change_series(record, place, key);
            }
            (Some(key), _) => {
                let key = KeyPlace::in_file(end - key.len() as u64, key.len());
                self.change_series(record, place, key.unwrap_or(KeyPlace(GONE)));
            }
        }
        Ok(true)
    }

    /// Applies a record of a series that has lost points in the store.
    #[cold]
    fn apply_by_key(
        &mut self,
        record: &Record,
        place: KeyPlace,
        file: &mut dyn DiskFile,
    ) -> io::Result<()> {
        let key = file.read_text(place.offset(), place.bytes())?;
        let key = Some(&*key);
        self.change_series(&Record { key, ..*record }, GONE, place);
        Ok(())
    }

    fn put_held(&mut self) {
        self.store.put_all_at_places(&self.held);
        self.held.clear();
        self.make_room();
    }

    #[inline]
    fn make_room(&mut self) {
        let (places, homes) = (&mut self.places, &self.homes);
        self.room.make_at_start(&mut self.store, &mut |place| {
            // The series may be gone from there soon: it is to be found by its key.
            if let Some(&(file_place, KeyPlace(key))) = homes.get(place)
                && places.get(file_place) == place as u64
            {
                places.set(file_place, key);
            }
        });
    }

    /// Applies a record that declares a series, or removes some of its points.
    #[cold]
    fn change_series(&mut self, record: &Record, mut place: u64, key_place: KeyPlace) {
        self.put_held();
        let store = &mut self.store;
        if let Some(key) = record.key {
            let known = store.place_of(key);
            place = known.map_or(GONE, |place| place as u64);
        }
        let (is_new, timestamp) = (record.is_new, record.timestamp);
        let up_to = if is_new { i64::MAX } else { timestamp };
        if (is_new || record.value.is_none()) && store.remove_to(place as usize, up_to) {
            place = GONE;
        }
        if let (Some(key), Some(value)) = (record.key, record.value) {
            let key = key.into();
            let put = Put {
                key,
                timestamp,
                value: value.into(),
            };
            let placed = store.put_all_noting_places(&[put]);
            if let Placed::At(at) | Placed::New(at) = placed[0] {
                place = at.into();
            }
        }
        if self.room.evicts() && place == GONE {
            // More may be put to it.
            place = key_place.0;
        } else if self.room.evicts() {
            let home = place as usize;
            if self.homes.len() <= home {
                self.homes.resize(home + 1, (NO_PLACE, KeyPlace(GONE)));
            }
            self.homes[home] = (record.place, key_place);
        }
        self.places.declare(record, place);
        self.make_room();
    }
}

/// Applies records to a store that has room for all points. An error says where the first wrong one is, and
/// how many puts of others there are.
#[cfg(test)]
pub fn read(
    payload: &[u8],
    places: &mut FilePlaces,
    store: &mut Store,
) -> Result<usize, (usize, usize)> {
    let mut replay = Replay {
        store: std::mem::take(store),
        places: std::mem::take(places),
        ..Replay::default()
    };
    let mut file = crate::journal::simulated::Simulated::new()
        .create("empty")
        .expect("no fault");
    let result = replay.frame(payload, 1 << 30, &mut *file);
    let (puts, wrong) = result.expect("no key is read again");
    (*store, *places) = (replay.store, replay.places);
    wrong.map_or(Ok(puts), |offset| Err((offset, puts)))
}
