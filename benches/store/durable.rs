//! Points on disk: their bytes, and how fast a start reads them.
//!
//! The folder is in the one for temporary files, and is removed. The rate of a start is that of the
//! fastest of a few, less what a start over an empty folder takes. The files are in the system's
//! cache then, those of Redis too. After a start all points are counted, and one series is compared
//! byte for byte.

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use metricd::Point;
use procfs_core::{FromRead, process::Status};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::{BATCH, Client};
use crate::support::folder::Folder;
use crate::support::process::{Process, free_address, is_installed};
use crate::support::table::{median, print_row};
use crate::wire::{SERIES, Server, row};
use crate::work::{WALK, Work, kind};

/// Redis gets the first points of each series, which suits it: its sets slow down as they grow.
const REDIS_POINTS_A_SERIES: usize = 1_000;

pub const ROUNDS: usize = 3;
const STARTS: usize = 5;

/// What is shorter cannot be told from how much starts differ.
const SHORTEST_SECONDS: f64 = 1e-3;

const PATIENCE: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Does not take more points than so many.
pub fn run(points: usize) -> Result<()> {
    let points_a_series = (points / SERIES).clamp(1, WALK.points);
    let work = Work::new(&kind(WALK.name, points_a_series, WALK.make), SERIES);
    let rates = restarts(&work)?;
    if is_installed("redis-server") {
        redis(&work, rates)?;
    }
    empty_folder()
}

/// Asks until it is so, but not for ever.
pub fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        ensure!(begin.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
    }
    Ok(())
}

pub fn start(folder: &Path) -> Result<Process> {
    Process::metricd([OsStr::new("--data"), folder.as_os_str()])
}

/// The last of a few processes, and the seconds of the fastest start. The others are killed.
fn fastest(
    start: impl Fn() -> Result<Process>,
    is_empty: Option<&Folder>,
) -> Result<(Process, f64)> {
    let (mut process, mut fastest) = (None, f64::INFINITY);
    for _ in 0..STARTS {
        drop(process.take());
        if let Some(Folder(folder)) = is_empty {
            fs::remove_dir_all(folder)?;
            fs::create_dir(folder)?;
        }
        let begin = Instant::now();
        process = Some(start()?);
        fastest = begin.elapsed().as_secs_f64().min(fastest);
    }
    Ok((process.context("no start")?, fastest))
}

/// Puts everything; returns how many points a second are read from the journal, and from a checkpoint.
fn restarts(work: &Work) -> Result<[f64; 2]> {
    let (folder, points) = (Folder::new()?, work.order.len() as f64);
    let (process, empty_seconds) = fastest(|| start(&folder.0), Some(&folder))?;
    let mut server = Server::over(process)?;
    server.put(work.puts(&work.order))?;
    let bytes = folder.bytes("journal-")? / points;
    row("journal: bytes a put", bytes, Some(10.0));
    drop(server);

    let (mut process, replay) = restart("replay", &folder, work, empty_seconds)?;
    kill_process(Pid::from_child(&process.child), Signal::TERM)?;
    until("the server ends", || {
        thread::sleep(POLL_INTERVAL);
        Ok(process.child.try_wait()?.is_some())
    })?;
    let bytes = folder.bytes("checkpoint-")? / points;
    ensure!(bytes > 0.0, "there is no checkpoint: put more points");
    row("checkpoint: bytes a point", bytes, Some(1.25));
    let (_, load) = restart("start from it", &folder, work, empty_seconds)?;
    Ok([replay, load])
}

/// Starts a server and checks what it holds; returns it, and how many points a second it has read.
fn restart(name: &str, folder: &Folder, work: &Work, empty_seconds: f64) -> Result<(Process, f64)> {
    let (process, seconds) = fastest(|| start(&folder.0), None)?;
    let rate = work.order.len() as f64 / (seconds - empty_seconds).max(SHORTEST_SECONDS);
    row(&format!("{name}: points/s"), rate, None);
    let mut server = Server::over(process)?;
    let [peak, now] = memory(&server.process)?;
    row(
        "  memory at its peak: times that after it",
        peak / now,
        Some(1.1),
    );
    let middle = SERIES / 2;
    server.check(&work.keys[middle], &work.points[middle], work.order.len())?;
    Ok((server.process, rate))
}

/// MB resident at the peak, and now.
pub fn memory(process: &Process) -> Result<[f64; 2]> {
    let status = Status::from_file(format!("/proc/{}/status", process.child.id()))?;
    let kibibytes = status.vmhwm.zip(status.vmrss);
    let (peak, now) = kibibytes.context("the system does not tell the peak of memory")?;
    Ok([peak, now].map(|kibibytes| kibibytes as f64 * 1024.0 / 1e6))
}

/// The same starts of Redis, beside our rates.
fn redis(work: &Work, rates: [f64; 2]) -> Result<()> {
    let folder = Folder::new()?;
    let start = |append_only| start_redis(&folder.0, append_only);
    let (process, empty_seconds) = fastest(|| start("yes"), Some(&folder))?;
    let mut client = Client::connect(&process)?;
    let order = &work.order[..work.order.len().min(REDIS_POINTS_A_SERIES * SERIES)];
    for batch in order.chunks(BATCH) {
        let mut requests = String::new();
        for (key, Point { timestamp, value }) in work.puts(batch) {
            write!(
                requests,
                "ZADD {key} {timestamp} {timestamp}:{value:.2}\r\n"
            )?;
        }
        client.expect(requests.as_bytes(), &b":1\r\n".repeat(batch.len()))?;
    }
    client.expect(b"SAVE\r\n", b"+OK\r\n")?;
    drop(process);
    let counts = format!(":{}\r\n", order.len() / SERIES).repeat(SERIES);
    let requests: String = work
        .keys
        .iter()
        .map(|key| format!("ZCARD {key}\r\n"))
        .collect();
    for (name, append_only, own_rate) in [("AOF", "yes", rates[0]), ("RDB", "no", rates[1])] {
        let (process, seconds) = fastest(|| start(append_only), None)?;
        Client::connect(&process)?.expect(requests.as_bytes(), counts.as_bytes())?;
        let rate = order.len() as f64 / (seconds - empty_seconds).max(SHORTEST_SECONDS);
        row(&format!("Redis from its {name}: points/s"), rate, None);
        let missed = if own_rate < 15.0 * rate {
            "MISSED, "
        } else {
            ""
        };
        print_row(
            "  ours: times that",
            own_rate / rate,
            &format!("{missed}must ≥ 15"),
        );
    }
    Ok(())
}

/// Returns when it answers, and so has loaded everything.
fn start_redis(folder: &Path, append_only: &str) -> Result<Process> {
    let address = free_address()?;
    let port = address.port().to_string();
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        "127.0.0.1",
        "--port",
        &port,
        "--appendonly",
        append_only,
    ]);
    // It neither saves nor rewrites its log of its own accord.
    command.args(["--save", "", "--auto-aof-rewrite-percentage", "0", "--dir"]);
    let process = Process::start(command.arg(folder), &[address])?;
    until("Redis answers", || {
        Ok(Client::connect(&process)?
            .expect(b"PING\r\n", b"+PONG\r\n")
            .is_ok())
    })?;
    Ok(process)
}

fn empty_folder() -> Result<()> {
    let mut more = Vec::new();
    for _ in 0..ROUNDS {
        let folder = Folder::new()?;
        let server = Server::over(start(&folder.0)?)?;
        more.push((server.start_bytes - Server::start()?.start_bytes) / 1e6);
    }
    let more = median(more).unwrap_or(f64::NAN);
    row(
        "an empty folder at start: more MB than without",
        more,
        Some(0.5),
    );
    Ok(())
}
