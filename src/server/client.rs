//! A connection as the event loop has it: on a socket, in a queue or waiting for an event.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::connection::{Connection, Stream};
use super::listener::Socket;
use super::timeouts::Stillness;

/// Interest of a connection that awaits requests. Urgent data is no request, but a read stops short
/// of it, so its arrival must be known.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub const READ_INTEREST: Interest = Interest::READABLE.add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub const READ_INTEREST: Interest = Interest::READABLE;

/// A connection and what the loop knows of it.
pub struct Client {
    pub connection: Connection<Socket>,
    /// What it is registered for with the poll.
    pub interest: Interest,
    pub standing: Standing,
    /// When it began to wait for an event, as its timeouts count.
    pub still_since: u32,
}

/// What a connection waits for between two steps of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for an event.
    Idle,
    /// It is in the ready queue.
    Ready,
    /// It has executed, and waits for the commit and its replies.
    Executed {
        /// An event has come since.
        is_ready: bool,
    },
    /// It waits until puts may be executed.
    Postponed,
    /// It is over, and in the list of those to remove.
    Closed,
}

impl Stream for Socket {
    fn end_output(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn reset(&self) {
        let closing = SockRef::from(self).set_linger(Some(Duration::ZERO));
        closing.ok(); // Else what was written so far is all that can be told.
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.before_close();
    }
}

impl Client {
    /// Whether it has requests to be executed or replies to be written.
    pub fn owes(&self) -> bool {
        matches!(self.standing, Standing::Executed { .. }) || self.connection.owes()
    }

    /// What it waits for, if it waits for an event.
    pub fn stillness(&self) -> Stillness {
        if self.interest != READ_INTEREST {
            Stillness::Stalled
        } else if self.connection.session.awaited_since().is_some() {
            Stillness::Awaited
        } else if self.connection.is_lingering() {
            Stillness::Lingering
        } else {
            Stillness::Idle
        }
    }

    /// Registers what the connection waits for. A change of interest gives an event at once if the
    /// socket is ready already, so nothing is missed.
    pub fn set_interest(
        &mut self,
        interest: Interest,
        key: usize,
        registry: &Registry,
    ) -> io::Result<()> {
        if self.interest == interest {
            return Ok(());
        }
        self.interest = interest;
        registry.reregister(&mut self.connection.stream, Token(key), interest)
    }
}
