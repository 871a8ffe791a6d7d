//! Lines of the head of each request that an operator keeps in a file.

use std::io;
use std::path::{Path, PathBuf};

/// A file of lines such as `Authorization: Bearer …`, read again when it has changed.
#[derive(Clone, Debug)]
pub struct HeaderFile {
    path: PathBuf,
}

impl HeaderFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    ///
    /// If it cannot be read, others than its owner may read or change it, or a line is no header that
    /// may be set. In words for an operator; no value is ever part of it.
    pub fn open(path: &Path) -> io::Result<HeaderFile> {
        Ok(HeaderFile { path: path.into() })
    }

    /// The lines, each with its end, as they are now.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn lines(&mut self) -> io::Result<&str> {
        let _ = &self.path;
        todo!()
    }
}
