//! What all connections share, and how much they may keep together.

use super::commit::Recorder;
use super::line_buffer::LineBuffer;
use crate::config::Config;
use crate::counters::Tally;
use crate::memory::Room;
use crate::store::Store;
use crate::turn::Environment;

/// What all connections share, and each borrows for its turn.
pub struct Shared {
    pub store: Store,
    /// The replies formed since the last commit, of one connection after the other.
    pub replies: Vec<u8>,
    /// What was put since then, if it must be recorded.
    pub recorder: Option<Recorder>,
    /// What is read, of one connection after the other.
    pub input: LineBuffer,
    /// Bytes of input and replies that all connections together keep between their turns.
    pub kept_bytes: usize,
    /// See [`Config::kept_limit_bytes`].
    pub kept_limit_bytes: usize,
    /// What is counted.
    pub tally: Tally,
    /// The room that the store has for more.
    pub room: Room,
    pub environment: Environment,
}

impl Shared {
    pub fn new(store: Store, recorder: Option<Recorder>, config: &Config) -> Shared {
        Shared {
            store,
            recorder,
            replies: Vec::new(),
            input: LineBuffer::new(config.line_limit_bytes, config.read_buffer_bytes),
            kept_bytes: 0,
            kept_limit_bytes: config.kept_limit_bytes,
            tally: Tally::default(),
            room: Room::new(config.memory_limit_bytes, config.when_full),
            environment: Environment {
                timestamp_unit: config.timestamp_unit,
                query_limit_bytes: config.query_limit_bytes,
                ..Environment::default()
            },
        }
    }

    /// Bytes of the buffers that all connections use in turn.
    pub fn buffer_bytes(&self) -> usize {
        self.input.allocated_bytes() + self.replies.capacity()
    }

    /// Whether all connections together keep so much that they get the least shares.
    pub fn keeps_much(&self, config: &Config) -> bool {
        // At half of what they may keep before some are closed.
        let most_bytes = self.most_kept_bytes(config) / 2;
        self.kept_bytes >= config.kept_limit_bytes.min(most_bytes)
    }

    /// Whether all connections together keep so much that no replies are held back. Without a limit on
    /// memory, this begins at one and a half times the bytes at which they get the least shares. With a
    /// limit, it begins at those bytes, but only while less than an eighth of the limit is left.
    pub fn keeps_too_many_replies(&self, config: &Config) -> bool {
        match config.memory_limit_bytes {
            None => self.kept_bytes / 3 * 2 >= config.kept_limit_bytes,
            Some(limit_bytes) => {
                let free_bytes = limit_bytes.saturating_sub(self.room.resident_bytes());
                free_bytes < limit_bytes / 8 && self.keeps_much(config)
            }
        }
    }

    /// The most bytes that all connections together may keep when memory is short: their part. Near the
    /// limit it is less, down to half of their part, since freed pieces do not fit what is new.
    pub fn most_kept_bytes(&self, config: &Config) -> usize {
        let part_bytes = config.connections_part_bytes();
        let limit_bytes = config.memory_limit_bytes.unwrap_or(usize::MAX);
        let half_at_bytes = limit_bytes.saturating_add(part_bytes / 8 * 3);
        let free_bytes = half_at_bytes.saturating_sub(self.room.resident_bytes());
        part_bytes - (part_bytes / 2).saturating_sub(free_bytes)
    }
}
