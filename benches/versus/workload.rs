//! The work: 1,000 series, each a random walk with two decimals, a point every ten seconds.
//!
//! Requests are formed before they are timed. A script is a ring of them in one buffer, and a
//! batch is a slice of it; when the ring comes round, only the ten digits of the timestamps
//! are written anew, so that time goes on for ever and no put ever replaces an older one.

use std::ops::Range;

use memchr::memchr_iter;

use crate::dialect::{Dialect, TimestampPlaces};

/// Series that the puts go to.
pub const KEYS: usize = 1_000;

/// Points of each, where a store is filled before it is measured.
pub const POINTS_A_SERIES: usize = 1_000;
pub const POINTS: usize = KEYS * POINTS_A_SERIES;

const FIRST_TIMESTAMP: u64 = 1_700_000_000;
const SECONDS_BETWEEN_POINTS: u64 = 10;
const TIMESTAMP_DIGITS: usize = 10;

/// Values that a ring holds of each series, at least.
const RING_PASSES: usize = 64;

/// A value in hundredths: decimals are then exact in text and to compare.
pub type Hundredths = u32;

#[derive(Clone, Debug)]
pub struct Point {
    pub key: String,
    pub value: Hundredths,
    pub timestamp: u64,
}

pub fn key(number: usize) -> String {
    format!("host{number:05}.cpu.user")
}

pub fn timestamp(pass: usize) -> u64 {
    FIRST_TIMESTAMP + SECONDS_BETWEEN_POINTS * pass as u64
}

/// A walk between 0.00 and 100.00 in steps of at most 1.00, the same in every run. Its second
/// half goes back the way it came, so that a ring has no jump where it closes.
pub fn walk(key_number: usize, passes: usize) -> Vec<Hundredths> {
    let mut random = Random(key_number as u64);
    let mut value: i64 = 1_000 + (random.next() % 8_000) as i64;
    let mut values: Vec<Hundredths> = Vec::with_capacity(passes);
    for _ in 0..passes.div_ceil(2) {
        values.push(value as Hundredths);
        let step = (random.next() % 201) as i64 - 100;
        value = (value + step).clamp(0, 10_000);
    }
    for pass in values.len()..passes {
        values.push(values[passes - 1 - pass]);
    }
    values
}

/// SplitMix64: a few lines, and good enough for a walk.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What one connection sends, in batches, for ever.
pub struct Script {
    bytes: Vec<u8>,
    requests: Vec<Request>,
    /// Requests sent before their replies are waited for; the ring is a multiple of it.
    pub batch: usize,
    /// The request that the next batch begins with.
    next: usize,
    /// The request that the last batch ended with.
    last: usize,
    clock: Option<Clock>,
}

struct Request {
    /// Where it ends in the script's bytes; it begins where the one before ends.
    end: usize,
    /// Where a put's timestamp stands.
    timestamps: Option<TimestampPlaces>,
    /// Newlines in the reply to it.
    reply_newlines: usize,
}

/// The time of the puts: a pass over the script's keys has one timestamp.
struct Clock {
    timestamp: u64,
    digits: [u8; TIMESTAMP_DIGITS],
    keys: usize,
    left_in_pass: usize,
}

impl Script {
    /// The same request again and again.
    pub fn repeating(request: Vec<u8>, reply_newlines: usize) -> Script {
        Script {
            requests: vec![Request {
                end: request.len(),
                timestamps: None,
                reply_newlines,
            }],
            bytes: request,
            batch: 1,
            next: 0,
            last: 0,
            clock: None,
        }
    }

    /// So many puts to the given series in turn, then a get, one at a time.
    pub fn mix(
        dialect: &Dialect,
        keys: Range<usize>,
        puts_a_get: usize,
        get: Vec<u8>,
        get_newlines: usize,
    ) -> Script {
        let passes = RING_PASSES.next_multiple_of(puts_a_get);
        let puts = Script::ring(dialect, keys, passes, 1, 0);
        let mut mix = Script {
            bytes: Vec::new(),
            requests: Vec::new(),
            ..puts
        };
        let mut start = 0;
        for (number, put) in puts.requests.iter().enumerate() {
            let shift = mix.bytes.len() - start;
            mix.bytes.extend_from_slice(&puts.bytes[start..put.end]);
            mix.push(
                put.timestamps.map(|at| at.map(|at| at + shift)),
                put.reply_newlines,
            );
            start = put.end;
            if (number + 1) % puts_a_get == 0 {
                mix.bytes.extend_from_slice(&get);
                mix.push(None, get_newlines);
            }
        }
        mix
    }

    fn push(&mut self, timestamps: Option<TimestampPlaces>, reply_newlines: usize) {
        self.requests.push(Request {
            end: self.bytes.len(),
            timestamps,
            reply_newlines,
        });
    }

    /// Puts to the given series in turn, the first of them at the time of `first_pass`.
    pub fn puts(dialect: &Dialect, keys: Range<usize>, batch: usize, first_pass: usize) -> Script {
        let passes = RING_PASSES.next_multiple_of(batch / common_divisor(batch, keys.len()));
        Script::ring(dialect, keys, passes, batch, first_pass)
    }

    /// As `puts`, with a ring that comes round after so many points of each series.
    pub fn ring(
        dialect: &Dialect,
        keys: Range<usize>,
        passes: usize,
        batch: usize,
        first_pass: usize,
    ) -> Script {
        assert_eq!(keys.len() * passes % batch, 0, "a batch may not wrap round");
        let names: Vec<String> = keys.clone().map(key).collect();
        let walks: Vec<Vec<Hundredths>> = keys.map(|number| walk(number, passes)).collect();
        let reply_newlines = memchr_iter(b'\n', dialect.put_reply).count();
        let mut script = Script {
            bytes: Vec::new(),
            requests: Vec::with_capacity(names.len() * passes),
            batch,
            next: 0,
            last: 0,
            clock: Some(Clock::starting_at(timestamp(first_pass), names.len())),
        };
        for pass in 0..passes {
            for (name, walk) in names.iter().zip(&walks) {
                let bytes = &mut script.bytes;
                let timestamps = (dialect.put)(bytes, name, walk[pass], FIRST_TIMESTAMP);
                script.push(Some(timestamps), reply_newlines);
            }
        }
        script
    }

    /// One script a connection: each connection owns its share of the series, so that the
    /// points of a series arrive in order whichever connection is served first.
    pub fn puts_for_all(
        dialect: &Dialect,
        connections: usize,
        batch: usize,
        first_pass: usize,
    ) -> Vec<Script> {
        (0..connections)
            .map(|connection| {
                let keys = share(0..KEYS, connection, connections);
                Script::puts(dialect, keys, batch, first_pass)
            })
            .collect()
    }

    /// Makes the next batch ready and says which bytes it is.
    pub fn next_batch(&mut self) -> Range<usize> {
        let first = self.next;
        self.last = first + self.batch - 1;
        if let Some(clock) = &mut self.clock {
            let requests = self.requests[first..=self.last].iter();
            for places in requests.filter_map(|request| request.timestamps) {
                let digits = clock.next_digits();
                for at in places {
                    self.bytes[at..at + TIMESTAMP_DIGITS].copy_from_slice(digits);
                }
            }
        }
        self.next = (self.last + 1) % self.requests.len();
        self.start(first)..self.requests[self.last].end
    }

    fn start(&self, request: usize) -> usize {
        match request {
            0 => 0,
            _ => self.requests[request - 1].end,
        }
    }

    /// Newlines in the replies to the batch that was made ready last.
    pub fn reply_newlines(&self) -> usize {
        let batch = &self.requests[self.last + 1 - self.batch..=self.last];
        batch.iter().map(|request| request.reply_newlines).sum()
    }

    /// The last request of the batch that was made ready last.
    pub fn last_request(&self) -> &[u8] {
        self.bytes(self.start(self.last)..self.requests[self.last].end)
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}

impl Clock {
    fn starting_at(timestamp: u64, keys: usize) -> Clock {
        let mut clock = Clock {
            timestamp,
            digits: [0; TIMESTAMP_DIGITS],
            keys,
            left_in_pass: keys,
        };
        clock.format();
        clock
    }

    fn next_digits(&mut self) -> &[u8; TIMESTAMP_DIGITS] {
        if self.left_in_pass == 0 {
            self.timestamp += SECONDS_BETWEEN_POINTS;
            self.left_in_pass = self.keys;
            self.format();
        }
        self.left_in_pass -= 1;
        &self.digits
    }

    fn format(&mut self) {
        let mut rest = self.timestamp;
        for digit in self.digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        assert_eq!(rest, 0, "a timestamp outgrew its {TIMESTAMP_DIGITS} digits");
    }
}

/// The share of the series that one of several connections has.
pub fn share(keys: Range<usize>, connection: usize, connections: usize) -> Range<usize> {
    assert!(connections <= keys.len(), "a connection without a series");
    let bound = |connection| keys.start + keys.len() * connection / connections;
    bound(connection)..bound(connection + 1)
}

fn common_divisor(one: usize, other: usize) -> usize {
    if other == 0 {
        one
    } else {
        common_divisor(other, one % other)
    }
}
