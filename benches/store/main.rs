//! What a point takes, and how fast points are put and read: in the store alone, over the wire in
//! the real server, all included, and on disk; and what fits under a limit on memory.
//!
//!     cargo bench --bench store -- [--alone | --wire | --durable | --fits]
//!
//! Each option is one part only. `METRICD_POINTS=100000000` has `--durable` write checkpoints of so
//! many points, not of 10 M; `METRICD_MEMORY_LIMIT=64M` has `--fits` fill servers of that limit, not
//! of 16M.

mod alone;
mod checkpoint;
mod durable;
mod fits;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other bench looks at more of a process")]
mod support;
mod wire;
mod work;

use anyhow::Result;

/// The points of a checkpoint, unless the variable `METRICD_POINTS` gives another number.
const POINTS: usize = 10_000_000;

fn main() -> Result<()> {
    let parts = support::parts(&["--alone", "--wire", "--durable", "--fits"], &[])?;
    println!("{}", support::process::machine()?);
    for part in parts {
        match part {
            "--alone" => println!("\nThe store alone, 1 M points\n\n{}", alone::run()?),
            "--wire" => {
                println!("\nThe server over loopback, all included\n");
                wire::run()?;
            }
            "--durable" => {
                println!("\nThe server with --data, beside Redis\n");
                let points = std::env::var("METRICD_POINTS");
                let points = points.map_or(Ok(POINTS), |points| points.parse())?;
                durable::run(points)?;
                checkpoint::run(points)?;
            }
            _ => {
                println!("\nWhat fits under a limit\n");
                fits::run()?;
            }
        }
    }
    Ok(())
}
