//! Requests of HTTP, each over a connection of its own.

use std::net::SocketAddr;

use super::Client;

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Asks for a path with its query.
#[track_caller]
pub fn get(address: SocketAddr, target: &str) -> Answer {
    ask(address, "GET", target, "")
}

/// Posts a form.
#[track_caller]
pub fn post(address: SocketAddr, target: &str, form: &str) -> Answer {
    let length = form.len();
    let headers = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    );
    ask(address, "POST", target, &headers)
}

#[track_caller]
fn ask(address: SocketAddr, method: &str, target: &str, rest: &str) -> Answer {
    let mut client = Client::connect(address);
    let end = if rest.is_empty() { "\r\n" } else { "" };
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{rest}{end}");
    client.send(request.as_bytes());
    let answer = String::from_utf8(client.rest()).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|line| line.get(..3));
    let is_chunked = head.contains("\r\nTransfer-Encoding: chunked");
    Answer {
        status: status.expect("a status").parse().expect("a number"),
        head: head.into(),
        body: if is_chunked {
            joined(body)
        } else {
            body.into()
        },
    }
}

/// A body without what marks its chunks.
fn joined(mut chunks: &str) -> String {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a number");
        if size == 0 {
            assert_eq!(rest, "\r\n");
            return body;
        }
        body += &rest[..size];
        chunks = rest[size..].strip_prefix("\r\n").expect("its end");
    }
}
