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
//! those after it, and the one before counts. What a removed file has left on the medium is not taken for a
//! record, since its checksum does not follow from those before it.

use std::io::{self, ErrorKind};

use super::file_system::{DiskFile, FileSystem, retried};
use super::frame::{u32_at, u64_at};
use crate::error::explained;

/// What the names of all files of positions begin with.
pub const PREFIX: &str = "sent-";

const MAGIC: &[u8; 8] = b"mtrcpos1";

const RECORD_BYTES: usize = 20;

/// Where a record has its checksum.
const CHECKSUM: usize = 16;

/// Past so many bytes, the file is written once more with its last record.
const FULL_BYTES: usize = 64 << 10;

/// A place between two puts of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
            ..Position::default()
        }
    }

    /// The record of this position, given the checksum of the record before.
    fn record(&self, checksum_before: u32) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..8].copy_from_slice(&self.frame.to_le_bytes());
        record[8..12].copy_from_slice(&self.puts.to_le_bytes());
        record[12..CHECKSUM].copy_from_slice(&self.under_way.to_le_bytes());
        let checksum = crc32c::crc32c_append(checksum_before, &record[..CHECKSUM]);
        record[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
        record
    }
}

/// The position that was stored under a name, if there is one. A file that holds none is logged.
///
/// # Errors
///
/// If there is a file that cannot be read. The message names it.
pub fn load(folder: &mut dyn FileSystem, name: &str) -> io::Result<Option<Position>> {
    let mut file = match retried(|| folder.open(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.map_err(explained(name))?,
    };
    let mut bytes = vec![0; FULL_BYTES + RECORD_BYTES];
    let length = file.read_all(0, &mut bytes).map_err(explained(name))?;
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
        checksum = crc32c::crc32c_append(checksum, &record[..CHECKSUM]);
        if checksum != u32_at(record, CHECKSUM) {
            break;
        }
        last = Some(Position {
            frame: u64_at(record, 0),
            puts: u32_at(record, 8),
            under_way: u32_at(record, 12),
        });
    }
    last
}

/// Stores positions under a name.
#[derive(Default)]
pub struct PositionFile {
    pub name: String,
    /// What records are appended to; `None` until it is written for the first time, and after a failure.
    file: Option<Box<dyn DiskFile>>,
    /// The checksum of its last record.
    checksum: u32,
    bytes: usize,
    /// The position of that record.
    last: Option<Position>,
}

impl PositionFile {
    /// Of this name, beside which there is a file `NAME.tmp` at times.
    pub fn new(name: &str) -> PositionFile {
        PositionFile {
            name: name.to_owned(),
            ..PositionFile::default()
        }
    }

    /// Stores a position, in one call in most cases. It survives the end of the process; when the power
    /// fails, one that was stored before may come back, but none from before the last that was synced.
    ///
    /// # Errors
    ///
    /// Those of the file system: this position or the one before is stored then.
    pub fn store(&mut self, folder: &mut dyn FileSystem, position: Position) -> io::Result<()> {
        if self.last == Some(position) {
            return Ok(());
        }
        // After a failure, what the file ends with is not known.
        let Some(mut file) = self.file.take().filter(|_| self.bytes < FULL_BYTES) else {
            return self.rewrite(folder, position);
        };
        self.last = None;
        let record = position.record(self.checksum);
        self.checksum = u32_at(&record, CHECKSUM);
        self.bytes += RECORD_BYTES;
        file.write_all(&record)?;
        (self.file, self.last) = (Some(file), Some(position));
        Ok(())
    }

    /// Stores a position in a new file, which takes the place of the one before. That is not sure to outlive
    /// a loss of power: it would take a sync of the folder, and if that failed, the journal thread would not
    /// know that what it did before may be lost.
    pub fn rewrite(&mut self, folder: &mut dyn FileSystem, position: Position) -> io::Result<()> {
        (self.file, self.last) = (None, None);
        let partial = format!("{}.tmp", self.name);
        let record = position.record(crc32c::crc32c(MAGIC));
        self.checksum = u32_at(&record, CHECKSUM);
        let bytes = [MAGIC, &record[..]].concat();
        self.bytes = bytes.len();
        let mut file = folder.create(&partial)?;
        file.write_all(&bytes)?;
        file.sync()?;
        folder.rename(&partial, &self.name)?;
        (self.file, self.last) = (Some(file), Some(position));
        Ok(())
    }
}
