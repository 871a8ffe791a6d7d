//! How long puts wait for their replies, each by itself.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::process::Process;
use super::series::FIRST_TIMESTAMP;

const PUT_INTERVAL: Duration = Duration::from_millis(1);

/// A put that takes longer is given up, and this is its figure.
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
pub fn waits_of_puts(process: &Process, is_over: impl Fn() -> bool) -> Result<Waits> {
    let mut stream = process.connect()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let delayed = || -> Result<f64> {
        let own = fs::read_to_string("/proc/thread-self/schedstat")?;
        let own: f64 = own.split(' ').nth(1).context("no run delay")?.parse()?;
        Ok(process.cpu()?.waiting * 1e3 + own / 1e6)
    };
    let (mut waits, mut longest, mut timestamp) = (Vec::new(), 0.0, FIRST_TIMESTAMP);
    while waits.is_empty() || !is_over() {
        timestamp += 1;
        let (put, before) = (Instant::now(), delayed()?);
        stream.write_all(format!("put beside 0.5 {timestamp}\n").as_bytes())?;
        let mut reply = [0; 4];
        let outcome = stream.read_exact(&mut reply);
        let wait = put.elapsed().as_secs_f64() * 1e3;
        longest = f64::max(longest, wait);
        match outcome {
            Ok(()) if &reply == b"ok\n\n" => waits.push((wait - (delayed()? - before)).max(0.0)),
            Ok(()) => bail!("a put is not answered ok"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                waits.push(wait);
                break;
            }
            Err(error) => return Err(error.into()),
        }
        thread::sleep(PUT_INTERVAL);
    }
    waits.sort_by(f64::total_cmp);
    Ok(Waits {
        ascending: waits,
        longest_by_the_clock: longest,
    })
}

/// The waits under a load, which lasts until it returns or, at `time`, is told to stop.
pub fn waits_under(
    process: &Process,
    time: Duration,
    load: impl FnOnce(&AtomicBool) -> Result<()> + Send,
) -> Result<Waits> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (load, begin) = (scope.spawn(|| load(&stop)), Instant::now());
        let waits = waits_of_puts(process, || begin.elapsed() >= time || load.is_finished());
        stop.store(true, Ordering::Relaxed);
        load.join().ok().context("the load panicked")??;
        waits
    })
}
