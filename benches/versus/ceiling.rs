//! The ceiling: a mio server that answers `ok` to every newline it reads and does nothing else.
//!
//! What any server of this design (one thread, one event loop, edge-triggered) could reach at
//! most, so the distance to it is what parsing, storing and being careful cost. It runs as a
//! process of its own, because its processor time and memory are measured as any server's are.

use std::io::{self, ErrorKind, Read, Write};

use memchr::memchr_iter;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const REPLY: &[u8] = b"ok\n\n";
const EVENTS_PER_TURN: usize = 1_024;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Replies laid end to end: those to 16,384 newlines leave in one write.
const REPLIES_BYTES: usize = 64 << 10;

/// A client is a socket and the number of reply bytes it has not taken yet: replies are all
/// alike, so the number alone says which bytes come next.
struct Connection(TcpStream, usize);

/// Serves until the process is killed.
pub fn run(port: u16) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS_PER_TURN);
    let mut connections: Slab<Connection> = Slab::new();
    let mut input = vec![0; READ_BUFFER_BYTES];
    let replies = REPLY.repeat(REPLIES_BYTES / REPLY.len());
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    eprintln!("listening on {}", listener.local_addr()?);
    let registry = poll.registry().try_clone()?;
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let (entry, both) = (connections.vacant_entry(), Interest::WRITABLE);
                    // Both directions once and for all: an edge costs nothing while nobody waits for it.
                    let both = both.add(Interest::READABLE);
                    registry.register(&mut stream, Token(entry.key()), both)?;
                    entry.insert(Connection(stream, 0));
                }
                continue;
            }
            let connection = &mut connections[event.token().0];
            let outcome = connection.turn(event.is_read_closed(), &mut input, &replies);
            // An error is this client's alone: its connection goes, the others stay.
            if outcome.is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
                connections.remove(event.token().0);
            }
        }
    }
}

impl Connection {
    /// Reads and answers until there is nothing to read or no room to write, which is an error
    /// of the kind `WouldBlock`; the end of the stream is an error too.
    ///
    /// A read that does not fill the buffer has drained the socket, which saves the second
    /// read of every request; what comes later is a new edge. Only the end of the stream may
    /// have come with the same edge, and then the loop reads on to it.
    fn turn(&mut self, closed: bool, input: &mut [u8], replies: &[u8]) -> io::Result<()> {
        loop {
            self.write_owed(replies)?;
            let count = match self.0.read(input)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => count,
            };
            self.1 = memchr_iter(b'\n', &input[..count]).count() * REPLY.len();
            if count < input.len() && !closed {
                return self.write_owed(replies);
            }
        }
    }

    fn write_owed(&mut self, replies: &[u8]) -> io::Result<()> {
        while self.1 > 0 {
            let into_reply = (REPLY.len() - self.1 % REPLY.len()) % REPLY.len();
            let end = replies.len().min(into_reply + self.1);
            self.1 -= self.0.write(&replies[into_reply..end])?;
        }
        Ok(())
    }
}
