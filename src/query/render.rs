//! `/render`: the series of targets over a range of time.

use std::vec;

use super::aggregation::Aggregation;
use super::budget::Budget;
use super::evaluate::{Stream, fits};
use super::format::{Format, Writer};
use super::look_at_clock;
use super::number::integer;
use super::source::{Held, Source};
use super::target::{self, Expression};
use super::window::Window;
use super::{steps, time};
use crate::config::{Config, TimestampUnit};
use crate::http::{Failure, Halt, Parameters, Pieces};
use crate::retention::in_units;
use crate::turn::Turn;

/// The answer to a query, as far as it is formed.
struct Render {
    source: Source,
    /// The range of time. Its step is chosen when all series are found.
    window: Window,
    /// The most steps of a series.
    most_steps: i64,
    /// Whether the series of all paths are found.
    is_found: bool,
    /// So many of the first targets fit the window.
    fitting: usize,
    /// Bytes that the query held when they were.
    found_bytes: usize,
    /// The target whose series are written, and those after it.
    stream: Option<Stream>,
    targets: vec::IntoIter<Expression>,
    writer: Writer,
}

/// Answers a query. `target` comes as often as there are targets; `from` and `until` are times; a series
/// has at most `maxDataPoints` points; `format` is `json`, which is also the default, `csv` or `raw`; with
/// `noNullPoints` JSON has no points without a value. Returns the media type of the answer, and the answer.
///
/// # Errors
///
/// If the parameters are wrong: the message names which.
pub fn render(
    parameters: &Parameters,
    turn: &mut Turn,
) -> Result<(&'static str, impl Pieces + use<>), Failure> {
    let format = format_of(parameters)?;
    let now = in_units((turn.environment.wall_clock)(), TimestampUnit::Seconds);
    let window = window_of(parameters, now)?;
    let held = Held::new(turn.environment.query_limit_bytes);
    let snapshot = turn.store.snapshot_all();
    let mut source = Source::new(snapshot, turn.environment.timestamp_unit, held);
    let mut targets = Vec::new();
    let mut budget = Budget::default();
    let name = match parameters.get("target") {
        Some(_) => "target",
        None => "target[]",
    };
    for text in parameters.all(name).filter(|text| !text.trim().is_empty()) {
        let mut target = target::parse(text, &mut budget)?;
        source.take_paths(&mut target, turn.store)?;
        targets.push(target);
    }
    let most_steps = parameters.get("maxDataPoints").and_then(integer);
    let most_steps = most_steps.filter(|&most| most > 0);
    let render = Render {
        source,
        window,
        most_steps: most_steps.map_or(Config::STEPS_MAX, |most| most.min(Config::STEPS_MAX)),
        is_found: false,
        fitting: 0,
        found_bytes: 0,
        stream: None,
        targets: targets.into_iter(),
        writer: Writer::new(format),
    };
    Ok((format.content_type(), render))
}

fn format_of(parameters: &Parameters) -> Result<Format, String> {
    match parameters.get("format") {
        None | Some("json") => Ok(Format::Json {
            null_points: parameters.get("noNullPoints").is_none(),
        }),
        Some("csv") => Ok(Format::Csv),
        Some("raw") => Ok(Format::Raw),
        Some(other) => Err(format!("format is json, csv or raw, and not {other:?}")),
    }
}

/// The range of time of a query: a day up to now, unless it says else.
fn window_of(parameters: &Parameters, now: i64) -> Result<Window, String> {
    let time = |name, default| {
        let text = parameters.get(name).unwrap_or(default);
        time::parse(text, now).map_err(|message| format!("{name}: {message}"))
    };
    let (from, until) = (time("from", "-24h")?, time("until", "now")?);
    if from >= until {
        return Err(format!(
            "from is {from}, which is not before until, {until}"
        ));
    }
    Ok(Window {
        from,
        until,
        step: 1,
        consolidation: Aggregation::Average,
    })
}

impl Render {
    /// Chooses the step of the query: the shortest of the ladder that is no shorter than `least` seconds
    /// and gives no series more steps than it may have. Whether the targets fit it is to be seen.
    fn choose_step(&mut self, least: i64) -> Result<(), String> {
        let length = self.window.until - self.window.from;
        // Then the results are made shorter, as Graphite does with all.
        let targets = self.targets.as_slice();
        let most_steps = match targets.iter().any(Expression::counts_steps) {
            true => Config::STEPS_MAX,
            false => self.most_steps,
        };
        // So many steps overlap the range, or one fewer: it may begin and end within one.
        let is_short = |step: i64| (length + step - 1) / step <= most_steps;
        let mut steps = steps::ladder();
        let Some(step) = steps.find(|&step| step >= least && is_short(step)) else {
            let most = Config::STEPS_MAX;
            return Err(format!("a function needs series of more than {most} steps"));
        };
        (self.window.step, self.fitting) = (step, 0);
        Ok(())
    }

    /// Does what comes next: looks for series, evaluates the next one, or writes a piece of it. Returns
    /// whether the answer is complete.
    fn go_on(&mut self, turn: &mut Turn) -> Result<bool, Halt> {
        if self.writer.write_piece(turn.replies) {
            return Ok(false);
        }
        if !self.is_found {
            self.source.find(turn)?;
            let interval = self.source.interval(turn.store, &self.window)?;
            self.choose_step(interval)?;
            (self.is_found, self.found_bytes) = (true, self.source.held.bytes());
        } else if let Some(target) = self.targets.as_slice().get(self.fitting) {
            match fits(target, &self.window) {
                true => self.fitting += 1,
                false => self.choose_step(self.window.step + 1)?,
            }
        } else if let Some(stream) = &mut self.stream {
            if let Some(mut series) = stream.next(&mut self.source, turn)? {
                series.shorten(self.most_steps);
                self.writer.begin(series, turn.replies);
            } else {
                self.stream = None;
                let held = &mut self.source.held;
                held.count(held.bytes(), self.found_bytes);
            }
        } else if let Some(target) = self.targets.next() {
            self.stream = Some(Stream::new(target, &self.window, &mut self.source));
        } else {
            self.writer.end(turn.replies);
            return Ok(true);
        }
        Ok(false)
    }
}

impl Pieces for Render {
    fn append(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let piece_bytes = turn.allowance.reply_bytes.min(Config::ANSWER_PIECE_BYTES);
        let full_at = turn.replies.len() + piece_bytes;
        while turn.replies.len() < full_at {
            if self.go_on(turn)? {
                return Ok(());
            }
            look_at_clock(turn.allowance)?;
        }
        Err(Halt::Pause)
    }

    fn is_cut_off(&self) -> bool {
        self.source.is_cut_off()
    }

    fn kept_bytes(&self) -> usize {
        self.source.held.bytes() + self.writer.kept_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::turn::{Allowance, Environment};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

    /// 21 November 2026, 22:15:50.
    const NOW: i64 = 1_795_299_350;

    fn wall_clock() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW as u64)
    }

    fn environment(timestamp_unit: TimestampUnit) -> Environment {
        Environment {
            wall_clock,
            timestamp_unit,
            ..Environment::default()
        }
    }

    /// Lends `use_turn` a turn in which so many bytes may be appended, in no time at all or in any.
    fn with_turn<Result>(
        store: &mut Store,
        environment: &Environment,
        out: &mut Vec<u8>,
        reply_bytes: usize,
        use_turn: impl FnOnce(&mut Turn) -> Result,
    ) -> Result {
        let time = Duration::from_secs(if reply_bytes == usize::MAX / 2 {
            3_600
        } else {
            0
        });
        let mut allowance = Allowance::new(usize::MAX, reply_bytes, time, Instant::now);
        let mut rest = Default::default();
        use_turn(&mut Turn::unlimited(
            store,
            out,
            &mut allowance,
            &mut rest,
            environment,
        ))
    }

    const ALL_AT_ONCE: usize = usize::MAX / 2;

    fn parameters(query: &[(&str, &str)]) -> Parameters {
        let pairs = query
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        Parameters(pairs.collect())
    }

    /// The answer, formed in pieces of `reply_bytes`, with a call of `between` between two of them.
    fn answer_in_pieces(
        store: &mut Store,
        environment: &Environment,
        query: &[(&str, &str)],
        reply_bytes: usize,
        mut between: impl FnMut(&mut Store),
    ) -> Result<String, Failure> {
        let parameters = parameters(query);
        let mut out = Vec::new();
        let (_, mut pieces) = with_turn(store, environment, &mut out, reply_bytes, |turn| {
            render(&parameters, turn)
        })?;
        let mut piece = Vec::new();
        while let Err(halt) = with_turn(store, environment, &mut piece, reply_bytes, |turn| {
            pieces.append(turn)
        }) {
            if let Halt::Failed(failure) = halt {
                return Err(failure);
            }
            assert!(reply_bytes == ALL_AT_ONCE || piece.len() < reply_bytes + 10_000);
            out.append(&mut piece);
            between(store);
        }
        out.append(&mut piece);
        Ok(String::from_utf8(out).unwrap())
    }

    fn answer(store: &mut Store, query: &[(&str, &str)]) -> Result<String, Failure> {
        let environment = environment(TimestampUnit::Seconds);
        answer_in_pieces(store, &environment, query, ALL_AT_ONCE, |_| {})
    }

    /// Points every ten seconds up to now.
    fn filled() -> Store {
        let mut store = Store::new();
        for (key, factor) in [("b.y", 1.0), ("a.x", 0.5), ("a.y", -1.0)] {
            for place in 0..100 {
                store.put(key, NOW - 990 + 10 * place, factor * place as f64);
            }
        }
        store
    }

    #[test]
    fn a_query_of_several_targets() {
        let mut store = filled();
        store.put("a.y", NOW - 20, f64::NAN);
        let answered = answer(
            &mut store,
            &[
                ("target", "a.*"),
                ("from", "-30s"),
                ("target", "sumSeries(b.y,scale(a.x,2))"),
                ("target", ""),
                ("target", "none.*"),
                ("format", "json"),
            ],
        );
        assert_eq!(
            answered.unwrap(),
            concat!(
                r#"[{"target": "a.x", "tags": {"name": "a.x"}, "datapoints": [[48.5, 1795299330], [49.0, 1795299340], [49.5, 1795299350]]}, "#,
                r#"{"target": "a.y", "tags": {"name": "a.y"}, "datapoints": [[null, 1795299330], [-98.0, 1795299340], [-99.0, 1795299350]]}, "#,
                r#"{"target": "sumSeries(b.y,scale(a.x,2))", "tags": {"name": "sumSeries(b.y,scale(a.x,2))"}, "datapoints": [[194.0, 1795299330], [196.0, 1795299340], [198.0, 1795299350]]}]"#,
            )
        );
        assert_eq!(answer(&mut store, &[]).unwrap(), "[]");
        assert_eq!(
            answer(
                &mut store,
                &[("target[]", "b.y"), ("from", "-10s"), ("format", "raw")]
            )
            .unwrap(),
            "b.y,1795299350,1795299360,10|99.0\n"
        );
        assert_eq!(
            answer(
                &mut store,
                &[("target", "b.y"), ("from", "-10s"), ("format", "csv")]
            )
            .unwrap(),
            "b.y,2026-11-21 22:15:50,99.0\r\n"
        );
    }

    /// As in graphite-web 1.1.8, whose `alias…()` set the name and leave the tags.
    #[test]
    fn tags_are_those_of_the_series_that_has_an_alias() {
        let mut store = filled();
        store.put("c;host=x", NOW, 1.0);
        for (target, shown, tags) in [
            ("alias(a.x,'A')", "A", r#""name": "a.x""#),
            ("aliasByNode(a.x,1)", "x", r#""name": "a.x""#),
            ("aliasByMetric(a.x)", "x", r#""name": "a.x""#),
            ("aliasSub(a.x,'a','b')", "b.x", r#""name": "a.x""#),
            ("alias(alias(a.x,'A'),'B')", "B", r#""name": "a.x""#),
            (
                "limit(scale(alias(a.x,'A'),2),1)",
                "scale(A,2)",
                r#""name": "a.x""#,
            ),
            ("alias(c*,'C')", "C", r#""name": "c", "host": "x""#),
            (
                "sum(alias(a.x,'A'))",
                "sumSeries(a.x)",
                r#""name": "sumSeries(a.x)""#,
            ),
        ] {
            let answered = answer(&mut store, &[("target", target), ("from", "-10s")]).unwrap();
            let start = format!(r#"[{{"target": "{shown}", "tags": {{{tags}}}, "#);
            assert!(answered.starts_with(&start), "{target}: {answered}");
        }
    }

    #[test]
    fn the_step_fits_the_points_and_what_is_asked_for() {
        let mut store = filled();
        for place in 0..300 {
            store.put("minutely", NOW - 60 * place, 1.0);
            store.put("odd", NOW - 7 * place, 1.0);
        }
        store.put("once", NOW, 1.0);
        for (target, from, most, expected) in [
            ("a.x", "-100s", "", 10),
            ("a.x", "-100s", "10", 10),
            ("a.x", "-100s", "9", 15),
            ("a.x", "-100s", "1", 120),
            ("a.x", "-100s", "0", 10),
            ("a.x", "-100s", "-1", 10),
            ("a.x", "-100s", "99999999999999999999", 10),
            ("a.x", "-1y", "", 600),
            ("minutely", "-1h", "", 60),
            ("odd", "-1h", "", 10),
            ("once", "-1h", "", 60),
            ("minutely", "00:00_00010101", "1", 604_800 << 17),
            // Of an even number, the finer of the two in the middle.
            ("{minutely,odd}", "-1h", "", 10),
            ("{minutely,once}", "-1h", "", 60),
            ("sumSeries(odd,a.x,minutely)", "-1h", "", 10),
            ("sumSeries(a.x,minutely,minutely)", "-1h", "", 60),
            // The range has one point.
            ("a.x", "-10s", "", 10),
        ] {
            let query = [
                ("target", target),
                ("from", from),
                ("maxDataPoints", most),
                ("format", "raw"),
            ];
            let answered = answer(&mut store, &query).unwrap();
            let head = answered.split('|').next().unwrap();
            let step: i64 = head.rsplit(',').next().unwrap().parse().unwrap();
            assert_eq!(step, expected, "{target} {from} {most}");
        }
    }

    #[test]
    fn functions_that_count_steps_see_all_points_and_return_no_more_than_are_asked_for() {
        let mut store = filled();
        for (target, last) in [
            ("consolidateBy(integral(a.x),'last')", 2475.0),
            ("consolidateBy(summarize(a.x,'10s','count'),'sum')", 100.0),
            ("derivative(a.x)", 0.5),
            ("scaleToSeconds(b.z,20)", 14.0),
            ("constantLine(7)", 7.0),
        ] {
            store.put("b.z", NOW, 7.0);
            store.put("b.z", NOW - 10, 7.0);
            for most in [1, 2, 30, 100] {
                let query = [
                    ("target", target),
                    ("from", "-1000s"),
                    ("maxDataPoints", &most.to_string()),
                    ("format", "raw"),
                ];
                let answered = answer(&mut store, &query).unwrap();
                let values: Vec<&str> = answered
                    .trim()
                    .rsplit('|')
                    .next()
                    .unwrap()
                    .split(',')
                    .collect();
                assert!(values.len() <= most, "{answered}");
                let is_sum = target.contains("sum");
                let values = values.iter().filter_map(|value| value.parse::<f64>().ok());
                let values: Vec<f64> = values.collect();
                let found = match is_sum {
                    true => Some(values.iter().sum()),
                    false => values.last().copied(),
                };
                assert_eq!(found, Some(last), "{target} {most}: {answered}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, status, message) in [
            (
                ("format", "png"),
                400,
                "format is json, csv or raw, and not \"png\"",
            ),
            (("from", "-1Q"), 400, "from: \"-1Q\" is no time such as"),
            (("until", "x"), 400, "until: \"x\" is no time such as"),
            (
                ("from", "now"),
                400,
                "from is 1795299350, which is not before until, 1795299350",
            ),
            (("target", "sum("), 400, "target 'sum('"),
            (
                ("target", "movingAverage(a.x,300000)"),
                400,
                "a function needs series of more than 65536 steps",
            ),
        ] {
            let failure = answer(&mut filled(), &[query]).unwrap_err();
            assert_eq!(failure.status, status);
            assert!(failure.message.contains(message), "{}", failure.message);
        }
        let targets = vec![("target", "a"); 1_001];
        let failure = answer(&mut filled(), &targets).unwrap_err();
        assert_eq!(failure.message, "a query has at most 1000 paths");
        assert!(answer(&mut filled(), &targets[1..]).is_ok());
    }

    const UNITS: [TimestampUnit; 4] = [
        TimestampUnit::Seconds,
        TimestampUnit::Milliseconds,
        TimestampUnit::Microseconds,
        TimestampUnit::Nanoseconds,
    ];

    const KEYS: [&str; 5] = ["b.x", "a.z", "a.x;tag=1", "a.y", "\u{e9}"];

    const TARGETS: [&str; 12] = [
        "a.*",
        "a.z",
        "*.{x,y,z}",
        "\u{e9}",
        "nothing",
        "**",
        "sumSeries(a.*,b.*)",
        "limit(scale(*.*,0.5),2)",
        "timeShift(a.?,'10min')",
        "groupByNode(*.*,0,'max')",
        "alias(averageSeries(a.z,timeShift(a.z,'1h')),'x')",
        "constantLine(1.5)",
    ];

    /// Points that are put, and what happens to the store after each piece of an answer.
    #[derive(Clone, Debug)]
    struct Puts {
        key: usize,
        /// In units of timestamps, from now on.
        from: i64,
        interval: i64,
        count: i64,
        value: f64,
    }

    fn puts(unit: TimestampUnit) -> impl Strategy<Value = Puts> {
        let second = unit.per_second();
        let from = prop_oneof![
            8 => (-5_000 * second)..100 * second,
            1 => any::<i64>(),
            1 => Just(i64::MAX),
            1 => Just(i64::MIN),
        ];
        let interval = prop_oneof![Just(0), Just(second), Just(10 * second), 0..=100 * second];
        let value = prop_oneof![3 => (-99i64..999).prop_map(|digits| digits as f64 / 8.0), 1 => any::<f64>()];
        (0..KEYS.len(), from, interval, 1i64..300, value).prop_map(
            |(key, from, interval, count, value)| Puts {
                key,
                from,
                interval,
                count,
                value,
            },
        )
    }

    fn put(store: &mut Store, unit: TimestampUnit, puts: &Puts) {
        let now = NOW * unit.per_second();
        for place in 0..puts.count {
            let timestamp = now
                .saturating_add(puts.from)
                .saturating_add(place * puts.interval);
            store.put(KEYS[puts.key], timestamp, puts.value + place as f64);
        }
    }

    type Query = Vec<(&'static str, String)>;

    fn query() -> impl Strategy<Value = Query> {
        let target = (0..TARGETS.len()).prop_map(|target| ("target", TARGETS[target].to_owned()));
        let time = prop_oneof![
            6 => (0i64..6_000).prop_map(|seconds| format!("now-{seconds}s")),
            1 => Just("00:00_00010101".to_owned()),
            1 => Just("23:59_99991231".to_owned()),
            1 => Just("tomorrow".to_owned()),
            1 => (0..400).prop_map(|years| format!("-{years}y")),
        ];
        let most = prop_oneof![1 => 1i64..10, 3 => 10i64..2_000];
        let format = prop_oneof![Just("json"), Just("raw"), Just("csv")];
        (
            proptest::collection::vec(target, 0..4),
            proptest::option::of(time.clone()),
            proptest::option::of(time),
            // Without it, there are too many steps for a test now and then.
            most.prop_map(|most| ("maxDataPoints", most.to_string())),
            format.prop_map(|format| ("format", format.to_owned())),
            proptest::bool::ANY,
        )
            .prop_map(|(targets, from, until, most, format, null_points)| {
                let mut query = targets;
                query.extend(from.map(|from| ("from", from)));
                query.extend(until.map(|until| ("until", until)));
                query.extend([most, format]);
                query.extend((!null_points).then(|| ("noNullPoints", "1".to_owned())));
                query
            })
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_make_the_same_answer_whatever_is_put_meanwhile(
            (unit, before, meanwhile) in (0..UNITS.len()).prop_flat_map(|unit| {
                let puts = || proptest::collection::vec(puts(UNITS[unit]), 1..8);
                (Just(UNITS[unit]), puts(), puts())
            }),
            query in query(),
            reply_bytes in prop_oneof![Just(1usize), 1..2_000usize],
        ) {
            let mut store = Store::new();
            before.iter().for_each(|puts| put(&mut store, unit, puts));
            let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let environment = environment(unit);
            let whole = answer_in_pieces(&mut store, &environment, &query, ALL_AT_ONCE, |_| {});
            let mut meanwhile = meanwhile.iter().cycle();
            let mut pieces = 0;
            let in_pieces = answer_in_pieces(&mut store, &environment, &query, reply_bytes, |store| {
                pieces += 1;
                if pieces < 20 {
                    meanwhile.by_ref().take(1).for_each(|puts| put(store, unit, puts));
                }
            });
            prop_assert_eq!(in_pieces, whole);
        }

        #[test]
        fn values_are_those_of_a_plain_loop(
            (unit, puts) in (0..UNITS.len()).prop_flat_map(|unit| {
                (Just(UNITS[unit]), proptest::collection::vec(puts(UNITS[unit]), 1..8))
            }),
            (target, consolidation) in (0..6usize, 0..3usize),
            (from, length) in (0i64..6_000, 1i64..6_000),
            most in 1i64..500,
            floor in prop_oneof![4 => Just(i64::MIN), 1 => -6_000i64..100],
        ) {
            let (mut store, mut naive) = (Store::new(), BTreeMap::<&str, BTreeMap<i64, f64>>::new());
            for puts in &puts {
                put(&mut store, unit, puts);
                let points = naive.entry(KEYS[puts.key]).or_default();
                for place in 0..puts.count {
                    let timestamp = (NOW * unit.per_second()).saturating_add(puts.from);
                    points.insert(timestamp.saturating_add(place * puts.interval), puts.value + place as f64);
                }
            }
            let floor = match floor {
                i64::MIN => floor,
                seconds => (NOW + seconds) * unit.per_second(),
            };
            store.set_floors(floor, i64::MIN);
            naive.retain(|_, points| {
                points.retain(|&timestamp, _| timestamp >= floor);
                !points.is_empty()
            });
            let (called, consolidation) = [("average", Aggregation::Average), ("max", Aggregation::Maximum), ("last", Aggregation::Last)][consolidation];
            let path = TARGETS[target];
            let query = [
                ("target", &*format!("consolidateBy({path},'{called}')")),
                ("from", &format!("now-{}s", from + length)),
                ("until", &format!("now-{from}s")),
                ("maxDataPoints", &most.to_string()),
                ("format", "raw"),
            ];
            let answered = answer_in_pieces(&mut store, &environment(unit), &query, ALL_AT_ONCE, |_| {}).unwrap();
            let pattern = crate::query::pattern::Pattern::parse(path, &mut Budget::default()).unwrap();
            let found: Vec<&&str> = naive.keys().filter(|key| pattern.matches(key)).collect();
            prop_assert_eq!(answered.lines().count(), found.len());
            for (line, key) in answered.lines().zip(found) {
                let (head, values) = line.split_once('|').unwrap();
                let head = head.strip_prefix(&format!("consolidateBy({key},\"{called}\"),")).unwrap();
                let numbers: Vec<i64> = head.split(',').map(|number| number.parse().unwrap()).collect();
                let window = Window { from: NOW - from - length, until: NOW - from, step: numbers[2], consolidation };
                prop_assert!(steps::ladder().any(|step| step == window.step));
                prop_assert_eq!(&numbers[..2], &[window.start(), window.end()]);
                prop_assert!(window.steps() <= most);
                let mut rows: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
                for (timestamp, &value) in &naive[key] {
                    let step = (timestamp.div_euclid(unit.per_second()) - window.start()).div_euclid(window.step);
                    rows.entry(step).or_default().push(value);
                }
                let row = |step| rows.get(&step).map_or(f64::NAN, |row| consolidation.of(row));
                let expected: Vec<u64> = (0..window.steps()).map(|step| row(step).to_bits()).collect();
                let value = |text: &str| text.parse().unwrap_or(f64::NAN).to_bits();
                prop_assert_eq!(values.split(',').map(value).collect::<Vec<u64>>(), expected);
            }
        }

        #[test]
        fn nothing_that_is_removed_meanwhile_makes_it_panic(
            puts in proptest::collection::vec(puts(TimestampUnit::Seconds), 1..12),
            query in query(),
            reply_bytes in 1..500usize,
            (limit_bytes, evicted, removed) in (0..10_000usize, 0..10usize, 0..KEYS.len()),
        ) {
            let mut store = Store::new();
            puts.iter().for_each(|puts| put(&mut store, TimestampUnit::Seconds, puts));
            let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut pieces = 0;
            let answered = answer_in_pieces(&mut store, &environment(TimestampUnit::Seconds), &query, reply_bytes, |store| {
                pieces += 1;
                match pieces % 4 {
                    0 => store.set_snapshot_limit_bytes(limit_bytes),
                    1 => puts.iter().for_each(|puts| put(store, TimestampUnit::Seconds, puts)),
                    2 if pieces < 20 => assert!(store.evict(evicted, &mut |_, _, _| {}) || store.point_count() == 0),
                    3 => drop(store.remove(KEYS[removed])),
                    _ => {}
                }
            });
            match answered {
                Ok(_) => {}
                Err(failure) => prop_assert!([400, 503].contains(&failure.status), "{failure:?}"),
            }
        }

        #[test]
        fn no_parameters_make_it_panic(
            names in proptest::collection::vec(("target|from|until|maxDataPoints|format|noNullPoints", "[-+0-9smhdwy:_/a-z.*(){},'\"]{0,12}|.*"), 0..6),
        ) {
            let query: Vec<(&str, &str)> = names.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            if let Err(failure) = answer(&mut filled(), &query) {
                prop_assert_eq!(failure.status, 400);
            }
        }
    }

    #[test]
    fn what_a_query_holds_is_limited_and_counted() {
        let mut store = filled();
        let mut environment = environment(TimestampUnit::Seconds);
        let mut answered = |limit, targets: &[&str]| {
            environment.query_limit_bytes = limit;
            let mut query = vec![("from", "-1000s")];
            query.extend(targets.iter().map(|&target| ("target", target)));
            let answer = answer_in_pieces(&mut store, &environment, &query, 1, |_| {});
            answer.map_err(|failure| failure.status)
        };
        assert_eq!(answered(100, &["a.*"]), Err(422), "the keys");
        assert_eq!(
            answered(1_000, &["a.*"]),
            Err(422),
            "the values of one series"
        );
        for target in [
            "a.*",
            "limit(a.*,2)",
            "scale(a.*,2)",
            "consolidateBy(a.x,'max')",
        ] {
            let is_answered = answered(2_000, &[target]).is_ok();
            assert!(is_answered, "{target} holds one series at a time");
        }
        let sum = "sumSeries(a.*)";
        assert_eq!(
            answered(2_500, &[sum]),
            Err(422),
            "a sum of a hundred steps"
        );
        assert!(answered(6_000, &[sum]).is_ok());
        let ratios = "divideSeries(a.*,b.y)";
        assert_eq!(answered(2_000, &[ratios]), Err(422), "the divisor");
        assert!(answered(3_500, &[ratios]).is_ok());
        let first = "limit(asPercent(a.*),1)";
        assert_eq!(answered(2_500, &[first]), Err(422), "two series at once");
        assert!(
            answered(30_000, &[first; 20]).is_ok(),
            "one target after the other"
        );
    }

    /// How often the clock was looked at for an answer, and the most bytes that were kept.
    fn looks(store: &mut Store, query: &[(&str, &str)]) -> (usize, usize) {
        let parameters = parameters(query);
        let (environment, mut out) = (environment(TimestampUnit::Seconds), Vec::new());
        let (_, mut pieces) = with_turn(store, &environment, &mut out, 1, |turn| {
            render(&parameters, turn).unwrap()
        });
        let (mut looks, mut kept_bytes) = (1, pieces.kept_bytes());
        while with_turn(store, &environment, &mut out, ALL_AT_ONCE - 1, |turn| {
            pieces.append(turn)
        }) == Err(Halt::Pause)
        {
            looks += 1;
            kept_bytes = kept_bytes.max(pieces.kept_bytes());
        }
        (looks, kept_bytes)
    }

    #[test]
    fn the_clock_is_looked_at_however_much_there_is_to_do() {
        let mut store = filled();
        for number in 0..64 {
            let key = format!("long.{number}.{}", "a".repeat(5_000));
            store.put(&key, NOW, 1.0);
        }
        let nested = |depth| "absolute(".repeat(depth) + "a.*" + &")".repeat(depth);
        let grouped = |called| format!("groupByNode(long.*.*,0,'{called}')");
        let none = vec!["none"; 900];
        for (targets, least_targets, more) in [
            // Each key is compared for long.
            (vec!["long.*.*aaab"], vec!["long"], 60),
            // Whether it fits a step is seen for each target.
            (none.clone(), none[..1].to_vec(), 3 * 899 / 4),
            // Each function for each of two series.
            (vec![&*nested(20)], vec![&*nested(1)], 2 * 19),
            (
                vec![&*grouped("median")],
                vec![&*grouped("max")],
                1_000 * 64 / 4_096 - 1,
            ),
        ] {
            let looks = [targets, least_targets].map(|targets| {
                let mut query = vec![("from", "-60000s"), ("format", "raw")];
                query.extend(targets.iter().map(|&target| ("target", target)));
                looks(&mut store, &query).0
            });
            assert!(looks[0] >= looks[1] + more, "{looks:?} {more}");
        }
    }

    #[test]
    fn patterns_and_arguments_are_counted() {
        let (mut store, hosts) = (filled(), vec!["host"; 1_000].join(","));
        let pattern = format!("a.{{{hosts}}}");
        let regex = format!("grep(a.x,'{}')", "a".repeat(400));
        for (target, least) in [
            (pattern, 1_000 * size_of::<String>()),
            (regex, 400 * size_of::<String>()),
        ] {
            let (_, kept_bytes) = looks(&mut store, &[("target", &target)]);
            assert!(kept_bytes > least, "{kept_bytes}");
        }
        let alternatives = format!("sum({})", vec!["{a,b}".repeat(13); 300].join(","));
        let failure = answer(&mut store, &[("target", &alternatives)]).unwrap_err();
        assert!(failure.message.contains("too many alternatives"));
        let calls = ("target", "sum(sum(sum(sum(a))))");
        let failure = answer(&mut store, &vec![calls; 900]).unwrap_err();
        assert!(failure.message.contains("too many calls"));
    }
}
