//! Which core the journal thread runs on.
//!
//! While clients wait for each reply, frames are small: one is written in 3 µs. To wake a thread on another
//! core for that, and to be woken from there, takes up to twenty times as long in a virtual machine. So the
//! thread is then pinned to the core of the loop. Otherwise the system places it, as it always does on
//! systems other than Linux.

pub use self::system::current_core;

/// How many small frames in a row must come from one core before the thread is pinned there: the system may
/// just be moving the loop.
const FRAMES: u32 = 8;

/// Where the journal thread runs.
#[derive(Default)]
pub struct Placement {
    /// Where the last frame came from, if the thread is to follow it.
    core: Option<usize>,
    /// How many came from there in a row.
    frames: u32,
    /// While the thread is pinned: where it was allowed to run before.
    allowed: Option<system::Cores>,
}

impl Placement {
    /// Follows a small frame from this core, or lets the system place the thread. Makes system calls only when
    /// that changes.
    #[inline(never)]
    pub fn follow(&mut self, core: Option<usize>) {
        if core != self.core {
            (self.core, self.frames) = (core, 0);
            let is_free = self.allowed.as_ref().is_none_or(system::leave);
            self.allowed = self.allowed.take().filter(|_| !is_free);
        }
        self.frames = self.frames.saturating_add(1);
        if self.frames == FRAMES && self.allowed.is_none() {
            self.allowed = core.and_then(system::stay);
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

    pub type Cores = CpuSet;

    /// The core that the calling thread runs on, if the system tells.
    pub fn current_core() -> Option<usize> {
        Some(sched_getcpu()).filter(|&core| core < CpuSet::MAX_CPU)
    }

    /// Keeps the calling thread on a core. Returns where it was allowed to run before, if it stays.
    pub fn stay(core: usize) -> Option<Cores> {
        let allowed = sched_getaffinity(None).ok()?;
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).ok()?;
        Some(allowed)
    }

    /// Lets the calling thread run on any of these cores. Returns whether it may.
    pub fn leave(allowed: &Cores) -> bool {
        sched_setaffinity(None, allowed).is_ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub type Cores = ();

    pub fn current_core() -> Option<usize> {
        None
    }

    pub fn stay(_core: usize) -> Option<Cores> {
        None
    }

    pub fn leave(_allowed: &Cores) -> bool {
        true
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::{CpuSet, sched_getaffinity};
    use std::thread;

    #[test]
    fn a_thread_stays_on_a_core_only_while_frames_come_from_there() {
        // A thread of its own, since the others of the tests run anywhere.
        let thread = thread::spawn(|| {
            let cores = || sched_getaffinity(None).expect("where the thread may run");
            let (all, core) = (cores(), current_core().expect("the core"));
            let mut placement = Placement::default();
            for (from, frames, stays) in [
                (Some(core), FRAMES - 1, false),
                (None, 1, false),
                (Some(core), FRAMES - 1, false),
                (Some(core), 1, true),
                (Some(core), 2 * FRAMES, true),
                (None, 1, false),
                (None, FRAMES, false),
                (Some(core), FRAMES, true),
                // There is no such core.
                (Some(CpuSet::MAX_CPU - 1), FRAMES, false),
            ] {
                for _ in 0..frames {
                    placement.follow(from);
                }
                let found = cores();
                assert!(found.is_set(core));
                assert_eq!(found.count(), if stays { 1 } else { all.count() });
                assert_eq!(placement.allowed.is_some(), stays);
            }
        });
        thread.join().expect("no assertion failed");
    }
}
