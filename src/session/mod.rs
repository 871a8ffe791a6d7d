//! What the bytes of a connection mean: a session for each protocol.
//!
//! A session takes its requests from the input that the connection has read, executes them, and
//! appends its replies to those of the turn. It knows no socket.

#[cfg(feature = "graphite")]
mod graphite;
#[cfg(feature = "http")]
mod http;
mod lines;

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use crate::config::Protocol;
use crate::server::LineBuffer;
use crate::turn::Turn;

/// The session of one connection: what it keeps between its turns. The defaults are for a protocol without
/// long replies and without time limits.
pub trait Session {
    /// Says that what is read next did not arrive together with what was read before.
    fn begin_burst(&mut self) {}

    /// Continues the reply that is begun, then executes the complete requests in `input`, until none
    /// is left or the turn's allowance is used up.
    ///
    /// `more_to_come` says that more of the same burst may be waiting to be read.
    fn execute(&mut self, input: &mut LineBuffer, turn: &mut Turn, more_to_come: bool);

    /// Whether a reply is begun and not complete.
    fn is_replying(&self) -> bool {
        false
    }

    /// Whether the reply that is begun can never be completed: its snapshot is no longer kept.
    fn is_cut_off(&self) -> bool {
        false
    }

    /// Whether a client always sees that a reply is cut off.
    fn shows_ends(&self) -> bool {
        true
    }

    /// Drops the reply that is begun, since it cannot be written.
    fn abandon_reply(&mut self) {}

    /// Whether the connection is to be closed when the replies are written.
    fn is_over(&self) -> bool;

    /// Since when the client is to send the rest of a request, or to close, if it has a limited time
    /// for that.
    fn awaited_since(&self) -> Option<Instant> {
        None
    }

    /// Says that all is written, and that the client is to close.
    fn linger(&mut self, _now: Instant) {}

    /// Says that the time for the rest of a request is over. Returns whether that is to be answered.
    fn expire(&mut self) -> bool {
        false
    }

    /// Bytes that it keeps between its turns, beside its fixed part.
    fn kept_bytes(&self) -> usize {
        0
    }
}

/// A session of any protocol. It is kept in place: an allocation for each idle client would take 32 bytes.
pub enum AnySession {
    Lines(lines::LineSession),
    #[cfg(feature = "graphite")]
    Graphite(graphite::GraphiteSession),
    #[cfg(feature = "http")]
    Http(Box<http::HttpSession>),
}

impl AnySession {
    /// The session of a client that has just connected.
    pub fn new(protocol: Protocol) -> AnySession {
        match protocol {
            Protocol::Lines => AnySession::Lines(lines::LineSession::default()),
            #[cfg(feature = "graphite")]
            Protocol::Graphite => AnySession::Graphite(graphite::GraphiteSession::default()),
            #[cfg(feature = "http")]
            Protocol::Http => AnySession::Http(Box::default()),
        }
    }
}

impl Deref for AnySession {
    type Target = dyn Session;

    #[inline(never)]
    fn deref(&self) -> &Self::Target {
        match self {
            AnySession::Lines(session) => session,
            #[cfg(feature = "graphite")]
            AnySession::Graphite(session) => session,
            #[cfg(feature = "http")]
            AnySession::Http(session) => &**session,
        }
    }
}

impl DerefMut for AnySession {
    #[inline(never)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            AnySession::Lines(session) => session,
            #[cfg(feature = "graphite")]
            AnySession::Graphite(session) => session,
            #[cfg(feature = "http")]
            AnySession::Http(session) => &mut **session,
        }
    }
}
