//! All functions, against a table that graphite-web made (`tests/graphite/make_functions.py`).

use super::{Context, Function, Operation, Reason, Results, common_step, describe};
use crate::config::Config;
use crate::query::aggregation::Aggregation;
use crate::query::budget::Budget;
use crate::query::parameters::{Parameter, options};
use crate::query::series::Series;
use crate::query::target::{self, Call, Expression};
use crate::query::window::Window;
use proptest::prelude::*;
use std::task::Poll;

const TABLE: &str = include_str!("../../../tests/graphite/functions.tsv");

/// Series as they are stored, and a window over them.
struct World {
    series: Vec<Series>,
    window: Window,
}

/// Evaluates in the simplest way: all series at once.
impl World {
    fn evaluate(&self, expression: &Expression, window: &Window) -> Results {
        match expression {
            Expression::Path { .. } if window.steps() > Config::STEPS_MAX => Err("too long".into()),
            Expression::Path { text, pattern } => {
                let found = self
                    .series
                    .iter()
                    .filter(|series| pattern.matches(&series.name));
                Ok(found.map(|series| read(series, text, window)).collect())
            }
            Expression::Call(call) => self.call(call, window),
        }
    }

    fn call(&self, call: &Call, window: &Window) -> Results {
        let function = call.function;
        // As Graphite does, which reads the inputs over the window of the call first.
        let step = match call.inputs.first() {
            Some(input) => self
                .evaluate(input, window)?
                .iter()
                .map(|series| series.step)
                .max(),
            None => None,
        };
        let inner = (function.window)(window, &call.arguments, step.unwrap_or(1));
        let inner = inner.ok_or("there is no such window")?;
        let inputs = call.inputs.iter().map(|input| self.evaluate(input, &inner));
        let mut inputs = inputs.collect::<Result<Vec<_>, Reason>>()?;
        let steps = inputs.iter().flatten().map(|series| series.step);
        let step = steps.reduce(common_step).unwrap_or(1);
        let mut context = Context {
            function: function.name,
            arguments: &call.arguments,
            window,
            others: &[],
            room_bytes: 1 << 20,
        };
        match function.operation {
            Operation::Each(change) => {
                let mut series = inputs.remove(0);
                context.others = inputs.first().map_or(&[], Vec::as_slice);
                let kept = series.iter_mut().map(|series| change(series, &context));
                let kept = kept.collect::<Result<Vec<bool>, Reason>>()?;
                let pairs = series.into_iter().zip(kept);
                Ok(pairs
                    .filter_map(|(series, kept)| kept.then_some(series))
                    .collect())
            }
            Operation::First(count) => {
                let count = count(&call.arguments);
                Ok(inputs.remove(0).into_iter().take(count).collect())
            }
            Operation::Gather(gather) => {
                let mut gather = gather(&call.arguments);
                inputs
                    .into_iter()
                    .flatten()
                    .for_each(|series| gather.add(series, step));
                let next = || loop {
                    if let Poll::Ready(series) = gather.next() {
                        return series;
                    }
                };
                Ok(std::iter::from_fn(next).collect())
            }
            Operation::All(all) => all(inputs, &context),
        }
    }
}

/// A series over a window, as Graphite's files are read.
fn read(series: &Series, text: &str, window: &Window) -> Series {
    let window = Window {
        step: series.step,
        ..window.clone()
    };
    let value = |at: i64| {
        let step = window.start().saturating_sub(series.start) / series.step + at;
        let value = usize::try_from(step)
            .ok()
            .and_then(|step| series.values.get(step));
        value.copied().unwrap_or(f64::NAN)
    };
    Series {
        expression: text.into(),
        start: window.start(),
        values: (0..window.steps()).map(value).collect(),
        ..series.clone()
    }
}

fn values(text: &str) -> Vec<f64> {
    let value = |text: &str| match text {
        "-" => f64::NAN,
        text => text.parse().expect("a number"),
    };
    text.split_whitespace().map(value).collect()
}

/// The series of the table, in the order in which Graphite finds them, and the window.
fn world() -> World {
    let mut world = World {
        series: Vec::new(),
        window: Window {
            from: 0,
            until: 0,
            step: 1,
            consolidation: Aggregation::Average,
        },
    };
    for row in TABLE.lines() {
        let cells: Vec<&str> = row.split('\t').collect();
        match cells[..] {
            ["# window", from, until] => {
                world.window.from = from.parse().expect("a time");
                world.window.until = until.parse().expect("a time");
            }
            ["series", name, step, start, text] => world.series.push(Series {
                name: name.into(),
                step: step.parse().expect("seconds"),
                start: start.parse().expect("a time"),
                values: values(text),
                ..Series::default()
            }),
            _ => {}
        }
    }
    world
        .series
        .sort_by(|left, right| left.name.cmp(&right.name));
    world
}

/// Whether two values are the same, but for the order in which sums were made.
fn is_close(ours: f64, theirs: f64) -> bool {
    is_same(ours, theirs) || (ours - theirs).abs() <= 1e-12 * theirs.abs()
}

fn is_same(ours: f64, theirs: f64) -> bool {
    ours == theirs || (ours.is_nan() && theirs.is_nan())
}

/// What differs of a series from five cells of the table.
fn difference(ours: &Series, theirs: &[&str]) -> Option<String> {
    let (start, step) = (ours.start.to_string(), ours.step.to_string());
    let cells = [&ours.name, &ours.expression, &start, &step];
    let mut pairs = cells.iter().zip(theirs);
    if let Some((ours, theirs)) = pairs.find(|(ours, theirs)| ours != theirs) {
        return Some(format!("{ours}, in Graphite {theirs}"));
    }
    let theirs = values(theirs[4]);
    // The only sums that are made in another order.
    let compare = if ours.expression.contains("movingAverage") {
        is_close
    } else {
        is_same
    };
    let mut pairs = ours.values.iter().zip(&theirs);
    let agree =
        ours.values.len() == theirs.len() && pairs.all(|(ours, theirs)| compare(*ours, *theirs));
    (!agree).then(|| format!("{:?}, in Graphite {theirs:?}", ours.values))
}

#[test]
fn targets_are_evaluated_as_graphite_does() {
    let world = world();
    let mut differing = Vec::new();
    let mut count = 0;
    for row in TABLE.lines().filter_map(|row| row.strip_prefix("target\t")) {
        let (target, theirs) = row.split_once('\t').expect("a target and its result");
        count += 1;
        let ours = match target::parse(target, &mut Budget::default()) {
            Ok(expression) => world.evaluate(&expression, &world.window),
            Err(message) => Err(message.into()),
        };
        let theirs: Vec<&str> = theirs.split('\t').collect();
        let different = match (&ours, &theirs[..]) {
            (Err(_), ["error"]) => None,
            (Ok(ours), [""]) => {
                (!ours.is_empty()).then(|| format!("{} series, in Graphite none", ours.len()))
            }
            (Ok(ours), theirs) if theirs.len() == 5 * ours.len() => ours
                .iter()
                .zip(theirs.chunks(5))
                .find_map(|(ours, theirs)| difference(ours, theirs)),
            (Ok(ours), theirs) => Some(format!("{} series, in Graphite {theirs:?}", ours.len())),
            (Err(message), _) => Some(format!("refused: {message}")),
        };
        differing.extend(different.map(|different| format!("{target}: {different}")));
    }
    assert!(count >= 800, "only {count} targets");
    assert!(
        differing.is_empty(),
        "{} differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

#[test]
fn functions_are_described_as_graphite_does() {
    let mut count = 0;
    for row in TABLE
        .lines()
        .filter_map(|row| row.strip_prefix("function\t"))
    {
        let cells: Vec<&str> = row.split('\t').collect();
        let [name, group, parameters] = cells[..] else {
            panic!("a name, a group and parameters: {row}");
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let described = text(describe::one(name).expect(name));
        let expected = format!("\"group\":\"{group}\",\"params\":{parameters}}}");
        assert!(
            described.ends_with(&expected),
            "{described}\nin Graphite {expected}"
        );
        let all = text(describe::all());
        assert!(all.contains(&format!("\"{name}\":{described}")), "{name}");
        count += 1;
    }
    let names = super::TABLE.iter();
    let names: usize = names
        .map(|function| 1 + usize::from(function.alias.is_some()))
        .sum();
    assert_eq!(count, names);
}

#[test]
fn what_would_take_long_is_refused() {
    let window = world().window;
    let result = |target: &str, series: &Series, others: &[Series]| {
        let parsed = target::parse(target, &mut Budget::default()).expect(target);
        let Expression::Call(call) = parsed else {
            panic!("{target} is no call");
        };
        let context = Context {
            function: call.function.name,
            arguments: &call.arguments,
            window: &window,
            others,
            room_bytes: usize::MAX,
        };
        match call.function.operation {
            Operation::All(all) => all(vec![others.to_vec()], &context).map(drop),
            Operation::Each(each) => each(&mut series.clone(), &context).map(drop),
            _ => panic!("{target} is of another kind"),
        }
    };
    let named = |name: &str| Series {
        name: name.into(),
        step: 1,
        values: vec![1.0; 1 << 16],
        ..Series::default()
    };
    let (short, long) = (named("a"), named(&"a.".repeat(20_000)));
    for (target, series, count, is_answered) in [
        ("asPercent(a)", &short, 7, true),
        ("asPercent(a)", &short, 8, false),
        ("transformNull(a,0,b)", &short, 4, true),
        ("transformNull(a,0,b)", &short, 5, false),
        ("aliasSub(a,'a{200}','')", &short, 0, true),
        ("aliasSub(a,'a{200}','')", &long, 0, false),
    ] {
        let others = vec![short.clone(); count];
        let result = result(target, series, &others);
        assert_eq!(result.is_ok(), is_answered, "{target}: {result:?}");
    }
}

#[test]
fn signatures_have_kinds_that_there_are() {
    for function in super::TABLE.iter() {
        for (parameter, text) in function
            .parameters()
            .iter()
            .zip(function.signature.split(", "))
        {
            let multiple = if parameter.is_multiple { "*" } else { "" };
            let default = parameter.default.map(|default| format!(" = {default}"));
            let (name, kind) = (parameter.name, parameter.kind.name);
            let written = format!("{multiple}{name}: {kind}{}", default.unwrap_or_default());
            assert_eq!(written, text, "{}", function.name);
        }
    }
}

#[test]
fn no_description_has_anything_to_escape() {
    for function in super::TABLE.iter() {
        let is_plain = |char: char| matches!(char, ' '..='~') && char != '"' && char != '\\';
        assert!(
            function.description.chars().all(is_plain),
            "{}",
            function.name
        );
    }
}

/// Numbers, times and texts that are at the edge of something.
const EXTREMES: [&str; 26] = [
    "0",
    "1",
    "-1",
    "3",
    "1000000000",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "-1e308",
    "5e-324",
    "0.1",
    "inf",
    "'nan'",
    "'-inf'",
    "'0s'",
    "'1s'",
    "'-1s'",
    "'+1h'",
    "'7y'",
    "'999999999d'",
    "'99999999999999999999y'",
    "'sum'",
    "'max'",
    "'.*'",
    "'(x|y)*a?'",
    "none",
];

/// An argument of a call: nearly always one that is taken.
fn argument(of: &Parameter) -> BoxedStrategy<String> {
    let texts: Vec<String> = match of.kind.name {
        "series" | "seriesOrNumber" => return series(2).boxed(),
        "flag" => ["true", "false"].map(String::from).into(),
        kind => {
            let options = options(kind).map(|(name, _)| format!("'{name}'"));
            options.chain(EXTREMES.map(String::from)).collect()
        }
    };
    proptest::sample::select(texts).boxed()
}

/// A call of any function, with any arguments.
fn call(depth: u32) -> BoxedStrategy<String> {
    let functions: Vec<&Function> = super::TABLE.iter().collect();
    let called = proptest::sample::select(functions).prop_flat_map(move |function| {
        let arguments =
            function
                .parameters()
                .into_iter()
                .map(move |parameter| match parameter.kind.name {
                    "series" => series(depth).boxed(),
                    _ => argument(&parameter),
                });
        let arguments: Vec<BoxedStrategy<String>> = arguments.collect();
        arguments.prop_map(|arguments| format!("{}({})", function.name, arguments.join(",")))
    });
    called.boxed()
}

fn series(depth: u32) -> BoxedStrategy<String> {
    let paths = proptest::sample::select(vec![
        "*.cpu.*", "b.count", "empty.*", "sort.*", "big.x", "no.x",
    ]);
    match depth {
        0 => paths.prop_map(String::from).boxed(),
        _ => prop_oneof![2 => paths.prop_map(String::from), 3 => call(depth - 1)].boxed(),
    }
}

proptest! {
    /// No target makes a function panic, or make more than it may.
    #[test]
    fn results_are_bounded(
        target in call(3),
        from in prop_oneof![Just(1_600_000_030), any::<i64>()],
        length in 1i64..100_000,
    ) {
        let mut world = world();
        world.window = Window { from, until: from.saturating_add(length), ..world.window };
        if let Ok(expression) = target::parse(&target, &mut Budget::default())
            && let Ok(results) = world.evaluate(&expression, &world.window)
        {
            for series in results {
                prop_assert!(series.values.len() as i64 <= 2 * Config::STEPS_MAX);
                prop_assert!(series.name.len() <= Config::NAME_BYTES_MAX + '…'.len_utf8());
                prop_assert!(series.step > 0);
            }
        }
    }

    #[test]
    fn moving_averages_are_averages(
        values in proptest::collection::vec(prop_oneof![3 => -1e6..1e6, 1 => Just(f64::NAN)], 0..60),
        steps in 1usize..20,
        least in 0.0..=1.0,
    ) {
        let averages = super::time::moving_averages(&values, steps, least);
        prop_assert_eq!(averages.len(), values.len().saturating_sub(steps));
        for (row, average) in values.windows(steps).zip(averages) {
            let present = row.iter().filter(|value| !value.is_nan()).count();
            let is_enough = present as f64 / steps as f64 >= least;
            let expected = if is_enough { Aggregation::Average.of(row) } else { f64::NAN };
            prop_assert!(is_close(average, expected) || (average - expected).abs() < 1e-8, "{} {}", average, expected);
        }
    }
}
