//! What a server that answers no put has taken, asked of it by another way.
//!
//! A Graphite line is sent and forgotten. To time such a server to the moment when it has the
//! points, and to check that it has the right ones, it is asked at its own port for queries.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use metricd::Point;

use crate::dialect::Dialect;
use crate::support::http::text;
use crate::support::series::victoria_points;

/// Whole series are asked for, which costs the server much more than a point.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that a server may take for what was sent to it, after the last byte.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// VictoriaMetrics.
    Victoria,
    /// carbon-cache, of Graphite.
    Carbon,
    /// metricd, on its port for Graphite's protocol.
    Metricd,
}

pub struct Inlet {
    kind: Kind,
    address: SocketAddr,
    points_sent: Cell<usize>,
}

impl Inlet {
    pub fn new(kind: Kind, address: SocketAddr) -> Inlet {
        Inlet {
            kind,
            address,
            points_sent: Cell::new(0),
        }
    }

    /// Returns when the server has this many more points, of which these lines were the last
    /// of each connection.
    pub fn await_points(&self, count: usize, last_lines: &[&[u8]]) -> Result<()> {
        self.points_sent.set(self.points_sent.get() + count);
        if self.kind == Kind::Victoria {
            return self.await_true("has not all points", || self.has_counted_all());
        }
        for line in last_lines {
            let mut words = std::str::from_utf8(line)?.split_whitespace();
            let (key, timestamp) = words.next().zip(words.nth(1)).context("no line")?;
            self.await_true("has not all points", || match self.kind {
                Kind::Carbon => self.has_cached(key, timestamp),
                _ => self.has_stored(key, timestamp),
            })?;
        }
        Ok(())
    }

    /// Checks that the server gives back these points, which are one series, whole. It may count
    /// points a moment before it can be asked for them.
    pub fn check_series(&self, key: &str, points: &[Point]) -> Result<()> {
        self.await_true("has other points than were put", || match self.kind {
            Kind::Victoria => {
                self.http("/internal/force_flush")?;
                let path = format!("/api/v1/export?match[]=%7B__name__=%22{key}%22%7D&start=1");
                Ok(self.http(&path)?.contains(&victoria_points(points)))
            }
            Kind::Carbon => {
                let cached = self.cached(key)?;
                Ok(points.iter().all(|point| {
                    let pair = [point.timestamp as f64, point.value].map(pickled);
                    memmem::find(&cached, &pair.concat()).is_some()
                }))
            }
            Kind::Metricd => {
                let series = [(key.to_string(), points.to_vec())];
                Ok(self.stored(key)? == Dialect::Lines.reply(&series))
            }
        })
    }

    fn await_true(&self, otherwise: &str, is_true: impl Fn() -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        while !is_true()? {
            ensure!(begin.elapsed() < PATIENCE, "{otherwise} after {PATIENCE:?}");
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// VictoriaMetrics counts the rows it has taken. They can be queried up to a second later.
    fn has_counted_all(&self) -> Result<bool> {
        const COUNTER: &str = "vm_rows_inserted_total{type=\"graphite\"} ";
        let metrics = self.http("/metrics")?;
        let count = metrics.lines().find_map(|line| line.strip_prefix(COUNTER));
        let count: usize = count.context("counts no rows")?.parse()?;
        let sent = self.points_sent.get();
        ensure!(count <= sent, "{count} rows counted of {sent} sent");
        Ok(count == sent)
    }

    /// carbon-cache takes the lines of a connection in order: who has the last has them all.
    fn has_cached(&self, key: &str, timestamp: &str) -> Result<bool> {
        let timestamp = pickled(timestamp.parse()?);
        Ok(memmem::find(&self.cached(key)?, &timestamp).is_some())
    }

    /// So does metricd.
    fn has_stored(&self, key: &str, timestamp: &str) -> Result<bool> {
        let end = format!(" {timestamp}\n\n");
        Ok(self.stored(key)?.ends_with(end.as_bytes()))
    }

    /// What metricd answers to a get, on its other port.
    fn stored(&self, key: &str) -> Result<Vec<u8>> {
        let (mut stream, mut reply) = (self.connect()?, Vec::new());
        stream.write_all(&Dialect::Lines.get(key))?;
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut reply)?;
        Ok(reply)
    }

    /// What carbon-cache answers to a query: the points of a series, pickled.
    fn cached(&self, key: &str) -> Result<Vec<u8>> {
        let query = format!("(S'type'\nS'cache-query'\nS'metric'\nS'{key}'\nd.");
        let mut stream = self.connect()?;
        stream.write_all(&(query.len() as u32).to_be_bytes())?;
        stream.write_all(query.as_bytes())?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).context("cache query")?;
        let mut reply = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut reply).context("cache query")?;
        Ok(reply)
    }

    /// It is asked once more where the connection was reset on a busy machine.
    fn http(&self, path: &str) -> Result<String> {
        text(self.address, path).or_else(|_| text(self.address, path))
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, QUERY_TIMEOUT)?;
        stream.set_read_timeout(Some(QUERY_TIMEOUT))?;
        Ok(stream)
    }
}

/// A float in Python's pickle: `G` and its eight bytes, the highest first.
fn pickled(value: f64) -> Vec<u8> {
    [b"G", &value.to_be_bytes()[..]].concat()
}
