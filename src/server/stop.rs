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

/// Each byte from the one to the other is one request to stop.
#[derive(Debug)]
struct Pair {
    requests: UnixStream,
    received: UnixStream,
}

impl StopHandle {
    /// A handle for a server that is yet to be bound, by
    /// [`Server::bind_with`](crate::Server::bind_with): what is asked of it before then is done
    /// when the server runs.
    ///
    /// # Errors
    ///
    /// Where the system has no two descriptors left.
    pub fn new() -> io::Result<StopHandle> {
        let (requests, received) = UnixStream::pair()?;
        requests.set_nonblocking(true)?;
        received.set_nonblocking(true)?;
        let pair = Arc::new(Pair { requests, received });
        Ok(StopHandle { pair })
    }

    /// Asks the server to stop: it accepts nobody more, reads once more from each client that takes
    /// its replies and executes what has come, writes the replies that it owes for at most
    /// [`Config::stop_timeout`](crate::Config::stop_timeout), and returns from
    /// [`run`](crate::Server::run). Asked a second time, it returns at once.
    ///
    /// Never blocks. Does nothing where the server has ended.
    pub fn stop(&self) {
        // Fails where so many requests wait that one more is nothing new.
        let _redundant = (&self.pair.requests).write(&[1]);
    }

    /// A descriptor to which every byte written is a call of [`stop`](Self::stop): what a signal
    /// handler can use.
    ///
    /// # Errors
    ///
    /// Where the system has no descriptor left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.pair.requests.try_clone()?.into())
    }

    /// The server's end.
    pub(super) fn receiver(&self) -> io::Result<mio::net::UnixStream> {
        let received = self.pair.received.try_clone()?;
        Ok(mio::net::UnixStream::from_std(received))
    }
}

/// How many requests to stop have come since the last call.
pub fn count(receiver: &mut mio::net::UnixStream) -> usize {
    let mut total = 0;
    let mut requests = [0; 16];
    // Until it would block: nothing else can fail while the handle's own end is open.
    while let Ok(count @ 1..) = receiver.read(&mut requests) {
        total += count;
    }
    total
}
