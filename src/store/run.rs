//! A few consecutive points of one series, decoded.

use super::Point;
use crate::decimal;

/// The most points of a run, and so of a head and of a chunk: as many as a head of 256 bytes takes
/// of a series in step.
pub const RUN_POINTS: usize = 160;

/// Up to 160 consecutive points of one series, by ascending timestamp: what is read at once.
#[derive(Clone, Debug)]
pub struct Run {
    timestamps: [i64; RUN_POINTS],
    /// All of one kind.
    values: [i64; RUN_POINTS],
    length: usize,
    kind: Kind,
}

/// What the values of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Digits, with so many decimals.
    Digits { decimals: u8 },
    /// The bits of doubles.
    Bits,
}

impl Default for Run {
    fn default() -> Run {
        Run::new()
    }
}

impl Run {
    /// A run of no points.
    pub fn new() -> Run {
        Run {
            timestamps: [0; _],
            values: [0; _],
            length: 0,
            kind: Kind::Bits,
        }
    }

    /// The points, at most [`RUN_POINTS`], of this kind or the next one that keeps all of them.
    pub(super) fn of_points(points: &[Point], mut kind: Kind) -> Run {
        let mut run = Run::new();
        while let Err(value) = run.fill(points, kind) {
            kind = kind.wider_for(value);
        }
        run
    }

    /// Holds these points instead, or says which value is not of this kind.
    fn fill(&mut self, points: &[Point], kind: Kind) -> Result<(), f64> {
        self.clear(kind);
        for point in points {
            let value = kind.of_value(point.value).ok_or(point.value)?;
            self.push(point.timestamp, value);
        }
        Ok(())
    }

    /// Holds these points instead, or the first [`RUN_POINTS`] of them, as doubles.
    pub(super) fn set_points(&mut self, points: &[Point]) {
        self.clear(Kind::Bits);
        for point in points {
            self.push(point.timestamp, point.value.to_bits() as i64);
        }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Leaves no points; those to come are of this kind.
    pub(super) fn clear(&mut self, kind: Kind) {
        self.length = 0;
        self.kind = kind;
    }

    /// Appends a point, whose value is of this run's kind; one too many is left out.
    #[inline]
    pub(super) fn push(&mut self, timestamp: i64, value: i64) {
        if self.length < RUN_POINTS {
            self.timestamps[self.length] = timestamp;
            self.values[self.length] = value;
            self.length += 1;
        }
    }

    /// Makes room for `length` points, at most [`RUN_POINTS`] and at least one, and hands out
    /// their timestamps and values to be filled in.
    pub(super) fn reset(&mut self, length: usize, kind: Kind) -> (&mut [i64], &mut [i64]) {
        (self.length, self.kind) = (length, kind);
        (&mut self.timestamps[..length], &mut self.values[..length])
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Their timestamps, ascending.
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps[..self.length]
    }

    /// By ascending timestamp, of this run's kind.
    pub(crate) fn values(&self) -> &[i64] {
        &self.values[..self.length]
    }

    /// The points, by ascending timestamp.
    pub fn points(&self) -> impl Iterator<Item = Point> {
        self.timestamps()
            .iter()
            .zip(self.values())
            .map(|(&timestamp, &value)| Point {
                timestamp,
                value: self.kind.value(value),
            })
    }

    /// Leaves only the points behind `after` and up to `until`.
    pub(super) fn keep(&mut self, after: Option<i64>, until: i64) {
        let timestamps = self.timestamps();
        let start = after.map_or(0, |after| {
            timestamps.partition_point(|&timestamp| timestamp <= after)
        });
        let end = timestamps
            .partition_point(|&timestamp| timestamp <= until)
            .max(start);
        self.timestamps.copy_within(start..end, 0);
        self.values.copy_within(start..end, 0);
        self.length = end - start;
    }
}

impl Kind {
    /// Of integers.
    pub const NARROWEST: Kind = Kind::Digits { decimals: 0 };

    /// The kind with the fewest decimals that keeps a value, or, where none does, that of bits.
    pub fn narrowest(value: f64) -> Kind {
        Kind::NARROWEST.wider_for(value)
    }

    /// The double that a value of this kind is.
    #[inline]
    pub fn value(self, value: i64) -> f64 {
        match self {
            Kind::Digits { decimals } => decimal::value_of(value, decimals),
            Kind::Bits => f64::from_bits(value as u64),
        }
    }

    /// This kind or the next one that keeps a value.
    fn wider_for(self, value: f64) -> Kind {
        let decimals = match self {
            Kind::Digits { decimals } => decimal::decimals_of(value, decimals),
            Kind::Bits => None,
        };
        decimals.map_or(Kind::Bits, |decimals| Kind::Digits { decimals })
    }

    /// A double as a value of this kind, where it is one.
    #[inline]
    pub fn of_value(self, value: f64) -> Option<i64> {
        match self {
            Kind::Digits { decimals } => decimal::digits_of(value, decimals),
            Kind::Bits => Some(value.to_bits() as i64),
        }
    }
}
