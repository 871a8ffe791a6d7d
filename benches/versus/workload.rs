//! The work: 1,000 series, each a random walk with two decimals, a point every ten seconds.
//!
//! Requests are formed before they are timed. A script is a ring of them in one buffer, and a
//! batch is a slice of it; when the ring comes round, only the ten digits of the timestamps
//! are replaced, so that time goes on and no put ever replaces an older one.

use std::ops::Range;

use memchr::{memchr_iter, memmem};
use metricd::Point;

use crate::dialect::Dialect;
use crate::support::series::{self, FIRST_TIMESTAMP, SECONDS_BETWEEN_POINTS};

/// Series that the puts go to.
pub const KEYS: usize = 1_000;

/// Points of each, where a store is filled before it is measured.
pub const POINTS_A_SERIES: usize = 1_000;
pub const POINTS: usize = KEYS * POINTS_A_SERIES;

const TIMESTAMP_DIGITS: usize = 10;

/// Steps of the walk, in hundredths, at most.
const STEP: i64 = 100;

/// Values that a ring holds of each series, at least; a multiple of the nine puts to a get.
pub const RING_PASSES: usize = 72;

/// The points of a series that is filled with so many. The second half of the values goes back
/// the way it came, so that a ring has no jump where it closes.
pub fn points(key: usize, passes: usize) -> Vec<Point> {
    let mut points: Vec<Point> = series::walk(key, STEP, 0).take(passes).collect();
    for pass in passes.div_ceil(2)..passes {
        points[pass].value = points[passes - 1 - pass].value;
    }
    points
}

/// The share of the series that one of several connections has.
pub fn share(keys: Range<usize>, connection: usize, connections: usize) -> Range<usize> {
    assert!(connections <= keys.len(), "a connection without a series");
    let bound = |connection| keys.start + keys.len() * connection / connections;
    bound(connection)..bound(connection + 1)
}

/// What one connection sends, in batches, for ever.
#[derive(Default)]
pub struct Script {
    bytes: Vec<u8>,
    requests: Vec<Request>,
    /// Requests sent before their replies are waited for; the ring is a multiple of it.
    pub batch: usize,
    /// The requests of the batch that was made ready last.
    current: Range<usize>,
    /// The time of the last put: a pass over the script's keys has one timestamp.
    timestamp: i64,
    digits: [u8; TIMESTAMP_DIGITS],
    keys: usize,
    left_in_pass: usize,
}

struct Request {
    bytes: Range<usize>,
    /// Where a put's timestamp stands: in one place, or in two.
    timestamps: Option<[usize; 2]>,
    reply_lines: usize,
}

impl Script {
    /// The same request again and again.
    pub fn repeating(request: &[u8], reply_lines: usize) -> Script {
        let mut script = Script {
            batch: 1,
            ..Script::default()
        };
        script.push(request, reply_lines);
        script
    }

    /// Puts to the given series in turn, the first of them at the time of `first_pass`.
    pub fn puts(dialect: Dialect, keys: Range<usize>, batch: usize, first_pass: i64) -> Script {
        let is_whole = |passes: &usize| (keys.len() * passes).is_multiple_of(batch);
        let passes = (RING_PASSES..).find(is_whole).unwrap_or(batch);
        let mut script = Script::ring(dialect, keys, passes, batch, None);
        script.timestamp += SECONDS_BETWEEN_POINTS * first_pass;
        script
    }

    /// Puts, with a ring that comes round after so many points of each series; after every nine
    /// of them the get, where there is one, whose reply has so many lines.
    pub fn ring(
        dialect: Dialect,
        keys: Range<usize>,
        passes: usize,
        batch: usize,
        get: Option<(&[u8], usize)>,
    ) -> Script {
        let names: Vec<String> = keys.clone().map(series::key).collect();
        let series: Vec<Vec<Point>> = keys.map(|key| points(key, passes)).collect();
        let reply_lines = memchr_iter(b'\n', dialect.put_reply(false)).count();
        let mut script = Script {
            batch,
            keys: names.len(),
            timestamp: FIRST_TIMESTAMP - SECONDS_BETWEEN_POINTS,
            ..Script::default()
        };
        for place in 0..passes * names.len() {
            let key = place % names.len();
            // Any time will do: it is replaced.
            let mut point = series[key][place / names.len()];
            point.timestamp = FIRST_TIMESTAMP;
            script.push(&dialect.put(&names[key], &point), reply_lines);
            if let (Some((get, lines)), 8) = (get, place % 9) {
                script.push(get, lines);
            }
        }
        script
    }

    fn push(&mut self, request: &[u8], reply_lines: usize) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(request);
        let digits = FIRST_TIMESTAMP.to_string();
        let mut places = memmem::find_iter(request, &digits).map(|at| start + at);
        let first = places.next();
        self.requests.push(Request {
            bytes: start..self.bytes.len(),
            timestamps: first.map(|first| [first, places.next().unwrap_or(first)]),
            reply_lines,
        });
    }

    /// Makes the next batch ready.
    pub fn next_batch(&mut self) -> &[u8] {
        let first = self.current.end % self.requests.len();
        self.current = first..first + self.batch;
        let requests = self.requests[self.current.clone()].iter();
        for places in requests.filter_map(|request| request.timestamps) {
            if self.left_in_pass == 0 {
                self.left_in_pass = self.keys;
                self.timestamp += SECONDS_BETWEEN_POINTS;
                let digits = self.timestamp.to_string().into_bytes();
                self.digits = digits.try_into().expect("ten digits");
            }
            self.left_in_pass -= 1;
            for at in places {
                self.bytes[at..at + TIMESTAMP_DIGITS].copy_from_slice(&self.digits);
            }
        }
        self.batch_bytes()
    }

    /// The batch that was made ready last.
    pub fn batch_bytes(&self) -> &[u8] {
        let batch = &self.requests[self.current.clone()];
        &self.bytes[batch[0].bytes.start..batch[batch.len() - 1].bytes.end]
    }

    /// Lines in the replies to it.
    pub fn reply_lines(&self) -> usize {
        let batch = &self.requests[self.current.clone()];
        batch.iter().map(|request| request.reply_lines).sum()
    }

    /// The last request of it.
    pub fn last_request(&self) -> &[u8] {
        &self.bytes[self.requests[self.current.end - 1].bytes.clone()]
    }
}
