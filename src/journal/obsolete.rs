//! The files that a checkpoint makes unnecessary, and their removal.

use std::io;
use std::time::Instant;

use super::file_system::FileSystem;
use super::frame::FileKind;
use super::spool::Spool;
use crate::config::Config;

/// The files that the last checkpoint makes unnecessary: those before it that no reader needs. They are
/// removed little by little, since a file system may take long, and frames wait for it.
#[derive(Default)]
pub struct Obsolete {
    /// Whether this process wrote the last checkpoint: only then is its name sure to be on the medium.
    pub is_synced: bool,
    /// Names of the files that are to be removed.
    names: Vec<String>,
    /// When a part of these is to be removed.
    pub remove_at: Option<Instant>,
    /// Bytes of files that stay until a checkpoint is synced.
    pub bytes: u64,
    /// Number of a frame. Once readers need none before it, there are more such files.
    release_at: Option<u64>,
}

impl Obsolete {
    /// Finds the files.
    pub fn find(&mut self, folder: &mut dyn FileSystem, spool: &Spool, now: Instant) {
        self.remove_at = Some(now);
        self.bytes = 0;
        match self.list(folder, spool) {
            Ok(names) if self.is_synced => self.names = names,
            // If the process before could not sync the folder, this checkpoint may be lost, whatever is
            // synced later. Another one is due when these files are long.
            Ok(names) => {
                let sizes = names.iter().map(|name| folder.size(name).unwrap_or(0));
                self.bytes = sizes.sum();
            }
            Err(error) => debug!("cannot find old files, the next checkpoint will: {error}"),
        }
    }

    fn list(&mut self, folder: &mut dyn FileSystem, spool: &Spool) -> io::Result<Vec<String>> {
        let (needed, checkpoint) = (spool.needed(), spool.written().checkpoint);
        self.release_at = None;
        if needed.is_some() {
            let journals = folder.numbers(FileKind::Journal)?;
            let following = journals.into_iter().find(|&first| Some(first) > needed);
            // The file before that is not needed then, if it is older than the checkpoint.
            self.release_at = following.filter(|&first| first <= checkpoint);
        }
        folder.before(checkpoint, needed)
    }

    /// Removes a part of them if it is time, after a look for those that readers have released.
    pub fn work(&mut self, folder: &mut dyn FileSystem, spool: &Spool, now: Instant) {
        if self.release_at.is_some() && spool.needed() >= self.release_at {
            self.find(folder, spool, now);
        }
        if self.remove_at.is_none_or(|remove_at| remove_at > now) {
            return;
        }
        self.remove_at = None;
        let Some(name) = self.names.pop() else {
            return;
        };
        match folder.remove_part(&name, Config::REMOVED_AT_ONCE_BYTES) {
            Ok(true) => {}
            Ok(false) => self.names.push(name),
            Err(error) => debug!("cannot remove {name}, the next checkpoint will: {error}"),
        }
        self.remove_at = now.checked_add(Config::CHECKPOINT_PAUSE);
    }
}
