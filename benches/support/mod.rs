//! What the benches share: arguments, a server as a process, clients, series of points, tables.

pub mod client;
pub mod folder;
pub mod http;
pub mod latency;
pub mod process;
pub mod series;
pub mod table;

use anyhow::{Result, ensure};

/// The parts that the arguments name, or all if they name none; `flags` may be there too.
pub fn parts(parts: &[&'static str], flags: &[&str]) -> Result<Vec<&'static str>> {
    let mut named = Vec::new();
    for argument in std::env::args().skip(1) {
        let part = parts.iter().find(|part| **part == argument);
        // What cargo itself passes to every bench.
        let is_flag = argument == "--bench" || flags.contains(&&*argument);
        ensure!(
            part.is_some() || is_flag,
            "{argument}? It takes {parts:?} {flags:?}"
        );
        named.extend(part);
    }
    Ok(if named.is_empty() {
        parts.to_vec()
    } else {
        named
    })
}
