//! A state that threads share, and wait for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A state that threads share, and wait for.
#[derive(Default)]
pub struct Monitor<State> {
    state: Mutex<State>,
    changed: Condvar,
}

impl<State> Monitor<State> {
    pub fn new(state: State) -> Monitor<State> {
        Monitor {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has all who wait look at the state again. It is a system call even if nobody waits.
    pub fn wake(&self) {
        self.changed.notify_all();
    }

    /// Waits while this is true of the state, for at most `wait`.
    pub fn wait_while(
        &self,
        wait: Duration,
        is_waiting: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'_, State> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), wait, is_waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
