//! Puts on their way into the store: whether they may be executed, and their storing, some at once.

use std::mem;

use crate::server::Admission;
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
        Puts {
            turn,
            held: Default::default(),
            count: 0,
        }
    }

    /// How long a line may be for its put to be held back without asking whether it is
    /// [admitted](Self::admit): 0 while puts are not.
    pub fn plain_line_bytes(&self) -> usize {
        match self.turn.admission() {
            Admission::Open => ORDINARY_LINE_BYTES,
            Admission::Full | Admission::Refused => 0,
        }
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

    /// Holds back one more, which is admitted, and says whether they are to be stored now.
    #[inline]
    pub fn hold_back(&mut self, put: Put<'lines>) -> bool {
        self.held[self.count] = put;
        self.count += 1;
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
