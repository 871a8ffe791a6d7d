//! The servers side by side: what each is called, how it is started, what it cannot do.
//!
//! A further peer is a further `Server` here and, where it speaks something else, a `Dialect`.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::dialect::{Dialect, GRAPHITE, Get, GetAll, LINES, MEMCACHED, REDIS_SET, REDIS_ZADD};
use crate::inlet::InletKind;

/// The hidden first argument under which this program is the ceiling.
pub const CEILING_ARGUMENT: &str = "--ceiling";

/// What a case needs that not every server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Replies to puts.
    Answering,
    Pipelining,
    /// The newest point of a series, at least, can be had back.
    KeepingLatest,
    /// All points are kept.
    Keeping,
    /// Whole series can be had back over the protocol that they are put by.
    Reading,
}

/// An argument that is an empty word.
pub const NOTHING: &str = "{nothing}";

pub struct Server {
    pub name: &'static str,
    /// In the chart: seen on white and on black.
    pub colour: (u8, u8, u8),
    /// How a reader would call the program.
    program_shown: &'static str,
    pub program: String,
    /// `{port}`, `{query_port}` and `{folder}` are filled in at each start.
    pub arguments: Vec<String>,
    pub environment: &'static [(&'static str, &'static str)],
    /// Names and texts of files that the folder holds at the start.
    pub files: &'static [(&'static str, &'static str)],
    pub readiness: Readiness,
    pub dialect: &'static Dialect,
    pub inlet: Option<InletKind>,
    /// With the reason, for the reader of the table.
    pub cannot: &'static [(Need, &'static str)],
    /// What it says of its version.
    pub version: String,
}

/// How to know that a server can be connected to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It chose its own port, and says `listening on HOST:PORT` on standard output.
    AnnouncedOnOutput,
    /// The same on standard error.
    AnnouncedOnError,
    /// It was given a port, and accepts connections there.
    Accepts,
}

/// Looks for a server, or says why it cannot be run.
type Peer = fn() -> Result<Server, String>;

/// All servers that this machine can run, metricd first, and a line for each that it cannot.
pub fn all() -> Result<(Vec<Server>, Vec<String>), String> {
    let mut servers = vec![metricd(), ceiling()?];
    let mut missing = Vec::new();
    let peers: [(&str, Peer); 7] = [
        ("reference", reference),
        ("ref. on uvloop", reference_on_uvloop),
        ("Redis SET", redis_set),
        ("Redis ZADD", redis_zadd),
        ("memcached", memcached),
        ("VictoriaMetrics", victoria_metrics),
        ("carbon-cache", carbon_cache),
    ];
    for (name, peer) in peers {
        match peer() {
            Ok(server) => servers.push(server),
            Err(reason) => missing.push(format!("left out: {name}, {reason}")),
        }
    }
    Ok((servers, missing))
}

fn metricd() -> Server {
    Server {
        name: "metricd",
        colour: (0xe5, 0x2f, 0x3c),
        program_shown: "metricd",
        program: env!("CARGO_BIN_EXE_metricd").into(),
        arguments: words("--listen 127.0.0.1:0"),
        environment: &[],
        files: &[],
        readiness: Readiness::AnnouncedOnError,
        dialect: &LINES,
        inlet: None,
        cannot: &[],
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn ceiling() -> Result<Server, String> {
    let program = env::current_exe().map_err(|error| format!("no path of my own: {error}"))?;
    Ok(Server {
        name: "ceiling",
        colour: (0x8a, 0x93, 0x9d),
        program_shown: env!("CARGO_CRATE_NAME"),
        program: program.to_string_lossy().into_owned(),
        arguments: words(CEILING_ARGUMENT),
        cannot: &[
            (Need::KeepingLatest, KEEPS_NOTHING),
            (Need::Keeping, KEEPS_NOTHING),
            (Need::Reading, KEEPS_NOTHING),
        ],
        version: "answers ok to every newline and does nothing else".into(),
        ..metricd()
    })
}

const KEEPS_NOTHING: &str = "keeps no points";
const ONE_VALUE: &str = "keeps one value a key, not the points of a series";
const KEEPS_ONE: [(Need, &str); 2] = [(Need::Keeping, ONE_VALUE), (Need::Reading, ONE_VALUE)];

/// The state that glibc's malloc reaches by itself once a process has freed a block of 32 MiB,
/// as a `get *` makes the reference do. Before that, each of the 256 KiB buffers that asyncio
/// receives into is mapped and unmapped anew, for three times the cost of a request: a matter
/// of how long ago it was started, and no merit of another server.
const SETTLED_MALLOC: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TRIM_THRESHOLD_", "67108864"),
];

fn reference() -> Result<Server, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/asyncio_reference.py");
    if !Path::new(script).exists() {
        return Err(format!("no {script}"));
    }
    Ok(Server {
        name: "reference",
        colour: (0x2f, 0x7d, 0xe1),
        version: first_line("python3", &["--version"]).ok_or("python3 does not run")?,
        program_shown: "python3",
        program: "python3".into(),
        arguments: vec![script.into(), "127.0.0.1".into(), "0".into()],
        environment: &SETTLED_MALLOC,
        readiness: Readiness::AnnouncedOnOutput,
        cannot: &[(
            Need::Pipelining,
            "takes all that one read gives for one request",
        )],
        ..metricd()
    })
}

fn reference_on_uvloop() -> Result<Server, String> {
    const PRINT_VERSION: &str = "import uvloop; print('uvloop', uvloop.__version__)";
    let mut server = reference()?;
    server.name = "ref. on uvloop";
    server.colour = (0x14, 0xa8, 0xb8);
    server.version =
        first_line("python3", &["-c", PRINT_VERSION]).ok_or("python3 cannot import uvloop")?;
    server.arguments.push("--uvloop".into());
    Ok(server)
}

fn redis_set() -> Result<Server, String> {
    Ok(Server {
        name: "Redis SET",
        colour: (0xf0, 0x8c, 0x00),
        arguments: words("--bind 127.0.0.1 --port {port} --save {nothing} --appendonly no"),
        dialect: &REDIS_SET,
        cannot: &KEEPS_ONE,
        ..peer("redis-server")?
    })
}

fn redis_zadd() -> Result<Server, String> {
    Ok(Server {
        name: "Redis ZADD",
        colour: (0xa1, 0x62, 0x07),
        dialect: &REDIS_ZADD,
        cannot: &[],
        ..redis_set()?
    })
}

/// As many connections as the idle case opens, and more memory than any case fills: the
/// defaults are 1,024 and 64 MiB. Root must say that it means to run it as root.
fn memcached() -> Result<Server, String> {
    Ok(Server {
        name: "memcached",
        colour: (0x2d, 0xa4, 0x4e),
        arguments: words("-l 127.0.0.1 -p {port} -U 0 -t 1 -c 6000 -m 1024 -u root"),
        dialect: &MEMCACHED,
        cannot: &KEEPS_ONE,
        ..peer("memcached")?
    })
}

fn victoria_metrics() -> Result<Server, String> {
    const HTTP_ONLY: &str = "is read over HTTP, not by the protocol that it is put to";
    Ok(Server {
        name: "VictoriaMetrics",
        colour: (0x9a, 0x5c, 0xe6),
        // Points older than the retention, a month by default, would be dropped; and every
        // connection that has spoken counts as an insert, of which there are eight by default.
        arguments: words(
            "-graphiteListenAddr=127.0.0.1:{port} -httpListenAddr=127.0.0.1:{query_port} \
             -storageDataPath={folder} -retentionPeriod=100y -maxConcurrentInserts=6000",
        ),
        dialect: &GRAPHITE,
        inlet: Some(InletKind::VictoriaMetrics),
        cannot: &[
            (Need::Answering, ANSWERS_NO_PUT),
            (Need::Reading, HTTP_ONLY),
        ],
        ..peer("victoria-metrics")?
    })
}

fn carbon_cache() -> Result<Server, String> {
    const PICKLED: &str = "is read over another port and in pickle, and only its cache";
    Ok(Server {
        name: "carbon-cache",
        colour: (0xe0, 0x4f, 0xa5),
        arguments: words("--config={folder}/carbon.conf --logdir={folder} --nodaemon start"),
        files: &[
            ("carbon.conf", CARBON_CONFIGURATION),
            ("storage-schemas.conf", CARBON_SCHEMAS),
        ],
        dialect: &GRAPHITE,
        inlet: Some(InletKind::CarbonCache),
        cannot: &[(Need::Answering, ANSWERS_NO_PUT), (Need::Reading, PICKLED)],
        ..peer("carbon-cache")?
    })
}

const ANSWERS_NO_PUT: &str = "answers no put, so that no round trip can be timed";

/// No limits on its cache, and nothing written to disk, which would take points out of the
/// cache at 500 series a second and drop those beyond 50 new series a minute: by this order of
/// writing a point waits until it is sixty years old.
const CARBON_CONFIGURATION: &str = "[cache]
STORAGE_DIR = {folder}
LOCAL_DATA_DIR = {folder}
CONF_DIR = {folder}
LOG_DIR = {folder}
PID_DIR = {folder}
USER =
MAX_CACHE_SIZE = inf
USE_FLOW_CONTROL = False
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {port}
PICKLE_RECEIVER_PORT = 0
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query_port}
CACHE_WRITE_STRATEGY = timesorted
MIN_TIMESTAMP_LAG = 2000000000
CARBON_METRIC_INTERVAL = 0
LOG_LISTENER_CONN_SUCCESS = False
LOG_CACHE_HITS = False
ENABLE_LOGROTATION = False
";
const CARBON_SCHEMAS: &str = "[all]\npattern = .*\nretentions = 10s:1d\n";

/// A program on PATH that is given its port, with what it says of its version.
fn peer(program: &'static str) -> Result<Server, String> {
    let folders = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&folders).any(|folder| folder.join(program).is_file()) {
        return Err(format!("{program} is not on PATH"));
    }
    Ok(Server {
        program_shown: program,
        program: program.into(),
        readiness: Readiness::Accepts,
        version: first_line(program, &["--version"])
            .unwrap_or_default()
            .split(" sha=")
            .next()
            .unwrap_or_default()
            .into(),
        ..metricd()
    })
}

/// The first line that a program prints, where it runs and succeeds.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().to_string();
    output.status.success().then_some(line)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

impl Server {
    /// As one would type it in the repository, ports and folder apart.
    pub fn command_line(&self) -> String {
        let environment = self.environment.iter();
        let mut words: Vec<String> = environment
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        words.push(self.program_shown.into());
        words.extend(self.arguments.iter().cloned());
        let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/");
        words
            .join(" ")
            .replace(repository, "")
            .replace(NOTHING, "''")
    }

    /// Why the server cannot do a case that needs these, if so.
    pub fn reason_against(&self, needs: &[Need]) -> Option<&'static str> {
        let reason = self.cannot.iter().find(|(need, _)| needs.contains(need));
        reason.map(|(_, reason)| *reason)
    }

    /// How one series is had back; asked only of servers that can.
    pub fn get(&self) -> Result<&'static Get, String> {
        let get = self.dialect.get.as_ref();
        get.ok_or_else(|| "no get in its dialect".into())
    }

    /// How all series are had back; asked only of servers that can.
    pub fn get_all(&self) -> Result<&'static GetAll, String> {
        let get_all = self.dialect.get_all.as_ref();
        get_all.ok_or_else(|| "no get of all series in its dialect".into())
    }

    pub fn can(&self, need: Need) -> bool {
        self.reason_against(&[need]).is_none()
    }
}
