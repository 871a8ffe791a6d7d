//! The files of a journal: their names, and how they are made and removed.
//!
//! ```text
//! journal-000000000000002a       frames of puts, of which the first has this number
//! checkpoint-000000000000002a    all points as they were before this frame, some as they were later
//! checkpoint.tmp                 a checkpoint that is not complete, or a journal without its head
//! ```
//!
//! Numbers are hexadecimal, of 16 digits. Other files are left alone, such as the positions of readers.

use std::io::{self, ErrorKind};

use super::file_system::{DiskFile, FileSystem};
use super::frame::{self, FileKind};

/// The highest number of a file. So many frames are never written.
const NUMBER_MAX: u64 = u64::MAX / 2;

/// A file that does not have its own name yet. A start removes what it finds of it.
pub const PARTIAL: &str = "checkpoint.tmp";

impl FileKind {
    fn prefix(self) -> &'static str {
        match self {
            FileKind::Journal => "journal-",
            FileKind::Checkpoint => "checkpoint-",
        }
    }

    /// The name of the file of a number.
    #[inline(never)]
    pub fn name(self, number: u64) -> String {
        format!("{}{number:016x}", self.prefix())
    }

    /// The number of a file, if its name is that of one of this kind.
    pub fn number(self, name: &str) -> Option<u64> {
        let digits = name.strip_prefix(self.prefix())?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        ((1..=NUMBER_MAX).contains(&number) && self.name(number) == name).then_some(number)
    }
}

/// Whether an error is for lack of room, without which points can still be read.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

impl dyn FileSystem + '_ {
    /// Creates a file and writes its head.
    pub fn create_with_head(
        &mut self,
        name: &str,
        kind: FileKind,
        number: u64,
    ) -> io::Result<Box<dyn DiskFile>> {
        let mut file = self.create(name)?;
        file.write_all(&frame::file_head(kind, number))?;
        Ok(file)
    }

    /// The numbers of all files of a kind, ascending.
    pub fn numbers(&mut self, kind: FileKind) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for number in self.list()?.iter().filter_map(|name| kind.number(name)) {
            // There are few: inserting takes less code than sorting.
            let place = numbers.partition_point(|&other| other < number);
            numbers.insert(place, number);
        }
        Ok(numbers)
    }

    /// The number of the journal's file with this frame, if it can be in any, and those of the files after it,
    /// ascending.
    pub fn holding(&mut self, frame: u64) -> io::Result<Vec<u64>> {
        let mut numbers = self.numbers(FileKind::Journal)?;
        let later = numbers.partition_point(|&first| first <= frame);
        numbers.drain(..later.saturating_sub(1));
        Ok(numbers)
    }

    /// The names of all files that a complete checkpoint of this number makes unnecessary, but for those of
    /// the journal that readers need, which is from frame `needed` on.
    pub fn before(&mut self, number: u64, needed: Option<u64>) -> io::Result<Vec<String>> {
        let with_needed = match needed {
            Some(needed) => self.holding(needed)?.first().copied(),
            None => None,
        };
        let kept = with_needed.map_or(number, |first| first.min(number));
        let mut names = self.list()?;
        names.retain(|name| {
            let is_old = |kind: FileKind, first| kind.number(name).is_some_and(|old| old < first);
            is_old(FileKind::Journal, kept) || is_old(FileKind::Checkpoint, number)
        });
        Ok(names)
    }

    /// Takes so many bytes off the end of a file, and says whether it is removed, since it had no more.
    pub fn remove_part(&mut self, name: &str, bytes: u64) -> io::Result<bool> {
        let left_bytes = self.size(name)?.saturating_sub(bytes);
        if left_bytes > 0 && self.shorten(name, left_bytes).is_ok() {
            return Ok(false);
        }
        self.remove(name).map(|()| true)
    }
}
