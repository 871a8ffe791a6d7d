//! A few consecutive points of one series, decoded.

use std::mem;
use std::ops::Range;

use super::Point;
use crate::decimal::{self, DIGITS_LIMIT};

/// The most points of a run, and so of a head and of a chunk: as many as a head of 256 bytes takes
/// of a series in step.
pub const RUN_POINTS: usize = 160;

/// A run with more exceptions is not cut at them.
const EXCEPTIONS_CUT_MAX: usize = 2;

/// Up to 160 consecutive points of one series, by ascending timestamp: what is read at once.
#[derive(Clone, Debug)]
pub struct Run {
    timestamps: [i64; RUN_POINTS],
    /// Values of this run's kind, and exceptions.
    values: [i64; RUN_POINTS],
    length: usize,
    kind: Kind,
    /// How many values are exceptions: doubles among digits, kept as their bits, which are out of
    /// the range of digits. The store hands out no run that has any.
    exceptions: usize,
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
            timestamps: [0; RUN_POINTS],
            values: [0; RUN_POINTS],
            length: 0,
            kind: Kind::Bits,
            exceptions: 0,
        }
    }

    /// These points, at most [`RUN_POINTS`], in the kind that takes the least memory.
    pub(super) fn of_points(points: &[Point]) -> Run {
        let mut run = Run::new();
        let kind = Kind::of_points(points);
        if !run.fill(points, kind) {
            run.fill(points, Kind::Bits);
        }
        run
    }

    /// Holds these points instead; `false` if this kind cannot keep all of them.
    fn fill(&mut self, points: &[Point], kind: Kind) -> bool {
        self.clear(kind);
        points
            .iter()
            .all(|&point| self.try_push(point, points.len()))
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Removes all points. Those that are pushed next are of this kind.
    pub(super) fn clear(&mut self, kind: Kind) {
        (self.length, self.kind, self.exceptions) = (0, kind, 0);
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
        if let Some(value) = self.kind.of_value(value) {
            self.push(timestamp, value);
        } else if let Some(value) = exception_of(value, self.exceptions, points) {
            self.push(timestamp, value);
            self.exceptions += 1;
        } else {
            return false;
        }
        true
    }

    /// Appends a point, in another kind if this one cannot keep it.
    ///
    /// # Panics
    ///
    /// If there are [`RUN_POINTS`] already.
    pub(super) fn push_point(&mut self, point: Point) {
        if !self.try_push(point, self.length + 1) {
            *self = Run::of_points(&self.points().chain([point]).collect::<Vec<Point>>());
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
        if other.exceptions > 0 {
            let values = self.values[start..end].iter();
            self.exceptions += values.filter(|&&value| is_exception(value)).count();
        }
    }

    /// Makes room for `length` points, of which so many are exceptions, and hands out their
    /// timestamps and values to be filled in.
    ///
    /// # Panics
    ///
    /// If `length` is more than [`RUN_POINTS`].
    pub(super) fn reset(
        &mut self,
        length: usize,
        kind: Kind,
        exceptions: usize,
    ) -> (&mut [i64], &mut [i64]) {
        (self.length, self.kind, self.exceptions) = (length, kind, exceptions);
        (&mut self.timestamps[..length], &mut self.values[..length])
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn exceptions(&self) -> usize {
        self.exceptions
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
        let kind = match self.is_exception(place) {
            true => Kind::Bits,
            false => self.kind,
        };
        Point {
            timestamp: self.timestamps[place],
            value: kind.value(self.values[place]),
        }
    }

    #[inline]
    fn is_exception(&self, place: usize) -> bool {
        self.exceptions > 0 && is_exception(self.values[place])
    }

    /// Removes all points but those after `after` and up to `until`.
    pub(super) fn keep(&mut self, after: Option<i64>, until: i64) {
        let timestamps = self.timestamps();
        let start = after.map_or(0, |after| {
            timestamps.partition_point(|&timestamp| timestamp <= after)
        });
        let end = timestamps
            .partition_point(|&timestamp| timestamp <= until)
            .max(start);
        self.keep_range(start..end);
    }

    fn keep_range(&mut self, range: Range<usize>) {
        if self.exceptions > 0 {
            self.exceptions = range
                .clone()
                .filter(|&place| self.is_exception(place))
                .count();
        }
        self.length = range.len();
        if range.start > 0 {
            self.timestamps.copy_within(range.clone(), 0);
            self.values.copy_within(range, 0);
        }
    }

    /// Makes all values one kind. With few exceptions, leaves only the first points, up to where
    /// the kind changes: what was decoded is decoded once more for each of them. With more, all
    /// become bits.
    pub(super) fn unify_kind(&mut self) {
        if self.exceptions == 0 {
            return;
        }
        let mut first = true;
        if self.exceptions <= EXCEPTIONS_CUT_MAX {
            first = self.is_exception(0);
            let same = (0..self.length).take_while(|&place| self.is_exception(place) == first);
            self.keep_range(0..same.count());
        } else {
            for place in 0..self.length {
                self.values[place] = self.point(place).value.to_bits() as i64;
            }
        }
        if first {
            (self.kind, self.exceptions) = (Kind::Bits, 0);
        }
    }

    /// Adds a point of this run's kind where its timestamp belongs, or in place of the one there.
    /// Returns the value that it replaces.
    ///
    /// Constant time past the last point, else linear.
    ///
    /// # Panics
    ///
    /// If there are [`RUN_POINTS`] already.
    pub(super) fn insert(&mut self, timestamp: i64, value: i64) -> Option<i64> {
        let length = self.length;
        if self
            .timestamps()
            .last()
            .is_none_or(|&last| last < timestamp)
        {
            self.push(timestamp, value);
            return None;
        }
        let place = self
            .timestamps()
            .partition_point(|&earlier| earlier < timestamp);
        if self.timestamps[place] == timestamp {
            return Some(mem::replace(&mut self.values[place], value));
        }
        self.timestamps.copy_within(place..length, place + 1);
        self.values.copy_within(place..length, place + 1);
        (self.timestamps[place], self.values[place]) = (timestamp, value);
        self.length += 1;
        None
    }

    /// Sorts points in any order by timestamp. Of several at one timestamp, the last stays.
    pub(super) fn sort(&mut self) {
        if self.timestamps().is_sorted_by(|one, next| one < next) {
            return;
        }
        let unsorted = self.clone();
        self.length = 0;
        for (&timestamp, &value) in unsorted.timestamps().iter().zip(unsorted.values()) {
            let replaced = self.insert(timestamp, value);
            self.exceptions -=
                usize::from(unsorted.exceptions > 0 && replaced.is_some_and(is_exception));
        }
    }

    /// Whether each of these points of another run is here with the same value to the bit.
    pub(super) fn holds(&self, other: &Run, places: Range<usize>) -> bool {
        let is_same_kind = self.kind == other.kind;
        let mut start = 0;
        places.into_iter().all(|place| {
            start = self.place_from(start, other.timestamps[place]);
            start < self.length
                && self.timestamps[start] == other.timestamps[place]
                && if is_same_kind {
                    self.values[start] == other.values[place]
                } else {
                    self.point(start).value.to_bits() == other.point(place).value.to_bits()
                }
        })
    }

    /// The place of the first timestamp, from the one at `start` on, that is not before this one.
    fn place_from(&self, start: usize, timestamp: i64) -> usize {
        // Points often repeat or follow one another.
        let rest = &self.timestamps()[start..];
        let near = rest.iter().take(2).position(|&other| other >= timestamp);
        start + near.unwrap_or_else(|| rest.partition_point(|&earlier| earlier < timestamp))
    }

    /// Merges `late` points into these, and leaves the first [`RUN_POINTS`].
    pub(super) fn merge_first(&mut self, late: &Run) {
        let before = self.clone();
        let mut is_first = true;
        let mut each = |run: &Run| {
            if mem::take(&mut is_first) {
                self.clone_from(run);
            }
        };
        let mut merged = Merged::new(before.kind, RUN_POINTS, &mut each);
        merged.merge(&before, late, 0..late.len());
        merged.finish();
    }
}

/// Points on their way into runs of at most `most` points, each of which is handed to `each` as
/// soon as it is complete.
pub struct Merged<'each> {
    run: Run,
    /// The kind that each run begins with.
    kind: Kind,
    most: usize,
    each: &'each mut dyn FnMut(&Run),
}

impl Merged<'_> {
    pub fn new(kind: Kind, most: usize, each: &mut dyn FnMut(&Run)) -> Merged<'_> {
        let mut run = Run::new();
        run.clear(kind);
        Merged {
            run,
            kind,
            most,
            each,
        }
    }

    /// Appends the points of a run and those of `late` at these places by ascending timestamp. A
    /// late point replaces the one at its timestamp.
    ///
    /// Linear in the points; logarithmic for each late one.
    pub fn merge(&mut self, run: &Run, late: &Run, places: Range<usize>) {
        let mut start = 0;
        for place in places {
            let timestamp = late.timestamps[place];
            let end = run.place_from(start, timestamp);
            self.extend(run, start..end);
            self.extend(late, place..place + 1);
            let is_replaced = run.timestamps().get(end) == Some(&timestamp);
            start = end + usize::from(is_replaced);
        }
        self.extend(run, start..run.len());
    }

    fn extend(&mut self, other: &Run, mut range: Range<usize>) {
        while !range.is_empty() {
            let middle = range.end.min(range.start + self.most - self.run.len());
            self.run.extend(other, range.start..middle);
            range.start = middle;
            if self.run.len() == self.most {
                self.hand_out();
            }
        }
    }

    /// Hands out the last run.
    pub fn finish(mut self) {
        if !self.run.is_empty() {
            self.hand_out();
        }
    }

    fn hand_out(&mut self) {
        (self.each)(&self.run);
        self.run.clear(self.kind);
    }
}

impl Kind {
    /// The kind of integers.
    pub const INTEGERS: Kind = Kind::Digits { decimals: 0 };

    /// The fewest decimals that leave few enough exceptions among these points, or bits.
    fn of_points(points: &[Point]) -> Kind {
        let most = exceptions_max(points.len()).min(points.len().saturating_sub(1));
        // How many points need so many decimals.
        let mut needed = [0; decimal::DECIMALS_MAX as usize + 1];
        let mut exceptions = points.len();
        let mut never = 0;
        for point in points {
            match decimal::decimals_of(point.value, 0) {
                Some(decimals) => needed[usize::from(decimals)] += 1,
                None => never += 1,
            }
            if never > most {
                return Kind::Bits;
            }
        }
        for (decimals, count) in (0..).zip(needed) {
            exceptions -= count;
            if exceptions <= most {
                return Kind::Digits { decimals };
            }
        }
        Kind::Bits
    }

    /// The kind of digits with the fewest decimals that keeps a value; of a value that none keeps,
    /// integers, among which it is an exception.
    pub fn of_first(value: f64) -> Kind {
        let decimals = decimal::decimals_of(value, 0).unwrap_or(0);
        Kind::Digits { decimals }
    }

    /// The double that a value of this kind is.
    #[inline]
    pub fn value(self, value: i64) -> f64 {
        match self {
            Kind::Digits { decimals } => decimal::value_of(value, decimals),
            Kind::Bits => f64::from_bits(value as u64),
        }
    }

    /// A double as a value of this kind, if it is one.
    #[inline]
    pub fn of_value(self, value: f64) -> Option<i64> {
        match self {
            Kind::Digits { decimals } => decimal::digits_of(value, decimals),
            Kind::Bits => Some(value.to_bits() as i64),
        }
    }
}

/// How many of so many points may be exceptions. Each takes nine bytes in a chunk: as many as this
/// take less than another decimal digit of all points, and far less than bits of all of them.
fn exceptions_max(points: usize) -> usize {
    points / 16 + 1
}

/// Whether a value among digits is the bits of a double.
#[inline]
pub fn is_exception(value: i64) -> bool {
    value.unsigned_abs() >= DIGITS_LIMIT as u64
}

/// The bits of `value`, if it can be one more exception beside so many, among so many points. The
/// bits of subnormal doubles and of some NaNs look like digits: these cannot.
#[cold]
pub fn exception_of(value: f64, exceptions: usize, points: usize) -> Option<i64> {
    let bits = value.to_bits() as i64;
    (is_exception(bits) && exceptions < exceptions_max(points)).then_some(bits)
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
        /// A reader sees each value as it was, in runs of one kind.
        #[test]
        fn a_run_that_is_read_is_of_one_kind(values in proptest::collection::vec(value(), 1..=RUN_POINTS)) {
            let points: Vec<Point> = (0..)
                .zip(&values)
                .map(|(timestamp, &value)| Point { timestamp, value })
                .collect();
            let whole = Run::of_points(&points);
            let mut read = Vec::new();
            while read.len() < points.len() {
                let mut run = whole.clone();
                run.keep(read.last().map(|_| read.len() as i64 - 1), i64::MAX);
                run.unify_kind();
                prop_assert!(!run.is_empty());
                read.extend(run.values().iter().map(|&value| run.kind().value(value).to_bits()));
            }
            prop_assert!(values.iter().map(|value| value.to_bits()).eq(read));
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
