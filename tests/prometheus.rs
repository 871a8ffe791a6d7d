//! `/metrics` as Prometheus reads it: `promtool` checks it, and a Prometheus scrapes it.
//!
//! Where they are not installed, the tests pass and say so, unless `METRICD_REQUIRE_PEERS` is set.
#![cfg(all(feature = "daemon", target_os = "linux"))]

mod support;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::http::get;
use support::process::{Daemon, listening_line};
use support::{DEADLINE, OK, is_installed, temporary_path};

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

/// A Prometheus that scrapes a server. Killed, and its folder removed, when this is dropped.
struct Prometheus {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Prometheus {
        let folder = temporary_path("prometheus");
        fs::create_dir_all(&folder).expect("a folder");
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: metricd\n  static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, text).expect("is written");
        // Nobody else takes it within that time, as a rule; else Prometheus ends, and so does the test.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ));
        command.arg(format!("--web.listen-address={address}"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("can be started");
        Prometheus {
            child,
            folder,
            address,
        }
    }

    /// Asks until the answer has this part.
    fn wait_for(&mut self, target: &str, part: &str) {
        let start = Instant::now();
        loop {
            let is_up = TcpStream::connect(self.address).is_ok();
            let answer = is_up.then(|| get(self.address, target));
            if answer
                .as_ref()
                .is_some_and(|answer| answer.body.contains(part))
            {
                return;
            }
            let ended = self.child.try_wait().expect("is a child");
            assert!(
                ended.is_none() && start.elapsed() < 2 * DEADLINE,
                "{ended:?} {answer:?}"
            );
            // It tells nobody when it has scraped.
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Fails if it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
        // What is left is in the folder for temporary files.
        fs::remove_dir_all(&self.folder).ok();
    }
}

#[test]
fn prometheus_scrapes_it() {
    if !is_installed("prometheus") {
        return;
    }
    let (daemon, http) = start();
    let mut prometheus = Prometheus::start(http);
    let value = |value: &str| format!(",\"{value}\"]}}]");
    prometheus.wait_for("/api/v1/query?query=up", &value("1"));
    prometheus.wait_for(
        "/api/v1/query?query=metricd_requests_put_total",
        &value("3"),
    );
    prometheus.wait_for(
        "/api/v1/metadata?metric=metricd_store_points",
        "Points in the store.",
    );
    drop(prometheus);
    daemon.process.stop();
}
