//! The real server over loopback: resident memory and processor time, all included.
//!
//! Every figure comes from a server started for it, whose memory and processor time are its own,
//! from `/proc`. Every put is acknowledged, every reply has as many lines as there are points,
//! and one series of each load is compared byte for byte. How fast gets are, and whom they hold
//! up, is measured beside other servers: cargo bench --bench versus

use anyhow::Result;
use metricd::Point;

use crate::support::client::Client;
use crate::support::process::Process;
use crate::support::series::{Points, key};
use crate::support::table::{median, print_row};
use crate::work::{Order, WALK, Work, shuffled, walk};

pub const SERIES: usize = 1_000;
const ROUNDS: usize = 3;

pub fn run() -> Result<()> {
    orders()?;
    growth()
}

/// A line of the report: the figure, and what it may be at most.
pub fn row(name: &str, value: f64, most: Option<f64>) {
    let verdict = match most {
        Some(most) if value > most => format!("MISSED, must ≤ {most}"),
        Some(most) => format!("must ≤ {most}"),
        None => String::new(),
    };
    print_row(name, value, &verdict);
}

/// A server, and a client that puts to it and checks it.
pub struct Server {
    pub process: Process,
    pub client: Client,
    pub start_bytes: f64,
}

impl Server {
    pub fn start() -> Result<Server> {
        Server::over(Process::metricd([""; 0])?)
    }

    /// A server that has just been started.
    pub fn over(process: Process) -> Result<Server> {
        let client = Client::connect(&process)?;
        let start_bytes = process.memory_at_rest()?.resident;
        Ok(Server {
            process,
            client,
            start_bytes,
        })
    }

    fn holding(work: &Work, order: &Order) -> Result<Server> {
        let mut server = Server::start()?;
        server.put(work.puts(order))?;
        Ok(server)
    }

    /// Puts in batches; says how many microseconds of processor time a put took the server.
    pub fn put<'a>(&mut self, puts: impl IntoIterator<Item = (&'a str, Point)>) -> Result<f64> {
        let before = self.process.cpu()?.running;
        let line = |(key, Point { timestamp, value })| format!("put {key} {value:?} {timestamp}\n");
        let count = self.client.put_lines(puts.into_iter().map(line))?;
        self.client.expect_silence()?;
        let seconds = self.process.cpu()?.running - before;
        Ok(seconds * 1e6 / count as f64)
    }

    fn growth_bytes(&self) -> Result<f64> {
        Ok(self.process.memory_at_rest()?.resident - self.start_bytes)
    }

    /// One series byte for byte, and the number of all points.
    pub fn check(&mut self, key: &str, series: &[Point], all_points: usize) -> Result<()> {
        let reply = format!("ok\n{}", lines(key, series));
        let get = format!("get {key}\n");
        self.client.expect(get.as_bytes(), reply.as_bytes())?;
        self.client.send(b"get *\n")?;
        self.client.expect_lines(all_points + 2, b"")
    }
}

/// The lines of a series in a reply, and the blank one that ends it.
fn lines(key: &str, points: &[Point]) -> String {
    let line = |point: &Point| format!("{key} {:?} {}\n", point.value, point.timestamp);
    points.iter().map(line).collect::<String>() + "\n"
}

/// Puts everything to a new server; returns bytes and microseconds a point.
fn load(work: &Work, order: &Order) -> Result<[f64; 2]> {
    let mut server = Server::start()?;
    let micros = server.put(work.puts(order))?;
    let bytes = server.growth_bytes()? / order.len() as f64;
    let middle = work.keys.len() / 2;
    server.check(&work.keys[middle], &work.points[middle], order.len())?;
    Ok([bytes, micros])
}

/// Orders in turn, so that ratios are taken between neighbours in time.
fn orders() -> Result<()> {
    let work = Work::new(&WALK, SERIES);
    let random = shuffled(&work.order, 2);
    let mut rounds: Vec<[f64; 5]> = Vec::new();
    for _ in 0..ROUNDS {
        let [bytes, micros] = load(&work, &work.order)?;
        let [random_bytes, random_micros] = load(&work, &random)?;
        rounds.push([
            bytes,
            micros,
            random_micros / micros,
            random_bytes,
            repeats(&work)? / micros,
        ]);
    }
    let rows = [
        ("walk, two decimals, every 10 s: bytes a point", Some(1.3)),
        ("  in order, 1 x 1,000: server CPU µs a put", Some(0.12)),
        ("  random order: times in order", Some(4.0)),
        ("  random order: bytes a point", None),
        ("  the last 100 points again: times in order", Some(1.5)),
    ];
    for (number, (name, most)) in rows.into_iter().enumerate() {
        let figures = rounds.iter().map(|round| round[number]);
        row(name, median(figures.collect()).unwrap_or(f64::NAN), most);
    }
    Ok(())
}

/// Microseconds of a put that repeats one of the last hundred points of its series.
fn repeats(work: &Work) -> Result<f64> {
    let mut server = Server::holding(work, &work.order)?;
    let last = work.order[work.order.len() - 100 * SERIES..].repeat(10);
    let micros = server.put(work.puts(&last))?;
    server.check(&work.keys[0], &work.points[0], work.order.len())?;
    Ok(micros)
}

/// A store that grows to 100 M points, beside one that holds a million.
fn growth() -> Result<()> {
    const MARK: usize = 100_000_000;
    /// Puts to either at the end: what fills a block of each series, be it full or empty before;
    /// in turns, since the machine's speed moves meanwhile.
    const COMPARED_PUTS: usize = 1_120_000;
    const TURNS: usize = 14;
    let mut growing = Growing::start()?;
    growing.put(MARK - COMPARED_PUTS)?;
    let mut few = Growing::start()?;
    few.put(1_000_000)?;
    let (mut with_few, mut with_many) = (0.0, 0.0);
    for _ in 0..TURNS {
        with_few += few.put(COMPARED_PUTS / TURNS)?;
        with_many += growing.put(COMPARED_PUTS / TURNS)?;
    }
    let name = "a put at 100 M points: times one at 1 M";
    row(name, with_many / with_few, Some(1.15));
    let series: Vec<Point> = walk(0).take(growing.points / SERIES).collect();
    growing.server.check(&key(0), &series, growing.points)?;
    let bytes = growing.server.process.memory_at_rest()?.resident;
    row("  resident then, MB", bytes / 1e6, Some(130.0));
    Ok(())
}

/// A server, and walks that are made as they are put.
pub struct Growing {
    pub server: Server,
    keys: Vec<String>,
    walks: Vec<Points>,
    points: usize,
}

impl Growing {
    fn start() -> Result<Growing> {
        Ok(Growing::on(Server::start()?))
    }

    pub fn on(server: Server) -> Growing {
        Growing {
            server,
            keys: (0..SERIES).map(key).collect(),
            walks: (0..SERIES).map(walk).collect(),
            points: 0,
        }
    }

    /// Puts so many points, a multiple of the series, and says how many microseconds each took.
    pub fn put(&mut self, points: usize) -> Result<f64> {
        self.points += points;
        let (keys, walks) = (&self.keys, &mut self.walks);
        let next = |series: usize| Some((keys[series].as_str(), walks[series].next()?));
        let series = (0..points).map(|number| number % SERIES);
        self.server.put(series.filter_map(next))
    }
}
