//! What a server that answers no put has taken, asked of it by another way.
//!
//! A Graphite line is sent and forgotten. To time such a server to the moment when it has the
//! points, and to check that it has the right ones, it is asked at its own port for queries.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::workload::Point;

const POLL_INTERVAL: Duration = Duration::from_millis(10);
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest that a server may take for what was sent to it, after the last byte.
const PATIENCE: Duration = Duration::from_secs(120);

/// From the moment that a server has counted a point to the moment that it returns it.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InletKind {
    VictoriaMetrics,
    CarbonCache,
}

pub struct Inlet {
    pub kind: InletKind,
    pub address: SocketAddr,
    points_sent: Cell<u64>,
}

impl Inlet {
    pub fn new(kind: InletKind, address: SocketAddr) -> Inlet {
        Inlet {
            kind,
            address,
            points_sent: Cell::new(0),
        }
    }

    /// Returns when the server has this many more points, of which these lines were the last
    /// of each connection.
    pub fn await_points(&self, count: u64, last_lines: &[&[u8]]) -> Result<(), String> {
        self.points_sent.set(self.points_sent.get() + count);
        let begin = Instant::now();
        loop {
            let there = match self.kind {
                InletKind::VictoriaMetrics => self.counted()?,
                InletKind::CarbonCache => self.all_cached(last_lines)?,
            };
            if there {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("no end of puts in {} s", PATIENCE.as_secs()));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Checks that the server gives back these points, which are one series, whole. It may count
    /// points a moment before it can be asked for them.
    pub fn check_series(&self, points: &[Point]) -> Result<(), String> {
        let key = points.first().map_or("", |point| point.key.as_str());
        let begin = Instant::now();
        while !self.returns(key, points)? {
            if begin.elapsed() > VISIBLE_TIMEOUT {
                return Err(format!("other points of {key} than were put"));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn returns(&self, key: &str, points: &[Point]) -> Result<bool, String> {
        match self.kind {
            InletKind::VictoriaMetrics => {
                self.http("/internal/force_flush")?;
                let path = format!("/api/v1/export?match[]=%7B__name__=%22{key}%22%7D&start=1");
                Ok(self.http(&path)?.trim() == exported(key, points))
            }
            InletKind::CarbonCache => {
                let cached = self.cached(key)?;
                Ok(points.iter().all(|point| {
                    let pair = [
                        pickled_float(point.timestamp as f64),
                        pickled_float(f64::from(point.value) / 100.0),
                    ];
                    contains(&cached, &pair.concat())
                }))
            }
        }
    }

    /// VictoriaMetrics counts the rows it has taken. They can be queried up to a second later.
    fn counted(&self) -> Result<bool, String> {
        const COUNTER: &str = "vm_rows_inserted_total{type=\"graphite\"} ";
        let metrics = self.http("/metrics")?;
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix(COUNTER)?.parse::<u64>().ok())
            .ok_or_else(|| format!("no {COUNTER}in /metrics"))?;
        let sent = self.points_sent.get();
        match count > sent {
            true => Err(format!("{count} rows counted of {sent} sent")),
            false => Ok(count == sent),
        }
    }

    /// carbon-cache takes the lines of a connection in order: who has the last has them all.
    fn all_cached(&self, last_lines: &[&[u8]]) -> Result<bool, String> {
        for line in last_lines {
            let text = String::from_utf8_lossy(line);
            let words: Vec<&str> = text.split_whitespace().collect();
            let &[key, _value, timestamp] = words.as_slice() else {
                return Err(format!("no Graphite line: {text}"));
            };
            let timestamp = timestamp.parse().map_err(|_| format!("no time: {text}"))?;
            if !contains(&self.cached(key)?, &pickled_float(timestamp)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What carbon-cache answers to a query: the points of a series, pickled.
    fn cached(&self, key: &str) -> Result<Vec<u8>, String> {
        let query = format!("(S'type'\nS'cache-query'\nS'metric'\nS'{key}'\nd.");
        let mut stream = self.connect()?;
        let mut length = [0; 4];
        let mut reply = Vec::new();
        stream
            .write_all(&(query.len() as u32).to_be_bytes())
            .and_then(|()| stream.write_all(query.as_bytes()))
            .and_then(|()| stream.read_exact(&mut length))
            .and_then(|()| {
                reply.resize(u32::from_be_bytes(length) as usize, 0);
                stream.read_exact(&mut reply)
            })
            .map_err(|error| format!("cache query: {error}"))?;
        Ok(reply)
    }

    /// The body of the reply to a GET. Asking changes nothing, and a connection was seen to be
    /// reset on a busy machine: it is asked once more before the server counts as failed.
    fn http(&self, path: &str) -> Result<String, String> {
        self.http_once(path).or_else(|_first_error| {
            thread::sleep(POLL_INTERVAL);
            self.http_once(path)
        })
    }

    /// By HTTP 1.0: no chunks, and the end of the reply is the connection's.
    fn http_once(&self, path: &str) -> Result<String, String> {
        let mut reply = String::new();
        let mut stream = self.connect()?;
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
            .and_then(|()| stream.read_to_string(&mut reply))
            .map_err(|error| format!("GET {path}: {error}"))?;
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.lines().next().unwrap_or_default();
        match status
            .split(' ')
            .nth(1)
            .is_some_and(|code| code.starts_with('2'))
        {
            true => Ok(body.to_string()),
            false => Err(format!("GET {path}: {status}")),
        }
    }

    fn connect(&self) -> Result<TcpStream, String> {
        TcpStream::connect_timeout(&self.address, QUERY_TIMEOUT)
            .and_then(|stream| {
                stream.set_read_timeout(Some(QUERY_TIMEOUT))?;
                Ok(stream)
            })
            .map_err(|error| format!("no connection for queries: {error}"))
    }
}

/// A float in Python's pickle: `G` and its eight bytes, the highest first.
fn pickled_float(value: f64) -> Vec<u8> {
    let mut bytes = vec![b'G'];
    bytes.extend(value.to_be_bytes());
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

/// The line of JSON in which VictoriaMetrics exports a series; its timestamps are milliseconds.
fn exported(key: &str, points: &[Point]) -> String {
    let list = |number: &dyn Fn(&Point) -> String| {
        let numbers: Vec<String> = points.iter().map(number).collect();
        numbers.join(",")
    };
    let values = list(&|point| (f64::from(point.value) / 100.0).to_string());
    let timestamps = list(&|point| (point.timestamp * 1_000).to_string());
    format!(
        "{{\"metric\":{{\"__name__\":\"{key}\"}},\"values\":[{values}],\"timestamps\":[{timestamps}]}}"
    )
}
