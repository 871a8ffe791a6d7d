//! What the benches share: servers as processes, fleets of clients, what `/proc` says, series, tables.

mod fleet;
mod resources;
mod script;
mod series;
mod server;
mod table;
mod waits;

#[allow(unused_imports, reason = "what nearly all files need, said once")]
pub use {
    anyhow::{Context, Result, ensure},
    metricd::Point,
    rustix::process::Signal,
    std::ops::Range,
    std::sync::Arc,
    std::sync::atomic::{AtomicBool, Ordering},
    std::time::{Duration, Instant},
    std::{env, fs, thread},
};
#[allow(unused_imports, reason = "each bench uses some of them")]
pub use {fleet::*, resources::*, script::*, series::*, server::*, table::*, waits::*};

use std::collections::HashMap;

const PATIENCE: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A part of a bench: its name, and what it does.
pub type Part = (&'static str, fn() -> Result<()>);

/// Runs the parts that options name, or that have the text after `--only` in their names, or all.
pub fn run_parts(parts: &[Part], others: &[&str]) -> Result<()> {
    let names: Vec<&str> = parts.iter().map(|part| part.0).collect();
    let given = arguments(&[&names, others].concat())?;
    let only = given.get("only").map_or("", String::as_str);
    let is_whole = !names.iter().any(|name| given.contains_key(*name));
    open_many_files()?;
    println!("{}", machine()?);
    let mut failed = 0;
    for (name, part) in parts {
        if name.contains(only) && (is_whole || given.contains_key(*name)) {
            println!("\n{name}\n");
            let begin = Instant::now();
            if let Err(error) = part() {
                failed += 1;
                println!("failed: {error:#}");
            }
            println!("({} s)", begin.elapsed().as_secs());
        }
    }
    println!("\n{} limits missed, {failed} parts failed", missed());
    ensure!(failed == 0, "not all was measured");
    Ok(())
}

/// The options of the command line, each with the value after it, or with none.
pub fn arguments(known: &[&str]) -> Result<HashMap<String, String>> {
    let (mut given, mut words) = (HashMap::new(), env::args().skip(1).peekable());
    while let Some(word) = words.next() {
        let name = word.strip_prefix("--").unwrap_or_default();
        // What cargo itself passes to every bench.
        let is_known = name == "bench" || known.contains(&name);
        ensure!(is_known, "{word}? The options are {known:?}");
        let value = words.next_if(|word| !word.starts_with("--"));
        given.insert(name.to_string(), value.unwrap_or_default());
    }
    Ok(given)
}

/// Whether a tenth of everything will do, to try whether it runs and is answered rightly.
pub fn is_small() -> bool {
    env::args().any(|argument| argument == "--small")
}

/// The value of a variable of the environment.
pub fn variable(name: &str, otherwise: usize) -> Result<usize> {
    Ok(env::var(name).map_or(Ok(otherwise), |value| value.parse())?)
}

/// Asks until it is so, but not for ever.
pub fn until(what: &str, is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    until_each(POLL_INTERVAL, what, is_so)
}

/// Asks as often until it is so.
pub fn until_each(
    interval: Duration,
    what: &str,
    mut is_so: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        ensure!(begin.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        thread::sleep(interval);
    }
    Ok(())
}
