//! TLS for `https://`.

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_native_certs::{CertificateResult, load_native_certs};

use super::socket::{Socket, Stream};
use crate::error::explained;

/// Encrypts a connection, after the receiver has proved that it is this host. The certificates that the system
/// trusts are read each time, so that they take no memory between connections and changes count at once.
///
/// # Errors
///
/// If the system trusts no certificate, the receiver has none for this host that it trusts, or the deadline of
/// the socket has passed.
pub fn encrypt(socket: Socket, host: &str) -> io::Result<StreamOwned<ClientConnection, Socket>> {
    encrypt_trusting(load_native_certs(), socket, host)
}

/// Like [`encrypt`], but trusts these certificates.
pub fn encrypt_trusting(
    trusted: CertificateResult,
    mut socket: Socket,
    host: &str,
) -> io::Result<StreamOwned<ClientConnection, Socket>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.certs);
    if roots.is_empty() {
        let reason = trusted.errors.first().map(ToString::to_string);
        let reason = reason.unwrap_or_else(|| "there is none".to_owned());
        return Err(failed(format!("no certificate is trusted: {reason}")));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(failed)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(failed)?;
    while connection.is_handshaking() {
        let done = connection.complete_io(&mut socket);
        done.map_err(explained("TLS failed"))?;
    }
    Ok(StreamOwned::new(connection, socket))
}

fn failed(error: impl Display) -> io::Error {
    io::Error::other(format!("TLS failed: {error}"))
}

impl Stream for StreamOwned<ClientConnection, Socket> {
    fn set_deadline(&mut self, deadline: Instant) {
        self.sock.set_deadline(deadline);
    }

    fn is_idle(&self) -> bool {
        // While decrypted bytes wait to be received, rustls does not want to read.
        self.conn.wants_read() && self.sock.is_idle()
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)?;
        self.flush()
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }
}
