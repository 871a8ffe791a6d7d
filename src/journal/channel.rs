//! What the loop and the journal thread tell each other.

use std::io::{self, ErrorKind};
use std::mem;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::checkpoint::Piece;
use super::monitor::Monitor;
use crate::config::Config;

/// Writing a frame up to this size takes less time than waking a thread on another core.
const SMALL_FRAME_BYTES: usize = 4 << 10;

/// What the loop asks for.
pub enum Message {
    /// Write this frame.
    Frame(Frame),
    /// Do the next step of a checkpoint.
    Checkpoint(Step),
}

/// A frame whose head is not filled in.
pub struct Frame {
    pub number: u64,
    /// How many of its records are puts.
    pub puts: u32,
    /// Where the loop ran, if that is known and it was not busy.
    pub core: Option<usize>,
    pub bytes: Vec<u8>,
}

impl Message {
    /// Whether it is a frame of more puts than clients are replied to at once: they have sent many without
    /// waiting for replies, and the next frame is likely to come soon.
    pub fn is_pipelined(&self) -> bool {
        matches!(self, Message::Frame(frame) if frame.puts as usize > Config::TURN_REPLIES)
    }

    /// The core that it comes from, if it is a frame that is written in a few microseconds.
    pub fn core_if_small(&self) -> Option<usize> {
        match self {
            Message::Frame(frame) if frame.bytes.len() <= SMALL_FRAME_BYTES => {
                frame.core.filter(|_| !self.is_pipelined())
            }
            _ => None,
        }
    }
}

/// A step of a checkpoint.
pub enum Step {
    /// Begin it, and a new journal file for the frames that follow, from this number on. Not if the disk has failed, or
    /// works again, and the loop did not know: then it has not recorded what a start would need.
    Begin { number: u64, is_failing: bool },
    /// Write this piece; after the last one it is complete.
    Write(Piece),
}

/// What the writer tells the loop.
#[derive(Clone, Debug, Default)]
pub struct Report {
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
    /// How often the loop was told something that it must act on.
    pub news: u64,
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
    state: Arc<Monitor<State>>,
    /// There are messages, as a hint for whoever has not locked the state.
    has_messages: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    /// What the loop asks for, and the thread has not taken yet.
    messages: Vec<Message>,
    /// Of frames that are written.
    buffers: Vec<Vec<u8>>,
    /// The loop asks for nothing more.
    is_closed: bool,
    report: Report,
    /// How the thread ended.
    end: Option<io::Result<()>>,
    /// The thread waits for messages.
    thread_waits: bool,
    /// The loop waits for events, or is about to.
    loop_waits: bool,
    /// Wakes the loop.
    wake: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Channel {
    /// Changes the state of one end, and wakes the thread at the other if it waits.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.state.wake();
    }

    /// Asks the thread for something. Returns the buffer of a frame that was written, if there is one.
    pub fn send(&self, message: Message) -> Option<Vec<u8>> {
        let (thread_waits, buffer) = {
            let state = &mut self.state.lock();
            state.messages.push(message);
            self.has_messages.store(true, Ordering::Relaxed);
            (mem::take(&mut state.thread_waits), state.buffers.pop())
        };
        if thread_waits {
            self.state.wake();
        }
        buffer
    }

    /// Asks the thread to end when it has done what was asked for before.
    pub fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    /// Says how the thread has ended. Waits for at most `wait`.
    pub fn wait_for_end(&self, wait: Duration) -> io::Result<()> {
        let waits = |state: &mut State| state.end.is_none();
        let mut state = self.state.wait_while(wait, waits);
        let silence = || io::Error::new(ErrorKind::TimedOut, "the disk does not answer");
        state.end.take().unwrap_or_else(|| Err(silence()))
    }

    /// Takes what the loop asks for into `messages`, which is empty, and waits for it from `now` until `due`.
    /// False if nothing more will be asked for.
    ///
    /// If it `looks_first`, it looks for messages for a while before the thread sleeps.
    ///
    /// Hands over `buffers` of frames that are written, to be used again: where one thread takes memory
    /// that another frees, each waits for the other's lock.
    pub fn receive(
        &self,
        messages: &mut Vec<Message>,
        due: Option<Instant>,
        now: Instant,
        looks_first: bool,
        buffers: &mut Vec<Vec<u8>>,
    ) -> bool {
        while looks_first
            && !self.has_messages.load(Ordering::Relaxed)
            && now.elapsed() < Config::JOURNAL_SPIN
        {
            thread::yield_now();
        }
        let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
        let waits = |state: &mut State| {
            state.buffers.append(buffers);
            state.thread_waits = state.messages.is_empty() && !state.is_closed;
            state.thread_waits
        };
        let mut state = self.state.wait_while(wait, waits);
        state.thread_waits = false;
        self.has_messages.store(false, Ordering::Relaxed);
        mem::swap(messages, &mut state.messages);
        !messages.is_empty() || !state.is_closed
    }

    /// Takes what the loop asks for.
    #[cfg(test)]
    pub fn take(&self) -> Vec<Message> {
        mem::take(&mut self.state.lock().messages)
    }

    /// Says how the thread ended.
    pub fn end(&self, result: io::Result<()>) {
        self.change(|state| state.end = Some(result));
    }

    /// Sets what wakes the loop.
    pub fn set_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.state.lock().wake = Some(Arc::new(wake));
    }

    /// Tells the loop how far the thread has come, and wakes it if `change` says that this is news.
    pub fn report(&self, change: impl FnOnce(&mut Report) -> bool) {
        let wake = {
            let state = &mut self.state.lock();
            let is_news = change(&mut state.report);
            state.report.news += u64::from(is_news);
            let wakes = is_news && mem::take(&mut state.loop_waits);
            state.wake.clone().filter(|_| wakes)
        };
        if let Some(wake) = wake {
            wake();
        }
    }

    /// What the thread has told. If the loop `will_wait`, the next news wake it.
    pub fn look(&self, will_wait: bool) -> Report {
        let state = &mut self.state.lock();
        state.loop_waits = will_wait;
        state.report.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_is_woken_only_if_it_waits_and_there_is_news() {
        let channel = Channel::default();
        let woken = Arc::new(AtomicBool::new(false));
        let wakes = Arc::clone(&woken);
        channel.set_wake(move || wakes.store(true, Ordering::Relaxed));
        for (will_wait, is_news) in [(false, false), (false, true), (true, false), (true, true)] {
            channel.look(will_wait);
            channel.report(|_| is_news);
            let expected = will_wait && is_news;
            assert_eq!(woken.swap(false, Ordering::Relaxed), expected);
        }
        // Once is enough, until it has looked.
        channel.report(|_| true);
        assert!(!woken.load(Ordering::Relaxed));
        assert_eq!(channel.look(false).news, 3);
    }
}
