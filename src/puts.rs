//! Puts on their way into the store: whether they may be executed, and their storing, some at once.

use std::mem;

use crate::protocol::request::{Form, LineEnd, plain_put};
use crate::server::{Admission, Lines};
use crate::store::{PUTS_AT_ONCE, Put};
use crate::turn::Turn;

/// A line of up to this length is parsed in a fraction of a microsecond, and its put takes little room.
pub const ORDINARY_LINE_BYTES: usize = 256;

/// A new series takes about so many bytes beside its key.
const SERIES_BYTES: usize = 128;

/// The puts of one session in one turn, held back until there are enough for one
/// [`put_all`](crate::Store::put_all), until the session has them stored, or until this is dropped.
pub struct Puts<'lines, 'turn, 'lent> {
    pub turn: &'turn mut Turn<'lent>,
    /// `held[..count]` are held back.
    held: [Put<'lines>; PUTS_AT_ONCE],
    count: usize,
    /// Lines up to this length may take the fast path: none while puts are not admitted.
    plain_line_bytes: usize,
    /// Does what the session does about puts: counts them, and answers them if they are answered.
    settle: fn(&mut Turn, Settled),
}

/// What became of puts, and how many these are: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// They are stored, and recorded if they must be.
    Stored(usize),
    /// There is no room for them, or they may not be executed: they changed nothing.
    Refused(usize),
}

impl<'lines, 'turn, 'lent> Puts<'lines, 'turn, 'lent> {
    /// No puts yet. `settle` is called whenever some are stored or refused.
    pub fn new(turn: &'turn mut Turn<'lent>, settle: fn(&mut Turn, Settled)) -> Self {
        let plain_line_bytes = match turn.admission() {
            Admission::Open => ORDINARY_LINE_BYTES,
            Admission::Full | Admission::Refused => 0,
        };
        Puts {
            turn,
            held: Default::default(),
            count: 0,
            plain_line_bytes,
            settle,
        }
    }

    /// How many are held back.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes lines as long as the fast path reads them, at most `most` and no more than are stored at once.
    /// Their newlines need no search. Returns whether there was any.
    // Not inlined, so that its loop has all registers.
    #[inline(never)]
    pub fn take_plain(&mut self, lines: &mut Lines<'lines>, form: Form, most: usize) -> bool {
        let (uncut, line_bytes) = lines.uncut(self.plain_line_bytes);
        let (mut rest, start) = (uncut, self.count);
        let end = PUTS_AT_ONCE.min(start.saturating_add(most));
        let (mut count, mut before) = (start, LineEnd::default());
        while count < end
            && let Some((put, length)) =
                plain_put(&rest[..rest.len().min(line_bytes)], form, &mut before)
        {
            self.held[count] = put;
            rest = &rest[length..];
            count += 1;
        }
        lines.skip_lines(uncut.len() - rest.len());
        self.turn.allowance.count_lines(count - start);
        self.add_held(count - start);
        count > start
    }

    /// Takes the put of any other line, which has so many bytes. If it may not be executed yet, the turn
    /// ends and is postponed: the line is to come again.
    pub fn take(&mut self, put: Put<'lines>, line_bytes: usize) {
        match self.turn.admission() {
            Admission::Open => {
                self.held[self.count] = put;
                self.add_held(1);
                if line_bytes > ORDINARY_LINE_BYTES {
                    self.store();
                }
            }
            Admission::Full => {
                self.turn.is_postponed = true;
                self.turn.allowance.end();
            }
            Admission::Refused => (self.settle)(self.turn, Settled::Refused(1)),
        }
    }

    /// Counts puts that were added to those that are held back.
    #[inline]
    fn add_held(&mut self, count: usize) {
        self.count += count;
        if self.count == PUTS_AT_ONCE {
            self.store();
        }
    }

    /// Stores those that are held back.
    pub fn store(&mut self) {
        let count = mem::take(&mut self.count);
        if count == 0 {
            return;
        }
        if !self.turn.room.has(self.turn.store) && !self.make_room(count) {
            return (self.settle)(self.turn, Settled::Refused(count));
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
        (self.settle)(self.turn, Settled::Stored(count));
    }

    #[cold]
    fn make_room(&mut self, count: usize) -> bool {
        let keys = self.held[..count].iter().map(|put| put.key.as_bytes());
        let wanted_bytes = keys.map(|key| key.len() + SERIES_BYTES).sum();
        let recorder = self.turn.recorder.as_deref_mut();
        let has_room = self.turn.room.make(wanted_bytes, self.turn.store, recorder);
        self.turn.allowance.look_at_clock();
        has_room
    }
}

impl Drop for Puts<'_, '_, '_> {
    fn drop(&mut self) {
        self.store();
    }
}
