//! What the bytes of a connection mean: a session for each protocol.
//!
//! A session takes its requests from the input that the connection has read, executes them, and
//! appends its replies to those of the turn. It knows no socket.

mod lines;

use self::lines::LineSession;
use crate::config::Protocol;
use crate::server::LineBuffer;
use crate::turn::Turn;

/// The session of one connection: what it keeps between its turns.
#[derive(Debug)]
pub enum Session {
    /// Today's protocol, of one line a request.
    Lines(LineSession),
}

impl Session {
    /// The session of a client that has just connected.
    pub fn new(protocol: Protocol) -> Session {
        match protocol {
            Protocol::Lines => Session::Lines(LineSession::default()),
        }
    }

    /// Tells that what is read next did not come together with what was read before.
    pub fn begin_burst(&mut self) {
        match self {
            Session::Lines(session) => session.begin_burst(),
        }
    }

    /// Goes on with the reply that is begun, then executes what `input` holds, until nothing is
    /// left that is complete or the turn's allowance is used up.
    ///
    /// `more_to_come` says that more of the same burst may be waiting to be read.
    #[inline]
    pub fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn, more_to_come: bool) {
        match self {
            Session::Lines(session) => session.execute(input, turn, more_to_come),
        }
    }

    /// Whether a reply is begun and not formed to its end.
    pub fn is_replying(&self) -> bool {
        match self {
            Session::Lines(session) => session.is_replying(),
        }
    }

    /// Whether the reply that is begun is of a snapshot that is not kept any more.
    pub fn is_cut_off(&self) -> bool {
        match self {
            Session::Lines(session) => session.is_cut_off(),
        }
    }

    /// Forgets the reply that is begun: it cannot be written any more.
    pub fn abandon_reply(&mut self) {
        match self {
            Session::Lines(session) => session.abandon_reply(),
        }
    }

    /// Whether the connection is to be closed when the replies are written.
    pub fn is_over(&self) -> bool {
        match self {
            Session::Lines(session) => session.is_over(),
        }
    }
}
