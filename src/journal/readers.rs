//! The start of those who read the journal.

use std::io;
use std::time::Instant;

use super::file_system::FileSystem;
use super::files;
use super::follower::Follower;
use super::position::{self, Position, PositionFile};
use super::spool::Spool;
use super::writer::Writer;

/// Readers that are not started yet.
pub struct Readers<F: FileSystem> {
    readers: Vec<(PositionFile<F>, Option<Position>)>,
}

impl<F: FileSystem> Readers<F> {
    /// Loads the positions that are stored under these names.
    ///
    /// # Errors
    ///
    /// If one of these files cannot be read.
    pub fn load(folder: &mut F, names: &[String]) -> io::Result<Readers<F>> {
        let mut readers = Vec::new();
        for name in names {
            readers.push((PositionFile::new(name), position::load(folder, name)?));
        }
        Ok(Readers { readers })
    }

    /// Number of the first frame that one of them needs.
    pub fn needed(&self) -> Option<u64> {
        let positions = self.readers.iter().filter_map(|&(_, position)| position);
        positions.map(|position| position.frame).min()
    }

    /// Has those without a position begin with frame `next`, which is the next to be written. So do those that
    /// are past it: the frames that they have read were lost, and others will have their numbers.
    ///
    /// # Errors
    ///
    /// If such a position cannot be stored, unless that is for lack of room.
    pub fn begin(&mut self, folder: &mut F, next: u64) -> io::Result<()> {
        let begin = Position::before(next);
        for (stored, position) in &mut self.readers {
            if position.is_some_and(|position| position.frame < next || position == begin) {
                continue;
            }
            *position = Some(begin);
            match stored.store_synced(folder, begin) {
                Err(error) if files::is_full(&error) => {
                    warn!("cannot store the position of a receiver: {error}");
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Makes followers, each with a folder of its own, and has the writer serve them. `None` without
    /// readers.
    pub fn follow(
        self,
        writer: &mut Writer<F>,
        folder: impl Fn() -> F,
    ) -> Option<(Spool, Vec<Follower<F>>)> {
        let spool = Spool::new(vec![self.needed()?; self.readers.len()]);
        let mut followers = Vec::new();
        for (number, (stored, position)) in self.readers.into_iter().enumerate() {
            let position = position.unwrap_or_default();
            spool.need_from(number, position.frame);
            let spool = spool.clone();
            followers.push(Follower::new(folder(), spool, number, stored, position));
        }
        writer.serve(spool.clone(), Instant::now());
        Some((spool, followers))
    }
}
