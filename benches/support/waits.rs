//! How long puts wait for their replies, each by itself.

use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::*;

const PUT_INTERVAL: Duration = Duration::from_millis(1);

/// A put that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// The milliseconds that puts waited, one after the other.
///
/// Time in which the server or the one who puts was ready to run and had no core is taken off: others
/// that are measured are on the same cores. This may be a little too much, since the server may have
/// been ready before the put.
pub struct Waits {
    ascending: Vec<f64>,
    /// With the time that is taken off.
    pub longest_by_the_clock: f64,
}

impl Waits {
    /// So many of a hundred waited no longer.
    pub fn percentile(&self, percent: usize) -> f64 {
        self.ascending[(self.ascending.len() * percent).div_ceil(100) - 1]
    }
}

/// Puts until something is over, once at least.
fn waits_of_puts(server: &Server, is_over: impl Fn() -> bool) -> Result<Waits> {
    let mut stream = server.connect()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let delayed = || -> Result<f64> {
        let own = fs::read_to_string("/proc/thread-self/schedstat")?;
        let own: f64 = own.split(' ').nth(1).context("no run delay")?.parse()?;
        Ok(server.cpu()?.waiting * 1e3 + own / 1e6)
    };
    let (mut ascending, mut longest_by_the_clock, mut timestamp) = (vec![], 0.0, FIRST_TIMESTAMP);
    while ascending.is_empty() || !is_over() {
        timestamp += 1;
        let (put, before, mut reply) = (Instant::now(), delayed()?, [0; 4]);
        stream.write_all(format!("put beside 0.5 {timestamp}\n").as_bytes())?;
        let outcome = stream.read_exact(&mut reply);
        outcome.context("a put is not answered")?;
        let wait = put.elapsed().as_secs_f64() * 1e3;
        longest_by_the_clock = f64::max(longest_by_the_clock, wait);
        ensure!(&reply == b"ok\n\n", "a put is not answered ok");
        ascending.push((wait - (delayed()? - before)).max(0.0));
        thread::sleep(PUT_INTERVAL);
    }
    ascending.sort_by(f64::total_cmp);
    Ok(Waits {
        ascending,
        longest_by_the_clock,
    })
}

/// The waits under a load, which lasts until it returns or, at `time`, is told to stop.
pub fn waits_under(
    server: &Server,
    time: Duration,
    load: impl FnOnce(&AtomicBool) -> Result<()> + Send,
) -> Result<Waits> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (load, begin) = (scope.spawn(|| load(&stop)), Instant::now());
        let waits = waits_of_puts(server, || begin.elapsed() >= time || load.is_finished());
        stop.store(true, Ordering::Relaxed);
        load.join().ok().context("the load panicked")??;
        waits
    })
}

/// No load at all.
pub fn idle(stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(PUT_INTERVAL);
    }
    Ok(())
}
