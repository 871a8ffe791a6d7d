//! How long puts wait for their replies, each by itself.

use std::io::{Read, Write};

use hdrhistogram::Histogram;
use procfs_core::{FromRead, process::Schedstat};

use super::*;

const PUT_INTERVAL: Duration = Duration::from_millis(1);

/// A put that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Nanoseconds that clients waited, to so many digits.
pub type Latencies = Histogram<u64>;
pub const DIGITS: u8 = 3;

/// The microseconds that the given part of all did not exceed; not a number if there is none.
pub fn micros(latencies: &Latencies, part: f64) -> f64 {
    match latencies.is_empty() {
        true => f64::NAN,
        false => latencies.value_at_quantile(part) as f64 / 1e3,
    }
}

/// The times that puts waited, one after the other.
///
/// Time in which the server or the one who puts was ready to run and had no core is taken off: others
/// that are measured are on the same cores. This may be a little too much, since the server may have
/// been ready before the put.
pub struct Waits {
    pub latencies: Latencies,
    /// With the time that is taken off.
    pub by_the_clock: Latencies,
}

/// Puts until something is over, once at least.
fn waits_of_puts(server: &Server, is_over: impl Fn() -> bool) -> Result<Waits> {
    let mut stream = server.connect()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let delayed = || -> Result<Duration> {
        let own = Schedstat::from_file("/proc/thread-self/schedstat")?.run_delay;
        Ok(Duration::from_nanos(own) + Duration::from_secs_f64(server.cpu()?.waiting))
    };
    let (mut latencies, mut by_the_clock) = (Latencies::new(DIGITS)?, Latencies::new(DIGITS)?);
    for timestamp in FIRST_TIMESTAMP.. {
        let (put, before, mut reply) = (Instant::now(), delayed()?, [0; 4]);
        stream.write_all(format!("put beside 0.5 {timestamp}\n").as_bytes())?;
        let outcome = stream.read_exact(&mut reply);
        outcome.context("a put is not answered")?;
        let wait = put.elapsed();
        ensure!(&reply == b"ok\n\n", "a put is not answered ok");
        by_the_clock.record(wait.as_nanos() as u64)?;
        let net = wait.saturating_sub(delayed()? - before);
        latencies.record(net.as_nanos() as u64)?;
        if is_over() {
            break;
        }
        thread::sleep(PUT_INTERVAL);
    }
    Ok(Waits {
        latencies,
        by_the_clock,
    })
}

/// Works while a load lasts, and then tells it to stop. The work can ask whether it is over already.
pub fn during<T>(
    load: impl FnOnce(&AtomicBool) -> Result<()> + Send,
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T>,
) -> Result<T> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| load(&stop));
        let outcome = work(&|| load.is_finished());
        stop.store(true, Ordering::Relaxed);
        load.join().ok().context("the load panicked")??;
        outcome
    })
}

impl Waits {
    /// The milliseconds that the given part did not exceed.
    pub fn millis(&self, part: f64) -> f64 {
        micros(&self.latencies, part) / 1e3
    }
}

/// The waits under a load, until it is over, or for so long.
pub fn waits_under(
    server: &Server,
    time: Duration,
    load: impl FnOnce(&AtomicBool) -> Result<()> + Send,
) -> Result<Waits> {
    let begin = Instant::now();
    during(load, |is_over| {
        waits_of_puts(server, || begin.elapsed() >= time || is_over())
    })
}

/// No load at all.
pub fn idle(stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(PUT_INTERVAL);
    }
    Ok(())
}
