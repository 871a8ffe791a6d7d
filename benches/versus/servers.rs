//! The servers side by side: what each is called, how it is started, what it cannot do.
//!
//! A further peer is a further `Server` here and, where it speaks something else, a `Dialect`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::dialect::Dialect::{self, Graphite, Lines, Memcached, RedisSet, RedisZadd};
use crate::inlet::Inlet;
use crate::inlet::Kind::{Carbon, Metricd, Victoria};
use crate::support::folder::Folder;
use crate::support::process::{Process, free_address};
use Need::{Answering, Keeping, Pipelining, Reading, Remembering};

/// The hidden first argument under which this program is the ceiling.
pub const CEILING_ARGUMENT: &str = "--ceiling";

/// Times that a server is started before it counts as one that does not start: between the
/// choice of a free port and its use, another program may take it.
const START_ATTEMPTS: usize = 3;

/// What a case needs that not every server can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Replies to puts.
    Answering,
    Pipelining,
    /// The newest point of a series, at least, can be had back.
    Remembering,
    /// All points are kept.
    Keeping,
    /// Whole series can be had back over the protocol that they are put by.
    Reading,
}

pub struct Server {
    pub name: &'static str,
    /// The words in braces are filled in at each start. A server that is given no port says where
    /// it is `listening on`.
    pub command: &'static str,
    pub dialect: Dialect,
    cannot: &'static [Need],
}

const fn server(
    name: &'static str,
    command: &'static str,
    dialect: Dialect,
    cannot: &'static [Need],
) -> Server {
    Server {
        name,
        command,
        dialect,
        cannot,
    }
}

/// metricd first: the others are compared with it.
pub static ALL: [Server; 15] = [
    server("metricd", "metricd --listen 127.0.0.1:0", Lines, &[]),
    server("ceiling", "{versus} --ceiling", Lines, NO_POINTS),
    server("reference", REFERENCE, Lines, &[Pipelining]),
    server("ref. on uvloop", ON_UVLOOP, Lines, &[Pipelining]),
    server("Redis SET", REDIS, RedisSet, ONE_VALUE),
    server("Redis ZADD", REDIS, RedisZadd, &[]),
    server("memcached", MEMCACHED, Memcached, ONE_VALUE),
    server("VictoriaMetrics", VICTORIA, Graphite(Victoria), NO_ANSWER),
    server("carbon-cache", CARBON, Graphite(Carbon), NO_ANSWER),
    server("metricd, Unix socket", ON_UNIX, Lines, NO_POINTS),
    server("metricd, Graphite", GRAPHITE, Graphite(Metricd), NO_ANSWER),
    server("metricd --sync 1", SYNC_EACH_SECOND, Lines, ONE_VALUE),
    server("metricd --sync always", SYNC_ALWAYS, Lines, ONE_VALUE),
    server("Redis everysec", REDIS_EVERYSEC, RedisSet, ONE_VALUE),
    server("Redis always", REDIS_ALWAYS, RedisSet, ONE_VALUE),
];

const NO_POINTS: &[Need] = &[Remembering, Keeping, Reading];
const ONE_VALUE: &[Need] = &[Keeping, Reading];
const NO_ANSWER: &[Need] = &[Answering, Reading];

/// The variables are the state that glibc's malloc reaches by itself once a process has freed a
/// block of 32 MiB, as a `get *` makes the reference do. Before that, each of the 256 KiB buffers
/// that asyncio receives into is mapped and unmapped again, for three times the cost of a request:
/// a matter of how long ago it was started, and no merit of another server.
const REFERENCE: &str = "env MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=67108864 \
    python3 benches/asyncio_reference.py 127.0.0.1 0";
const ON_UVLOOP: &str = "env MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=67108864 \
    python3 benches/asyncio_reference.py 127.0.0.1 0 --uvloop";

const REDIS: &str = "redis-server --bind 127.0.0.1 --port {port} --save '' --appendonly no";

/// The protocol that answers is for the queries.
const GRAPHITE: &str = "metricd --graphite 127.0.0.1:{port} --listen 127.0.0.1:{query_port}";

const ON_UNIX: &str = "metricd --listen unix:{folder}/socket";

/// On disk, in the folder for temporary files.
const SYNC_EACH_SECOND: &str = "metricd --listen 127.0.0.1:0 --data {folder}/data --sync 1";
const SYNC_ALWAYS: &str = "metricd --listen 127.0.0.1:0 --data {folder}/data --sync always";
const REDIS_EVERYSEC: &str = "redis-server --bind 127.0.0.1 --port {port} --save '' \
    --dir {folder} --appendonly yes --appendfsync everysec";
const REDIS_ALWAYS: &str = "redis-server --bind 127.0.0.1 --port {port} --save '' \
    --dir {folder} --appendonly yes --appendfsync always";

/// This and VictoriaMetrics are allowed as many connections as the idle case opens (the latter
/// counts each as an insert), and more memory, or older points, than by default.
const MEMCACHED: &str = "memcached -l 127.0.0.1 -p {port} -U 0 -t 1 -c 6000 -m 1024 -u root";
const VICTORIA: &str = "victoria-metrics -graphiteListenAddr=127.0.0.1:{port} \
    -httpListenAddr=127.0.0.1:{query_port} -storageDataPath={folder} \
    -retentionPeriod=100y -maxConcurrentInserts=6000";
const CARBON: &str =
    "carbon-cache --config={folder}/carbon.conf --logdir={folder} --nodaemon start";

impl Server {
    /// Whether points are in memory alone, and the server is reached by TCP and its own protocol, as
    /// most are.
    pub fn is_ordinary(&self) -> bool {
        let special = ["sync", "unix:", "--graphite"];
        !special.iter().any(|word| self.command.contains(word))
    }

    pub fn can(&self, needs: &[Need]) -> bool {
        !self.cannot.iter().any(|need| needs.contains(need))
    }

    /// What its program says of its version, where it does.
    pub fn version(&self) -> Result<String> {
        let is_program = |word: &&str| *word != "env" && !word.contains('=');
        let program = self.command.split(' ').find(is_program).unwrap_or_default();
        let mut command = Place::new()?.command(&format!("{program} --version"));
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or_default();
        let version = line.split(" sha=").next().unwrap_or_default();
        Ok(version.into())
    }

    /// Starts it empty, on a port of its own.
    pub fn start(&'static self) -> Result<Running> {
        let mut outcome = self.start_once();
        for _ in 1..START_ATTEMPTS {
            outcome = outcome.or_else(|_| self.start_once());
        }
        outcome.context("it does not start")
    }

    fn start_once(&'static self) -> Result<Running> {
        let place = Place::new()?;
        let (ports, mut inlet) = (&place.addresses, None);
        let mut given = &ports[..usize::from(self.command.contains("{port}"))];
        if let Graphite(kind) = self.dialect {
            given = ports;
            inlet = Some(Inlet::new(kind, ports[1]));
        }
        let carbon = place.fill_in(include_str!("carbon.conf"));
        fs::write(place.folder.0.join("carbon.conf"), carbon)?;
        let schemas = "[all]\npattern = .*\nretentions = 10s:1d\n";
        fs::write(place.folder.0.join("storage-schemas.conf"), schemas)?;
        let process = Process::start(&mut place.command(self.command), given)?;
        Ok(Running {
            process,
            inlet,
            server: self,
            _place: place,
        })
    }
}

/// A server that was started for a figure. It is killed when this goes.
pub struct Running {
    pub process: Process,
    /// Where a server that answers no put is asked what it has.
    pub inlet: Option<Inlet>,
    pub server: &'static Server,
    /// After the process, which writes into it as long as it lives.
    _place: Place,
}

impl Running {
    /// Returns when the server has so many more points, of which these lines were the last of
    /// each connection: at once where each is answered.
    pub fn await_points(&self, count: usize, last_lines: &[&[u8]]) -> Result<()> {
        let inlet = self.inlet.as_ref();
        inlet.map_or(Ok(()), |inlet| inlet.await_points(count, last_lines))
    }
}

/// Two ports that were free a moment ago, and a folder.
struct Place {
    addresses: [SocketAddr; 2],
    folder: Folder,
}

impl Place {
    fn new() -> Result<Place> {
        Ok(Place {
            addresses: [free_address()?, free_address()?],
            folder: Folder::new()?,
        })
    }

    fn fill_in(&self, text: &str) -> String {
        let [port, query_port] = self.addresses.map(|address| address.port().to_string());
        let own = env::current_exe().unwrap_or_default();
        text.replace("{port}", &port)
            .replace("{query_port}", &query_port)
            .replace("{folder}", &self.folder.0.to_string_lossy())
            .replace("{versus}", &own.to_string_lossy())
    }

    /// With the metricd of this build first on the path.
    fn command(&self, text: &str) -> Command {
        let words = text.split_whitespace().map(|word| word.replace("''", ""));
        let words: Vec<String> = words.map(|word| self.fill_in(&word)).collect();
        let built = Path::new(env!("CARGO_BIN_EXE_metricd")).with_file_name("");
        let path = env::var("PATH").unwrap_or_default();
        let mut command = Command::new(&words[0]);
        command.env("PATH", format!("{}:{path}", built.display()));
        command.args(&words[1..]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }
}
