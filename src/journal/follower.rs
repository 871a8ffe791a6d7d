//! Reads what was put from the files of the journal, while it is being written.

use std::io;

use super::file_system::FileSystem;
use super::position::Position;
use super::spool::Spool;

/// Reads the puts of a journal in their order, from a position on.
pub struct Follower<F: FileSystem> {
    folder: F,
    spool: Spool,
    position: Position,
}

/// A put, as a follower reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadPut {
    /// The number of its series among those of the [`Follower`], from 0 on.
    pub series: u32,
    pub timestamp: i64,
    pub value: f64,
}

/// What a follower has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// All puts up to the frame that was asked for are read.
    UpToDate,
    /// As many puts as were wanted are read.
    Full,
    /// The file is read to its end. The next call goes on with the next file, and its series have other
    /// numbers.
    EndOfFile,
}

impl<F: FileSystem> Follower<F> {
    /// Follows a journal from this position on.
    pub fn new(folder: F, spool: Spool, position: Position) -> Follower<F> {
        Follower {
            folder,
            spool,
            position,
        }
    }

    /// Hands at most `most` puts to `take`, in order, none of a frame after number `newest`.
    ///
    /// Linear in the puts, and after the start or in another file also in those of the file before them.
    ///
    /// # Errors
    ///
    /// Those of the file system: the next call goes on where this one ended.
    pub fn read(
        &mut self,
        newest: u64,
        most: usize,
        take: &mut dyn FnMut(ReadPut),
    ) -> io::Result<Followed> {
        let _ = (newest, most, take, &mut self.folder, &self.spool);
        todo!()
    }

    /// The position after the last put that was handed out.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The key of a series of the file that is being read.
    pub fn key(&self, series: u32) -> &str {
        let _ = series;
        todo!()
    }

    /// How many series the file that is being read has so far. Their numbers are smaller.
    pub fn series_count(&self) -> usize {
        todo!()
    }

    /// Gives up the oldest file that is not needed but for its puts, if all such files together have more bytes
    /// than this. Returns how many puts were left out.
    pub fn keep_within(&mut self, limit_bytes: u64) -> io::Result<u64> {
        let _ = limit_bytes;
        todo!()
    }
}
