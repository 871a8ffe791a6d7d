//! What the journal thread and those who read its files tell each other.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::channel::{Channel, Message};

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

#[derive(Default)]
struct State {
    written: Written,
    /// Number of the checkpoint that was written last: no start needs the files before it.
    checkpoint: u64,
    /// For each reader, the number of the first frame that it still needs.
    needed: Vec<u64>,
    /// The journal thread, and the number of a frame: when readers need none before it, the thread has a
    /// file to remove, and is told so.
    release: Option<(Channel, u64)>,
    /// A reader waits for a frame after this number.
    awaited: Option<u64>,
    is_stopped: bool,
    /// How many readers have not ended.
    running: usize,
    /// What wakes the loop when none is left.
    channel: Option<Channel>,
}

impl State {
    fn needed(&self) -> Option<u64> {
        self.needed.iter().min().copied()
    }

    /// The channel on which to tell that a file is released, if it is.
    fn take_released(&mut self) -> Option<Channel> {
        let needed = self.needed();
        let release = self.release.take_if(|&mut (_, at)| needed >= Some(at));
        release.map(|(channel, _)| channel)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// How far the journal is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of the newest frame that is in a file and may be answered.
    pub newest: u64,
    /// How many puts there are in the frames since the start.
    pub points: u64,
    /// How many bytes these frames have.
    pub bytes: u64,
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

    /// Says that frames up to this number are written, with so many puts and bytes more.
    pub fn add_written(&self, newest: u64, points: u64, bytes: u64) {
        let awaited = {
            let state = &mut self.lock();
            state.written.newest = newest;
            state.written.points += points;
            state.written.bytes += bytes;
            state.awaited.take_if(|seen| newest > *seen)
        };
        // To wake somebody is a system call, even if nobody waits.
        if awaited.is_some() {
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

    /// Has the journal thread told, once, when readers need no frame before this one.
    pub fn tell_released(&self, channel: &Channel, at: Option<u64>) {
        let released = {
            let state = &mut self.lock();
            state.release = at.map(|at| (channel.clone(), at));
            state.take_released()
        };
        tell(released);
    }

    /// How far the journal is written.
    pub fn written(&self) -> Written {
        self.lock().written
    }

    /// Number of the first frame that a reader still needs; `None` without readers.
    pub fn needed(&self) -> Option<u64> {
        self.lock().needed()
    }

    /// Says that a reader needs no frame before this one.
    pub fn need_from(&self, reader: usize, frame: u64) {
        let released = {
            let state = &mut self.lock();
            if let Some(needed) = state.needed.get_mut(reader) {
                *needed = frame;
            }
            state.take_released()
        };
        tell(released);
    }

    /// Waits until a frame after number `seen` is written, or until this time, if there is one. False if
    /// the readers are to stop.
    pub fn wait(&self, seen: u64, until: Option<Instant>) -> bool {
        let mut state = self.lock();
        while !state.is_stopped && state.written.newest <= seen {
            state.awaited = Some(state.awaited.map_or(seen, |other| other.min(seen)));
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

    /// Says on which channel the loop waits.
    pub fn set_channel(&self, channel: Channel) {
        self.lock().channel = Some(channel);
    }

    /// Says that a reader has begun, or that it has ended.
    pub fn add_running(&self, is_running: bool) {
        let channel = {
            let state = &mut self.lock();
            state.running = if is_running {
                state.running + 1
            } else {
                state.running.saturating_sub(1)
            };
            state.channel.clone().filter(|_| state.running == 0)
        };
        self.shared.changed.notify_all();
        if let Some(channel) = channel {
            channel.report(|_| true);
        }
    }

    /// Whether a reader has not ended.
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

    /// Whether readers are to stop.
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }
}

/// Tells the journal thread that a file is released.
fn tell(released: Option<Channel>) {
    if let Some(channel) = released {
        drop(channel.send(Message::Released)); // a buffer for frames, which is not needed here
    }
}
