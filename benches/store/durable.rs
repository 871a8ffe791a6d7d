//! Points on disk: their bytes, how fast a start reads them, and what a checkpoint costs.
//!
//! The folder is in the one for temporary files, and is removed. The rate of a start is that of the
//! fastest of a few, less what a start over an empty folder takes. The files are in the system's
//! cache then, those of Redis too. After a start all points are counted, and one series is compared
//! byte for byte.

use tempfile::TempDir;

use crate::support::*;
use crate::wire::check;
use crate::work::STEP;

/// Redis gets the first points of each series, which suits it: its sets slow down as they grow.
const REDIS_POINTS_A_SERIES: usize = 1_000;

/// Their journal is long enough for a checkpoint at the end, and too short for one before.
const FEWEST_POINTS: usize = 10_000_000;

const ROUNDS: usize = 3;
const STARTS: usize = 5;

/// What is shorter cannot be told from how much starts differ.
const SHORTEST_SECONDS: f64 = 1e-3;

const METRICD: &str = "metricd --listen 127.0.0.1:$port --data $data";

/// It neither saves nor rewrites its log of its own accord.
const REDIS: [&str; 2] = [
    "redis-server --bind 127.0.0.1 --port $port --dir $data --save '' \
     --auto-aof-rewrite-percentage 0 --appendonly yes",
    "redis-server --bind 127.0.0.1 --port $port --dir $data --save '' \
     --auto-aof-rewrite-percentage 0 --appendonly no",
];

/// A checkpoint begins when the journal is longer than this, and than the last checkpoint.
const JOURNAL_BYTES: f64 = (64 << 20) as f64;

/// What is put at full speed just before a checkpoint begins, and may not be synced then.
const LAST_BYTES: f64 = (1 << 20) as f64;

/// Puts are timed for so long before it, and during it for no longer.
const BEFORE: Duration = Duration::from_secs(3);
const DURING: Duration = Duration::from_secs(100);

pub fn run() -> Result<()> {
    let points = variable("METRICD_POINTS", FEWEST_POINTS)? / SERIES * SERIES;
    let rates = restarts(FEWEST_POINTS)?;
    if is_installed("redis-server") {
        redis(rates)?;
    }
    let [more] = medians(ROUNDS, || {
        let start = |options| Server::metricd(options)?.memory_at_rest();
        let bytes = start("--data $data")?.resident - start("")?.resident;
        Ok([bytes / 1e6])
    })?;
    row("an empty folder: more MB at start", more, "≤ 0.5");
    checkpoint(points)
}

/// The last of a few processes over this folder, and the seconds of the fastest start.
fn fastest(folder: &Arc<TempDir>, command: &str) -> Result<(Server, f64)> {
    let (mut last, mut fastest) = (None, f64::INFINITY);
    for _ in 0..STARTS {
        drop(last.take());
        let begin = Instant::now();
        let server = Server::start_in(folder, command)?;
        until("it has loaded everything", || {
            let ping = || Fleet::one(&server)?.expect("PING\r\n", "+PONG\r\n");
            Ok(command == METRICD || ping().is_ok())
        })?;
        fastest = begin.elapsed().as_secs_f64().min(fastest);
        last = Some(server);
    }
    Ok((last.context("no start")?, fastest))
}

/// Bytes of the files in its folder whose names begin so, but those that are removed meanwhile.
fn file_bytes(server: &Server, prefix: &str) -> Result<f64> {
    let entries = fs::read_dir(server.folder.path())?.filter_map(Result::ok);
    let named = entries.filter(|file| file.file_name().to_string_lossy().starts_with(prefix));
    let bytes = named.filter_map(|file| Some(file.metadata().ok()?.len() as f64));
    Ok(bytes.sum())
}

/// Puts so many points; returns how many a second are read from the journal, and from a checkpoint.
fn restarts(points: usize) -> Result<[f64; 2]> {
    let (_, empty_seconds) = fastest(&Arc::new(tempfile::tempdir()?), METRICD)?;
    let server = Server::filled("--data $data", puts(STEP).take(points))?;
    let bytes = file_bytes(&server, "journal-")? / points as f64;
    row("journal: bytes a put", bytes, "≤ 10");
    let folder = server.folder.clone();
    drop(server);
    let restart = |name: &str| {
        let (server, seconds) = fastest(&folder, METRICD)?;
        let rate = points as f64 / (seconds - empty_seconds).max(SHORTEST_SECONDS);
        row(&format!("{name}: points/s"), rate, "");
        let peak = server.peak_bytes()? / server.memory()?.resident;
        row("  memory at its peak: times that after it", peak, "≤ 1.1");
        check(&server, points)?;
        anyhow::Ok((server, rate))
    };
    let (mut server, replay) = restart("replay")?;
    server.signal(Signal::TERM)?;
    until("the server ends", || Ok(server.child.try_wait()?.is_some()))?;
    let bytes = file_bytes(&server, "checkpoint-")? / points as f64;
    ensure!(bytes > 0.0, "there is no checkpoint: put more points");
    row("checkpoint: bytes a point", bytes, "≤ 1.25");
    Ok([replay, restart("start from it")?.1])
}

/// The same starts of Redis, beside our rates.
fn redis(rates: [f64; 2]) -> Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    let (server, empty_seconds) = fastest(&folder, REDIS[0])?;
    let points = REDIS_POINTS_A_SERIES * SERIES;
    let puts = in_step(STEP).take(points).map(|(series, point)| {
        let Point { timestamp, value } = point;
        format!("ZADD {} {timestamp} {timestamp}:{value}\r\n", key(series))
    });
    let mut client = Fleet::one(&server)?;
    client.put(puts, ":1\r\n", true)?;
    client.expect("SAVE\r\n", "+OK\r\n")?;
    drop(server);
    let counts = format!(":{REDIS_POINTS_A_SERIES}\r\n").repeat(SERIES);
    let count = |series| format!("ZCARD {}\r\n", key(series));
    let requests: String = (0..SERIES).map(count).collect();
    for (name, command, own_rate) in [("AOF", REDIS[0], rates[0]), ("RDB", REDIS[1], rates[1])] {
        let (server, seconds) = fastest(&folder, command)?;
        Fleet::one(&server)?.expect(&requests, &counts)?;
        let rate = points as f64 / (seconds - empty_seconds).max(SHORTEST_SECONDS);
        row(&format!("Redis from its {name}: points/s"), rate, "");
        row("  ours: times that", own_rate / rate, "≥ 15");
    }
    Ok(())
}

/// Single puts before checkpoints, and while they are written. Nobody else puts meanwhile, so that what
/// differs is the checkpoint's.
fn checkpoint(points: usize) -> Result<()> {
    let server = Server::filled("--data $data", puts(STEP).take(points))?;
    // Replaces a point, by a double of many digits, which takes the most bytes of journal.
    let puts = "put replaced 0.12345678901234567 1\n".repeat(1_000);
    let (replies, mut client) = ("ok\n\n".repeat(1_000), Fleet::one(&server)?);
    let mut put = || client.expect(&puts, &replies);
    let partial = server.folder.path().join("checkpoint.tmp");
    let is_written = || Ok(!partial.exists());
    let mut round = || -> Result<[f64; 5]> {
        until("a checkpoint is written", is_written)?;
        let end = JOURNAL_BYTES.max(file_bytes(&server, "checkpoint-")?) - LAST_BYTES;
        while file_bytes(&server, "journal-")? < end {
            put()?;
        }
        let before = waits_under(&server, BEFORE, idle)?.millis(0.99);
        server.memory_at_rest()?;
        server.reset_peak()?;
        let bytes = server.peak_bytes()?;
        while !partial.exists() {
            put()?;
        }
        let begin = Instant::now();
        let writing = |_: &_| until("a checkpoint is written", is_written);
        let during = waits_under(&server, DURING, writing)?;
        let (seconds, grown) = (begin.elapsed().as_secs_f64(), server.peak_bytes()? - bytes);
        let [p99, longest] = [0.99, 1.0].map(|part| during.millis(part));
        Ok([seconds, p99, p99 - before, longest, grown / 1e6])
    };
    // Is not counted: buffers grow to what they need.
    round()?;
    let names = [
        ("a checkpoint: seconds", ""),
        ("  single puts during it: p99, ms", ""),
        ("    more than before it, ms", "≤ 1"),
        ("    the longest", ""),
        ("  memory at its peak: more MB than before", "≤ 2"),
    ];
    rows(names, medians(ROUNDS, round)?);
    Ok(())
}
