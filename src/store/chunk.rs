//! A run of points in few bytes, and back.
//!
//! ```text
//! byte  0      points − 1                    0 to 159
//!       1      timestamps: width             high bit: differences of differences
//!       2      values: kind and width        high bit: bits of doubles
//!       3      decimals, or, of doubles, shift   high bit: there is a unit; next one: a line
//!       4 …    first timestamp, what it is above the block's         varint
//!              first difference, or step of the line, if so          zigzag varint
//!              least of what is packed of the timestamps             zigzag varint
//!              unit, if there is one                                 varint
//!              first value                                           zigzag varint
//!              least difference of digits; none of doubles           zigzag varint
//!       …      timestamps: each difference, or difference of differences, or distance from
//!              the line, less the least, by the unit, `width` bits each
//!       …      digits: each difference less the least, `width` bits each;
//!              doubles: each XOR with the one before, shifted right, `width` bits each
//! ```
//!
//! Differences of differences of timestamps, and XOR of the doubles, are those of Gorilla
//! (Pelkonen and others, "Gorilla: A Fast, Scalable, In-Memory Time Series Database", VLDB 2015,
//! sections 4.1.1 and 4.1.2). Where Gorilla chooses the bits of each point, here a run has one
//! width, above a common least value (frame of reference) and, of doubles, below common leading
//! and above common trailing zeros, so that it is unpacked without a branch a point: the choice
//! of ALP (see [`decimal`](crate::decimal)) and of VictoriaMetrics (`lib/encoding`), from which
//! the decimal digits come as well.
//!
//! The line goes through the first timestamp with a common step: a series that is read on time and
//! stamped a little early or late strays from it by less than from point to point.
//!
//! The unit is what all these have in common: a series in step, of which a point is missing here
//! and there, takes a bit a point and not as many as its step has.
//!
//! Arithmetic wraps: differences are modulo 2^64, and come out right at both ends of 64 bits.

use super::packing::{
    pack, packed_bytes, read_varint, unpack, unzigzag, width_of, write_varint, zigzag,
};
use super::run::{Kind, RUN_POINTS, Run};
use crate::decimal::DECIMALS_MAX;

/// Bytes that are no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

const HIGH_BIT: u8 = 0x80;
const NEXT_BIT: u8 = 0x40;

/// How the integers of a chunk are packed: what they are above the least one, in units, in so
/// many bits.
#[derive(Clone, Copy, Debug)]
struct Frame {
    least: i64,
    /// At least 1.
    unit: u64,
    width: u32,
}

impl Frame {
    /// The narrowest one in units of one.
    fn around(values: impl Iterator<Item = i64>) -> Frame {
        let ends = values.fold(None, |ends, value| {
            let (least, most) = ends.unwrap_or((value, value));
            Some((value.min(least), value.max(most)))
        });
        let (least, most) = ends.unwrap_or_default();
        Frame {
            least,
            unit: 1,
            width: width_of(most.wrapping_sub(least) as u64),
        }
    }

    /// The same in the largest unit that all these values are multiples of.
    fn in_units(self, values: impl Iterator<Item = i64>) -> Frame {
        if self.width == 0 {
            return self;
        }
        let (mut unit, mut most) = (0, 0);
        for offset in values.map(|value| value.wrapping_sub(self.least) as u64) {
            unit = greatest_common_divisor(unit, offset);
            // The end of it for most that have bits at all.
            if unit == 1 {
                return self;
            }
            most = most.max(offset);
        }
        Frame {
            unit,
            width: width_of(most / unit),
            ..self
        }
    }

    fn pack(self, out: &mut Vec<u8>, values: impl Iterator<Item = i64>) {
        let offsets = values.map(|value| value.wrapping_sub(self.least) as u64);
        if self.unit == 1 {
            pack(out, self.width, offsets);
        } else {
            pack(out, self.width, offsets.map(|offset| offset / self.unit));
        }
    }

    /// The value that was packed as this.
    #[inline]
    fn value(self, units: u64) -> i64 {
        self.least
            .wrapping_add(units.wrapping_mul(self.unit) as i64)
    }
}

/// By Euclid's algorithm; of 0 and a number, the number.
fn greatest_common_divisor(mut one: u64, mut other: u64) -> u64 {
    while one != 0 {
        (one, other) = (other % one, one);
    }
    other
}

fn write_signed(out: &mut Vec<u8>, value: i64) {
    write_varint(out, zigzag(value));
}

fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    read_varint(bytes).map(unzigzag)
}

/// The differences between neighbours.
fn differences(values: &[i64]) -> impl Iterator<Item = i64> {
    values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]))
}

/// The bits in which neighbours differ.
fn xors(values: &[i64]) -> impl Iterator<Item = u64> {
    values.windows(2).map(|pair| (pair[1] ^ pair[0]) as u64)
}

/// What is packed of the timestamps, from the first on that the others do not tell.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// Differences.
    Steps,
    /// Differences of differences.
    Changes { first_step: i64 },
    /// Distances from where they would be with this step between all of them.
    Line { step: i64 },
}

impl Order {
    /// The order whose residuals take the fewest bits, and their frame.
    fn narrowest(timestamps: &[i64]) -> (Order, Frame) {
        let around = |order: Order| Frame::around(order.residuals(timestamps));
        let in_units = |order: Order, frame: Frame| frame.in_units(order.residuals(timestamps));
        let steps = in_units(Order::Steps, around(Order::Steps));
        let mut best = (Order::Steps, steps);
        // Where steps take a bit, nothing saves any.
        if steps.width > 1 {
            let others = [Order::changes(timestamps), Order::line(timestamps)];
            for order in others.into_iter().flatten() {
                let frame = around(order);
                if frame.width < best.1.width {
                    best = (order, in_units(order, frame));
                }
            }
        }
        best
    }

    /// Differences of differences, of two timestamps at least.
    fn changes(timestamps: &[i64]) -> Option<Order> {
        let first_step = differences(timestamps).next()?;
        Some(Order::Changes { first_step })
    }

    /// Distances from a line between the first timestamp and the last.
    fn line(timestamps: &[i64]) -> Option<Order> {
        let (first, last) = (timestamps.first()?, timestamps.last()?);
        let steps = timestamps.len() as u64 - 1;
        let range = last.wrapping_sub(*first) as u64;
        let step = range.saturating_add(steps / 2).checked_div(steps)? as i64;
        Some(Order::Line { step })
    }

    /// How many timestamps come before those that something is packed of.
    fn untold(self) -> usize {
        match self {
            Order::Changes { .. } => 2,
            Order::Steps | Order::Line { .. } => 1,
        }
    }

    /// What is packed of each timestamp.
    fn residuals(self, timestamps: &[i64]) -> impl Iterator<Item = i64> {
        let step_to = |place: usize| timestamps[place].wrapping_sub(timestamps[place - 1]);
        (self.untold()..timestamps.len()).map(move |place| match self {
            Order::Steps => step_to(place),
            Order::Changes { .. } => step_to(place).wrapping_sub(step_to(place - 1)),
            Order::Line { step } => timestamps[place]
                .wrapping_sub(timestamps[0])
                .wrapping_sub(step.wrapping_mul(place as i64)),
        })
    }
}

/// Appends a run of at least one point. `base` is any timestamp near, which is to be had again
/// when the chunk is decoded.
pub fn encode(out: &mut Vec<u8>, run: &Run, base: i64) {
    if let Some(header) = Header::of(run) {
        header.write(out, base);
        header.pack(out, run);
    }
}

/// What stands before the packed bits of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub count: usize,
    pub first_timestamp: i64,
    order: Order,
    timestamps: Frame,
    kind: Kind,
    first_value: i64,
    values: Frame,
    shift: u32,
}

impl Header {
    /// Chooses how a run is packed; `None` where it has no point.
    fn of(run: &Run) -> Option<Header> {
        let (timestamps, values) = (run.timestamps(), run.values());
        let (order, frame) = Order::narrowest(timestamps);
        let (values_frame, shift) = match run.kind() {
            Kind::Digits { .. } => (Frame::around(differences(values)), 0),
            Kind::Bits => {
                let all = xors(values).fold(0, |all, xor| all | xor);
                let shift = if all == 0 { 0 } else { all.trailing_zeros() };
                (
                    Frame {
                        least: 0,
                        unit: 1,
                        width: width_of(all >> shift),
                    },
                    shift,
                )
            }
        };
        Some(Header {
            count: timestamps.len(),
            first_timestamp: *timestamps.first()?,
            order,
            timestamps: frame,
            kind: run.kind(),
            first_value: *values.first()?,
            values: values_frame,
            shift,
        })
    }

    fn write(&self, out: &mut Vec<u8>, base: i64) {
        let (order_bit, line_bit, step) = match self.order {
            Order::Steps => (0, 0, None),
            Order::Changes { first_step } => (HIGH_BIT, 0, Some(first_step)),
            Order::Line { step } => (0, NEXT_BIT, Some(step)),
        };
        let (kind_bit, decimals_or_shift) = match self.kind {
            Kind::Digits { decimals } => (0, decimals),
            Kind::Bits => (HIGH_BIT, self.shift as u8),
        };
        let unit = Some(self.timestamps.unit).filter(|&unit| unit != 1);
        let unit_bit = unit.map_or(0, |_| HIGH_BIT);
        out.push((self.count - 1) as u8);
        out.push(self.timestamps.width as u8 | order_bit);
        out.push(self.values.width as u8 | kind_bit);
        out.push(decimals_or_shift | unit_bit | line_bit);
        write_varint(out, self.first_timestamp.wrapping_sub(base) as u64);
        if let Some(step) = step {
            write_signed(out, step);
        }
        write_signed(out, self.timestamps.least);
        if let Some(unit) = unit {
            write_varint(out, unit);
        }
        write_signed(out, self.first_value);
        if let Kind::Digits { .. } = self.kind {
            write_signed(out, self.values.least);
        }
    }

    fn pack(&self, out: &mut Vec<u8>, run: &Run) {
        let residuals = self.order.residuals(run.timestamps());
        self.timestamps.pack(out, residuals);
        match self.kind {
            Kind::Digits { .. } => self.values.pack(out, differences(run.values())),
            Kind::Bits => pack(
                out,
                self.values.width,
                xors(run.values()).map(|xor| xor >> self.shift),
            ),
        }
    }

    /// Takes the header off the front of `bytes`.
    pub fn read(bytes: &mut &[u8], base: i64) -> Option<Header> {
        let (&[count, order, kind, decimals_or_shift], rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        let is_changes = order & HIGH_BIT != 0;
        let is_bits = kind & HIGH_BIT != 0;
        let (timestamp_width, value_width) =
            (u32::from(order & !HIGH_BIT), u32::from(kind & !HIGH_BIT));
        let has_unit = decimals_or_shift & HIGH_BIT != 0;
        let is_line = decimals_or_shift & NEXT_BIT != 0;
        let decimals_or_shift = decimals_or_shift & !HIGH_BIT & !NEXT_BIT;
        let count = usize::from(count) + 1;
        let most = if is_bits { 63 } else { DECIMALS_MAX };
        if count > RUN_POINTS
            || timestamp_width > 64
            || value_width > 64
            || decimals_or_shift > most
        {
            return None;
        }
        let first_timestamp = base.wrapping_add(read_varint(bytes)? as i64);
        let order = match (is_changes, is_line) {
            (false, false) => Order::Steps,
            (true, false) => Order::Changes {
                first_step: read_signed(bytes)?,
            },
            (false, true) => Order::Line {
                step: read_signed(bytes)?,
            },
            (true, true) => return None,
        };
        let timestamps = Frame {
            least: read_signed(bytes)?,
            unit: if has_unit { read_varint(bytes)? } else { 1 },
            width: timestamp_width,
        };
        let first_value = read_signed(bytes)?;
        let least = if is_bits { 0 } else { read_signed(bytes)? };
        Some(Header {
            count,
            first_timestamp,
            order,
            timestamps,
            kind: if is_bits {
                Kind::Bits
            } else {
                Kind::Digits {
                    decimals: decimals_or_shift,
                }
            },
            first_value,
            values: Frame {
                least,
                unit: 1,
                width: value_width,
            },
            shift: u32::from(decimals_or_shift),
        })
    }

    fn timestamp_bytes(&self) -> usize {
        let packed = self.count.saturating_sub(self.order.untold());
        packed_bytes(packed, self.timestamps.width)
    }

    /// How many bytes the packed bits are that follow.
    pub fn packed_bytes(&self) -> usize {
        self.timestamp_bytes() + packed_bytes(self.count - 1, self.values.width)
    }

    /// Decodes the packed bits at the front of `bytes`. Timestamps that do not ascend are corrupt.
    pub fn decode(&self, bytes: &[u8], run: &mut Run) -> Result<(), Corrupt> {
        if bytes.len() < self.packed_bytes() {
            return Err(Corrupt);
        }
        // All that follows is handed on, since an unpacked word may reach beyond the chunk.
        let value_bytes = &bytes[self.timestamp_bytes()..];
        let (timestamps, values) = run.reset(self.count, self.kind);
        self.decode_timestamps(bytes, timestamps);
        self.decode_values(value_bytes, values);
        if timestamps.windows(2).all(|pair| pair[0] < pair[1]) {
            Ok(())
        } else {
            Err(Corrupt)
        }
    }

    #[inline]
    fn decode_timestamps(&self, bytes: &[u8], timestamps: &mut [i64]) {
        let (frame, width) = (self.timestamps, self.timestamps.width);
        let packed = self.count.saturating_sub(self.order.untold());
        let mut timestamp = self.first_timestamp;
        timestamps[0] = timestamp;
        match self.order {
            Order::Steps => unpack(bytes, width, packed, |place, units| {
                timestamp = timestamp.wrapping_add(frame.value(units));
                timestamps[place + 1] = timestamp;
            }),
            Order::Changes { first_step } => {
                let mut step = first_step;
                timestamp = timestamp.wrapping_add(step);
                if let Some(second) = timestamps.get_mut(1) {
                    *second = timestamp;
                }
                unpack(bytes, width, packed, |place, units| {
                    step = step.wrapping_add(frame.value(units));
                    timestamp = timestamp.wrapping_add(step);
                    timestamps[place + 2] = timestamp;
                });
            }
            Order::Line { step } => unpack(bytes, width, packed, |place, units| {
                timestamp = timestamp.wrapping_add(step);
                timestamps[place + 1] = timestamp.wrapping_add(frame.value(units));
            }),
        }
    }

    #[inline]
    fn decode_values(&self, bytes: &[u8], values: &mut [i64]) {
        let Frame { least, width, .. } = self.values;
        let mut value = self.first_value;
        values[0] = value;
        match self.kind {
            Kind::Digits { .. } => unpack(bytes, width, self.count - 1, |place, offset| {
                value = value.wrapping_add(least).wrapping_add(offset as i64);
                values[place + 1] = value;
            }),
            Kind::Bits => unpack(bytes, width, self.count - 1, |place, xor| {
                value ^= (xor << self.shift) as i64;
                values[place + 1] = value;
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal;
    use crate::store::Point;
    use proptest::prelude::*;

    /// Points at ascending timestamps, whose values are of one sort or of all.
    fn points() -> impl Strategy<Value = Vec<Point>> {
        let decimals = (any::<i32>(), 0u8..6)
            .prop_map(|(digits, decimals)| decimal::value_of(i64::from(digits), decimals));
        let special = prop_oneof![
            Just(-0.0),
            Just(f64::INFINITY),
            Just(f64::NAN),
            Just(5e-324)
        ];
        let near = (5_000i64..5_100).prop_map(|digits| decimal::value_of(digits, 2));
        let value = prop_oneof![
            near.clone().boxed(),
            decimals.clone().boxed(),
            any::<u64>().prop_map(f64::from_bits).boxed(),
            special.clone().boxed(),
        ];
        let values = prop_oneof![
            proptest::collection::vec(near, RUN_POINTS).boxed(),
            proptest::collection::vec(decimals, RUN_POINTS).boxed(),
            proptest::collection::vec(any::<u64>().prop_map(f64::from_bits), RUN_POINTS).boxed(),
            proptest::collection::vec(value, RUN_POINTS).boxed(),
        ];
        let ends = prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)];
        let timestamp = prop_oneof![4 => 0i64..1_000, 1 => any::<i64>(), 1 => ends];
        let regular =
            (any::<i64>(), 1i64..100, 1usize..=RUN_POINTS).prop_map(|(first, step, count)| {
                (0..count as i64)
                    .map(|i| first.saturating_add(i * step))
                    .collect()
            });
        let straying = (
            any::<i64>(),
            proptest::collection::vec(0i64..15, 1..=RUN_POINTS),
        )
            .prop_map(|(first, strays)| {
                let on_time = (0..).map(|i| first.saturating_add(20 * i));
                let timestamps = on_time.zip(strays);
                timestamps
                    .map(|(time, stray): (i64, i64)| time.saturating_add(stray))
                    .collect()
            });
        let timestamps = prop_oneof![
            proptest::collection::vec(timestamp, 1..=RUN_POINTS).boxed(),
            proptest::collection::vec(0i64..300, 1..=RUN_POINTS).boxed(),
            regular.boxed(),
            straying.boxed(),
        ];
        (timestamps, values).prop_map(|(mut timestamps, values)| {
            timestamps.sort_unstable();
            timestamps.dedup();
            let points = timestamps.into_iter().zip(values);
            points
                .map(|(timestamp, value)| Point { timestamp, value })
                .collect()
        })
    }

    fn bits(points: impl Iterator<Item = Point>) -> Vec<(i64, u64)> {
        points
            .map(|point| (point.timestamp, point.value.to_bits()))
            .collect()
    }

    proptest! {
        #[test]
        fn any_points_come_back(points in points(), base: i64, more in 0usize..20) {
            let mut chunk = vec![1, 2, 3];
            encode(&mut chunk, &Run::of_points(&points, Kind::NARROWEST), base);
            let length = chunk.len();
            chunk.resize(length + more, 0xff);
            let mut rest = &chunk[3..];
            let header = Header::read(&mut rest, base).unwrap();
            prop_assert_eq!(header.first_timestamp, points[0].timestamp);
            prop_assert_eq!(rest.len(), header.packed_bytes() + more);
            let mut run = Run::new();
            prop_assert_eq!(header.decode(rest, &mut run), Ok(()));
            prop_assert_eq!(bits(run.points()), bits(points.iter().copied()));
            // A byte less is no chunk.
            if header.packed_bytes() > 0 {
                prop_assert_eq!(header.decode(&rest[..header.packed_bytes() - 1], &mut run), Err(Corrupt));
            }
        }

        #[test]
        fn any_bytes_give_points_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), base: i64) {
            let mut rest = &bytes[..];
            if let Some(header) = Header::read(&mut rest, base) {
                let mut run = Run::new();
                if header.decode(rest, &mut run).is_ok() {
                    prop_assert_eq!(run.points().count(), header.count);
                }
            }
        }
    }

    #[test]
    fn what_common_series_take() {
        let chunk_bytes = |value: &dyn Fn(i64) -> f64, timestamp: &dyn Fn(i64) -> i64| {
            let point = |i| Point {
                timestamp: timestamp(i),
                value: value(i),
            };
            let points: Vec<Point> = (0..RUN_POINTS as i64).map(point).collect();
            let mut out = Vec::new();
            encode(
                &mut out,
                &Run::of_points(&points, Kind::NARROWEST),
                points[0].timestamp,
            );
            out.len()
        };
        let regular = |i: i64| 1_500_000_000 + 10 * i;
        let scattered = |i: i64| i * 7_919 % 101;
        // Header, and no bits at all.
        assert_eq!(chunk_bytes(&|_| 12.5, &regular), 9);
        assert_eq!(chunk_bytes(&|i| i as f64, &regular), 8);
        // Of 101 different steps seven bits each; of seven steps of time three bits each, or two
        // and a byte for the step of the line where four distances from it are all there are.
        let walk = |i: i64| (0..i).map(scattered).sum::<i64>() as f64 / 100.0;
        assert_eq!(chunk_bytes(&walk, &regular), 8 + 159 * 7 / 8 + 1);
        let drifting = |i: i64| (0..i).map(|i| 10 + scattered(i) % 7).sum();
        assert_eq!(chunk_bytes(&|_| 1.0, &drifting), 8 + 159 * 3 / 8 + 1);
        let straying = |i: i64| regular(i) + scattered(i) % 4;
        assert_eq!(chunk_bytes(&|_| 1.0, &straying), 9 + 159 * 2 / 8 + 1);
        // A bit each in step, but for points that are missing, in whatever unit.
        for unit in [1, 1_000, 1_000_000] {
            let gaps = |i: i64| unit * regular(i + i / 3);
            assert!(chunk_bytes(&|_| 1.0, &gaps) <= 16 + 159 / 8);
        }
        assert_eq!(
            chunk_bytes(&|_| 1.0, &|i| regular(i + i / 9)),
            9 + 159 / 8 + 1
        );
        // Doubles of one sign and binary exponent, whose other 52 bits are noise.
        let noise = |i: i64| 1.0 + (i as f64 * 0.618_033_988_749).fract();
        assert!(chunk_bytes(&noise, &regular) <= 17 + 159 * 52 / 8);
    }
}
