//! Functions that make one series of several.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{Function, Gather, Operation, SERIES, multiple, optional, required};
use crate::query::aggregation::{Aggregation, Tally};
use crate::query::arguments::{Arguments, Kind, Literal, Parameter, Value};
use crate::query::series::{Series, bounded};

pub const TABLE: &[Function] = &[
    Function {
        alias: Some("avg"),
        ..combine(
            "averageSeries",
            |_| total(Aggregation::Average, "average"),
            "Averages series.",
        )
    },
    Function::new(
        "groupByNode",
        "Combine",
        Operation::Gather(|arguments| Box::new(Groups::by_node(arguments))),
        &[
            SERIES,
            required("nodeNum", Kind::Node),
            optional(
                "callback",
                Kind::AggregationOfSeries,
                Literal::Text("average"),
            ),
        ],
        "Combines the series that have the same text in a node, and names them after it.",
    ),
    Function {
        alias: Some("sum"),
        ..combine(
            "sumSeries",
            |_| total(Aggregation::Sum, "sum"),
            "Adds series.",
        )
    },
];

const SERIES_LISTS: Parameter = multiple(required("seriesLists", Kind::Series));

const fn combine(
    name: &'static str,
    gather: fn(&Arguments) -> Box<dyn Gather>,
    description: &'static str,
) -> Function {
    Function::new(
        name,
        "Combine",
        Operation::Gather(gather),
        &[SERIES_LISTS],
        description,
    )
}

/// All series as one.
fn total(aggregation: Aggregation, called: &'static str) -> Box<dyn Gather> {
    Box::new(Groups::new(aggregation, called, Value::None))
}

/// Series that are made one of, by what they have in common.
#[derive(Debug)]
pub struct Groups {
    aggregation: Aggregation,
    /// What the aggregation is called in names.
    called: String,
    /// The node or tag by which series are grouped and named, if not all are one.
    node: Value,
    /// Where in `groups` those of a name are.
    places: HashMap<String, usize, foldhash::fast::RandomState>,
    groups: VecDeque<Group>,
    kept_bytes: usize,
}

impl Groups {
    fn new(aggregation: Aggregation, called: &str, node: Value) -> Groups {
        Groups {
            aggregation,
            called: called.into(),
            node,
            places: HashMap::default(),
            groups: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    fn by_node(arguments: &Arguments) -> Groups {
        let called = match arguments.text(2) {
            // The only one that is also the name of a function.
            "avg" => "average",
            called => called,
        };
        Groups::new(arguments.aggregation(2), called, arguments.get(1).clone())
    }
}

impl Gather for Groups {
    fn add(&mut self, mut series: Series, step: i64) {
        series.consolidate(step);
        let name = match &self.node {
            Value::None => String::new(),
            node => super::alias::key(&series.name, std::slice::from_ref(node)),
        };
        let place = match self.places.get(&name) {
            Some(place) => *place,
            None => {
                self.kept_bytes += size_of::<Group>() + 3 * name.len();
                self.places.insert(name.clone(), self.groups.len());
                self.groups.push_back(Group::new(name, &series));
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[place];
        let before = group.kept_bytes();
        group.add(self.aggregation, series);
        self.kept_bytes += group.kept_bytes() - before;
    }

    fn next(&mut self) -> Option<Series> {
        let group = self.groups.pop_front()?;
        self.kept_bytes = self.kept_bytes.saturating_sub(group.kept_bytes());
        let is_named = !matches!(self.node, Value::None);
        Some(group.series(self.aggregation, &self.called, is_named))
    }

    fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }
}

/// Series of which one is made.
#[derive(Debug)]
struct Group {
    name: String,
    start: i64,
    step: i64,
    /// How many series there are.
    count: usize,
    /// What they were made from, each once, with commas; cut when it is long.
    expressions: String,
    known: HashSet<String, foldhash::fast::RandomState>,
    tallies: Vec<Tally>,
    /// The values of each series, if tallies are not enough.
    rows: Vec<Vec<f64>>,
}

impl Group {
    fn new(name: String, first: &Series) -> Group {
        Group {
            name,
            start: first.start,
            step: first.step,
            count: 0,
            expressions: String::new(),
            known: HashSet::default(),
            tallies: Vec::new(),
            rows: Vec::new(),
        }
    }

    fn add(&mut self, aggregation: Aggregation, series: Series) {
        self.start = self.start.min(series.start);
        self.step = self.step.max(series.step);
        self.count += 1;
        if self.expressions.len() < Series::NAME_BYTES_MAX
            && self.known.insert(series.expression.clone())
        {
            let comma = if self.expressions.is_empty() { "" } else { "," };
            self.expressions += comma;
            self.expressions += &series.expression;
        }
        if aggregation.needs_all() {
            self.rows.push(series.values);
            return;
        }
        if self.tallies.len() < series.values.len() {
            self.tallies.resize(series.values.len(), Tally::default());
        }
        for (tally, value) in self.tallies.iter_mut().zip(series.values) {
            if !value.is_nan() {
                aggregation.add(tally, value);
            }
        }
    }

    /// The series that it has become, under its own name or that of the aggregation.
    fn series(self, aggregation: Aggregation, called: &str, is_named: bool) -> Series {
        let expression = bounded(format!("{called}Series({})", self.expressions));
        let of_row = |at: usize| {
            let values = self
                .rows
                .iter()
                .map(|row| row.get(at).copied().unwrap_or(f64::NAN));
            aggregation.of(&values.collect::<Vec<f64>>())
        };
        let length = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let values = match aggregation.needs_all() {
            true => (0..length).map(of_row).collect(),
            false => self
                .tallies
                .iter()
                .map(|tally| aggregation.result(tally, self.count))
                .collect(),
        };
        Series {
            name: if is_named {
                self.name
            } else {
                expression.clone()
            },
            expression,
            start: self.start,
            step: self.step,
            values,
            ..Series::default()
        }
    }

    fn kept_bytes(&self) -> usize {
        let row_bytes = |row: &Vec<f64>| row.capacity() * size_of::<f64>() + size_of::<Vec<f64>>();
        self.tallies.capacity() * size_of::<Tally>()
            + self.rows.last().map_or(0, row_bytes) * self.rows.len()
            + 2 * self.expressions.capacity()
    }
}
