//! What can be seen of a receiver from outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::counters::{Counts, Published};

/// A receiver, as any thread may see it.
#[derive(Debug)]
pub struct Receiver {
    /// Its URL without the query, which may hold secrets.
    pub name: String,
    /// What is counted for it.
    pub counts: Arc<Published>,
    /// Why it did not take points, the last time that it did not.
    last_error: Mutex<LastError>,
}

/// An error, if there was any.
#[derive(Debug, Default)]
struct LastError {
    message: String,
    /// In seconds since 1970.
    at: u64,
}

impl Receiver {
    /// A receiver that has not been asked yet.
    pub fn new(name: String) -> Receiver {
        Receiver {
            name,
            counts: Arc::default(),
            last_error: Mutex::default(),
        }
    }

    fn last_error(&self) -> MutexGuard<'_, LastError> {
        // Nobody panics while it is locked.
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says why it does not take points now.
    pub fn set_last_error(&self, message: &str) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        *self.last_error() = LastError {
            message: message.into(),
            at: since_1970.map_or(0, |time| time.as_secs()),
        };
    }

    /// Adds what is counted for it. Of several receivers, the one that is furthest back says how old
    /// the oldest point is, and the one that failed last when that was.
    pub fn add_to(&self, counts: &mut Counts) {
        let oldest = counts.remote_lag_seconds;
        counts.remote_lag_seconds = 0;
        self.counts.add_to(counts);
        counts.remote_lag_seconds = oldest.max(counts.remote_lag_seconds);
        let last = &mut counts.remote_last_error_timestamp_seconds;
        *last = self.last_error().at.max(*last);
    }

    /// A line about the last error, if there was one.
    pub fn last_error_line(&self) -> Option<String> {
        let LastError { message, at } = &*self.last_error();
        (*at > 0).then(|| format!("{}: last error, at {at}: {message}", self.name))
    }
}
