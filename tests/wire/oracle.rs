//! What the server must reply, by a naive model: a list of sorted maps.

use std::collections::BTreeMap;

use crate::support::{Client, OK, WRONG_COMMAND};

/// A store that understands requests without blank lines, of values that Rust reads and prints as
/// Python does.
#[derive(Clone)]
pub struct Oracle {
    /// In the order in which each series was first put.
    series: Vec<(String, BTreeMap<i64, f64>)>,
    line_limit_bytes: usize,
}

impl Oracle {
    pub fn new() -> Oracle {
        Oracle::with_line_limit(64 << 10)
    }

    pub fn with_line_limit(line_limit_bytes: usize) -> Oracle {
        Oracle {
            series: Vec::new(),
            line_limit_bytes,
        }
    }

    /// The reply to one request, given with or without its newline.
    pub fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let line = request.strip_suffix(b"\n").unwrap_or(request);
        match std::str::from_utf8(line) {
            Ok(line) if line.len() <= self.line_limit_bytes => self.answer_line(line),
            _ => WRONG_COMMAND.to_vec(),
        }
    }

    fn answer_line(&mut self, line: &str) -> Vec<u8> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["put", key, value, timestamp] => match (value.parse(), timestamp.parse()) {
                (Ok(value), Ok(timestamp)) => self.put(key, value, timestamp),
                _ => WRONG_COMMAND.to_vec(),
            },
            ["get", "*"] => reply_of(self.series.iter()),
            ["get", key] => reply_of(self.series.iter().filter(|(name, _)| name == key)),
            _ => WRONG_COMMAND.to_vec(),
        }
    }

    fn put(&mut self, key: &str, value: f64, timestamp: i64) -> Vec<u8> {
        let place = self.series.iter().position(|(name, _)| name == key);
        let place = place.unwrap_or_else(|| {
            self.series.push((key.into(), BTreeMap::new()));
            self.series.len() - 1
        });
        self.series[place].1.insert(timestamp, value);
        OK.to_vec()
    }

    /// Sends the requests to the server, all at once, and checks the replies.
    #[track_caller]
    pub fn exchange(&mut self, client: &mut Client, requests: &[u8]) {
        let lines = requests.split_inclusive(|byte| *byte == b'\n');
        let replies: Vec<Vec<u8>> = lines.map(|line| self.answer(line)).collect();
        client.exchange(requests, &replies.concat());
    }
}

fn reply_of<'a>(series: impl Iterator<Item = &'a (String, BTreeMap<i64, f64>)>) -> Vec<u8> {
    let mut reply = b"ok\n".to_vec();
    for (key, points) in series {
        for (timestamp, value) in points {
            reply.extend_from_slice(format!("{key} {value:?} {timestamp}\n").as_bytes());
        }
    }
    reply.push(b'\n');
    reply
}
