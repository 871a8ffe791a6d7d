//! Hands every point on to other engines, by Prometheus Remote-Write 1.0.
//!
//! ```text
//! journal ─ follower ─ batch ─ write request ─ compressed ─ client ─ receiver
//!    ▲                                                        │
//!    └──────────────── position ◀── 2xx ──────────────────────┘
//! ```
//!
//! Each receiver has a thread, and a position in the journal of its own. What the thread does next is
//! decided by its [`Sender`], which neither sleeps nor reads a clock.

mod ages;
pub mod batch;
mod client;
mod headers;
pub mod labels;
mod receiver;
pub mod retry;
mod sender;
mod snappy;
mod socket;
#[cfg(feature = "tls")]
mod tls;
mod url;

use std::hash::BuildHasher;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use foldhash::fast::RandomState;

use self::client::{Client, Transport};
use self::labels::Labels;
pub use self::receiver::Receiver;
use self::sender::{Next, Sender};
use self::url::Url;
use crate::config::Config;
use crate::error::Error;
use crate::journal::follower::Follower;
use crate::journal::position;
use crate::journal::spool::Spool;

/// Stack of a sending thread: what it holds is on the heap, and the system's resolver of names wants some.
const STACK_BYTES: usize = 256 << 10;

/// Receivers that are checked, and not sent to yet.
#[derive(Debug, Default)]
pub struct Receivers {
    receivers: Vec<(Url, Arc<Receiver>)>,
    header_file: Option<PathBuf>,
    labels: Labels,
}

impl Receivers {
    /// Checks all that can be checked before the start. No name is resolved, and nothing is sent.
    ///
    /// # Errors
    ///
    /// If a URL or a label is wrong, or the file of headers cannot be used.
    pub fn new(config: &Config) -> Result<Receivers, Error> {
        let wrong = |field: &'static str, message: String| {
            let message = format!("{field}: {message}");
            Error::Setting { field, message }
        };
        let config = &config.remote_write;
        let mut receivers: Vec<(Url, _)> = Vec::new();
        for text in &config.urls {
            let field = "remote_write";
            let url = Url::parse(text).map_err(|message| wrong(field, message.into()))?;
            let name = url.to_string();
            if receivers
                .iter()
                .any(|(other, _)| position_name(other) == position_name(&url))
            {
                let why = "is there twice, and without its query that is one receiver";
                return Err(wrong(field, format!("{name} {why}")));
            }
            receivers.push((url, Arc::new(Receiver::new(name))));
        }
        let labels = Labels::new(&config.labels);
        let labels = labels.map_err(|message| wrong("remote_write_label", message))?;
        let header_file = config.header_file.clone();
        if let Some(path) = &header_file {
            headers::read(path).map_err(|source| Error::HeaderFile {
                path: path.clone(),
                source,
            })?;
        }
        Ok(Receivers {
            receivers,
            header_file,
            labels,
        })
    }

    /// What can be seen of each from outside, in the order of the configuration.
    pub fn seen(&self) -> Vec<Arc<Receiver>> {
        let receivers = self.receivers.iter();
        receivers.map(|(_, receiver)| receiver.clone()).collect()
    }

    /// Names of the files that their positions in the journal are in, in the same order.
    pub fn positions(&self) -> Vec<String> {
        let receivers = self.receivers.iter();
        receivers.map(|(url, _)| position_name(url)).collect()
    }

    /// Starts a thread for each, which sends what its follower reads until the spool is stopped.
    ///
    /// # Errors
    ///
    /// If the system starts no thread.
    pub fn start(self, followers: Vec<Follower>, config: &Config) -> io::Result<()> {
        let receivers = self.receivers.into_iter().zip(followers);
        for (number, ((url, receiver), follower)) in receivers.enumerate() {
            let spool = follower.spool.clone();
            let header_file = self.header_file.clone();
            let client = Client::new(url, header_file, config.remote_write.timeout);
            // In a box, since it is moved a few times.
            let mut sender = Box::new(Sender::new(
                follower,
                client,
                receiver,
                self.labels.clone(),
                config,
                // Another number in each process.
                RandomState::default().hash_one(number),
            ));
            let name = format!("metricd-send-{number}");
            let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
            builder.spawn(move || run(&mut sender, &spool))?;
        }
        Ok(())
    }
}

/// The name of the file with the position of a receiver. Another query is the same receiver: it often holds
/// a password, which may change.
fn position_name(url: &Url) -> String {
    let hash = crc32c::crc32c(url.to_string().as_bytes());
    format!("{}{hash:08x}", position::PREFIX)
}

/// An error of the kind [`InvalidData`](io::ErrorKind::InvalidData).
fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message.into())
}

/// Takes steps until the spool is stopped.
fn run<T: Transport>(sender: &mut Sender<T>, spool: &Spool) {
    let mut goes_on = true;
    while goes_on {
        goes_on = match sender.step(Instant::now()) {
            Next::Now => !spool.is_stopped(),
            Next::At(time) => spool.wait(u64::MAX, Some(time)),
            Next::Written(frame) => spool.wait(frame, None),
        };
    }
    sender.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RemoteWrite;

    /// What is wrong with so many receivers and labels, in a server with a folder.
    fn wrong(urls: &[&str], labels: &[(&str, &str)], change: fn(&mut Config)) -> Option<String> {
        let label = |&(name, value): &(&str, &str)| (name.into(), value.into());
        let mut config = Config {
            data: Some("folder".into()),
            remote_write: RemoteWrite {
                urls: urls.iter().map(|url| (*url).into()).collect(),
                labels: labels.iter().map(label).collect(),
                ..RemoteWrite::default()
            },
            ..Config::default()
        };
        change(&mut config);
        let checked = config.check(0).and_then(|()| Receivers::new(&config));
        checked.err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_said_before_the_start() {
        let url = "http://a:1/b";
        let eight: Vec<String> = (0..8).map(|host| format!("http://h{host}/")).collect();
        let mut many: Vec<&str> = eight.iter().map(String::as_str).collect();
        assert_eq!(wrong(&many, &[("a", "b"), ("c", "d")], |_| {}), None);
        many.push(url);
        for (urls, labels, change, expected) in [
            (&[][..], &[][..], (|_| {}) as fn(&mut Config), None),
            (&[], &[], |config| config.data = None, None),
            (
                &[url],
                &[],
                |config| config.data = None,
                Some("remote_write: it needs a folder for points: data"),
            ),
            (
                &many,
                &[],
                |_| {},
                Some("remote_write has 9 receivers: it takes 0 to 8"),
            ),
            (
                &[url, "http://a:1/b?c"],
                &[],
                |_| {},
                Some("remote_write: http://a:1/b is there twice"),
            ),
            (
                &["ftp://a"],
                &[],
                |_| {},
                Some("remote_write: a URL begins with http"),
            ),
            (
                &[url],
                &[("key", "x")],
                |_| {},
                Some("remote_write_label: "),
            ),
            (
                &[url],
                &[],
                |config| config.remote_write.request_points = 0,
                Some("remote_write_request_points is 0"),
            ),
            (
                &[url],
                &[],
                |config| config.remote_write.interval = std::time::Duration::MAX,
                Some("remote_write_interval is "),
            ),
            (
                &[url],
                &[],
                |config| config.remote_write.timeout = std::time::Duration::ZERO,
                Some("remote_write_timeout is 0"),
            ),
            (
                &[url],
                &[],
                |config| config.remote_write.header_file = Some("/none/such".into()),
                Some("cannot use the headers in /none/such: "),
            ),
        ] {
            let found = wrong(urls, labels, change);
            let is_expected = |expected| {
                found
                    .as_deref()
                    .is_some_and(|found| found.starts_with(expected))
            };
            assert!(
                expected.map_or(found.is_none(), is_expected),
                "{found:?}, not {expected:?}"
            );
        }
    }
}
