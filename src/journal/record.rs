//! Puts as the payload of a frame, and back.
//!
//! ```text
//! record   1 byte     bits 0 to 2   bytes of the value, less one
//!                     bit  3        whether a byte of the form of the value comes before it
//!                     bits 4, 5     how the place is written
//!                     bits 6, 7     how the timestamp is written
//!          place      0: nothing; the place after that of the record before
//!                     1: 2 bytes; the place
//!                     2: 4 bytes; the place
//!                     3: 4 bytes, the place of a series that is new, and 4 bytes, how many its
//!                        key has
//!          timestamp  0 to 3: 0, 2, 4 or 8 bytes; the difference to that of the record before,
//!                     zigzag
//!          form       0 or 1 byte; 0 to 15: the value is digits, so many of them decimals;
//!                     16: it is a double; else it is as in the record before
//!          value      1 to 8 bytes; of digits, the difference to those of the newest record that
//!                     had any, zigzag; of a double, its bits
//!          key        of a series that is new, UTF-8
//! ```
//!
//! Numbers have their low byte first, and missing high bytes are 0. The records of a frame follow
//! each other without a gap. At its beginning, the record before is one of place 0, timestamp 0
//! and digits 0 without decimals.
//!
//! The place of a series is how many series there were when it was first put, in this journal or in
//! the checkpoint that it goes on from. So a put of a series in step with others takes three bytes
//! or four.

use std::collections::VecDeque;
use std::fmt;
use std::mem;

use super::frame::{self, FRAME_HEAD_BYTES};
use crate::decimal::{DECIMALS_MAX, decimals_of, digits_of, value_of};
use crate::key::Key;
use crate::store::{PUTS_AT_ONCE, Placed, Point, Put, Store, unzigzag, zigzag};

/// The form of a value that is no decimal.
const DOUBLE: u8 = DECIMALS_MAX + 1;

/// How the place of a series that is new is written.
const NEW: u8 = 3;

/// The most bytes of a record without its key.
const RECORD_MAX_BYTES: usize = 1 + 8 + 8 + 1 + 8;

/// Past so many bytes, the next put begins another frame.
const FRAME_FULL_BYTES: usize = 1 << 20;

/// What a record is coded against: those before it in its frame.
#[derive(Debug, Default)]
struct Before {
    place: usize,
    timestamp: i64,
    form: u8,
    digits: i64,
}

/// Puts that are to be handed over to the journal, as the bytes of frames.
#[derive(Debug)]
pub struct PutRecord {
    /// The frame that puts are appended to, with room for its head.
    frame: Vec<u8>,
    /// Those before it.
    full: VecDeque<Vec<u8>>,
    /// A buffer for the next one.
    buffer: Vec<u8>,
    before: Before,
    /// The decimals to try first, those of an earlier value.
    decimals: u8,
    /// How many series the journal knows, with those of these puts.
    series: usize,
}

impl PutRecord {
    /// No puts, for a journal that knows so many series.
    pub fn new(series: usize) -> PutRecord {
        PutRecord {
            frame: begun(Vec::new()),
            full: VecDeque::new(),
            buffer: Vec::new(),
            before: Before::default(),
            decimals: 0,
            series,
        }
    }

    /// Appends a put into the series at this place. A series that the journal does not know has the
    /// next place.
    #[inline]
    pub fn push(&mut self, place: usize, put: &Put) {
        debug_assert!(place <= self.series);
        if self.frame.len() >= FRAME_FULL_BYTES {
            self.begin_next();
        }
        let is_new = place == self.series;
        let place_code = match place {
            _ if is_new => NEW,
            _ if place == self.before.place + 1 => 0,
            _ => 1 + u8::from(place > usize::from(u16::MAX)),
        };
        let key_bytes = if is_new { put.key.as_bytes().len() } else { 0 };
        let step = zigzag(put.timestamp.wrapping_sub(self.before.timestamp));
        let time_code = u8::from(step > 0)
            + u8::from(step > u64::from(u16::MAX))
            + u8::from(step > u64::from(u32::MAX));
        let (form, value) = match digits_of(put.value, self.decimals) {
            Some(digits) => (self.decimals, self.difference_to(digits)),
            None => self.in_other_form(put.value),
        };
        let has_form = form != self.before.form;
        let value_bytes = (u64::BITS - (value | 1).leading_zeros()).div_ceil(8);
        self.before.place = place;
        self.before.timestamp = put.timestamp;
        self.before.form = form;

        let mut record = [0; RECORD_MAX_BYTES];
        record[0] =
            (value_bytes - 1) as u8 | u8::from(has_form) << 3 | place_code << 4 | time_code << 6;
        let mut length = 1;
        for (field, bytes) in [
            (
                place as u64 | (key_bytes as u64) << 32,
                field_bytes(place_code),
            ),
            (step, field_bytes(time_code)),
            (u64::from(form), usize::from(has_form)),
            (value, value_bytes as usize),
        ] {
            // Eight bytes each time, of which the next field overwrites those that are too many.
            record[length..length + 8].copy_from_slice(&field.to_le_bytes());
            length += bytes;
        }
        let end = self.frame.len() + length;
        self.frame.extend_from_slice(&record);
        self.frame.truncate(end);
        if is_new {
            self.frame.extend_from_slice(put.key.as_bytes());
            self.series += 1;
        }
    }

    #[inline]
    fn difference_to(&mut self, digits: i64) -> u64 {
        zigzag(digits - mem::replace(&mut self.before.digits, digits))
    }

    /// The form and the field of a value that has not the decimals tried first.
    #[cold]
    fn in_other_form(&mut self, value: f64) -> (u8, u64) {
        let decimals = decimals_of(value, 0);
        let Some(digits) = decimals.and_then(|decimals| digits_of(value, decimals)) else {
            return (DOUBLE, value.to_bits());
        };
        self.decimals = decimals.unwrap_or(0);
        (self.decimals, self.difference_to(digits))
    }

    #[cold]
    fn begin_next(&mut self) {
        let next = begun(mem::take(&mut self.buffer));
        self.full.push_back(mem::replace(&mut self.frame, next));
        self.before = Before::default();
    }

    /// Takes the puts of one frame, the oldest ones: its bytes, with room for its head. There are
    /// more until this [is empty](Self::is_empty).
    pub fn take(&mut self) -> Vec<u8> {
        if self.full.is_empty() {
            self.begin_next();
        }
        self.full.pop_front().unwrap_or_default()
    }

    /// Appends that the series at this place has lost all points at timestamps up to this one.
    pub fn remove(&mut self, _place: usize, _key: &str, _up_to: i64) {}

    /// Takes a buffer for the next frame.
    pub fn reuse(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// Bytes of the puts.
    pub fn len(&self) -> usize {
        let full = self.full.iter().map(|frame| frame.len() - FRAME_HEAD_BYTES);
        full.sum::<usize>() + self.frame.len() - FRAME_HEAD_BYTES
    }

    /// Whether there are no puts.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty() && self.frame.len() == FRAME_HEAD_BYTES
    }
}

/// A frame without payload, in this buffer.
fn begun(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    frame::begin(&mut buffer);
    buffer
}

/// Bytes of a place or a timestamp that is written in this way.
#[inline]
fn field_bytes(code: u8) -> usize {
    (1 << code) & !1
}

/// A payload holds bytes that are no record, or one of a series that cannot be.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongRecord {
    /// Offset of the record in the payload.
    pub offset: usize,
    /// How many puts before it were stored.
    pub puts: usize,
}

impl fmt::Display for WrongRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WrongRecord { offset, puts } = self;
        write!(
            f,
            "no record of a put at byte {offset} of a frame, after {puts} puts"
        )
    }
}

/// Stores the puts of a frame's payload, in order, and returns how many there are. The store holds
/// the series that the journal knew before.
///
/// # Errors
///
/// If there is anything but records, or a series is said to be new and is not, or the other way
/// around. The puts before it are stored.
pub fn read(payload: &[u8], store: &mut Store) -> Result<usize, WrongRecord> {
    let mut reader = Reader {
        rest: payload,
        before: Before::default(),
        series: store.series_count(),
    };
    let mut held = [(0, Point::default()); PUTS_AT_ONCE];
    let mut placed = [Placed::NotKept; PUTS_AT_ONCE];
    let (mut held_count, mut puts) = (0, 0);
    let mut offset = 0;
    while let Some(record) = reader.next() {
        match record.new_key {
            None => {
                held[held_count] = (record.place, record.point);
                held_count += 1;
            }
            Some(key) => {
                store.put_all_at_places(&held[..mem::take(&mut held_count)]);
                let Point { timestamp, value } = record.point;
                let put = Put {
                    key,
                    timestamp,
                    value,
                };
                store.put_all_noting_places(&[put], &mut placed);
                if placed[0] != Placed::New(record.place as u32) {
                    return Err(WrongRecord { offset, puts });
                }
            }
        }
        if held_count == PUTS_AT_ONCE {
            store.put_all_at_places(&held);
            held_count = 0;
        }
        puts += 1;
        offset = payload.len() - reader.rest.len();
    }
    store.put_all_at_places(&held[..held_count]);
    if offset < payload.len() {
        return Err(WrongRecord { offset, puts });
    }
    Ok(puts)
}

/// Takes records off the front of a payload.
struct Reader<'payload> {
    rest: &'payload [u8],
    before: Before,
    /// How many series are known, with those of the records before.
    series: usize,
}

struct Record<'payload> {
    place: usize,
    point: Point,
    /// The key, if the series is new.
    new_key: Option<Key<'payload>>,
}

impl<'payload> Reader<'payload> {
    /// The next record, or `None` at the end and where there is none. Then `rest` is left as it is.
    #[inline]
    fn next(&mut self) -> Option<Record<'payload>> {
        let mut rest = self.rest;
        let &tag = rest.split_off_first()?;
        let place_code = tag >> 4 & 3;
        let place_field = take_number(&mut rest, field_bytes(place_code))?;
        let step = take_number(&mut rest, field_bytes(tag >> 6))?;
        let form = match tag & 8 {
            0 => self.before.form,
            _ => *rest.split_off_first()?,
        };
        let value_field = take_number(&mut rest, usize::from(tag & 7) + 1)?;

        let is_new = place_code == NEW;
        let place = match place_code {
            0 => self.before.place + 1,
            _ => place_field as u32 as usize,
        };
        if place >= self.series + usize::from(is_new) || is_new && place < self.series {
            return None;
        }
        let value = match form {
            ..DOUBLE => {
                let digits = self.before.digits.wrapping_add(unzigzag(value_field));
                self.before.digits = digits;
                value_of(digits, form)
            }
            DOUBLE => f64::from_bits(value_field),
            _ => return None,
        };
        let new_key = if is_new {
            let key = rest.split_off(..(place_field >> 32) as usize)?;
            self.series += 1;
            Some(Key::from(str::from_utf8(key).ok()?))
        } else {
            None
        };
        self.before.place = place;
        self.before.timestamp = self.before.timestamp.wrapping_add(unzigzag(step));
        self.before.form = form;
        self.rest = rest;
        let timestamp = self.before.timestamp;
        Some(Record {
            place,
            point: Point { timestamp, value },
            new_key,
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
mod tests {
    use super::*;
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
    fn content(store: &Store) -> Vec<(String, Vec<(i64, u64)>)> {
        let points = |key: &str| {
            let bits = |point: Point| (point.timestamp, point.value.to_bits());
            store.range(key, ..).map(bits).collect()
        };
        store
            .keys()
            .map(|key| (key.to_owned(), points(key)))
            .collect()
    }

    /// Stores puts, and returns the payloads of frames of so many puts.
    fn record(store: &mut Store, puts: &[Put], per_frame: usize) -> Vec<Vec<u8>> {
        let mut record = PutRecord::new(store.series_count());
        let mut placed = [Placed::NotKept; PUTS_AT_ONCE];
        let mut payloads = Vec::new();
        for puts in puts.chunks(per_frame) {
            for puts in puts.chunks(PUTS_AT_ONCE) {
                store.put_all_noting_places(puts, &mut placed);
                for (&placed, put) in placed.iter().zip(puts) {
                    if let Placed::At(place) | Placed::New(place) = placed {
                        record.push(place as usize, put);
                    }
                }
            }
            let bytes = record.len();
            let mut payload_bytes = 0;
            while !record.is_empty() {
                let frame = record.take();
                payload_bytes += frame.len() - FRAME_HEAD_BYTES;
                payloads.push(frame[FRAME_HEAD_BYTES..].to_vec());
            }
            assert_eq!(payload_bytes, bytes);
        }
        payloads
    }

    proptest! {
        #[test]
        fn records_bring_back_the_store(
            puts in proptest::collection::vec((0u8..30, value(), timestamp()), 1..200),
            known in 0usize..200,
            per_frame in 1usize..100,
        ) {
            let keys: Vec<String> = (0..30).map(|number| format!("kéy {number}")).collect();
            let puts: Vec<Put> = puts
                .iter()
                .map(|&(key, value, timestamp)| Put { key: Key::from(&*keys[usize::from(key)]), timestamp, value })
                .collect();
            let (known, later) = puts.split_at(known.min(puts.len()));
            let (mut store, mut replayed) = (Store::new(), Store::new());
            store.put_all(known);
            replayed.put_all(known);
            let mut count = 0;
            for payload in record(&mut store, later, per_frame) {
                count += read(&payload, &mut replayed).expect("records");
            }
            prop_assert_eq!(count, later.len());
            prop_assert_eq!(content(&store), content(&replayed));
        }

        #[test]
        fn any_bytes_are_records_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..100), series in 0usize..20) {
            let mut store = Store::new();
            for place in 0..series {
                store.put(&format!("{place}"), 0, 0.0);
            }
            match read(&bytes, &mut store) {
                Ok(puts) => prop_assert!(puts <= bytes.len()),
                Err(error) => prop_assert!(error.offset < bytes.len() && error.puts <= error.offset),
            }
        }
    }

    /// A put at time 0 of the value 0 into a new series.
    fn new_series(place: u8, key: &[u8]) -> Vec<u8> {
        [&[0x30, place, 0, 0, 0, key.len() as u8, 0, 0, 0, 0], key].concat()
    }

    #[test]
    fn records_that_cannot_be_are_refused_and_those_before_are_stored() {
        let first = [0x10, 0, 0, 7];
        for (name, wrong) in [
            ("an unknown place", vec![0x10, 2, 0, 0]),
            ("a new series of a known place", new_series(1, b"c")),
            ("a new series past the next place", new_series(3, b"c")),
            ("a key that is known", new_series(2, b"b")),
            ("a key that is not UTF-8", new_series(2, b"\xff")),
            ("a key cut off", new_series(2, b"cd")[..11].to_vec()),
            ("an unknown form", vec![0x08 | 0x10, 0, 0, 17, 0]),
            ("a value cut off", vec![0x12, 0, 0, 1, 1]),
        ] {
            let mut store = Store::new();
            store.put("a", 0, 0.0);
            store.put("b", 0, 0.0);
            let payload = [&first[..], &wrong].concat();
            let expected = WrongRecord { offset: 4, puts: 1 };
            assert_eq!(read(&payload, &mut store), Err(expected), "{name}");
            assert!(
                store.range("a", ..).map(|point| point.value).eq([-4.0]),
                "{name}"
            );
            assert!(store.keys().eq(["a", "b"]), "{name}");
        }
    }

    #[test]
    fn the_format_is_as_documented() {
        let mut record = PutRecord::new(1);
        let put = |key, timestamp, value| Put {
            key: Key::from(key),
            timestamp,
            value,
        };
        record.push(1, &put("ab", 100, 0.5));
        record.push(0, &put("", 100, -0.0));
        record.push(1, &put("ab", 99, 2.5));
        let expected = [
            &[0x78, 1, 0, 0, 0, 2, 0, 0, 0, 200, 0, 1, 10, b'a', b'b'][..],
            &[0x1f, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[0x48, 1, 0, 1, 40],
        ];
        assert_eq!(record.take()[FRAME_HEAD_BYTES..], expected.concat());
        assert_eq!((record.is_empty(), record.len()), (true, 0));
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
        let payloads = record(&mut store, &puts, 5);
        let counts = payloads.iter().map(|payload| read(payload, &mut replayed));
        assert_eq!(counts.collect::<Vec<_>>(), [Ok(2), Ok(2), Ok(1)]);
        assert_eq!(content(&store), content(&replayed));
    }
}
