//! A store filled for the cases that read, or weigh, what is there.

use std::ops::Range;

use crate::check;
use crate::generator::{Generator, Load, Until};
use crate::running::Running;
use crate::servers::{Need, Server};
use crate::workload::{self, Point, Script};

/// Connections that fill a server which cannot be pipelined.
const UNPIPELINED_CONNECTIONS: usize = 50;

/// Puts so many points of each series as fast as the server takes them, in the order of time in
/// each, and reads one series back.
pub fn fill(
    server: &Server,
    running: &Running,
    keys: Range<usize>,
    points_a_series: usize,
) -> Result<(), String> {
    let (connections, batch) = match server.can(Need::Pipelining) {
        true => (1, keys.len()),
        false => (UNPIPELINED_CONNECTIONS, 1),
    };
    let script = |connection| {
        let share = workload::share(keys.clone(), connection, connections);
        Script::ring(server.dialect, share, points_a_series, batch, 0)
    };
    let points = keys.len() * points_a_series;
    let batches = (points / connections / batch) as u64;
    let loads = Load::checked(
        (0..connections).map(script).collect(),
        server.dialect.put_reply,
    );
    let mut generator = Generator::connect(running, loads)?;
    let run = generator.run(Until::BatchesOfEach(batches))?;
    if run.requests != points as u64 {
        return Err(format!("{} puts instead of {points}", run.requests));
    }
    check_series(
        server,
        running,
        keys.start + keys.len() / 2,
        points_a_series,
    )
}

/// What a get of one whole series returns, byte for byte.
fn check_series(
    server: &Server,
    running: &Running,
    key_number: usize,
    points_a_series: usize,
) -> Result<(), String> {
    let key = workload::key(key_number);
    let values = workload::walk(key_number, points_a_series);
    let point = |(pass, value)| Point {
        key: key.clone(),
        value,
        timestamp: workload::timestamp(pass),
    };
    let points: Vec<Point> = values.into_iter().enumerate().map(point).collect();
    if let Some(inlet) = &running.inlet {
        return inlet.check_series(&points);
    }
    let get = server.get()?;
    let mut streams = running.connect(1)?;
    check::expect(&mut streams[0], &(get.request)(&key), &(get.reply)(&points))
}
