//! Gets: how fast they are, whom they hold up, and what one that nobody reads holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use metricd::Point;

use super::client::{Client, lines};
use super::report::{Goal, at_least, at_most, median, row};
use super::server::Server;
use crate::series::{Kind, WALK};
use crate::work::Work;

const SERIES: usize = 1_000;
const ROUNDS: usize = 3;

const ONE_POINTS: usize = 1_000;
const ONE_CONNECTIONS: usize = 8;
const ONE_REQUESTS_OF_EACH: usize = 1_000;

const ALL_POINTS_A_SERIES: usize = 10_000;
const ALL_POINTS: usize = SERIES * ALL_POINTS_A_SERIES;

/// Puts while everything is read, or while it is not.
const MORE_PUTS: usize = 1_000_000;
const PUTS_ALONE: usize = 20_000;
const REPLIES_A_ROUND: usize = 2;

const ALL_REQUEST: &str = "get *\n";

/// Gets of one series at a time, from several connections.
pub fn measure_one() -> Result<(), String> {
    let kind = Kind {
        points: ONE_POINTS,
        ..WALK
    };
    let work = Work::in_order(&kind, SERIES);
    let server = Server::start()?;
    let mut clients = Vec::with_capacity(ONE_CONNECTIONS);
    for _ in 0..ONE_CONNECTIONS {
        clients.push(server.connect()?);
    }
    clients[0].put_all(work.puts())?;
    clients[0].check_series(&work.keys[0], &work.points[0])?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push(micros_a_get(&server, &mut clients, &work)?);
    }
    let micros = median(rounds);
    row(
        "get of one series of 1,000 points: server CPU µs",
        micros,
        Goal::None,
    );
    row("  requests/s of server CPU", 1e6 / micros, Goal::None);
    println!("  must ≥ 14 and aim ≥ 25 times the reference: cargo bench --bench versus");
    Ok(())
}

fn micros_a_get(server: &Server, clients: &mut [Client], work: &Work) -> Result<f64, String> {
    let begin_seconds = server.cpu_seconds()?;
    for turn in 0..ONE_REQUESTS_OF_EACH {
        for (at, client) in clients.iter_mut().enumerate() {
            let key = &work.keys[(turn * ONE_CONNECTIONS + at) % SERIES];
            client.ask(&format!("get {key}\n"))?;
        }
        for client in &mut *clients {
            client.expect_points(ONE_POINTS, b"")?;
        }
    }
    let requests = (ONE_REQUESTS_OF_EACH * clients.len()) as f64;
    Ok((server.cpu_seconds()? - begin_seconds) * 1e6 / requests)
}

/// 10 M points, and 1 M that are put later.
pub struct All {
    work: Work,
    later: Vec<(u32, u32)>,
}

impl All {
    pub fn new() -> All {
        let kind = Kind {
            points: ALL_POINTS_A_SERIES + MORE_PUTS / SERIES,
            ..WALK
        };
        let mut work = Work::in_order(&kind, SERIES);
        let later = work.split_last(MORE_PUTS);
        All { work, later }
    }

    fn later_puts(&self) -> impl Iterator<Item = (&str, Point)> {
        self.later.iter().map(|&place| self.work.put(place))
    }

    /// A server that holds the 10 M points, and who put them.
    fn load(&self) -> Result<(Server, Client), String> {
        let server = Server::start()?;
        let mut client = server.connect()?;
        client.put_all(self.work.puts())?;
        Ok((server, client))
    }

    /// How a reply with the 10 M points ends: with all those of the last series.
    fn reply_end(&self) -> String {
        let last = SERIES - 1;
        let points = &self.work.points[last][..ALL_POINTS_A_SERIES];
        lines(&self.work.keys[last], points)
    }

    pub fn measure_speed(&self) -> Result<(), String> {
        let (server, mut client) = self.load()?;
        let middle = SERIES / 2;
        let points = &self.work.points[middle][..ALL_POINTS_A_SERIES];
        client.check_series(&self.work.keys[middle], points)?;
        let end = self.reply_end();
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let begin_seconds = server.cpu_seconds()?;
            client.ask(ALL_REQUEST)?;
            client.expect_points(ALL_POINTS, end.as_bytes())?;
            let seconds = server.cpu_seconds()? - begin_seconds;
            rounds.push(ALL_POINTS as f64 / 1e6 / seconds);
        }
        let name = "get *, 10 M points: M points/s of server CPU";
        row(name, median(rounds), at_least(15.0, 25.0));
        self.measure_others(&server, &mut client)
    }

    /// Puts by another client, one at a time, alone and while a client reads everything.
    fn measure_others(&self, server: &Server, client: &mut Client) -> Result<(), String> {
        let stored = AtomicUsize::new(ALL_POINTS);
        let mut later = self.later.iter().copied();
        let mut put = || {
            let place = later.next().ok_or("no more points to put")?;
            let (key, point) = self.work.put(place);
            let latency = client.put(key, point)?;
            stored.fetch_add(1, Ordering::SeqCst);
            Ok::<Duration, String>(latency)
        };
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let latencies: Result<Vec<_>, _> = (0..PUTS_ALONE).map(|_| put()).collect();
            alone.push(p99_milliseconds(latencies?)?);
            let mut reader = server.connect()?;
            let latencies = thread::scope(|scope| {
                let reading = scope.spawn(|| read_repeatedly(&mut reader, &stored));
                let mut latencies = Vec::new();
                while !reading.is_finished() {
                    latencies.push(put()?);
                }
                reading.join().map_err(|_| "the reader panicked")??;
                Ok::<Vec<Duration>, String>(latencies)
            })?;
            beside.push(p99_milliseconds(latencies)?);
        }
        let over = alone
            .iter()
            .zip(&beside)
            .map(|(alone, beside)| beside - alone);
        let over = median(over.collect());
        row(
            "  p99 of a put by another alone, ms",
            median(alone),
            Goal::None,
        );
        row("  p99 during it, ms", median(beside), Goal::None);
        row(
            "  p99 during it over p99 alone, ms",
            over,
            at_most(1.0, 0.2),
        );
        Ok(())
    }

    /// A client that asks for everything and reads nothing, without and with puts by others.
    /// What the puts themselves cost is measured by a second server without such a client.
    pub fn measure_stall(&self) -> Result<(), String> {
        let (server, mut client) = self.load()?;
        let before = server.growth_bytes()?;
        client.put_all(self.later_puts())?;
        let puts = server.growth_bytes()? - before;
        drop((server, client));

        let (server, mut client) = self.load()?;
        let before = server.growth_bytes()?;
        let mut reader = server.connect()?;
        reader.ask(ALL_REQUEST)?;
        let stalled = server.growth_bytes()? - before;
        client.put_all(self.later_puts())?;
        let stalled_and_puts = server.growth_bytes()? - before;
        reader.expect_points(ALL_POINTS, self.reply_end().as_bytes())?;
        let drained = server.growth_bytes()? - before;

        let row = |name: &str, bytes: f64, goal: Goal| row(name, bytes / 1024.0, goal);
        row(
            "  a stalled reader of it, KiB",
            stalled,
            at_most(256.0, 64.0),
        );
        let name = "  the same while others put 1 M points, less their cost, KiB";
        row(name, stalled_and_puts - puts, at_most(256.0, 64.0));
        row("  1 M puts without a stalled reader, KiB", puts, Goal::None);
        row(
            "  1 M puts with it, KiB",
            stalled_and_puts - stalled,
            Goal::None,
        );
        row(
            "  left of it once it has read, KiB",
            drained - puts,
            Goal::None,
        );
        Ok(())
    }
}

/// Reads everything at full speed. Each reply holds what was stored when it was asked for, so
/// no less than was acknowledged before and no more than could have come till it is read.
fn read_repeatedly(reader: &mut Client, stored: &AtomicUsize) -> Result<(), String> {
    for _ in 0..REPLIES_A_ROUND {
        let least = stored.load(Ordering::SeqCst);
        reader.ask(ALL_REQUEST)?;
        let points = reader.read_points(b"")?;
        // One put may be stored and not counted yet.
        let most = stored.load(Ordering::SeqCst) + 1;
        if !(least..=most).contains(&points) {
            return Err(format!("{points} points, not {least} to {most}"));
        }
    }
    Ok(())
}

fn p99_milliseconds(mut latencies: Vec<Duration>) -> Result<f64, String> {
    latencies.sort_unstable();
    let rank = (latencies.len() * 99).div_ceil(100);
    let latency = latencies.get(rank.saturating_sub(1));
    latency
        .map(|latency| latency.as_secs_f64() * 1e3)
        .ok_or_else(|| "nothing was put meanwhile".into())
}
