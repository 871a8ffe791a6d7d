//! VictoriaMetrics and Prometheus as receivers of remote write.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

pub use super::Folder;
use super::http::get;
use super::json::Json;
use super::process::Process;
use super::{DEADLINE, is_installed};

/// Of each series, by its labels as `name{label="value",…}`, the bits of the values by their milliseconds.
pub type Points = BTreeMap<String, BTreeMap<i64, u64>>;

/// An address on which nobody listens. Nobody else takes it: Linux has many loopback addresses, so each
/// process of tests has one of its own, and connections come from another.
pub fn free_address() -> SocketAddr {
    let [.., high, middle, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, high | 0x80, middle, low);
    let listener = TcpListener::bind((own, 0)).expect("a port");
    listener.local_addr().expect("its address")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    VictoriaMetrics,
    Prometheus,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Kind::VictoriaMetrics => "victoria-metrics",
            Kind::Prometheus => "prometheus",
        }
    }

    /// The command that starts it; `scrape_configs` is for Prometheus.
    fn command(self, address: SocketAddr, folder: &Path, scrape_configs: &str) -> Command {
        let mut command = Command::new(self.program());
        let data = folder.join("data");
        let data = data.display();
        match self {
            Kind::VictoriaMetrics => command.args([
                format!("-httpListenAddr={address}"),
                format!("-storageDataPath={data}"),
                "-retentionPeriod=100y".into(),
                "-memory.allowedBytes=64MB".into(),
            ]),
            Kind::Prometheus => {
                let config = folder.join("prometheus.yml");
                let text = format!("scrape_configs: {scrape_configs}\n");
                fs::write(&config, text).expect("is written");
                command.args([
                    format!("--config.file={}", config.display()),
                    format!("--storage.tsdb.path={data}"),
                    format!("--web.listen-address={address}"),
                    "--web.enable-remote-write-receiver".into(),
                ])
            }
        };
        command
    }
}

/// A receiver, which keeps its address and its folder when it is started again.
pub struct Receiver {
    pub kind: Kind,
    pub address: SocketAddr,
    folder: Folder,
    /// What a Prometheus scrapes, as its configuration has it.
    pub scrape_configs: String,
    process: Option<Process>,
    /// It has ended without a chance to write what it had acknowledged.
    pub may_have_lost: bool,
}

impl Receiver {
    /// One that does not run yet; `None` if it is not installed.
    pub fn new(kind: Kind) -> Option<Receiver> {
        is_installed(kind.program()).then(|| Receiver {
            kind,
            address: free_address(),
            folder: Folder::new(),
            scrape_configs: "[]".into(),
            process: None,
            may_have_lost: false,
        })
    }

    /// One that takes points.
    pub fn start(kind: Kind) -> Option<Receiver> {
        let mut receiver = Receiver::new(kind)?;
        receiver.begin();
        receiver.wait_until_it_serves();
        Some(receiver)
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Starts it, and does not wait.
    pub fn begin(&mut self) {
        let (folder, scrapes) = (&self.folder.0, &self.scrape_configs);
        let mut command = self.kind.command(self.address, folder, scrapes);
        self.process = Some(Process::spawn(&mut command));
    }

    #[track_caller]
    pub fn wait_until_it_serves(&self) {
        let path = match self.kind {
            Kind::VictoriaMetrics => "/health",
            Kind::Prometheus => "/-/ready",
        };
        self.wait_for(path, |body| {
            body.starts_with("OK") || body.contains("is Ready")
        });
    }

    /// How many points of the last hour it has of a series, those included that are not answered yet.
    #[track_caller]
    pub fn taken(&self, name: &str) -> f64 {
        let query = encoded(&format!("count_over_time({name}[1h])"));
        // VictoriaMetrics would answer from a cache otherwise.
        let answer = self.ask(&format!("/api/v1/query?query={query}&nocache=1"));
        let answer = Json::read(&answer);
        // No result while there are no points.
        let counts = answer.get("data").get("result").items();
        counts
            .iter()
            .map(|count| count.get("value").items()[1].number())
            .sum()
    }

    /// Asks for a path until the answer is as wanted.
    #[track_caller]
    pub fn wait_for(&self, path: &str, is_wanted: impl Fn(&str) -> bool) {
        let start = Instant::now();
        loop {
            let is_up = TcpStream::connect(self.address).is_ok();
            let answer = is_up.then(|| get(self.address, path));
            if answer
                .as_ref()
                .is_some_and(|answer| is_wanted(&answer.body))
            {
                return;
            }
            assert!(start.elapsed() < 2 * DEADLINE, "{path}: {answer:?}");
            // It tells nobody when it is so far.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at any moment, in the hardest way after which it still has all that it has acknowledged.
    ///
    /// Prometheus has written a request to its log when it answers, and takes `kill -9`. VictoriaMetrics keeps
    /// what came in the last seconds in memory, and loses it so. SIGTERM has it written, but for one moment:
    /// it listens before it asks for that signal. If it is killed then, it
    /// [may have lost](Self::may_have_lost) what it has acknowledged.
    pub fn end(&mut self) {
        let process = self.process.take().expect("runs");
        process.signal(Signal::STOP);
        let listens = TcpStream::connect(self.address).is_ok();
        if self.kind == Kind::Prometheus || !listens {
            process.kill();
            return;
        }
        process.signal(Signal::TERM);
        process.signal(Signal::CONT);
        let end = process.end();
        assert!(matches!(end.code, Some(0) | None), "{end:?}");
        self.may_have_lost |= end.code.is_none();
    }

    /// Has it keep what it has acknowledged so far, even if [`kill`](Self::kill) is next.
    pub fn keep(&self) {
        if self.kind == Kind::VictoriaMetrics {
            // What is in memory is written to disk before it is part of a snapshot.
            for path in ["/snapshot/create", "/snapshot/delete_all"] {
                self.wait_for(path, |body| body.contains("\"ok\""));
            }
        }
    }

    /// Ends it by `kill -9`.
    pub fn kill(&mut self) {
        self.process.take().expect("runs").kill();
    }

    /// Has it stand still, or go on.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("runs").signal(signal);
    }

    /// The points of all series that this selector means, those of the hour before the end (in seconds) at least.
    #[track_caller]
    pub fn points(&self, selector: &str, end: i64) -> Points {
        let selector = encoded(selector);
        match self.kind {
            Kind::VictoriaMetrics => {
                let path = format!("/api/v1/export?start=0&end={end}&match%5B%5D={selector}");
                self.ask(&path)
                    .lines()
                    .map(Json::read)
                    .map(exported)
                    .collect()
            }
            Kind::Prometheus => {
                let path = format!("/api/v1/query?query={selector}%5B1h%5D&time={end}");
                let answer = Json::read(&self.ask(&path));
                let series = answer.get("data").get("result").items();
                series.iter().map(queried).collect()
            }
        }
    }

    /// The answer to a query for what it has taken so far.
    #[track_caller]
    fn ask(&self, path: &str) -> String {
        if self.kind == Kind::VictoriaMetrics {
            // It shows new points after a second otherwise.
            get(self.address, "/internal/force_flush");
        }
        let answer = get(self.address, path);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }
}

/// All that is not surely harmless in a query, by its code.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).into(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// A line of an export of VictoriaMetrics.
fn exported(line: Json) -> (String, BTreeMap<i64, u64>) {
    let (values, times) = (line.get("values").items(), line.get("timestamps").items());
    let times = times
        .iter()
        .map(|time| time.text().parse().expect("a time"));
    let bits = values.iter().map(|value| value.number().to_bits());
    (labels(&line), times.zip(bits).collect())
}

/// A series of a result of Prometheus: pairs of seconds and a value as text.
fn queried(series: &Json) -> (String, BTreeMap<i64, u64>) {
    let points = series.get("values").items().iter().map(|point| {
        let [time, value] = point.items() else {
            panic!("{point:?} is no point");
        };
        let time = (time.number() * 1e3).round() as i64;
        (time, value.number().to_bits())
    });
    (labels(series), points.collect())
}

fn labels(series: &Json) -> String {
    let mut labels: Vec<_> = series.get("metric").entries().iter().collect();
    labels.sort_by_key(|(name, _)| name);
    let name = series.get("metric").get("__name__").text();
    let others = labels.iter().filter(|(name, _)| name != "__name__");
    let others: Vec<String> = others
        .map(|(name, value)| format!("{name}={:?}", value.text()))
        .collect();
    format!("{name}{{{}}}", others.join(","))
}
