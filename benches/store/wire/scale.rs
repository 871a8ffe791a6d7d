//! What a put costs, and the store takes, as there are more points and more series.

use metricd::Point;

use super::client::Client;
use super::report::{Goal, at_most, median, row};
use super::server::Server;
use crate::series::{Kind, SplitMix, WALK};
use crate::work::{self, Work};

const MANY_SERIES: usize = 1_000_000;
const MANY_ROUNDS: usize = 3;

const SERIES: usize = 1_000;
const FEW_POINTS: usize = 1_000_000;
/// Points that the store holds when puts are compared with those to a store of few points.
const MARKS: [usize; 3] = [10_000_000, 30_000_000, 100_000_000];
/// Puts to either store at a mark: what fills a block of each series, be it full or empty before.
const COMPARED_PUTS: usize = 1_120_000;
/// They are put in turns, since the machine's speed moves meanwhile.
const TURNS: usize = 14;

/// One point to each of a million series, again and again, each time in another order.
pub fn measure_many_series() -> Result<(), String> {
    let kind = Kind {
        points: 1 + MANY_ROUNDS,
        ..WALK
    };
    let work = Work::in_order(&kind, MANY_SERIES);
    let server = Server::start()?;
    let mut client = server.connect()?;
    let mut rounds = Vec::with_capacity(1 + MANY_ROUNDS);
    for (number, round) in work.order.chunks(MANY_SERIES).enumerate() {
        let round = work::shuffled(round.to_vec(), number as u64);
        rounds.push(micros_a_put(&server, || {
            client.put_all(round.iter().map(|&place| work.put(place)))?;
            Ok(round.len())
        })?);
    }
    let middle = MANY_SERIES / 2;
    client.check_series(&work.keys[middle], &work.points[middle])?;
    client.ask("get *\n")?;
    client.expect_points(work.order.len(), b"")?;
    let adding = rounds.remove(0);
    row(
        "1 M series in random order, 1 x 1,000: server CPU µs a put",
        median(rounds),
        at_most(0.3, 0.2),
    );
    row("  the first of each", adding, Goal::None);
    Ok(())
}

/// A store that grows to 100 M points, beside one that holds a million.
pub fn measure_growth() -> Result<(), String> {
    let keys: Vec<String> = (0..SERIES).map(work::key).collect();
    let mut growing = Growing::start(&keys)?;
    for mark in MARKS {
        growing.put(mark - COMPARED_PUTS - growing.points)?;
        let mut few = Growing::start(&keys)?;
        few.put(FEW_POINTS)?;
        let (mut with_few, mut with_many) = (0.0, 0.0);
        for _ in 0..TURNS {
            with_few += few.put(COMPARED_PUTS / TURNS)?;
            with_many += growing.put(COMPARED_PUTS / TURNS)?;
        }
        row(
            &format!("a put at {} M points: times one at 1 M", mark / 1_000_000),
            with_many / with_few,
            at_most(1.15, None),
        );
    }
    growing.check()?;
    row(
        "  resident then, MB",
        growing.server.resident_bytes()? / 1e6,
        at_most(130.0, None),
    );
    Ok(())
}

/// A server and all that was put to it: a walk a series, made as it is put.
struct Growing<'keys> {
    server: Server,
    client: Client,
    keys: &'keys [String],
    walks: Vec<Walk>,
    points: usize,
}

struct Walk {
    random: SplitMix,
    hundredths: i64,
}

impl Walk {
    fn of_series(series: usize) -> Walk {
        let mut random = SplitMix(series as u64);
        let hundredths = random.within(1_000..9_000);
        Walk { random, hundredths }
    }

    fn next(&mut self, place: usize) -> Point {
        self.hundredths += self.random.within(-50..51);
        Point {
            timestamp: 1_500_000_000 + 10 * place as i64,
            value: self.hundredths as f64 / 100.0,
        }
    }
}

impl Growing<'_> {
    fn start(keys: &[String]) -> Result<Growing<'_>, String> {
        let server = Server::start()?;
        Ok(Growing {
            client: server.connect()?,
            server,
            keys,
            walks: (0..SERIES).map(Walk::of_series).collect(),
            points: 0,
        })
    }

    /// Puts so many points, a multiple of the series, and says how many microseconds each took.
    fn put(&mut self, points: usize) -> Result<f64, String> {
        let passes = self.points / SERIES..(self.points + points) / SERIES;
        self.points += points;
        micros_a_put(&self.server, || {
            for pass in passes {
                let puts = self.keys.iter().zip(&mut self.walks);
                let puts = puts.map(|(key, walk)| (key.as_str(), walk.next(pass)));
                self.client.put_all(puts)?;
            }
            Ok(points)
        })
    }

    /// One series byte for byte, and that all points are there.
    fn check(&mut self) -> Result<(), String> {
        let series = SERIES / 2;
        let mut walk = Walk::of_series(series);
        let points: Vec<Point> = (0..self.points / SERIES)
            .map(|place| walk.next(place))
            .collect();
        self.client.check_series(&self.keys[series], &points)?;
        self.client.ask("get *\n")?;
        self.client.expect_points(self.points, b"")
    }
}

/// The server's processor time for puts that `work` sends, and counts.
fn micros_a_put(
    server: &Server,
    work: impl FnOnce() -> Result<usize, String>,
) -> Result<f64, String> {
    let begin_seconds = server.cpu_seconds()?;
    let puts = work()? as f64;
    Ok((server.cpu_seconds()? - begin_seconds) * 1e6 / puts)
}
