//! A series as queries see it: values at equal steps.

/// Values at equal steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What is shown. At first the key.
    pub name: String,
    /// What it was made from, as Graphite writes it: functions that combine series name their result
    /// after these.
    pub expression: String,
    /// When the first step begins, in seconds since 1970.
    pub start: i64,
    /// Seconds of a step, at least 1.
    pub step: i64,
    /// The value of each step; NaN where there is none.
    pub values: Vec<f64>,
}
