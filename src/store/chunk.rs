//! A run of points in few bytes, and back.
//!
//! ```text
//! byte  0      points − 1                    0 to 159
//!       1      timestamps: width, 0 to 64    high bit: differences of differences
//!       2      values: width, 0 to 64        high bit: bits of doubles; else digits
//!       3      decimals, 0 to 15, of digits; high bit: there is a unit; next one: a line, and
//!              shift, 0 to 63, of doubles    no differences of differences; of digits, the one
//!                                            after: there are exceptions
//!       4 …    first timestamp, what it is above the block's         varint
//!              first difference, or step of the line, if so          zigzag varint
//!              least of what is packed of the timestamps             zigzag varint
//!              unit, if there is one                                 varint
//!              first value                                           zigzag varint
//!              least difference of digits; none of doubles           zigzag varint
//!              count of the exceptions, if there are any             a byte
//!       …      timestamps: each difference, or difference of differences, or distance from
//!              the line, less the least, by the unit, `width` bits each
//!       …      digits: each difference less the least, `width` bits each;
//!              doubles: each XOR with the one before, shifted right, `width` bits each
//!       …      exceptions by ascending place: the place in a byte, the bits of the double in
//!              eight, the low ones first
//! ```
//!
//! A varint has seven bits of the number a byte, the low ones first, and the high bit set in all
//! bytes but the last (LEB128). Zigzag puts signed integers in the order 0, −1, 1, −2, 2. What is
//! packed begins in the lowest bit of a byte; the timestamps, and the values, each fill up their
//! last byte with zeros. Of timestamps, all but those that the header tells are packed: the first,
//! and with differences of differences the second. The distance of a timestamp is that from the
//! line at its place. Of values, all but the first are packed. Digits are the value times
//! 10^decimals, below 10^15 in magnitude.
//!
//! Differences of differences of timestamps, and XOR of the doubles, are those of Gorilla
//! (Pelkonen and others, "Gorilla: A Fast, Scalable, In-Memory Time Series Database", VLDB 2015,
//! sections 4.1.1 and 4.1.2). Where Gorilla chooses the bits of each point, here a run has one
//! width, above a common least value (frame of reference) and, of doubles, below common leading
//! and above common trailing zeros, so that it is unpacked without a branch for each point: the
//! choice of ALP (see [`decimal`](crate::decimal)) and of VictoriaMetrics (`lib/encoding`), from
//! which the decimal digits come as well.
//!
//! Exceptions are doubles among digits, of which a run has few. As in ALP (section 3.1), they stand
//! apart, and the digits in their places are such that they do not widen the others.
//!
//! The line goes through the first timestamp with a common step: a series that is read on time and
//! stamped a little early or late strays from it by less than from point to point.
//!
//! The unit is a common divisor of all that is packed: a series in step, of which a point is
//! missing here and there, takes a bit a point and not as many as its step has.
//!
//! Arithmetic wraps: differences are modulo 2^64, and come out right at both ends of 64 bits.

use super::packing::{
    pack, packed_bytes, read_varint, unpack, unzigzag, width_of, write_varint, zigzag,
};
use super::run::{Kind, RUN_POINTS, Run, is_exception};
use crate::decimal::{DECIMALS_MAX, DIGITS_LIMIT};

const HIGH_BIT: u8 = 0x80;
const NEXT_BIT: u8 = 0x40;
const EXCEPTIONS_BIT: u8 = 0x20;

/// The place of an exception, and its bits.
const EXCEPTION_BYTES: usize = 1 + size_of::<u64>();

/// Points that show of most orders that they take too many bits.
const SAMPLE_POINTS: usize = 24;

/// Room for what is packed of a run.
type Buffer = [i64; RUN_POINTS];

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

    /// The same in the largest unit that all these values are multiples of.
    fn in_units(self, values: &[i64]) -> Frame {
        if self.width == 0 {
            return self;
        }
        let (mut unit, mut inverse) = (0, 0);
        let mut most = 0;
        for value in values {
            let offset = value.wrapping_sub(self.least) as u64;
            // Without a division where it is a multiple, as most are.
            if exact_quotient(offset, unit, inverse).checked_mul(unit) != Some(offset) {
                unit = greatest_common_divisor(unit, offset);
                // The end of it for most values that have bits at all.
                if unit == 1 {
                    return self;
                }
                inverse = inverse_of_odd_part(unit);
            }
            most = most.max(offset);
        }
        Frame {
            unit,
            width: width_of(most / unit),
            ..self
        }
    }

    fn pack(self, out: &mut Vec<u8>, values: &[i64]) {
        let inverse = inverse_of_odd_part(self.unit);
        let offsets = values
            .iter()
            .map(|value| value.wrapping_sub(self.least) as u64);
        if self.unit == 1 {
            return pack(out, self.width, offsets);
        }
        let units = offsets.map(|offset| exact_quotient(offset, self.unit, inverse));
        pack(out, self.width, units);
    }

    /// The value that was packed as this.
    #[inline]
    fn value(self, units: u64) -> i64 {
        self.least
            .wrapping_add(units.wrapping_mul(self.unit) as i64)
    }
}

/// A multiple of `unit`, divided by it without a division (Warren, "Hacker's Delight", second
/// edition, section 10-16).
#[inline]
fn exact_quotient(multiple: u64, unit: u64, inverse: u64) -> u64 {
    multiple
        .unbounded_shr(unit.trailing_zeros())
        .wrapping_mul(inverse)
}

/// What the odd part of `unit` is multiplied by to give 1, modulo 2^64.
fn inverse_of_odd_part(unit: u64) -> u64 {
    let odd = unit.unbounded_shr(unit.trailing_zeros());
    // Right in the low three bits, and, by Newton's method, in twice as many each time.
    (0..5).fold(odd, |inverse, _| {
        inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)))
    })
}

/// By Euclid's algorithm. Of 0 and a number, it is the number.
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
fn differences<'buffer>(values: &[i64], buffer: &'buffer mut Buffer) -> &'buffer [i64] {
    for (difference, pair) in buffer.iter_mut().zip(values.windows(2)) {
        *difference = pair[1].wrapping_sub(pair[0]);
    }
    &buffer[..values.len().saturating_sub(1)]
}

/// The bits in which neighbours differ.
fn xors(values: &[i64]) -> impl Iterator<Item = u64> {
    values.windows(2).map(|pair| (pair[1] ^ pair[0]) as u64)
}

/// Values, each exception replaced by the digits before it: the difference to these is 0, and so
/// nearly always takes no more bits than the others do.
fn without_exceptions(values: &[i64]) -> Vec<i64> {
    let first = values.iter().find(|&&value| !is_exception(value));
    let mut before = first.copied().unwrap_or(0);
    let plain = values.iter().map(|&value| {
        if !is_exception(value) {
            before = value;
        }
        before
    });
    plain.collect()
}

/// What is packed of the timestamps: of all but the first, or the first two.
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
    fn narrowest(timestamps: &[i64], buffer: &mut Buffer) -> (Order, Frame) {
        let steps = Order::Steps.residuals(timestamps, buffer);
        let mut best = (Order::Steps, Frame::around(steps).in_units(steps));
        // Where steps take a bit, nothing saves any.
        if best.1.width > 1 {
            let others = [Order::changes(timestamps), Order::line(timestamps)];
            for order in others.into_iter().flatten() {
                // Most are too wide from the beginning.
                let sample = &timestamps[..timestamps.len().min(SAMPLE_POINTS)];
                let sample = Frame::around(order.residuals(sample, buffer));
                if sample.width >= best.1.width {
                    continue;
                }
                let residuals = order.residuals(timestamps, buffer);
                let frame = Frame::around(residuals);
                if frame.width < best.1.width {
                    best = (order, frame.in_units(residuals));
                }
            }
        }
        best
    }

    /// Differences of differences, of two timestamps at least.
    fn changes(timestamps: &[i64]) -> Option<Order> {
        let first_step = timestamps.get(1)?.wrapping_sub(timestamps[0]);
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

    /// How many timestamps the header tells, before those that something is packed of.
    fn in_header(self) -> usize {
        match self {
            Order::Changes { .. } => 2,
            Order::Steps | Order::Line { .. } => 1,
        }
    }

    /// What is packed of the timestamps.
    fn residuals<'buffer>(self, timestamps: &[i64], buffer: &'buffer mut Buffer) -> &'buffer [i64] {
        match self {
            Order::Steps => return differences(timestamps, buffer),
            Order::Changes { .. } => {
                for (change, three) in buffer.iter_mut().zip(timestamps.windows(3)) {
                    let (step, next) = (three[1].wrapping_sub(three[0]), three[2]);
                    *change = next.wrapping_sub(three[1]).wrapping_sub(step);
                }
            }
            Order::Line { step } => {
                let mut on_line = timestamps[0];
                for (distance, timestamp) in buffer.iter_mut().zip(&timestamps[1..]) {
                    on_line = on_line.wrapping_add(step);
                    *distance = timestamp.wrapping_sub(on_line);
                }
            }
        }
        &buffer[..timestamps.len().saturating_sub(self.in_header())]
    }
}

/// Appends a run of at least one point. `base` is any timestamp near the first one; whoever decodes
/// the chunk needs it again.
pub fn encode(out: &mut Vec<u8>, run: &Run, base: i64) {
    let plain = (run.exceptions() > 0).then(|| without_exceptions(run.values()));
    let values = plain.as_deref().unwrap_or(run.values());
    let mut buffer = [0; RUN_POINTS];
    let header = Header::of(run, values, &mut buffer);
    header.write(out, base);
    header.pack(out, run.timestamps(), values, &mut buffer);
    let exceptions = plain.map_or(&[][..], |_| run.values());
    for (place, value) in (0..)
        .zip(exceptions)
        .filter(|(_, value)| is_exception(**value))
    {
        out.push(place);
        out.extend(value.to_le_bytes());
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
    exceptions: usize,
}

impl Header {
    /// Chooses how a run of at least one point is packed; `values` are its own without exceptions.
    fn of(run: &Run, values: &[i64], buffer: &mut Buffer) -> Header {
        let timestamps = run.timestamps();
        let (order, timestamp_frame) = Order::narrowest(timestamps, buffer);
        let (value_frame, shift) = match run.kind() {
            Kind::Digits { .. } => (Frame::around(differences(values, buffer)), 0),
            Kind::Bits => {
                let all = xors(values).fold(0, |all, xor| all | xor);
                let shift = if all == 0 { 0 } else { all.trailing_zeros() };
                let width = width_of(all >> shift);
                let (least, unit) = (0, 1);
                (Frame { least, unit, width }, shift)
            }
        };
        Header {
            count: timestamps.len(),
            first_timestamp: timestamps[0],
            order,
            timestamps: timestamp_frame,
            kind: run.kind(),
            first_value: values[0],
            values: value_frame,
            shift,
            exceptions: run.exceptions(),
        }
    }

    /// Appends the header, and nothing of what follows it.
    pub fn write(&self, out: &mut Vec<u8>, base: i64) {
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
        let exceptions_bit = if self.exceptions > 0 {
            EXCEPTIONS_BIT
        } else {
            0
        };
        out.push((self.count - 1) as u8);
        out.push(self.timestamps.width as u8 | order_bit);
        out.push(self.values.width as u8 | kind_bit);
        out.push(decimals_or_shift | unit_bit | line_bit | exceptions_bit);
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
        if self.exceptions > 0 {
            out.push(self.exceptions as u8);
        }
    }

    fn pack(&self, out: &mut Vec<u8>, timestamps: &[i64], values: &[i64], buffer: &mut Buffer) {
        let residuals = self.order.residuals(timestamps, buffer);
        self.timestamps.pack(out, residuals);
        match self.kind {
            Kind::Digits { .. } => self.values.pack(out, differences(values, buffer)),
            Kind::Bits => {
                let shifted = xors(values).map(|xor| xor >> self.shift);
                pack(out, self.values.width, shifted);
            }
        }
    }

    /// Of the values.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes the header off the front of `bytes`, which may be any; `None` if they are no chunk.
    pub fn read(bytes: &mut &[u8], base: i64) -> Option<Header> {
        let (&[count, order, kind, flags], rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        let is_bits = kind & HIGH_BIT != 0;
        let has_exceptions = !is_bits && flags & EXCEPTIONS_BIT != 0;
        let shift = flags & !HIGH_BIT & !NEXT_BIT;
        let decimals = shift & !EXCEPTIONS_BIT;
        let count = usize::from(count) + 1;
        let widths = [order, kind].map(|byte| u32::from(byte & !HIGH_BIT));
        if count > RUN_POINTS || widths.iter().any(|&width| width > u64::BITS) {
            return None;
        }
        let kind = match is_bits {
            true => Kind::Bits,
            false if decimals <= DECIMALS_MAX => Kind::Digits { decimals },
            false => return None,
        };
        let first_timestamp = base.wrapping_add(read_varint(bytes)? as i64);
        let order = match (order & HIGH_BIT != 0, flags & NEXT_BIT != 0) {
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
            unit: if flags & HIGH_BIT != 0 {
                read_varint(bytes)?
            } else {
                1
            },
            width: widths[0],
        };
        let first_value = read_signed(bytes)?;
        let values = Frame {
            least: if is_bits { 0 } else { read_signed(bytes)? },
            unit: 1,
            width: widths[1],
        };
        let exceptions = if has_exceptions {
            usize::from(*bytes.split_off_first()?)
        } else {
            0
        };
        Some(Header {
            count,
            first_timestamp,
            order,
            timestamps,
            kind,
            first_value,
            values,
            shift: u32::from(shift),
            exceptions,
        })
    }

    fn timestamp_bytes(&self) -> usize {
        let packed = self.count.saturating_sub(self.order.in_header());
        packed_bytes(packed, self.timestamps.width)
    }

    fn value_bytes(&self) -> usize {
        packed_bytes(self.count - 1, self.values.width)
    }

    /// How many bytes of the chunk follow the header.
    pub fn packed_bytes(&self) -> usize {
        self.timestamp_bytes() + self.value_bytes() + EXCEPTION_BYTES * self.exceptions
    }

    /// Decodes what follows the header, at the front of `bytes`. `None` if there is less, if
    /// timestamps do not ascend, or if an exception has no place of its own.
    pub fn decode(&self, bytes: &[u8], run: &mut Run) -> Option<()> {
        if bytes.len() < self.packed_bytes() {
            return None;
        }
        // All that follows is handed on, since an unpacked word may reach beyond the chunk.
        let value_bytes = &bytes[self.timestamp_bytes()..];
        let (timestamps, values) = run.reset(self.count, self.kind, self.exceptions);
        self.decode_timestamps(bytes, timestamps);
        self.decode_values(value_bytes, values);
        if self.exceptions > 0 {
            self.read_exceptions(&value_bytes[self.value_bytes()..], values)?;
        }
        timestamps
            .is_sorted_by(|one, next| one < next)
            .then_some(())
    }

    /// As [`decode`](Self::decode), and `None` also if a value is out of the range of digits and no
    /// exception: of bytes from elsewhere.
    pub fn decode_checked(&self, bytes: &[u8], run: &mut Run) -> Option<()> {
        self.decode(bytes, run)?;
        let values = run.values().iter();
        let is_sound = self.kind == Kind::Bits
            || values.filter(|&&value| is_exception(value)).count() == self.exceptions;
        is_sound.then_some(())
    }

    /// The last timestamp, if [`decode_checked`](Self::decode_checked) would decode these bytes.
    /// Decodes into `run` only what the header leaves open.
    pub fn check(&self, bytes: &[u8], run: &mut Run) -> Option<i64> {
        if bytes.len() < self.packed_bytes() {
            return None;
        }
        if !self.has_sound_values() {
            self.decode_checked(bytes, run)?;
            return run.timestamps().last().copied();
        }
        if let (Order::Steps, 0) = (self.order, self.timestamps.width) {
            return self.last_in_step();
        }
        let (timestamps, _) = run.reset(self.count, self.kind, 0);
        self.decode_timestamps(bytes, timestamps);
        let is_ascending = timestamps.is_sorted_by(|one, next| one < next);
        timestamps.last().copied().filter(|_| is_ascending)
    }

    /// Whether the header alone shows that the values are sound: any bits of doubles are; digits
    /// are where no sum of differences can leave their range.
    fn has_sound_values(&self) -> bool {
        let Kind::Digits { .. } = self.kind else {
            return true;
        };
        let least = i128::from(self.values.least);
        let most = least + ((1 << self.values.width) - 1);
        let farthest = least.abs().max(most.abs()) * (self.count as i128 - 1);
        let first = i128::from(self.first_value).abs();
        self.exceptions == 0 && first + farthest < i128::from(DIGITS_LIMIT)
    }

    /// The last timestamp of a series in step, if its timestamps ascend.
    fn last_in_step(&self) -> Option<i64> {
        let steps = self.count as i64 - 1;
        let range = self.timestamps.least.checked_mul(steps)?;
        let last = self.first_timestamp.checked_add(range)?;
        (steps == 0 || self.timestamps.least > 0).then_some(last)
    }

    #[cold]
    fn read_exceptions(&self, bytes: &[u8], values: &mut [i64]) -> Option<()> {
        let mut start = 0;
        for exception in bytes.chunks_exact(EXCEPTION_BYTES).take(self.exceptions) {
            let (&place, bits) = exception.split_first()?;
            let place = usize::from(place);
            let bits = i64::from_le_bytes(bits.try_into().ok()?);
            if place < start || !is_exception(bits) {
                return None;
            }
            *values.get_mut(place)? = bits;
            start = place + 1;
        }
        Some(())
    }

    #[inline]
    fn decode_timestamps(&self, bytes: &[u8], timestamps: &mut [i64]) {
        let (frame, width) = (self.timestamps, self.timestamps.width);
        let packed = self.count.saturating_sub(self.order.in_header());
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
                run.clear(Kind::INTEGERS);
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
        let with = |exception: f64, count: i64| {
            let every = RUN_POINTS as i64 / count;
            let value = |i: i64| if i % every == 3 { exception } else { walk(i) };
            chunk_bytes(&value, &regular)
        };
        let plain = 8 + 159 * 7 / 8 + 1;
        for exception in [f64::NAN, f64::INFINITY, -0.0, 0.1 + 0.2] {
            for count in [1, 3] {
                let bytes = with(exception, count);
                assert!(
                    bytes <= plain + 1 + 9 * count as usize + 20,
                    "{exception}: {bytes}"
                );
            }
        }
        // Doubles of one sign and binary exponent, whose other 52 bits are noise.
        let noise = |i: i64| 1.0 + (i as f64 * 0.618_033_988_749).fract();
        assert!(chunk_bytes(&noise, &regular) <= 17 + 159 * 52 / 8);
    }
}
