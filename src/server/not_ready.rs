//! Listens for HTTP while the points are still read from disk, and answers that they are.
//!
//! The other listeners open when all points are there.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use super::acceptor::listen_on;
use super::listener::{Listener, Socket};
use crate::config::{Config, Protocol};
use crate::error::Error;

/// What each of them is answered.
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 11\r\nRetry-After: 1\r\n\
    Connection: close\r\n\r\nrecovering\n";

/// How a request begins that is answered without the body, which has so many bytes.
const HEAD_REQUEST: [u8; 5] = *b"HEAD ";
const BODY_BYTES: usize = 11;

/// The listeners for HTTP, and those who have come.
pub struct NotReady {
    /// For each of [`Config::listen`], what listens there: nothing yet, unless HTTP is spoken there.
    pub listeners: Vec<Vec<Listener>>,
    /// In the order in which they came.
    clients: Vec<Client>,
}

struct Client {
    socket: Socket,
    is_answered: bool,
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
                true => listen_on(listen, config)?,
                false => Vec::new(),
            });
        }
        Ok(not_ready)
    }

    /// Answers those from whom a request has begun to come. To be called now and then.
    pub fn answer(&mut self) {
        for listener in self.listeners.iter().flatten() {
            let accepted = (0..Config::NOT_READY_CLIENTS).map_while(|_| listener.accept().ok());
            self.clients.extend(accepted.map(|socket| Client {
                socket,
                is_answered: false,
            }));
        }
        self.clients.retain_mut(Client::serve);
        let excess = self.clients.len().saturating_sub(Config::NOT_READY_CLIENTS);
        self.clients.drain(..excess);
    }
}

fn is_http(protocol: Protocol) -> bool {
    match protocol {
        #[cfg(feature = "http")]
        Protocol::Http => true,
        _ => false,
    }
}

impl Client {
    /// Answers it when a request begins, and then discards what comes until it closes: a socket that is
    /// closed while input is unread may lose the answer. False if it is gone.
    fn serve(&mut self) -> bool {
        let mut start = [0; HEAD_REQUEST.len()];
        let read = match self.is_answered {
            true => self.socket.read(&mut [0; 4 << 10]),
            false => self.socket.peek(&mut start),
        };
        match read {
            Ok(length) if length == start.len() && !self.is_answered => {
                let is_head = start == HEAD_REQUEST;
                let answer = &ANSWER[..ANSWER.len() - usize::from(is_head) * BODY_BYTES];
                self.is_answered = true;
                // It fits what the system keeps for a new connection.
                let written = self.socket.write_all(answer);
                written
                    .and_then(|()| self.socket.shutdown(Shutdown::Write))
                    .is_ok()
            }
            Ok(length) => length > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
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
        let address = not_ready.listeners[1][0].address.tcp().expect("of TCP");
        let silent: Vec<TcpStream> = (0..Config::NOT_READY_CLIENTS)
            .map(|_| TcpStream::connect(address).expect("connects"))
            .collect();
        let form = format!("POST / HTTP/1.1\r\n\r\n{}", "a".repeat(100_000));
        for (request, body) in [
            ("GET /healthz HTTP/1.1\r\n", "recovering\n"),
            ("HEAD /", ""),
            (&form, "recovering\n"),
        ] {
            let mut client = TcpStream::connect(address).expect("connects");
            let timeout = Some(Duration::from_millis(1));
            client.set_read_timeout(timeout).expect("is set");
            client.write_all(request.as_bytes()).expect("is sent");
            let mut answered: Vec<u8> = Vec::new();
            let start = Instant::now();
            loop {
                not_ready.answer();
                let mut bytes = [0; 1 << 10];
                match client.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(count) => answered.extend(&bytes[..count]),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{request:.20}"),
                }
                assert!(start.elapsed() < Duration::from_secs(20), "{answered:?}");
            }
            let answered = String::from_utf8(answered).expect("text");
            assert!(answered.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
            assert!(answered.ends_with(&format!("Connection: close\r\n\r\n{body}")));
        }
        let waiting = not_ready.clients.iter();
        let waiting = waiting.filter(|client| !client.is_answered);
        assert_eq!(waiting.count(), Config::NOT_READY_CLIENTS - 1);
        drop(silent);
        let start = Instant::now();
        while !not_ready.clients.is_empty() {
            not_ready.answer();
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        assert_eq!(not_ready.listeners[1].len(), 1);
    }
}
