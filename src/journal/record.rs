//! What happens to a store as the payload of a frame, and back.
//!
//! ```text
//! payload  varint     epoch: goes up by one whenever a declared place gets another series
//!          records
//!
//! record   1 byte     bits 0 to 2   bytes of the value, less one
//!                     bit  3        whether a byte of the form of the value comes before it
//!                     bits 4, 5     how the place is written
//!                     bits 6, 7     how the timestamp is written
//!          place      0: nothing; the place after that of the record before
//!                     1: 2 bytes; the place
//!                     2: 4 bytes; the place
//!                     3: 4 bytes, the place, and 4 bytes that declare which series is there:
//!                        bits 0 to 29  bytes of its key
//!                        bit  30       another one was declared there before: the epoch goes up
//!                        bit  31       the series is new: if there is one of this key, it goes
//!          timestamp  0 to 3: 0, 2, 4 or 8 bytes; the difference to that of the record before,
//!                     zigzag
//!          form       0 or 1 byte; 0 to 15: the value is digits, so many of them decimals;
//!                     16: it is a double; 17: there is none, and no point of the series up to the
//!                     timestamp; without this byte, it is as in the record before
//!          value      1 to 8 bytes; of digits, the difference to those of the newest record that
//!                     had any, zigzag; of a double, its bits
//!          key        of a series that is declared, UTF-8
//! ```
//!
//! Numbers have their low byte first, and missing high bytes are 0. The records of a frame follow
//! each other without a gap. At its beginning, the record before is one of place 0, timestamp 0
//! and digits 0 without decimals. So a put of a series in step with others takes three bytes or
//! four.
//!
//! Each file declares a series where it first names its place, and so depends on no other file. A
//! place may have another series later, which is declared then. From the epoch a reader that has lost
//! a frame knows whether the series are still where they were. Each record of place 2^32 - 1 declares its
//! series, and no reader needs to remember that: so readers take little memory, however many series there
//! are.

use std::collections::VecDeque;
use std::mem;

use super::file_places::{FilePlaces, NO_PLACE};
use super::frame;
use crate::decimal::{DECIMALS_MAX, decimals_of, digits_of, value_of};
use crate::key::Key;
use crate::store::{Placed, Put, read_varint, unzigzag, write_varint, zigzag};

/// The form of a value that is no decimal.
const DOUBLE: u8 = DECIMALS_MAX + 1;

/// The form of a record that removes points.
pub const REMOVED: u8 = DOUBLE + 1;

/// The code of a place that is declared.
const DECLARED: u8 = 3;

/// The bits of a declaration.
const KEY_BYTES: u32 = (1 << 30) - 1;
pub const IS_REUSED: u32 = 1 << 30;
pub const IS_NEW: u32 = 1 << 31;

/// The most bytes of a record without its key.
const RECORD_MAX_BYTES: usize = 1 + 8 + 8 + 1 + 8;

/// A new frame has room for so many bytes. Frames of one put are many where the disk stands still, so
/// these are few.
const FRAME_BYTES: usize = 64;

/// A frame with no room for another record gets at most so many bytes more. Each key that is appended
/// may take the rest of them.
const FRAME_GROWTH_MAX_BYTES: usize = 4 << 10;

/// Past so many bytes, the next put begins another frame.
const FRAME_FULL_BYTES: usize = 1 << 20;

/// What a record is coded against: those before it in its frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before {
    place: u32,
    timestamp: i64,
    form: u8,
    digits: i64,
}

/// Puts and removals that are to be handed over to the journal, as the bytes of frames.
#[derive(Debug, Default)]
pub struct PutRecord {
    /// The frame that records are appended to, with room for its head, and zeros after its end.
    frame: Vec<u8>,
    /// Bytes of it before its first record.
    start: usize,
    /// Bytes of it; `start <= end`.
    end: usize,
    /// How many puts it has.
    puts: u32,
    /// The frames before it, and how many puts each has.
    full: VecDeque<(Vec<u8>, u32)>,
    /// A buffer for the next one.
    buffer: Vec<u8>,
    before: Before,
    /// The decimals to try first, those of an earlier value.
    decimals: u8,
    /// A bit for each place: whether it is declared in the journal's file.
    declared: Vec<u64>,
    /// Series from this place on are declared by each record.
    places_end: u32,
    /// How often a declared place has got another series, or all places were forgotten.
    epoch: u64,
}

impl PutRecord {
    /// No puts, for the first file of a journal, whose readers are to remember so many series at most.
    pub fn new(most_series: usize) -> PutRecord {
        let mut record = PutRecord {
            places_end: u32::try_from(most_series).unwrap_or(NO_PLACE),
            ..PutRecord::default()
        };
        record.begin_frame();
        record
    }

    /// Begins another file, in which no place is declared yet. Removals that were not taken are forgotten. False
    /// if there are puts that were not taken: they are for the file before.
    pub fn begin_file(&mut self) -> bool {
        if self.has_puts() {
            return false;
        }
        self.full.clear();
        self.declared.fill(0);
        self.epoch += 1;
        self.begin_frame();
        true
    }

    /// Appends a put, unless the store has not kept it.
    #[inline]
    pub(crate) fn push(&mut self, placed: Placed, put: &Put) {
        let (place, is_new) = match placed {
            Placed::At(place) => (place, false),
            Placed::New(place) => (place, true),
            Placed::NotKept => return,
        };
        self.make_room();
        self.puts += 1;
        let (form, value) = match put.value.digits(self.decimals) {
            Some(digits) => (self.decimals, self.difference_to(digits)),
            None => self.in_other_form(put.value.to_double()),
        };
        let before = &self.before;
        let follows = place == before.place.wrapping_add(1) && !is_new;
        let is_in_step = follows && put.timestamp == before.timestamp && form == before.form;
        // Most puts are in step, and have code of their own: the value is the only field, and fits into eight
        // bytes with its head.
        if is_in_step && value >> 56 == 0 && self.is_declared(place) {
            self.before.place = place;
            let value_bytes = bytes_of(value);
            self.write(value << 8 | (value_bytes as u64 - 1), 1 + value_bytes);
        } else {
            self.append(place, is_new, put.key, put.timestamp, form, value);
        }
    }

    /// Appends that the series at this place has lost all points at timestamps up to this one. Returns how
    /// many bytes that takes: few, unless the key is appended too.
    pub fn remove(&mut self, place: usize, key: &str, up_to: i64) -> usize {
        self.make_room();
        let before = self.end;
        self.append(place as u32, false, key.into(), up_to, REMOVED, 0);
        self.end - before
    }

    #[inline]
    fn make_room(&mut self) {
        if self.end >= FRAME_FULL_BYTES {
            self.begin_next();
        }
        if self.frame.len() - self.end < RECORD_MAX_BYTES {
            self.grow();
        }
    }

    #[inline(never)]
    fn append(&mut self, place: u32, is_new: bool, key: Key, timestamp: i64, form: u8, value: u64) {
        let is_remembered = place < self.places_end;
        let place = if is_remembered { place } else { NO_PLACE };
        let (place_code, declaration) = match place {
            _ if is_new || !self.is_declared(place) => (DECLARED, self.declare(place, is_new, key)),
            _ if place == self.before.place.wrapping_add(1) => (0, 0),
            _ => (1 + u8::from(place > u32::from(u16::MAX)), 0),
        };
        let step = zigzag(timestamp.wrapping_sub(self.before.timestamp));
        let time_code = u8::from(step > 0)
            + u8::from(step > u64::from(u16::MAX))
            + u8::from(step > u64::from(u32::MAX));
        let has_form = form != self.before.form;
        let value_bytes = bytes_of(value);
        self.before.place = place;
        self.before.timestamp = timestamp;
        self.before.form = form;

        let head =
            (value_bytes - 1) as u8 | u8::from(has_form) << 3 | place_code << 4 | time_code << 6;
        let place_field = u64::from(place) | u64::from(declaration) << 32;
        self.write(u64::from(head), 1);
        self.write(place_field, field_bytes(place_code));
        self.write(step, field_bytes(time_code));
        self.write(u64::from(form), usize::from(has_form));
        self.write(value, value_bytes);
        if place_code == DECLARED {
            self.append_key(key.as_bytes());
        }
    }

    /// Always writes eight bytes; the next field overwrites those past `bytes`.
    #[inline]
    fn write(&mut self, field: u64, bytes: usize) {
        self.frame[self.end..self.end + 8].copy_from_slice(&field.to_le_bytes());
        self.end += bytes;
    }

    #[cold]
    fn append_key(&mut self, key: &[u8]) {
        self.frame.truncate(self.end);
        self.frame.extend_from_slice(key);
        self.end = self.frame.len();
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        // Added bytes are zeroed, so only a few each time; `Vec` doubles its capacity by itself.
        let added = self.end.clamp(FRAME_BYTES, FRAME_GROWTH_MAX_BYTES);
        self.frame.resize(self.end + added, 0);
    }

    #[inline]
    fn is_declared(&self, place: u32) -> bool {
        let bits = self.declared.get(place as usize / 64);
        bits.is_some_and(|bits| bits >> (place % 64) & 1 != 0)
    }

    /// Declares a series, and returns the bits of the declaration.
    #[cold]
    fn declare(&mut self, place: u32, is_new: bool, key: Key) -> u32 {
        let is_reused = self.is_declared(place);
        self.epoch += u64::from(is_reused);
        if place != NO_PLACE {
            let word = place as usize / 64;
            if self.declared.len() <= word {
                self.declared.resize(word + 1, 0);
            }
            self.declared[word] |= 1 << (place % 64);
        }
        let reused = if is_reused { IS_REUSED } else { 0 };
        let new = if is_new { IS_NEW } else { 0 };
        key.as_bytes().len() as u32 | reused | new
    }

    #[inline]
    fn difference_to(&mut self, digits: i64) -> u64 {
        zigzag(digits - mem::replace(&mut self.before.digits, digits))
    }

    /// The form and the field of a value that has not the decimals tried first.
    #[cold]
    fn in_other_form(&mut self, value: f64) -> (u8, u64) {
        let decimals = decimals_of(value);
        let Some(digits) = decimals.and_then(|decimals| digits_of(value, decimals)) else {
            return (DOUBLE, value.to_bits());
        };
        self.decimals = decimals.unwrap_or(0);
        (self.decimals, self.difference_to(digits))
    }

    #[cold]
    fn begin_next(&mut self) {
        let next = mem::take(&mut self.buffer);
        let mut full = mem::replace(&mut self.frame, next);
        full.truncate(self.end);
        self.full.push_back((full, mem::take(&mut self.puts)));
        self.begin_frame();
    }

    fn begin_frame(&mut self) {
        self.frame.clear();
        frame::begin(&mut self.frame);
        write_varint(&mut self.frame, self.epoch);
        self.start = self.frame.len();
        self.end = self.start;
        self.before = Before::default();
    }

    /// Takes the records of one frame, the oldest ones: its bytes, with room for its head. There are
    /// more until this [is empty](Self::is_empty).
    pub fn take(&mut self) -> Vec<u8> {
        if self.full.is_empty() {
            self.begin_next();
        }
        self.full.pop_front().unwrap_or_default().0
    }

    /// How many puts there are in the frame that is [taken](Self::take) next.
    pub fn puts_of_next(&self) -> u32 {
        self.full.front().map_or(self.puts, |&(_, puts)| puts)
    }

    /// Takes a buffer for the next frame.
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty() && self.end == self.start
    }

    /// Whether there are puts. If not, nobody waits for what becomes of the records.
    pub fn has_puts(&self) -> bool {
        self.puts > 0 || self.full.iter().any(|&(_, puts)| puts > 0)
    }
}

/// How many bytes a value takes.
#[inline]
fn bytes_of(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(8) as usize
}

/// Bytes of a place or a timestamp that is written in this way.
#[inline]
fn field_bytes(code: u8) -> usize {
    (1 << code) & !1
}

/// Takes records off the front of a payload. Made of the same two fields once more, it goes on.
pub struct Reader<'payload> {
    pub rest: &'payload [u8],
    pub before: Before,
}

pub struct Record<'payload> {
    pub place: u32,
    /// If the series is declared.
    pub key: Option<&'payload str>,
    /// If there is a series of this key, it goes.
    pub is_new: bool,
    /// Another series was declared there before.
    pub is_reused: bool,
    pub timestamp: i64,
    /// What is put; `None` if points up to the timestamp are gone.
    pub value: Option<f64>,
}

impl<'payload> Reader<'payload> {
    /// A reader of a whole payload, in whose file `places` are declared; `None` if it holds no epoch.
    pub fn begin(payload: &'payload [u8], places: &mut FilePlaces) -> Option<Reader<'payload>> {
        let mut rest = payload;
        places.go_on(read_varint(&mut rest)?);
        let before = Before::default();
        Some(Reader { rest, before })
    }

    /// The next record, or `None` where there is none.
    #[inline]
    pub fn next(&mut self) -> Option<Record<'payload>> {
        let rest = &mut self.rest;
        let &tag = rest.split_off_first()?;
        let place_code = tag >> 4 & 3;
        let place_field = take_number(rest, field_bytes(place_code))?;
        let step = take_number(rest, field_bytes(tag >> 6))?;
        let form = match tag & 8 {
            0 => self.before.form,
            _ => *rest.split_off_first()?,
        };
        let value_field = take_number(rest, usize::from(tag & 7) + 1)?;

        let place = match place_code {
            0 => self.before.place.wrapping_add(1),
            _ => place_field as u32,
        };
        let value = match form {
            ..DOUBLE => {
                let digits = self.before.digits.wrapping_add(unzigzag(value_field));
                self.before.digits = digits;
                Some(value_of(digits, form))
            }
            DOUBLE => Some(f64::from_bits(value_field)),
            REMOVED => None,
            _ => return None,
        };
        let declaration = (place_field >> 32) as u32;
        let key_bytes = rest.split_off(..(declaration & KEY_BYTES) as usize)?;
        let key = match place_code {
            DECLARED => Some(str::from_utf8(key_bytes).ok()?),
            _ => None,
        };
        self.before.place = place;
        self.before.timestamp = self.before.timestamp.wrapping_add(unzigzag(step));
        self.before.form = form;
        Some(Record {
            place,
            key,
            is_new: declaration & IS_NEW != 0,
            is_reused: declaration & IS_REUSED != 0,
            timestamp: self.before.timestamp,
            value,
        })
    }
}

/// Takes a number of up to eight bytes off the front.
#[inline]
fn take_number(rest: &mut &[u8], bytes: usize) -> Option<u64> {
    let number = match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(eight)
        }
    };
    *rest = rest.get(bytes..)?;
    Some(number & u64::MAX.checked_shr(64 - 8 * bytes as u32).unwrap_or(0))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::journal::frame::FRAME_HEAD_BYTES;
    use crate::journal::replay::read;
    use crate::server::Recorder;
    use crate::store::{PUTS_AT_ONCE, Point, Store};
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-9_999i32..9_999).prop_map(|digits| f64::from(digits) / 100.0),
            (any::<i32>(), 0i32..20)
                .prop_map(|(digits, decimals)| f64::from(digits) / 10f64.powi(decimals)),
            any::<u64>().prop_map(f64::from_bits),
            prop_oneof![
                Just(-0.0),
                Just(f64::NAN),
                Just(f64::NEG_INFINITY),
                Just(0.0),
                Just(1e15)
            ],
        ]
    }

    fn timestamp() -> impl Strategy<Value = i64> {
        prop_oneof![
            1_700_000_000i64..1_700_000_010,
            1_700_000_000_000i64..1_700_001_000_000,
            any::<i64>(),
            prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)],
        ]
    }

    /// Points of all series to the bit, in order.
    pub fn content(store: &Store) -> Vec<(String, Vec<(i64, u64)>)> {
        let points = |key: &str| {
            let bits = |point: Point| (point.timestamp, point.value.to_bits());
            store.range(key, ..).map(bits).collect()
        };
        store
            .keys()
            .map(|key| (key.to_owned(), points(key)))
            .collect()
    }

    /// The payloads of all frames.
    fn take_all(record: &mut PutRecord) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        while !record.is_empty() {
            payloads.push(record.take()[FRAME_HEAD_BYTES..].to_vec());
        }
        payloads
    }

    /// Stores puts in several files of frames of so many puts, and returns their payloads.
    fn record(
        store: &mut Store,
        puts: &[Put],
        places: usize,
        per_file: usize,
        per_frame: usize,
    ) -> Vec<Vec<Vec<u8>>> {
        let mut recorder = Recorder::new(PutRecord::new(places));
        let mut files = Vec::new();
        for puts in puts.chunks(per_file) {
            let mut payloads = Vec::new();
            for puts in puts.chunks(per_frame) {
                for puts in puts.chunks(PUTS_AT_ONCE) {
                    recorder.put_all(store, puts);
                }
                payloads.extend(take_all(&mut recorder.puts));
            }
            files.push(payloads);
            assert!(recorder.puts.begin_file());
        }
        files
    }

    proptest! {
        #[test]
        fn records_bring_back_the_store(
            puts in proptest::collection::vec((0u8..30, value(), timestamp()), 1..200),
            known in 0usize..200,
            places in prop_oneof![Just(2), Just(usize::MAX)],
            per_file in 1usize..200,
            per_frame in 1usize..100,
        ) {
            let keys: Vec<String> = (0..30).map(|number| format!("kéy {number}")).collect();
            let puts: Vec<Put> = puts
                .iter()
                .map(|&(key, value, timestamp)| Put { key: Key::from(&*keys[usize::from(key)]), timestamp, value: value.into() })
                .collect();
            let (known, later) = puts.split_at(known.min(puts.len()));
            let (mut store, mut replayed) = (Store::new(), Store::new());
            store.put_all(known);
            replayed.put_all(known);
            let mut count = 0;
            for payloads in record(&mut store, later, places, per_file, per_frame) {
                let mut places = FilePlaces::default();
                for payload in payloads {
                    count += read(&payload, &mut places, &mut replayed).expect("records");
                }
            }
            prop_assert_eq!(count, later.len());
            prop_assert_eq!(content(&store), content(&replayed));
        }

        #[test]
        fn any_bytes_are_records_or_none(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..4),
            series in 0u8..20,
        ) {
            let (mut store, mut places) = (Store::new(), FilePlaces::default());
            for place in 0..series {
                read(&declared(0, 0, place, IS_NEW, &[place]), &mut places, &mut store).expect("a put");
            }
            for bytes in payloads {
                match read(&bytes, &mut places, &mut store) {
                    Ok(puts) => prop_assert!(puts < bytes.len()),
                    Err((offset, puts)) => prop_assert!(offset <= bytes.len() && puts <= bytes.len()),
                }
            }
        }
    }

    #[test]
    fn values_of_each_length_come_back_from_series_in_step() {
        let keys: Vec<String> = (0..64).map(|bits| format!("k{bits}")).collect();
        let (mut store, mut replayed) = (Store::new(), Store::new());
        let put = |(place, timestamp): (usize, i64)| {
            let bits = (1 << place) - u64::from(timestamp > 1);
            let (key, value) = (Key::from(&*keys[place]), f64::from_bits(bits));
            Put {
                key,
                timestamp,
                value: value.into(),
            }
        };
        let rounds = (0..4).flat_map(|timestamp| (0..64).map(move |place| (place, timestamp)));
        let puts: Vec<Put> = rounds.map(put).collect();
        for payloads in record(&mut store, &puts, usize::MAX, puts.len(), puts.len()) {
            let mut places = FilePlaces::default();
            for payload in payloads {
                read(&payload, &mut places, &mut replayed).expect("records");
            }
        }
        assert_eq!(content(&store), content(&replayed));
        assert_eq!(replayed.point_count(), puts.len());
    }

    /// A payload of one record at time 0 of the value 0, or of no value, that declares a series.
    pub fn declared(epoch: u8, form: u8, place: u8, bits: u32, key: &[u8]) -> Vec<u8> {
        let bits = (bits | key.len() as u32).to_le_bytes();
        [&[epoch, 0x38, place, 0, 0, 0][..], &bits, &[form, 0], key].concat()
    }

    pub fn put<'key>(key: &'key str, timestamp: i64, value: f64) -> Put<'key> {
        let key = Key::from(key);
        Put {
            key,
            timestamp,
            value: value.into(),
        }
    }

    #[test]
    fn the_format_is_as_documented() {
        let mut record = PutRecord::new(usize::MAX);
        assert!(record.is_empty() && !record.has_puts());
        record.push(Placed::New(1), &put("ab", 100, 0.5));
        record.push(Placed::At(0), &put("", 100, -0.0));
        record.push(Placed::At(1), &put("ab", 99, 2.5));
        record.remove(1, "ab", 99);
        record.push(Placed::New(1), &put("c", 99, 0.0));
        let expected = [
            &[
                0, 0x78, 1, 0, 0, 0, 2, 0, 0, 0x80, 200, 0, 1, 10, b'a', b'b',
            ][..],
            &[0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[0x48, 1, 0, 1, 40],
            &[0x18, 1, 0, 17, 0],
            &[0x38, 1, 0, 0, 0, 1, 0, 0, 0xc0, 1, 49, b'c'],
        ];
        assert!(record.has_puts() && !record.begin_file());
        assert_eq!(record.take()[FRAME_HEAD_BYTES..], expected.concat());
        assert!(record.is_empty() && !record.has_puts());
        // Another series at a place that was declared is another epoch, and so is another file.
        record.remove(1, "c", 0);
        assert_eq!(record.take()[FRAME_HEAD_BYTES..], [1, 0x08, 17, 0]);
        record.remove(1, "c", 0);
        assert!(!record.is_empty() && !record.has_puts());
        assert!(record.begin_file() && record.is_empty());
        record.remove(1, "c", 0);
        let expected = declared(2, 17, 1, 0, b"c");
        assert_eq!(record.take()[FRAME_HEAD_BYTES..], expected);
    }

    #[test]
    fn a_put_in_step_takes_three_bytes() {
        let keys: Vec<String> = (0..1_000)
            .map(|series| format!("series {series}"))
            .collect();
        let (mut store, mut replayed) = (Store::new(), Store::new());
        let mut recorder = Recorder::new(PutRecord::new(usize::MAX));
        let mut places = FilePlaces::default();
        for turn in 0..3 {
            for (series, key) in keys.iter().enumerate() {
                let value = (series as i64 * 7_919 % 61 + turn) as f64 / 100.0;
                recorder.put_all(&mut store, &[put(key, 10 * turn, value)]);
            }
            let payload = recorder.puts.take()[FRAME_HEAD_BYTES..].to_vec();
            assert_eq!(read(&payload, &mut places, &mut replayed), Ok(1_000));
            let declared: usize = keys.iter().map(|key| 8 + key.len()).sum();
            // The first put of a frame has a timestamp, a form, and a place.
            let expected = 2_000 + if turn == 0 { declared } else { 0 };
            assert!(
                (expected..expected + 10).contains(&payload.len()),
                "{turn}: {}",
                payload.len()
            );
        }
        assert_eq!(content(&store), content(&replayed));
    }

    #[test]
    fn the_longest_record_has_room_wherever_it_begins() {
        for before in 0..RECORD_MAX_BYTES {
            let mut record = PutRecord::new(usize::MAX);
            record.push(Placed::New(0), &put(&"k".repeat(before + 1), 0, 0.0));
            record.push(Placed::New(70_000), &put("l", 0, 0.0));
            for number in 0..300 {
                let place = Placed::At([0, 70_000][number % 2]);
                let timestamp = [i64::MAX, 1][number % 2];
                let value = [1e300, 0.0][number / 2 % 2];
                record.push(place, &put("", timestamp, value));
            }
            let payload = &record.take()[FRAME_HEAD_BYTES..];
            let result = read(payload, &mut FilePlaces::default(), &mut Store::new());
            assert_eq!(result, Ok(302));
        }
    }

    #[test]
    fn a_frame_of_long_keys_has_little_room_to_spare() {
        let mut record = PutRecord::new(usize::MAX);
        for place in 0..80 {
            record.remove(place, &format!("{place}").repeat(5_000), 1);
            let spare_bytes = record.frame.len() - record.end;
            assert!(spare_bytes <= FRAME_GROWTH_MAX_BYTES, "{spare_bytes}");
        }
    }

    #[test]
    fn a_frame_of_one_put_takes_few_bytes() {
        let mut record = PutRecord::new(usize::MAX);
        for timestamp in 0..3 {
            record.push(Placed::At(0), &put("", timestamp, 1.0));
            assert!(record.take().capacity() <= 256);
        }
    }

    #[test]
    fn a_long_record_is_several_frames() {
        let key = "k".repeat(FRAME_FULL_BYTES / 2);
        let keys: Vec<String> = (0..5).map(|number| format!("{key}{number}")).collect();
        let puts: Vec<Put> = keys
            .iter()
            .map(|key| Put {
                key: Key::from(&**key),
                ..Put::default()
            })
            .collect();
        let (mut store, mut replayed) = (Store::new(), Store::new());
        let payloads = record(&mut store, &puts, 2, 5, 5).concat();
        let mut places = FilePlaces::default();
        let counts = payloads
            .iter()
            .map(|payload| read(payload, &mut places, &mut replayed));
        assert_eq!(counts.collect::<Vec<_>>(), [Ok(2), Ok(2), Ok(1)]);
        assert_eq!(content(&store), content(&replayed));
    }
}
