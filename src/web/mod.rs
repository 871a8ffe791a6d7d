//! What is served under which path. It only reads.

use crate::http::{Answer, Failure, Request};
use crate::turn::Turn;

/// Answers a request.
pub fn answer(request: &Request, _turn: &mut Turn) -> Answer {
    let message = format!("there is nothing at {}", request.path);
    Answer::from(Failure {
        status: 404,
        message,
    })
}
