//! One connection to a receiver, over which requests go out and answers come in.

use std::io;
use std::time::Duration;

use super::headers::HeaderFile;
use super::url::Url;

/// What a receiver has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// The beginning of its body, as text on one line.
    pub text: String,
}

/// Sends bodies somewhere.
pub trait Transport {
    /// Sends the body of a request, and returns when the answer to it is complete, or cannot be.
    ///
    /// # Errors
    ///
    /// If there is no whole answer in time, or none that HTTP allows.
    fn post(&mut self, body: &[u8]) -> io::Result<Response>;
}

/// An HTTP/1.1 client of one receiver.
#[derive(Debug)]
pub struct Client {
    url: Url,
    headers: Option<HeaderFile>,
    timeout: Duration,
}

impl Client {
    /// A client that is not connected yet. A request, with all that is done for it, may take so long.
    pub fn new(url: Url, headers: Option<HeaderFile>, timeout: Duration) -> Client {
        Client {
            url,
            headers,
            timeout,
        }
    }
}

impl Transport for Client {
    fn post(&mut self, body: &[u8]) -> io::Result<Response> {
        let _ = (body, &self.url, &self.headers, self.timeout);
        todo!()
    }
}
