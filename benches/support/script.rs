//! What a client sends, and what it must get.
//!
//! Requests are formed before they are timed: a script is a ring of batches in one buffer. When it
//! comes round, only the first digits of the timestamps are replaced, so that time goes on and no
//! put ever replaces an older one.

use memchr::memmem;

use super::*;

/// Passes over the series, one point of each, after which a ring may come round: 1,000 seconds.
pub const RING_PASSES: usize = 100;

/// The digits of a timestamp that stay the same for as long.
const RING_SECONDS: i64 = 1_000;

/// How the end of a reply is known, and whether it is the right one.
#[derive(Clone, Default)]
pub enum Reply {
    /// The client never reads. It sends one batch.
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
    pub fn same(reply: &str) -> Reply {
        let (length, count) = (reply.len(), READ_BUFFER_BYTES / reply.len().max(1) + 2);
        let repeated = reply.repeat(count).into_bytes().into();
        Reply::Same { repeated, length }
    }
}

/// What one connection sends, in batches, for ever.
#[derive(Clone, Default)]
pub struct Script {
    pub reply: Reply,
    bytes: Arc<Vec<u8>>,
    batches: Vec<Batch>,
    /// Batches that were made ready so far, or were skipped.
    begun: usize,
}

#[derive(Clone)]
struct Batch {
    bytes: Range<usize>,
    /// Where timestamps begin in the bytes.
    timestamps: Vec<usize>,
    requests: usize,
    /// Bytes or lines of the replies.
    owed: usize,
}

impl Script {
    /// Sends so many requests before it waits for their replies. Each has the number of lines of its reply
    /// beside it, if lines are counted. If the ring comes round, its timestamps are those of the first 1,000
    /// seconds.
    pub fn ring(reply: &Reply, batch: usize, requests: &[(String, usize)]) -> Script {
        let first = (FIRST_TIMESTAMP / RING_SECONDS).to_string();
        let mut bytes = Vec::new();
        let batches = requests.chunks_exact(batch).map(|requests| {
            let begin = bytes.len();
            for (request, _) in requests {
                bytes.extend(request.as_bytes());
            }
            let places = memmem::find_iter(&bytes[begin..], &first);
            Batch {
                timestamps: places.map(|place| begin + place).collect(),
                bytes: begin..bytes.len(),
                requests: batch,
                owed: match reply {
                    Reply::Unread => 0,
                    Reply::Same { length, .. } => length * batch,
                    _ => requests.iter().map(|(_, lines)| lines).sum(),
                },
            }
        });
        Script {
            batches: batches.collect(),
            reply: reply.clone(),
            bytes: Arc::new(bytes),
            begun: 0,
        }
    }

    /// The same again and again.
    pub fn once(request: &str, reply: &Reply, reply_lines: usize) -> Script {
        Script::ring(reply, 1, &[(request.into(), reply_lines)])
    }

    /// Makes the next batch ready, and says how many bytes or lines of replies it has.
    pub fn next_batch(&mut self) -> usize {
        let laps = self.begun / self.batches.len();
        self.begun += 1;
        let batch = &self.batches[(self.begun - 1) % self.batches.len()];
        // A script that is shared has no timestamps to replace.
        if laps > 0
            && let Some(bytes) = Arc::get_mut(&mut self.bytes)
        {
            let digits = (FIRST_TIMESTAMP / RING_SECONDS + laps as i64).to_string();
            for &place in &batch.timestamps {
                bytes[place..place + digits.len()].copy_from_slice(digits.as_bytes());
            }
        }
        batch.owed
    }

    /// As if the ring had come round so often.
    pub fn skip_laps(&mut self, laps: usize) {
        self.begun += laps * self.batches.len();
    }

    /// The batch that was made ready last.
    fn current(&self) -> &Batch {
        &self.batches[(self.begun - 1) % self.batches.len()]
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.current().bytes.clone()]
    }

    pub fn requests(&self) -> usize {
        self.current().requests
    }

    /// Whether all batches have been made ready equally often.
    pub fn is_round(&self) -> bool {
        self.begun.is_multiple_of(self.batches.len())
    }
}

/// The beginning of what may be long.
pub fn shown(bytes: &[u8]) -> String {
    format!("`{}`", bytes[..bytes.len().min(60)].escape_ascii())
}
