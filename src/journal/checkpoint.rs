//! A store as a file, and back.
//!
//! The file's frames hold pieces of the store's [image](crate::store::ImageCursor). The payload of
//! the last frame is the text `end` and the number of the newest frame of the journal whose puts may
//! be in a piece, in eight bytes, the low ones first.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::file_system::{FileSystem, Folder};
use super::frame::{self, FileKind};
use super::recovery::Loading;
use crate::config::Config;
use crate::store::{ImageCursor, Store};

/// What the payload of the last frame begins with.
const END: &[u8] = b"end";

/// The number of a checkpoint that no journal belongs to: the first frame after it would be 1.
const ALONE: u64 = 1;

/// About the bytes of a piece. In tests, a checkpoint takes several turns.
const PIECE_BYTES: usize = match cfg!(test) {
    true => 100,
    false => Config::CHECKPOINT_PIECE_BYTES,
};

/// The pieces of a checkpoint, one after the other.
#[derive(Default)]
pub struct Pieces {
    cursor: ImageCursor,
    /// Only the end is left.
    is_end: bool,
}

/// A piece of a checkpoint: a frame whose head is not filled in.
pub struct Piece {
    pub bytes: Vec<u8>,
    /// No piece comes after it.
    pub is_last: bool,
}

impl Piece {
    /// The whole frame. Puts of the journal's frames up to `newest` may be in the checkpoint.
    pub fn finish(mut self, frame_number: u64, newest: u64) -> Vec<u8> {
        if self.is_last {
            self.bytes.extend(newest.to_le_bytes());
        }
        frame::finish(&mut self.bytes, frame_number, 0);
        self.bytes
    }
}

/// What the last frame says, which no piece can be mistaken for: the number of the newest frame whose puts may
/// be in the checkpoint.
pub fn newest_frame(payload: &[u8]) -> Option<u64> {
    let newest = payload.strip_prefix(END)?.try_into().ok()?;
    Some(u64::from_le_bytes(newest))
}

impl Pieces {
    /// Forms the next piece. What is put or removed between two pieces may be in one of them or not;
    /// series that are new since the first one are in none.
    pub fn next(&mut self, store: &Store) -> Piece {
        let (mut bytes, is_last) = (Vec::new(), self.is_end);
        frame::begin(&mut bytes);
        if is_last {
            bytes.extend_from_slice(END);
        } else {
            self.is_end = !store.append_image(&mut self.cursor, PIECE_BYTES, &mut bytes);
        }
        Piece { bytes, is_last }
    }
}

/// Writes a checkpoint, and returns when it is on the medium under this name, in place of what had it.
pub fn write(
    folder: &mut dyn FileSystem,
    name: &str,
    number: u64,
    store: &Store,
) -> io::Result<()> {
    let partial = format!("{name}.tmp");
    let mut file = folder.create_with_head(&partial, FileKind::Checkpoint, number)?;
    let mut pieces = Pieces::default();
    for frame_number in 0.. {
        let piece = pieces.next(store);
        let is_last = piece.is_last;
        let bytes = piece.finish(frame_number, number - 1);
        file.write_all(&bytes)?;
        if is_last {
            break;
        }
    }
    file.sync()?;
    folder.rename(&partial, name)?;
    folder.sync_folder()
}

impl Store {
    /// Writes all points to a file, which takes the place of what has this name once it is complete and
    /// synced. Its folder must be writable; it has a file `PATH.tmp` meanwhile.
    ///
    /// ```
    /// let mut store = metricd::Store::new();
    /// store.put("palm.cpu", 1_150_864_247, 23.7);
    /// let path = std::env::temp_dir().join(format!("metricd-{}", std::process::id()));
    /// store.save(&path)?;
    /// let loaded = metricd::Store::load(&path)?;
    /// assert!(loaded.range("palm.cpu", ..).eq(store.range("palm.cpu", ..)));
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
    let folder = Folder::unlocked(parent.unwrap_or(Path::new(".")));
    Ok((folder, name.to_owned()))
}
