//! A few consecutive points of one series, decoded.

use std::ops::Range;

use super::Point;
use crate::decimal::{self, DECIMALS_MAX, DIGITS_LIMIT, decimals_of};
use crate::value::Value;

/// The most points of a run, and so of a head and of a chunk: as many as a head of 256 bytes takes
/// of a series in step.
pub const RUN_POINTS: usize = 160;

/// Up to 160 consecutive points of one series, by ascending timestamp: what is read at once.
#[derive(Clone, Debug)]
pub struct Run {
    timestamps: [i64; RUN_POINTS],
    /// Values of this run's kind.
    values: [i64; RUN_POINTS],
    length: usize,
    kind: Kind,
    /// Whether some values may be exceptions, so that nobody looks for them in vain.
    has_exceptions: bool,
}

/// What the values of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Digits, with so many decimals; and few exceptions, which are bits of doubles out of the range
    /// of digits.
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
            timestamps: [0; RUN_POINTS],
            values: [0; RUN_POINTS],
            length: 0,
            kind: Kind::Bits,
            has_exceptions: false,
        }
    }

    /// These points, at most [`RUN_POINTS`], in the kind that takes the least memory.
    pub(super) fn of_points(points: &[Point]) -> Run {
        let mut run = Run::new();
        for kind in [Kind::of_points(points), Kind::Bits] {
            run.reset(0, kind, false);
            let mut each = points.iter();
            if each.all(|&point| run.try_push(point, points.len())) {
                break;
            }
        }
        run
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends a point whose value is of this run's kind.
    ///
    /// # Panics
    ///
    /// If there are [`RUN_POINTS`] already.
    #[inline]
    pub(super) fn push(&mut self, timestamp: i64, value: i64) {
        self.timestamps[self.length] = timestamp;
        self.values[self.length] = value;
        self.length += 1;
    }

    /// Appends a point if this run, which is to have so many, can keep it without changing its
    /// kind.
    #[inline]
    fn try_push(&mut self, Point { timestamp, value }: Point, points: usize) -> bool {
        let kept = self.kind.of_value(value.into()).or_else(|| {
            self.has_exceptions = true;
            exception_of(value, self.exceptions(), points)
        });
        kept.map(|value| self.push(timestamp, value)).is_some()
    }

    /// Appends a point, in another kind if this one cannot keep it.
    ///
    /// # Panics
    ///
    /// If there are [`RUN_POINTS`] already.
    pub(super) fn push_point(&mut self, point: Point) {
        if !self.try_push(point, self.length + 1) {
            let mut points: Vec<Point> = self.points().collect();
            points.push(point);
            *self = Run::of_points(&points);
        }
    }

    /// Appends some of the points of another run.
    fn extend(&mut self, other: &Run, range: Range<usize>) {
        if self.kind != other.kind {
            range.for_each(|place| self.push_point(other.point(place)));
            return;
        }
        let (start, end) = (self.length, self.length + range.len());
        self.timestamps[start..end].copy_from_slice(&other.timestamps[range.clone()]);
        self.values[start..end].copy_from_slice(&other.values[range]);
        self.length = end;
        self.has_exceptions |= other.has_exceptions;
    }

    /// Replaces all points by `length` others of this kind, and hands out their timestamps and
    /// values to be filled in.
    ///
    /// # Panics
    ///
    /// If `length` is more than [`RUN_POINTS`].
    pub(super) fn reset(
        &mut self,
        length: usize,
        kind: Kind,
        has_exceptions: bool,
    ) -> (&mut [i64], &mut [i64]) {
        (self.length, self.kind, self.has_exceptions) = (length, kind, has_exceptions);
        (&mut self.timestamps[..length], &mut self.values[..length])
    }

    /// Whether some values may be exceptions.
    pub(super) fn has_exceptions(&self) -> bool {
        self.has_exceptions
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// How many values are exceptions.
    pub(super) fn exceptions(&self) -> usize {
        let values = self.values().iter();
        values
            .filter(|&&value| self.kind.is_exception(value))
            .count()
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
        (0..self.length).map(|place| self.point(place))
    }

    #[inline]
    fn point(&self, place: usize) -> Point {
        Point {
            timestamp: self.timestamps[place],
            value: self.kind.value(self.values[place]),
        }
    }

    /// Removes all points but those after `after` and up to `until`.
    pub(super) fn keep(&mut self, after: Option<i64>, until: i64) {
        let timestamps = self.timestamps();
        let place_past = |last| timestamps.partition_point(|&timestamp| timestamp <= last);
        let start = after.map_or(0, place_past);
        let end = place_past(until).max(start);
        self.length = end - start;
        if start > 0 {
            self.timestamps.copy_within(start..end, 0);
            self.values.copy_within(start..end, 0);
        }
    }

    /// Sorts points in any order by timestamp. Of several at one timestamp, the last stays.
    pub(super) fn sort(&mut self) {
        if self.timestamps().is_sorted_by(|one, next| one < next) {
            return;
        }
        let mut points: Vec<(i64, i64)> = Vec::with_capacity(self.length);
        for (&timestamp, &value) in self.timestamps().iter().zip(self.values()) {
            if points.last().is_none_or(|&(last, _)| last < timestamp) {
                points.push((timestamp, value));
                continue;
            }
            match points.binary_search_by_key(&timestamp, |&(timestamp, _)| timestamp) {
                Ok(place) => points[place].1 = value,
                Err(place) => points.insert(place, (timestamp, value)),
            }
        }
        self.length = 0;
        for (timestamp, value) in points {
            self.push(timestamp, value);
        }
    }

    /// Whether each of these points of another run is here with the same value to the bit.
    pub(super) fn holds(&self, other: &Run, places: Range<usize>) -> bool {
        let mut start = 0;
        places.into_iter().all(|place| {
            start = self.place_from(start, other.timestamps[place]);
            self.timestamps().get(start) == Some(&other.timestamps[place])
                && (self.kind == other.kind && self.values[start] == other.values[place]
                    || self.point(start).value.to_bits() == other.point(place).value.to_bits())
        })
    }

    /// The place of the first timestamp, from the one at `start` on, that is not before this one.
    fn place_from(&self, start: usize, timestamp: i64) -> usize {
        // Points often repeat or follow one another.
        let rest = &self.timestamps()[start..];
        let near = rest.iter().take(2).position(|&other| other >= timestamp);
        start + near.unwrap_or_else(|| rest.partition_point(|&earlier| earlier < timestamp))
    }
}

/// Appends the points of a run and those of `late` at these places to `runs` of `most` points each,
/// but for the last one; all by ascending timestamp. A late point replaces the one at its timestamp.
///
/// Linear in the points; logarithmic for each late one.
pub fn merge(runs: &mut Vec<Run>, most: usize, run: &Run, late: &Run, places: Range<usize>) {
    let mut append = |other: &Run, mut range: Range<usize>| {
        while !range.is_empty() {
            match runs.last_mut().filter(|last| last.len() < most) {
                Some(last) => {
                    let middle = range.end.min(range.start + most - last.len());
                    last.extend(other, range.start..middle);
                    range.start = middle;
                }
                None => runs.push(Run {
                    kind: run.kind,
                    ..Run::new()
                }),
            }
        }
    };
    let mut start = 0;
    for place in places {
        let timestamp = late.timestamps[place];
        let end = run.place_from(start, timestamp);
        append(run, start..end);
        append(late, place..place + 1);
        let is_replaced = run.timestamps().get(end) == Some(&timestamp);
        start = end + usize::from(is_replaced);
    }
    append(run, start..run.len());
}

impl Kind {
    /// The kind of integers.
    pub const INTEGERS: Kind = Kind::Digits { decimals: 0 };

    /// The fewest decimals that leave few enough exceptions among these points, or bits.
    fn of_points(points: &[Point]) -> Kind {
        const NEVER: u8 = DECIMALS_MAX + 1;
        let most = exceptions_max(points.len());
        // How many points need so many decimals.
        let mut needed = [0; NEVER as usize + 1];
        for point in points {
            let decimals = decimals_of(point.value).unwrap_or(NEVER);
            needed[usize::from(decimals)] += 1;
            if needed[usize::from(NEVER)] > most {
                return Kind::Bits;
            }
        }
        let is_enough = |&decimals: &u8| {
            let exceptions = needed.iter().skip(usize::from(decimals) + 1);
            exceptions.sum::<usize>() <= most
        };
        let decimals = (0..=DECIMALS_MAX).find(is_enough);
        decimals.map_or(Kind::Bits, |decimals| Kind::Digits { decimals })
    }

    /// The double that a value of this kind is.
    #[inline]
    pub fn value(self, value: i64) -> f64 {
        match self {
            Kind::Digits { decimals } if !is_out_of_range(value) => {
                decimal::value_of(value, decimals)
            }
            _ => f64::from_bits(value as u64),
        }
    }

    /// Whether a value of this kind is an exception.
    #[inline]
    pub fn is_exception(self, value: i64) -> bool {
        self != Kind::Bits && is_out_of_range(value)
    }

    /// A double as a value of this kind, if it is one.
    #[inline(always)]
    pub fn of_value(self, value: Value) -> Option<i64> {
        match self {
            Kind::Digits { decimals } => value.digits(decimals),
            Kind::Bits => Some(value.to_double().to_bits() as i64),
        }
    }
}

/// How many of so many points may be exceptions. Each takes nine bytes in a chunk: as many as this
/// take less than another decimal digit of all points, and far less than bits of all of them.
fn exceptions_max(points: usize) -> usize {
    points / 16 + 1
}

/// Whether this cannot be digits.
#[inline]
pub fn is_out_of_range(value: i64) -> bool {
    value.unsigned_abs() >= DIGITS_LIMIT as u64
}

/// The bits of `value`, if it can be one more exception beside so many, among so many points. The
/// bits of subnormal doubles and of some NaNs look like digits: these cannot.
#[cold]
pub fn exception_of(value: f64, exceptions: usize, points: usize) -> Option<i64> {
    let bits = value.to_bits() as i64;
    (is_out_of_range(bits) && exceptions < exceptions_max(points)).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        let bits = prop_oneof![
            Just(-0.0),
            Just(f64::NAN),
            Just(-f64::NAN),
            Just(f64::NEG_INFINITY),
            // The bits of these look like digits.
            Just(f64::from_bits(5)),
            Just(f64::from_bits(u64::MAX)),
            any::<u64>().prop_map(f64::from_bits),
        ];
        prop_oneof![12 => (0i64..10_000).prop_map(|digits| digits as f64 / 100.0), 1 => bits]
    }

    proptest! {
        /// A reader who goes on after any point sees each value as it was.
        #[test]
        fn values_are_read_as_they_were(values in proptest::collection::vec(value(), 1..=RUN_POINTS), at in 0..RUN_POINTS) {
            let points: Vec<Point> = (0..)
                .zip(&values)
                .map(|(timestamp, &value)| Point { timestamp, value })
                .collect();
            let whole = Run::of_points(&points);
            let mut rest = whole.clone();
            rest.keep(at.checked_sub(1).map(|at| at as i64), i64::MAX);
            for (run, points) in [(whole, &points[..]), (rest, &points[at.min(points.len())..])] {
                let bits = points.iter().map(|point| point.value.to_bits());
                prop_assert!(bits.clone().eq(run.points().map(|point| point.value.to_bits())));
                let kind = run.kind();
                prop_assert!(bits.eq(run.values().iter().map(|&value| kind.value(value).to_bits())));
            }
        }
    }

    #[test]
    fn few_exceptions_leave_the_others_digits() {
        let kind_with = |exceptions: usize| {
            let value = |place| if place < exceptions { f64::NAN } else { 12.5 };
            let points = (0..RUN_POINTS).map(|place| Point {
                timestamp: place as i64,
                value: value(place),
            });
            Run::of_points(&points.collect::<Vec<Point>>()).kind()
        };
        let most = exceptions_max(RUN_POINTS);
        assert_eq!(kind_with(0), Kind::Digits { decimals: 1 });
        assert_eq!(kind_with(most), Kind::Digits { decimals: 1 });
        assert_eq!(kind_with(most + 1), Kind::Bits);
    }
}
