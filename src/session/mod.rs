//! What the bytes of a connection mean: a session for each protocol.
//!
//! A session takes its requests from the input that the connection has read, executes them, and
//! appends its replies to those of the turn. It knows no socket.

#[cfg(feature = "graphite")]
mod graphite;
#[cfg(feature = "http")]
mod http;
mod lines;

use std::time::Instant;

#[cfg(feature = "graphite")]
use self::graphite::GraphiteSession;
#[cfg(feature = "http")]
use self::http::HttpSession;
use self::lines::LineSession;
use crate::config::Protocol;
use crate::server::LineBuffer;
use crate::turn::Turn;

/// The session of one connection: what it keeps between its turns.
#[derive(Debug)]
pub enum Session {
    /// The line protocol: each request is one line.
    Lines(LineSession),
    /// Graphite's plaintext protocol: each point is one line, and none is answered.
    #[cfg(feature = "graphite")]
    Graphite(GraphiteSession),
    /// HTTP.
    #[cfg(feature = "http")]
    Http(Box<HttpSession>),
}

/// Calls a method of whichever session it is.
macro_rules! of_any {
    ($session:expr, $name:ident => $call:expr) => {
        match $session {
            Session::Lines($name) => $call,
            #[cfg(feature = "graphite")]
            Session::Graphite($name) => $call,
            #[cfg(feature = "http")]
            Session::Http($name) => $call,
        }
    };
}

impl Session {
    /// The session of a client that has just connected.
    pub fn new(protocol: Protocol) -> Session {
        match protocol {
            Protocol::Lines => Session::Lines(LineSession::default()),
            #[cfg(feature = "graphite")]
            Protocol::Graphite => Session::Graphite(GraphiteSession::default()),
            #[cfg(feature = "http")]
            Protocol::Http => Session::Http(Box::default()),
        }
    }

    /// Says that what is read next did not arrive together with what was read before.
    pub fn begin_burst(&mut self) {
        match self {
            Session::Lines(session) => session.begin_burst(),
            #[cfg(any(feature = "graphite", feature = "http"))]
            _ => {}
        }
    }

    /// Continues the reply that is begun, then executes the complete requests in `input`, until none
    /// is left or the turn's allowance is used up.
    ///
    /// `more_to_come` says that more of the same burst may be waiting to be read.
    #[inline]
    pub fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn, more_to_come: bool) {
        match self {
            Session::Lines(session) => session.execute(input, turn, more_to_come),
            #[cfg(feature = "graphite")]
            Session::Graphite(session) => session.execute(input, turn),
            #[cfg(feature = "http")]
            Session::Http(session) => session.execute(input, turn),
        }
    }

    /// Whether a reply is begun and not complete.
    pub fn is_replying(&self) -> bool {
        of_any!(self, session => session.is_replying())
    }

    /// Whether the reply that is begun can never be completed: its snapshot is no longer kept.
    pub fn is_cut_off(&self) -> bool {
        of_any!(self, session => session.is_cut_off())
    }

    /// Whether a client always sees that a reply is cut off. One of HTTP/1.0 takes the end of the
    /// connection for that of the answer.
    pub fn shows_ends(&self) -> bool {
        match self {
            #[cfg(feature = "http")]
            Session::Http(_) => false,
            _ => true,
        }
    }

    /// Drops the reply that is begun, since it cannot be written.
    pub fn abandon_reply(&mut self) {
        of_any!(self, session => session.abandon_reply());
    }

    /// Whether the connection is to be closed when the replies are written.
    pub fn is_over(&self) -> bool {
        of_any!(self, session => session.is_over())
    }

    /// Since when the client is to send the rest of a request, or to close, if it has a limited time
    /// for that.
    #[inline]
    pub fn awaited_since(&self) -> Option<Instant> {
        match self {
            #[cfg(feature = "http")]
            Session::Http(session) => session.awaited_since(),
            _ => None,
        }
    }

    /// Says that all is written, and that the client is to close.
    #[cfg_attr(not(feature = "http"), expect(unused_variables))]
    pub fn linger(&mut self, now: Instant) {
        match self {
            #[cfg(feature = "http")]
            Session::Http(session) => session.linger(now),
            _ => {}
        }
    }

    /// Says that this time is over. Returns whether that is to be answered.
    pub fn expire(&mut self) -> bool {
        match self {
            #[cfg(feature = "http")]
            Session::Http(session) => session.expire(),
            _ => false,
        }
    }

    /// Bytes that it keeps between its turns, beside its fixed part.
    pub fn kept_bytes(&self) -> usize {
        match self {
            #[cfg(feature = "http")]
            Session::Http(session) => session.kept_bytes(),
            _ => 0,
        }
    }
}
