//! HTTP/1.1: takes a request, and writes its answer, a long one piece by piece.

use std::borrow::Cow;
use std::time::Instant;

use super::Session;
use crate::config::Config;
use crate::http::{
    Answer, AnswerHead, Body, BodyReader, CHUNK_END, CONTINUE, Failure, Halt, Head, LAST_CHUNK,
    Manner, Method, Pieces, Request, Tail, append_chunk_size,
};
use crate::server::LineBuffer;
use crate::turn::Turn;
use crate::web;

/// What a client's session of HTTP keeps between its turns.
pub struct HttpSession {
    /// Says what is answered to a request.
    answer: fn(&Request, &mut Turn) -> Answer,
    state: State,
    awaited: Awaited,
}

/// Whether the client is to do something within a limited time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Awaited {
    /// It is not.
    #[default]
    Nothing,
    /// It is to send the rest of a request, or to close, since this time.
    Since(Instant),
    /// The time is over, and that is to be answered.
    InVain,
}

/// How far the session has come with a request.
#[derive(Default)]
enum State {
    /// The head is read; what has come of it is in the input.
    #[default]
    Head,
    /// The body is read.
    Body(Head, BodyReader),
    /// The body of the answer is formed.
    Answering(Answering),
    /// The answer that is begun is not completed.
    CutOff,
    /// No further request is read.
    Over,
}

/// The answer that is formed piece by piece.
struct Answering {
    pieces: Box<dyn Pieces>,
    /// Its head, until the first piece is there.
    head: Option<AnswerHead>,
    manner: Manner,
    is_chunked: bool,
}

impl Default for HttpSession {
    fn default() -> HttpSession {
        HttpSession {
            answer: web::answer,
            state: State::default(),
            awaited: Awaited::default(),
        }
    }
}

impl Session for HttpSession {
    fn is_replying(&self) -> bool {
        matches!(self.state, State::Answering(_)) || self.awaited == Awaited::InVain
    }

    fn is_cut_off(&self) -> bool {
        match &self.state {
            State::Answering(answering) => answering.pieces.is_cut_off(),
            state => matches!(state, State::CutOff),
        }
    }

    /// A client of HTTP/1.0 takes the end of the connection for the end of the answer.
    fn shows_ends(&self) -> bool {
        false
    }

    fn abandon_reply(&mut self) {
        self.finish(false);
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::CutOff | State::Over)
    }

    fn kept_bytes(&self) -> usize {
        match &self.state {
            State::Body(_, body) => body.allocated_bytes(),
            State::Answering(answering) => answering.pieces.kept_bytes(),
            State::Head | State::CutOff | State::Over => 0,
        }
    }

    fn awaited_since(&self) -> Option<Instant> {
        match self.awaited {
            Awaited::Since(since) => Some(since),
            Awaited::Nothing | Awaited::InVain => None,
        }
    }

    fn linger(&mut self, now: Instant) {
        if self.awaited == Awaited::Nothing {
            self.awaited = Awaited::Since(now);
        }
    }

    fn expire(&mut self) -> bool {
        let is_answered = !self.is_over();
        if is_answered {
            self.awaited = Awaited::InVain;
        }
        is_answered
    }

    /// Goes on with one request after the other, until what has come is used up, or the turn is.
    fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn, _more_to_come: bool) {
        if !turn.is_answered {
            self.finish(false);
        }
        while turn.replies.len() < turn.full_at
            && !turn.allowance.time_is_up()
            && self.step(input, turn)
        {}
        if self.is_over() {
            input.clear();
        }
        let is_in_head = matches!(self.state, State::Head) && !input.is_empty();
        if !is_in_head && !matches!(self.state, State::Body(..)) {
            self.awaited = Awaited::Nothing;
        } else if self.awaited == Awaited::Nothing {
            self.awaited = Awaited::Since(turn.allowance.now());
        }
    }
}

impl HttpSession {
    /// Takes the next step. Returns whether it did: it may need more input, or another turn.
    fn step(&mut self, input: &mut LineBuffer, turn: &mut Turn) -> bool {
        let result = match self.state {
            _ if self.awaited == Awaited::InVain => {
                Err(Failure::new(408, "the request was not complete in time").into())
            }
            State::Head => self.read_head(input, turn),
            State::Body(..) => self.read_body(input, turn),
            State::Answering(_) => self.continue_answer(turn),
            State::CutOff | State::Over => Err(Halt::Pause),
        };
        if let Err(Halt::Failed(failure)) = result {
            self.refuse(failure, input, turn);
            return true;
        }
        result.is_ok()
    }

    /// Reads a head once all of it has come, and what has come of its body.
    fn read_head(&mut self, input: &mut LineBuffer, turn: &mut Turn) -> Result<(), Halt> {
        let length = search_head(input)?;
        let head = Head::parse(&input.bytes()[..length])?;
        let body = BodyReader::new(head.framing, input.line_limit())?;
        input.take(length);
        if head.expects_continue && !body.is_complete() && input.is_empty() {
            turn.replies.extend_from_slice(CONTINUE);
        }
        self.state = State::Body(head, body);
        self.read_body(input, turn)
    }

    /// Takes what has come of the body, and answers the request when that is all.
    fn read_body(&mut self, input: &mut LineBuffer, turn: &mut Turn) -> Result<(), Halt> {
        let State::Body(head, body) = &mut self.state else {
            return Ok(());
        };
        let count = body.read(input.bytes())?;
        input.take(count);
        if !body.is_complete() {
            return Err(Halt::Pause);
        }
        let manner = head.manner;
        turn.counts.requests_http += 1;
        let answer = match add_form(head, body.bytes()) {
            Ok(()) => (self.answer)(&head.request, turn),
            Err(failure) => failure.into(),
        };
        // It may have taken long.
        turn.allowance.look_at_clock();
        self.begin_answer(answer, manner, turn);
        Ok(())
    }

    fn begin_answer(&mut self, answer: Answer, manner: Manner, turn: &mut Turn) {
        let head = answer.head;
        let (tail, body) = match answer.body {
            Body::Whole(body) => (Tail::Length(body.len()), body),
            Body::Pieces(_) if manner.is_head => (Tail::Close, Cow::default()),
            Body::Pieces(pieces) => {
                self.state = State::Answering(Answering {
                    pieces,
                    head: Some(head),
                    manner,
                    is_chunked: false,
                });
                return;
            }
        };
        let head = head.to_bytes(tail, manner, (turn.environment.wall_clock)());
        turn.replies.extend_from_slice(&head);
        if !manner.is_head {
            turn.replies.extend_from_slice(&body);
        }
        self.finish(manner.is_persistent);
    }

    /// Forms and appends the next piece of the body of the answer.
    fn continue_answer(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let State::Answering(answering) = &mut self.state else {
            return Ok(());
        };
        let result = answering.append_piece(turn);
        let (manner, is_begun) = (answering.manner, answering.head.is_none());
        match result {
            Ok(()) => self.finish(manner.is_persistent),
            Err(Halt::Pause) => return result,
            Err(Halt::Failed(failure)) if is_begun => {
                debug!("answer cut off: {}", failure.message);
                self.state = State::CutOff;
            }
            Err(Halt::Failed(failure)) => self.begin_answer(failure.into(), manner, turn),
        }
        Ok(())
    }

    /// Answers what is no request, or none that can be served, and ends the session: it is not sure
    /// where the next request begins.
    fn refuse(&mut self, failure: Failure, input: &LineBuffer, turn: &mut Turn) {
        let is_head = match &self.state {
            State::Body(head, _) => head.manner.is_head,
            _ => input.bytes().starts_with(b"HEAD "),
        };
        let manner = Manner {
            is_head,
            takes_chunks: true,
            is_persistent: false,
        };
        debug!("refused: {} {}", failure.status, failure.message);
        self.begin_answer(failure.into(), manner, turn);
    }

    /// Ends a request that is answered.
    fn finish(&mut self, is_persistent: bool) {
        self.awaited = Awaited::Nothing;
        self.state = match is_persistent {
            true => State::Head,
            false => State::Over,
        };
    }
}

impl Answering {
    /// Appends the next piece and what frames it, with the head before the first one.
    ///
    /// # Errors
    ///
    /// If more pieces are to follow, or if there will be none, not even this: then nothing is appended.
    fn append_piece(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let start = turn.replies.len();
        let kept_bytes = self.pieces.kept_bytes().max(Config::ANSWER_KEPT_BYTES);
        let mut result = self.pieces.append(turn);
        let is_last = result.is_ok();
        let has_room = self.pieces.kept_bytes() <= kept_bytes.max(turn.kept_room_bytes);
        if result == Err(Halt::Pause) && !has_room {
            let message =
                "the memory that this takes is not free: ask for less, or try again later";
            result = Err(Failure::new(503, message).into());
        }
        if let Err(Halt::Failed(_)) = result {
            turn.replies.truncate(start);
            return result;
        }
        let size = turn.replies.len() - start;
        if size == 0 && !is_last {
            return result;
        }
        let mut before = Vec::new();
        if let Some(head) = self.head.take() {
            let tail = match is_last {
                true => Tail::Length(size),
                false if self.manner.takes_chunks => Tail::LastChunk,
                false => Tail::Close,
            };
            self.is_chunked = tail == Tail::LastChunk;
            self.manner.is_persistent &= tail != Tail::Close;
            before = head.to_bytes(tail, self.manner, (turn.environment.wall_clock)());
        }
        if self.is_chunked && size > 0 {
            append_chunk_size(&mut before, size);
            turn.replies.extend_from_slice(CHUNK_END);
        }
        if self.is_chunked && is_last {
            turn.replies.extend_from_slice(LAST_CHUNK);
        }
        // Moves the piece, which costs far less than to form it.
        before.extend_from_slice(&turn.replies[start..]);
        turn.replies.truncate(start);
        turn.replies.append(&mut before);
        result
    }
}

/// Searches what has come for the end of a head, whose length is returned.
///
/// # Errors
///
/// If it has not come yet, a line does not end as it should, or the head is longer than a line may be.
fn search_head(input: &mut LineBuffer) -> Result<usize, Halt> {
    let limit = input.line_limit();
    while let Some(head) = input.through_newline() {
        let length = head.len();
        if length > limit {
            break;
        }
        match head {
            // An empty line before the request.
            b"\r\n" => input.take(length),
            [.., b'\r', b'\n', b'\r', b'\n'] => return Ok(length),
            [.., b'\r', b'\n'] => {}
            // Others might see the head end elsewhere.
            _ => return Err("a line of the head does not end in CR LF".into()),
        }
    }
    let head = input.bytes();
    if head.len() <= limit {
        return Err(Halt::Pause);
    }
    let (status, what) = match head[..limit].contains(&b'\n') {
        true => (431, "head"),
        false => (414, "request line"),
    };
    let message = format!("the {what} is longer than {limit} bytes");
    Err(Failure::new(status, message).into())
}

/// Adds the parameters that a form in the body has to those of the request.
fn add_form(head: &mut Head, body: &[u8]) -> Result<(), Failure> {
    if head.request.method != Method::Post || body.is_empty() {
        return Ok(());
    }
    if !head.has_form {
        return Err(Failure::new(
            415,
            "the body is not application/x-www-form-urlencoded",
        ));
    }
    head.request.parameters.add_encoded(body)
}

#[cfg(test)]
mod tests;
