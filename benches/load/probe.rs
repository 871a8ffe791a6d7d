//! Another's put: a client that puts now and then and measures how long each `ok` takes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::crowd::OK;
use crate::daemon::{self, Daemon};

const INTERVAL: Duration = Duration::from_millis(2);

/// A put that takes longer is given up, and this is its figure.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest, and a note on the others.
pub type Waits = (Duration, String);

/// The waits under a load, which lasts until it returns or, at `time`, is told to stop.
///
/// Time in which the server or the probe was ready to run and had no core is taken off. On a busy
/// machine this may be a little too much, since the server may have been ready before the put.
pub fn during(
    daemon: &Daemon,
    time: Duration,
    load: impl FnOnce(&AtomicBool) -> Result<()> + Send,
) -> Result<Waits> {
    let mut stream = TcpStream::connect(daemon.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (load, begin) = (scope.spawn(|| load(&stop)), Instant::now());
        let goes_on = || begin.elapsed() < time && !load.is_finished();
        let waits = probe(&mut stream, daemon, goes_on);
        stop.store(true, Ordering::Relaxed);
        load.join().map_err(|_| "the load panicked")??;
        waits
    })
}

fn probe(stream: &mut TcpStream, daemon: &Daemon, goes_on: impl Fn() -> bool) -> Result<Waits> {
    let (mut waits, mut longest_by_the_clock) = (Vec::new(), Duration::ZERO);
    let delay = || daemon.delay() + daemon::schedule("thread-self", 1);
    let mut reply = [0; OK.len()];
    while waits.is_empty() || goes_on() && longest_by_the_clock < PATIENCE {
        let (begin, delayed) = (Instant::now(), delay());
        stream.write_all(b"put probe 1 1\n")?;
        match stream.read_exact(&mut reply) {
            Ok(()) if reply != OK.as_bytes() => return Err("a put is not answered ok".into()),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            _ => {}
        }
        let (delayed, wait) = (delay().saturating_sub(delayed), begin.elapsed());
        longest_by_the_clock = longest_by_the_clock.max(wait);
        let is_answered = wait < PATIENCE;
        waits.push(wait.saturating_sub(delayed * u32::from(is_answered)));
        thread::sleep(INTERVAL);
    }
    waits.sort_unstable();
    let p99 = waits[(waits.len() * 99).div_ceil(100) - 1];
    let note = format!("p99 {p99:.1?}, longest by the clock {longest_by_the_clock:.1?}");
    Ok((waits[waits.len() - 1], note))
}
