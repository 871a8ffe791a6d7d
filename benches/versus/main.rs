//! metricd beside its peers: the same work, the same machine, the same minutes.
//!
//!     cargo bench --bench versus -- [--rounds N] [--seconds S] [--only TEXT] [--readme]
//!
//! Absolute figures move from machine to machine and from hour to hour. So the servers take
//! turns within a round, ratios are taken within it, and medians over the rounds; and one of
//! the servers is the *ceiling*, which does nothing but answer.
//!
//! Every figure comes from a server started for it, whose answers were checked before and are
//! checked while they are timed. Processor time and memory are the server's own, from `/proc`.

mod blocks;
mod cases;
mod ceiling;
mod chart;
mod check;
mod dialect;
mod figure;
mod fill;
mod footprint;
mod generator;
mod inlet;
mod interval;
mod machine;
mod options;
mod process;
mod puts;
mod readme;
mod reads;
mod reply;
mod report;
mod running;
mod scratch;
mod servers;
mod table;
mod workload;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use cases::{CASES, Case};
use options::Options;
use report::{Report, Setup};
use servers::{CEILING_ARGUMENT, Server};

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
    let (servers, missing) = checked_servers()?;
    let mut report = Report::new(options, &servers);
    if report.blocks().next().is_none() {
        return Err("no case has that in its name".into());
    }
    let begin = Instant::now();
    for round in 0..options.rounds {
        for case in &CASES {
            measure_in_turn(case, &servers, options, round, &mut report, begin);
        }
    }
    print(&report, &missing);
    if !report.failures.is_empty() {
        return Err("some measurements failed, see above".into());
    }
    match options.readme {
        true => readme::write(&report, &missing),
        false => Ok(()),
    }
}

/// The servers that are there and answer as they should, and a line for each that is left out.
fn checked_servers() -> Result<(Vec<Server>, Vec<String>), String> {
    let (all, mut missing) = servers::all()?;
    let mut servers = Vec::with_capacity(all.len());
    for server in all {
        eprintln!("checking {}", server.name);
        match check::check(&server) {
            Ok(()) => servers.push(server),
            // A comparison of others says nothing.
            Err(error) if servers.is_empty() => return Err(format!("{}: {error}", server.name)),
            Err(error) => missing.push(format!("left out: {}, {error}", server.name)),
        }
    }
    for line in &missing {
        eprintln!("{line}");
    }
    Ok((servers, missing))
}

/// One case on all servers. Each round begins with another of them, because the first of a
/// round may find the machine in another state than the last.
fn measure_in_turn(
    case: &'static Case,
    servers: &[Server],
    options: &Options,
    round: usize,
    report: &mut Report,
    begin: Instant,
) {
    for turn in 0..servers.len() {
        let number = (round + turn) % servers.len();
        let server = &servers[number];
        let is_wanted = |block: &&blocks::Block| {
            options.wants(block.title) && server.reason_against(block.needs).is_none()
        };
        if !case.blocks.iter().any(is_wanted) {
            continue;
        }
        let (seconds, name) = (begin.elapsed().as_secs(), server.name);
        eprintln!("{seconds:4} s, round {}: {}: {name}", round + 1, case.name);
        let outcome = server.start().and_then(|running| {
            let mut setup = Setup {
                report,
                server,
                number,
                round,
                running: &running,
                options,
            };
            let outcome = case.measure(&mut setup);
            outcome.map_err(|error| format!("{error}; {}", running.log.text()))
        });
        if let Err(reason) = outcome {
            let failure = format!("{name}, {}, round {}: {reason}", case.name, round + 1);
            eprintln!("failed: {failure}");
            report.failures.push(failure);
        }
    }
}

fn print(report: &Report, missing: &[String]) {
    println!("{}\n", machine::description());
    for server in report.servers {
        let (name, version) = (server.name, &server.version);
        let line = format!("{name}: {}  ({version})", server.command_line());
        println!("{}", table::wrapped(line.trim_end_matches("  ()")));
    }
    for line in missing {
        println!("{line}");
    }
    println!("\n{}", table::for_terminal(report));
    for note in report.notes() {
        println!("{}", table::wrapped(&note));
    }
    for failure in &report.failures {
        println!("{}", table::wrapped(&format!("failed: {failure}")));
    }
}
