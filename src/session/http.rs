//! HTTP/1.1: takes a request, and writes its answer, a long one piece by piece.

use std::ops::ControlFlow;

use crate::http::Pieces;
use crate::server::LineBuffer;
use crate::turn::Turn;

/// What a client's session keeps between its turns.
#[derive(Debug, Default)]
pub struct HttpSession {
    /// The rest of the body that is written piece by piece.
    pieces: Option<Box<dyn Pieces>>,
    is_over: bool,
}

impl HttpSession {
    pub fn is_replying(&self) -> bool {
        self.pieces.is_some()
    }

    pub fn is_cut_off(&self) -> bool {
        self.pieces
            .as_ref()
            .is_some_and(|pieces| pieces.is_cut_off())
    }

    pub fn abandon_reply(&mut self) {
        self.pieces = None;
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub fn kept_bytes(&self) -> usize {
        self.pieces.as_ref().map_or(0, |pieces| pieces.kept_bytes())
    }

    pub fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn) {
        if let Some(pieces) = &mut self.pieces
            && !matches!(pieces.append(turn), Ok(ControlFlow::Break(())))
        {
            self.pieces = None;
        }
        input.clear();
        self.is_over = true;
    }
}
