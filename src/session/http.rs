//! HTTP/1.1: takes a request, and writes its answer, a long one piece by piece.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::http::{
    Answer, AnswerHead, Body, BodyReader, CHUNK_END, CONTINUE, End, Failure, Head, LAST_CHUNK,
    Manner, Method, Pieces, Tail, append_chunk_size, find_end,
};
use crate::server::LineBuffer;
use crate::turn::Turn;
use crate::web;

/// What a client's session of HTTP keeps between its turns.
#[derive(Debug, Default)]
pub struct HttpSession {
    state: State,
    /// Since when the client is to send the rest of a request, or to close.
    awaited_since: Option<Instant>,
}

/// How far the session has come with a request.
#[derive(Debug, Default)]
enum State {
    /// The head is read; what has come of it is in the input.
    #[default]
    Head,
    /// The body is read.
    Body(Head, BodyReader),
    /// The request did not come in time, which is to be answered.
    Late,
    /// The body of the answer is formed.
    Answering(Answering),
    /// No further request is read.
    Over,
}

/// The answer that is formed piece by piece.
#[derive(Debug)]
struct Answering {
    pieces: Box<dyn Pieces>,
    /// Its head, until the first piece is there.
    head: Option<AnswerHead>,
    manner: Manner,
    is_chunked: bool,
}

impl HttpSession {
    pub fn is_replying(&self) -> bool {
        matches!(self.state, State::Answering(_) | State::Late)
    }

    pub fn is_cut_off(&self) -> bool {
        matches!(&self.state, State::Answering(answering) if answering.pieces.is_cut_off())
    }

    pub fn abandon_reply(&mut self) {
        self.state = State::Over;
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    pub fn kept_bytes(&self) -> usize {
        match &self.state {
            State::Body(_, body) => body.allocated_bytes(),
            State::Answering(answering) => answering.pieces.kept_bytes(),
            State::Head | State::Late | State::Over => 0,
        }
    }

    /// Since when the client is to send the rest of a request, or to close.
    pub fn awaited_since(&self) -> Option<Instant> {
        self.awaited_since
    }

    /// Says that the rest of the request comes too late. Whether that is to be answered.
    pub fn expire(&mut self) -> bool {
        let is_answered = !self.is_over();
        if is_answered {
            self.state = State::Late;
        }
        is_answered
    }

    /// Goes on with a request after the other, until what has come is used up, or the turn is.
    pub fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn) {
        if !turn.is_answered {
            self.state = State::Over;
        }
        while turn.replies.len() < turn.full_at
            && !turn.allowance.time_is_up()
            && self.step(input, turn).is_continue()
        {}
        let awaits = match self.state {
            State::Head => !input.is_empty(),
            State::Body(..) | State::Over => true,
            State::Late | State::Answering(_) => false,
        };
        if !awaits {
            self.awaited_since = None;
        } else if self.awaited_since.is_none() {
            self.awaited_since = Some(turn.allowance.now());
        }
    }

    /// A break means that the next step needs more input, or another turn.
    fn step(&mut self, input: &mut LineBuffer, turn: &mut Turn) -> ControlFlow<()> {
        let result = match &mut self.state {
            State::Head => self.read_head(input, turn),
            State::Body(..) => self.read_body(input, turn),
            State::Late => Err(Failure {
                status: 408,
                message: "the request was not complete in time".into(),
            }),
            State::Answering(_) => Ok(self.continue_answer(turn)),
            State::Over => {
                input.clear();
                Ok(ControlFlow::Break(()))
            }
        };
        result.unwrap_or_else(|failure| {
            self.refuse(failure, input, turn);
            ControlFlow::Continue(())
        })
    }

    /// Reads a head once all of it has come, and what has come of its body.
    fn read_head(
        &mut self,
        input: &mut LineBuffer,
        turn: &mut Turn,
    ) -> Result<ControlFlow<()>, Failure> {
        let Some(length) = search_head(input)? else {
            return Ok(ControlFlow::Break(()));
        };
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
    fn read_body(
        &mut self,
        input: &mut LineBuffer,
        turn: &mut Turn,
    ) -> Result<ControlFlow<()>, Failure> {
        let State::Body(head, body) = &mut self.state else {
            return Ok(ControlFlow::Continue(()));
        };
        let count = body.read(input.bytes())?;
        input.take(count);
        if !body.is_complete() {
            return Ok(ControlFlow::Break(()));
        }
        let (answer, manner) = (answer(head, body.bytes(), turn), head.manner);
        // It may have taken long.
        turn.allowance.look_at_clock();
        self.begin_answer(answer, manner, turn);
        Ok(ControlFlow::Continue(()))
    }

    fn begin_answer(&mut self, answer: Answer, manner: Manner, turn: &mut Turn) {
        let Answer {
            status,
            headers,
            body,
        } = answer;
        let head = AnswerHead { status, headers };
        let now = (turn.environment.wall_clock)();
        match body {
            Body::Whole(body) => {
                let head = head.to_bytes(Tail::Length(body.len()), manner, now);
                turn.replies.extend_from_slice(&head);
                if !manner.is_head {
                    turn.replies.extend_from_slice(&body);
                }
            }
            Body::Pieces(_) if manner.is_head => {
                turn.replies
                    .extend_from_slice(&head.to_bytes(Tail::Close, manner, now));
            }
            Body::Pieces(pieces) => {
                self.state = State::Answering(Answering {
                    pieces,
                    head: Some(head),
                    manner,
                    is_chunked: false,
                });
                return;
            }
        }
        self.finish(manner.is_persistent);
    }

    /// Forms and appends the next piece of the body of the answer.
    fn continue_answer(&mut self, turn: &mut Turn) -> ControlFlow<()> {
        let State::Answering(answering) = &mut self.state else {
            return ControlFlow::Continue(());
        };
        match answering.append_piece(turn) {
            Ok(ControlFlow::Break(())) => return ControlFlow::Break(()),
            Ok(ControlFlow::Continue(())) => {
                let is_persistent = answering.manner.is_persistent;
                self.finish(is_persistent);
            }
            Err(failure) if answering.head.is_some() => {
                let manner = answering.manner;
                self.begin_answer(failure.into(), manner, turn);
            }
            Err(failure) => {
                log::debug!("answer cut off: {}", failure.message);
                self.finish(false);
            }
        }
        ControlFlow::Continue(())
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
        log::debug!("refused: {} {}", failure.status, failure.message);
        self.begin_answer(failure.into(), manner, turn);
    }

    /// Ends a request that is answered.
    fn finish(&mut self, is_persistent: bool) {
        self.awaited_since = None;
        self.state = if is_persistent {
            State::Head
        } else {
            State::Over
        };
    }
}

impl Answering {
    /// Appends the next piece and what frames it, with the head before the first one. A break means
    /// that more are to follow.
    ///
    /// # Errors
    ///
    /// If there will be no more. Then nothing is appended.
    fn append_piece(&mut self, turn: &mut Turn) -> Result<ControlFlow<()>, Failure> {
        let start = turn.replies.len();
        let flow = self.pieces.append(turn);
        let flow = flow.inspect_err(|_| turn.replies.truncate(start))?;
        let (size, is_last) = (turn.replies.len() - start, flow.is_continue());
        if size == 0 && !is_last {
            return Ok(flow);
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
        turn.replies.splice(start..start, before);
        Ok(flow)
    }
}

/// Searches what has come for the end of a head, whose length is returned once it is there.
///
/// # Errors
///
/// If a line does not end as it should, or the head is longer than a line may be.
fn search_head(input: &mut LineBuffer) -> Result<Option<usize>, Failure> {
    let limit = input.line_limit();
    while let Some(head) = input.through_newline() {
        let length = head.len();
        if length > limit {
            break;
        }
        match find_end(head)? {
            End::Head => return Ok(Some(length)),
            End::Line => {}
            End::Empty => input.take(length),
        }
    }
    let head = input.bytes();
    if head.len() <= limit {
        return Ok(None);
    }
    let (status, what) = match head[..limit].contains(&b'\n') {
        true => (431, "head"),
        false => (414, "request line"),
    };
    let message = format!("the {what} is longer than {limit} bytes");
    Err(Failure { status, message })
}

/// Answers a request whose body is read.
fn answer(head: &mut Head, body: &[u8], turn: &mut Turn) -> Answer {
    turn.counts.requests_http += 1;
    let is_posted = head.request.method == Method::Post && !body.is_empty();
    let added = match is_posted {
        false => Ok(()),
        true if head.has_form => head.request.parameters.add_encoded(body),
        true => Err(Failure {
            status: 415,
            message: "the body is not application/x-www-form-urlencoded".into(),
        }),
    };
    match added {
        Ok(()) => web::answer(&head.request, turn),
        Err(failure) => failure.into(),
    }
}
