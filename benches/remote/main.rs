//! Remote write: how fast points go on to another engine, what that takes, and whom it holds up.
//!
//!     cargo bench --bench remote -- [--herd | --catch-up | --beside] [--small]
//!
//! `--catch-up`: the server has taken points of 1,000 series in step while a receiver stood still, and now
//! sends them, to one that throws all away and to VictoriaMetrics. `--beside`: the same through vmagent, and
//! Prometheus in agent mode. `--herd`: many senders and one receiver, simulated. `METRICD_POINTS` says how
//! many points, 10,000,000 if nothing does; `--small` takes 200,000. What is not installed is left out.
//!
//! Processor time is that of threads and processes, from `/proc`. All share the cores of the machine, so rates
//! are of sender and receiver together.

mod herd;
mod others;
mod sink;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail, ensure};
use procfs_core::{FromRead, process::Schedstat};
use sink::Sink;
use support::client::Client;
use support::folder::Folder;
use support::http::{get, metric, text};
use support::latency::waits_of_puts;
use support::process::{Memory, Process, free_address, is_installed, machine};
use support::series::{Points, key, victoria_points, walk};
use support::table::{figure, table};

const SERIES: usize = 1_000;
const IDLE_TIME: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(300);
const THREAD: &str = "metricd-send-0";

fn main() -> Result<()> {
    let parts = support::parts(&["--herd", "--catch-up", "--beside"], &["--small"])?;
    let is_small = env::args().any(|argument| argument == "--small");
    let points = match env::var("METRICD_POINTS") {
        Ok(points) => points.parse().context("METRICD_POINTS")?,
        Err(_) if is_small => 200_000,
        Err(_) => 10_000_000,
    };
    let scrape_time = Duration::from_secs(if is_small { 2 } else { 15 });
    println!("{}\n", machine()?);
    for part in parts {
        match part {
            "--herd" => herd::run()?,
            "--catch-up" => catch_up(points)?,
            _ => others::run(points, scrape_time)?,
        }
    }
    Ok(())
}

/// Points of all series in step, in pieces of so many lines as there are series.
fn feed(points: usize, prefix: &str, mut send: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut series: Vec<(String, Points)> = (0..SERIES)
        .map(|number| (key(number), walk(number, 20, 0)))
        .collect();
    let mut lines = String::new();
    for _ in 0..points / SERIES {
        lines.clear();
        for (key, points) in &mut series {
            let point = points.next().context("points without end")?;
            writeln!(lines, "{prefix}{key} {} {}", point.value, point.timestamp)?;
        }
        send(lines.as_bytes())?;
    }
    Ok(())
}

/// A server with these options that has taken the points, and where it speaks HTTP.
fn server_with(folder: &Folder, points: usize, options: &[&str]) -> Result<(Process, SocketAddr)> {
    let data = folder.0.to_str().context("a folder of another name")?;
    let kept = ["--http", "127.0.0.1:0", "--data", data];
    let process = Process::metricd(kept.iter().chain(options))?;
    let http = process.announced()?.parse()?;
    let mut client = Client::connect(&process)?;
    let replies = b"ok\n\n".repeat(SERIES);
    feed(points, "put ", |lines| client.expect(lines, &replies))?;
    Ok((process, http))
}

/// VictoriaMetrics, in a folder of its own.
struct VictoriaMetrics {
    process: Process,
    _folder: Folder,
}

impl VictoriaMetrics {
    /// None if it is not installed.
    fn start() -> Result<Option<VictoriaMetrics>> {
        if !is_installed("victoria-metrics") {
            return Ok(None);
        }
        let (address, folder) = (free_address()?, Folder::new()?);
        let mut command = Command::new("victoria-metrics");
        command.arg(format!("-httpListenAddr={address}"));
        command.arg(format!("-storageDataPath={}", folder.0.display()));
        command.arg("-retentionPeriod=100y");
        let process = Process::start(&mut command, &[address])?;
        let _folder = folder;
        Ok(Some(VictoriaMetrics { process, _folder }))
    }

    fn rows(&self) -> Result<f64> {
        let series = "vm_rows_inserted_total{type=\"promremotewrite\"}";
        metric(self.process.address, series)
    }

    /// Compares one series with what was put.
    fn check(&self, points: usize, label: &str) -> Result<()> {
        get(self.process.address, "/internal/force_flush")?;
        let key = key(SERIES / 2);
        let target = format!("/api/v1/export?start=0&match%5B%5D=%7B{label}%3D%22{key}%22%7D");
        let export = text(self.process.address, &target)?;
        let expected: Vec<_> = walk(SERIES / 2, 20, 0).take(points / SERIES).collect();
        let is_same = export.contains(&victoria_points(&expected));
        ensure!(is_same, "a series is received otherwise than put");
        Ok(())
    }
}

/// Seconds of processor time of the sending thread.
fn sender_seconds(process: &Process) -> Result<f64> {
    for task in fs::read_dir(format!("/proc/{}/task", process.child.id()))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == THREAD {
            return Ok(Schedstat::from_file(task.join("schedstat"))?.sum_exec_runtime as f64 / 1e9);
        }
    }
    bail!("no thread {THREAD}")
}

fn megabytes(bytes: f64) -> String {
    figure(bytes / 1e6)
}

fn catch_up(points: usize) -> Result<()> {
    println!(
        "Catching up with {} points of {SERIES} series:\n",
        figure(points as f64)
    );
    let folder = Folder::new()?;
    let (process, _) = server_with(&folder, points, &[])?;
    let without = process.memory_at_rest()?.resident;
    drop(process);
    let mut rows = Vec::new();
    let sink = Sink::start(SERIES)?;
    let hold = |is_held| {
        sink.hold(is_held);
        Ok(())
    };
    rows.push(caught_up(
        "what throws all away",
        sink.address,
        &hold,
        points,
        without,
    )?);
    if let Some(victoria) = VictoriaMetrics::start()? {
        let process = &victoria.process;
        let hold = |is_held| process.hold(is_held);
        rows.push(caught_up(
            "VictoriaMetrics",
            process.address,
            &hold,
            points,
            without,
        )?);
        victoria.check(points, "key")?;
        let cpu = process.cpu()?.running * 1e6 / victoria.rows()?;
        let memory = Memory::of(process.child.id())?.resident;
        println!(
            "VictoriaMetrics itself: {} µs a point, {} MB\n",
            figure(cpu),
            megabytes(memory)
        );
    }
    let head = "to|points/s|µs of the thread, a point|µs of the server, puts included|bytes, a point|MB more than without|p99 of a put, idle: ms|meanwhile, more: ms";
    println!("{}", table(head, rows));
    println!(
        "must (aim): 0.5M points/s (1.5M) to VictoriaMetrics; µs of the thread ≤ 0.25 (0.12); bytes ≤ 10 (5); MB ≤ 4 (2); ms more ≤ 1 (0.2)\n"
    );
    Ok(())
}

/// Has a receiver stand still, puts, and lets it go on.
fn caught_up(
    name: &str,
    receiver: SocketAddr,
    hold: &dyn Fn(bool) -> Result<()>,
    points: usize,
    without: f64,
) -> Result<Vec<String>> {
    let folder = Folder::new()?;
    let url = format!("http://{receiver}/api/v1/write");
    hold(true)?;
    let (process, http) = server_with(&folder, points, &["--remote-write", &url])?;
    let idle = Instant::now();
    let idle_p99 = waits_of_puts(&process, || idle.elapsed() > IDLE_TIME)?.percentile(99);
    let before = sender_seconds(&process)?;
    let (begin, is_over, id) = (Instant::now(), AtomicBool::new(false), process.child.id());
    hold(false)?;
    let sent = || metric(http, "metricd_remote_sent_points_total");
    let (p99, most, seconds) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let most = watch(id, || Ok(sent()? >= points as f64));
            is_over.store(true, Ordering::Relaxed);
            anyhow::Ok((most?, begin.elapsed().as_secs_f64()))
        });
        let waits = waits_of_puts(&process, || is_over.load(Ordering::Relaxed))?;
        let (most, seconds) = watch.join().ok().context("it panicked")??;
        anyhow::Ok((waits.percentile(99), most, seconds))
    })?;
    let thread = sender_seconds(&process)? - before;
    Ok(vec![
        name.into(),
        figure(points as f64 / seconds),
        figure(thread * 1e6 / points as f64),
        figure(process.cpu()?.running * 1e6 / sent()?),
        figure(metric(http, "metricd_remote_sent_bytes_total")? / sent()?),
        megabytes(most - without),
        figure(idle_p99),
        figure(p99 - idle_p99),
    ])
}

/// Waits until it is so; returns the most memory that was resident in a process meanwhile.
fn watch(process_id: u32, mut is_so: impl FnMut() -> Result<bool>) -> Result<f64> {
    let (begin, mut most) = (Instant::now(), 0.0);
    while !is_so()? {
        ensure!(begin.elapsed() < PATIENCE, "not in {PATIENCE:?}");
        most = f64::max(most, Memory::of(process_id)?.resident);
        thread::sleep(POLL_INTERVAL);
    }
    Ok(most)
}
