//! Graphite's plaintext protocol: takes a line, and stores its point. Nothing is ever answered.

use crate::server::LineBuffer;
use crate::turn::Turn;

/// What a client's session keeps between its turns.
#[derive(Debug, Default)]
pub struct GraphiteSession {}

impl GraphiteSession {
    pub fn is_replying(&self) -> bool {
        false
    }

    pub fn is_cut_off(&self) -> bool {
        false
    }

    pub fn abandon_reply(&mut self) {}

    pub fn is_over(&self) -> bool {
        false
    }

    pub fn execute(&mut self, input: &mut LineBuffer, _turn: &mut Turn) {
        input.clear();
    }
}
