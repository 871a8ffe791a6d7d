//! What is answered to a request.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use crate::turn::Turn;

/// What is answered to a request. The session adds what frames it.
#[derive(Debug)]
pub struct Answer {
    /// Status code, such as 200.
    pub status: u16,
    /// Names and values of headers, such as `Content-Type`.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Cow<'static, [u8]>),
    /// It is formed piece by piece.
    Pieces(Box<dyn Pieces>),
}

/// A body that is formed piece by piece, so that a long one takes little memory and holds nobody up.
pub trait Pieces: fmt::Debug {
    /// Appends to `turn.replies` until the body is complete, or, which is a break, as many bytes are
    /// appended as the turn allows or its time is up. A call may append nothing.
    ///
    /// # Errors
    ///
    /// If the body will never be complete. If nothing of it was appended yet, this is the answer.
    fn append(&mut self, turn: &mut Turn) -> Result<ControlFlow<()>, Failure>;

    /// Whether it can never be completed, since the snapshot that it reads is no longer kept.
    fn is_cut_off(&self) -> bool;

    /// Bytes that it keeps between two pieces.
    fn kept_bytes(&self) -> usize;
}

/// Why there is no answer, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Status code, 400 or above.
    pub status: u16,
    /// What is wrong, in a sentence for whoever asked.
    pub message: String,
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Answer {
        Answer {
            status: failure.status,
            headers: vec![("Content-Type", "text/plain; charset=utf-8".into())],
            body: Body::Whole(format!("{}\n", failure.message).into_bytes().into()),
        }
    }
}
