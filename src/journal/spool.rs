//! What the journal thread and those who read its files tell each other.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::channel::Channel;

/// Shared by the journal thread and the readers of its files, each of which has a number from 0 on.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    written: Written,
    /// Number of the checkpoint that was written last: no start needs the files before it.
    checkpoint: u64,
    /// For each reader, the number of the first frame that it still needs.
    needed: Vec<u64>,
    /// A reader waits for a frame after this number; `u64::MAX` if none waits.
    awaited: u64,
    is_stopped: bool,
    /// How many readers there are.
    running: usize,
    /// What wakes the loop when none is left.
    channel: Option<Channel>,
}

/// How far the journal is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of the newest frame that is in a file and may be answered.
    pub newest: u64,
    /// How many puts there are in the frames since the start.
    pub points: u64,
    /// Where the next frame goes.
    pub end: End,
}

/// The end of what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The number of the file that frames are appended to; 0 if there is none.
    pub file: u64,
    /// How many bytes are written to it. It may be longer.
    pub bytes: u64,
}

impl Spool {
    /// The spool of readers that need these frames and those after them.
    pub fn new(needed: Vec<u64>) -> Spool {
        let state = State {
            written: Written::default(),
            checkpoint: 0,
            needed,
            awaited: u64::MAX,
            is_stopped: false,
            running: 0,
            channel: None,
        };
        let shared = Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        Spool {
            shared: Arc::new(shared),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while it is locked.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that frames up to this number are written, with so many puts more.
    pub fn add_written(&self, newest: u64, points: u64, end: End) {
        let is_awaited = {
            let state = &mut self.lock();
            state.written.newest = newest;
            state.written.points += points;
            state.written.end = end;
            let is_awaited = newest > state.awaited;
            if is_awaited {
                state.awaited = u64::MAX;
            }
            is_awaited
        };
        // To wake somebody is a system call, even if nobody waits.
        if is_awaited {
            self.shared.changed.notify_all();
        }
    }

    /// Says that there is a checkpoint of this number.
    pub fn set_checkpoint(&self, number: u64) {
        self.lock().checkpoint = number;
    }

    /// Number of the newest checkpoint.
    pub fn checkpoint(&self) -> u64 {
        self.lock().checkpoint
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
        self.lock().needed[reader] = frame;
    }

    /// Waits until a frame after number `seen` is written, or until this time, if there is one. False if
    /// the readers are to stop.
    pub fn wait(&self, seen: u64, until: Option<Instant>) -> bool {
        let mut state = self.lock();
        while !state.is_stopped && state.written.newest <= seen {
            state.awaited = state.awaited.min(seen);
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

    /// Says on which channel the loop waits.
    pub fn set_channel(&self, channel: Channel) {
        self.lock().channel = Some(channel);
    }

    /// Says that there is one more reader.
    pub fn begin_reader(&self) {
        self.lock().running += 1;
    }

    /// Says that a reader has ended.
    pub fn end_reader(&self) {
        let channel = {
            let state = &mut self.lock();
            state.running -= 1;
            state.channel.clone().filter(|_| state.running == 0)
        };
        self.shared.changed.notify_all();
        if let Some(channel) = channel {
            channel.report(|_| true);
        }
    }

    /// Whether there are readers.
    pub fn is_running(&self) -> bool {
        self.lock().running > 0
    }

    /// Waits until all readers have ended, for at most `wait`. Says whether they have.
    pub fn wait_for_end(&self, wait: Duration) -> bool {
        let runs = |state: &mut State| state.running > 0;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.lock(), wait, runs);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.running == 0
    }
}
