//! What 4 M points take, and how long, by the kind of series and the order of the puts.

use super::report::{Goal, at_most, median, row};
use super::server::Server;
use crate::series::{NOISE, SPARSE, STRAYING, WALK};
use crate::work::Work;

const ROUNDS: usize = 5;
const SERIES: usize = 1_000;
const SPARSE_SERIES: usize = 500_000;

struct Load {
    growth_bytes: f64,
    cpu_seconds: f64,
}

/// Puts everything to a new server over one connection, and checks what is stored.
fn load(work: &Work) -> Result<Load, String> {
    let server = Server::start()?;
    let mut client = server.connect()?;
    let begin_seconds = server.cpu_seconds()?;
    client.put_all(work.puts())?;
    let load = Load {
        cpu_seconds: server.cpu_seconds()? - begin_seconds,
        growth_bytes: server.growth_bytes()?,
    };
    let middle = work.keys.len() / 2;
    client.check_series(&work.keys[middle], &work.points[middle])?;
    client.ask("get *\n")?;
    client.expect_points(work.order.len(), b"")?;
    Ok(load)
}

/// Loads in three orders in turn, so that ratios are taken between neighbours in time.
pub fn measure_orders() -> Result<(), String> {
    let works = [
        Work::in_order(&WALK, SERIES),
        Work::in_order(&WALK, SERIES).at_random(),
        Work::in_order(&WALK, SERIES).backwards(),
    ];
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push([load(&works[0])?, load(&works[1])?, load(&works[2])?]);
    }
    let points = works[0].order.len() as f64;
    let of_rounds =
        |figure: &dyn Fn(&[Load; 3]) -> f64| median(rounds.iter().map(figure).collect());
    let bytes_a_point = |order: usize| of_rounds(&|round| round[order].growth_bytes / points);
    let times = |order: usize| of_rounds(&|round| round[order].cpu_seconds / round[0].cpu_seconds);

    let micros = of_rounds(&|round| round[0].cpu_seconds * 1e6 / points);
    row(
        "walk, two decimals, every 10 s: bytes a point",
        bytes_a_point(0),
        at_most(1.3, 1.1),
    );
    row(
        "  in order, 1 x 1,000: server CPU µs a put",
        micros,
        at_most(0.12, 0.09),
    );
    row("  at random: times that", times(1), at_most(10.0, 4.0));
    row("  at random: bytes a point", bytes_a_point(1), Goal::None);
    row("  backwards: times that", times(2), at_most(10.0, 4.0));
    row("  backwards: bytes a point", bytes_a_point(2), Goal::None);
    Ok(())
}

pub fn measure_kinds() -> Result<(), String> {
    let straying_name = "walk, two decimals, 10 s ± 3 s";
    let straying = (straying_name, &STRAYING, at_most(1.8, 1.6));
    let noise = (NOISE.name, &NOISE, at_most(11.0, 9.0));
    for (name, kind, goal) in [straying, noise] {
        let work = Work::in_order(kind, SERIES);
        let bytes = load(&work)?.growth_bytes / work.order.len() as f64;
        row(&format!("{name}: bytes a point"), bytes, goal);
    }
    let work = Work::in_order(&SPARSE, SPARSE_SERIES);
    let bytes = load(&work)?.growth_bytes / SPARSE_SERIES as f64;
    row(
        "500,000 series x 12 points: bytes a series",
        bytes,
        at_most(300.0, 250.0),
    );
    Ok(())
}
