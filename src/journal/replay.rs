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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::frame::FRAME_HEAD_BYTES;
    use crate::journal::record::tests::{content, declared, put};
    use crate::journal::record::{IS_NEW, IS_REUSED, PutRecord, REMOVED};
    use crate::journal::simulated::Simulated;

    #[test]
    fn records_that_cannot_be_are_refused_and_the_others_are_replayed() {
        let first = [0, 0x10, 0, 0, 7];
        let new_series = |key| declared(0, 0, 2, IS_NEW, key)[1..].to_vec();
        let unknown_place = vec![0x10, 2, 0, 0, 0x10, 1, 0, 0];
        for (name, wrong, puts) in [
            ("an unknown place", unknown_place, 2),
            (
                "a removal at an unknown place",
                vec![0x18, 2, 0, REMOVED, 0, 0x18, 1, 0, 0, 0],
                2,
            ),
            ("a key that is not UTF-8", new_series(b"\xff"), 1),
            ("a key cut off", new_series(b"cd")[..12].to_vec(), 1),
            (
                "an unknown form",
                vec![0x08 | 0x10, 0, 0, REMOVED + 1, 0],
                1,
            ),
            ("a value cut off", vec![0x12, 0, 0, 1, 1], 1),
        ] {
            let (mut store, mut places) = (Store::new(), FilePlaces::default());
            for (place, key) in [(0, b"a"), (1, b"b")] {
                let payload = declared(0, 0, place, 0, key);
                assert_eq!(read(&payload, &mut places, &mut store), Ok(1));
            }
            let payload = [&first[..], &wrong].concat();
            let result = read(&payload, &mut places, &mut store);
            assert_eq!(result, Err((5, puts)), "{name}");
            for (key, expected) in [("a", -4.0), ("b", if puts == 2 { -4.0 } else { 0.0 })] {
                let values = store.range(key, ..).map(|point| point.value);
                assert!(values.eq([expected]), "{name}");
            }
            assert!(store.keys().eq(["a", "b"]), "{name}");
        }
        let last_epoch = [
            &[0xff; 9][..],
            &[1],
            &declared(0, 0, 0, IS_NEW | IS_REUSED, b"a")[1..],
        ];
        let result = read(
            &last_epoch.concat(),
            &mut FilePlaces::default(),
            &mut Store::new(),
        );
        assert_eq!(result, Ok(1));
        let nothing = read(&[], &mut FilePlaces::default(), &mut Store::new());
        assert_eq!(nothing, Err((0, 0)));
    }

    /// What the checkpoint has of a series may all be evicted earlier than it was at the time.
    #[test]
    fn what_is_put_to_a_series_that_is_gone_goes_nowhere() {
        let mut record = PutRecord::new(usize::MAX);
        record.remove(0, "k", 10);
        record.push(Placed::New(1), &put("l", 1, 0.5));
        record.push(Placed::At(0), &put("k", 20, 0.5));
        record.remove(0, "k", 20);
        let (mut store, mut places) = (Store::new(), FilePlaces::default());
        store.put("k", 5, 0.5);
        let payload = record.take()[FRAME_HEAD_BYTES..].to_vec();
        assert_eq!(read(&payload, &mut places, &mut store), Ok(2));
        let expected = [("l".to_owned(), vec![(1, 0.5f64.to_bits())])];
        assert_eq!(content(&store), expected);
    }

    /// Where points are evicted at the start, what was left of a series by a removal may have gone before it.
    #[test]
    fn what_is_put_to_a_series_that_was_evicted_makes_it_a_new_one() {
        for is_declared in [false, true] {
            let mut record = PutRecord::new(usize::MAX);
            if !is_declared {
                record.push(Placed::At(0), &put("k", 5, 0.5));
            }
            record.remove(0, "k", 10);
            record.push(Placed::At(0), &put("k", 20, 0.5));
            let payload = record.take()[FRAME_HEAD_BYTES..].to_vec();
            let mut disk = Simulated::new();
            disk.set_content("file", &[&[0; 24][..], &payload].concat());
            let mut file = disk.open("file").expect("no fault");
            let mut replay = Replay {
                room: Room::evicting(1 << 20, || Some(1)),
                ..Replay::default()
            };
            let replayed = replay.frame(&payload, 24 + payload.len() as u64, &mut *file);
            let puts = 1 + usize::from(!is_declared);
            assert_eq!(replayed.expect("no fault"), (puts, None));
            let expected = [("k".to_owned(), vec![(20, 0.5f64.to_bits())])];
            assert_eq!(content(&replay.store), expected);
        }
    }

    /// Puts in three frames, of which the second one is lost.
    #[test]
    fn a_lost_frame_costs_the_series_that_it_declares() {
        for (place, placed, lost, left) in [
            // Another series comes to the place of the first: nobody knows which place that is.
            (0, Placed::New(0), 3, ["a 1", "b 1"]),
            (2, Placed::New(2), 1, ["a 1 3", "b 1 3"]),
            (2, Placed::At(2), 1, ["a 1 3", "b 1 3"]),
        ] {
            let mut record = PutRecord::new(usize::MAX);
            record.push(Placed::New(0), &put("a", 1, 0.0));
            record.push(Placed::New(1), &put("b", 1, 0.0));
            let first = record.take();
            record.push(placed, &put("c", 2, 0.0));
            record.take();
            for place in [0, 1, place] {
                record.push(Placed::At(place), &put("", 3, 0.0));
            }
            let third = record.take();
            let (mut store, mut places) = (Store::new(), FilePlaces::default());
            assert_eq!(
                read(&first[FRAME_HEAD_BYTES..], &mut places, &mut store),
                Ok(2)
            );
            let result = read(&third[FRAME_HEAD_BYTES..], &mut places, &mut store);
            assert_eq!(result.map_err(|(_, puts)| puts), Err(3 - lost));
            let found = content(&store).into_iter().map(|(key, points)| {
                points
                    .iter()
                    .fold(key, |text, (at, _)| format!("{text} {at}"))
            });
            assert!(found.eq(left), "{placed:?}");
        }
    }
}
