//! From points to steps: how long a step is, and what value it has.

use super::aggregation::{Aggregation, Tally};
use super::number::sorted;
use super::window::Window;
use crate::config::TimestampUnit;
use crate::store::Run;

/// The lengths of steps in seconds, from which a query takes one: the shortest that fits. Past the last
/// one, they double.
const LADDER: [i64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800,
];

/// The interval of series that do not show theirs: a minute, as in Graphite's own configuration.
const UNKNOWN_INTERVAL: i64 = 60;

/// All steps that there are, up to one that is longer than all years.
pub fn ladder() -> impl Iterator<Item = i64> {
    let last = LADDER[LADDER.len() - 1];
    let doubled = (1..20).map(move |times| last << times);
    LADDER.into_iter().chain(doubled)
}

/// The seconds between two points, as a rule: the median. `None` if there are not two.
pub fn interval_of(timestamps: &[i64], unit: TimestampUnit) -> Option<i64> {
    let pairs = timestamps.windows(2);
    let intervals = pairs.map(|pair| pair[1].saturating_sub(pair[0]));
    let interval = median(intervals.collect())?;
    let per_second = unit.per_second();
    // Clocks are not exact.
    Some(interval.saturating_add(per_second / 2) / per_second)
}

/// The interval of several series, as a rule.
pub fn common_interval(intervals: Vec<i64>) -> i64 {
    median(intervals).unwrap_or(UNKNOWN_INTERVAL)
}

/// The lower median.
fn median(numbers: Vec<i64>) -> Option<i64> {
    let middle = numbers.len().checked_sub(1)? / 2;
    Some(sorted(numbers)[middle])
}

/// The points that belong to the steps of a window: those past the first timestamp, all if there is none, and
/// up to the second.
pub fn range_of(window: &Window, unit: TimestampUnit) -> (Option<i64>, i64) {
    let before = |time: i64| i128::from(time) * i128::from(unit.per_second()) - 1;
    let bounded = |timestamp: i128| timestamp.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
    let after = Some(before(window.start())).filter(|&after| after >= i64::MIN.into());
    (after.map(bounded), bounded(before(window.end())))
}

/// The steps of a window, to which points are added by ascending timestamp.
pub struct Steps {
    consolidation: Aggregation,
    /// The values of the steps so far.
    values: Vec<f64>,
    /// The first timestamp of the first step, and how many a step has. Times in seconds may be out of the
    /// range of timestamps.
    first: i128,
    width: i128,
    /// The step that points are added to, and the last timestamp within it, as far as there is one.
    step: usize,
    step_last: i64,
    /// The points of this step so far, and how many there are, those of no value included.
    tally: Tally,
    points: usize,
}

impl Steps {
    /// The steps of a window, without any points, whose timestamps count this unit.
    pub fn new(window: &Window, unit: TimestampUnit) -> Steps {
        let per_second = i128::from(unit.per_second());
        let mut steps = Steps {
            consolidation: window.consolidation,
            values: vec![f64::NAN; window.steps() as usize],
            first: i128::from(window.start()) * per_second,
            width: i128::from(window.step) * per_second,
            step: 0,
            step_last: 0,
            tally: Tally::default(),
            points: 0,
        };
        let first_timestamp = i128::from(i64::MIN).max(steps.first);
        steps.begin((first_timestamp - steps.first) / steps.width);
        steps
    }

    /// Bytes that the values take.
    pub fn bytes(&self) -> usize {
        self.values.len() * size_of::<f64>()
    }

    /// Adds points of [its range](range_of), which come after those that were added.
    pub fn add(&mut self, run: &Run) {
        let kind = run.kind();
        let (mut timestamps, mut values) = (run.timestamps(), run.values());
        while let (Some(&first), Some(&last)) = (timestamps.first(), timestamps.last()) {
            if first > self.step_last {
                let past = i128::from(first) - i128::from(self.step_last) - 1;
                // Mostly it is the next step, and a division takes long.
                let steps = if past < self.width {
                    0
                } else {
                    past / self.width
                };
                self.finish();
                self.begin(self.step as i128 + 1 + steps);
            }
            let is_past = |&timestamp: &i64| timestamp > self.step_last;
            let length = match is_past(&last) {
                true => timestamps.iter().position(is_past).unwrap_or(0),
                false => timestamps.len(),
            };
            let (now, later) = values.split_at(length);
            self.tally_all(now.iter().map(|&value| kind.value(value)));
            self.points += length;
            (timestamps, values) = (&timestamps[length..], later);
        }
    }

    #[inline(always)]
    fn tally_all(&mut self, values: impl Iterator<Item = f64>) {
        let values = values.filter(|value| !value.is_nan());
        match self.consolidation {
            // It is known here which one it is: so there is no choice for each value.
            Aggregation::Average => {
                values.for_each(|value| Aggregation::Average.add(&mut self.tally, value))
            }
            other => values.for_each(|value| other.add(&mut self.tally, value)),
        }
    }

    /// The values, after the last point.
    pub fn into_values(mut self) -> Vec<f64> {
        self.finish();
        self.values
    }

    /// Goes to a step.
    fn begin(&mut self, step: i128) {
        self.step = step as usize;
        let last = self.first + (step + 1) * self.width - 1;
        self.step_last = i64::try_from(last).unwrap_or(i64::MAX);
        (self.tally, self.points) = (Tally::default(), 0);
    }

    /// Completes the value of this step.
    fn finish(&mut self) {
        if let Some(value) = self.values.get_mut(self.step) {
            *value = self.consolidation.result(&self.tally, self.points);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parameters::options;
    use crate::store::Store;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const UNITS: [TimestampUnit; 4] = [
        TimestampUnit::Seconds,
        TimestampUnit::Milliseconds,
        TimestampUnit::Microseconds,
        TimestampUnit::Nanoseconds,
    ];

    /// All points of a store, consolidated as anyone would write it.
    fn naive(points: &[(i64, f64)], window: &Window, unit: TimestampUnit) -> Vec<f64> {
        let mut rows: BTreeMap<i128, Vec<f64>> = BTreeMap::new();
        for &(timestamp, value) in points {
            let second = i128::from(timestamp).div_euclid(unit.per_second().into());
            let step = (second - i128::from(window.start())).div_euclid(window.step.into());
            rows.entry(step).or_default().push(value);
        }
        let row = |step: i64| {
            rows.get(&step.into())
                .map_or(f64::NAN, |row| window.consolidation.of(row))
        };
        (0..window.steps()).map(row).collect()
    }

    /// The same through a store and runs.
    fn ours(points: &[(i64, f64)], window: &Window, unit: TimestampUnit) -> Vec<f64> {
        let mut store = Store::new();
        for &(timestamp, value) in points {
            store.put("k", timestamp, value);
        }
        let mut snapshot = store.snapshot_all();
        let mut steps = Steps::new(window, unit);
        let (after, until) = range_of(window, unit);
        if let Ok(Some(position)) = snapshot.position_of(&store, "k") {
            let mut run = Run::new();
            assert_eq!(snapshot.read_series(&store, position, after), Ok(Some("k")));
            while snapshot.next_run_until(&store, until, &mut run) == Ok(true) {
                steps.add(&run);
            }
        }
        steps.into_values()
    }

    fn points(unit: TimestampUnit, time: i64) -> impl Strategy<Value = Vec<(i64, f64)>> {
        let near = time.saturating_mul(unit.per_second());
        let interval = prop_oneof![0..3i64, Just(unit.per_second()), 0..200 * unit.per_second()];
        let value = prop_oneof![
            4 => (-999i64..999).prop_map(|digits| digits as f64 / 100.0),
            1 => any::<f64>(),
            1 => Just(f64::NAN),
        ];
        let timestamps =
            (Just(near), interval, 0..400usize).prop_flat_map(move |(near, interval, count)| {
                let jitter = prop_oneof![4 => Just(0), 1 => 0..=interval];
                let extreme = prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()];
                let timestamp = (0..400i64, jitter).prop_map(move |(place, jitter)| {
                    near.saturating_add((place - 200) * interval)
                        .saturating_add(jitter)
                });
                proptest::collection::vec(prop_oneof![50 => timestamp, 1 => extreme], count)
            });
        (timestamps, proptest::collection::vec(value, 400)).prop_map(|(timestamps, values)| {
            // The last value at a timestamp stays.
            let points: BTreeMap<i64, f64> = timestamps.into_iter().zip(values).collect();
            points.into_iter().collect()
        })
    }

    proptest! {
        #[test]
        fn steps_are_those_of_a_plain_loop(
            (unit, window, points) in (0..4usize, prop_oneof![
                4 => -2_000i64..2_000,
                1 => Just(-62_135_596_800i64),
                1 => Just(253_402_300_799i64),
                1 => Just(i64::MAX / 1_000_000_000),
                1 => Just(i64::MIN / 1_000_000_000),
                1 => -62_135_596_800i64..253_402_300_799,
            ], 0..options("consolidation").count(), 0..20usize, 0..2_000i64).prop_flat_map(|(unit, from, consolidation, step, length)| {
                let step = ladder().nth(step).unwrap();
                let window = Window {
                    from,
                    until: from + length.min(300 * step),
                    step,
                    consolidation: options("consolidation").nth(consolidation).unwrap().1,
                };
                (Just(UNITS[unit]), Just(window), points(UNITS[unit], from))
            })
        ) {
            let (ours, naive) = (ours(&points, &window, unit), naive(&points, &window, unit));
            let bits = |values: Vec<f64>| values.iter().map(|value| value.to_bits()).collect::<Vec<u64>>();
            prop_assert_eq!(bits(ours), bits(naive));
        }
    }

    #[test]
    fn steps_without_points_are_skipped() {
        let second = 1_000_000_000;
        let before_all = i64::MIN / second - 5;
        for (unit, from, step, timestamps) in [
            (TimestampUnit::Seconds, -1, 1, vec![0, 2, 3, 6]),
            (TimestampUnit::Seconds, 0, 2, vec![2, 6, 7, 12]),
            (
                TimestampUnit::Nanoseconds,
                before_all,
                1,
                vec![i64::MIN, i64::MIN + 1, i64::MIN + 3 * second],
            ),
            (
                TimestampUnit::Nanoseconds,
                i64::MAX / second - 3,
                2,
                vec![i64::MAX - 3 * second, i64::MAX],
            ),
        ] {
            let window = Window {
                from,
                until: from + 10,
                step,
                consolidation: Aggregation::Sum,
            };
            let points: Vec<(i64, f64)> =
                timestamps.into_iter().zip([1.0, 2.0, 4.0, 8.0]).collect();
            let (ours, naive) = (ours(&points, &window, unit), naive(&points, &window, unit));
            assert_eq!(format!("{ours:?}"), format!("{naive:?}"));
            assert!(ours.iter().any(|value| !value.is_nan()));
        }
    }

    #[test]
    fn the_ladder_goes_up_past_all_times() {
        let steps: Vec<i64> = ladder().collect();
        assert!(steps.is_sorted_by(|one, next| one < next));
        assert!(steps.last() > Some(&(253_402_300_799 + 62_135_596_800)));
    }

    #[test]
    fn a_time_before_all_timestamps_has_no_points() {
        let window = Window {
            from: -60_000_000_000,
            until: -50_000_000_000,
            step: 10_000_000,
            consolidation: Aggregation::Average,
        };
        let points = [(i64::MIN, 1.0), (0, 1.0), (i64::MAX, 1.0)];
        let values = ours(&points, &window, TimestampUnit::Nanoseconds);
        assert!(values.iter().all(|value| value.is_nan()), "{values:?}");
    }

    #[test]
    fn intervals_are_medians_to_the_second() {
        for (unit, timestamps, expected) in [
            (TimestampUnit::Seconds, vec![], None),
            (TimestampUnit::Seconds, vec![5], None),
            (TimestampUnit::Seconds, vec![0, 10, 20, 30, 1_000], Some(10)),
            (TimestampUnit::Seconds, vec![0, 10, 20, 80, 140], Some(10)),
            (
                TimestampUnit::Milliseconds,
                vec![0, 10_003, 20_001],
                Some(10),
            ),
            (TimestampUnit::Milliseconds, vec![0, 499], Some(0)),
            (
                TimestampUnit::Nanoseconds,
                vec![i64::MIN, i64::MAX],
                Some(9_223_372_036),
            ),
            (
                TimestampUnit::Seconds,
                vec![i64::MIN, i64::MAX],
                Some(i64::MAX),
            ),
        ] {
            let mut store = Store::new();
            for timestamp in timestamps {
                store.put("k", timestamp, 0.5);
            }
            let mut run = Run::new();
            store.snapshot_all().next_run(&store, &mut run).unwrap();
            assert_eq!(interval_of(run.timestamps(), unit), expected);
        }
    }
}
