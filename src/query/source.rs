//! Where series come from: the paths of a query, and what a snapshot holds of the series that they
//! stand for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use super::budget::Effort;
use super::evaluate::Next;
use super::pattern::Pattern;
use super::series::Series;
use super::steps::{Steps, common_interval, interval_of, range_of};
use super::target::{Call, Expression};
use super::text::has_any;
use super::window::Window;
use super::{look_at_clock, too_much};
use crate::config::{Config, TimestampUnit};
use crate::http::{Failure, Halt};
use crate::store::{Run, Snapshot, Store};
use crate::turn::Turn;

/// Series, and points of each, from which the interval is told: some 20 µs.
const SERIES_LOOKED_AT: usize = 16;
const POINTS_LOOKED_AT: usize = 64;

/// How far before the range of a query the interval is looked for, if the range has too few points.
const LOOK_BACK_SECONDS: i64 = 3_600;

/// What a key takes beside its bytes while the keys of a path are put in order.
const KEY_BYTES: usize = 64;

/// The series of all paths of a query, as they are in one snapshot.
pub struct Source {
    snapshot: Snapshot,
    unit: TimestampUnit,
    /// By their place in the query.
    paths: Vec<Path>,
    /// How many of them are read, or are about to be.
    paths_begun: usize,
    /// What the query holds.
    pub held: Held,
}

/// The series that a path stands for.
struct Path {
    text: String,
    /// What they are looked for with, unless it is the key of one.
    pattern: Option<Pattern>,
    /// Those that are found and not in order yet.
    found: Found,
    /// Positions in the snapshot, by ascending key.
    positions: Vec<u64>,
}

/// Keys with their positions. The lowest comes out first.
type Found = BinaryHeap<Reverse<(Box<str>, u64)>>;

/// How far the series of a path are read.
pub struct Cursor {
    /// Which path.
    path: usize,
    window: Window,
    /// Which of its series comes next.
    next: usize,
    /// The key of the one before, and what is read of it, if that is not all.
    reading: Option<(String, Steps)>,
}

/// Bytes that a query holds, and how many it may.
pub struct Held {
    bytes: usize,
    limit: usize,
}

impl Held {
    /// Nothing is held yet.
    pub fn new(limit: usize) -> Held {
        Held { bytes: 0, limit }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many more bytes may be held.
    pub fn room_bytes(&self) -> usize {
        self.limit.saturating_sub(self.bytes)
    }

    /// Counts that what took `before` bytes takes `after`, whether it is too much or not.
    pub fn count(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes.saturating_sub(before) + after;
    }

    /// The same.
    ///
    /// # Errors
    ///
    /// If the query holds more than before, and too much.
    pub fn replace(&mut self, before: usize, after: usize) -> Result<(), Failure> {
        self.count(before, after);
        if self.bytes <= self.limit || after <= before {
            return Ok(());
        }
        Err(too_much(format!(
            "the query needs more than {} bytes of memory at once: ask for fewer series, or fewer \
             points of each",
            self.limit
        )))
    }
}

impl Source {
    /// A source of the series that `snapshot` holds, whose timestamps count `unit`.
    pub fn new(snapshot: Snapshot, unit: TimestampUnit, held: Held) -> Source {
        Source {
            snapshot,
            unit,
            paths: Vec::new(),
            paths_begun: 0,
            held,
        }
    }

    /// Whether what is still to read is lost.
    pub fn is_cut_off(&self) -> bool {
        self.snapshot.is_cut_off()
    }

    /// Takes the paths out of an expression, before any series is looked for, and counts what it holds.
    ///
    /// # Errors
    ///
    /// If the query has too many paths, or holds too much.
    pub fn take_paths(
        &mut self,
        expression: &mut Expression,
        store: &Store,
    ) -> Result<(), Failure> {
        let (text, pattern) = match expression {
            Expression::Path { text, pattern } => (mem::take(text), mem::take(pattern)),
            Expression::Call(call) => {
                let bytes = size_of::<Call>() + call.arguments.allocated_bytes();
                self.held.replace(0, bytes)?;
                let mut inputs = call.inputs.iter_mut();
                return inputs.try_for_each(|input| self.take_paths(input, store));
            }
        };
        let most = Config::PATHS_MAX;
        if self.paths.len() == most {
            return Err(format!("a query has at most {most} paths").into());
        }
        let (mut bytes, mut positions) = (2 * size_of::<Path>() + text.len(), Vec::new());
        let pattern = Some(pattern).filter(|_| has_any(&text, b"*?[{\\"));
        match &pattern {
            Some(pattern) => bytes += pattern.allocated_bytes,
            None => positions.extend(self.snapshot.position_of(store, &text)?),
        }
        self.paths.push(Path {
            text,
            pattern,
            found: Found::new(),
            positions,
        });
        self.held.replace(0, bytes)
    }

    /// Before the first series of the next path, which are to be read over a window: the paths come in the
    /// order in which they were added.
    pub fn next_path(&mut self, window: &Window) -> Cursor {
        self.paths_begun += 1;
        Cursor {
            path: self.paths_begun - 1,
            window: window.clone(),
            next: 0,
            reading: None,
        }
    }

    /// Looks for the series of all paths, and puts them in the order of their keys, as Graphite does.
    ///
    /// # Errors
    ///
    /// If the time is up, the snapshot cannot be read any more, or they are too many.
    pub fn find(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let paths = self.paths.iter_mut();
        let mut patterns: Vec<(&Pattern, &mut Found)> = paths
            .filter_map(|path| Some((path.pattern.as_ref()?, &mut path.found)))
            .collect();
        let efforts = patterns.iter().map(|(pattern, _)| pattern.effort);
        let effort = efforts.fold(Effort::default(), Effort::with);
        while !patterns.is_empty()
            && let Some(keys) = self.snapshot.next_keys(turn.store, Effort::KEYS_PER_LOOK)?
        {
            let mut left = Effort::PER_LOOK;
            for (position, key) in keys {
                left = left.saturating_sub(effort.of(key.len())?);
                for (pattern, found) in &mut patterns {
                    if pattern.matches(key) {
                        self.held.replace(0, KEY_BYTES + key.len())?;
                        found.push(Reverse((key.into(), position)));
                    }
                }
                if left == 0 {
                    break;
                }
            }
            look_at_clock(turn.allowance)?;
        }
        for path in &mut self.paths {
            while let Some(Reverse((key, position))) = path.found.pop() {
                path.positions.push(position);
                self.held.replace(KEY_BYTES + key.len(), size_of::<u64>())?;
                if path.positions.len().is_multiple_of(Effort::KEYS_PER_LOOK) {
                    look_at_clock(turn.allowance)?;
                }
            }
        }
        Ok(())
    }

    /// The seconds between two points of the series that are found, as a rule: from a look at the first
    /// points of some of them in a window or, if it has less than two, in the time before it too.
    ///
    /// # Errors
    ///
    /// If the snapshot cannot be read any more.
    pub fn interval(&mut self, store: &Store, window: &Window) -> Result<i64, Failure> {
        let count: usize = self.paths.iter().map(|path| path.positions.len()).sum();
        let looked_at = count.min(SERIES_LOOKED_AT);
        let mut intervals = Vec::new();
        for number in 0..looked_at {
            let mut positions = self.paths.iter().flat_map(|path| &path.positions);
            let Some(&position) = positions.nth(number * count / looked_at) else {
                break;
            };
            for seconds_before in [0, LOOK_BACK_SECONDS] {
                let from = window.from - seconds_before;
                let timestamps =
                    self.first_timestamps(store, position, &Window { from, ..*window })?;
                if let Some(interval) = interval_of(&timestamps, self.unit) {
                    intervals.push(interval);
                    break;
                }
            }
        }
        Ok(common_interval(intervals))
    }

    /// Those of the first points of a series in a window: as many, however the series is split into runs.
    fn first_timestamps(
        &mut self,
        store: &Store,
        position: u64,
        window: &Window,
    ) -> Result<Vec<i64>, Failure> {
        let (mut timestamps, mut run) = (Vec::new(), Run::new());
        let (after, until) = range_of(window, self.unit);
        if self.snapshot.read_series(store, position, after)?.is_some() {
            while timestamps.len() < POINTS_LOOKED_AT
                && self.snapshot.next_run_until(store, until, &mut run)?
            {
                timestamps.extend_from_slice(run.timestamps());
            }
            timestamps.truncate(POINTS_LOOKED_AT);
        }
        Ok(timestamps)
    }

    /// The next series of a path, or `None` after the last.
    ///
    /// # Errors
    ///
    /// If the time is up, the snapshot cannot be read any more, or the query holds too much.
    pub fn next(&mut self, cursor: &mut Cursor, turn: &mut Turn) -> Next {
        let (after, until) = range_of(&cursor.window, self.unit);
        while cursor.reading.is_none() {
            let path = &self.paths[cursor.path];
            let Some(&position) = path.positions.get(cursor.next) else {
                return Ok(None);
            };
            cursor.next += 1;
            match self.snapshot.read_series(turn.store, position, after)? {
                Some(key) => {
                    let steps = Steps::new(&cursor.window, self.unit);
                    self.held.replace(0, steps.bytes())?;
                    cursor.reading = Some((key.into(), steps));
                }
                // It was removed meanwhile, and so may be many others.
                None => look_at_clock(turn.allowance)?,
            }
        }
        let mut run = Run::new();
        while let Some((_, steps)) = &mut cursor.reading
            && self.snapshot.next_run_until(turn.store, until, &mut run)?
        {
            steps.add(&run);
            look_at_clock(turn.allowance)?;
        }
        Ok(cursor.reading.take().map(|(name, steps)| {
            self.held.count(steps.bytes(), 0);
            Series {
                name,
                unaliased: String::new(),
                expression: self.paths[cursor.path].text.clone(),
                start: cursor.window.start(),
                step: cursor.window.step,
                values: steps.into_values(),
                consolidation: cursor.window.consolidation,
            }
        }))
    }
}
