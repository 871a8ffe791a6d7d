//! What the loop and the journal thread tell each other.

use std::io::{self, ErrorKind};
use std::mem;
use std::ops::RangeInclusive;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::checkpoint::Piece;

/// What the loop asks for.
pub enum Message {
    /// Write this frame of puts, whose head is not filled in.
    Frame { number: u64, bytes: Vec<u8> },
    /// Do the next step of a checkpoint.
    Checkpoint(Step),
}

/// A step of a checkpoint.
pub enum Step {
    /// Begin it, and a new journal file, of which the next frame, with this number, is the first. Not
    /// if the disk has failed, or works again, and the loop did not know: then it has not recorded
    /// what a start would need.
    Begin { number: u64, is_failing: bool },
    /// Write this piece; after the last one it is complete.
    Write(Piece),
}

/// What the writer tells the loop.
#[derive(Debug, Default)]
pub struct Progress {
    /// Frames up to this number are stored, or never will be.
    pub settled: u64,
    /// Frames that were not stored, of those that the loop may still ask about.
    pub not_stored: Option<RangeInclusive<u64>>,
    /// Bytes of frames that are settled.
    pub settled_bytes: u64,
    /// Steps of checkpoints that are done.
    pub steps: u64,
    pub checkpoint: Checkpoint,
    /// The disk fails: puts are refused.
    pub is_failing: bool,
    /// Bytes of the journal that a start would have to replay.
    pub journal_bytes: u64,
}

/// Whether there is to be a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checkpoint {
    /// No.
    #[default]
    Idle,
    /// It is due: the loop may begin one.
    Due,
    /// The loop sends its pieces.
    Running,
}

/// Either end of a channel between the loop and the journal thread.
#[derive(Clone, Default)]
pub struct Channel {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// What the loop asks for, and the thread has not taken yet.
    messages: Vec<Message>,
    /// The server stops, and waits for what was asked for.
    is_urgent: bool,
    /// The loop asks for nothing more.
    is_closed: bool,
    progress: Progress,
    /// How the thread ended.
    end: Option<io::Result<()>>,
    /// Wakes the loop.
    wake: Option<Box<dyn Fn() + Send>>,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nobody panics while it is locked.
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state of one end, and wakes the thread at the other if it waits.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.shared.1.notify_all();
        result
    }

    /// Asks the thread for something.
    pub fn send(&self, message: Message) {
        let mut state = self.lock();
        state.messages.push(message);
        // If there were others, the thread does not wait.
        if let [_] = state.messages[..] {
            self.shared.1.notify_all();
        }
    }

    /// Asks the thread to end when it has done what was asked for before.
    pub fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    /// Says that the server stops, and waits for what was asked for.
    pub fn hurry(&self) {
        self.lock().is_urgent = true;
    }

    pub fn is_urgent(&self) -> bool {
        self.lock().is_urgent
    }

    /// Says how the thread has ended. Waits for at most `wait`.
    pub fn wait_for_end(&self, wait: Duration) -> io::Result<()> {
        let waits = |state: &mut State| state.end.is_none();
        let waited = self.shared.1.wait_timeout_while(self.lock(), wait, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let silence = || io::Error::new(ErrorKind::TimedOut, "the disk does not answer");
        state.end.take().unwrap_or_else(|| Err(silence()))
    }

    /// Takes what the loop asks for, and waits for it until `due`. `None` if nothing more will be asked
    /// for.
    pub fn receive(&self, due: Option<Instant>) -> Option<Vec<Message>> {
        let wait = due.map_or(Duration::MAX, |due| {
            due.saturating_duration_since(Instant::now())
        });
        let waits = |state: &mut State| state.messages.is_empty() && !state.is_closed;
        let waited = self.shared.1.wait_timeout_while(self.lock(), wait, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let messages = mem::take(&mut state.messages);
        (!messages.is_empty() || !state.is_closed).then_some(messages)
    }

    /// Takes what the loop asks for.
    #[cfg(test)]
    pub fn take(&self) -> Vec<Message> {
        mem::take(&mut self.lock().messages)
    }

    /// Says how the thread ended.
    pub fn end(&self, result: io::Result<()>) {
        self.change(|state| state.end = Some(result));
    }

    /// Sets what wakes the loop.
    pub fn set_wake(&self, wake: impl Fn() + Send + 'static) {
        self.lock().wake = Some(Box::new(wake));
    }

    /// Tells the loop how far the thread has come, and wakes it if `change` says that this is news.
    pub fn report(&self, change: impl FnOnce(&mut Progress) -> bool) {
        let state = &mut self.lock();
        if change(&mut state.progress)
            && let Some(wake) = &state.wake
        {
            wake();
        }
    }

    /// Looks at what the thread has told.
    pub fn progress<T>(&self, look: impl FnOnce(&Progress) -> T) -> T {
        look(&self.lock().progress)
    }
}
