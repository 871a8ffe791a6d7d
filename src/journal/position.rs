//! How far a reader of the journal has come, in a file of the folder.

use std::io;

use super::file_system::FileSystem;

/// A place between two puts of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the frame with the next put,
    pub frame: u64,
    /// and how many puts of this frame are before it.
    pub puts: u32,
}

/// The position that was stored under a name, if there is one that can be read.
pub fn load<F: FileSystem>(folder: &mut F, name: &str) -> io::Result<Option<Position>> {
    let _ = (folder, name);
    todo!()
}

/// Stores a position under a name, in place of the one before.
pub fn store<F: FileSystem>(folder: &mut F, name: &str, position: Position) -> io::Result<()> {
    let _ = (folder, name, position);
    todo!()
}
