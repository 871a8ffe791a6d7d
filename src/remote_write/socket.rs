//! A connection whose calls all end by a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// What requests go out over: a socket, or what is encrypted over one. Its calls wait, but not past the deadline:
/// then they fail with [`ErrorKind::TimedOut`]. What has come by then can still be received.
///
/// The traits of the standard library are not part of it, since each of their methods would be compiled.
pub trait Stream: Send {
    /// Sets when the calls that follow end.
    fn set_deadline(&mut self, deadline: Instant);

    /// Whether the connection is still open, as far as is known here, and nothing has come that was not
    /// received.
    fn is_idle(&self) -> bool;

    /// Sends all these bytes.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Puts what comes next into the buffer, and returns how many bytes it is: none if nothing will come.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// A connected socket of TCP.
pub struct Socket {
    /// It never waits by itself: the system's own limits begin again with each byte.
    stream: TcpStream,
    deadline: Instant,
}

impl Socket {
    /// Connects to the first address of a host that takes it. Each gets an equal share of the time that is left.
    /// How long names are looked up cannot be limited: the system does that.
    ///
    /// # Errors
    ///
    /// If the name has no address, or that of the last address.
    pub fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<Socket> {
        let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
        let mut result = Err(io::Error::new(ErrorKind::NotFound, "it has no address"));
        for (tried, address) in addresses.iter().enumerate() {
            let share = time_until(deadline)? / u32::try_from(addresses.len() - tried).unwrap_or(1);
            // No time at all is a wrong argument.
            result = TcpStream::connect_timeout(address, share.max(Duration::from_nanos(1)));
            if result.is_ok() {
                break;
            }
        }
        let stream = result?;
        // The head is sent by itself, and is not to wait for an answer.
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Socket { stream, deadline })
    }

    /// Does something with the socket, as soon as it is ready for it.
    fn when<T>(
        &mut self,
        ready: PollFlags,
        mut act: impl FnMut(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match act(&mut self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(ready)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn wait(&self, ready: PollFlags) -> io::Result<()> {
        let left = Timespec::try_from(time_until(self.deadline)?).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.stream, ready)], Some(&left)) {
            // Also if nothing is ready: then the time is over, which the next call says.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The time that is left, if there is any.
fn time_until(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

impl Stream for Socket {
    fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    fn is_idle(&self) -> bool {
        let peeked = self.stream.peek(&mut [0]);
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when(PollFlags::IN, |stream| stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when(PollFlags::OUT, |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
