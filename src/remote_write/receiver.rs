//! Counters and the last error of a receiver.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::counters::{Counts, Published};

/// A receiver, as other threads than its own see it.
#[derive(Debug)]
pub struct Receiver {
    /// Its URL without the query, which may hold secrets.
    pub name: String,
    /// Its counters.
    pub counts: Arc<Published>,
    /// When it last did not take points, in seconds since 1970, and why; 0 if it has taken all.
    last_error: Mutex<(u64, String)>,
}

impl Receiver {
    /// A receiver to which nothing was sent yet.
    pub fn new(name: String) -> Receiver {
        Receiver {
            name,
            counts: Arc::default(),
            last_error: Mutex::default(),
        }
    }

    fn last_error(&self) -> MutexGuard<'_, (u64, String)> {
        // No code panics while it holds the lock.
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why it does not take points now.
    pub fn set_last_error(&self, message: &str) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since_1970.map_or(0, |time| time.as_secs());
        *self.last_error() = (now, message.into());
    }

    /// Adds its counters to `counts`. The lag in seconds becomes that of the slowest receiver, and the time of the
    /// last error becomes the latest one.
    pub fn add_to(&self, counts: &mut Counts) {
        let oldest = counts.remote_lag_seconds;
        counts.remote_lag_seconds = 0;
        self.counts.add_to(counts);
        counts.remote_lag_seconds = oldest.max(counts.remote_lag_seconds);
        let last = &mut counts.remote_last_error_timestamp_seconds;
        *last = self.last_error().0.max(*last);
    }

    /// A line about the last error, if there was one.
    pub fn last_error_line(&self) -> Option<String> {
        let (at, message) = &*self.last_error();
        (*at > 0).then(|| format!("{}: last error, at {at}: {message}", self.name))
    }
}
