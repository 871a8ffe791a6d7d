//! What makes puts durable, and brings them back.
//!
//! ```text
//! put ─ record ─ frame ─ journal thread ─ file ─ sync        (what happened since the checkpoint)
//! store ─ image ─ frame ─ journal thread ─ file ─ sync       (the checkpoint)
//! start: checkpoint ─ image ─ store ◀─ record ─ frame ─ journal
//! ```
//!
//! The loop records what is put or evicted, and hands it over as a frame at the end of the turn, or of the
//! next one. It makes no call that may wait for a disk: the journal thread does, and says when a frame is
//! stored. When the journal has become longer than what it stands for, the loop hands over an image of the
//! store too, piece by piece.
//!
//! # A checkpoint is exact though puts go on
//!
//! Its pieces are read from the store while points are put and evicted, so some are newer than its
//! beginning. The journal goes on in a new file when it begins. A start replays that file over it, in
//! order. Before the checkpoint gets its name, the journal is synced up to the newest change that a
//! piece can hold. So no snapshot is needed, and no memory but that of a piece.
//!
//! - A point that was put or evicted since the beginning ends as the last of these changes left it,
//!   whatever the piece has. All others are as they were.
//! - A series that was created since the beginning may be in a piece already. The record of its first
//!   put says that it is new: so the replay removes it first, and it comes last, as it did then.
//! - A series that has gone since the beginning may be in no piece. What was put to it since comes back in the
//!   replay, until the record of its eviction removes it again. If it has expired, there is no such record: what
//!   comes back is too old to be read.
//!
//! A start whose memory is full evicts points while it replays, and series with them. A record names a
//! series by its place, and another series may be there after an eviction. So the start remembers where in
//! the file the key of each series is. The next record of a series that has lost points is applied by its
//! key, which is read again. If the series is gone, a put makes a new one.

#![cfg_attr(not(feature = "remote-write"), allow(dead_code))] // nobody reads a journal then

mod channel;
mod checkpoint;
mod cursor;
pub mod file_places;
pub mod file_system;
pub mod files;
pub mod follower;
pub mod frame;
mod marks;
mod monitor;
mod obsolete;
mod placement;
pub mod position;
mod readers;
pub mod record;
mod recovery;
pub mod replay;
#[cfg(test)]
pub mod simulated;
pub mod spool;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::mem;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::channel::{Channel, Checkpoint, Frame, Message, Report, Step};
use self::checkpoint::Pieces;
use self::file_system::{FileSystem, Folder};
use self::follower::Follower;
use self::readers::Readers;
use self::record::PutRecord;
use self::spool::Spool;
use self::writer::Writer;
use crate::config::Config;
use crate::counters::Published;
use crate::error::Error;
use crate::memory::Room;
use crate::server::{Admission, Commit, Event, Outcome};
use crate::store::Store;

/// The loop's end of a journal.
pub struct Journal {
    channel: Channel,
    /// What the journal thread had told at the last look.
    report: Report,
    /// Number of the newest frame that was handed over.
    submitted: u64,
    /// Bytes of all frames that were handed over.
    submitted_bytes: u64,
    /// How many of these may wait for the disk: [`Config::unjournaled_limit_bytes`].
    limit_bytes: usize,
    /// How many series readers are to remember at most.
    most_series: usize,
    /// Steps of checkpoints that were asked for.
    steps: u64,
    /// The pieces of the checkpoint that is being written.
    pieces: Option<Pieces>,
    /// The last checkpoint was begun, or is not needed.
    is_finished: bool,
    /// The loop has waited for events since the last frame, so it is not busy with something else.
    has_waited: bool,
    /// What its readers share.
    spool: Spool,
}

/// A folder that was read at the start, and that puts are to be written to.
pub struct Opened {
    writer: Writer,
    journal: Journal,
    followers: Vec<Follower>,
}

/// Takes a folder into use, and reads all points from it. `on_event` is told how far it has come.
///
/// `readers` are the names of the files with the positions of those who read the journal. One that has
/// none begins with the next frame.
///
/// # Errors
///
/// If the folder or a file in it cannot be used. No file of points is changed then.
pub fn open(
    path: &Path,
    config: &Config,
    readers: &[String],
    on_event: &mut dyn FnMut(Event),
) -> Result<(Store, Opened), Error> {
    let room = Room::new(config.memory_limit_bytes, config.when_full);
    let opened = Folder::open(path)
        .and_then(|folder| Opened::new(Box::new(folder), config, readers, room, on_event));
    opened.map_err(|source| Error::Data {
        path: path.into(),
        source,
    })
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl Opened {
    fn new(
        mut folder: Box<dyn FileSystem>,
        config: &Config,
        readers: &[String],
        room: Room,
        on_event: &mut dyn FnMut(Event),
    ) -> io::Result<(Store, Opened)> {
        let mut readers = Readers::load(&mut *folder, readers)?;
        let needed = readers.needed().min();
        let found = recovery::recover_telling(&mut *folder, config.salvage, needed, room, on_event);
        let mut found = found?;
        readers.begin(&mut *folder, found.next)?;
        let writer = Writer::new(folder, config, readers.needed().collect(), &mut found)?;
        let opened = Opened {
            journal: Journal::new(&writer, config),
            followers: readers.follow(&writer),
            writer,
        };
        Ok((found.store, opened))
    }

    /// Starts the journal thread. It wakes the loop with `wake` when there is something new, and
    /// publishes there what it counts. Returns the readers too, in the order of their names, each of
    /// which is to have a thread of its own.
    ///
    /// # Errors
    ///
    /// If the system starts no thread.
    pub fn start(
        mut self,
        wake: impl Fn() + Send + Sync + 'static,
        published: &Arc<Published>,
    ) -> io::Result<(Journal, Vec<Follower>)> {
        self.writer.tally.publish_to(published);
        self.journal.channel.set_wake(wake);
        let writer = self.writer;
        thread::Builder::new()
            .name("metricd-journal".into())
            .spawn(move || writer.run())?;
        Ok((self.journal, self.followers))
    }
}

impl Journal {
    fn new(writer: &Writer, config: &Config) -> Journal {
        let report = writer.channel.look(false);
        Journal {
            submitted: report.settled,
            channel: writer.channel.clone(),
            report,
            submitted_bytes: 0,
            limit_bytes: config.unjournaled_limit_bytes,
            most_series: config.remembered_series(),
            steps: 0,
            pieces: None,
            is_finished: false,
            has_waited: false,
            spool: writer.spool.clone(),
        }
    }

    fn send_step(&mut self, step: Step) {
        self.steps += 1;
        self.channel.send(Message::Checkpoint(step));
    }

    /// Begins a checkpoint, and a new file for what is recorded from now on.
    fn begin_checkpoint(&mut self, puts: &mut PutRecord, is_failing: bool) {
        if puts.begin_file() {
            let number = self.submitted + 1;
            self.send_step(Step::Begin { number, is_failing });
            self.pieces = Some(Pieces::default());
        }
    }

    fn send_piece(&mut self, store: &Store) {
        if let Some(pieces) = &mut self.pieces {
            let piece = pieces.next(store);
            if piece.is_last {
                self.pieces = None;
            }
            self.send_step(Step::Write(piece));
        }
    }
}

impl Commit for Journal {
    fn record(&mut self) -> Option<PutRecord> {
        Some(PutRecord::new(self.most_series))
    }

    fn submit(&mut self, puts: &mut PutRecord) -> u64 {
        let is_failing = self.report.is_failing;
        // While the disk fails, evictions wait: the file that the way back has begun takes no frames
        // before its checkpoint is complete.
        while !puts.is_empty() && (puts.has_puts() || !is_failing) {
            self.submitted += 1;
            let (count, bytes) = (puts.puts_of_next(), puts.take());
            self.submitted_bytes += bytes.len() as u64;
            let core = mem::take(&mut self.has_waited).then(placement::current_core);
            let frame = Frame {
                number: self.submitted,
                puts: count,
                core: core.flatten(),
                bytes,
            };
            if let Some(buffer) = self.channel.send(Message::Frame(frame)) {
                puts.reuse(buffer);
            }
        }
        self.submitted
    }

    fn look(&mut self, will_wait: bool) -> bool {
        self.has_waited |= will_wait;
        let before = mem::replace(&mut self.report, self.channel.look(will_wait));
        self.report.news != before.news
    }

    fn outcome(&self, number: u64) -> Outcome {
        match &self.report.not_stored {
            _ if number > self.report.settled => Outcome::Pending,
            Some(not_stored) if not_stored.contains(&number) => Outcome::NotStored,
            _ => Outcome::Stored,
        }
    }

    fn pending(&self) -> Range<u64> {
        self.report.settled + 1..self.submitted + 1
    }

    fn pending_bytes(&self) -> usize {
        (self.submitted_bytes - self.report.settled_bytes) as usize
    }

    fn admission(&self) -> Admission {
        if self.report.is_failing {
            Admission::Refused
        } else if self.pending_bytes() >= self.limit_bytes {
            Admission::Full
        } else {
            Admission::Open
        }
    }

    fn clean_up(&mut self, store: &Store, puts: &mut PutRecord) {
        // The journal is to have what a piece shows to be evicted.
        self.submit(puts);
        let is_failing = self.report.is_failing;
        // One step at a time: so there is one piece in memory. The thread wakes the loop for the next.
        match self.report.checkpoint {
            _ if self.report.steps < self.steps => {}
            Checkpoint::Running => self.send_piece(store),
            // What is refused now must not be put after the beginning.
            Checkpoint::Due if self.report.settled == self.submitted || !is_failing => {
                self.begin_checkpoint(puts, is_failing)
            }
            Checkpoint::Due | Checkpoint::Idle => self.pieces = None,
        }
    }

    fn finish(&mut self, store: &Store, puts: &mut PutRecord) -> bool {
        self.submit(puts);
        self.spool.stop();
        if mem::replace(&mut self.is_finished, true) || self.pieces.is_some() {
            self.clean_up(store, puts);
        } else if self.report.journal_bytes > Config::SHORT_JOURNAL_BYTES && !self.report.is_failing
        {
            self.begin_checkpoint(puts, false);
        }
        self.report.settled < self.submitted
            || self.report.steps < self.steps
            || self.pieces.is_some()
            || self.spool.is_running()
    }

    fn close(self: Box<Self>, wait: Duration) -> Result<(), Error> {
        let began = Instant::now();
        self.channel.close();
        let end = self.channel.wait_for_end(wait);
        self.spool.stop();
        if !self
            .spool
            .wait_for_end(wait.saturating_sub(began.elapsed()))
        {
            warn!("a receiver has not answered in time, and gets the same points once more");
        }
        end.map_err(Error::system("write the journal"))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.channel.close();
        self.spool.stop();
    }
}
