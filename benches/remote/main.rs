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
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benches look at more")]
mod support;

use anyhow::bail;
use procfs_core::{FromRead, process::Schedstat};
use support::*;

const IDLE_TIME: Duration = Duration::from_secs(2);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(300);
const MUSTS: [f64; 7] = [5e5, 0.25, f64::NAN, 10.0, 4.0, f64::NAN, 1.0];
const THREAD: &str = "metricd-send-0";

const SINK: &str = "python3 benches/sink.py $http 1000";
const VICTORIA: &str =
    "victoria-metrics -httpListenAddr=127.0.0.1:$http -storageDataPath=$data -retentionPeriod=100y";
const VMAGENT: &str = "vmagent -httpListenAddr=127.0.0.1:$http \
    -graphiteListenAddr=127.0.0.1:$port -remoteWrite.tmpDataPath=$data -remoteWrite.url=";
const PROMETHEUS: &str = "prometheus --enable-feature=agent --config.file=$data/prometheus.yml \
    --storage.agent.path=$data/agent --web.listen-address=127.0.0.1:$http";

fn main() -> Result<()> {
    let [herd, catch_up]: [Part; 2] = [("herd", herd::run), ("catch-up", catch_up)];
    run_parts(&[herd, catch_up, ("beside", beside)], &["small"])
}

fn points() -> Result<usize> {
    let points = if is_small() { 200_000 } else { 10_000_000 };
    Ok(variable("METRICD_POINTS", points)? / SERIES * SERIES)
}

/// A server with these options that has taken the points.
fn filled(options: &str) -> Result<Server> {
    let options = format!("--http 127.0.0.1:$http --data $data {options}");
    Server::filled(&options, puts(20).take(points()?))
}

/// One series that VictoriaMetrics has taken is compared with what was put.
fn check(victoria: &Server, label: &str) -> Result<()> {
    let number = SERIES / 2;
    let expected: Vec<_> = walk(number, 20, 0).take(points()? / SERIES).collect();
    let is_same = victoria.exports(label, &key(number), &expected)?;
    ensure!(is_same, "a series is received otherwise than put");
    Ok(())
}

fn rows(victoria: &Server) -> Result<f64> {
    victoria.metric("vm_rows_inserted_total{type=\"promremotewrite\"}")
}

/// Seconds of processor time of the sending thread.
fn sender_seconds(server: &Server) -> Result<f64> {
    for task in fs::read_dir(server.proc("task"))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == THREAD {
            return Ok(Schedstat::from_file(task.join("schedstat"))?.sum_exec_runtime as f64 / 1e9);
        }
    }
    bail!("no thread {THREAD}")
}

fn catch_up() -> Result<()> {
    let without = filled("")?.memory_at_rest()?.resident;
    let sink = Server::start(SINK)?;
    let mut table_rows = vec![caught_up("what throws all away", &sink, without)?];
    if is_installed("victoria-metrics") {
        let victoria = Server::start(VICTORIA)?;
        table_rows.push(caught_up("VictoriaMetrics", &victoria, without)?);
        check(&victoria, "key")?;
        let micros = victoria.cpu()?.running * 1e6 / rows(&victoria)?;
        let megabytes = victoria.memory()?.resident / 1e6;
        println!("VictoriaMetrics itself: {micros:.2} µs a point, {megabytes:.0} MB\n");
    }
    table_rows.push(cells("must ≥, then ≤", &MUSTS));
    let head = "to|points/s|µs of the thread, a point|µs of the server, puts included|\
        bytes, a point|MB more than without|p99 of a put, idle: ms|meanwhile, more: ms";
    let (points, table) = (points()?, table(head, table_rows));
    println!("{points} points of {SERIES} series\n\n{table}");
    Ok(())
}

/// Has a receiver stand still, puts, and lets it go on.
fn caught_up(name: &str, receiver: &Server, without: f64) -> Result<Vec<String>> {
    let url = format!("http://127.0.0.1:{}/api/v1/write", receiver.ports[1]);
    receiver.hold(true)?;
    let server = filled(&format!("--remote-write {url}"))?;
    let idle = waits_under(&server, IDLE_TIME, idle)?;
    let (before, points) = (sender_seconds(&server)?, points()? as f64);
    server.reset_peak()?;
    let sent = || server.metric("metricd_remote_sent_points_total");
    let begin = Instant::now();
    receiver.hold(false)?;
    let waits = waits_under(&server, PATIENCE, |_| {
        until_each(LOOK_INTERVAL, "all is sent", || Ok(sent()? >= points))
    })?;
    let rate = points / begin.elapsed().as_secs_f64();
    let more = (server.peak_bytes()? - without) / 1e6;
    let thread = (sender_seconds(&server)? - before) * 1e6 / points;
    let all = server.cpu()?.running * 1e6 / sent()?;
    let bytes = server.metric("metricd_remote_sent_bytes_total")? / sent()?;
    let [idle, busy] = [idle, waits].map(|waits| waits.millis(0.99));
    let figures = [rate, thread, all, bytes, more, idle, busy - idle];
    Ok(cells(name, &figures))
}

/// Others who hand points on: vmagent, and Prometheus in agent mode.
fn beside() -> Result<()> {
    let mut rows = Vec::new();
    if is_installed("vmagent") && is_installed("victoria-metrics") {
        rows.push(vmagent()?);
    }
    if is_installed("prometheus") {
        rows.push(prometheus()?);
    }
    let head =
        "others|points/s|µs of the process, a point|bytes, a point|MB at rest|MB at the most";
    println!("{}", table(head, rows));
    Ok(())
}

/// It takes the points in Graphite's plaintext protocol while VictoriaMetrics stands still, and then hands
/// them on.
fn vmagent() -> Result<Vec<String>> {
    let (victoria, points) = (Server::start(VICTORIA)?, points()?);
    let url = format!("http://127.0.0.1:{}/api/v1/write", victoria.ports[1]);
    let agent = Server::start(&format!("{VMAGENT}{url}"))?;
    let rest = agent.memory_at_rest()?.resident;
    victoria.hold(true)?;
    let lines = puts(20).take(points).map(|put| put.replace("put ", ""));
    Fleet::one(&agent)?.put(lines, "", true)?;
    let points = points as f64;
    let taken = || agent.metric("vmagent_rows_inserted_total{type=\"graphite\"}");
    until_each(LOOK_INTERVAL, "it has taken all", || Ok(taken()? >= points))?;
    let begin = Instant::now();
    victoria.hold(false)?;
    until_each(LOOK_INTERVAL, "all is handed on", || {
        Ok(rows(&victoria)? >= points)
    })?;
    let rate = points / begin.elapsed().as_secs_f64();
    check(&victoria, "__name__")?;
    let bytes = agent.metric("vmagent_remotewrite_conn_bytes_written_total")? / points;
    let micros = agent.cpu()?.running * 1e6 / points;
    let most = agent.peak_bytes()?;
    let figures = [rate, micros, bytes, rest / 1e6, most / 1e6];
    Ok(cells("vmagent, catching up", &figures))
}

/// It scrapes as many series each second.
fn prometheus() -> Result<Vec<String>> {
    let time = Duration::from_secs(if is_small() { 2 } else { 15 });
    let sink = Server::start(SINK)?;
    let address = format!("127.0.0.1:{}", sink.ports[1]);
    let start = |scrapes: &str| {
        let folder = Arc::new(tempfile::tempdir()?);
        let config = format!("remote_write: [{{url: \"http://{address}/write\"}}]\n{scrapes}\n");
        fs::write(folder.path().join("prometheus.yml"), config)?;
        Server::start_in(&folder, PROMETHEUS)
    };
    let agent = start("")?;
    thread::sleep(time);
    let rest = agent.memory()?.resident;
    let targets = format!("static_configs: [{{targets: [\"{address}\"]}}]");
    let agent = start(&format!(
        "scrape_configs: [{{job_name: a, scrape_interval: 1s, {targets}}}]"
    ))?;
    // It has this figure some time after it listens. What it does at its start is not counted.
    let sent = || agent.metric("prometheus_remote_storage_bytes_total");
    until_each(LOOK_INTERVAL, "it sends", || Ok(sent().is_ok()))?;
    thread::sleep(time);
    let (cpu, bytes_before) = (agent.cpu()?.running, sent()?);
    thread::sleep(time);
    let points = SERIES as f64 * time.as_secs_f64();
    let micros = (agent.cpu()?.running - cpu) * 1e6 / points;
    let (bytes, most) = ((sent()? - bytes_before) / points, agent.memory()?.resident);
    let figures = [SERIES as f64, micros, bytes, rest / 1e6, most / 1e6];
    Ok(cells("Prometheus in agent mode, scraping", &figures))
}
