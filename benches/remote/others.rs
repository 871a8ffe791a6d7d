//! Others who hand points on: vmagent, and Prometheus in agent mode.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::sink::Sink;
use crate::support::folder::Folder;
use crate::support::http::metric;
use crate::support::process::{Memory, Process, free_address, is_installed};
use crate::support::table::{figure, table};
use crate::{SERIES, VictoriaMetrics, feed, megabytes, watch};

pub fn run(points: usize, scrape_time: Duration) -> Result<()> {
    let mut rows = Vec::new();
    rows.extend(vmagent(points)?);
    rows.extend(prometheus(scrape_time)?);
    let head =
        "others|points/s|µs of the process, a point|bytes, a point|MB at rest|MB at the most";
    println!("{}", table(head, rows));
    Ok(())
}

/// It takes the points in Graphite's plaintext protocol while VictoriaMetrics stands still, and then hands
/// them on.
fn vmagent(points: usize) -> Result<Option<Vec<String>>> {
    if !is_installed("vmagent") {
        return Ok(None);
    }
    let Some(victoria) = VictoriaMetrics::start()? else {
        return Ok(None);
    };
    let folder = Folder::new()?;
    let (graphite, http) = (free_address()?, free_address()?);
    let mut command = Command::new("vmagent");
    command.arg(format!("-httpListenAddr={http}"));
    command.arg(format!("-graphiteListenAddr={graphite}"));
    command.arg(format!("-remoteWrite.tmpDataPath={}", folder.0.display()));
    command.arg(format!(
        "-remoteWrite.url=http://{}/api/v1/write",
        victoria.process.address
    ));
    let process = Process::start(&mut command, &[http, graphite])?;
    let rest = process.memory_at_rest()?.resident;
    victoria.process.hold(true)?;
    let mut stream = TcpStream::connect(graphite)?;
    feed(points, "", |lines| Ok(stream.write_all(lines)?))?;
    let taken = "vmagent_rows_inserted_total{type=\"graphite\"}";
    let points = (points / SERIES * SERIES) as f64;
    let filling = watch(process.child.id(), || Ok(metric(http, taken)? >= points))?;
    let begin = Instant::now();
    victoria.process.hold(false)?;
    let sending = watch(process.child.id(), || Ok(victoria.rows()? >= points))?;
    let seconds = begin.elapsed().as_secs_f64();
    victoria.check(points as usize, "__name__")?;
    let bytes = metric(http, "vmagent_remotewrite_conn_bytes_written_total")?;
    Ok(Some(vec![
        "vmagent, catching up".into(),
        figure(points / seconds),
        figure(process.cpu()?.running * 1e6 / points),
        figure(bytes / points),
        megabytes(rest),
        megabytes(filling.max(sending)),
    ]))
}

/// It scrapes as many series each second.
fn prometheus(time: Duration) -> Result<Option<Vec<String>>> {
    if !is_installed("prometheus") {
        return Ok(None);
    }
    let sink = Sink::start(SERIES)?;
    let start = |scrapes: String| -> Result<(Process, Folder)> {
        let (address, folder) = (free_address()?, Folder::new()?);
        let config = folder.0.join("prometheus.yml");
        let to = format!("remote_write: [{{url: 'http://{}/write'}}]\n", sink.address);
        std::fs::write(&config, to + &scrapes)?;
        let mut command = Command::new("prometheus");
        command.arg("--enable-feature=agent");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!(
            "--storage.agent.path={}",
            folder.0.join("data").display()
        ));
        command.arg(format!("--web.listen-address={address}"));
        Ok((Process::start(&mut command, &[address])?, folder))
    };
    let (process, folder) = start(String::new())?;
    thread::sleep(time);
    let rest = Memory::of(process.child.id())?.resident;
    drop((process, folder));
    let target = sink.address;
    let scrapes = format!(
        "scrape_configs: [{{job_name: a, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    let (process, _folder) = start(scrapes)?;
    thread::sleep(time);
    // What it does at its start is not counted.
    let bytes = || metric(process.address, "prometheus_remote_storage_bytes_total");
    let (cpu, bytes_before) = (process.cpu()?.running, bytes()?);
    thread::sleep(time);
    let points = SERIES as f64 * time.as_secs_f64();
    Ok(Some(vec![
        "Prometheus in agent mode, scraping".into(),
        figure(points / time.as_secs_f64()),
        figure((process.cpu()?.running - cpu) * 1e6 / points),
        figure((bytes()? - bytes_before) / points),
        megabytes(rest),
        megabytes(Memory::of(process.child.id())?.resident),
    ]))
}
