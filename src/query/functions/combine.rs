//! Functions that make one series of several.

use std::collections::{HashMap, VecDeque};
use std::task::Poll;

use super::Gather;
use crate::config::Config;
use crate::query::aggregation::{Aggregation, Tally};
use crate::query::arguments::{Arguments, Value};
use crate::query::series::{Series, bounded};

/// All series as one.
pub fn all(aggregation: Aggregation, called: &'static str) -> Box<dyn Gather> {
    Box::new(Groups {
        aggregation,
        called: called.into(),
        ..Groups::default()
    })
}

/// Those that have the same text in a node as one.
pub fn by_node(arguments: &Arguments) -> Box<dyn Gather> {
    let called = match arguments.text(2) {
        // The only other name that is also one of a function.
        "avg" => "average",
        called => called.strip_suffix("Series").unwrap_or(called),
    };
    let node = match arguments.get(1) {
        Value::Text(tag) => Value::Text(tag.clone()),
        _ => Value::Integer(arguments.integer(1)),
    };
    Box::new(Groups {
        aggregation: arguments.aggregation(2),
        called: called.into(),
        node,
        ..Groups::default()
    })
}

/// Series in groups, each of which becomes one series.
#[derive(Default)]
pub struct Groups {
    aggregation: Aggregation,
    /// What the aggregation is called in names.
    called: String,
    /// The node or tag by which series are grouped and named, if not all are one.
    node: Value,
    /// Where in `groups` those of a name are.
    places: Places,
    /// What the series of a group have in common in their names, and the group; by their first series.
    groups: VecDeque<(String, Group)>,
    kept_bytes: usize,
}

impl Gather for Groups {
    fn add(&mut self, mut series: Series, step: i64) {
        series.consolidate(step);
        let name = match &self.node {
            Value::None => String::new(),
            node => super::alias::key(&series.name, std::slice::from_ref(node)),
        };
        let new = self.groups.len();
        let place = *self.places.entry(name.clone()).or_insert(new);
        if place == new {
            self.kept_bytes += Series::KEPT_BYTES_MIN + 3 * name.len();
            self.groups.push_back((name, Group::default()));
        }
        let (_, group) = &mut self.groups[place];
        let before = group.kept_bytes();
        group.add(self.aggregation, &series);
        self.kept_bytes += group.kept_bytes() - before;
    }

    fn next(&mut self) -> Poll<Option<Series>> {
        let Some((name, mut group)) = self.groups.pop_front() else {
            return Poll::Ready(None);
        };
        self.kept_bytes -= group.kept_bytes();
        if !group.compute(self.aggregation) {
            self.kept_bytes += group.kept_bytes();
            self.groups.push_front((name, group));
            return Poll::Pending;
        }
        let is_named = !matches!(self.node, Value::None);
        let name = is_named.then_some(name);
        Poll::Ready(Some(group.series(self.aggregation, &self.called, name)))
    }

    fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }
}

/// The places of names in a list, in the order in which they came first.
pub type Places = HashMap<String, usize, foldhash::fast::RandomState>;

/// Series that become one.
#[derive(Default)]
pub struct Group {
    start: i64,
    step: i64,
    /// How many series there are.
    count: usize,
    /// What they were made from, each once. When this is long, nothing is added.
    expressions: Vec<String>,
    tallies: Vec<Tally>,
    /// The values of each series, if tallies are not enough.
    rows: Vec<Vec<f64>>,
    /// Bytes that these count for, and those of the expressions.
    rows_bytes: usize,
    expressions_bytes: usize,
    /// The results of their first steps.
    computed: Vec<f64>,
}

/// How many values are aggregated between two looks at the clock, where all values of a step are needed.
const COMPUTED_AT_ONCE: usize = 4_096;

impl Group {
    /// Adds a series, whose step is that of all.
    pub fn add(&mut self, aggregation: Aggregation, series: &Series) {
        self.start = match self.count {
            0 => series.start,
            _ => self.start.min(series.start),
        };
        self.step = series.step;
        self.count += 1;
        self.add_expression(&series.expression);
        if aggregation.needs_all() {
            let bytes = size_of_val(&*series.values) + size_of::<Vec<f64>>();
            self.rows_bytes += bytes.max(Series::KEPT_BYTES_MIN);
            return self.rows.push(series.values.clone());
        }
        if self.tallies.len() < series.values.len() {
            self.tallies.resize(series.values.len(), Tally::default());
        }
        for (tally, value) in self.tallies.iter_mut().zip(&series.values) {
            if !value.is_nan() {
                aggregation.add(tally, *value);
            }
        }
    }

    /// Notes what a series was made from.
    fn add_expression(&mut self, expression: &String) {
        let is_full = self.expressions_bytes > Config::NAME_BYTES_MAX;
        if !is_full && !self.expressions.contains(expression) {
            self.expressions_bytes += expression.len() + 1;
            self.expressions.push(expression.clone());
        }
    }

    /// Computes some of the results that need all values of a step. Returns whether these were the last.
    fn compute(&mut self, aggregation: Aggregation) -> bool {
        let length = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let most = (COMPUTED_AT_ONCE / self.rows.len().max(1)).max(1);
        for at in (self.computed.len()..length).take(most) {
            let row = self.rows.iter();
            let row = row.map(|row| row.get(at).copied().unwrap_or(f64::NAN));
            self.computed
                .push(aggregation.of(&row.collect::<Vec<f64>>()));
        }
        self.computed.len() == length
    }

    /// The one series, when all is computed. Without a `name` it is named after the aggregation.
    pub fn series(self, aggregation: Aggregation, called: &str, name: Option<String>) -> Series {
        let expressions = self.expressions.join(",");
        let expression = bounded(format!("{called}Series({expressions})"));
        let values = match aggregation.needs_all() {
            true => self.computed,
            false => self
                .tallies
                .iter()
                .map(|tally| aggregation.result(tally, self.count))
                .collect(),
        };
        Series {
            name: name.unwrap_or_else(|| expression.clone()),
            expression,
            start: self.start,
            step: self.step,
            values,
            ..Series::default()
        }
    }

    fn kept_bytes(&self) -> usize {
        self.computed.capacity() * size_of::<f64>()
            + self.tallies.capacity() * size_of::<Tally>()
            + self.rows_bytes
            + self.expressions.capacity() * size_of::<String>()
            + self.expressions_bytes
    }
}
