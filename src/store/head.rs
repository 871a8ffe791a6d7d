//! The newest points of a series, to which the next one is appended in place.
//!
//! ```text
//! of digits    varint   difference to the digits before, zigzag, above a bit that says whether
//!                       the time step is another than the one before
//!              varint   if it is: the difference of the two steps, zigzag
//! of doubles   varint   the difference of the two steps, zigzag
//!              8 bytes  bits, the low ones first
//! ```
//!
//! Before the first point there is the value 0 at time 0, and the step to the first point is
//! forgotten. So a point of a series in step takes a byte or two until it is sealed.

use super::Point;
use super::packing::{read_varint, unzigzag, write_varint, zigzag};
use super::run::{Kind, RUN_POINTS, Run};

/// Up to [`RUN_POINTS`] points by ascending timestamp, whose values are of one kind.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: Vec<u8>,
    /// Timestamp of the newest point, also when it was sealed since.
    last_timestamp: i64,
    /// Step from the point before to the newest one; 0 where it is the first one here.
    last_step: i64,
    /// Value of the newest point, of this head's kind.
    last_value: i64,
    length: u8,
    /// Full is a head of so many points, at most [`RUN_POINTS`].
    limit: u8,
    kind: Kind,
}

impl Head {
    /// A head whose only point is this, and which takes `limit` points until it is sealed: 1 to
    /// [`RUN_POINTS`].
    pub fn new(point: Point, limit: usize) -> Head {
        let mut head = Head {
            bytes: Vec::new(),
            last_timestamp: 0,
            last_step: 0,
            last_value: 0,
            length: 0,
            limit: limit as u8,
            kind: Kind::Bits,
        };
        head.push(point);
        head
    }

    pub fn last_timestamp(&self) -> i64 {
        self.last_timestamp
    }

    /// The byte behind which the next point goes.
    pub fn newest_byte(&self) -> Option<u8> {
        self.bytes.last().copied()
    }

    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    pub fn is_full(&self) -> bool {
        self.length >= self.limit
    }

    /// Bytes that are allocated.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Leaves no point, since they are sealed, and takes as many as fit a run.
    pub fn begin_next(&mut self) {
        self.clear();
        self.limit = RUN_POINTS as u8;
    }

    /// Leaves no point and no memory: those to come may be few.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        self.length = 0;
        self.last_value = 0;
    }

    /// Appends a point that is newer than all before it, to a head that is not full.
    ///
    /// Constant time, but where the value is the first that cannot be kept as those before it
    /// are: then all are written anew.
    #[inline]
    pub fn push(&mut self, point: Point) {
        debug_assert!(!self.is_full());
        if self.length == 0 {
            self.kind = Kind::narrowest(point.value);
        }
        match self.kind.of_value(point.value) {
            Some(value) => self.append(point.timestamp, value),
            None => self.push_of_other_kind(point),
        }
    }

    #[inline]
    fn append(&mut self, timestamp: i64, value: i64) {
        let step = if self.length == 0 {
            0
        } else {
            timestamp.wrapping_sub(self.last_timestamp)
        };
        let change = if self.length == 0 {
            timestamp
        } else {
            step.wrapping_sub(self.last_step)
        };
        match self.kind {
            Kind::Digits { .. } => {
                // Digits have 50 bits, so nothing is shifted out.
                let difference = zigzag(value - self.last_value) << 1;
                write_varint(&mut self.bytes, difference | u64::from(change != 0));
                if change != 0 {
                    write_varint(&mut self.bytes, zigzag(change));
                }
            }
            Kind::Bits => {
                write_varint(&mut self.bytes, zigzag(change));
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        (self.last_timestamp, self.last_step, self.last_value) = (timestamp, step, value);
        self.length += 1;
    }

    /// Writes all points anew, of the next kind that keeps this one too.
    #[cold]
    fn push_of_other_kind(&mut self, point: Point) {
        let mut run = Run::new();
        self.decode(&mut run);
        let points: Vec<Point> = run.points().chain([point]).collect();
        let run = Run::of_points(&points, self.kind);
        self.clear();
        self.kind = run.kind();
        for (&timestamp, &value) in run.timestamps().iter().zip(run.values()) {
            self.append(timestamp, value);
        }
    }

    /// The points.
    pub fn decode(&self, run: &mut Run) {
        let mut bytes = &self.bytes[..];
        run.clear(self.kind);
        match self.kind {
            Kind::Digits { .. } => self.fill(run, |before| read_digits(&mut bytes, before)),
            Kind::Bits => self.fill(run, |_| read_bits(&mut bytes)),
        }
    }

    /// Takes the points from `read`, which is given the value before and gives the change of the
    /// step, and the value.
    #[inline(always)]
    fn fill(&self, run: &mut Run, mut read: impl FnMut(i64) -> Option<(i64, i64)>) {
        let (mut timestamp, mut step, mut value) = (0i64, 0i64, 0i64);
        for place in 0..self.len() {
            let Some((change, next)) = read(value) else {
                break;
            };
            timestamp = timestamp.wrapping_add(step).wrapping_add(change);
            // The step to the first point is forgotten.
            step = if place == 0 {
                0
            } else {
                step.wrapping_add(change)
            };
            value = next;
            run.push(timestamp, value);
        }
    }

    /// Timestamp of the oldest point.
    pub fn first_timestamp(&self) -> Option<i64> {
        let mut bytes = &self.bytes[..];
        let first = match self.kind {
            Kind::Digits { .. } => read_digits(&mut bytes, 0),
            Kind::Bits => read_bits(&mut bytes),
        };
        first.map(|(timestamp, _)| timestamp)
    }
}

/// Takes a point of digits off the front: the change of the step, and the digits.
#[inline(always)]
fn read_digits(bytes: &mut &[u8], before: i64) -> Option<(i64, i64)> {
    let difference = read_varint(bytes)?;
    let digits = before.wrapping_add(unzigzag(difference >> 1));
    let change = if difference & 1 == 0 {
        0
    } else {
        unzigzag(read_varint(bytes)?)
    };
    Some((change, digits))
}

/// The same of a double.
#[inline(always)]
fn read_bits(bytes: &mut &[u8]) -> Option<(i64, i64)> {
    let change = unzigzag(read_varint(bytes)?);
    let (&bits, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some((change, i64::from_le_bytes(bits)))
}
