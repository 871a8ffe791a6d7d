//! Points that are read together, and the requests that are made of them.

use std::hash::BuildHasher;
use std::io;
use std::ops::Range;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::labels::Labels;
use super::snappy::Compressor;
use crate::store::write_varint;

/// The tags of the fields of `prometheus.WriteRequest`: the number of a field, and its wire type, which is 0 for a
/// varint, 1 for eight bytes, and 2 for a length and as many bytes
/// (<https://protobuf.dev/programming-guides/encoding/>).
mod field {
    pub const SERIES: u8 = 1 << 3 | 2;
    pub const LABEL: u8 = 1 << 3 | 2;
    pub const NAME: u8 = 1 << 3 | 2;
    pub const VALUE_OF_LABEL: u8 = 2 << 3 | 2;
    pub const SAMPLE: u8 = 2 << 3 | 2;
    pub const VALUE: u8 = 1 << 3 | 1;
    pub const TIMESTAMP: u8 = 2 << 3;
}

/// About how many bytes the labels of a key take. They may hold it twice: in parts, and as the label `key`.
fn key_label_bytes(key_bytes: usize) -> usize {
    2 * key_bytes + 32
}

/// The keys of the series of a batch, each of which a number stands for.
pub trait Keys {
    /// How many bytes a key has.
    fn key_bytes(&self, series: u64) -> usize;

    /// The key, which may have to be read.
    fn key(&mut self, series: u64) -> io::Result<&str>;
}

/// Keys in memory, by their indices.
impl<Key: AsRef<str>> Keys for &[Key] {
    fn key_bytes(&self, series: u64) -> usize {
        self[series as usize].as_ref().len()
    }

    fn key(&mut self, series: u64) -> io::Result<&str> {
        Ok(self[series as usize].as_ref())
    }
}

/// Points in the order of their puts.
///
/// It takes 32 bytes for each point. Buffers for encoding are kept: the request before it is compressed, 64
/// KiB, and some 35 bytes for each series of the request.
#[derive(Debug, Default)]
pub struct Batch {
    points: Vec<BatchPoint>,
    /// The series of the request.
    groups: Vec<Group>,
    /// The indices of these by their series.
    indices: HashTable<u32>,
    hasher: RandomState,
    labels: Vec<u8>,
    request: Vec<u8>,
    compressor: Compressor,
}

#[derive(Clone, Copy, Debug, Default)]
struct BatchPoint {
    series: u64,
    /// The index of the next point of the same series in the request. Unused in the last one.
    next: u32,
    timestamp_ms: i64,
    /// As bits, since some processors change a NaN when they copy it as a double.
    value_bits: u64,
}

/// The points of a series in a request.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    series: u64,
    /// The indices of its first and last point.
    first: u32,
    last: u32,
    /// The length of its points in the request.
    sample_bytes: u32,
}

impl Batch {
    /// Takes at once the memory that is needed for so many points, in a request of so many bytes, which is
    /// compressed to `body`.
    pub fn take_room(&mut self, points: usize, request_bytes: usize, body: &mut Vec<u8>) {
        self.points.resize(points, BatchPoint::default());
        self.groups.resize(points, Group::default());
        self.indices = HashTable::with_capacity(points);
        for index in 0..points as u32 {
            let hash = self.hasher.hash_one(index);
            self.indices.insert_unique(hash, index, |_| hash);
        }
        self.request.resize(request_bytes, 0);
        self.compressor.compress(&[], body);
        body.resize(request_bytes, 0);
        self.points.clear();
    }

    /// Appends a point.
    pub fn push(&mut self, series: u64, timestamp_ms: i64, value: f64) {
        self.points.push(BatchPoint {
            series,
            next: 0,
            timestamp_ms,
            value_bits: value.to_bits(),
        });
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Removes all points.
    pub fn clear(&mut self) {
        self.points.clear();
    }

    /// Writes the points of this range as a compressed `prometheus.WriteRequest` to `body`, whose content it
    /// replaces: each series once, with its points in their order. Asks once for the key of each
    /// series, in the order of their first points. Linear in the points and in the bytes of the keys.
    ///
    /// Returns how many points it took from the beginning of the range: as many as fit in about `most_bytes`
    /// before compression, but at least one, if there are any.
    ///
    /// # Errors
    ///
    /// Those of `keys`: the points and the body stay as they were.
    ///
    /// # Panics
    ///
    /// If the range is not within the batch.
    pub fn encode(
        &mut self,
        points: Range<usize>,
        most_bytes: usize,
        labels: &Labels,
        keys: &mut dyn Keys,
        body: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let taken = self.group(points, most_bytes, labels, keys);
        self.request.clear();
        for group in &self.groups {
            self.labels.clear();
            labels.for_each(keys.key(group.series)?, &mut |name, value| {
                write_label(&mut self.labels, name, value);
            });
            self.request.push(field::SERIES);
            let bytes = self.labels.len() as u64 + u64::from(group.sample_bytes);
            write_varint(&mut self.request, bytes);
            self.request.extend_from_slice(&self.labels);
            write_samples(&mut self.request, &self.points, *group);
        }
        self.compressor.compress(&self.request, body);
        Ok(taken)
    }

    /// Links the points of each series. Returns how many points of the range fit in a request.
    fn group(
        &mut self,
        points: Range<usize>,
        most_bytes: usize,
        labels: &Labels,
        keys: &dyn Keys,
    ) -> usize {
        let label_bytes = |(name, value): &(String, String)| name.len() + value.len() + 8;
        let common_bytes: usize = labels.common.iter().map(label_bytes).sum();
        self.groups.clear();
        self.indices.clear();
        let hash = |series: u64| self.hasher.hash_one(series);
        let mut request_bytes = 0;
        for number in points.clone() {
            let point = self.points[number];
            let is_same = |&index: &u32| self.groups[index as usize].series == point.series;
            let index = self.indices.find(hash(point.series), is_same);
            let group = index.and_then(|&index| self.groups.get_mut(index as usize));
            let sample_bytes = 2 + sample_bytes(point.timestamp_ms);
            request_bytes += sample_bytes as usize;
            if group.is_none() {
                request_bytes += common_bytes + key_label_bytes(keys.key_bytes(point.series));
            }
            if request_bytes > most_bytes && number > points.start {
                return number - points.start;
            }
            let number = number as u32;
            if let Some(group) = group {
                self.points[group.last as usize].next = number;
                group.last = number;
                group.sample_bytes += sample_bytes;
            } else {
                let index = self.groups.len() as u32;
                let groups = &self.groups;
                let hash_of = |&index: &u32| hash(groups[index as usize].series);
                self.indices
                    .insert_unique(hash(point.series), index, hash_of);
                self.groups.push(Group {
                    series: point.series,
                    first: number,
                    last: number,
                    sample_bytes,
                });
            }
        }
        points.len()
    }
}

/// Writes a label.
fn write_label(out: &mut Vec<u8>, name: &str, value: &str) {
    let text_bytes = |text: &str| 1 + varint_bytes(text.len() as u64) as usize + text.len();
    out.push(field::LABEL);
    write_varint(out, (text_bytes(name) + text_bytes(value)) as u64);
    write_text(out, field::NAME, name);
    write_text(out, field::VALUE_OF_LABEL, value);
}

fn write_text(out: &mut Vec<u8>, field: u8, text: &str) {
    out.push(field);
    write_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Writes the points of a series.
fn write_samples(out: &mut Vec<u8>, points: &[BatchPoint], group: Group) {
    let mut number = group.first;
    loop {
        let point = points[number as usize];
        let bytes = sample_bytes(point.timestamp_ms) as u8;
        out.extend_from_slice(&[field::SAMPLE, bytes, field::VALUE]);
        out.extend_from_slice(&point.value_bits.to_le_bytes());
        out.push(field::TIMESTAMP);
        write_varint(out, point.timestamp_ms as u64);
        if number == group.last {
            break;
        }
        number = point.next;
    }
}

/// The length of a sample without its first two bytes.
fn sample_bytes(timestamp_ms: i64) -> u32 {
    // Negative numbers take ten bytes, as their two's complement.
    10 + varint_bytes(timestamp_ms as u64)
}

fn varint_bytes(number: u64) -> u32 {
    number.checked_ilog2().unwrap_or_default() / 7 + 1
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const MOST_BYTES: usize = 512 << 10;

    /// A series as it arrives: its labels, and its points as timestamps and bits of values.
    pub type Series = (Vec<(String, String)>, Vec<(i64, u64)>);

    /// A field: its number, and what it holds.
    enum Field<'a> {
        Number(u64),
        Double(u64),
        Bytes(&'a [u8]),
    }

    fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
        bytes.split_off(..count).expect("as many bytes")
    }

    fn read_varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0u128;
        for place in 0..10 {
            let byte = take(bytes, 1)[0];
            number |= u128::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return number.try_into().expect("64 bits");
            }
        }
        panic!("a varint of more than ten bytes");
    }

    /// Parses the fields of a protobuf message.
    fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
        let mut fields = Vec::new();
        while !message.is_empty() {
            let tag = read_varint(&mut message);
            let field = match tag & 7 {
                0 => Field::Number(read_varint(&mut message)),
                1 => Field::Double(u64::from_le_bytes(
                    take(&mut message, 8).try_into().expect("8"),
                )),
                2 => {
                    let length = read_varint(&mut message) as usize;
                    Field::Bytes(take(&mut message, length))
                }
                kind => panic!("wire type {kind}"),
            };
            fields.push((tag >> 3, field));
        }
        fields
    }

    fn text(field: &Field) -> String {
        let Field::Bytes(bytes) = field else {
            panic!("no text");
        };
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    fn read_series(message: &[u8]) -> Series {
        let (mut labels, mut points) = Series::default();
        for (number, field) in fields(message) {
            let Field::Bytes(message) = field else {
                panic!("no message");
            };
            match (number, &fields(message)[..]) {
                (1, [(1, name), (2, value)]) => labels.push((text(name), text(value))),
                (2, [(1, Field::Double(bits)), (2, Field::Number(timestamp))]) => {
                    points.push((*timestamp as i64, *bits));
                }
                _ => panic!("field {number} of a series"),
            }
        }
        (labels, points)
    }

    pub fn read_request(body: &[u8]) -> Vec<Series> {
        let message = snap::raw::Decoder::new()
            .decompress_vec(body)
            .expect("a block");
        let series = |(number, field): (u64, Field)| match field {
            Field::Bytes(message) if number == 1 => read_series(message),
            _ => panic!("field {number} of a request"),
        };
        fields(&message).into_iter().map(series).collect()
    }

    /// The series that are to arrive, in the order of their first points.
    fn expected(points: &[(u64, i64, f64)], labels: &Labels, keys: &[String]) -> Vec<Series> {
        let mut numbers: Vec<u64> = Vec::new();
        for (series, ..) in points {
            if !numbers.contains(series) {
                numbers.push(*series);
            }
        }
        let series = |wanted: u64| {
            let mut found = Vec::new();
            labels.for_each(&keys[wanted as usize], &mut |name, value| {
                found.push((name.to_string(), value.to_string()));
            });
            let own = points.iter().filter(|(series, ..)| *series == wanted);
            (
                found,
                own.map(|point| (point.1, point.2.to_bits())).collect(),
            )
        };
        numbers.into_iter().map(series).collect()
    }

    fn any_timestamp() -> impl Strategy<Value = i64> {
        let edges = vec![
            i64::MIN,
            i64::MAX,
            -1,
            0,
            1,
            127,
            128,
            (1 << 42) - 1,
            1 << 42,
        ];
        prop_oneof![
            any::<i64>(),
            prop::sample::select(edges),
            1_700_000_000_000..1_800_000_000_000i64,
        ]
    }

    fn any_value() -> impl Strategy<Value = f64> {
        // The second NaN marks the end of a series at Prometheus.
        let nan = [
            0x7ff0_0000_0000_0001,
            0x7ff0_0000_0000_0002,
            0x7ff8_0000_0000_0001,
            u64::MAX,
        ];
        let plain = [
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE / 2.0,
        ];
        let edges = nan
            .map(f64::from_bits)
            .into_iter()
            .chain(plain)
            .collect::<Vec<f64>>();
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            prop::sample::select(edges),
            (0..10_000).prop_map(|hundredths| f64::from(hundredths) / 100.0),
        ]
    }

    proptest! {
        #[test]
        fn what_was_pushed_arrives(
            batches in vec(vec((0u64..12, any_timestamp(), any_value()), 1..60), 1..4),
            parts in vec((0usize..60, 0usize..60), 1..4),
            keys in vec("[ab.;=ä]{1,200}", 12),
        ) {
            let common = [("site".to_string(), "here".to_string())];
            let labels = Labels::new(&common).expect("labels");
            let (mut batch, mut body) = (Batch::default(), Vec::new());
            for points in batches {
                batch.clear();
                for &(series, timestamp, value) in &points {
                    batch.push(series, timestamp, value);
                }
                prop_assert_eq!(batch.len(), points.len());
                for (start, count) in parts.iter().copied().chain([(0, points.len())]) {
                    let start = start % points.len();
                    let range = start..(start + count).min(points.len());
                    let taken = batch.encode(range.clone(), MOST_BYTES, &labels, &mut &keys[..], &mut body);
                    prop_assert_eq!(taken.expect("keys"), range.len());
                    prop_assert_eq!(read_request(&body), expected(&points[range], &labels, &keys));
                }
            }
        }

        #[test]
        fn a_number_has_as_many_bytes_as_are_written(number: u64, shift in 0..64) {
            let mut out = Vec::new();
            write_varint(&mut out, number >> shift);
            prop_assert_eq!(out.len(), varint_bytes(number >> shift) as usize);
        }
    }

    #[test]
    fn nothing_is_an_empty_request() {
        let (mut batch, mut body) = (Batch::default(), vec![7]);
        let (labels, mut keys) = (Labels::default(), &[""][..]);
        let taken = batch.encode(0..0, MOST_BYTES, &labels, &mut keys, &mut body);
        assert_eq!((taken.ok(), &body[..]), (Some(0), &[0][..]));
    }

    /// Long keys, long common labels and many points: each request is about as long as it may be, and all points
    /// arrive.
    #[test]
    fn long_requests_are_divided() {
        for (key_bytes, common_bytes, series_count, count) in [
            (64 << 10, 1, 2, 2_000),
            (1 << 20, 1, 3, 5),
            (2_000, 1, 400, 1_000),
            (4, 1, 1, 60_000),
            (4, 500, 2_000, 2_000),
        ] {
            let common = [("site".to_string(), "a".repeat(common_bytes))];
            let labels = Labels::new(&common).expect("labels");
            let keys = (0..series_count).map(|number| format!("{number};").repeat(key_bytes / 4));
            let keys: Vec<String> = keys.collect();
            let point = |at: u64| (at % series_count, at as i64, at as f64);
            let points: Vec<_> = (0..count).map(point).collect();
            let (mut batch, mut body) = (Batch::default(), Vec::new());
            for &(series, timestamp, value) in &points {
                batch.push(series, timestamp, value);
            }
            let mut start = 0;
            while start < points.len() {
                let range = start..points.len();
                let taken = batch.encode(range, MOST_BYTES, &labels, &mut &keys[..], &mut body);
                let taken = taken.expect("keys");
                let part = &points[start..start + taken];
                assert!(
                    read_request(&body) == expected(part, &labels, &keys),
                    "{key_bytes}"
                );
                let bytes = batch.request.len();
                assert!(taken == 1 || bytes < MOST_BYTES / 2 * 3, "{bytes} bytes");
                let is_last = start + taken == points.len();
                assert!(is_last || bytes > MOST_BYTES / 2, "{bytes} bytes");
                start += taken;
            }
        }
    }
}
