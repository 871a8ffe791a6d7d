//! Every option and limit of the server, each with its unit, default and reason.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

/// An address to listen on, and what is spoken there.
///
/// Text alone stands for the line protocol:
///
/// ```
/// use metricd::{Listen, Protocol};
///
/// let listen = Listen { address: "[::1]:8888".into(), protocol: Protocol::Lines };
/// assert_eq!(listen, "[::1]:8888".into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `HOST:PORT`, an IPv6 host in brackets. Port 0 lets the system choose. A host name stands for
    /// all of its addresses, `0.0.0.0` for all IPv4 addresses of the machine, and `[::]` for all
    /// IPv6 addresses.
    ///
    /// Or `unix:PATH`, a Unix socket, of up to 106 bytes. Its file appears with [`Config::socket_mode`]
    /// when clients can connect, replaces that of a dead server, and is removed when the server stops.
    pub address: String,
    /// What clients that connect to it speak.
    pub protocol: Protocol,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// Requests of one line each, `put` and `get`, and replies that end in a blank line.
    Lines,
    /// Graphite's plaintext protocol: points come in, one a line, and nothing is answered.
    ///
    /// A line is `<key> <value> <timestamp>`, read as carbon reads it. Timestamps are seconds, and kept in
    /// [`Config::timestamp_unit`]; -1 is now. Tags, after semicolons, are a part of the key. A bad line is
    /// dropped, counted, and logged at debug level.
    #[cfg(feature = "graphite")]
    Graphite,
    /// HTTP/1.1, which only reads: a page, queries in Graphite's language, and what the server counts.
    ///
    /// - `/` is the page. It finds series, draws any target, and shows the same numbers as a table. Dragging
    ///   zooms, Escape goes back, arrow keys read values.
    /// - `/render` answers queries, as `json`, `csv` or `raw`. `/functions` lists the functions. Their results
    ///   are those of graphite-web 1.1.8, with which tests compare them.
    /// - `/metrics/find`, `/metrics/expand` and `/metrics/index.json` name series.
    /// - `/metrics` is what the server counts, for Prometheus.
    /// - `/healthz` is 200 if puts are taken, and otherwise 503 with the reason.
    ///
    /// Methods are GET and HEAD, and POST of forms. There is no TLS, no password, and no check of `Host`.
    ///
    /// # How points become steps
    ///
    /// All series of a query have steps of one length: the shortest of 1, 2, 5, 10, 15, 30 s, 1, 2, 5, 10, 15,
    /// 30 min, 1, 2, 3, 6, 12 h, 1, 2, 7 d, and doubles of these, that gives no series more steps than
    /// `maxDataPoints` and is not shorter than the time between two points of most of them. A series has at
    /// most 65,536 steps. The value of a step is the average of its points, or what `consolidateBy` says.
    /// Functions whose results depend on the length of a step, such as `summarize`, `movingAverage`,
    /// `integral` and `derivative`, read the shortest steps; their results are shortened to `maxDataPoints`.
    #[cfg(feature = "http")]
    Http,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Lines => "lines",
            #[cfg(feature = "graphite")]
            Protocol::Graphite => "graphite",
            #[cfg(feature = "http")]
            Protocol::Http => "http",
        })
    }
}

/// The line protocol at port 8888 of this machine.
impl Default for Listen {
    fn default() -> Listen {
        "127.0.0.1:8888".into()
    }
}

impl Listen {
    /// What stands before the path of a Unix socket.
    pub(crate) const UNIX: &str = "unix:";
}

impl<Address: Into<String>> From<Address> for Listen {
    fn from(address: Address) -> Listen {
        Listen {
            address: address.into(),
            protocol: Protocol::Lines,
        }
    }
}

/// When what is put is forced to the disk, so that it outlives a loss of power. A put is answered
/// after it is written to the journal, with each of them, and so outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before it is answered.
    Always,
    /// When the system does it by itself.
    Never,
    /// At most so long after it was written. At least 1 ms.
    Every(Duration),
}

/// What happens to puts for which there is no memory left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// They are answered `not stored` and change nothing, until there is room again.
    #[default]
    Refuse,
    /// The oldest points of the store make room for them: whole blocks, roughly by timestamp. A series
    /// that has lost all points goes with its key. While clients keep more than an eighth of the limit,
    /// a store that takes less than that is left as it is, and puts are refused: clients must not
    /// empty it.
    Evict,
}

/// What the timestamps of clients count, since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Millionths of a second.
    Microseconds,
    /// Thousand-millionths of a second.
    Nanoseconds,
}

impl TimestampUnit {
    /// How many of them a second has.
    pub(crate) fn per_second(self) -> i64 {
        match self {
            TimestampUnit::Seconds => 1,
            TimestampUnit::Milliseconds => 1_000,
            TimestampUnit::Microseconds => 1_000_000,
            TimestampUnit::Nanoseconds => 1_000_000_000,
        }
    }
}

/// Declares a struct, and after each field its default.
macro_rules! with_defaults {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])+ $(#[cfg($cfg:meta)])? pub $field:ident: $type:ty = $default:expr,)+
        }
    ) => {
        $(#[$attribute])*
        pub struct $name {
            $($(#[doc = $doc])+ $(#[cfg($cfg)])? pub $field: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($(#[cfg($cfg)])? $field: $default,)+ }
            }
        }
    };
}

#[cfg(feature = "remote-write")]
with_defaults! {
    /// Where every point that is put is handed on to, by Prometheus Remote-Write 1.0.
    ///
    /// A thread for each receiver reads points from the journal, so a folder is needed: [`Config::data`].
    /// It stores its position after each answer. What was under way when the server ended is sent again, as
    /// the same request. A new receiver gets what is put from then on.
    ///
    /// - **Failures**: broken connections, time-outs, 408, 429, 5xx and redirects are tried again, after random
    ///   pauses of up to 30 s that grow, or after what `Retry-After` asks for, at most an hour. Points that
    ///   are refused with another 4xx are counted as rejected. Prometheus refuses a whole request for one
    ///   point that is out of order, so a request that is refused for its samples or its length is sent
    ///   in halves, down to that point: some 20 requests for each.
    /// - **Names**: the key up to the first `;` is the label `__name__`, and each `name=value` after it is a label.
    ///   Characters that Prometheus does not allow become `_`. If the key cannot be rebuilt from these
    ///   labels, the label `key` holds it. Timestamps become milliseconds, rounded down.
    /// - **Counts**: points that were sent, retried, rejected and dropped, and the lag in points, bytes and
    ///   seconds, are among the [`Counts`](crate::Counts).
    /// - **Memory**: some 1.4 MB for each receiver, up to 1 MiB of keys, and 8 bytes a series. Under a limit on
    ///   memory it is less, and all taken at the start: of 16 MiB, 0.6 MB for one receiver and 1 MB for four.
    ///   Past one series for each KiB of the limit, divided by the receivers, puts have their keys with them in
    ///   the journal.
    ///
    /// `https` needs the feature `tls`, which makes the program about twice as large.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RemoteWrite {
        /// The receivers, `http://HOST[:PORT][/PATH]`, each once: at most 8, and no more than one for each 4
        /// MiB of the memory limit. Each gets all points, at its own pace. Default: none.
        pub urls: Vec<String> = Vec::new(),

        /// Labels that are added to every series, as names and values. Names are those that Prometheus
        /// allows, other than `key` and those that begin with two underscores. Default: none.
        pub labels: Vec<(String, String)> = Vec::new(),

        /// A file of lines that go into the head of each request, to all receivers, such as
        /// `Authorization: Bearer …`. Nobody but its owner may read or change it. It is read for each request;
        /// replace it by renaming another file. Default: none.
        pub header_file: Option<PathBuf> = None,

        /// The most bytes of the journal that are kept for a receiver only. What a start would replay, and the file
        /// that is being sent, do not count. Past it the oldest file is left out. The limit is checked between
        /// requests and in pauses, so the journal may exceed it by what is put while a request waits for its
        /// answer. Files that are done are removed with the first put after that. Default: 1 GiB.
        pub spool_bytes: usize = 1 << 30,

        /// Points that are sent in one request at the most, 1 to 1,000,000. The more points of each series a
        /// request has, the smaller they are: some 7 bytes each if there are ten, 10 to 16 if there is
        /// one. Default: 10,000.
        pub request_points: usize = 10_000,

        /// The most bytes of a request before it is compressed, from 1 byte to 64 MiB. A single point may have
        /// more. Default: 512 KiB.
        pub request_bytes: usize = 512 << 10,

        /// How long a point may wait for others, so that they are sent together. Default: 1 s.
        pub interval: Duration = Duration::from_secs(1),

        /// How long a request may take before it is given up and sent again, at least 10 ms. Default: 30 s.
        pub timeout: Duration = Duration::from_secs(30),
    }
}

with_defaults! {
    /// What a [`Server`](crate::Server) is bound from.
    ///
    /// Each field has a default that suits a small machine; a program changes what it must and
    /// leaves the rest to [`Config::default`]. [`Server::bind`](crate::Server::bind) checks the
    /// ranges and names the field that is out of range.
    ///
    /// ```
    /// let config = metricd::Config {
    ///     listen: vec!["127.0.0.1:0".into(), "127.0.0.1:0".into()],
    ///     connection_limit: 100,
    ///     ..metricd::Config::default()
    /// };
    /// let server = metricd::Server::bind(config)?;
    /// assert_eq!(server.local_addrs().len(), 2);
    /// # Ok::<(), metricd::Error>(())
    /// ```
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Config {
        /// Addresses to listen on, 1 to 1,024, those of [`Hooks::listeners`](crate::Hooks::listeners)
        /// included. Default: the line protocol on `127.0.0.1:8888`.
        pub listen: Vec<Listen> = vec![Listen::default()],

        /// Who may connect to Unix sockets: the permissions of their files. Default: 0o660, the user and
        /// the group of the process.
        pub socket_mode: u32 = 0o660,

        /// The folder in which points are kept; it is created if there is none. One server uses it at a time,
        /// and leaves other files in it alone. Without it, points live in memory alone. Default: none.
        ///
        /// A start leaves out what the end of the process, or of the power, has torn at the end of the journal,
        /// and logs that. Other damage is an error, unless [`salvage`](Self::salvage) is set. If each put is
        /// synced, a file of the journal is up to 64 KiB longer than what is written to it; up to 128 KiB of
        /// zeros at the end of a file are left out in silence. The thread that writes chooses on Linux which
        /// core it runs on (`sched_setaffinity`).
        pub data: Option<PathBuf> = None,

        /// When what is put is forced to the disk, if there is a folder for it. Default: every second.
        pub sync: SyncPolicy = SyncPolicy::Every(Duration::from_secs(1)),

        /// Start without the damaged parts of what is in the folder, which are kept under other names,
        /// and do not refuse to start. Default: false.
        pub salvage: bool = false,

        /// The most memory that the process takes, in bytes, at least 8 MiB. Default: none.
        ///
        /// Linux is asked what is resident. On other systems it is taken to be what the server counts, an eighth
        /// more, and 4 MiB. Memory that was freed may stay with the process, and is used again.
        ///
        /// Other limits are lowered to fit it, such as [`connection_limit`](Self::connection_limit) to one for each
        /// 16 KiB. A [`line_limit_bytes`](Self::line_limit_bytes) of more than a 64th of it is refused. When memory is
        /// short and connections together keep more than a 32nd of it, those that keep most are closed, and
        /// small replies may be sent one at a time.
        pub memory_limit_bytes: Option<usize> = None,

        /// What happens to puts at the memory limit. Default: they are refused.
        pub when_full: WhenFull = WhenFull::default(),

        /// How old points get by the clock of the system before they are removed, at least 1 s. Default:
        /// they stay.
        ///
        /// From that moment on no get shows them; replies under way may lose them too. Their memory is freed some
        /// seconds later, by whole blocks; most of it stays with the process, and is used again. If the clock
        /// jumps forward by more than a minute, what is too old by it is hidden at once, and removed an hour
        /// later, unless the clock was set back. A start at which all points are too old counts as such a jump.
        pub retention: Option<Duration> = None,

        /// What timestamps count, for the retention. Default: seconds.
        pub timestamp_unit: TimestampUnit = TimestampUnit::default(),

        /// Bytes of the journal past which a checkpoint is written that replaces it, at least 1. If the
        /// last checkpoint is longer, that is the limit. More than 16 files of the journal, of which each start
        /// makes one, are replaced too. Default: 64 MiB.
        pub journal_limit_bytes: usize = 64 << 20,

        /// Bytes of what is put that may wait to be written to the journal, at least 1. Past it, puts are
        /// not executed until some of it is written. Default: 8 MiB.
        pub unjournaled_limit_bytes: usize = 8 << 20,

        /// Where every point that is put is handed on to. Default: nowhere.
        #[cfg(feature = "remote-write")]
        pub remote_write: RemoteWrite = RemoteWrite::default(),

        /// Connections served at once, at least 1. Further clients wait in the system's accept queue
        /// (`net.core.somaxconn`) until one closes. Default: 10,000, which bounds what clients that stall can
        /// hold.
        pub connection_limit: usize = 10_000,

        /// Bytes of a line without its newline, 1 to [`Config::BUFFER_MAX_BYTES`]. A longer line is
        /// one wrong command and is discarded as it comes. Of a request of HTTP, this is the limit of the
        /// head, and of the body; a longer one is refused. Default: 64 KiB.
        pub line_limit_bytes: usize = 64 << 10,

        /// The most bytes read from one connection at once, from 1 byte to 512 KiB. More makes long pipelines a little
        /// cheaper, up to what is executed in one turn. Default: 64 KiB.
        pub read_buffer_bytes: usize = 64 << 10,

        /// Bytes of replies formed for one connection before they are written, 64 KiB (a reply up to
        /// that size goes out whole, in one write) to [`Config::BUFFER_MAX_BYTES`]. A client that
        /// does not read holds at most three times this, one read and two lines. Default: 64 KiB.
        pub write_buffer_bytes: usize = 64 << 10,

        /// Connections accepted in one turn of the loop, at least 1, so that a flood of them does
        /// not hold up those that are served. Default: 64.
        pub accepts_per_turn: usize = 64,

        /// How long to wait before accepting again when the system has no descriptor or memory for
        /// another connection, since another process may free some. At least 1 ms. Default: 1 s.
        pub accept_retry: Duration = Duration::from_secs(1),

        /// How long not to log again that no more connections are accepted, or that slow readers are
        /// cut off, so that a flood of them does not fill the log. Default: 10 min.
        pub full_log_interval: Duration = Duration::from_secs(600),

        /// Events taken from the system at once, 1 to 65,536. Default: 1,024 (12 KiB).
        pub events_per_turn: usize = 1_024,

        /// How long the requests of one turn of the loop may take, which bounds how long a client waits
        /// for all others. Each connection gets a share of this time, measured as its requests run, and
        /// at least one request. At most an hour. Default: 1 ms.
        pub turn_time: Duration = Duration::from_millis(1),

        /// Bytes of replies that are formed between two commits, of all connections together. Default:
        /// 256 KiB, which stay in a processor's cache.
        pub turn_reply_bytes: usize = 256 << 10,

        /// Bytes of requests and replies that all connections together keep between their turns. Past
        /// it, each is read from, and replied to, in small pieces only, and queries that would
        /// keep more than half of it are refused. These pieces are collected, and written together, up to
        /// one and a half times of it; with a limit on memory, until less than an eighth of that is left.
        /// Default: 64 MiB.
        pub kept_limit_bytes: usize = 64 << 20,

        /// Bytes of one client's replies that wait unsent in the system, at least 4 KiB. Where the system
        /// cannot limit these, as on Unix sockets, this is the size of its send buffer. Default: 128 KiB.
        pub unsent_limit_bytes: usize = 128 << 10,

        /// Bytes that are kept for the readers of long replies, all together, so that they get what was stored
        /// when they asked: 32 for each series that has got points since, and for a late point its block. Past
        /// it, the oldest of these readers is cut off. Default: 64 MiB.
        pub snapshot_limit_bytes: usize = 64 << 20,

        /// Bytes that one query over HTTP may hold at once while its answer is formed: the names of the series
        /// that it finds, and the values of those that its functions need together. A query that needs more
        /// is refused. Default: 8 MiB, which is freed in some milliseconds if it is many names.
        pub query_limit_bytes: usize = 8 << 20,

        /// How many notes of replaced points are looked through at once when readers have ended.
        /// Default: 2,000, the work of some 0.1 ms.
        pub housework_notes: usize = 2_000,

        /// How long a connection may stay open on which nothing is sent or replied, at least 1 s. One that
        /// waits for a reply is not idle. Default: for ever.
        pub idle_timeout: Option<Duration> = None,

        /// How long a client of HTTP may take to send a request that it has begun, head and body, at least
        /// 1 s. After that it gets an answer that says so, and the connection is closed within the same time
        /// again. Default: 30 s.
        pub request_timeout: Duration = Duration::from_secs(30),

        /// How long a client may take none of its replies while some wait for it, or not close after its
        /// last reply, at least 1 s. Then it is cut off, up to a sixteenth of the time later, and what was
        /// kept for its reply is freed. Default: 5 min.
        pub stall_timeout: Option<Duration> = Some(Duration::from_secs(300)),

        /// How long a stopping server goes on executing what has come, up to one read of each client, and
        /// writing the replies that it owes. Receivers of remote write have three quarters of it, so that the
        /// disk has some. Default: 5 s.
        pub stop_timeout: Duration = Duration::from_secs(5),

        /// How long a stopping server that owes nothing waits for clients that may still be fetching
        /// the last replies, which the system has taken. Default: 1 s.
        pub linger: Duration = Duration::from_secs(1),
    }
}

impl Config {
    /// The most that a line or the write buffer may be set to: 64 MiB.
    pub const BUFFER_MAX_BYTES: usize = 64 << 20;

    /// The most that the read buffer may be set to: 512 KiB, about what is executed in one turn.
    pub const READ_BUFFER_MAX_BYTES: usize = 512 << 10;

    /// The least that the memory limit may be set to: 8 MiB, a few times what an empty server takes.
    pub const MEMORY_LIMIT_MIN_BYTES: usize = 8 << 20;

    /// How long a connection of TCP is silent before the system asks whether the peer is still there:
    /// shorter than the five minutes after which many routers forget a connection, and for 10,000 idle
    /// ones 83 packets a second.
    pub(crate) const KEEPALIVE_TIME: Duration = Duration::from_secs(120);

    /// How long it waits for an answer before it asks once more, …
    pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

    /// … and how often it asks: a peer that has vanished is noticed after three minutes.
    pub(crate) const KEEPALIVE_RETRIES: u32 = 3;

    /// Connections that are replied to at once, after one commit. More of them would wait for each
    /// other.
    pub(crate) const TURN_REPLIES: usize = 64;

    /// Fewer puts than these, if they are of several clients, are committed with those of the next turn.
    pub(crate) const COMMIT_PUTS: u32 = 32;

    /// Bytes that are read in one turn from all clients who are ready, in equal shares: some 15,000
    /// puts.
    pub(crate) const FRESH_READ_BYTES: usize = 512 << 10;

    /// The least such share: a dozen puts.
    pub(crate) const FRESH_READ_MIN_BYTES: usize = 512;

    /// Bytes that are replied in one turn to all clients who are ready, in equal shares.
    pub(crate) const FRESH_REPLY_BYTES: usize = 4 << 20;

    /// The least such share.
    pub(crate) const FRESH_REPLY_MIN_BYTES: usize = 4 << 10;

    /// What is replied to each of those that are still to be served when the time of the turn is over: a
    /// dozen puts, or a few points of a longer reply.
    pub(crate) const LATE_REPLY_BYTES: usize = 64;

    /// About the bytes of a checkpoint that are formed in one turn, and synced at once: 0.1 ms of the
    /// loop's time.
    pub(crate) const CHECKPOINT_PIECE_BYTES: usize = 64 << 10;

    /// The time between two pieces of a checkpoint, so that one put in ten waits for one of them at
    /// most. There is none when the server stops, or when more is put meanwhile than the journal is to
    /// hold.
    pub(crate) const CHECKPOINT_PAUSE: Duration = Duration::from_millis(10);

    /// The part of the limit on memory that connections may take when memory is short, and as much
    /// again each for slow readers and for puts on their way to the disk.
    pub(crate) const MEMORY_SHARE: usize = 32;

    /// A line is no longer than this part of the limit on memory.
    pub(crate) const LINE_SHARE: usize = 64;

    /// What a connection takes at least when it is served in the smallest shares.
    pub(crate) const CONNECTION_LEAST_BYTES: usize = 512;

    /// Connections that are closed in one turn because memory is short: the work of a millisecond.
    pub(crate) const SHED_PER_TURN: usize = 64;

    /// Series or blocks that are looked at in one turn for points that are too old: the work of 0.1 ms.
    pub(crate) const EXPIRY_STEPS: usize = 1_000;

    /// Bytes for which room is made in one turn beside that for puts: the work of a millisecond.
    pub(crate) const EVICTION_BYTES: usize = 128 << 10;

    /// How long not to look again when all series were looked at.
    pub(crate) const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);

    /// A clock that goes forward by more than this at once has jumped: more than a time server corrects.
    pub(crate) const CLOCK_JUMP: Duration = Duration::from_secs(60);

    /// How long a clock that has jumped forward hides points before it removes them: long enough for
    /// somebody, or a time server, to set it right.
    pub(crate) const CLOCK_TRIAL: Duration = Duration::from_secs(3_600);

    /// How long a commit may take before the disk is said not to answer.
    pub(crate) const DISK_PATIENCE: Duration = Duration::from_secs(10);

    /// How long the journal thread looks for the next frame before it sleeps, if one is likely to come. If
    /// clients wait for each sync, it comes after about this time. To wake the thread takes a third as long.
    pub(crate) const JOURNAL_SPIN: Duration = Duration::from_micros(150);

    /// How far ahead of its last frame a file of the journal is made longer, if each frame is synced. A sync takes
    /// a third less time if the length has not changed.
    pub(crate) const JOURNAL_AHEAD_BYTES: u64 = 64 << 10;

    /// The most zeros that this leaves at the end of a file: twice as many, since it may have been made longer
    /// for a frame that was never written.
    pub(crate) const JOURNAL_BLANK_BYTES: u64 = 2 * Self::JOURNAL_AHEAD_BYTES;

    /// How long to wait for the next attempt after a checkpoint could not be written.
    pub(crate) const CHECKPOINT_RETRY: Duration = Duration::from_secs(1);

    /// A journal up to this long is replayed so fast that stopping writes no checkpoint.
    pub(crate) const SHORT_JOURNAL_BYTES: u64 = 1 << 20;

    /// Files of the journal, one for each start that was put to, past which a checkpoint is due.
    pub(crate) const JOURNAL_FILES_MAX: usize = 16;

    /// Bytes of a file that are removed at once: a file system may take 1 ms for them, and frames wait
    /// meanwhile.
    pub(crate) const REMOVED_AT_ONCE_BYTES: u64 = 2 << 20;

    /// Bytes of the keys in a file of the journal that each of its readers holds in memory: those of 10,000
    /// series or more. It reads a key past them from the file each time that it is needed.
    pub(crate) const KEYS_HELD_BYTES: usize = 1 << 20;

    /// The least that the write buffer may be set to: 64 KiB, which the protocol promises.
    pub const WRITE_BUFFER_MIN_BYTES: usize = 64 << 10;

    /// Clients of HTTP that wait while the points are read from disk, or have not closed after their
    /// answer; the oldest goes when there are more.
    pub(crate) const NOT_READY_CLIENTS: usize = 64;

    /// The most series of a file of the journal that each of its readers is to remember: all, unless there is a
    /// limit on memory. Past these, each put takes the bytes of its key in the journal.
    pub(crate) fn remembered_series(&self) -> usize {
        #[cfg(feature = "remote-write")]
        if let Some(limit_bytes) = self.memory_limit_bytes {
            return limit_bytes / Self::SERIES_SHARE / self.remote_write.urls.len().max(1);
        }
        usize::MAX
    }

    /// The part of the limit on memory that connections may take when memory is short.
    pub(crate) fn connections_part_bytes(&self) -> usize {
        self.memory_limit_bytes.unwrap_or(usize::MAX) / Self::MEMORY_SHARE
    }

    /// Lowers the limits of what is not points so far that all of it together takes a small part of
    /// the limit on memory.
    pub(crate) fn fit_to_memory_limit(&mut self) {
        let part = self.connections_part_bytes();
        let most_connections = part / Self::CONNECTION_LEAST_BYTES;
        let most_write_bytes = part.max(Self::WRITE_BUFFER_MIN_BYTES);
        for (limit, most) in [
            (&mut self.connection_limit, most_connections),
            (&mut self.kept_limit_bytes, part / 2),
            (&mut self.turn_reply_bytes, part / 4),
            (&mut self.write_buffer_bytes, most_write_bytes),
            (&mut self.snapshot_limit_bytes, part),
            (&mut self.query_limit_bytes, part),
            (&mut self.unjournaled_limit_bytes, part),
            // A start replays it over all that a checkpoint had.
            (&mut self.journal_limit_bytes, part.saturating_mul(8)),
        ] {
            *limit = most.min(*limit);
        }
        #[cfg(feature = "remote-write")]
        self.fit_remote_write(part);
    }

    /// Says which field is out of its range, and what the range is. `handed_in` is how many sockets
    /// there are beside [`listen`](Self::listen).
    pub(crate) fn check(&self, handed_in: usize) -> Result<(), Error> {
        let any = usize::MAX;
        let sync_ms = match self.sync {
            SyncPolicy::Every(interval) => ms(interval),
            SyncPolicy::Always | SyncPolicy::Never => any,
        };
        let memory_bytes = self.memory_limit_bytes.unwrap_or(any);
        let unjournaled = self.unjournaled_limit_bytes;
        let long = |time: Option<Duration>| time.map_or(any, ms);
        // A line is kept until it is whole, and so is its key.
        let line_most = memory_bytes / Self::LINE_SHARE;
        #[cfg(feature = "remote-write")]
        self.check_remote_write()?;
        let (memory, line, read, write) = (
            (Self::MEMORY_LIMIT_MIN_BYTES, any),
            (1, Self::BUFFER_MAX_BYTES.min(line_most)),
            (1, Self::READ_BUFFER_MAX_BYTES),
            (Self::WRITE_BUFFER_MIN_BYTES, Self::BUFFER_MAX_BYTES),
        );
        let times = [
            ("sync", sync_ms, (1, any)),
            ("retention", long(self.retention), (1_000, any)),
            ("idle_timeout", long(self.idle_timeout), (1_000, any)),
            ("request_timeout", ms(self.request_timeout), (1_000, any)),
            ("stall_timeout", long(self.stall_timeout), (1_000, any)),
            ("accept_retry", ms(self.accept_retry), (1, any)),
            ("turn_time", ms(self.turn_time), (0, HOUR_MS)),
        ];
        check_ranges(" ms", &times)?;
        let counts = [
            ("listen", self.listen.len() + handed_in, (1, 1_024)),
            ("memory_limit_bytes", memory_bytes, memory),
            ("journal_limit_bytes", self.journal_limit_bytes, (1, any)),
            ("unjournaled_limit_bytes", unjournaled, (1, any)),
            ("connection_limit", self.connection_limit, (1, any)),
            ("line_limit_bytes", self.line_limit_bytes, line),
            ("read_buffer_bytes", self.read_buffer_bytes, read),
            ("write_buffer_bytes", self.write_buffer_bytes, write),
            ("accepts_per_turn", self.accepts_per_turn, (1, any)),
            ("events_per_turn", self.events_per_turn, (1, 65_536)),
            ("turn_reply_bytes", self.turn_reply_bytes, (1, any)),
            ("unsent_limit_bytes", self.unsent_limit_bytes, (4_096, any)),
            ("housework_notes", self.housework_notes, (1, any)),
        ];
        check_ranges("", &counts)
    }
}

/// The most of a time that is added to others.
const HOUR_MS: usize = 3_600_000;

/// What narrows the range of some fields.
const UNDER_LIMIT: &str = " with this limit on memory";

/// A time in milliseconds, as many as fit.
fn ms(time: Duration) -> usize {
    usize::try_from(time.as_millis()).unwrap_or(usize::MAX)
}

/// Says which field is out of its range: its name, its value, and the least and the most that it takes, all in
/// this unit.
fn check_ranges(unit: &str, fields: &[(&'static str, usize, (usize, usize))]) -> Result<(), Error> {
    for &(field, value, (least, most)) in fields {
        if !(least..=most).contains(&value) {
            let what = match field {
                "listen" => format!("has {value} addresses"),
                "remote_write" => format!("has {value} receivers"),
                _ => format!("is {value}"),
            };
            let range = match most {
                usize::MAX => format!("at least {least}"),
                _ => format!("{least} to {most}"),
            };
            let why = match field {
                "line_limit_bytes" if most < Config::BUFFER_MAX_BYTES => UNDER_LIMIT,
                #[cfg(feature = "remote-write")]
                "remote_write" if most < Config::RECEIVERS_MAX => UNDER_LIMIT,
                _ => "",
            };
            let message = format!("{field} {what}{unit}: it takes {range}{unit}{why}");
            return Err(Error::Setting { field, message });
        }
    }
    Ok(())
}

/// Limits of remote write.
#[cfg(feature = "remote-write")]
impl Config {
    /// The most receivers, each of which has a thread.
    pub(crate) const RECEIVERS_MAX: usize = 8;

    /// Bytes of the limit on memory for each series that the readers of the journal remember. One takes 8 bytes.
    pub(crate) const SERIES_SHARE: usize = 1_024;

    /// The longest that the first pause before another attempt may be: most failures are over at once, such
    /// as a receiver that is started again.
    pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(500);

    /// The longest that pauses grow to, so that a receiver which comes back is noticed soon. A thousand
    /// senders that wait for it send 70 requests a second.
    pub(crate) const RETRY_MAX: Duration = Duration::from_secs(30);

    /// How often a sender that pauses looks whether more is kept for its receiver than may be.
    pub(crate) const SPOOL_LOOK: Duration = Duration::from_secs(5);

    /// The longest that `Retry-After` is obeyed: a receiver whose clock is wrong, or that means harm, must not
    /// stop a sender for days.
    pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

    /// Makes requests so short that all receivers together take about so many bytes for them.
    fn fit_remote_write(&mut self, bytes: usize) {
        let remote = &mut self.remote_write;
        let each_bytes = bytes / remote.urls.len().max(1);
        // Before and after it is compressed, and keys.
        remote.request_bytes = remote.request_bytes.min(each_bytes / 8).max(1);
        // A point takes 110 bytes while it is sent.
        remote.request_points = remote.request_points.min(each_bytes / 256).max(1);
    }

    fn check_remote_write(&self) -> Result<(), Error> {
        let remote = &self.remote_write;
        let (points, bytes) = (remote.request_points, remote.request_bytes);
        if !remote.urls.is_empty() && self.data.is_none() {
            return Err(Error::Setting {
                field: "remote_write",
                message: "remote_write: it needs a folder for points: data".into(),
            });
        }
        // Each takes a quarter of a megabyte and more.
        let most = self.memory_limit_bytes.unwrap_or(usize::MAX) / (4 << 20);
        let receivers = (0, Self::RECEIVERS_MAX.min(most));
        let times = [
            ("remote_write_interval", ms(remote.interval), (0, HOUR_MS)),
            ("remote_write_timeout", ms(remote.timeout), (10, HOUR_MS)),
        ];
        check_ranges(" ms", &times)?;
        let counts = [
            ("remote_write", remote.urls.len(), receivers),
            ("remote_write_request_points", points, (1, 1_000_000)),
            ("remote_write_request_bytes", bytes, (1, 64 << 20)),
        ];
        check_ranges("", &counts)
    }
}

/// Limits of HTTP, and of queries.
#[cfg(feature = "http")]
impl Config {
    /// Headers of a request. Browsers send about fifteen.
    pub(crate) const HEADERS_MAX: usize = 100;

    /// Parameters of a request, as of Django. Each takes more memory than its bytes.
    pub(crate) const PARAMETERS_MAX: usize = 1_000;

    /// Bytes that an answer may keep however much is kept for others: enough for small ones.
    pub(crate) const ANSWER_KEPT_BYTES: usize = 16 << 10;

    /// Series that a search for words lists.
    pub(crate) const SEARCH_RESULTS_MAX: i64 = 10_000;

    /// Bytes of a target of a query.
    pub(crate) const TARGET_BYTES_MAX: usize = 64 << 10;

    /// Arguments and piped calls of a target, all together.
    pub(crate) const ARGUMENTS_MAX: usize = 1_024;

    /// Calls around each other.
    pub(crate) const CALL_DEPTH_MAX: usize = 64;

    /// Paths of a query: each key is compared with all of them.
    pub(crate) const PATHS_MAX: usize = 1_000;

    /// What the targets or patterns of a request may take to read, each unit some 10 ns, so a
    /// millisecond: all others wait for it, and what it makes takes memory.
    pub(crate) const READING_UNITS: usize = 1 << 17;

    /// Characters, wildcards and ranges of all alternatives of a pattern that have wildcards.
    pub(crate) const WILDCARDS_MAX: usize = 4_096;

    /// Characters that are compared for one key with all patterns of a request, in a millisecond or two.
    pub(crate) const KEY_EFFORT_MAX: usize = 1 << 20;

    /// Bytes of the words that are searched for.
    pub(crate) const WORDS_BYTES_MAX: usize = 256;

    /// Steps of a series: half a megabyte of values, which functions take in a millisecond.
    pub(crate) const STEPS_MAX: i64 = 1 << 16;

    /// Bytes of a name that a function makes: names of names would double with each function around
    /// them.
    pub(crate) const NAME_BYTES_MAX: usize = 4_096;

    /// Values of reference series of `transformNull`: they are looked at for each series, in a
    /// millisecond at most.
    pub(crate) const REFERENCE_VALUES_MAX: usize = 1 << 18;

    /// Bytes of the series and totals of `asPercent`: they are divided all at once, in a millisecond or
    /// two.
    pub(crate) const PERCENT_BYTES_MAX: usize = 4 << 20;

    /// Steps of a compiled regular expression, of which one that takes several ranges counts for each.
    pub(crate) const REGEX_STEPS_MAX: usize = 512;

    /// Steps of one that are tried at positions of a text, in a millisecond at most.
    pub(crate) const REGEX_TRIED_MAX: usize = 1 << 17;

    /// Groups of one, and one.
    pub(crate) const REGEX_GROUPS_MAX: usize = 100;

    /// Groups of one around each other.
    pub(crate) const REGEX_DEPTH_MAX: usize = 32;

    /// Repetitions in one that are counted.
    pub(crate) const REGEX_COUNT_MAX: usize = 1_000;

    /// Bytes of an answer that are formed at once, in some 40 µs: others wait while all who ask get
    /// theirs.
    pub(crate) const ANSWER_PIECE_BYTES: usize = 32 << 10;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "remote-write")]
    #[test]
    fn requests_of_all_receivers_fit_the_limit_on_memory() {
        let mib = 1 << 20;
        for (limit, receivers, points, bytes, most) in [
            (None, 8, 10_000, 512 << 10, 8),
            (Some(8 * mib), 1, 1_024, 32 << 10, 2),
            (Some(8 * mib), 2, 512, 16 << 10, 2),
            (Some(64 * mib), 8, 1_024, 32 << 10, 8),
            (Some(1 << 30), 8, 10_000, 512 << 10, 8),
        ] {
            let mut config = Config {
                memory_limit_bytes: limit,
                data: Some("folder".into()),
                ..Config::default()
            };
            config.remote_write.urls = vec!["http://a".into(); receivers];
            assert!(config.check(0).is_ok());
            config.fit_to_memory_limit();
            assert_eq!(config.remote_write.request_points, points);
            assert_eq!(config.remote_write.request_bytes, bytes);
            let remembered = limit.map_or(usize::MAX, |limit| limit / 1_024 / receivers);
            assert_eq!(config.remembered_series(), remembered);
            config.remote_write.urls = vec!["http://a".into(); most + 1];
            assert!(config.check(0).is_err());
        }
    }

    #[test]
    fn limits_fit_the_limit_on_memory() {
        let fitted = |limit: Option<usize>| {
            let mut config = Config {
                memory_limit_bytes: limit,
                ..Config::default()
            };
            config.fit_to_memory_limit();
            config
        };
        assert_eq!(fitted(None), Config::default());
        let (kib, mib) = (1 << 10, 1 << 20);
        for (limit, connections, kept, unjournaled, journal) in [
            (8 * mib, 512, 128 * kib, 256 * kib, 2 * mib),
            (64 * mib, 4_096, mib, 2 * mib, 16 * mib),
            (1 << 30, 10_000, 16 * mib, 8 * mib, 64 * mib),
        ] {
            let config = fitted(Some(limit));
            assert_eq!(config.connection_limit, connections);
            assert_eq!(config.kept_limit_bytes, kept);
            assert_eq!(config.unjournaled_limit_bytes, unjournaled);
            assert_eq!(config.journal_limit_bytes, journal);
            assert_eq!(config.write_buffer_bytes, Config::WRITE_BUFFER_MIN_BYTES);
            assert!(config.check(0).is_ok());
        }
    }

    #[test]
    fn a_line_is_a_small_part_of_the_limit_on_memory() {
        for (line_limit_bytes, fits) in [(128 << 10, true), ((128 << 10) + 1, false)] {
            let config = Config {
                line_limit_bytes,
                memory_limit_bytes: Some(Config::MEMORY_LIMIT_MIN_BYTES),
                ..Config::default()
            };
            assert_eq!(config.check(0).is_ok(), fits);
        }
    }
}
