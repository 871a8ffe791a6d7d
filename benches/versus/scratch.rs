//! Ports and a folder for the servers that choose none themselves.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, process};

/// Two ports that were free a moment ago. Another program may take one before the server does,
/// which then ends, and is started again on others.
pub fn two_free_ports() -> io::Result<[u16; 2]> {
    let one = TcpListener::bind(("127.0.0.1", 0))?;
    let other = TcpListener::bind(("127.0.0.1", 0))?;
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}

/// A folder for what a server writes, removed with its handle.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> io::Result<Scratch> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("metricd-versus-{}-{number}", process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that stays behind in the system's folder for such is no reason to fail.
        fs::remove_dir_all(&self.0).ok();
    }
}
