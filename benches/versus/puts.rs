//! Puts: one at a time over some connections, and in batches.

use std::time::Duration;

use crate::generator::{Generator, Interval, Reply, Until};
use crate::options::Options;
use crate::report::{Recorder, figure};
use crate::servers::{Need, Running, Server};
use crate::workload::Script;

const WARM_UP: Duration = Duration::from_millis(150);

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub connections: usize,
    /// Puts sent at once; 1 is unpipelined.
    pub batch: usize,
}

const UNPIPELINED_ROWS: [&str; 10] = [
    "requests/s",
    "latency p50, µs",
    "latency p99, µs",
    "latency p99.9, µs",
    "latency longest, µs",
    "server CPU µs a request",
    "  of it in user mode",
    "  of it in the kernel",
    "server busy, % of a core",
    "load generator busy, % of a core",
];

const PIPELINED_ROWS: [&str; 4] = [
    "puts/s",
    "server CPU µs a put",
    "server busy, % of a core",
    "load generator busy, % of a core",
];

impl Shape {
    pub fn title(self) -> String {
        let connections = match self.connections {
            1 => "1 connection".into(),
            count => format!("{} connections", figure(count as f64)),
        };
        match self.batch {
            1 => format!("put, {connections}"),
            batch => format!("put, pipelined, {connections} x {}", figure(batch as f64)),
        }
    }

    pub fn rows(self) -> &'static [&'static str] {
        match self.batch {
            1 => &UNPIPELINED_ROWS,
            _ => &PIPELINED_ROWS,
        }
    }

    pub fn needs(self) -> &'static [Need] {
        match self.batch {
            1 => &[],
            _ => &[Need::Pipelining],
        }
    }
}

pub fn measure(
    shape: Shape,
    server: &Server,
    running: &Running,
    options: &Options,
    recorder: &mut Recorder,
) -> Result<(), String> {
    let scripts = Script::puts_for_all(server.dialect, shape.connections, shape.batch, 0);
    let reply = Reply::constant(server.dialect.put_reply);
    let mut generator = Generator::connect(running, scripts, reply)?;
    generator.run(Until::Elapsed(WARM_UP))?;
    let until = Until::Elapsed(options.interval);
    let interval = Interval::measure(running, &mut generator, until)?;
    let values = match shape.batch {
        1 => unpipelined(&interval),
        _ => pipelined(&interval),
    };
    let title = shape.title();
    recorder.record(&title, shape.rows(), &values);
    recorder.note(&title, &interval);
    Ok(())
}

fn unpipelined(interval: &Interval) -> Vec<f64> {
    let run = &interval.run;
    let cpu = interval.server_micros_a_request();
    let user = cpu * interval.server.user_share();
    vec![
        run.requests_per_second(),
        run.latency_micros(0.5),
        run.latency_micros(0.99),
        run.latency_micros(0.999),
        run.latency_micros(1.0),
        cpu,
        user,
        cpu - user,
        interval.server_percent(),
        interval.generator_percent(),
    ]
}

fn pipelined(interval: &Interval) -> Vec<f64> {
    vec![
        interval.run.requests_per_second(),
        interval.server_micros_a_request(),
        interval.server_percent(),
        interval.generator_percent(),
    ]
}
