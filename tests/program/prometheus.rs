//! `/metrics` as Prometheus reads it: `promtool` checks it, and a Prometheus scrapes it.
//!
//! Where they are not installed, the tests pass and say so, unless `METRICD_REQUIRE_PEERS` is set.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::support;
use crate::support::http::get;
use crate::support::process::{Daemon, listening_line};
use crate::support::receivers::{Kind, Receiver};
use crate::support::{OK, is_installed};

/// A server that has executed three puts and a wrong command.
fn start() -> (Daemon, SocketAddr) {
    let daemon = Daemon::start(&["--http", "127.0.0.1:0"]);
    let http = listening_line(&daemon.process);
    let mut client = daemon.connect();
    for time in 1..=3 {
        client.exchange(format!("put a.b 1 {time}\n").as_bytes(), OK);
    }
    client.exchange(b"wrong\n", support::WRONG_COMMAND);
    (daemon, http)
}

#[test]
fn counts_are_exposed() {
    let (daemon, http) = start();
    let answer = get(http, "/metrics");
    assert_eq!(answer.status, 200);
    for line in [
        "# TYPE metricd_requests_put_total counter",
        "metricd_requests_put_total 3",
        "metricd_requests_wrong_total 1",
        "# TYPE metricd_store_points gauge",
        "metricd_store_points 3",
        concat!(
            "metricd_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
    ] {
        assert!(
            answer.body.lines().any(|other| other == line),
            "{line}: {}",
            answer.body
        );
    }
    let resident = answer
        .body
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let resident: u64 = resident.expect("is told").parse().expect("a number");
    assert!((1 << 20..1 << 30).contains(&resident), "{resident}");
    daemon.process.stop();
}

#[test]
fn promtool_has_no_objection() {
    if !is_installed("promtool") {
        return;
    }
    let (daemon, http) = start();
    let metrics = get(http, "/metrics").body;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    promtool.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("can be started");
    let mut input = child.stdin.take().expect("is piped");
    input.write_all(metrics.as_bytes()).expect("takes it");
    drop(input);
    let output = child.wait_with_output().expect("ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
    daemon.process.stop();
}

#[test]
fn prometheus_scrapes_it() {
    let Some(mut prometheus) = Receiver::new(Kind::Prometheus) else {
        return;
    };
    let (daemon, http) = start();
    prometheus.scrape_configs = format!(
        "[{{job_name: a, scrape_interval: 100ms, scrape_timeout: 100ms, static_configs: [{{targets: ['{http}']}}]}}]"
    );
    prometheus.begin();
    let is_told = |path: &str, part: &str| prometheus.wait_for(path, |body| body.contains(part));
    is_told("/api/v1/query?query=up", ",\"1\"]}]");
    let puts = "/api/v1/query?query=metricd_requests_put_total";
    is_told(puts, ",\"3\"]}]");
    let metadata = "/api/v1/metadata?metric=metricd_store_points";
    is_told(metadata, "Points in the store.");
    prometheus.kill();
    daemon.process.stop();
}
