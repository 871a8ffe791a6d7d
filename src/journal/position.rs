//! How far a reader of the journal has come, in a file of the folder.
//!
//! ```text
//! file    8 bytes  magic: `mtrcpos1`
//!         records, of which the last whole one counts
//!
//! record  u64      number of the frame
//!         u32      puts of this frame that are before the position
//!         u32      puts under way
//!         u32      CRC-32C of all that is before it in the file, without the other checksums
//! ```
//!
//! Numbers have their low byte first. A file is written under another name, synced and renamed; records
//! are appended to it after that, and not synced. So when the power fails, a position is lost only with
//! those after it, and the one before counts. Whatever a removed file has left on the medium follows no
//! checksum.

use std::io::{self, ErrorKind};

use super::file_system::{FileSystem, retried};
use super::files;

/// What the names of all files of positions begin with.
pub const PREFIX: &str = "sent-";

const MAGIC: &[u8; 8] = b"mtrcpos1";

const RECORD_BYTES: usize = 20;

/// Past so many bytes, the file is written once more with its last record.
const FULL_BYTES: usize = 64 << 10;

/// A place between two puts of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the frame with the next put,
    pub frame: u64,
    /// and how many puts of this frame are before it.
    pub puts: u32,
    /// How many puts after it were under way when it was stored. After a start, the first request holds
    /// exactly these, since some receivers refuse a request that mixes old and new points.
    pub under_way: u32,
}

impl Position {
    /// The position before all puts of a frame.
    pub fn before(frame: u64) -> Position {
        Position {
            frame,
            puts: 0,
            under_way: 0,
        }
    }

    /// Appends the record of this position, and returns its checksum, given that of the record before.
    fn append_record(&self, mut checksum: u32, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.extend(self.frame.to_le_bytes());
        out.extend(self.puts.to_le_bytes());
        out.extend(self.under_way.to_le_bytes());
        checksum = crc32c::crc32c_append(checksum, &out[start..]);
        out.extend(checksum.to_le_bytes());
        checksum
    }

    fn of_record(record: &[u8; RECORD_BYTES]) -> Position {
        let u32_at =
            |at: usize| u32::from_le_bytes(std::array::from_fn(|place| record[at + place]));
        Position {
            frame: u64::from(u32_at(0)) | u64::from(u32_at(4)) << 32,
            puts: u32_at(8),
            under_way: u32_at(12),
        }
    }
}

/// The position that was stored under a name, if there is one. A file that holds none is logged.
///
/// # Errors
///
/// If there is a file that cannot be read.
pub fn load<F: FileSystem>(folder: &mut F, name: &str) -> io::Result<Option<Position>> {
    let mut file = match retried(|| folder.open(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result?,
    };
    let mut bytes = vec![0; FULL_BYTES + RECORD_BYTES];
    let mut length = 0;
    while length < bytes.len() {
        match retried(|| folder.read(&mut file, &mut bytes[length..]))? {
            0 => break,
            count => length += count,
        }
    }
    let position = last_whole(&bytes[..length]);
    if position.is_none() {
        warn!("{name} is damaged: all that the journal still has is sent from there");
    }
    Ok(position)
}

/// The position of the last record of a file before anything else.
fn last_whole(bytes: &[u8]) -> Option<Position> {
    let (records, _) = bytes.strip_prefix(MAGIC)?.as_chunks::<RECORD_BYTES>();
    let (mut checksum, mut last) = (crc32c::crc32c(MAGIC), None);
    for record in records {
        let position = Position::of_record(record);
        let mut expected = Vec::with_capacity(RECORD_BYTES);
        checksum = position.append_record(checksum, &mut expected);
        if expected != record {
            break;
        }
        last = Some(position);
    }
    last
}

/// Stores positions under a name.
pub struct PositionFile<F: FileSystem> {
    name: String,
    /// What records are appended to; `None` until it is written for the first time, and after a failure.
    file: Option<F::File>,
    /// The checksum of its last record.
    checksum: u32,
    bytes: usize,
    /// The position of that record.
    last: Option<Position>,
}

impl<F: FileSystem> PositionFile<F> {
    /// Of this name, beside which there is a file `NAME.tmp` at times.
    pub fn new(name: &str) -> PositionFile<F> {
        PositionFile {
            name: name.to_owned(),
            file: None,
            checksum: 0,
            bytes: 0,
            last: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stores a position, in one call in most cases. It survives the end of the process; when the power
    /// fails, one that was stored before may come back, but none from before the last that was synced.
    ///
    /// # Errors
    ///
    /// Those of the file system: this position or the one before is stored then.
    pub fn store(&mut self, folder: &mut F, position: Position) -> io::Result<()> {
        if self.last == Some(position) {
            return Ok(());
        }
        // After a failure, what the file ends with is not known.
        let Some(mut file) = self.file.take().filter(|_| self.bytes < FULL_BYTES) else {
            return self.rewrite(folder, position);
        };
        self.last = None;
        let mut record = Vec::with_capacity(RECORD_BYTES);
        self.checksum = position.append_record(self.checksum, &mut record);
        self.bytes += record.len();
        files::write_all(folder, &mut file, &record)?;
        (self.file, self.last) = (Some(file), Some(position));
        Ok(())
    }

    /// The same, and it survives a loss of power too.
    pub fn store_synced(&mut self, folder: &mut F, position: Position) -> io::Result<()> {
        self.rewrite(folder, position)?;
        folder.sync_folder()
    }

    /// Stores a position in a new file, which takes the place of the one before. That is not sure to outlive
    /// a loss of power: it would take a sync of the folder, and if that failed, the journal thread would not
    /// know that what it did before may be lost.
    pub fn rewrite(&mut self, folder: &mut F, position: Position) -> io::Result<()> {
        (self.file, self.last) = (None, None);
        let partial = format!("{}.tmp", self.name);
        let mut bytes = MAGIC.to_vec();
        self.checksum = position.append_record(crc32c::crc32c(MAGIC), &mut bytes);
        self.bytes = bytes.len();
        let mut file = folder.create(&partial)?;
        files::write_all(folder, &mut file, &bytes)?;
        folder.sync(&mut file)?;
        folder.rename(&partial, &self.name)?;
        (self.file, self.last) = (Some(file), Some(position));
        Ok(())
    }
}
