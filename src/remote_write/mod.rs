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

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use self::client::{Client, Transport};
use self::headers::HeaderFile;
use self::labels::Labels;
pub use self::receiver::Receiver;
use self::sender::{Next, Sender};
use self::url::Url;
use crate::config::Config;
use crate::error::Error;
use crate::journal::file_system::FileSystem;
use crate::journal::follower::Follower;
use crate::journal::spool::Spool;

/// Stack of a sending thread: what it holds is on the heap, and the system's resolver of names wants some.
const STACK_BYTES: usize = 256 << 10;

/// Receivers that are checked, and not sent to yet.
#[derive(Debug, Default)]
pub struct Receivers {
    clients: Vec<(Url, Arc<Receiver>)>,
    /// Names of the files that their positions are in.
    positions: Vec<String>,
    headers: Option<HeaderFile>,
    labels: Labels,
}

impl Receivers {
    /// Checks all that can be checked before the start. No name is resolved, and nothing is sent.
    ///
    /// # Errors
    ///
    /// If a URL or a label is wrong, or the file of headers cannot be used.
    pub fn new(config: &Config) -> Result<Receivers, Error> {
        let wrong = |field, message: &str| Error::Setting {
            field,
            message: message.into(),
        };
        let config = &config.remote_write;
        let (mut clients, mut positions) = (Vec::new(), Vec::new());
        for text in &config.urls {
            let url = Url::parse(text).map_err(|message| wrong("remote_write", message))?;
            let receiver = Arc::new(Receiver::new(url.to_string()));
            let position = position_name(&url);
            if positions.contains(&position) {
                return Err(wrong("remote_write", &format!("{url} is there twice")));
            }
            positions.push(position);
            clients.push((url, receiver));
        }
        let labels = Labels::new(&config.labels);
        let labels = labels.map_err(|message| wrong("remote_write_label", &message))?;
        let headers = match &config.header_file {
            Some(path) => Some(HeaderFile::open(path).map_err(|source| Error::HeaderFile {
                path: path.clone(),
                source,
            })?),
            None => None,
        };
        Ok(Receivers {
            clients,
            positions,
            headers,
            labels,
        })
    }

    /// What can be seen of each from outside, in the order of the configuration.
    pub fn seen(&self) -> Vec<Arc<Receiver>> {
        let receivers = self.clients.iter().map(|(_, receiver)| receiver);
        receivers.cloned().collect()
    }

    /// Names of the files that their positions in the journal are in, in the same order.
    pub fn positions(&self) -> &[String] {
        &self.positions
    }

    /// Starts a thread for each, which sends what its follower reads until the spool is stopped.
    ///
    /// # Errors
    ///
    /// If the system starts no thread.
    pub fn start<F: FileSystem>(
        self,
        followers: Vec<Follower<F>>,
        config: &Config,
    ) -> io::Result<()> {
        for (number, ((url, receiver), follower)) in
            self.clients.into_iter().zip(followers).enumerate()
        {
            let spool = follower.spool().clone();
            let client = Client::new(url, self.headers.clone(), config.remote_write.timeout);
            let sender = Sender::new(
                follower,
                client,
                receiver,
                self.labels.clone(),
                config,
                // A random number of the standard library.
                RandomState::new().hash_one(number),
            );
            let name = format!("metricd-send-{number}");
            let builder = thread::Builder::new().name(name).stack_size(STACK_BYTES);
            spool.add_running(true);
            builder.spawn(move || run(sender, &spool))?;
        }
        Ok(())
    }
}

/// The name of the file with the position of a receiver. Another query is the same receiver: it often holds
/// a password, which may change.
fn position_name(url: &Url) -> String {
    format!("sent-{:08x}", crc32c::crc32c(url.to_string().as_bytes()))
}

/// Takes steps until the spool is stopped.
fn run<F: FileSystem, T: Transport>(mut sender: Sender<F, T>, spool: &Spool) {
    loop {
        let goes_on = match sender.step(Instant::now()) {
            Next::Now => !spool.is_stopped(),
            Next::At(time) => spool.wait(u64::MAX, Some(time)),
            Next::Written(frame) => spool.wait(frame, None),
        };
        if !goes_on {
            break;
        }
    }
    sender.close();
    spool.add_running(false);
}
