//! What the journal thread does: it writes frames, syncs them, and writes checkpoints.
//!
//! ```text
//! asked for:  frame 7   frame 8   begin 9   piece   frame 9   piece   end
//! on disk:    journal-1 … 7 8     journal-9         9 ─────────────────────────▶
//!                                 checkpoint.tmp ── piece ──── piece ─ end ─▶ checkpoint-9
//! ```
//!
//! A write or a sync that fails ends the file that it was for. What the system has kept of it is not
//! known, and a later sync that succeeds says nothing about it. From then on puts are refused, until a
//! checkpoint of all that is in memory is on the disk.

use std::io::{self, ErrorKind};
use std::mem;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::channel::{Channel, Checkpoint, Frame, Message, Step};
use super::checkpoint::Piece;
use super::file_system::{DiskFile, FileSystem};
use super::files::{self, PARTIAL};
use super::frame::{self, FILE_HEAD_BYTES, FileKind};
use super::obsolete::Obsolete;
use super::placement::Placement;
use super::recovery::{Extent, Recovered};
use super::spool::{End, Spool};
use crate::config::{Config, SyncPolicy};
use crate::counters::Tally;

/// Writes the files of one folder.
pub struct Writer {
    pub folder: Box<dyn FileSystem>,
    pub channel: Channel,
    policy: SyncPolicy,
    /// What frames are appended to, or why the disk fails: then puts are refused.
    journal: io::Result<JournalFile>,
    /// How much longer than what is written its file is made; 0 if it is not.
    pub ahead_bytes: u64,
    /// The checkpoint that is being written.
    partial: Option<Partial>,
    /// What is asked for, and not written yet.
    frames: Frames,
    /// Bytes of the journal at which a checkpoint is due, unless the last one was larger.
    limit_bytes: u64,
    /// The last checkpoint and the journal since.
    extent: Extent,
    /// What the last checkpoint makes unnecessary.
    obsolete: Obsolete,
    /// What it shares with those who read the files.
    pub spool: Spool,
    /// Steps of checkpoints that are done, and not told yet: the next one is to come later.
    steps: u64,
    /// When they are told.
    pause_until: Option<Instant>,
    /// When a checkpoint may be begun again.
    retry_at: Option<Instant>,
    /// That checkpoints fail was logged.
    has_warned: bool,
    /// What it counts.
    pub tally: Tally,
}

/// The journal file that frames are appended to.
struct JournalFile {
    file: Box<dyn DiskFile>,
    /// Its number, that of its first frame.
    number: u64,
    /// How many bytes are written to it, …
    bytes: u64,
    /// … and how many it has.
    length: u64,
    /// Number of the newest frame that is written.
    written: u64,
    /// Number of the newest frame that is synced.
    synced: u64,
    /// When the oldest frame was written that is not synced.
    unsynced_since: Option<Instant>,
}

/// A checkpoint that is not complete.
struct Partial {
    file: Box<dyn DiskFile>,
    /// Number of the frame that the replay begins with.
    number: u64,
    pieces: u64,
    bytes: u64,
    /// Bytes of the journal that will not be needed any more.
    journal_bytes: u64,
    /// If the disk fails: what to append to when the checkpoint is complete.
    journal: Option<JournalFile>,
}

impl Writer {
    /// A writer to a new journal file, which goes on from what a start has found. It tells readers how far it has
    /// come, and keeps the files that they need: each these frames and those after them.
    pub fn new(
        mut folder: Box<dyn FileSystem>,
        config: &Config,
        needed: Vec<u64>,
        found: &mut Recovered,
    ) -> io::Result<Writer> {
        let journal = match found.failure.take() {
            Some(error) => Err(error),
            None => match JournalFile::create(&mut *folder, found.next) {
                Err(error) if !files::is_full(&error) => return Err(error),
                result => result,
            },
        };
        if let Err(error) = &journal {
            error!("puts are refused until the disk of --data has room: {error}");
        }
        let channel = Channel::default();
        let mut writer = Writer {
            folder,
            spool: Spool::new(needed, found.checkpoint, channel.clone()),
            channel,
            policy: config.sync,
            journal,
            ahead_bytes: match config.sync {
                SyncPolicy::Always => Config::JOURNAL_AHEAD_BYTES,
                SyncPolicy::Never | SyncPolicy::Every(_) => 0,
            },
            partial: None,
            frames: Frames::default(),
            limit_bytes: config.journal_limit_bytes as u64,
            extent: found.extent,
            obsolete: Obsolete::default(),
            steps: 0,
            pause_until: None,
            retry_at: None,
            has_warned: false,
            tally: Tally::default(),
        };
        writer.tally.counts.journal_failures += u64::from(writer.journal.is_err());
        writer.channel.report(|report| {
            report.settled = found.next - 1;
            false
        });
        let now = Instant::now();
        if writer.spool.needed().is_some() {
            writer.spool.add_written(found.next - 1, 0, writer.end());
            writer
                .obsolete
                .find(&mut *writer.folder, &writer.spool, now);
        }
        writer.report(now);
        Ok(writer)
    }

    fn publish(&mut self) {
        self.tally.counts.journal_bytes = self.extent.journal_bytes;
        self.tally.counts.journal_checkpoint_bytes = self.extent.checkpoint_bytes;
        self.tally.publish();
    }

    /// Does what the loop asks for, until it closes the channel. Then all is synced, if it can be.
    pub fn run(mut self) {
        let (mut messages, mut idle_since, mut looks_first) = (Vec::new(), Instant::now(), false);
        let mut placement = Placement::default();
        let channel = self.channel.clone();
        while channel.receive(
            &mut messages,
            self.due(),
            idle_since,
            looks_first,
            &mut self.frames.buffers,
        ) {
            let now = Instant::now();
            looks_first = self.expects_more(&messages, now - idle_since);
            placement.follow(self.best_core(&messages, now));
            self.work(&mut messages, now);
            idle_since = Instant::now();
        }
        channel.end(self.close(idle_since));
    }

    /// Whether more messages are likely to come soon after these, for which it has waited so long.
    fn expects_more(&self, messages: &[Message], waited: Duration) -> bool {
        match self.policy {
            // Whoever waits for a sync puts again after it.
            SyncPolicy::Always => waited < Config::JOURNAL_SPIN,
            // Clients that do not pipeline keep two cores busy: to look takes time from one of them.
            SyncPolicy::Never | SyncPolicy::Every(_) => messages.iter().any(Message::is_pipelined),
        }
    }

    /// The core that all these messages come from, if they are small frames and nothing else is to be done.
    fn best_core(&self, messages: &[Message], now: Instant) -> Option<usize> {
        let has_more = self.policy == SyncPolicy::Always
            || self.partial.is_some()
            || self.due().is_some_and(|due| due <= now);
        let core = messages.last()?.core_if_small();
        core.filter(|_| !has_more && messages.iter().all(|other| other.core_if_small() == core))
    }

    /// Number of the newest frame that is synced, unless the disk fails.
    #[cfg(test)]
    pub fn synced(&self) -> Option<u64> {
        self.journal.as_ref().ok().map(|journal| journal.synced)
    }

    /// When there is something to do, message or not.
    pub fn due(&self) -> Option<Instant> {
        let due = [
            self.sync_at(),
            self.retry_at,
            self.pause_until,
            self.obsolete.remove_at,
        ];
        due.into_iter().flatten().min()
    }

    /// Where the next frame goes.
    pub fn end(&self) -> End {
        self.journal.as_ref().map_or(End::default(), |journal| End {
            file: journal.number,
            bytes: journal.bytes,
        })
    }

    /// When the journal is to be synced.
    fn sync_at(&self) -> Option<Instant> {
        let SyncPolicy::Every(interval) = self.policy else {
            return None;
        };
        let journal = self.journal.as_ref().ok()?;
        journal.unsynced_since?.checked_add(interval)
    }

    /// Until when the loop is to wait with the next piece of the checkpoint, if it is.
    fn pause_end(&self, now: Instant) -> Option<Instant> {
        let partial = self.partial.as_ref()?;
        let is_short = self.extent.journal_bytes - partial.journal_bytes < self.limit_bytes;
        // A server that stops waits for the checkpoint.
        let may_pause = is_short && self.journal.is_ok() && !self.spool.is_stopped();
        may_pause.then(|| now.checked_add(Config::CHECKPOINT_PAUSE))?
    }

    /// Does what is asked for, then what is due.
    pub fn work(&mut self, messages: &mut Vec<Message>, now: Instant) {
        for message in messages.drain(..) {
            match message {
                Message::Frame(frame) => {
                    let journal = self.journal.as_ref();
                    let synced = journal.map_or(0, |journal| journal.synced + 1);
                    self.frames.add(frame, synced);
                    if self.frames.bytes.len() >= WRITTEN_AT_ONCE_BYTES {
                        self.write_frames(now);
                    }
                }
                Message::Checkpoint(step) => {
                    self.write_frames(now);
                    let done = match step {
                        Step::Begin { number, is_failing } => {
                            self.begin_checkpoint(number, is_failing, now)
                        }
                        Step::Write(piece) => self.write_piece(piece, now),
                    };
                    if let Err(error) = done {
                        self.abandon_checkpoint(&error, now);
                    }
                    self.steps += 1;
                    self.pause_until = self.pause_end(now);
                }
            }
        }
        self.write_frames(now);
        self.retry_at.take_if(|retry_at| *retry_at <= now);
        if self.sync_at().is_some_and(|sync_at| sync_at <= now) {
            self.sync_journal(now);
        }
        self.obsolete.work(&mut *self.folder, &self.spool, now);
        self.report(now);
    }

    /// Writes the frames, syncs them if each is to be synced, and tells what became of them.
    fn write_frames(&mut self, now: Instant) {
        if self.frames.bytes.is_empty() {
            return;
        }
        let mut bytes = mem::take(&mut self.frames.bytes);
        let puts = mem::take(&mut self.frames.puts);
        let (first, last) = (self.frames.first, self.frames.last);
        let is_stored = self.append(&bytes, last, now)
            && (self.policy != SyncPolicy::Always || self.sync_journal(now));
        self.publish();
        if is_stored {
            self.spool.add_written(last, puts, self.end());
        }
        self.channel.report(|report| {
            report.settled = last;
            report.settled_bytes += bytes.len() as u64;
            report.is_failing = self.journal.is_err();
            if !is_stored {
                let before = report.not_stored.take();
                let adjoining = before.filter(|before| before.end() + 1 == first);
                let first = adjoining.map_or(first, |before| *before.start());
                report.not_stored = Some(first..=last);
            }
            true
        });
        bytes.clear();
        bytes.shrink_to(BUFFER_BYTES);
        self.frames.bytes = bytes;
    }

    /// Appends frames, the last of which has this number; false if the disk fails.
    fn append(&mut self, bytes: &[u8], last: u64, now: Instant) -> bool {
        let Ok(journal) = &mut self.journal else {
            return false;
        };
        let added = bytes.len() as u64;
        let end = journal.bytes + added;
        // More than that takes longer to write than the length does.
        if journal.length < end && added <= self.ahead_bytes {
            journal.set_length(end + self.ahead_bytes);
        }
        if let Err(error) = journal.file.write_all(bytes) {
            self.fail(error, now);
            return false;
        }
        self.extent.journal_bytes += added;
        self.tally.counts.journal_written_bytes += added;
        journal.bytes = end;
        journal.length = journal.length.max(end);
        journal.written = last;
        journal.unsynced_since.get_or_insert(now);
        true
    }

    /// Syncs what is written to the journal; false if the disk fails.
    fn sync_journal(&mut self, now: Instant) -> bool {
        let Ok(journal) = &mut self.journal else {
            return false;
        };
        if journal.unsynced_since.take().is_none() {
            return true;
        }
        let began = Instant::now();
        if let Err(error) = journal.file.sync() {
            self.fail(error, now);
            return false;
        }
        self.tally.counts.add_sync(began.elapsed());
        journal.synced = journal.written;
        true
    }

    /// Refuses puts from now on. A checkpoint that is being written could hold some that are refused.
    fn fail(&mut self, error: io::Error, now: Instant) {
        if self.journal.is_ok() {
            error!(
                "puts are refused until the disk of --data works again: cannot write the journal: {error}"
            );
        }
        self.tally.counts.journal_failures += 1;
        self.journal = Err(error);
        self.remove_partial(now);
    }

    fn begin_checkpoint(&mut self, number: u64, is_failing: bool, now: Instant) -> io::Result<()> {
        if is_failing != self.journal.is_err() {
            return Err(io::Error::other("the disk has just failed"));
        }
        let current = self.journal.as_ref();
        let mut journal = None;
        // A file that is still empty has this number already.
        if !current.is_ok_and(|current| current.number == number) {
            let created = JournalFile::create(&mut *self.folder, number);
            let created = created.map_err(|error| self.remove_created(number, error, now))?;
            if self.journal.is_err() {
                journal = Some(created);
            } else if self.end_journal(now) {
                self.journal = Ok(created);
            } else {
                // What is in the old file must not be missing if the new one has frames.
                return Err(io::Error::other("the journal is not synced"));
            }
        }
        let file = self
            .folder
            .create_with_head(PARTIAL, FileKind::Checkpoint, number)?;
        self.partial = Some(Partial {
            file,
            number,
            pieces: 0,
            bytes: 0,
            journal_bytes: self.extent.journal_bytes,
            journal,
        });
        Ok(())
    }

    /// Removes what a failed creation may have left of a file of the journal: the file before it goes on, and
    /// a reader would look for its next frames here. If that fails too, the disk fails.
    fn remove_created(&mut self, number: u64, error: io::Error, now: Instant) -> io::Error {
        match self.folder.remove(&FileKind::Journal.name(number)) {
            Err(remaining) if remaining.kind() != ErrorKind::NotFound => self.fail(remaining, now),
            _ => {}
        }
        error
    }

    /// Writes a piece, unless the checkpoint was abandoned. With the last one, the checkpoint is complete.
    fn write_piece(&mut self, piece: Piece, now: Instant) -> io::Result<()> {
        let Some(partial) = &mut self.partial else {
            return Ok(());
        };
        let journal = self.journal.as_ref();
        let newest = journal.map_or(partial.number - 1, |journal| journal.written);
        let is_last = piece.is_last;
        let bytes = piece.finish(partial.pieces, newest);
        partial.pieces += 1;
        partial.file.write_all(&bytes)?;
        partial.bytes += bytes.len() as u64;
        // Little by little, since frames wait for it.
        partial.file.sync()?;
        match is_last {
            true => self.end_checkpoint(now),
            false => Ok(()),
        }
    }

    /// Gives a complete checkpoint its name, and removes what it makes unnecessary.
    fn end_checkpoint(&mut self, now: Instant) -> io::Result<()> {
        // Its pieces may hold puts of all frames that are written by now.
        self.sync_journal(now);
        let Some(partial) = self.partial.take() else {
            return Ok(());
        };
        // So that the folder has its descriptor next.
        drop(partial.file);
        let name = FileKind::Checkpoint.name(partial.number);
        self.folder.rename(PARTIAL, &name)?;
        self.folder.sync_folder()?;
        self.extent.checkpoint_bytes = partial.bytes;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        self.tally.counts.journal_checkpoint_timestamp_seconds =
            since_1970.map_or(0, |time| time.as_secs());
        self.extent.journal_bytes -= partial.journal_bytes;
        if let Some(journal) = partial.journal {
            self.journal = Ok(journal);
            warn!("the disk works again: puts are stored");
        } else if self.has_warned {
            warn!("the disk works again: there is a new checkpoint");
        }
        self.has_warned = false;
        self.extent.journal_files = 0;
        self.spool.set_checkpoint(partial.number);
        self.obsolete.is_synced = true;
        self.obsolete.find(&mut *self.folder, &self.spool, now);
        Ok(())
    }

    /// Gives up a checkpoint. Another one is due a little later.
    fn abandon_checkpoint(&mut self, error: &io::Error, now: Instant) {
        self.tally.counts.journal_failures += 1;
        if !mem::replace(&mut self.has_warned, true) {
            warn!("cannot write a checkpoint to --data, will try again each second: {error}");
        }
        self.remove_partial(now);
    }

    /// Removes what there is of a checkpoint, so that its room is free. The next attempt is made a
    /// little later.
    fn remove_partial(&mut self, now: Instant) {
        self.retry_at = now.checked_add(Config::CHECKPOINT_RETRY);
        let has_partial = self.partial.take().is_some();
        if has_partial && let Err(error) = self.folder.remove(PARTIAL) {
            debug!("cannot remove {PARTIAL}: {error}");
        }
    }

    /// Tells the loop how far the thread has come.
    fn report(&mut self, now: Instant) {
        self.publish();
        self.pause_until.take_if(|until| *until <= now);
        let steps = match self.pause_until {
            Some(_) => 0,
            None => mem::take(&mut self.steps),
        };
        let limit_bytes = self.limit_bytes.max(self.extent.checkpoint_bytes);
        let is_failing = self.journal.is_err();
        let is_due = is_failing
            || self.extent.journal_bytes + self.obsolete.bytes > limit_bytes
            || self.extent.journal_files > Config::JOURNAL_FILES_MAX;
        let checkpoint = match self.partial {
            Some(_) => Checkpoint::Running,
            None if is_due && self.retry_at.is_none() => Checkpoint::Due,
            None => Checkpoint::Idle,
        };
        self.channel.report(|report| {
            let is_news =
                steps > 0 || report.is_failing != is_failing || report.checkpoint != checkpoint;
            report.steps += steps;
            report.is_failing = is_failing;
            report.checkpoint = checkpoint;
            report.journal_bytes = self.extent.journal_bytes;
            is_news
        });
    }

    /// Syncs the journal for the last time.
    pub fn close(mut self, now: Instant) -> io::Result<()> {
        self.end_journal(now);
        self.publish();
        self.journal.map(drop)
    }

    /// Syncs a file of the journal, and ends it with an empty frame that says so: what is missing
    /// before that is damage, and no loss of power. False if the disk fails.
    fn end_journal(&mut self, now: Instant) -> bool {
        if !self.sync_journal(now) {
            return false;
        }
        let Ok(journal) = &self.journal else {
            return false;
        };
        let written = journal.written;
        // An empty file needs no end.
        let has_ended = written < journal.number
            || self.append(&frame::end(written + 1), written, now) && self.sync_journal(now);
        if let Ok(journal) = &mut self.journal
            && journal.length > journal.bytes
        {
            journal.set_length(journal.bytes);
        }
        has_ended
    }
}

impl JournalFile {
    /// Creates a journal file, and returns when it is sure to be found after the power fails.
    fn create(folder: &mut dyn FileSystem, number: u64) -> io::Result<JournalFile> {
        // Under its own name, it has its head.
        let mut file = folder.create_with_head(PARTIAL, FileKind::Journal, number)?;
        file.sync()?;
        folder.rename(PARTIAL, &FileKind::Journal.name(number))?;
        folder.sync_folder()?;
        Ok(JournalFile {
            file,
            number,
            bytes: FILE_HEAD_BYTES as u64,
            length: FILE_HEAD_BYTES as u64,
            written: number - 1,
            synced: number - 1,
            unsynced_since: None,
        })
    }

    /// Sets the length of the file. A start leaves out the zeros that this adds. If it fails, the file only
    /// grows as frames are written.
    fn set_length(&mut self, bytes: u64) {
        self.length = bytes;
        if let Err(error) = self.file.set_length(bytes) {
            let name = FileKind::Journal.name(self.number);
            debug!("{name} cannot be made {bytes} bytes long: {error}");
        }
    }
}

/// A buffer that has room for more is freed.
const BUFFER_BYTES: usize = 64 << 10;

/// Once so many bytes of frames are joined, they are written before more are joined. So of what waits for a slow
/// disk, only one or two MiB are in memory twice.
const WRITTEN_AT_ONCE_BYTES: usize = 1 << 20;

/// So many buffers of frames are kept: as many frames as are likely to come between two writes.
const BUFFERS: usize = 4;

/// Frames that are written at once.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Number of the first one, …
    first: u64,
    /// … and of the last one.
    last: u64,
    /// How many puts they hold.
    puts: u64,
    /// Buffers that they were in.
    buffers: Vec<Vec<u8>>,
}

impl Frames {
    fn add(&mut self, mut frame: Frame, synced: u64) {
        frame::finish(&mut frame.bytes, frame.number, synced);
        if self.bytes.is_empty() {
            self.first = frame.number;
        }
        self.last = frame.number;
        self.puts += u64::from(frame.puts);
        self.bytes.extend_from_slice(&frame.bytes);
        if self.buffers.len() < BUFFERS && frame.bytes.capacity() <= BUFFER_BYTES {
            self.buffers.push(frame.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{recovery, simulated::Simulated};

    fn frame(core: usize, puts: usize, bytes: usize) -> Message {
        Message::Frame(Frame {
            number: 1,
            puts: puts as u32,
            core: Some(core),
            bytes: vec![0; bytes],
        })
    }

    #[test]
    fn many_frames_are_written_one_mebibyte_after_the_other() -> io::Result<()> {
        let mut disk = Simulated::new();
        let mut found = recovery::recover(&mut disk, false)?;
        let mut writer = Writer::new(disk.share(), &Config::default(), vec![], &mut found)?;
        let half = WRITTEN_AT_ONCE_BYTES / 2;
        for (bytes, frames, writes) in [
            (half, 1, 1),
            (half - 1, 2, 1),
            (half, 4, 2),
            (half, 5, 3),
            (2 * half, 3, 3),
        ] {
            let (before, frame) = (disk.calls(), |_| frame(0, 1, bytes));
            writer.work(&mut (0..frames).map(frame).collect(), Instant::now());
            assert_eq!(
                disk.calls() - before,
                writes,
                "{frames} frames of {bytes} bytes"
            );
        }
        Ok(())
    }

    #[test]
    fn only_small_frames_are_best_written_where_they_come_from() -> io::Result<()> {
        let every = SyncPolicy::Every(Duration::from_secs(1));
        let (pipelined, long) = (frame(3, Config::TURN_REPLIES + 1, 600), frame(3, 1, 4_097));
        let small = || frame(3, Config::TURN_REPLIES, 4_096);
        let (bytes, is_last) = (Vec::new(), false);
        let piece = Message::Checkpoint(Step::Write(Piece { bytes, is_last }));
        for (policy, unsynced_millis, messages, expected) in [
            (every, 0, vec![small()], Some(3)),
            (every, 0, vec![small(), small()], Some(3)),
            (SyncPolicy::Never, 2_000, vec![small()], Some(3)),
            (SyncPolicy::Always, 0, vec![small()], None),
            (every, 999, vec![small()], Some(3)),
            (every, 1_000, vec![small()], None),
            (every, 0, vec![], None),
            (every, 0, vec![small(), frame(2, 1, 30)], None),
            (every, 0, vec![pipelined, small()], None),
            (every, 0, vec![small(), long], None),
            (every, 0, vec![piece, small()], None),
        ] {
            let mut disk = Simulated::new();
            let mut found = recovery::recover(&mut disk, false)?;
            let config = Config {
                sync: policy,
                journal_limit_bytes: 1_000,
                ..Config::default()
            };
            let mut writer = Writer::new(disk.share(), &config, vec![], &mut found)?;
            let began = Instant::now();
            let journal = writer.journal.as_mut().expect("a disk without faults");
            journal.unsynced_since = Some(began);
            let now = began + Duration::from_millis(unsynced_millis);
            let core = writer.best_core(&messages, now);
            assert_eq!(core, expected, "{policy:?}, {} messages", messages.len());
            writer.begin_checkpoint(1, false, now)?;
            assert_eq!(
                writer.best_core(&messages, now),
                None,
                "during a checkpoint"
            );
        }
        Ok(())
    }
}
