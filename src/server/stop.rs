//! Stopping a server from outside its thread, and having it report.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;

/// Stops a [`Server`](crate::Server), or has it report, from any thread or from a signal handler.
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
    stops: Arc<Requests>,
    reports: Arc<Requests>,
}

/// Requests of one kind. Each byte written to the first socket is one, and is read from the second.
type Requests = [UnixStream; 2];

impl StopHandle {
    /// A handle for a server that is not bound yet; see
    /// [`Server::bind_with`](crate::Server::bind_with). A stop requested before the server runs takes
    /// effect when it does.
    ///
    /// # Errors
    ///
    /// If the system has fewer than four descriptors left.
    pub fn new() -> io::Result<StopHandle> {
        Ok(StopHandle {
            stops: requests()?,
            reports: requests()?,
        })
    }

    /// Asks the server to stop. It accepts no more clients, reads once more from each client that
    /// takes its replies, executes what it read, and writes the replies for at most
    /// [`Config::stop_timeout`](crate::Config::stop_timeout). Then [`run`](crate::Server::run)
    /// returns. After a second request it returns at once.
    ///
    /// Never blocks. Does nothing if the server has ended.
    pub fn stop(&self) {
        send(&self.stops);
    }

    /// Asks the server to log what it [has counted](crate::Counts), at level info.
    ///
    /// Never blocks. Does nothing if the server has ended.
    pub fn report(&self) {
        send(&self.reports);
    }

    /// A descriptor for a signal handler: each byte written to it has the effect of
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// If the system has no descriptor left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.stops[0].try_clone()?.into())
    }

    /// The same for [`report`](Self::report).
    ///
    /// # Errors
    ///
    /// If the system has no descriptor left.
    pub fn report_descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.reports[0].try_clone()?.into())
    }

    /// The server's ends: of requests to stop, and to report.
    pub(super) fn receivers(&self) -> io::Result<[mio::net::UnixStream; 2]> {
        let [stops, reports] = [self.stops[1].try_clone()?, self.reports[1].try_clone()?];
        Ok([stops, reports].map(mio::net::UnixStream::from_std))
    }
}

fn requests() -> io::Result<Arc<Requests>> {
    let (sent, received) = UnixStream::pair()?;
    sent.set_nonblocking(true)?;
    received.set_nonblocking(true)?;
    Ok(Arc::new([sent, received]))
}

fn send(requests: &Requests) {
    // Fails if the socket is full of requests: one more would change nothing.
    let _redundant = (&requests[0]).write(&[1]);
}

/// Takes the requests that have arrived, and returns how many there were.
pub fn take_requests(receiver: &mut mio::net::UnixStream) -> usize {
    let mut total = 0;
    let mut requests = [0; 16];
    // Until it would block: nothing else can fail while the handle's own end is open.
    while let Ok(count @ 1..) = receiver.read(&mut requests) {
        total += count;
    }
    total
}

/// A server that was asked to stop, and how long it waits for its clients.
pub struct Stopping {
    /// Until when to wait for clients that are owed something; `None` means without limit.
    deadline: Option<Instant>,
    /// How long before the deadline to wait for receivers of remote write no more, so that they leave the disk
    /// some time.
    disk_time: Duration,
    linger: Duration,
    /// Until when to wait for clients that may still be fetching their replies, while no client is
    /// owed anything.
    lingers_until: Option<Instant>,
    /// This time is over.
    has_lingered: bool,
}

impl Stopping {
    /// A server that is asked now.
    pub fn new(now: Instant, config: &Config) -> Stopping {
        Stopping {
            deadline: now.checked_add(config.stop_timeout),
            disk_time: config.stop_timeout / 4,
            linger: config.linger,
            lingers_until: None,
            has_lingered: false,
        }
    }

    /// When to look again, whatever happens.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let disk_due = self.deadline.and_then(|at| at.checked_sub(self.disk_time));
        let due = [
            disk_due.filter(|&at| at > now),
            self.deadline,
            self.lingers_until,
        ];
        due.into_iter().flatten().min()
    }

    /// How much of the time to stop is left.
    pub fn time_left(&self, now: Instant) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(now);
        self.deadline.map_or(Duration::MAX, left)
    }

    /// Whether what is left of that time is for the disk alone.
    pub fn is_time_for_disk(&self, now: Instant) -> bool {
        self.time_left(now) <= self.disk_time
    }

    /// Whether to wait for so many clients, of which so many are owed something.
    pub fn waits_for(&mut self, clients: usize, owed: usize, now: Instant) -> bool {
        self.has_lingered |= self.lingers_until.is_some_and(|until| until <= now);
        self.lingers_until = match self.lingers_until {
            _ if owed > 0 || self.has_lingered => None,
            None => now.checked_add(self.linger),
            lingers_until => lingers_until,
        };
        clients > 0 && !self.has_lingered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_of_the_time_is_for_the_disk_and_for_clients() {
        let began = Instant::now();
        let config = Config {
            stop_timeout: Duration::from_secs(8),
            ..Config::default()
        };
        let stopping = Stopping::new(began, &config);
        for (seconds, is_for_disk, is_overdue, due) in [
            (5, false, false, 6),
            (6, true, false, 8),
            (7, true, false, 8),
            (8, true, true, 8),
        ] {
            let now = began + Duration::from_secs(seconds);
            assert_eq!(stopping.is_time_for_disk(now), is_for_disk, "{seconds}");
            assert_eq!(stopping.time_left(now).is_zero(), is_overdue, "{seconds}");
            assert_eq!(stopping.due(now), Some(began + Duration::from_secs(due)));
        }
    }
}
