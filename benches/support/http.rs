//! Requests by HTTP 1.0: nothing comes in chunks, and an answer ends with its connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memchr::memmem;

use super::client::shown;

/// A server that sends nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of an answer of status 200.
pub fn get(address: SocketAddr, target: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let is_found = answer.get(8..13) == Some(b" 200 ");
    ensure!(is_found, "GET {target}: {}", shown(&answer));
    let end = memmem::find(&answer, b"\r\n\r\n").context("no end of a head")?;
    Ok(answer.split_off(end + 4))
}

/// An answer that is text.
pub fn text(address: SocketAddr, target: &str) -> Result<String> {
    Ok(String::from_utf8(get(address, target)?)?)
}

/// The value of the first series of `/metrics` that begins so.
pub fn metric(address: SocketAddr, series: &str) -> Result<f64> {
    let metrics = text(address, "/metrics")?;
    let line = metrics.lines().find(|line| line.starts_with(series));
    let value = line.and_then(|line| Some(line.rsplit_once(' ')?.1));
    Ok(value.with_context(|| format!("no {series}"))?.parse()?)
}
