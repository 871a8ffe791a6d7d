//! A series as queries see it: values at equal steps.

use std::mem;

use super::aggregation::Aggregation;
use crate::config::Config;

/// Values at equal steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What is shown. At first the key.
    pub name: String,
    /// What was shown before it had an alias, which its tags still tell; empty if it has none.
    pub unaliased: String,
    /// What it was made from, as Graphite writes it (there `pathExpression`), at first the path in the
    /// target: functions that combine series name their result after these.
    pub expression: String,
    /// When the first step begins, in seconds since 1970.
    pub start: i64,
    /// Seconds of a step, at least 1.
    pub step: i64,
    /// The value of each step; NaN where there is none.
    pub values: Vec<f64>,
    /// How several steps become one. What functions compute is averaged, unless they say else.
    pub consolidation: Aggregation,
}

impl Series {
    /// What a series counts for at least where many are kept, however few its values: to order so many
    /// that they fill the memory of a query, or to drop them, takes a millisecond or two.
    pub const KEPT_BYTES_MIN: usize = 1 << 9;

    /// Names it, and what it was made from, after the function that was applied to it, with what follows it
    /// between the parentheses.
    pub fn rename(&mut self, function: &str, arguments: &str) {
        self.name = bounded([function, "(", &self.name, arguments, ")"].concat());
        self.expression.clone_from(&self.name);
    }

    /// Gives it an alias.
    pub fn alias(&mut self, alias: String) {
        let before = mem::replace(&mut self.name, bounded(alias));
        if self.unaliased.is_empty() {
            self.unaliased = before;
        }
    }

    /// Makes its steps as long as `step`, if this is a multiple of them. The last one may be made of
    /// fewer than the others.
    pub fn consolidate(&mut self, step: i64) {
        if let Some(values) = self.consolidated(step) {
            (self.values, self.step) = (values, step);
        }
    }

    /// Its values if its steps were as long as `step`; `None` if they are.
    pub fn consolidated(&self, step: i64) -> Option<Vec<f64>> {
        let steps = usize::try_from(step / self.step).unwrap_or(usize::MAX);
        let rows = || self.values.chunks(steps);
        (steps > 1).then(|| rows().map(|row| self.consolidation.of(row)).collect())
    }

    /// Makes its steps so long that there are at most `most_steps`, which is 1 or more.
    pub fn shorten(&mut self, most_steps: i64) {
        let steps = i64::try_from(self.values.len()).unwrap_or(i64::MAX);
        self.consolidate(self.step.saturating_mul((steps - 1) / most_steps + 1));
    }

    /// When a step begins; past the last one, when that ends.
    pub fn time(&self, step: usize) -> i64 {
        let seconds = (step as i64).saturating_mul(self.step);
        self.start.saturating_add(seconds)
    }

    /// Bytes of memory that it takes, or [`KEPT_BYTES_MIN`](Self::KEPT_BYTES_MIN) if that is more.
    pub fn kept_bytes(&self) -> usize {
        let values = self.values.capacity() * size_of::<f64>();
        let names = self.name.capacity() + self.unaliased.capacity();
        let texts = names + self.expression.capacity();
        (size_of::<Series>() + texts + values).max(Series::KEPT_BYTES_MIN)
    }
}

/// `name`, cut to the most bytes that a name may have.
pub fn bounded(mut name: String) -> String {
    let length = beginning(&name, Config::NAME_BYTES_MAX).len();
    if length < name.len() {
        name.truncate(length);
        name.push('…');
    }
    name
}

/// The characters of `text` within its first so many bytes.
pub fn beginning(text: &str, bytes: usize) -> &str {
    let mut ends = (0..=bytes.min(text.len())).rev();
    let end = ends.find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}
