//! Puts on their way into the store: whether they may be executed, and their storing, some at once.

use std::mem;

use crate::server::{Admission, Lines};
use crate::store::{PUTS_AT_ONCE, Put};
use crate::turn::Turn;

/// A line of up to this length is parsed in a fraction of a microsecond, and its put takes little room.
pub const ORDINARY_LINE_BYTES: usize = 256;

/// The puts of one session in one turn, held back until there are enough for one
/// [`put_all`](crate::Store::put_all).
///
/// Whether and how they are answered is the session's matter: it says when they are to be
/// [stored](Self::store), and learns what became of them.
pub struct Puts<'lines, 'turn, 'lent> {
    pub turn: &'turn mut Turn<'lent>,
    /// `held[..count]` are held back.
    held: [Put<'lines>; PUTS_AT_ONCE],
    count: usize,
    /// Lines up to this length may take the fast path: none while puts are not admitted.
    plain_line_bytes: usize,
}

/// What became of the puts that were held back, and how many these were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// They are stored, and recorded if they must be.
    Stored(usize),
    /// There is no room for them: they changed nothing.
    Refused(usize),
}

impl<'lines, 'turn, 'lent> Puts<'lines, 'turn, 'lent> {
    /// No puts yet.
    pub fn new(turn: &'turn mut Turn<'lent>) -> Self {
        let plain_line_bytes = match turn.admission() {
            Admission::Open => ORDINARY_LINE_BYTES,
            Admission::Full | Admission::Refused => 0,
        };
        Puts {
            turn,
            held: Default::default(),
            count: 0,
            plain_line_bytes,
        }
    }

    /// Takes the next line and holds its put back, if this fast path reads it: it needs no search for the
    /// newline first. Given a text, `read` returns the put of its first line, and the length of that with
    /// the newline.
    #[inline(always)]
    pub fn take_plain(
        &mut self,
        lines: &mut Lines<'lines>,
        read: impl FnOnce(&'lines [u8]) -> Option<(Put<'lines>, usize)>,
    ) -> bool {
        let Some((put, length)) = read(lines.uncut(self.plain_line_bytes)) else {
            return false;
        };
        lines.skip_line(length);
        self.turn.allowance.count_line();
        self.hold_back(put);
        true
    }

    /// How many are held back.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether one more may be executed. If that is to be asked again later, the turn is postponed.
    pub fn admit(&mut self) -> Admission {
        let admission = self.turn.admission();
        self.turn.is_postponed |= admission == Admission::Full;
        admission
    }

    /// Holds back one more, which is admitted, when they [are not many](Self::are_many).
    #[inline]
    pub fn hold_back(&mut self, put: Put<'lines>) {
        self.held[self.count] = put;
        self.count += 1;
    }

    /// Whether so many are held back that they are to be stored now.
    #[inline]
    pub fn are_many(&self) -> bool {
        self.count == PUTS_AT_ONCE
    }

    /// Stores those that are held back.
    #[inline]
    pub fn store(&mut self) -> Settled {
        let count = mem::take(&mut self.count);
        if count == 0 {
            return Settled::Stored(0);
        }
        if !self.turn.room.has(self.turn.store) && !self.make_room() {
            return Settled::Refused(count);
        }
        let (puts, store) = (&self.held[..count], &mut *self.turn.store);
        let points_rewritten = store.points_rewritten();
        match &mut self.turn.recorder {
            None => store.put_all(puts),
            Some(recorder) => recorder.put_all(store, puts),
        }
        if store.points_rewritten() != points_rewritten {
            self.turn.allowance.look_at_clock();
        }
        Settled::Stored(count)
    }

    #[cold]
    fn make_room(&mut self) -> bool {
        let recorder = self.turn.recorder.as_deref_mut();
        let has_room = self.turn.room.make(self.turn.store, recorder);
        self.turn.allowance.look_at_clock();
        has_room
    }
}
