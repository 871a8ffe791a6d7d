//! What a point takes, and how fast points are put and read: in the store alone, over the wire in
//! the real server, all included, and on disk; and what fits under a limit on memory.
//!
//!     cargo bench --bench store -- [--alone | --wire | --durable | --fits]
//!
//! Each option is one part only. `METRICD_POINTS=100000000` has `--durable` write checkpoints of so
//! many points, not of 10 M; `METRICD_MEMORY_LIMIT=64M` has `--fits` fill servers of that limit, not
//! of 16M.

mod alone;
mod durable;
mod fits;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;
mod wire;
mod work;

fn main() -> anyhow::Result<()> {
    let parts: [support::Part; 4] = [
        ("alone", alone::run),
        ("wire", wire::run),
        ("durable", durable::run),
        ("fits", fits::run),
    ];
    support::run_parts(&parts, &[])
}
