//! Listens for HTTP while the points are still read from disk, and answers that they are.
//!
//! The other listeners open when all points are there.

use std::io::{self, Read, Write};

use super::acceptor::listen_on;
use super::listener::{Listener, Socket};
use crate::config::{Config, Protocol};
use crate::error::Error;

/// Clients that wait for an answer; the oldest goes when there are more.
const CLIENTS: usize = 64;

/// What each of them is answered.
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 11\r\nRetry-After: 1\r\n\
    Connection: close\r\n\r\nrecovering\n";

/// The listeners for HTTP, and those who have come.
pub struct NotReady {
    /// For each of [`Config::listen`], what listens there: nothing yet, unless HTTP is spoken there.
    listeners: Vec<Vec<Listener>>,
    /// In the order in which they came.
    clients: Vec<Socket>,
}

impl NotReady {
    /// Listens where HTTP is spoken.
    pub fn bind(config: &Config) -> Result<NotReady, Error> {
        let mut not_ready = NotReady {
            listeners: Vec::new(),
            clients: Vec::new(),
        };
        for listen in &config.listen {
            not_ready.listeners.push(match is_http(listen.protocol) {
                true => listen_on(&listen.address, config)?,
                false => Vec::new(),
            });
        }
        Ok(not_ready)
    }

    /// Answers those from whom a request has come. To be called now and then.
    pub fn answer(&mut self) {
        for listener in self.listeners.iter().flatten() {
            let accepted = (0..CLIENTS).map_while(|_| listener.accept().ok());
            self.clients.extend(accepted);
        }
        let excess = self.clients.len().saturating_sub(CLIENTS);
        self.clients.drain(..excess);
        self.clients.retain_mut(is_silent);
    }

    /// What listens at each of [`Config::listen`], to be served from now on.
    pub fn into_listeners(self) -> Vec<Vec<Listener>> {
        self.listeners
    }
}

fn is_http(protocol: Protocol) -> bool {
    match protocol {
        #[cfg(feature = "http")]
        Protocol::Http => true,
        _ => false,
    }
}

/// Whether a client has not sent anything yet. If it has, answers it.
fn is_silent(client: &mut Socket) -> bool {
    match client.read(&mut [0; 4 << 10]) {
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        Ok(0) => false,
        Ok(_) => {
            // Fails if the client is gone. It fits what the system keeps for a new connection.
            client.write_all(ANSWER).ok();
            false
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;
    use crate::config::Listen;
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    #[test]
    fn who_asks_is_told_and_who_says_nothing_waits() {
        let http = Listen {
            address: "127.0.0.1:0".into(),
            protocol: Protocol::Http,
        };
        let config = Config {
            listen: vec!["127.0.0.1:0".into(), http],
            ..Config::default()
        };
        let mut not_ready = NotReady::bind(&config).expect("listens");
        assert_eq!(
            not_ready.listeners.iter().map(Vec::len).collect::<Vec<_>>(),
            [0, 1]
        );
        let address = not_ready.listeners[1][0].address().tcp().expect("of TCP");
        let silent: Vec<TcpStream> = (0..CLIENTS)
            .map(|_| TcpStream::connect(address).expect("connects"))
            .collect();
        let mut client = TcpStream::connect(address).expect("connects");
        client
            .set_read_timeout(Some(Duration::from_millis(1)))
            .expect("is set");
        client
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            .expect("is sent");
        let mut answered: Vec<u8> = Vec::new();
        let start = Instant::now();
        while answered != ANSWER {
            not_ready.answer();
            let mut bytes = [0; 1 << 10];
            let count = client.read(&mut bytes).unwrap_or(0);
            answered.extend(&bytes[..count]);
            assert!(start.elapsed() < Duration::from_secs(20), "{answered:?}");
        }
        assert_eq!(not_ready.clients.len(), CLIENTS - 1);
        drop(silent);
        not_ready.answer();
        assert_eq!(not_ready.clients.len(), 0);
        assert_eq!(not_ready.into_listeners()[1].len(), 1);
    }
}
