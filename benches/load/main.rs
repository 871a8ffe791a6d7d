//! Hostile loads: what the server must keep to whatever its clients do.
//!
//!     cargo bench --bench load -- [--only TEXT] [--small]
//!
//! Each case starts a server of its own, puts a load on it and prints what was measured beside
//! what it must be at most. All replies that clients read are compared byte by byte.
//!
//! `--only` runs the cases with this in their title. `--small` takes a tenth of everything and
//! no limits: it tries whether all runs and is answered rightly. Otherwise a limit that is missed
//! is a failure.

mod cases;
mod full;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;

use support::*;

/// Clients of a hostile load are many.
const MANY: &str = "--connection-limit 20000";

fn main() -> Result<()> {
    run_parts(&cases::CASES, &["only", "small"])?;
    ensure!(missed() == 0, "a limit is missed");
    Ok(())
}

/// A count as it is, or a tenth of it.
fn scaled(count: u32) -> u32 {
    if is_small() { count / 10 } else { count }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_millis(scaled(1_000 * seconds).into())
}

fn start() -> Result<Server> {
    let stop_timeout = scaled(5);
    Server::metricd(&format!("{MANY} --stop-timeout {stop_timeout}"))
}

/// Prints the longest wait of a put under a load.
fn waits_row(
    what: &str,
    server: &Server,
    time: Duration,
    load: impl FnOnce(&AtomicBool) -> Result<()> + Send,
) -> Result<()> {
    let waits = waits_under(server, time, load)?;
    let (p99, longest) = (waits.millis(0.99), waits.millis(1.0));
    let by_the_clock = micros(&waits.by_the_clock, 1.0) / 1e3;
    let remark = format!("≤ 20; p99 {p99:.2}, longest by the clock {by_the_clock:.2}");
    row(&format!("  {what}: ms"), longest, &remark);
    Ok(())
}
