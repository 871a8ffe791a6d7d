//! How what a turn has put is committed, and when its replies leave.

use std::mem;
use std::ops::Range;

use super::EventLoop;
use crate::config::Config;
use crate::server::commit::{Admission, Outcome};

/// A connection that has executed, and where its replies are in `shared.replies`.
pub struct Executed {
    pub key: usize,
    pub replies: Range<usize>,
}

impl EventLoop {
    /// Whether the first replies that wait for a commit wait no longer.
    pub(super) fn may_reply(&self) -> bool {
        let first = self.waiting.next_number();
        first.is_some_and(|number| self.commit.outcome(number) != Outcome::Pending)
    }

    /// Whether puts may be executed. While the disk does not answer they may not: it may never, and then they
    /// are not stored.
    pub(super) fn admission(&self) -> Admission {
        match self.commit.admission() {
            Admission::Open if self.silence.is_long => Admission::Full,
            admission => admission,
        }
    }

    /// Whether puts that had to wait may be executed.
    pub(super) fn may_readmit(&self) -> bool {
        !self.postponed.is_empty() && self.admission() != Admission::Full
    }

    /// Submits what was put, and returns the number of that commit. Few puts of several clients are left
    /// to be submitted with those of the next turn, which comes at once: a commit takes much longer than
    /// these.
    fn submit(&mut self) -> Option<u64> {
        let Some(recorder) = &mut self.shared.recorder else {
            return Some(0);
        };
        let are_few = (1..Config::COMMIT_PUTS).contains(&recorder.puts.puts_of_next());
        let may_leave = self.may_leave && self.executed.len() > 1 && self.stopping.is_none();
        self.leaves_puts = are_few && may_leave;
        if self.leaves_puts {
            return None;
        }
        let unanswered = mem::take(&mut recorder.unanswered);
        if recorder.puts.is_empty() {
            // Then none of the puts is to be kept, and their replies wait for no commit.
            return Some(0);
        }
        let number = self.commit.submit(&mut recorder.puts);
        self.waiting.submitted(number);
        if unanswered > 0 {
            self.unanswered.push_back((number, unanswered));
        }
        Some(number)
    }

    /// Counts the puts that are never answered, and whose commit has failed, as refused.
    pub(super) fn count_unanswered(&mut self) {
        while let Some(&(number, count)) = self.unanswered.front() {
            match self.commit.outcome(number) {
                Outcome::Pending => return,
                Outcome::Stored => {}
                Outcome::NotStored => self.shared.tally.counts.graphite_points_refused += count,
            }
            self.unanswered.pop_front();
        }
    }

    /// Submits what was put, and writes all replies, except those that must wait until it is
    /// committed.
    pub(super) fn commit_and_reply(&mut self) {
        let number = self.submit();
        let mut executed = mem::take(&mut self.executed);
        let mut all = mem::take(&mut self.shared.replies);
        for Executed { key, replies } in executed.drain(..) {
            let kept_bytes = self.shared.recorder.as_ref().map_or(0, |recorder| {
                let puts = recorder.replies_within(replies.clone());
                self.waiting.push(key, number, &all[replies.clone()], puts)
            });
            if kept_bytes == 0 {
                self.reply(key, &all[replies]);
            } else {
                self.shared.kept_bytes += kept_bytes + self.clients[key].connection.kept_bytes();
            }
        }
        // The next turn reuses their memory.
        all.clear();
        (self.executed, self.shared.replies) = (executed, all);
        if let Some(recorder) = &mut self.shared.recorder {
            recorder.replies.clear();
        }
    }

    /// Writes replies that waited for a commit which is done, or has failed: no more at once than
    /// after a commit that takes no time.
    pub(super) fn reply_to_committed(&mut self) {
        let mut waiting = mem::take(&mut self.waiting);
        for _ in 0..Config::TURN_REPLIES {
            let first = waiting.next_number();
            let outcome = first.map_or(Outcome::Pending, |number| self.commit.outcome(number));
            if outcome == Outcome::Pending {
                break;
            }
            if let Some(leaving) = waiting.pop(outcome == Outcome::Stored) {
                let kept_bytes = self.clients[leaving.key].connection.kept_bytes();
                self.shared.kept_bytes -= kept_bytes + leaving.kept_bytes;
                self.shared.tally.counts.requests_refused += leaving.refused;
                self.reply(leaving.key, &leaving.replies);
            }
        }
        waiting.trim();
        self.waiting = waiting;
    }

    fn reply(&mut self, key: usize, replies: &[u8]) {
        // Replies to what came in one read leave together, unless connections keep too many.
        let piece_bytes = match self.shared.keeps_too_many_replies(self.config()) {
            true => 0,
            false => self.config().write_buffer_bytes,
        };
        self.clients[key].connection.reply(replies, piece_bytes);
        self.end_turn(key);
    }
}
