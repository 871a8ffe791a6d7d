//! A connection on which every call ends by a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A connection, plain or encrypted. Its calls wait up to the deadline, and then fail with
/// [`ErrorKind::TimedOut`]. What has arrived by then can still be received.
///
/// It does not require `Read` and `Write`, since a trait object would have all their methods compiled.
pub trait Stream: Send {
    /// Sets the time by which the following calls end.
    fn set_deadline(&mut self, deadline: Instant);

    /// Whether the connection is open, as far as is known, and no bytes wait to be received.
    fn is_idle(&self) -> bool;

    /// Sends all these bytes.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Receives the next bytes into the buffer. Returns how many: none if the peer has closed the connection.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// A connected TCP socket.
pub struct Socket {
    /// Non-blocking: the timeouts of the system apply to each call, not to all of them together.
    stream: TcpStream,
    deadline: Instant,
}

impl Socket {
    /// Connects to the first address of a host that accepts. Each address gets an equal share of the time that is
    /// left. The lookup of the name, which the system does, is not limited.
    ///
    /// # Errors
    ///
    /// If the name has no address, or none of its addresses accepts: then the error of the last one.
    pub fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<Socket> {
        let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
        let mut result = Err(io::Error::new(ErrorKind::NotFound, "it has no address"));
        for (tried, address) in addresses.iter().enumerate() {
            let share = time_until(deadline)? / u32::try_from(addresses.len() - tried).unwrap_or(1);
            // `connect_timeout` refuses a zero duration.
            result = TcpStream::connect_timeout(address, share.max(Duration::from_nanos(1)));
            if result.is_ok() {
                break;
            }
        }
        let stream = result?;
        // The head is written before the body: Nagle's algorithm would delay the body.
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Socket { stream, deadline })
    }

    /// Calls `act` until it does not block, and waits before each repetition until the socket is ready.
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
            // If nothing is ready, the time is over, and the next call of `time_until` fails.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The time that is left. Fails with [`ErrorKind::TimedOut`] if there is none.
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
