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

mod cases;
mod ceiling;
mod check;
mod dialect;
mod report;
mod servers;
mod summary;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;

use cases::{CASES, Case};
use check::Running;
use report::Report;
use support::*;

fn main() -> Result<()> {
    // The hidden argument under which this program is the ceiling.
    if let Some("--ceiling") = env::args().nth(1).as_deref() {
        let port = env::args().nth(2).context("no port")?;
        return Ok(ceiling::run(port.parse()?)?);
    }
    let given = arguments(&["rounds", "seconds", "only", "readme"])?;
    let number = |name, otherwise: &str| {
        let value = given.get(name).map_or(otherwise, String::as_str);
        value.parse::<f64>().context(name)
    };
    let report = Report {
        rounds: number("rounds", "3")? as usize,
        interval: Duration::try_from_secs_f64(number("seconds", "0.7")?)?,
        only: given.get("only").cloned().unwrap_or_default(),
        ..Report::default()
    };
    let writes_readme = given.contains_key("readme");
    let is_whole = report.only.is_empty() || !writes_readme;
    ensure!(is_whole, "--readme takes all cases, so no --only");
    open_many_files()?;
    compare(report, writes_readme)
}

fn compare(mut report: Report, writes_readme: bool) -> Result<()> {
    for peer in &servers::ALL {
        eprintln!("checking {}", peer.0);
        match Running::start(peer).and_then(|running| running.check()) {
            Ok(()) => report.peers.push((peer, peer.version()?)),
            // A comparison of others says nothing.
            Err(error) if report.peers.is_empty() => return Err(error),
            Err(error) => {
                let note = format!("Left out: {}: {error:#}", peer.0);
                report.notes.push(note);
            }
        }
    }
    let (begin, left_out) = (Instant::now(), report.notes.len());
    for round in 0..report.rounds {
        for case in &CASES {
            measure_in_turn(case, round, &mut report, begin);
        }
    }
    println!("{}", report.markdown()?);
    let is_whole = report.notes.len() == left_out;
    ensure!(is_whole, "some measurements failed, see above");
    ensure!(!report.figures.is_empty(), "nothing to do");
    match writes_readme {
        true => summary::write(&report),
        false => Ok(()),
    }
}

/// One case on all servers. Each round begins with another of them, because the first of a
/// round may find the machine in another state than the last.
fn measure_in_turn(
    Case(blocks, measure): &Case,
    round: usize,
    report: &mut Report,
    begin: Instant,
) {
    let mut peers: Vec<_> = report.peers.iter().map(|(peer, _)| *peer).collect();
    let first = round % peers.len();
    peers.rotate_left(first);
    for peer in peers {
        if !blocks.iter().any(|block| report.wants(block, peer)) {
            continue;
        }
        let (title, seconds) = (blocks[0].0, begin.elapsed().as_secs());
        let what = format!("round {}: {title}: {}", round + 1, peer.0);
        eprintln!("{seconds:4} s, {what}");
        let rows = Running::start(peer).and_then(|running| {
            let outcome = measure(&running, report.interval);
            outcome.with_context(|| running.server.log().unwrap_or_default())
        });
        match rows {
            Ok(rows) => {
                for (block, row) in blocks.iter().zip(rows) {
                    assert_eq!(row.len(), block.2.split('|').count(), "{}", block.0);
                    let rounds = report.figures.entry((block.0, peer.0));
                    rounds.or_default().push(row);
                }
            }
            Err(error) => report.notes.push(format!("Failed: {what}: {error:#}")),
        }
    }
}
