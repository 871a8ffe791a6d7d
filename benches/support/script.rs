//! What a client sends, and what it must get.
//!
//! Requests are formed before they are timed: a script is a ring of batches in one buffer. When it
//! comes round, only the first digits of the timestamps are replaced, so that time goes on and no
//! put ever replaces an older one.

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use super::*;

/// Passes over the series, one point of each, after which a ring may come round: 1,000 seconds.
pub const RING_PASSES: usize = 100;

/// The digits of a timestamp that stay the same for as long.
const RING_SECONDS: i64 = 1_000;

/// How the end of a reply is known, and whether it is the right one.
#[derive(Clone, Default)]
pub enum Reply {
    /// The client never reads.
    #[default]
    Unread,
    /// Each is the same `length` bytes, none where puts are not answered; `repeated` is more of
    /// them than one read takes. Shared: a thousand copies of it would fill the cache.
    Same { repeated: Arc<[u8]>, length: usize },
    /// Each has as many lines as the script says of its request.
    Lines,
    /// Each has at least as many lines, and ends with its blank line.
    GrowingLines,
}

impl Reply {
    pub fn same(reply: impl AsRef<[u8]>) -> Reply {
        let reply = reply.as_ref();
        let (length, count) = (reply.len(), READ_BUFFER_BYTES / reply.len().max(1) + 2);
        let repeated = reply.repeat(count).into();
        Reply::Same { repeated, length }
    }
}

/// What one connection sends, in batches, for ever.
#[derive(Clone, Default)]
pub struct Script {
    pub reply: Reply,
    /// Requests sent before their replies are waited for; one that is not full is never sent.
    batch: usize,
    bytes: Arc<Vec<u8>>,
    batches: Vec<Batch>,
    /// Where timestamps begin in the bytes.
    timestamps: Vec<usize>,
    /// Batches that were made ready so far.
    begun: usize,
    /// How often the ring has come round before the first of them.
    pub laps_before: usize,
}

#[derive(Clone, Default)]
struct Batch {
    bytes: Range<usize>,
    timestamps: Range<usize>,
    requests: usize,
    reply_lines: usize,
}

impl Script {
    pub fn new(reply: &Reply, batch: usize) -> Script {
        Script {
            reply: reply.clone(),
            batch,
            ..Script::default()
        }
    }

    /// The same again and again.
    pub fn once(request: impl AsRef<[u8]>, reply: &Reply, reply_lines: usize) -> Script {
        let mut script = Script::new(reply, 1);
        script.push(request.as_ref(), reply_lines);
        script
    }

    /// Adds a request. If the ring comes round, its timestamps are those of the first 1,000 seconds.
    pub fn push(&mut self, request: &[u8], reply_lines: usize) {
        let first = (FIRST_TIMESTAMP / RING_SECONDS).to_string();
        let (bytes, timestamps) = (Arc::make_mut(&mut self.bytes), &mut self.timestamps);
        if self
            .batches
            .last()
            .is_none_or(|last| last.requests == self.batch)
        {
            self.batches.push(Batch {
                bytes: bytes.len()..0,
                timestamps: timestamps.len()..0,
                ..Batch::default()
            });
        }
        let places = memmem::find_iter(request, &first);
        timestamps.extend(places.map(|place| bytes.len() + place));
        bytes.extend_from_slice(request);
        let batch = self.batches.last_mut().expect("it was pushed");
        (batch.bytes.end, batch.timestamps.end) = (bytes.len(), timestamps.len());
        batch.requests += 1;
        batch.reply_lines += reply_lines;
    }

    /// Makes the next batch ready, and says how many bytes or lines of replies it has.
    pub fn next_batch(&mut self) -> usize {
        let laps = self.laps_before + self.begun / self.batches.len();
        self.begun += 1;
        let timestamps = self.current().timestamps.clone();
        // A script that is shared has no timestamps to replace.
        if laps > 0
            && let Some(bytes) = Arc::get_mut(&mut self.bytes)
        {
            let digits = (FIRST_TIMESTAMP / RING_SECONDS + laps as i64).to_string();
            for &place in &self.timestamps[timestamps] {
                bytes[place..place + digits.len()].copy_from_slice(digits.as_bytes());
            }
        }
        self.owed()
    }

    /// The batch that was made ready last.
    fn current(&self) -> &Batch {
        &self.batches[(self.begun - 1) % self.batches.len()]
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.current().bytes.clone()]
    }

    /// Bytes or lines of the replies to it.
    pub fn owed(&self) -> usize {
        match self.reply {
            Reply::Unread => 0,
            Reply::Same { length, .. } => length * self.batch,
            Reply::Lines | Reply::GrowingLines => self.current().reply_lines,
        }
    }

    pub fn requests(&self) -> usize {
        self.batch
    }
}

/// The beginning of what may be long.
pub fn shown(bytes: &[u8]) -> String {
    format!("`{}`", bytes[..bytes.len().min(60)].escape_ascii())
}
