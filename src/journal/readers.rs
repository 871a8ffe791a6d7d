//! The start of those who read the journal.

use std::io;

use super::file_system::FileSystem;
use super::files;
use super::follower::Follower;
use super::frame::FileKind;
use super::position::{self, Position, PositionFile};
use super::writer::Writer;

/// Readers that are not started yet.
pub struct Readers {
    readers: Vec<(PositionFile, Option<Position>)>,
}

impl Readers {
    /// Loads the positions that are stored under these names, each of which begins with
    /// [`PREFIX`](position::PREFIX).
    ///
    /// # Errors
    ///
    /// If one of these files cannot be read.
    pub fn load(folder: &mut dyn FileSystem, names: &[String]) -> io::Result<Readers> {
        let mut readers = Vec::new();
        for name in names {
            let mut position = position::load(folder, name)?;
            if position.is_none() && folder.size(name).is_ok() {
                // The file is damaged: some may be sent again, but nothing is left out.
                let journals = folder.numbers(FileKind::Journal)?;
                position = journals.first().map(|&oldest| Position::before(oldest));
            }
            readers.push((PositionFile::new(name), position));
        }
        Ok(Readers { readers })
    }

    /// For each that has a position, the number of the first frame that it needs.
    pub fn needed(&self) -> impl Iterator<Item = u64> {
        let positions = self.readers.iter().filter_map(|&(_, position)| position);
        positions.map(|position| position.frame)
    }

    /// Readers without a stored position begin with frame `next`, the next to be written. So do those whose
    /// position is past it: the frames that they have read were lost, and their numbers will be used again.
    ///
    /// # Errors
    ///
    /// If such a position cannot be stored, unless that is for lack of room.
    pub fn begin(&mut self, folder: &mut dyn FileSystem, next: u64) -> io::Result<()> {
        let begin = Position::before(next);
        let is_past = |position: Position| (position.frame, position.puts) > (next, 0);
        for (stored, position) in &mut self.readers {
            if position.is_none_or(is_past) {
                *position = Some(begin);
                store(folder, stored, begin)?;
            }
        }
        // The same for those who are not here now: they may come back when these numbers are in use.
        for name in folder.list()? {
            let is_other = || self.readers.iter().all(|(stored, _)| stored.name != *name);
            if name.starts_with(position::PREFIX)
                && !name.contains('.')
                && is_other()
                && position::load(folder, &name)?.is_some_and(is_past)
            {
                store(folder, &mut PositionFile::new(&name), begin)?;
            }
        }
        Ok(())
    }

    /// Makes followers of them, whose files `writer` writes.
    pub fn follow(self, writer: &Writer) -> Vec<Follower> {
        let follow = |(number, (stored, position)): (_, (_, Option<Position>))| {
            let (folder, spool) = (writer.folder.share(), writer.spool.clone());
            Follower::new(folder, spool, number, stored, position.unwrap_or_default())
        };
        self.readers.into_iter().enumerate().map(follow).collect()
    }
}

/// Stores a position so that it survives a loss of power. Where there is no room, puts are refused
/// until there is.
fn store(
    folder: &mut dyn FileSystem,
    stored: &mut PositionFile,
    position: Position,
) -> io::Result<()> {
    let result = stored.rewrite(folder, position);
    match result.and_then(|()| folder.sync_folder()) {
        Err(error) if files::is_full(&error) => {
            warn!("cannot store the position of a receiver: {error}");
            Ok(())
        }
        result => result,
    }
}
