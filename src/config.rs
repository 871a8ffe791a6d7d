//! Every option and limit of the server, each with its unit, default and reason.

use std::time::Duration;

use crate::error::Error;

/// What a [`Server`](crate::Server) is bound from.
///
/// Each field has a default that suits a small machine; a program changes what it must and
/// leaves the rest to [`Config::default`]. [`Server::bind`](crate::Server::bind) checks the
/// ranges and says which field is out of its own.
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
    /// Addresses to listen on, each `HOST:PORT`, an IPv6 host in brackets; port 0 lets the
    /// system choose. A host name stands for all of its addresses. Default: `127.0.0.1:8888`.
    pub listen: Vec<String>,

    /// Connections served at once, at least 1. Further clients wait in the system's accept
    /// queue until one closes. Default: 10,000, which bounds what clients that stall can hold.
    pub connection_limit: usize,

    /// Bytes of a line without its newline, 1 to [`Config::BUFFER_MAX_BYTES`]. A longer line is
    /// one wrong command and is discarded as it comes. Default: 64 KiB.
    pub line_limit_bytes: usize,

    /// Bytes read from one connection in one turn of the loop, 1 to
    /// [`Config::BUFFER_MAX_BYTES`]. More makes long pipelines cheaper and everybody else's wait
    /// longer. Default: 64 KiB.
    pub read_buffer_bytes: usize,

    /// Bytes of replies formed for one connection before they are written, 64 KiB (a reply up to
    /// that size goes out whole, in one write) to [`Config::BUFFER_MAX_BYTES`]. A client that
    /// does not read holds at most twice this and one line. Default: 64 KiB.
    pub write_buffer_bytes: usize,

    /// Connections accepted in one turn of the loop, at least 1, so that a flood of them does
    /// not hold up those that are served. Default: 64.
    pub accepts_per_turn: usize,

    /// Events taken from the system at once, 1 to 65,536. Default: 1,024 (12 KiB).
    pub events_per_turn: usize,

    /// How long a stopping server goes on writing the replies that it owes to clients that
    /// are slow to read them. Default: 5 s.
    pub stop_timeout: Duration,
}

impl Config {
    /// The most that any one buffer may be set to: 64 MiB.
    pub const BUFFER_MAX_BYTES: usize = 64 << 20;

    /// The least that the write buffer may be set to: 64 KiB, which the protocol promises.
    pub const WRITE_BUFFER_MIN_BYTES: usize = 64 << 10;

    /// Says which field is out of its range, and what the range is.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let buffers = 1..=Self::BUFFER_MAX_BYTES;
        let write_buffers = Self::WRITE_BUFFER_MIN_BYTES..=Self::BUFFER_MAX_BYTES;
        let counts = 1..=usize::MAX;
        let ranges = [
            ("listen", self.listen.len(), &(1..=64)),
            ("connection_limit", self.connection_limit, &counts),
            ("line_limit_bytes", self.line_limit_bytes, &buffers),
            ("read_buffer_bytes", self.read_buffer_bytes, &buffers),
            (
                "write_buffer_bytes",
                self.write_buffer_bytes,
                &write_buffers,
            ),
            ("accepts_per_turn", self.accepts_per_turn, &counts),
            ("events_per_turn", self.events_per_turn, &(1..=65_536)),
        ];
        match ranges
            .into_iter()
            .find(|(_, value, range)| !range.contains(value))
        {
            None => Ok(()),
            Some((field, value, range)) => Err(Error::Config {
                field,
                value,
                least: *range.start(),
                most: *range.end(),
            }),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: vec!["127.0.0.1:8888".into()],
            connection_limit: 10_000,
            line_limit_bytes: 64 << 10,
            read_buffer_bytes: 64 << 10,
            write_buffer_bytes: 64 << 10,
            accepts_per_turn: 64,
            events_per_turn: 1_024,
            stop_timeout: Duration::from_secs(5),
        }
    }
}
