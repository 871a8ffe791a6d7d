//! A reader of the journal: what it reads, stores to be done, and still needs.

use std::io;

use super::cursor::Cursor;
pub use super::cursor::ReadPut;
use super::file_places::KeyPlace;
use super::file_system::FileSystem;
use super::frame::FileKind;
use super::marks::Mark;
use super::position::{Position, PositionFile};
use super::spool::Spool;
use crate::config::Config;

/// Counted at once, before it is asked whether to stop.
const COUNTED_AT_ONCE: usize = 1 << 14;

/// Reads the puts of a journal in their order, from a position on, and stores how far they are done.
pub struct Follower {
    folder: Box<dyn FileSystem>,
    /// What it shares with the journal thread.
    pub spool: Spool,
    /// Its number among the readers of the spool.
    number: usize,
    cursor: Cursor,
    /// Where in its file the puts begin that were handed out last.
    batch_offset: u64,
    /// Up to here, all is done.
    done: Mark,
    stored: PositionFile,
    /// Number of the file in which that was stored last.
    stored_in: u64,
    /// Puts that are not done, less those that the spool counts. `None` before they are counted.
    unsent: Option<i64>,
    /// The checkpoint before which all files that it needs are within the limit.
    within_limit: u64,
}

impl Follower {
    /// Follows a journal as reader `number` of a spool, from the position on that `stored` holds.
    pub fn new(
        folder: Box<dyn FileSystem>,
        spool: Spool,
        number: usize,
        stored: PositionFile,
        position: Position,
    ) -> Follower {
        spool.begin_reader();
        Follower {
            folder,
            spool,
            number,
            cursor: Cursor::new(position, Some(Config::KEYS_HELD_BYTES)),
            batch_offset: 0,
            done: Mark::at(position),
            stored,
            stored_in: 0,
            unsent: None,
            within_limit: 0,
        }
    }

    /// Hands puts to `take`, in order, none of a frame after number `newest`, until it has taken `most`, or a file
    /// ends. What it does not take is left out. All is read when the [next frame](Self::next_frame) is past
    /// `newest`. Whatever was handed out before must be [done](Self::finish).
    ///
    /// Keys of series can be asked for until the next call.
    ///
    /// Linear in the puts, and after the start or in another file also in those of the file before them.
    ///
    /// # Errors
    ///
    /// Those of the file system: the next call goes on where this one ended. Puts may have been handed out.
    pub fn read(
        &mut self,
        newest: u64,
        most: usize,
        take: &mut impl FnMut(ReadPut) -> bool,
    ) -> io::Result<()> {
        let (file, offset) = (self.cursor.file_number(), self.cursor.offset());
        let result = self.cursor.read(&mut *self.folder, newest, most, take);
        let is_same = self.cursor.file_number() == file;
        self.batch_offset = if is_same { offset } else { 0 };
        self.done = Mark::at(self.done.position);
        result
    }

    /// Takes at once the memory that it needs to read up to `most` puts of so many series, and to hold up to
    /// `key_bytes` of the keys of each file that it opens from now on.
    pub fn take_room(&mut self, most: usize, series: usize, key_bytes: usize) {
        self.cursor.take_room(most, series, key_bytes);
    }

    /// Number of the frame with the next put to be handed out.
    pub fn next_frame(&self) -> u64 {
        self.cursor.next.frame
    }

    /// Number of the frame with the first put that is not done.
    pub fn unsent_frame(&self) -> u64 {
        self.done.position.frame
    }

    /// How many puts were handed out and are not done.
    pub fn unfinished(&self) -> usize {
        self.cursor.marks.puts - self.done.puts
    }

    /// How many puts were under way at the end of the process before: the first request is to have exactly
    /// so many, if it is not 0.
    pub fn under_way(&self) -> usize {
        self.done.position.under_way as usize
    }

    /// Bytes of the key of a series that was handed out.
    pub fn key_bytes(&self, series: u64) -> usize {
        KeyPlace(series).bytes()
    }

    /// The key of a series of the puts that were handed out last.
    ///
    /// # Errors
    ///
    /// Those of the file system, if the key is past those that are held.
    ///
    /// # Panics
    ///
    /// If the last [`read`](Self::read) handed out no put to it, or [`keep_within`](Self::keep_within) has dropped it.
    pub fn key(&mut self, series: u64) -> io::Result<&str> {
        self.cursor.key(series)
    }

    /// Notes that the next `puts` of the [unfinished](Self::unfinished) ones are done. Returns how many puts
    /// before, among and just after them were left out.
    pub fn finish(&mut self, puts: usize) -> u64 {
        let done = self.cursor.marks.after(self.done.puts + puts);
        let left_out = done.left_out - self.done.left_out;
        self.done = done;
        self.take_off(puts as u64 + left_out);
        left_out
    }

    fn take_off(&mut self, puts: u64) {
        self.unsent = self.unsent.map(|unsent| unsent - puts as i64);
    }

    /// Stores up to where all is done, which is not needed any more, and that so many puts after it are under
    /// way.
    ///
    /// # Errors
    ///
    /// Those of the file system. What is done is not needed all the same.
    pub fn store_position(&mut self, under_way: usize) -> io::Result<()> {
        let position = &mut self.done.position;
        position.under_way = under_way as u32;
        let (file, folder) = (self.cursor.file_number(), &mut *self.folder);
        let stored = if file == self.stored_in {
            self.stored.store(folder, *position)
        } else {
            // So that a loss of power hardly ever brings back a position in a file that is removed.
            self.stored.rewrite(folder, *position)
        };
        if stored.is_ok() {
            self.stored_in = file;
        }
        self.spool.need_from(self.number, position.frame);
        stored
    }

    /// Puts that are written and not done, and bytes of the journal that they are in; 0 and 0 if all are done.
    ///
    /// The first call reads all these puts to count them. Later ones are cheap: there are a few calls to
    /// the file system for each file.
    pub fn lag(&mut self) -> (u64, u64) {
        let written = self.spool.written();
        if self.unsent_frame() > written.newest {
            self.unsent = Some(-(written.points as i64));
            return (0, 0);
        }
        let unsent = self.unsent.unwrap_or_else(|| {
            // If they cannot be read, the figure is wrong until all is sent.
            self.count(written.newest).unwrap_or(0) as i64 - written.points as i64
        });
        self.unsent = Some(unsent);
        let points = unsent + written.points as i64;
        // If files cannot be found, the figure is wrong until the next call.
        (points.max(0) as u64, self.unsent_bytes().unwrap_or(0))
    }

    fn unsent_bytes(&mut self) -> io::Result<u64> {
        let journals = self.folder.holding(self.done.position.frame)?;
        let bytes = self.bytes_of(&journals)?;
        let done_bytes = match self.unfinished() {
            _ if journals.first() != Some(&self.cursor.file_number()) => 0,
            0 => self.cursor.offset(),
            _ => self.batch_offset,
        };
        Ok(bytes.saturating_sub(done_bytes))
    }

    /// Drops the oldest file that only this reader needs, if those after it together have more bytes than
    /// this: so one file is kept in any case. Returns how many puts were dropped that were not done, as far as
    /// they can be read; then the next call of `read` goes on after that file, and what was handed out and is not
    /// done is not to be sent. `None` if nothing was dropped.
    ///
    /// Cheap, as long as there is no new checkpoint.
    ///
    /// # Errors
    ///
    /// Those of the file system: nothing is dropped.
    pub fn keep_within(&mut self, limit_bytes: u64) -> io::Result<Option<u64>> {
        let checkpoint = self.spool.written().checkpoint;
        if self.within_limit == checkpoint {
            return Ok(None);
        }
        let mut journals = self.folder.holding(self.done.position.frame)?;
        journals.retain(|&number| number < checkpoint);
        let later = journals.get(1..).unwrap_or_default();
        if self.bytes_of(later)? <= limit_bytes {
            self.within_limit = checkpoint;
            return Ok(None);
        }
        let end = later[0];
        let counted = self.count(end - 1);
        if self.spool.is_stopped() {
            return Ok(None);
        }
        let puts = counted.unwrap_or_else(|error| {
            warn!("a file of the journal that is dropped cannot be read: {error}");
            0
        });
        self.take_off(puts);
        let end = Position::before(end);
        self.done = Mark::at(end);
        self.cursor.go_to(end);
        if let Err(error) = self.store_position(0) {
            debug!("cannot store that points are left out: {error}");
        }
        Ok(Some(puts))
    }

    /// Counts the puts of frames up to `newest` that can be read and are not done, until the readers are to stop.
    fn count(&mut self, newest: u64) -> io::Result<u64> {
        let (mut puts, mut cursor) = (0, Cursor::new(self.done.position, None));
        while cursor.next.frame <= newest && !self.spool.is_stopped() {
            cursor.read(&mut *self.folder, newest, COUNTED_AT_ONCE, &mut |_| true)?;
            puts += cursor.marks.puts as u64 + cursor.marks.left_out;
        }
        Ok(puts)
    }

    /// Bytes that are written to files of the journal.
    fn bytes_of(&mut self, numbers: &[u64]) -> io::Result<u64> {
        let (end, mut bytes) = (self.spool.written().end, 0);
        for &number in numbers {
            bytes += match number == end.file {
                true => end.bytes,
                false => self.folder.size(&FileKind::Journal.name(number))?,
            };
        }
        Ok(bytes)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.spool.end_reader();
    }
}
