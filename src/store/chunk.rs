//! A run of points in few bytes, and back.
//!
//! ```text
//! byte  0      points − 1                                            0 to 159
//!       1      timestamps: width, 0 to 64                            high bit: A
//!       2      values: width, 0 to 64                                high bit: bits of doubles
//!       3      decimals, 0 to 15, of digits; shift, 0 to 63, of      high bit: B, next one: C
//!              doubles
//!       4 …    first timestamp, less that of the block's first point varint
//!              least of what is packed of the timestamps             zigzag varint
//!              first value                                           zigzag varint
//!              least difference of digits; 0 of doubles              zigzag varint
//!         A:   step                                                  zigzag varint
//!         B:   unit of the timestamps, less 1                        varint
//!         C:   count of the exceptions, of digits only               varint
//!       …      what is packed of the timestamps but the first, each less the least, divided by
//!              the unit, in `width` bits
//!       …      digits: the difference of each but the first from the one before, less the least,
//!              in `width` bits; doubles: the XOR of each but the first with the one before,
//!              shifted right, in `width` bits
//!       …      exceptions by ascending place: the place, from 0, in a byte, the bits of the double
//!              in eight, the low ones first
//! ```
//!
//! A, B and C say which numbers there are. Without A the step is 0, without B the unit is 1,
//! without C there are no exceptions.
//!
//! What is packed of the timestamps depends on the step:
//!
//! - 0: the difference of each from the one before.
//! - Positive: the distance of each from a line, which begins at the first timestamp and rises by
//!   the step from place to place.
//! - Negative: the difference of each difference from the one before it; of the first difference,
//!   from the step without its sign.
//!
//! A varint has seven bits of the number in each byte, the lowest first, and the high bit set in all
//! bytes but the last (LEB128). Zigzag puts signed integers in the order 0, −1, 1, −2, 2. What is
//! packed begins in the lowest bit of a byte; the timestamps, and the values, each fill up their
//! last byte with zeros. Digits are the value times 10^decimals, below 10^15 in magnitude. The first
//! of doubles is its bits as a signed integer. In the place of an exception any digits may stand.
//!
//! Differences of differences of timestamps, and XOR of the doubles, are those of Gorilla
//! (Pelkonen and others, "Gorilla: A Fast, Scalable, In-Memory Time Series Database", VLDB 2015,
//! sections 4.1.1 and 4.1.2). Where Gorilla chooses the bits of each point, here a run has one
//! width, above a common least value (frame of reference) and, of doubles, below common leading
//! and above common trailing zeros, so that it is unpacked without a branch for each point: the
//! choice of ALP (see [`decimal`](crate::decimal)) and of VictoriaMetrics (`lib/encoding`), from
//! which the decimal digits come as well.
//!
//! Exceptions are doubles among digits, of which a run has few. Their bits, as an integer, are out
//! of the range of digits. As in ALP (section 3.1), they stand apart, and the digits in their places
//! are such that they do not widen the others.
//!
//! A series that is read on time and stamped a little early or late strays from a line by less than
//! from point to point. One whose step itself drifts changes it little from point to point.
//!
//! The unit is a common divisor of all that is packed: a series in step, of which a point is
//! missing here and there, takes a bit a point and not as many as its step has.
//!
//! Arithmetic wraps: differences are modulo 2^64, and come out right at both ends of 64 bits.

use std::borrow::Cow;
use std::ops::BitXor;

use super::packing::{
    pack, packed_bytes, read_varint, unpack, unzigzag, width_of, write_varint, zigzag,
};
use super::run::{Kind, RUN_POINTS, Run, is_out_of_range};
use crate::decimal::{DECIMALS_MAX, DIGITS_LIMIT};

const HIGH_BIT: u8 = 0x80;
const NEXT_BIT: u8 = 0x40;

/// The place of an exception, and its bits.
const EXCEPTION_BYTES: usize = 1 + size_of::<u64>();

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
    fn around(values: &[i64]) -> Frame {
        let first = values.first().copied().unwrap_or(0);
        let ends = |(least, most): (i64, i64), &value: &i64| (value.min(least), value.max(most));
        let (least, most) = values.iter().fold((first, first), ends);
        Frame {
            least,
            unit: 1,
            width: width_of(most.wrapping_sub(least) as u64),
        }
    }

    /// The narrowest one above zero, in the largest unit that is a power of two.
    fn of_bits(values: &[i64]) -> Frame {
        let all = values.iter().fold(0, |all, &bits| all | bits as u64);
        let unit = (all & all.wrapping_neg()).max(1);
        Frame {
            least: 0,
            unit,
            width: width_of(all / unit),
        }
    }

    /// The same in the largest unit that all these values are multiples of.
    fn in_units(self, values: &[i64]) -> Frame {
        if self.width == 0 {
            return self;
        }
        let (mut unit, mut most) = (0, 0);
        for offset in self.offsets(values) {
            unit = greatest_common_divisor(offset, unit);
            // The end of it for most values that have bits at all.
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

    /// What values are above the least one.
    fn offsets(self, values: &[i64]) -> impl Iterator<Item = u64> {
        let offset = move |value: &i64| value.wrapping_sub(self.least) as u64;
        values.iter().map(offset)
    }

    fn pack(self, out: &mut Vec<u8>, values: &[i64]) {
        let offsets = self.offsets(values);
        // Nearly all units are one, and those of doubles are other powers of two.
        if self.unit.is_power_of_two() {
            let shift = self.unit.trailing_zeros();
            pack(out, self.width, offsets.map(|offset| offset >> shift));
        } else {
            pack(out, self.width, offsets.map(|offset| offset / self.unit));
        }
    }

    /// Fills in `values` after the first one: `next` makes each of the one before and of what was
    /// packed.
    #[inline]
    fn unpack(self, bytes: &[u8], values: &mut [i64], mut next: impl FnMut(i64, i64) -> i64) {
        let mut value = values[0];
        unpack(bytes, self.width, &mut values[1..], |units| {
            let offset = units.wrapping_mul(self.unit) as i64;
            value = next(value, self.least.wrapping_add(offset));
            value
        });
    }
}

/// By Euclid's algorithm, without a division where `one` is 0: then it is the other.
fn greatest_common_divisor(mut one: u64, mut other: u64) -> u64 {
    while one != 0 {
        (one, other) = (other % one, one);
    }
    other
}

/// What `between` makes of each value but the first and of the one before it.
fn neighbours(values: &[i64], between: impl Fn(i64, i64) -> i64) -> Vec<i64> {
    let pairs = values.windows(2);
    pairs.map(|pair| between(pair[1], pair[0])).collect()
}

/// How timestamps are packed in the fewest bits: the step of the header, the frame, and what is
/// packed in it.
fn narrowest(timestamps: &[i64]) -> (i64, Frame, Vec<i64>) {
    let differences = neighbours(timestamps, i64::wrapping_sub);
    let frame = Frame::around(&differences).in_units(&differences);
    // Where a difference takes a bit, nothing saves any.
    if frame.width <= 1 {
        return (0, frame, differences);
    }
    let (first, steps) = (timestamps[0], differences.len() as u64);
    let range = timestamps[timestamps.len() - 1].wrapping_sub(first) as u64;
    // Positive, since there are two steps at least.
    let step = (range.saturating_add(steps / 2) / steps) as i64;
    let on_line = |place| first.wrapping_add(step.wrapping_mul(place));
    let distances = (1..).zip(&timestamps[1..]);
    let distances = distances.map(|(place, timestamp)| timestamp.wrapping_sub(on_line(place)));
    let first_difference = differences[0].max(1);
    let mut changes = vec![differences[0].wrapping_sub(first_difference)];
    changes.extend(neighbours(&differences, i64::wrapping_sub));
    let others = [(step, distances.collect()), (-first_difference, changes)];
    let mut best = (0, frame, differences);
    for (step, residuals) in others {
        let frame = Frame::around(&residuals);
        if frame.width < best.1.width {
            best = (step, frame.in_units(&residuals), residuals);
        }
    }
    best
}

/// The values of a run, each exception replaced by the digits before it: the difference to these is
/// 0, and so nearly always takes no more bits than the others do. And the bytes of the exceptions.
fn without_exceptions(run: &Run) -> (Cow<'_, [i64]>, Vec<u8>) {
    let is_exception = |value| run.kind().is_exception(value);
    let first = run.values().iter().find(|&&value| !is_exception(value));
    let mut before = first.copied().unwrap_or(0);
    let mut exceptions = Vec::new();
    let plain = (0..).zip(run.values()).map(|(place, &value)| {
        if is_exception(value) {
            exceptions.push(place);
            exceptions.extend(value.to_le_bytes());
        } else {
            before = value;
        }
        before
    });
    (plain.collect(), exceptions)
}

/// Appends a run of at least one point. `base` is any timestamp near the first one; whoever decodes
/// the chunk needs it again.
pub fn encode(out: &mut Vec<u8>, run: &Run, base: i64) {
    let (values, exceptions) = match run.has_exceptions() {
        true => without_exceptions(run),
        false => (run.values().into(), Vec::new()),
    };
    let (step, timestamp_frame, timestamp_residuals) = narrowest(run.timestamps());
    let (value_frame, value_residuals) = match run.kind() {
        Kind::Digits { .. } => {
            let differences = neighbours(&values, i64::wrapping_sub);
            (Frame::around(&differences), differences)
        }
        Kind::Bits => {
            let xors = neighbours(&values, i64::bitxor);
            (Frame::of_bits(&xors), xors)
        }
    };
    let header = Header {
        count: run.len(),
        first_timestamp: run.timestamps()[0],
        step,
        timestamps: timestamp_frame,
        kind: run.kind(),
        first_value: values[0],
        values: value_frame,
        exceptions: exceptions.len() / EXCEPTION_BYTES,
    };
    header.write(out, base);
    timestamp_frame.pack(out, &timestamp_residuals);
    value_frame.pack(out, &value_residuals);
    out.extend(exceptions);
}

/// What stands before the packed bits of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub count: usize,
    pub first_timestamp: i64,
    /// Of timestamps, differences are packed if this is 0; distances from a line if it is positive,
    /// the step of the line; else differences of differences, the first from the negative of this.
    step: i64,
    timestamps: Frame,
    kind: Kind,
    first_value: i64,
    /// Its unit is 1 among digits; a power of two among bits.
    values: Frame,
    exceptions: usize,
}

impl Header {
    /// Appends the header, and nothing of what follows it.
    pub fn write(&self, out: &mut Vec<u8>, base: i64) {
        let (is_bits, decimals_or_shift) = match self.kind {
            Kind::Digits { decimals } => (false, decimals),
            Kind::Bits => (true, self.values.unit.trailing_zeros() as u8),
        };
        let required = [
            self.first_timestamp.wrapping_sub(base) as u64,
            zigzag(self.timestamps.least),
            zigzag(self.first_value),
            zigzag(self.values.least),
        ];
        let optional @ [step, unit, exceptions] = [
            zigzag(self.step),
            self.timestamps.unit.wrapping_sub(1),
            self.exceptions as u64,
        ];
        let bit = |bit, is_set| if is_set { bit } else { 0 };
        out.extend([
            (self.count - 1) as u8,
            self.timestamps.width as u8 | bit(HIGH_BIT, step != 0),
            self.values.width as u8 | bit(HIGH_BIT, is_bits),
            decimals_or_shift | bit(HIGH_BIT, unit != 0) | bit(NEXT_BIT, exceptions != 0),
        ]);
        let optional = optional.into_iter().filter(|&number| number != 0);
        for number in required.into_iter().chain(optional) {
            write_varint(out, number);
        }
    }

    /// Takes the header off the front of `bytes`, which may be any; `None` if they are no chunk.
    pub fn read(bytes: &mut &[u8], base: i64) -> Option<Header> {
        let (&[count, timestamps, values, flags], rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        let decimals_or_shift = flags & !HIGH_BIT & !NEXT_BIT;
        let (kind, value_unit) = match values & HIGH_BIT != 0 {
            true => (Kind::Bits, 1 << decimals_or_shift),
            false if decimals_or_shift <= DECIMALS_MAX => {
                let decimals = decimals_or_shift;
                (Kind::Digits { decimals }, 1)
            }
            false => return None,
        };
        let mut number = |is_there| read_number(bytes, is_there);
        let first_timestamp = base.wrapping_add(number(true)? as i64);
        let least_timestamp = unzigzag(number(true)?);
        let first_value = unzigzag(number(true)?);
        let least_value = unzigzag(number(true)?);
        let step = unzigzag(number(timestamps & HIGH_BIT != 0)?);
        let timestamp_unit = number(flags & HIGH_BIT != 0)?.wrapping_add(1);
        let exceptions = number(flags & NEXT_BIT != 0)?;
        let frame = |least, unit, width| Frame {
            least,
            unit,
            width: u32::from(width & !HIGH_BIT),
        };
        let header = Header {
            count: usize::from(count) + 1,
            first_timestamp,
            step,
            timestamps: frame(least_timestamp, timestamp_unit, timestamps),
            kind,
            first_value,
            values: frame(least_value, value_unit, values),
            exceptions: exceptions.try_into().ok()?,
        };
        let most_bits = header.timestamps.width.max(header.values.width);
        let exceptions_max = if kind == Kind::Bits { 0 } else { header.count };
        let is_sound = most_bits <= u64::BITS && header.exceptions <= exceptions_max;
        (is_sound && header.count <= RUN_POINTS).then_some(header)
    }

    fn bytes_in(&self, frame: Frame) -> usize {
        packed_bytes(self.count - 1, frame.width)
    }

    /// How many bytes of the chunk follow the header.
    pub fn packed_bytes(&self) -> usize {
        let packed = self.bytes_in(self.timestamps) + self.bytes_in(self.values);
        packed + EXCEPTION_BYTES * self.exceptions
    }

    /// Decodes what follows the header, at the front of `bytes`. `None` if there is less, if
    /// timestamps do not ascend, or if an exception has no place of its own or looks like digits.
    pub fn decode(&self, bytes: &[u8], run: &mut Run) -> Option<()> {
        if bytes.len() < self.packed_bytes() {
            return None;
        }
        // All that follows is handed on, since an unpacked word may reach beyond the chunk.
        let (_, value_bytes) = bytes.split_at(self.bytes_in(self.timestamps));
        let (timestamps, values) = run.reset(self.count, self.kind, self.exceptions > 0);
        values[0] = self.first_value;
        match self.kind {
            Kind::Digits { .. } => self.values.unpack(value_bytes, values, i64::wrapping_add),
            Kind::Bits => self.values.unpack(value_bytes, values, i64::bitxor),
        }
        let (_, exceptions) = value_bytes.split_at(self.bytes_in(self.values));
        let exceptions = exceptions.chunks_exact(EXCEPTION_BYTES);
        let mut next_place = 0;
        for exception in exceptions.take(self.exceptions) {
            let (&place, bits) = exception.split_first()?;
            let place = usize::from(place);
            let bits = i64::from_le_bytes(bits.try_into().ok()?);
            if place < next_place || !is_out_of_range(bits) {
                return None;
            }
            *values.get_mut(place)? = bits;
            next_place = place + 1;
        }
        self.decode_timestamps(bytes, timestamps)
    }

    /// As [`decode`](Self::decode), and `None` also if a value is out of the range of digits and no
    /// exception: of bytes from elsewhere.
    pub fn decode_checked(&self, bytes: &[u8], run: &mut Run) -> Option<()> {
        self.decode(bytes, run)?;
        (run.exceptions() == self.exceptions).then_some(())
    }

    /// The last timestamp, if [`decode_checked`](Self::decode_checked) would decode these bytes.
    /// Decodes into `run` only what the header does not prove.
    pub fn check(&self, bytes: &[u8], run: &mut Run) -> Option<i64> {
        if bytes.len() < self.packed_bytes() {
            return None;
        }
        if !self.proves_values() {
            self.decode_checked(bytes, run)?;
        } else if let Some(last) = self.last_in_step() {
            return Some(last);
        } else {
            let (timestamps, _) = run.reset(self.count, self.kind, self.exceptions > 0);
            self.decode_timestamps(bytes, timestamps)?;
        }
        run.timestamps().last().copied()
    }

    /// Whether the header alone shows that the values are sound: any bits of doubles are; digits
    /// are where no sum of differences can leave their range.
    fn proves_values(&self) -> bool {
        let least = i128::from(self.values.least);
        let most = least + ((1 << self.values.width) - 1);
        let farthest = least.abs().max(most.abs()) * (self.count as i128 - 1);
        let first = i128::from(self.first_value).abs();
        let is_in_range = first + farthest < i128::from(DIGITS_LIMIT);
        self.kind == Kind::Bits || self.exceptions == 0 && is_in_range
    }

    /// The last timestamp, if the header alone shows that all ascend by the same difference.
    fn last_in_step(&self) -> Option<i64> {
        let range = self.timestamps.least.checked_mul(self.count as i64 - 1)?;
        let last = self.first_timestamp.checked_add(range)?;
        let is_in_step = self.step == 0 && self.timestamps.width == 0;
        (is_in_step && self.timestamps.least > 0).then_some(last)
    }

    /// `None` if they do not ascend.
    #[inline]
    fn decode_timestamps(&self, bytes: &[u8], timestamps: &mut [i64]) -> Option<()> {
        let mut on_line = self.first_timestamp;
        timestamps[0] = on_line;
        match self.step {
            0 => self.timestamps.unpack(bytes, timestamps, i64::wrapping_add),
            step @ 1.. => self.timestamps.unpack(bytes, timestamps, |_, distance| {
                on_line = on_line.wrapping_add(step);
                on_line.wrapping_add(distance)
            }),
            step => {
                let mut difference = step.wrapping_neg();
                self.timestamps.unpack(bytes, timestamps, |before, change| {
                    difference = difference.wrapping_add(change);
                    before.wrapping_add(difference)
                });
            }
        }
        let is_ascending = timestamps.is_sorted_by(|one, next| one < next);
        is_ascending.then_some(())
    }
}

/// A number of a header, or 0 where it has none.
#[inline(never)]
fn read_number(bytes: &mut &[u8], is_there: bool) -> Option<u64> {
    match is_there {
        true => read_varint(bytes),
        false => Some(0),
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
        let exception = prop_oneof![special.clone(), any::<u64>().prop_map(f64::from_bits)];
        let near = (5_000i64..5_100).prop_map(|digits| decimal::value_of(digits, 2));
        let value = prop_oneof![
            near.clone().boxed(),
            decimals.clone().boxed(),
            any::<u64>().prop_map(f64::from_bits).boxed(),
            special.clone().boxed(),
        ];
        let few_exceptions = (
            proptest::collection::vec(near.clone(), RUN_POINTS),
            proptest::collection::vec((0..RUN_POINTS, exception), 0..14),
        )
            .prop_map(|(mut values, exceptions)| {
                for (place, exception) in exceptions {
                    values[place] = exception;
                }
                values
            });
        let values = prop_oneof![
            few_exceptions.boxed(),
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
        let drifting = (
            any::<i64>(),
            proptest::collection::vec(-2i64..3, 1..=RUN_POINTS),
        )
            .prop_map(|(first, changes)| {
                let (mut timestamp, mut step) = (first, 500);
                let mut next = |change| {
                    step += change;
                    timestamp = timestamp.saturating_add(step);
                    timestamp
                };
                changes.into_iter().map(&mut next).collect()
            });
        let timestamps = prop_oneof![
            proptest::collection::vec(timestamp, 1..=RUN_POINTS).boxed(),
            proptest::collection::vec(0i64..300, 1..=RUN_POINTS).boxed(),
            regular.boxed(),
            straying.boxed(),
            drifting.boxed(),
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
            encode(&mut chunk, &Run::of_points(&points), base);
            let length = chunk.len();
            chunk.resize(length + more, 0xff);
            let mut rest = &chunk[3..];
            let header = Header::read(&mut rest, base).unwrap();
            prop_assert_eq!(header.first_timestamp, points[0].timestamp);
            prop_assert_eq!(rest.len(), header.packed_bytes() + more);
            let mut run = Run::new();
            prop_assert_eq!(header.decode(rest, &mut run), Some(()));
            prop_assert_eq!(bits(run.points()), bits(points.iter().copied()));
            // A byte less is no chunk.
            if header.packed_bytes() > 0 {
                prop_assert_eq!(header.decode(&rest[..header.packed_bytes() - 1], &mut run), None);
            }
        }

        /// What is checked without being decoded is what would decode.
        #[test]
        fn what_is_sound_decodes(
            points in points(),
            digits in (prop_oneof![Just(0), 1 - DIGITS_LIMIT..DIGITS_LIMIT], 0i64..3),
            changes in proptest::collection::vec((0usize..24, any::<u8>()), 0..3),
        ) {
            let mut chunk = Vec::new();
            let mut run = Run::of_points(&points);
            if digits.0 != 0 {
                let range = 0..points.len() as i64;
                run.reset(0, Kind::INTEGERS, false);
                range.for_each(|at| run.push(at, (digits.0 + digits.1 * at).min(DIGITS_LIMIT - 1)));
            }
            encode(&mut chunk, &run, 7);
            for (place, byte) in changes {
                if let Some(changed) = chunk.get_mut(place) {
                    *changed = byte;
                }
            }
            let mut rest = &chunk[..];
            if let Some(header) = Header::read(&mut rest, 7) {
                let decoded = header.decode_checked(rest, &mut run);
                let last = decoded.and_then(|()| run.timestamps().last().copied());
                prop_assert_eq!(header.check(rest, &mut run), last);
            }
        }

        #[test]
        fn any_bytes_give_points_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300), base: i64) {
            let mut rest = &bytes[..];
            if let Some(header) = Header::read(&mut rest, base) {
                let mut run = Run::new();
                if header.decode(rest, &mut run).is_some() {
                    prop_assert_eq!(run.points().count(), header.count);
                }
            }
        }
    }

    #[test]
    fn what_is_not_sound_is_rejected() {
        type Change = fn(&mut Header, &mut [u8]);
        // In step, with exceptions in places 40 and 80.
        let value = |at: i64| {
            if at % 40 == 0 && at > 0 {
                f64::NAN
            } else {
                0.5
            }
        };
        let point = |at| Point {
            timestamp: 10 * at,
            value: value(at),
        };
        let run = Run::of_points(&(0..100).map(point).collect::<Vec<Point>>());
        let mut chunk = Vec::new();
        encode(&mut chunk, &run, 0);
        let mut packed = &chunk[..];
        let header = Header::read(&mut packed, 0).expect("a chunk");
        assert_eq!((header.exceptions, packed.len()), (2, 2 * EXCEPTION_BYTES));
        let of_exceptions: [(Change, Option<i64>); 9] = [
            (|_, packed| packed[9] = 41, Some(990)),
            (|_, packed| packed[9] = 40, None),
            (|_, packed| packed[9] = 39, None),
            (|_, packed| packed[9] = 99, Some(990)),
            (|_, packed| packed[9] = 100, None),
            (|_, packed| packed[1..9].fill(0), None),
            // As many values are out of range as there are exceptions, but not these.
            (
                |header, packed| {
                    packed[1..9].fill(0);
                    (header.first_value, header.values.least) = (DIGITS_LIMIT, -1);
                },
                None,
            ),
            (|header, _| header.exceptions = 1, Some(990)),
            (|header, _| header.exceptions = 3, None),
        ];
        let of_numbers: [(Change, Option<i64>); 8] = [
            (|_, _| (), Some(990)),
            (|header, _| header.first_value = DIGITS_LIMIT - 1, Some(990)),
            (|header, _| header.first_value = DIGITS_LIMIT, None),
            (
                |header, _| header.values.least = DIGITS_LIMIT / 99,
                Some(990),
            ),
            (|header, _| header.values.least = -DIGITS_LIMIT / 98, None),
            (|header, _| header.timestamps.least = 0, None),
            (
                |header, _| header.first_timestamp = i64::MAX - 990,
                Some(i64::MAX),
            ),
            (|header, _| header.first_timestamp = i64::MAX - 989, None),
        ];
        // Digits without exceptions are checked in another way.
        let without = of_numbers.map(|row| (0, row));
        let with = of_exceptions
            .into_iter()
            .chain(of_numbers)
            .map(|row| (2, row));
        for (at, (exceptions, (change, expected))) in with.chain(without).enumerate() {
            let (mut header, mut packed) = (
                Header {
                    exceptions,
                    ..header
                },
                packed.to_vec(),
            );
            change(&mut header, &mut packed);
            let mut run = Run::new();
            assert_eq!(
                header.check(&packed, &mut run),
                expected,
                "{at}: {header:?}"
            );
            let is_decoded = header.decode_checked(&packed, &mut run).is_some();
            assert_eq!(is_decoded, expected.is_some(), "{at}: {header:?}");
        }
        let bytes: [(usize, u8); 5] = [(0, 160), (1, 65), (2, 65), (2, HIGH_BIT), (3, 16)];
        for (place, byte) in bytes {
            let mut changed = chunk.clone();
            changed[place] = byte;
            assert!(
                Header::read(&mut &changed[..], 0).is_none(),
                "{place}: {byte}"
            );
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
            encode(&mut out, &Run::of_points(&points), points[0].timestamp);
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
        // Three bits each of five changes of a step, however far it drifts.
        let step = |i: i64| 10_000 + (0..i).map(|i| scattered(i * i) % 5 - 2).sum::<i64>();
        let slowly = |i: i64| (0..i).map(step).sum();
        assert_eq!(chunk_bytes(&|_| 1.0, &slowly), 11 + 159 * 3 / 8 + 1);
        // A bit each in step, but for points that are missing, in whatever unit.
        for unit in [1, 1_000, 1_000_000] {
            let gaps = |i: i64| unit * regular(i + i / 3);
            assert!(chunk_bytes(&|_| 1.0, &gaps) <= 16 + 159 / 8);
        }
        assert_eq!(
            chunk_bytes(&|_| 1.0, &|i| regular(i + i / 9)),
            9 + 159 / 8 + 1
        );
        // An exception takes nine bytes, whatever it is, and one the count of them; the others stay
        // as they are.
        let with = |exception: f64, count: i64, first: i64| {
            let every = RUN_POINTS as i64 / count;
            let value = |i: i64| {
                if i % every == first {
                    exception
                } else {
                    walk(i)
                }
            };
            chunk_bytes(&value, &regular)
        };
        let plain = 8 + 159 * 7 / 8 + 1;
        for exception in [f64::NAN, f64::INFINITY, -0.0, 0.1 + 0.2] {
            for (count, first) in [(1, 0), (1, 3), (3, 0), (3, 3)] {
                let bytes = with(exception, count, first);
                assert!(
                    bytes <= plain + 1 + 9 * count as usize + 20,
                    "{exception} from {first} on: {bytes}"
                );
            }
        }
        // Doubles of one sign and binary exponent, whose other 52 bits are noise.
        let noise = |i: i64| 1.0 + (i as f64 * 0.618_033_988_749).fract();
        assert!(chunk_bytes(&noise, &regular) <= 17 + 159 * 52 / 8);
    }
}
