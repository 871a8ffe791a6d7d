//! One connection's socket: of TCP, or of Unix.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::connection::Stream;

/// A socket over which a client is served.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the same method of either kind.
macro_rules! of_either {
    ($socket:expr, $method:ident($($argument:expr),*)) => {
        match $socket {
            Socket::Tcp(stream) => stream.$method($($argument),*),
            Socket::Unix(stream) => stream.$method($($argument),*),
        }
    };
}

impl Read for Socket {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        of_either!(self, read(room))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        of_either!(self, write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        of_either!(self, flush())
    }
}

impl Stream for Socket {
    fn end_output(&self) -> io::Result<()> {
        of_either!(self, shutdown(Shutdown::Write))
    }
}

impl Source for Socket {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        of_either!(self, register(registry, token, interest))
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        of_either!(self, reregister(registry, token, interest))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        of_either!(self, deregister(registry))
    }
}
