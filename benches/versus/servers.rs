//! The servers side by side: what each is called, how it is started, what it cannot do.
//!
//! A further peer is a further `Peer` here and, where it speaks something else, a `Dialect`.

use crate::dialect::Dialect::Victoria;
use crate::dialect::Dialect::{self, Carbon, Graphite, Lines, Memcached, RedisSet, RedisZadd};
use crate::support::*;
use Need::{Answering, Keeping, Pipelining, Reading, Remembering};

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

type Needs = &'static [Need];

/// A name, a command, what it speaks, and what it cannot do.
pub struct Peer(pub &'static str, pub &'static str, pub Dialect, Needs);

/// metricd first: the others are compared with it.
pub static ALL: [Peer; 15] = [
    Peer("metricd", METRICD, Lines, &[]),
    Peer("ceiling", "$own --ceiling $port", Lines, NO_POINTS),
    Peer("reference", REFERENCE, Lines, &[Pipelining]),
    Peer("ref. on uvloop", ON_UVLOOP, Lines, &[Pipelining]),
    Peer("Redis SET", REDIS, RedisSet, ONE_VALUE),
    Peer("Redis ZADD", REDIS, RedisZadd, &[]),
    Peer("memcached", MEMCACHED, Memcached, ONE_VALUE),
    Peer("VictoriaMetrics", VICTORIA, Victoria, NO_ANSWER),
    Peer("carbon-cache", CARBON, Carbon, NO_ANSWER),
    Peer("metricd, Unix socket", ON_UNIX, Lines, NO_POINTS),
    Peer("metricd, Graphite", GRAPHITE, Graphite, NO_ANSWER),
    Peer("metricd --sync 1", SYNC_EACH_SECOND, Lines, ONE_VALUE),
    Peer("metricd --sync always", SYNC_ALWAYS, Lines, ONE_VALUE),
    Peer("Redis everysec", REDIS_EVERYSEC, RedisSet, ONE_VALUE),
    Peer("Redis always", REDIS_ALWAYS, RedisSet, ONE_VALUE),
];

const NO_POINTS: Needs = &[Remembering, Keeping, Reading];
const ONE_VALUE: Needs = &[Keeping, Reading];
const NO_ANSWER: Needs = &[Answering, Reading];

const METRICD: &str = "metricd --listen 127.0.0.1:$port";

/// The variables are the state that glibc's malloc reaches by itself once a process has freed a
/// block of 32 MiB, as a `get *` makes the reference do. Before that, each of the 256 KiB buffers
/// that asyncio receives into is mapped and unmapped again, for three times the cost of a request:
/// a matter of how long ago it was started, and no merit of another server.
const REFERENCE: &str = "env MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=67108864 \
    python3 benches/asyncio_reference.py 127.0.0.1 $port";
const ON_UVLOOP: &str = "env MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=67108864 \
    python3 benches/asyncio_reference.py 127.0.0.1 $port --uvloop";

const REDIS: &str = "redis-server --bind 127.0.0.1 --port $port --save '' --appendonly no";

/// The protocol that answers is not used.
const GRAPHITE: &str = "metricd --graphite 127.0.0.1:$port --http 127.0.0.1:$http \
    --listen unix:$data/unused";

const ON_UNIX: &str = "metricd --listen unix:$data/socket";

/// On disk, in the folder for temporary files.
const SYNC_EACH_SECOND: &str = "metricd --listen 127.0.0.1:$port --data $data --sync 1";
const SYNC_ALWAYS: &str = "metricd --listen 127.0.0.1:$port --data $data --sync always";
const REDIS_EVERYSEC: &str = "redis-server --bind 127.0.0.1 --port $port --save '' \
    --dir $data --appendonly yes --appendfsync everysec";
const REDIS_ALWAYS: &str = "redis-server --bind 127.0.0.1 --port $port --save '' \
    --dir $data --appendonly yes --appendfsync always";

/// This and VictoriaMetrics are allowed as many connections as the idle case opens (the latter
/// counts each as an insert), and more memory, or older points, than by default.
const MEMCACHED: &str = "memcached -l 127.0.0.1 -p $port -U 0 -t 1 -c 6000 -m 1024 -u root";
const VICTORIA: &str = "victoria-metrics -graphiteListenAddr=127.0.0.1:$port \
    -httpListenAddr=127.0.0.1:$http -storageDataPath=$data \
    -retentionPeriod=100y -maxConcurrentInserts=6000";
const CARBON: &str = "sh benches/versus/carbon.sh $data $port $http";

impl Peer {
    /// Whether points are in memory alone, and the server is reached by TCP and its own protocol, as
    /// most are.
    pub fn is_ordinary(&self) -> bool {
        let special = ["--sync", "appendfsync", "unix:"];
        !special.iter().any(|word| self.1.contains(word))
    }

    pub fn can(&self, needs: &[Need]) -> bool {
        !self.3.iter().any(|need| needs.contains(need))
    }

    /// What its program says of its version, where it does.
    pub fn version(&self) -> Result<String> {
        let is_program = |word: &&str| *word != "env" && !word.contains('=');
        let program = self.1.split(' ').find(is_program).unwrap_or_default();
        let output = shell(&format!("{program} --version")).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or_default();
        Ok(line.split(" sha=").next().unwrap_or_default().into())
    }
}
