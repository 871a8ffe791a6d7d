//! A store as a file, and back.
//!
//! The file's frames hold pieces of the store's [image](crate::store::ImageCursor). The payload of
//! the last frame is the text `end`.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::file_system::{FileSystem, Folder};
use super::files;
use super::frame::{self, FileKind};
use super::recovery::Loading;
use crate::store::{ImageCursor, Store};

/// About the bytes of a piece.
pub const PIECE_BYTES: usize = 64 << 10;

/// The payload of the last frame.
pub const END: &[u8] = b"end";

/// The number of a checkpoint that no journal belongs to: the first frame after it would be 1.
const ALONE: u64 = 1;

/// The pieces of a checkpoint, one after the other.
pub struct Pieces {
    cursor: ImageCursor,
    /// About the bytes of a piece.
    piece_bytes: usize,
    /// Only the end is left.
    is_end: bool,
}

/// A piece of a checkpoint: a frame whose head is not filled in.
pub struct Piece {
    pub bytes: Vec<u8>,
    /// No piece comes after it.
    pub is_last: bool,
}

impl Pieces {
    pub fn new(piece_bytes: usize) -> Pieces {
        Pieces {
            cursor: ImageCursor::default(),
            piece_bytes,
            is_end: false,
        }
    }

    /// Forms the next piece. Points that are put between two pieces may be in one of them or not;
    /// series that are new since the first one are not.
    pub fn next(&mut self, store: &Store) -> Piece {
        let (mut bytes, is_last) = (Vec::new(), self.is_end);
        frame::begin(&mut bytes);
        if is_last {
            bytes.extend_from_slice(END);
        } else {
            self.is_end = !store.append_image(&mut self.cursor, self.piece_bytes, &mut bytes);
        }
        Piece { bytes, is_last }
    }
}

/// Writes a checkpoint, and returns when it is on the medium under this name, in place of what had it.
pub fn write<F: FileSystem>(
    folder: &mut F,
    name: &str,
    number: u64,
    store: &Store,
) -> io::Result<()> {
    let partial = format!("{name}.tmp");
    let mut file = files::create(folder, &partial, FileKind::Checkpoint, number)?;
    let mut pieces = Pieces::new(PIECE_BYTES);
    for frame_number in 0.. {
        let mut piece = pieces.next(store);
        frame::finish(&mut piece.bytes, frame_number, 0);
        files::write_all(folder, &mut file, &piece.bytes)?;
        if piece.is_last {
            break;
        }
    }
    folder.sync(&mut file)?;
    folder.rename(&partial, name)?;
    folder.sync_folder()
}

impl Store {
    /// Writes all points to a file, which takes the place of what has this name once it is complete and
    /// synced. Its folder must be writable; it has a file `PATH.tmp` meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the file system. What had the name before has it still.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let (mut folder, name) = folder_of(path)?;
        write(&mut folder, &name, ALONE, self)
    }

    /// A store with all points of a file that [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not whole.
    pub fn load(path: &Path) -> io::Result<Store> {
        let (mut folder, name) = folder_of(path)?;
        let mut loading = Loading::default();
        loading.read_checkpoint(&mut folder, &name, ALONE)?;
        loading.finish()
    }
}

fn folder_of(path: &Path) -> io::Result<(Folder, String)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path has no name"))?;
    // Of a name alone, the parent is empty.
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    Ok((
        Folder::unlocked(parent.unwrap_or(Path::new("."))),
        name.to_owned(),
    ))
}
