//! A receiver that takes all and keeps nothing; it also exposes series to be scraped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::{io, thread};

use anyhow::{Context, Result};

use crate::support::series::key;

#[derive(Default)]
struct Shared {
    bytes: AtomicU64,
    requests: AtomicU64,
    is_held: Mutex<bool>,
    released: Condvar,
    /// What a scrape gets.
    exposition: String,
}

/// Its threads end with the process.
pub struct Sink {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Sink {
    pub fn start(series: usize) -> Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let line = |series| format!("{} {series}.25\n", key(series).replace('.', "_"));
        let shared = Arc::new(Shared {
            exposition: (0..series).map(line).collect(),
            ..Shared::default()
        });
        let for_clients = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(io::Result::ok) {
                let shared = for_clients.clone();
                // A client that goes away is none of its concern.
                thread::spawn(move || serve(&shared, stream).ok());
            }
        });
        Ok(Sink { address, shared })
    }

    /// Has answers wait, or lets them go.
    pub fn hold(&self, is_held: bool) {
        *self.shared.is_held.lock().expect("nobody panics with it") = is_held;
        self.shared.released.notify_all();
    }

    /// Bytes of all requests so far, heads included, and how many they are.
    pub fn received(&self) -> (f64, f64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        (read(&self.shared.bytes), read(&self.shared.requests))
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut output = stream.try_clone()?;
    let mut input = BufReader::with_capacity(1 << 20, stream);
    let mut body = Vec::new();
    loop {
        let (mut head_bytes, mut body_bytes, mut line) = (0, 0, String::new());
        let mut is_scrape = false;
        while line != "\r\n" {
            line.clear();
            let count = input.read_line(&mut line)?;
            is_scrape |= line.starts_with("GET ");
            head_bytes += count;
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                body_bytes = value.trim().parse()?;
            }
            (count > 0).then_some(()).context("the end")?;
        }
        body.resize(body_bytes, 0);
        input.read_exact(&mut body)?;
        let is_held = shared.is_held.lock().expect("nobody panics with it");
        let released = shared.released.wait_while(is_held, |is_held| *is_held);
        drop(released.expect("nobody panics with it"));
        let answer = if is_scrape {
            let body = &shared.exposition;
            let length = body.len();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        } else {
            let bytes = (head_bytes + body_bytes) as u64;
            shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            shared.requests.fetch_add(1, Ordering::Relaxed);
            "HTTP/1.1 204 No Content\r\n\r\n".into()
        };
        output.write_all(answer.as_bytes())?;
    }
}
