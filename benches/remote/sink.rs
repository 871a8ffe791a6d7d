//! A receiver that throws away what it takes, and has series to be scraped.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::support::series::key;

/// Its threads end with the process.
#[derive(Clone)]
pub struct Sink {
    pub address: SocketAddr,
    /// Whether answers wait, and what tells that they do so no longer.
    held: Arc<(Mutex<bool>, Condvar)>,
    /// What a scrape gets.
    exposition: Arc<str>,
}

impl Sink {
    pub fn start(series: usize) -> io::Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let line = |series| format!("{} {series}.25\n", key(series).replace('.', "_"));
        let sink = Sink {
            address: listener.local_addr()?,
            held: Arc::default(),
            exposition: (0..series).map(line).collect::<String>().into(),
        };
        let copy = sink.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(io::Result::ok) {
                let sink = copy.clone();
                // A client that goes away is none of its concern.
                thread::spawn(move || sink.serve(stream).ok());
            }
        });
        Ok(sink)
    }

    /// Has answers wait, or lets them go.
    pub fn hold(&self, is_held: bool) {
        *self.held.0.lock().expect("nobody panics with it") = is_held;
        self.held.1.notify_all();
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut output = stream.try_clone()?;
        let mut input = BufReader::with_capacity(1 << 20, stream);
        let (mut line, mut length, mut is_scrape) = (String::new(), 0, false);
        while input.read_line(&mut line)? > 0 {
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            is_scrape |= header.starts_with("get ");
            if line == "\r\n" {
                io::copy(&mut input.by_ref().take(length), &mut io::sink())?;
                output.write_all(self.answer(is_scrape).as_bytes())?;
                (length, is_scrape) = (0, false);
            }
            line.clear();
        }
        Ok(())
    }

    fn answer(&self, is_scrape: bool) -> String {
        let held = self.held.0.lock().expect("nobody panics with it");
        let held = self.held.1.wait_while(held, |is_held| *is_held);
        drop(held.expect("nobody panics with it"));
        if !is_scrape {
            return "HTTP/1.1 204 No Content\r\n\r\n".into();
        }
        let (body, length) = (&self.exposition, self.exposition.len());
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }
}
