//! What the journal thread and those who read its files tell each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::Channel;
use super::monitor::Monitor;

/// Shared by the journal thread and the readers of its files, each of which has a number from 0 on.
#[derive(Clone)]
pub struct Spool {
    state: Arc<Monitor<State>>,
}

struct State {
    written: Written,
    /// For each reader, the number of the first frame that it still needs.
    needed: Vec<u64>,
    /// A reader waits for a frame after this number; `u64::MAX` if none waits.
    awaited: u64,
    /// The server stops.
    is_stopped: bool,
    /// How many readers there are.
    running: usize,
    /// What wakes the loop when none is left.
    channel: Channel,
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
    /// Number of the checkpoint that was written last: no start needs the files before it.
    pub checkpoint: u64,
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
    /// The spool of readers that need these frames and those after them, in a folder with a checkpoint of this
    /// number. The loop waits on this channel.
    pub fn new(needed: Vec<u64>, checkpoint: u64, channel: Channel) -> Spool {
        let state = State {
            written: Written {
                checkpoint,
                ..Written::default()
            },
            needed,
            awaited: u64::MAX,
            is_stopped: false,
            running: 0,
            channel,
        };
        Spool {
            state: Arc::new(Monitor::new(state)),
        }
    }

    /// Says that frames up to this number are written, with so many puts more.
    pub fn add_written(&self, newest: u64, points: u64, end: End) {
        let is_awaited = {
            let state = &mut self.state.lock();
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
            self.state.wake();
        }
    }

    /// Says that there is a checkpoint of this number.
    pub fn set_checkpoint(&self, number: u64) {
        self.state.lock().written.checkpoint = number;
    }

    /// How far the journal is written.
    pub fn written(&self) -> Written {
        self.state.lock().written
    }

    /// Number of the first frame that a reader still needs; `None` without readers.
    pub fn needed(&self) -> Option<u64> {
        self.state.lock().needed.iter().min().copied()
    }

    /// Says that a reader needs no frame before this one.
    pub fn need_from(&self, reader: usize, frame: u64) {
        self.state.lock().needed[reader] = frame;
    }

    /// Waits until a frame after number `seen` is written, or until this time, if there is one. False if
    /// the readers are to stop.
    pub fn wait(&self, seen: u64, until: Option<Instant>) -> bool {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let wait = until.map_or(Duration::MAX, left);
        let waits = |state: &mut State| {
            let waits = !state.is_stopped && state.written.newest <= seen;
            if waits {
                state.awaited = state.awaited.min(seen);
            }
            waits
        };
        !self.state.wait_while(wait, waits).is_stopped
    }

    /// Has all readers stop.
    pub fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.state.wake();
    }

    /// Whether readers are to stop.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().is_stopped
    }

    /// Says that there is one more reader.
    pub fn begin_reader(&self) {
        self.state.lock().running += 1;
    }

    /// Says that a reader has ended.
    pub fn end_reader(&self) {
        let channel = {
            let state = &mut self.state.lock();
            state.running -= 1;
            (state.running == 0).then(|| state.channel.clone())
        };
        self.state.wake();
        if let Some(channel) = channel {
            channel.report(|_| true);
        }
    }

    /// Whether there are readers.
    pub fn is_running(&self) -> bool {
        self.state.lock().running > 0
    }

    /// Waits until all readers have ended, for at most `wait`. Says whether they have.
    pub fn wait_for_end(&self, wait: Duration) -> bool {
        let runs = |state: &mut State| state.running > 0;
        self.state.wait_while(wait, runs).running == 0
    }
}
