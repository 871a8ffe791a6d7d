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
//! as 0, and so does each step of a head in any order. A point of a series in step takes a byte or
//! two until it is sealed.

use super::Point;
use super::packing::{read_varint, unzigzag, write_varint, zigzag};
use super::run::{Kind, RUN_POINTS, Run, exception_of};
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

/// Up to [`RUN_POINTS`] points by ascending timestamp, whose values are of one kind, with
/// exceptions.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: Vec<u8>,
    /// Timestamp of the newest point, also after it was sealed.
    last_timestamp: i64,
    /// Step from the point before to the newest one; 0 if it is the first one here.
    last_step: i64,
    /// Value of the newest point that is no exception, of this head's kind; 0 if there is none.
    last_value: i64,
    length: u8,
    /// How many points make it full, at most [`RUN_POINTS`].
    limit: u8,
    kind: Kind,
    /// How many values are exceptions.
    exceptions: u8,
    /// Whether steps are likely to be like the one before. Else they count as differing from 0.
    is_ordered: bool,
}

impl Head {
    /// A head of no points, which is full at `limit` points: 1 to [`RUN_POINTS`].
    pub fn ordered(limit: usize) -> Head {
        Head {
            is_ordered: true,
            ..Head::unordered(Kind::INTEGERS, limit)
        }
    }

    /// The same of points in any order, which are likely to be of this kind.
    pub fn unordered(kind: Kind, limit: usize) -> Head {
        Head {
            bytes: Vec::new(),
            last_timestamp: 0,
            last_step: 0,
            last_value: 0,
            length: 0,
            limit: limit as u8,
            kind,
            exceptions: 0,
            is_ordered: false,
        }
    }

    pub fn last_timestamp(&self) -> i64 {
        self.last_timestamp
    }

    /// Timestamp of the first point here, which is not the oldest in a head in any order.
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

    /// Bytes that are allocated.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for a point, with less to spare than a [`Vec`] takes: there are many heads of late
    /// points.
    pub fn reserve_exact(&mut self) {
        if self.bytes.capacity() - self.bytes.len() < POINT_BYTES_MAX {
            self.bytes
                .reserve_exact(2 * POINT_BYTES_MAX + self.bytes.len() / 16);
        }
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
        self.exceptions = 0;
    }

    /// Appends a point that is newer than all before it to a head that is not full.
    ///
    /// Constant time, but where the kind cannot keep the value: then all points are rewritten.
    #[inline(always)]
    pub fn push(&mut self, timestamp: i64, value: Value) {
        debug_assert!(!self.is_full());
        match self.kind.of_value(value) {
            Some(value) => self.append(timestamp, value),
            None => self.push_of_other_kind(Point {
                timestamp,
                value: value.to_double(),
            }),
        }
    }

    /// The same, not inlined.
    #[inline(never)]
    pub fn push_apart(&mut self, timestamp: i64, value: Value) {
        self.push(timestamp, value);
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

    /// Appends a value that is an exception among digits.
    fn append_exception(&mut self, timestamp: i64, value: i64) {
        let change = self.step_to(timestamp);
        self.write_difference(EXCEPTION, change);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self.exceptions += 1;
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
        self.last_timestamp = timestamp;
        self.last_step = if self.is_ordered { step } else { 0 };
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

    /// Appends a point as an exception, or rewrites all points in a kind that keeps this one too.
    #[cold]
    fn push_of_other_kind(&mut self, point: Point) {
        if self.length == 0 {
            self.kind = Kind::of_first(point.value);
            if let Some(value) = self.kind.of_value(point.value.into()) {
                return self.append(point.timestamp, value);
            }
        }
        let exceptions = usize::from(self.exceptions);
        if let Some(value) = exception_of(point.value, exceptions, self.len() + 1) {
            return self.append_exception(point.timestamp, value);
        }
        let mut run = Run::new();
        self.decode(&mut run);
        run.push_point(point);
        self.refill(&run);
    }

    /// Replaces all points by those of `run`, the last of which is as new as the last one here or
    /// newer.
    pub fn refill(&mut self, run: &Run) {
        self.clear(run.kind());
        let has_exceptions = run.has_exceptions();
        for (&timestamp, &value) in run.timestamps().iter().zip(run.values()) {
            if has_exceptions && run.kind().is_exception(value) {
                self.append_exception(timestamp, value);
            } else {
                self.append(timestamp, value);
            }
        }
    }

    /// The points.
    pub fn decode(&self, run: &mut Run) {
        let (timestamps, values) = run.reset(self.len(), self.kind, self.exceptions > 0);
        let mut bytes = &self.bytes[..];
        let points = timestamps.iter_mut().zip(values);
        match self.kind {
            Kind::Digits { .. } => {
                let mut digits = 0;
                fill(points, self.is_ordered, || {
                    read_digits(&mut bytes, &mut digits)
                });
            }
            Kind::Bits => fill(points, self.is_ordered, || read_bits(&mut bytes)),
        }
    }
}

/// Fills in points from `read`, which returns the change of the step, and the value.
#[inline(always)]
fn fill<'run>(
    points: impl Iterator<Item = (&'run mut i64, &'run mut i64)>,
    is_ordered: bool,
    mut read: impl FnMut() -> Option<(i64, i64)>,
) {
    let (mut before, mut step) = (0i64, 0i64);
    for (place, (timestamp, value)) in points.enumerate() {
        let (change, next) = read().expect(COMPLETE);
        before = before.wrapping_add(step).wrapping_add(change);
        // The step to the first point counts as 0.
        if place > 0 && is_ordered {
            step = step.wrapping_add(change);
        }
        (*timestamp, *value) = (before, next);
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
