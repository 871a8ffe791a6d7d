//! metricd beside its peers: the same work, the same machine, the same minutes.
//!
//!     cargo bench --bench versus -- [--rounds N] [--seconds S] [--only TEXT]
//!
//! Absolute figures move from machine to machine and from hour to hour. So the servers take
//! turns within a round, ratios are taken within it, and medians over the rounds; and one of
//! the servers is the *ceiling*, which does nothing but answer.
//!
//! Every figure comes from a server started for it, whose answers were checked before and are
//! checked while they are timed. Processor time and memory are the server's own, from `/proc`.

mod ceiling;
mod check;
mod dialect;
mod footprint;
mod generator;
mod machine;
mod options;
mod process;
mod puts;
mod reads;
mod report;
mod servers;
mod workload;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use options::Options;
use puts::Shape;
use report::{Recorder, Report};
use servers::{CEILING_ARGUMENT, Need, Server};

/// What is measured of one server at a time, and fills one title of the table or more.
enum Case {
    Puts(Shape),
    Start,
    Idle,
    Reads,
    Stall,
}

const CASES: [Case; 9] = [
    unpipelined(50),
    unpipelined(1),
    unpipelined(1_000),
    pipelined(1, 1_000),
    pipelined(8, 100),
    Case::Start,
    Case::Idle,
    Case::Reads,
    Case::Stall,
];

const fn unpipelined(connections: usize) -> Case {
    pipelined(connections, 1)
}

const fn pipelined(connections: usize, batch: usize) -> Case {
    Case::Puts(Shape { connections, batch })
}

impl Case {
    fn titles(&self) -> Vec<(String, &'static [&'static str])> {
        match self {
            Case::Puts(shape) => vec![(shape.title(), shape.rows())],
            Case::Start => vec![(footprint::START_TITLE.into(), &footprint::START_ROWS)],
            Case::Idle => vec![(footprint::IDLE_TITLE.into(), &footprint::IDLE_ROWS)],
            Case::Reads => vec![
                (reads::SERIES_TITLE.into(), &reads::SERIES_ROWS),
                (reads::ALL_TITLE.into(), &reads::ALL_ROWS),
            ],
            Case::Stall => vec![(reads::STALL_TITLE.into(), &reads::STALL_ROWS)],
        }
    }

    fn name(&self) -> String {
        match self {
            Case::Puts(shape) => shape.title(),
            Case::Start => footprint::START_TITLE.into(),
            Case::Idle => footprint::IDLE_TITLE.into(),
            Case::Reads => "gets over 1 M points".into(),
            Case::Stall => reads::STALL_TITLE.into(),
        }
    }

    fn needs(&self) -> &'static [Need] {
        match self {
            Case::Puts(shape) => shape.needs(),
            Case::Start | Case::Idle => &[],
            Case::Reads | Case::Stall => &[Need::Reading],
        }
    }

    /// Starts the server anew and measures it.
    fn measure(
        &self,
        server: &Server,
        options: &Options,
        recorder: &mut Recorder,
    ) -> Result<(), String> {
        let running = &server.start()?;
        let outcome = match self {
            Case::Puts(shape) => puts::measure(*shape, server, running, options, recorder),
            Case::Start => footprint::measure_start(running, recorder),
            Case::Idle => footprint::measure_idle(server, running, recorder),
            Case::Reads => reads::measure(server, running, options, recorder),
            Case::Stall => reads::measure_stall(server, running, options, recorder),
        };
        outcome.map_err(|error| format!("{error}; logged last: {}", running.log.text()))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let outcome = match arguments.first() {
        Some(first) if first == CEILING_ARGUMENT => {
            ceiling::run().map_err(|error| format!("ceiling: {error}"))
        }
        _ => match Options::parse(arguments) {
            Ok(options) => machine::ensure_descriptors().and_then(|()| compare(&options)),
            Err(usage) => {
                eprintln!("versus: {usage}");
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), String> {
    let (servers, missing) = servers::all()?;
    let mut report = Report::new(options, &servers);
    for (title, rows) in CASES.iter().flat_map(Case::titles) {
        report.declare(&title, rows);
    }
    if report.is_empty() {
        return Err("no row has that in its name".into());
    }
    for server in &servers {
        check::check(server).map_err(|error| format!("{}: {error}", server.name))?;
    }
    let begin = Instant::now();
    for round in 0..options.rounds {
        for case in &CASES {
            measure_in_turn(case, &servers, options, round, &mut report, begin);
        }
    }
    println!("{}", machine::description());
    for server in &servers {
        println!("{}: {}", server.name, server.command_line());
    }
    for line in missing {
        println!("{line}");
    }
    println!();
    report.print();
    match report.has_failures() {
        true => Err("some measurements failed, see above".into()),
        false => Ok(()),
    }
}

/// One case on all servers. Each round begins with another of them, because the first of a
/// round may find the machine in another state than the last.
fn measure_in_turn(
    case: &Case,
    servers: &[Server],
    options: &Options,
    round: usize,
    report: &mut Report,
    begin: Instant,
) {
    let titles = case.titles();
    let wanted = |(title, rows): &(String, &[&str])| options.wants_any(title, rows);
    if !titles.iter().any(wanted) {
        return;
    }
    for turn in 0..servers.len() {
        let number = (round + turn) % servers.len();
        let server = &servers[number];
        let mut recorder = Recorder {
            report,
            server: number,
            round,
        };
        if let Some(reason) = server.reason_against(case.needs()) {
            for (title, _rows) in &titles {
                recorder.cannot(title, reason);
            }
            continue;
        }
        let name = case.name();
        eprintln!(
            "{:4.0} s, round {}: {name}: {}",
            begin.elapsed().as_secs_f64(),
            round + 1,
            server.name
        );
        if let Err(reason) = case.measure(server, options, &mut recorder) {
            recorder.failed(&name, &reason);
        }
    }
}
