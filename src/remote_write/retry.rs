//! How long to wait before the next attempt.

use std::time::{Duration, SystemTime};

/// Pauses that grow, each of a length by chance, so that many senders that failed at one moment do not
/// come back at one moment.
#[derive(Debug)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pauses of one sender, by chance from this seed.
    pub fn new(seed: u64) -> Backoff {
        let _ = seed;
        Backoff { failures: 0 }
    }

    /// The pause after one more failure; no shorter than what the receiver asks for.
    pub fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        self.failures += 1;
        retry_after.unwrap_or_default()
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// How long the value of a `Retry-After` asks to wait: seconds, or a date (RFC 9110, section 10.2.3).
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let _ = (value, now);
    None
}
