//! The newest points of a series, to which the next one is appended in place.
//!
//! ```text
//! of digits    varint   difference to the digits before, zigzag, above a bit that says whether
//!                       the time step differs from the one before
//!              varint   if it does: the difference of the two steps, zigzag
//! exception    varint   2^52 instead of a difference, above the same bit
//!              varint   as above
//!              8 bytes  bits of the double, the low ones first
//! of doubles   varint   the difference of the two steps, zigzag
//!              8 bytes  bits, the low ones first
//! ```
//!
//! Before the first point there is the value 0 at time 0, and the step to the first point counts
//! as 0. A point of a series in step takes a byte or two until it is sealed.
//!
//! The step to a late point is that from the newest point before it, and the next step is compared with the
//! one before the late point. So the points stand in the order in which they came.

use super::Point;
use super::packing::{read_varint, unzigzag, write_varint, zigzag};
use super::run::{Kind, RUN_POINTS, Run, exception_of};
use crate::decimal::decimals_of;
use crate::value::Value;

/// Stands where an exception has no difference of digits, which is less, even zigzag.
const EXCEPTION: u64 = 1 << 52;

/// As many bytes as nearly every point takes at most.
const POINT_BYTES_MAX: usize = 12;

/// Room that a head begins with after a full one: a quarter of what most grow to.
const HEAD_BYTES: usize = 64;

/// Why reading cannot fail here. Only the head itself writes its bytes, and it counts the points. If
/// there were fewer, that would be a defect of ours, and the others would be lost for good.
const COMPLETE: &str = "a head holds as many points as it counts";

/// A head of fewer points in order has no late ones: to keep these takes more memory than all of its own.
const SHORT_POINTS: u8 = 16;

/// The points are sorted when there is one late point for so many in order.
const POINTS_PER_LATE: u8 = 2;

/// Up to [`RUN_POINTS`] points in the order in which they came, whose values are of one kind, with
/// exceptions. A point replaces those at its timestamp that came before it.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: Vec<u8>,
    /// Timestamp of the newest point, also after it was sealed.
    last_timestamp: i64,
    /// Step to the newest point from the one that was the newest before it; 0 if it is the first one here.
    last_step: i64,
    /// Value of the last point that is no exception, of this head's kind; 0 if there is none.
    last_value: i64,
    length: u8,
    /// How many points make it full, at most [`RUN_POINTS`].
    limit: u8,
    kind: Kind,
    /// How many values are exceptions.
    exceptions: u8,
    /// How many points came when there was a newer one, or one at their timestamp.
    late: u8,
}

impl Head {
    /// A head of no points, which are likely to be of this kind. It is full at `limit` points: 1 to
    /// [`RUN_POINTS`].
    pub fn new(kind: Kind, limit: usize) -> Head {
        Head {
            bytes: Vec::new(),
            last_timestamp: 0,
            last_step: 0,
            last_value: 0,
            length: 0,
            limit: limit as u8,
            kind,
            exceptions: 0,
            late: 0,
        }
    }

    pub fn last_timestamp(&self) -> i64 {
        self.last_timestamp
    }

    /// Timestamp of the first point here, which is the oldest one unless older ones came late.
    pub fn first_timestamp(&self) -> i64 {
        let mut bytes = &self.bytes[..];
        let first = match self.kind {
            Kind::Digits { .. } => read_digits(&mut bytes, &mut 0),
            Kind::Bits => read_bits(&mut bytes),
        };
        first.map_or(self.last_timestamp, |(timestamp, _)| timestamp)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The byte after which the next point goes.
    pub fn newest_byte(&self) -> Option<u8> {
        self.bytes.last().copied()
    }

    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    pub fn is_full(&self) -> bool {
        self.length >= self.limit
    }

    /// Whether the next point makes it full.
    pub fn is_full_with_next(&self) -> bool {
        self.length + 1 >= self.limit
    }

    /// Whether it has room for a late point, and not too many of these.
    pub fn takes_late(&self) -> bool {
        let in_order = self.length - self.late;
        let most = in_order.saturating_sub(SHORT_POINTS) / POINTS_PER_LATE;
        !self.is_full() && self.late + 1 < most
    }

    /// Whether a point is the newest one here once more, with the same value. Not seen if points are late or exceptions.
    pub fn repeats_newest(&self, point: Point) -> bool {
        let is_plain = self.length > 0 && self.late == 0 && self.exceptions == 0;
        is_plain
            && point.timestamp == self.last_timestamp
            && self.kind.of_value(point.value.into()) == Some(self.last_value)
    }

    /// Bytes that are allocated.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Removes all points, since they are sealed. From now on it is full at [`RUN_POINTS`].
    pub fn begin_next(&mut self) {
        self.clear(Kind::INTEGERS);
        // Most likely as many points are to come as there were. To grow from nothing takes three more steps.
        self.bytes.reserve_exact(HEAD_BYTES);
        self.limit = RUN_POINTS as u8;
    }

    /// Removes all points and frees their memory: those to come may be few.
    fn clear(&mut self, kind: Kind) {
        self.bytes = Vec::new();
        self.length = 0;
        self.last_value = 0;
        self.kind = kind;
        (self.exceptions, self.late) = (0, 0);
    }

    /// Appends a point that is newer than all before it to a head that is not full.
    ///
    /// Constant time, but where the kind cannot keep the value: then all points are rewritten.
    #[inline(always)]
    pub fn push(&mut self, timestamp: i64, value: Value) {
        debug_assert!(!self.is_full());
        match self.kind.of_value(value) {
            Some(value) => self.append(timestamp, value),
            None => self.push_any(Point {
                timestamp,
                value: value.to_double(),
            }),
        }
    }

    /// Appends any point to a head that is not full.
    #[inline(never)]
    pub fn push_any(&mut self, point: Point) {
        let value = point.value.into();
        if self.length == 0 && self.kind.of_value(value).is_none() {
            // What no digits keep is an exception.
            let decimals = decimals_of(point.value).unwrap_or(0);
            self.kind = Kind::Digits { decimals };
        }
        let exception = || exception_of(point.value, self.exceptions.into(), self.len() + 1);
        match self.kind.of_value(value).or_else(exception) {
            Some(value) => self.append_any(point.timestamp, value),
            None => {
                // All are rewritten in a kind that keeps this one too.
                let mut run = Run::new();
                self.decode(&mut run);
                run.push_point(point);
                self.refill(&run);
            }
        }
    }

    /// The same of a late point. Makes room for it with less to spare than a [`Vec`] does: there are many heads
    /// of late points.
    pub fn push_late(&mut self, point: Point) {
        if self.bytes.capacity() - self.bytes.len() < POINT_BYTES_MAX {
            self.bytes
                .reserve_exact(2 * POINT_BYTES_MAX + self.bytes.len() / 16);
        }
        self.push_any(point);
    }

    #[inline(always)]
    fn append(&mut self, timestamp: i64, value: i64) {
        let change = self.step_to(timestamp);
        match self.kind {
            // Digits have 50 bits, so nothing is shifted out.
            Kind::Digits { .. } => self.write_difference(zigzag(value - self.last_value), change),
            Kind::Bits => {
                write_varint(&mut self.bytes, zigzag(change));
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        self.last_value = value;
    }

    /// The same of any value and at any time.
    #[inline(never)]
    fn append_any(&mut self, timestamp: i64, value: i64) {
        let newest = (self.last_timestamp, self.last_step);
        let is_late = self.length > 0 && timestamp <= self.last_timestamp;
        if self.kind.is_exception(value) {
            let change = self.step_to(timestamp);
            self.write_difference(EXCEPTION, change);
            self.bytes.extend_from_slice(&value.to_le_bytes());
            self.exceptions += 1;
        } else {
            self.append(timestamp, value);
        }
        if is_late {
            (self.last_timestamp, self.last_step) = newest;
            self.late += 1;
        }
    }

    /// Counts one more point, and returns how the step to it differs from the one before.
    #[inline]
    fn step_to(&mut self, timestamp: i64) -> i64 {
        let (step, change) = match self.length {
            0 => (0, timestamp),
            _ => {
                let step = timestamp.wrapping_sub(self.last_timestamp);
                (step, step.wrapping_sub(self.last_step))
            }
        };
        (self.last_timestamp, self.last_step) = (timestamp, step);
        self.length += 1;
        change
    }

    #[inline(always)]
    fn write_difference(&mut self, difference: u64, change: i64) {
        write_varint(&mut self.bytes, difference << 1 | u64::from(change != 0));
        if change != 0 {
            write_varint(&mut self.bytes, zigzag(change));
        }
    }

    /// Replaces all points by those of `run`, the newest of which is as new as the newest one here or
    /// newer.
    pub fn refill(&mut self, run: &Run) {
        self.clear(run.kind());
        for (&timestamp, &value) in run.timestamps().iter().zip(run.values()) {
            self.append_any(timestamp, value);
        }
    }

    /// Decodes the points by ascending timestamp, each timestamp once.
    pub fn read(&self, run: &mut Run) {
        self.decode(run);
        if self.late > 0 {
            run.sort();
        }
    }

    /// Decodes the points in the order in which they came.
    fn decode(&self, run: &mut Run) {
        let (timestamps, values) = run.reset(self.len(), self.kind, self.exceptions > 0);
        let mut bytes = &self.bytes[..];
        let points = timestamps.iter_mut().zip(values);
        match self.kind {
            Kind::Digits { .. } => {
                let mut digits = 0;
                fill(points, || read_digits(&mut bytes, &mut digits));
            }
            Kind::Bits => fill(points, || read_bits(&mut bytes)),
        }
    }
}

/// Fills in points from `read`, which returns the change of the step, and the value.
#[inline(always)]
fn fill<'run>(
    points: impl Iterator<Item = (&'run mut i64, &'run mut i64)>,
    mut read: impl FnMut() -> Option<(i64, i64)>,
) {
    let (mut newest, mut step) = (0i64, 0i64);
    for (place, (timestamp, value)) in points.enumerate() {
        let (change, next) = read().expect(COMPLETE);
        let next_step = step.wrapping_add(change);
        (*timestamp, *value) = (newest.wrapping_add(next_step), next);
        if place == 0 {
            newest = *timestamp;
        } else if *timestamp > newest {
            (newest, step) = (*timestamp, next_step);
        }
    }
}

/// Takes a point of digits off the front: the change of the step, and the digits, or the bits of
/// an exception. `digits` are those before it.
#[inline(always)]
fn read_digits(bytes: &mut &[u8], digits: &mut i64) -> Option<(i64, i64)> {
    let difference = read_varint(bytes)?;
    let change = match difference & 1 {
        0 => 0,
        _ => unzigzag(read_varint(bytes)?),
    };
    if difference >> 1 == EXCEPTION {
        return Some((change, read_eight(bytes)?));
    }
    *digits = digits.wrapping_add(unzigzag(difference >> 1));
    Some((change, *digits))
}

/// The same of a double.
#[inline(always)]
fn read_bits(bytes: &mut &[u8]) -> Option<(i64, i64)> {
    let change = unzigzag(read_varint(bytes)?);
    Some((change, read_eight(bytes)?))
}

fn read_eight(bytes: &mut &[u8]) -> Option<i64> {
    let (&bits, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i64::from_le_bytes(bits))
}
