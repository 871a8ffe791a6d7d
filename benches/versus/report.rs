//! What was measured, by block, column, server and round.

use std::collections::BTreeMap;

use crate::blocks::{self, Better, Block};
use crate::interval::Interval;
use crate::options::Options;
use crate::running::Running;
use crate::servers::Server;

/// A measured interval is called noisy when either side waited for a core for longer than this.
const NOISY_SHARE: f64 = 0.1;

/// A block's title and a server's number.
type Place = (&'static str, usize);

pub struct Report<'a> {
    pub options: &'a Options,
    pub servers: &'a [Server],
    pub failures: Vec<String>,
    /// By place, column and round.
    figures: BTreeMap<Place, Vec<Vec<Option<f64>>>>,
    /// Rounds in which the load generator was the limit.
    limited: BTreeMap<Place, usize>,
    /// Processor time that the load generator took, in percent of the interval, least and most.
    generator_percent: BTreeMap<&'static str, (f64, f64)>,
    intervals: usize,
    noisy_intervals: usize,
}

/// The figures of all rounds in one: the median and the two ends.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Summary {
    fn of(mut values: Vec<f64>) -> Option<Summary> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        Some(Summary {
            median,
            least,
            most,
        })
    }
}

/// One server, running, in one round, and where its figures go.
pub struct Setup<'a, 'b> {
    pub report: &'a mut Report<'b>,
    pub server: &'a Server,
    pub number: usize,
    pub round: usize,
    pub running: &'a Running,
    pub options: &'a Options,
}

impl Setup<'_, '_> {
    /// Whether the block is to be measured, and can be.
    pub fn wants(&self, block: &Block) -> bool {
        self.options.wants(block.title) && self.server.reason_against(block.needs).is_none()
    }

    /// Takes a figure for each column.
    pub fn record(&mut self, block: &'static Block, values: &[Option<f64>]) {
        assert_eq!(values.len(), block.columns.len(), "{}", block.title);
        let rounds = self.options.rounds;
        let place = (block.title, self.number);
        let columns = self.report.figures.entry(place);
        let columns = columns.or_insert_with(|| vec![vec![None; rounds]; values.len()]);
        for (column, value) in columns.iter_mut().zip(values) {
            column[self.round] = *value;
        }
    }

    /// Rate, latency and processor time of requests.
    pub fn record_requests(&mut self, block: &'static Block, interval: &Interval) {
        let micros = |nanos| nanos / 1e3;
        let cpu = interval.server_nanos(interval.run.requests).map(micros);
        self.record_timed(block, interval, interval.run.requests_per_second(), cpu);
    }

    /// The same by the point, of which a request has so many, and which takes nanoseconds.
    pub fn record_points(
        &mut self,
        block: &'static Block,
        interval: &Interval,
        points_a_request: usize,
    ) {
        let rate = interval.run.requests_per_second() * points_a_request as f64;
        let cpu = interval.server_nanos(interval.run.requests * points_a_request as u64);
        self.record_timed(block, interval, rate, cpu);
    }

    fn record_timed(
        &mut self,
        block: &'static Block,
        interval: &Interval,
        rate: f64,
        cpu: [f64; 3],
    ) {
        let latency = [0.5, 0.99, 0.999, 1.0].map(|part| interval.run.latency_micros(part));
        let cpu = cpu.map(Some);
        self.record(block, &[&[Some(rate)], &latency[..], &cpu].concat());
        self.note(block, interval);
    }

    /// Keeps in mind what the reader of the figures should know about how they came.
    pub fn note(&mut self, block: &'static Block, interval: &Interval) {
        self.report.intervals += 1;
        if interval.waiting_share() > NOISY_SHARE {
            self.report.noisy_intervals += 1;
        }
        if interval.generator_was_the_limit() {
            let place = (block.title, self.number);
            *self.report.limited.entry(place).or_default() += 1;
        }
        let percent = interval.generator_percent();
        let ends = self.report.generator_percent.entry(block.title);
        let (least, most) = ends.or_insert((percent, percent));
        (*least, *most) = (least.min(percent), most.max(percent));
    }
}

impl<'a> Report<'a> {
    pub fn new(options: &'a Options, servers: &'a [Server]) -> Report<'a> {
        Report {
            options,
            servers,
            failures: Vec::new(),
            figures: BTreeMap::new(),
            limited: BTreeMap::new(),
            generator_percent: BTreeMap::new(),
            intervals: 0,
            noisy_intervals: 0,
        }
    }

    pub fn blocks(&self) -> impl Iterator<Item = &'static Block> {
        let all = blocks::ALL.into_iter();
        all.filter(|block| self.options.wants(block.title))
    }

    fn rounds(&self, block: &Block, column: usize, server: usize) -> Option<&Vec<Option<f64>>> {
        self.figures.get(&(block.title, server))?.get(column)
    }

    pub fn summary(&self, block: &Block, column: usize, server: usize) -> Option<Summary> {
        let rounds = self.rounds(block, column, server)?;
        Summary::of(rounds.iter().copied().flatten().collect())
    }

    /// How many times better metricd, the first of the servers, is than this one. Round by
    /// round, because the machine changes between rounds more than within one.
    pub fn advantage(&self, block: &Block, column: usize, server: usize) -> Option<f64> {
        let better = block.columns[column].better?;
        let own = self.rounds(block, column, 0)?;
        let theirs = self.rounds(block, column, server)?;
        let ratio = |(own, theirs): (&Option<f64>, &Option<f64>)| {
            let ratio = (*own)? / (*theirs)?;
            Some(match better {
                Better::More => ratio,
                Better::Less => 1.0 / ratio,
            })
        };
        let ratios = own.iter().zip(theirs).filter_map(ratio);
        let meaningful = ratios.filter(|ratio| ratio.is_finite() && *ratio > 0.0);
        Some(Summary::of(meaningful.collect())?.median)
    }

    /// Whether the load generator was the limit in most rounds.
    pub fn was_limited(&self, block: &Block, server: usize) -> bool {
        let rounds = self.limited.get(&(block.title, server));
        rounds.is_some_and(|rounds| rounds * 2 > self.options.rounds)
    }

    /// What is to be known of a block, beside its figures.
    pub fn block_note(&self, block: &Block) -> Option<String> {
        let (least, most) = self.generator_percent.get(block.title)?;
        let busy = format!("load generator: {least:.0} to {most:.0} % of a core");
        let mut servers = 0..self.servers.len();
        Some(
            match servers.any(|server| self.was_limited(block, server)) {
                true => format!("{busy}; *: it had no time to spare, the server could take more"),
                false => busy,
            },
        )
    }

    /// What is to be known of all figures.
    pub fn notes(&self) -> Vec<String> {
        let rounds = self.options.rounds;
        let mut notes = vec![
            match rounds {
                1 => "One round.".into(),
                _ => format!("Medians of {rounds} rounds, ranges from the least to the most."),
            },
            "CPU is the server's, of all its threads. Memory of a point is counted in resident \
             pages, of a connection in those written."
                .into(),
            "×: so many times better is metricd, in the same round: faster, or less of it.".into(),
        ];
        let has = |text: &str| self.servers.iter().any(|server| server.name.contains(text));
        if has("ZADD") {
            notes.push(
                "Redis ZADD: get * is 1,000 ZRANGE, one for each series, sent at once.".into(),
            );
        }
        if self.servers.iter().any(|server| server.inlet.is_some()) {
            notes.push(
                "Graphite puts are not answered. They are timed until the server has them all: \
                 until VictoriaMetrics has counted as many rows, until carbon-cache returns the \
                 last point of each connection."
                    .into(),
            );
        }
        if self.intervals > 0 {
            let (noisy, all) = (self.noisy_intervals, self.intervals);
            let percent = 100.0 * NOISY_SHARE;
            notes.push(format!(
                "Noise: in {noisy} of {all} intervals, the server or the load generator was ready \
                 to run and had no core for over {percent} % of the time."
            ));
        }
        notes
    }
}
