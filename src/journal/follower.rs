//! A reader of the journal: what it reads, stores to be done, and still needs.

use std::io;

use super::cursor::{Cursor, Marks};
pub use super::cursor::{Followed, ReadPut};
use super::file_system::FileSystem;
use super::files;
use super::frame::FileKind;
use super::position::{Position, PositionFile};
use super::spool::Spool;
use crate::config::Config;

/// Counted at once, before it is asked whether to stop.
const COUNTED_AT_ONCE: usize = 1 << 14;

/// Reads the puts of a journal in their order, from a position on, and stores how far they are done.
pub struct Follower<F: FileSystem> {
    folder: F,
    spool: Spool,
    /// Its number among the readers of the spool.
    number: usize,
    /// How many bytes of the keys of a file are held.
    pub keys_held_bytes: usize,
    cursor: Cursor<F>,
    /// Where the puts are that were handed out last.
    marks: Marks,
    /// How many of these are done.
    done_puts: usize,
    /// Up to here, all is done.
    done: Position,
    stored: PositionFile<F>,
    /// Number of the file in which that was stored last.
    stored_in: u64,
    unsent: Option<Counted>,
    unread: Option<Counted>,
    /// The checkpoint of which all files that it needs are within the limit.
    within_limit: Option<u64>,
}

/// What was counted once.
struct Counted {
    count: u64,
    /// What is to be taken off that and what the spool counts: what it had counted by then, and what has
    /// been done since.
    taken_off: u64,
}

impl<F: FileSystem> Follower<F> {
    /// Follows a journal as reader `number` of a spool, from the position on that `stored` holds.
    pub fn new(
        folder: F,
        spool: Spool,
        number: usize,
        stored: PositionFile<F>,
        position: Position,
    ) -> Follower<F> {
        Follower {
            folder,
            spool,
            number,
            keys_held_bytes: Config::KEYS_HELD_BYTES,
            cursor: Cursor::new(position),
            marks: Marks::default(),
            done_puts: 0,
            done: position,
            stored,
            stored_in: 0,
            unsent: None,
            unread: None,
            within_limit: None,
        }
    }

    /// Hands at most `most` puts to `take`, in order, none of a frame after number `newest`. After
    /// [`UpToDate`](Followed::UpToDate), the [next frame](Self::next_frame) is past `newest`.
    ///
    /// The numbers of series stay as they are until the next call, by which all that was handed out is done.
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
        take: &mut impl FnMut(ReadPut),
    ) -> io::Result<Followed> {
        self.take_off(self.marks.puts());
        self.done = self.cursor.next();
        self.done_puts = 0;
        let file = self.cursor.file_number();
        let (cursor, marks) = (&mut self.cursor, &mut self.marks);
        cursor.keys_held_bytes = self.keys_held_bytes;
        let followed = cursor.read(&mut self.folder, newest, most, marks, take);
        if cursor.file_number() != file {
            self.unread = None;
        }
        followed
    }

    /// What it shares with the journal thread.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Number of the frame with the next put to be handed out.
    pub fn next_frame(&self) -> u64 {
        self.cursor.next().frame
    }

    /// Number of the frame with the first put that is not done.
    pub fn unsent_frame(&self) -> u64 {
        self.done.frame
    }

    /// How many puts were under way at the end of the process before: the first request is to have exactly
    /// so many, if it is not 0.
    pub fn under_way(&self) -> usize {
        self.done.under_way as usize
    }

    /// Bytes of the key of a series that was handed out last.
    ///
    /// # Panics
    ///
    /// If it was not, or [`keep_within`](Self::keep_within) has dropped it.
    pub fn key_bytes(&self, series: u32) -> usize {
        self.cursor.key_bytes(series)
    }

    /// The key of such a series.
    ///
    /// # Errors
    ///
    /// Those of the file system, if the key is past those that are held.
    ///
    /// # Panics
    ///
    /// As [`key_bytes`](Self::key_bytes).
    pub fn key(&mut self, series: u32) -> io::Result<&str> {
        self.cursor.key(&mut self.folder, series)
    }

    /// Stores that of the puts which the last [`read`](Self::read) has handed out the first `done` are
    /// not needed any more, and that so many after these are under way.
    ///
    /// # Errors
    ///
    /// Those of the file system. What is done is not needed all the same.
    pub fn store_position(&mut self, done: usize, under_way: usize) -> io::Result<()> {
        self.take_off(done);
        let position = self.marks.position_after(done);
        self.store(Position {
            under_way: under_way as u32,
            ..position.unwrap_or(self.cursor.next())
        })
    }

    /// Notes for the lag that so many of the puts that were handed out last are done.
    fn take_off(&mut self, done: usize) {
        if let Some(unsent) = &mut self.unsent {
            unsent.taken_off += done.saturating_sub(self.done_puts) as u64;
        }
        self.done_puts = done;
    }

    fn store(&mut self, position: Position) -> io::Result<()> {
        let (file, folder) = (self.cursor.file_number(), &mut self.folder);
        self.done = position;
        let stored = if file == self.stored_in {
            self.stored.store(folder, position)
        } else {
            // So that a loss of power hardly ever brings back a position in a file that is removed.
            self.stored.rewrite(folder, position)
        };
        if stored.is_ok() {
            self.stored_in = file;
        }
        self.spool.need_from(self.number, position.frame);
        stored
    }

    /// Puts and bytes of the journal that are written and not done; 0 and 0 if all are.
    ///
    /// The first call reads all these puts to count them. Later ones are cheap: there are a few calls to
    /// the file system for each file.
    pub fn lag(&mut self) -> (u64, u64) {
        let written = self.spool.written();
        if self.done.frame > written.newest {
            self.unsent = Some(Counted {
                count: 0,
                taken_off: written.points,
            });
            return (0, 0);
        }
        if self.unsent.is_none() {
            let (mut ahead, folder) = (Cursor::new(self.done), &mut self.folder);
            let puts = count(&mut ahead, folder, &self.spool, written.newest);
            self.unsent = Some(Counted {
                count: puts.unwrap_or(0), // a figure that is wrong until all is sent
                taken_off: written.points,
            });
        }
        if self.unread.is_none() {
            let frame = match self.cursor.file_number() {
                0 => self.cursor.next().frame,
                file => file,
            };
            let journals = files::holding(&mut self.folder, frame);
            let bytes = journals.and_then(|numbers| bytes_of(&mut self.folder, &numbers));
            self.unread = Some(Counted {
                count: bytes.unwrap_or(0), // a figure that is wrong until the next file
                taken_off: written.bytes,
            });
        }
        let now = |counted: &Option<Counted>, written: u64| {
            let counted = counted.as_ref();
            counted.map_or(0, |counted| {
                (counted.count + written).saturating_sub(counted.taken_off)
            })
        };
        let bytes = now(&self.unread, written.bytes).saturating_sub(self.cursor.offset());
        (now(&self.unsent, written.points), bytes)
    }

    /// Drops the oldest file that only this reader needs, if those after it together have more bytes than
    /// this: so one file is kept in any case. The first `done` puts that were handed out last are done.
    /// Returns how many puts were dropped that were not done, as far as they can be read; then the next call of
    /// `read` goes on after that file, and what was handed out and is not done is not to be sent. `None` if
    /// nothing was dropped.
    ///
    /// Cheap, as long as there is no new checkpoint.
    ///
    /// # Errors
    ///
    /// Those of the file system: nothing is dropped.
    pub fn keep_within(&mut self, limit_bytes: u64, done: usize) -> io::Result<Option<u64>> {
        let checkpoint = self.spool.checkpoint();
        if self.within_limit == Some(checkpoint) {
            return Ok(None);
        }
        self.take_off(done);
        self.done = self.marks.position_after(done).unwrap_or(self.done);
        let mut journals = files::holding(&mut self.folder, self.done.frame)?;
        journals.retain(|&number| number < checkpoint);
        let later = journals.get(1..).unwrap_or_default();
        if bytes_of(&mut self.folder, later)? <= limit_bytes {
            self.within_limit = Some(checkpoint);
            return Ok(None);
        }
        let end = later[0];
        let mut ahead = Cursor::new(self.done);
        let puts = count(&mut ahead, &mut self.folder, &self.spool, end - 1);
        if self.spool.is_stopped() {
            return Ok(None);
        }
        if let Err(error) = &puts {
            warn!("a file of the journal that is dropped cannot be read: {error}");
            ahead = Cursor::new(Position::before(end));
        }
        self.cursor = ahead;
        self.marks.clear();
        (self.done_puts, self.unread) = (0, None);
        let puts = puts.unwrap_or(0);
        if let Some(unsent) = &mut self.unsent {
            unsent.taken_off += puts;
        }
        if let Err(error) = self.store(self.cursor.next()) {
            debug!("cannot store that points are left out: {error}");
        }
        Ok(Some(puts))
    }
}

/// Counts the puts of frames up to `newest` that can be read, and goes past them. If the readers are to
/// stop, it does so too.
fn count<F: FileSystem>(
    cursor: &mut Cursor<F>,
    folder: &mut F,
    spool: &Spool,
    newest: u64,
) -> io::Result<u64> {
    let (mut puts, mut marks) = (0, Marks::default());
    let take = &mut |_| puts += 1;
    while !spool.is_stopped()
        && cursor.read(folder, newest, COUNTED_AT_ONCE, &mut marks, take)? != Followed::UpToDate
    {
    }
    Ok(puts)
}

/// Bytes of files of the journal.
fn bytes_of<F: FileSystem>(folder: &mut F, numbers: &[u64]) -> io::Result<u64> {
    let mut bytes = 0;
    for &number in numbers {
        bytes += folder.size(&FileKind::Journal.name(number))?;
    }
    Ok(bytes)
}
