//! How long puts wait for their replies, each by itself.

use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::process::Process;
use super::series::FIRST_TIMESTAMP;

const PUT_INTERVAL: Duration = Duration::from_millis(1);

/// The milliseconds in which 99 of 100 puts are answered, each by itself, until something is over.
///
/// Time in which the server or the one who puts was ready to run and had no core is taken off: others
/// that are measured are on the same cores.
pub fn p99_of_puts(process: &Process, is_over: impl Fn() -> bool) -> Result<f64> {
    let mut stream = process.connect()?;
    let waiting = || -> Result<f64> {
        let own = fs::read_to_string("/proc/thread-self/schedstat")?;
        let own: f64 = own.split(' ').nth(1).context("no run delay")?.parse()?;
        Ok(process.cpu()?.waiting + own / 1e9)
    };
    let (mut waits, mut timestamp) = (Vec::new(), FIRST_TIMESTAMP);
    while !is_over() {
        timestamp += 1;
        let (put, delayed) = (Instant::now(), waiting()?);
        stream.write_all(format!("put beside 0.5 {timestamp}\n").as_bytes())?;
        let mut reply = [0; 4];
        stream.read_exact(&mut reply)?;
        ensure!(&reply == b"ok\n\n", "a put is not answered ok");
        let wait = put.elapsed().as_secs_f64() - (waiting()? - delayed);
        waits.push(wait.max(0.0) * 1e3);
        thread::sleep(PUT_INTERVAL);
    }
    waits.sort_by(f64::total_cmp);
    let worst = waits.get(waits.len() * 99 / 100);
    worst.copied().context("no puts")
}
