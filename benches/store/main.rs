//! What a point takes, and how fast points are put and read: in the store alone, and over the
//! wire in the real server, all included.
//!
//!     cargo bench --bench store -- [--alone | --wire]
//!
//! `--alone` is the first part only, `--wire` the second.

mod alone;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other bench looks at more of a process")]
mod support;
mod wire;
mod work;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let (mut alone, mut wire) = (true, true);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // What cargo itself passes to every bench.
            "--bench" => {}
            "--alone" => wire = false,
            "--wire" => alone = false,
            _ => bail!("{argument}? Usage: cargo bench --bench store -- [--alone | --wire]"),
        }
    }
    println!("{}", support::process::machine()?);
    if alone {
        println!("\nThe store alone, 1 M points\n\n{}", alone::run()?);
    }
    if wire {
        println!("\nThe server over loopback, all included\n");
        wire::run()?;
    }
    Ok(())
}
