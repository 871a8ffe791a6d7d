//! One connection: requests in, replies out, over anything that reads and writes.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;

use super::line_buffer::{Line, LineBuffer, Unread};
use super::write_buffer::WriteBuffer;
use crate::config::Config;
use crate::execute::{Answer, Reply, execute};
use crate::protocol::response;
use crate::store::Store;

/// A client's session: what is left over of it between its turns.
pub struct Connection<S> {
    stream: S,
    state: State,
    /// Bytes that are not executed yet: the beginning of a line, or, while the client does not
    /// read its replies, also lines.
    unread: Unread,
    burst: Burst,
    /// The rest of a reply that is formed piece by piece.
    reply: Option<Box<Reply>>,
    /// Bytes of replies that the socket did not take.
    unsent: WriteBuffer,
}

/// What all connections share, lent to each for its turn.
pub struct Desk {
    pub store: Store,
    lines: LineBuffer,
    replies: WriteBuffer,
    write_buffer_bytes: usize,
}

/// How far a session has come. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Requests come, replies go.
    Open,
    /// The same, and the end of the input is announced: a short read is not the last one.
    Ending,
    /// Nothing more is read. What is owed is written.
    Draining,
    /// Nothing can be written any more. What the client sent before is read and executed.
    Unanswered,
    /// Nothing is left to do.
    Over,
}

/// What follows a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing to do before the socket says that it can be read.
    AwaitRead,
    /// Nothing to do before the socket says that it can be written.
    AwaitWrite,
    /// The turn is used up and there is more to do: another turn, with no event to wait for.
    Again,
    /// The session is over.
    Close,
}

/// What came at one go. Blank lines beside a request belong to it; blank lines alone are one
/// wrong command.
#[derive(Clone, Copy, Debug, Default)]
struct Burst {
    seen: Seen,
    /// More is waiting to be read, as far as is known, and belongs to this burst.
    goes_on: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    #[default]
    Nothing,
    BlankLines,
    Request,
}

impl Desk {
    pub fn new(config: &Config) -> Desk {
        Desk {
            store: Store::new(),
            lines: LineBuffer::new(config.line_limit_bytes, config.read_buffer_bytes),
            replies: WriteBuffer::default(),
            write_buffer_bytes: config.write_buffer_bytes,
        }
    }
}

impl<S: Read + Write> Connection<S> {
    pub fn new(stream: S) -> Connection<S> {
        Connection {
            stream,
            state: State::Open,
            unread: Unread::default(),
            burst: Burst::default(),
            reply: None,
            unsent: WriteBuffer::default(),
        }
    }

    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Tells that the end of the input is announced, or an error: both are found by reading on.
    pub fn expect_end(&mut self) {
        self.advance(State::Ending);
    }

    /// Reads no more: what is owed is written, then the session is over.
    pub fn stop(&mut self) {
        self.advance(State::Draining);
    }

    /// Serves the client for a bounded while: at most one read of new requests, and replies up
    /// to twice the write buffer and one line.
    pub fn turn(&mut self, desk: &mut Desk) -> Next {
        self.write_unsent();
        if !self.unsent.is_empty() {
            return Next::AwaitWrite;
        }
        desk.lines.load(mem::take(&mut self.unread));
        self.continue_reply(desk);
        self.answer_lines(desk);
        if self.wants_input(desk) {
            self.read(desk);
            self.answer_lines(desk);
        }
        self.write_replies(desk);
        let next = self.next(desk);
        self.unread = desk.lines.save();
        next
    }

    /// The only way from state to state.
    fn advance(&mut self, state: State) {
        self.state = self.state.max(state);
    }

    fn write_unsent(&mut self) {
        if let Err(error) = self.unsent.write_to(&mut self.stream) {
            self.fail_write(&error);
            self.unsent.clear();
        }
        if self.unsent.is_empty() {
            // Gives the memory back.
            self.unsent = WriteBuffer::default();
        }
    }

    fn continue_reply(&mut self, desk: &mut Desk) {
        if let Some(reply) = &mut self.reply {
            let piece_bytes = desk.write_buffer_bytes;
            if reply
                .append_piece(&desk.store, desk.replies.bytes(), piece_bytes)
                .is_continue()
            {
                self.reply = None;
            }
        }
    }

    /// Takes a line, executes it, appends its reply: until there is no line left, or enough
    /// replies for a turn.
    fn answer_lines(&mut self, desk: &mut Desk) {
        let Desk {
            store,
            lines,
            replies,
            write_buffer_bytes,
        } = desk;
        while self.reply.is_none() && replies.len() < *write_buffer_bytes {
            let Some(line) = lines.next_line() else {
                return self.end_burst(desk);
            };
            let answer = match line {
                Line::Whole(line) => execute(line, store, replies.bytes(), *write_buffer_bytes),
                Line::TooLong => {
                    replies.bytes().extend_from_slice(response::WRONG_COMMAND);
                    Answer::Whole
                }
            };
            let seen = if let Answer::Blank = answer {
                Seen::BlankLines
            } else {
                Seen::Request
            };
            self.burst.seen = self.burst.seen.max(seen);
            if let Answer::Unfinished(reply) = answer {
                self.reply = Some(Box::new(reply));
            }
        }
    }

    /// All lines that have come are answered. Were they blank and is nothing else on its way,
    /// they were one wrong command.
    fn end_burst(&mut self, desk: &mut Desk) {
        if self.burst.goes_on {
            return;
        }
        let burst = mem::take(&mut self.burst);
        if burst.seen == Seen::BlankLines && desk.lines.is_empty() {
            desk.replies
                .bytes()
                .extend_from_slice(response::WRONG_COMMAND);
        }
    }

    fn wants_input(&self, desk: &Desk) -> bool {
        matches!(self.state, State::Open | State::Ending | State::Unanswered)
            && self.reply.is_none()
            && !desk.lines.has_unscanned()
            && desk.replies.len() < desk.write_buffer_bytes
    }

    fn read(&mut self, desk: &mut Desk) {
        self.burst.goes_on = false;
        match desk.lines.read_from(&mut self.stream) {
            Ok((0, _)) => self.end_input(),
            Ok((_, filled)) => self.burst.goes_on = filled || self.state > State::Open,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                log::debug!("connection broken: {error}");
                self.advance(State::Over);
            }
        }
    }

    fn end_input(&mut self) {
        let unanswered = self.state == State::Unanswered;
        self.advance(if unanswered {
            State::Over
        } else {
            State::Draining
        });
    }

    fn write_replies(&mut self, desk: &mut Desk) {
        if self.state < State::Unanswered {
            if let Err(error) = desk.replies.write_to(&mut self.stream) {
                self.fail_write(&error);
            } else if !desk.replies.is_empty() {
                self.unsent = desk.replies.take_rest();
            }
        }
        if self.state == State::Unanswered {
            self.reply = None;
        }
        desk.replies.clear();
    }

    fn fail_write(&mut self, error: &io::Error) {
        log::debug!("replies are not taken any more: {error}");
        self.reply = None;
        self.burst.goes_on = true;
        self.advance(State::Unanswered);
    }

    /// The one place that says what a connection waits for.
    fn next(&self, desk: &Desk) -> Next {
        if self.state == State::Over {
            Next::Close
        } else if !self.unsent.is_empty() {
            Next::AwaitWrite
        } else if self.reply.is_some() || desk.lines.has_unscanned() {
            Next::Again
        } else if self.state == State::Draining {
            Next::Close
        } else if self.burst.goes_on {
            Next::Again
        } else {
            Next::AwaitRead
        }
    }
}
