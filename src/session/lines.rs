//! The line protocol: takes a line, executes it, appends its reply.

use std::mem;
use std::ops::ControlFlow;

use super::Session;
use crate::execute::{Answer, Executor, append_piece};
use crate::protocol::response;
use crate::server::LineBuffer;
use crate::store::Snapshot;
use crate::turn::Turn;

/// What a client's session of the line protocol keeps between its turns.
#[derive(Default)]
pub struct LineSession {
    burst: Burst,
    /// What is still to read for a reply that is formed piece by piece.
    reply: Option<Box<Snapshot>>,
    /// No further line is executed: a client spoke another protocol, or its reply was cut off.
    is_over: bool,
}

/// What has arrived together so far. Blank lines with a request belong to it; blank lines alone are
/// one wrong command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Burst {
    #[default]
    Nothing,
    BlankLines,
    Request,
}

impl Session for LineSession {
    fn begin_burst(&mut self) {
        self.burst = Burst::Nothing;
    }

    fn is_replying(&self) -> bool {
        self.reply.is_some()
    }

    fn is_cut_off(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.is_cut_off())
    }

    fn abandon_reply(&mut self) {
        self.reply = None;
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn, more_to_come: bool) {
        if self.reply.is_some() && self.continue_reply(turn).is_break() {
            return;
        }
        self.execute_lines(input, turn);
        if self.is_over {
            input.clear();
        } else if !input.has_unscanned() && !more_to_come {
            self.end_burst(input, turn);
        }
    }
}

impl LineSession {
    /// Appends the next piece of the reply that is begun. A break means that more are to follow.
    #[cold]
    fn continue_reply(&mut self, turn: &mut Turn) -> ControlFlow<()> {
        let Some(mut reply) = self.reply.take() else {
            return ControlFlow::Continue(());
        };
        match append_piece(&mut reply, turn) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => {
                self.reply = Some(reply);
                return ControlFlow::Break(());
            }
            Err(error) => {
                debug!("reply cut off: {error}");
                self.is_over = true;
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes a line, executes it, appends its reply, until no line is left, the turn is used up, a
    /// long reply is begun or the session is over.
    // Not inlined, so that its loop has all registers: 18 instructions fewer for each put.
    #[inline(never)]
    fn execute_lines(&mut self, input: &mut LineBuffer, turn: &mut Turn) {
        let mut executor = Executor::new(turn);
        let mut lines = input.lines();
        while !self.is_over && !executor.is_done() {
            let Some(answer) = executor.execute_next(&mut lines) else {
                return;
            };
            self.burst = self.burst.max(match answer {
                Answer::Blank => Burst::BlankLines,
                _ => Burst::Request,
            });
            match answer {
                Answer::Blank | Answer::Executed => {}
                Answer::Begun(rest) => {
                    self.reply = Some(Box::new(rest));
                    return;
                }
                Answer::Foreign => self.is_over = true,
            }
        }
        if executor.is_postponed() {
            lines.put_back();
        }
    }

    /// Answers a burst of nothing but blank lines, once all that arrived together is executed.
    #[inline]
    fn end_burst(&mut self, input: &LineBuffer, turn: &mut Turn) {
        if mem::take(&mut self.burst) == Burst::BlankLines && input.is_empty() {
            turn.counts.requests_wrong += 1;
            turn.replies.extend_from_slice(response::WRONG_COMMAND);
        }
    }
}
