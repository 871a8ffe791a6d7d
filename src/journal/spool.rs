//! What the journal thread and those who read its files tell each other.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Shared by the journal thread and the readers of its files, each of which has a number from 0 on.
#[derive(Clone, Debug, Default)]
pub struct Spool {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: Written,
    /// For each reader, the number of the first frame that it still needs.
    needed: Vec<u64>,
    is_stopped: bool,
}

/// How far the journal is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of the newest frame that is in a file and may be answered.
    pub newest: u64,
    /// How many points were put in the frames since the start.
    pub points: u64,
}

impl Spool {
    /// The spool of readers that need these frames and those after them.
    pub fn new(needed: Vec<u64>) -> Spool {
        let spool = Spool::default();
        spool.lock().needed = needed;
        spool
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while it is locked.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that frames up to this number are written, with so many points more.
    pub fn add_written(&self, newest: u64, points: u64) {
        let state = &mut self.lock();
        state.written.newest = newest;
        state.written.points += points;
        self.shared.changed.notify_all();
    }

    /// How far the journal is written.
    pub fn written(&self) -> Written {
        self.lock().written
    }

    /// Number of the first frame that a reader still needs; `None` without readers.
    pub fn needed(&self) -> Option<u64> {
        self.lock().needed.iter().min().copied()
    }

    /// Says that a reader needs no frame before this one.
    pub fn need_from(&self, reader: usize, frame: u64) {
        if let Some(needed) = self.lock().needed.get_mut(reader) {
            *needed = frame;
        }
    }

    /// Waits until a frame after number `seen` is written, or until this time, if there is one. False if
    /// the readers are to stop.
    pub fn wait(&self, seen: u64, until: Option<Instant>) -> bool {
        let mut state = self.lock();
        while !state.is_stopped && state.written.newest <= seen {
            let changed = &self.shared.changed;
            let Some(until) = until else {
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.is_stopped
    }

    /// Has all readers stop.
    pub fn stop(&self) {
        self.lock().is_stopped = true;
        self.shared.changed.notify_all();
    }

    /// Whether readers are to stop.
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }
}
