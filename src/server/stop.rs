//! Stopping a server from outside its thread.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Stops a [`Server`](crate::Server) from any thread, or from a signal handler.
///
/// ```
/// let config = metricd::Config { listen: vec!["127.0.0.1:0".into()], ..Default::default() };
/// let server = metricd::Server::bind(config)?;
/// let handle = server.stop_handle();
/// let stopper = std::thread::spawn(move || handle.stop());
/// server.run()?;
/// # stopper.join().unwrap();
/// # Ok::<(), metricd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StopHandle {
    pair: Arc<Pair>,
}

/// Each byte written to `requests` is one request to stop, and is read from `received`.
#[derive(Debug)]
struct Pair {
    requests: UnixStream,
    received: UnixStream,
}

impl StopHandle {
    /// A handle for a server that is not bound yet; see
    /// [`Server::bind_with`](crate::Server::bind_with). A stop requested before the server runs takes
    /// effect when it does.
    ///
    /// # Errors
    ///
    /// If the system has no two descriptors left.
    pub fn new() -> io::Result<StopHandle> {
        let (requests, received) = UnixStream::pair()?;
        requests.set_nonblocking(true)?;
        received.set_nonblocking(true)?;
        let pair = Arc::new(Pair { requests, received });
        Ok(StopHandle { pair })
    }

    /// Asks the server to stop. It accepts no more clients, reads once more from each client that
    /// takes its replies, executes what it read, and writes the replies for at most
    /// [`Config::stop_timeout`](crate::Config::stop_timeout). Then [`run`](crate::Server::run)
    /// returns. After a second request it returns at once.
    ///
    /// Never blocks. Does nothing if the server has ended.
    pub fn stop(&self) {
        // Fails if the socket is full of requests: one more would change nothing.
        let _redundant = (&self.pair.requests).write(&[1]);
    }

    /// A descriptor for a signal handler: each byte written to it has the effect of
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// If the system has no descriptor left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.pair.requests.try_clone()?.into())
    }

    /// The server's end.
    pub(super) fn receiver(&self) -> io::Result<mio::net::UnixStream> {
        let received = self.pair.received.try_clone()?;
        Ok(mio::net::UnixStream::from_std(received))
    }
}

/// Takes the requests to stop that have arrived, and returns how many there were.
pub fn take_requests(receiver: &mut mio::net::UnixStream) -> usize {
    let mut total = 0;
    let mut requests = [0; 16];
    // Until it would block: nothing else can fail while the handle's own end is open.
    while let Ok(count @ 1..) = receiver.read(&mut requests) {
        total += count;
    }
    total
}
