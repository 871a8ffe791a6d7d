//! The start: from files back to a store.

use std::io::{self, ErrorKind};
use std::mem;
use std::time::Instant;

use super::checkpoint;
use super::file_system::FileSystem;
use super::files::{self, PARTIAL};
use super::frame::{self, FILE_HEAD_BYTES, FileKind, FrameError, FrameReader};
use super::replay::Replay;
use crate::error::explained;
use crate::memory::Room;
use crate::server::{Event, Progress};
use crate::store::{ImageReader, Store};

/// Room for a frame of the journal that is full, and what is read with it.
pub const LONG_FRAME_BYTES: u64 = 5 << 18;

/// Copied at once.
const COPY_BYTES: usize = 64 << 10;

/// What a start has found.
#[derive(Default)]
pub struct Recovered {
    pub store: Store,
    /// Number of the first frame to write.
    pub next: u64,
    pub extent: Extent,
    /// Number of the checkpoint; 0 if there is none.
    pub checkpoint: u64,
    /// Why puts cannot be stored: the disk is full.
    pub failure: Option<io::Error>,
}

/// How much there is to be read by a start.
#[derive(Default, Clone, Copy)]
pub struct Extent {
    /// Bytes of the checkpoint.
    pub checkpoint_bytes: u64,
    /// Bytes of the journal after it.
    pub journal_bytes: u64,
    /// How many files this was in at the last start, if there was no checkpoint since.
    pub journal_files: usize,
}

/// Reads the newest checkpoint of a folder and the journal after it. Files of the journal that were not
/// ended are written once more, and ended. If it is to salvage what can be read of damaged files,
/// copies of these are kept, and a checkpoint takes the place of all files but those that readers need, from
/// frame `needed` on. `on_event` is told now and then how far it has come.
///
/// When `room` runs out, the oldest points are evicted if they are to be. These evictions are not recorded: a
/// checkpoint without the points is due after the start. If the process ends before it, the next start evicts
/// again.
///
/// Where the power failed, frames that were not synced may be missing at the end: they and those after
/// them were not promised to survive, and are left out.
///
/// # Errors
///
/// With the name of the file, if one cannot be read or is damaged. Then nothing is changed.
pub fn recover_telling(
    folder: &mut dyn FileSystem,
    salvages: bool,
    needed: Option<u64>,
    room: Room,
    on_event: &mut dyn FnMut(Event),
) -> io::Result<Recovered> {
    let mut loading = Loading {
        telling: Some(Telling {
            on_event,
            began_at: Instant::now(),
            told_at_seconds: 0,
        }),
        ..Loading::default()
    };
    loading.replay.room = room;
    let newest_file = loading.read_all(folder)?;
    if loading.replay.store.evicted_points() > 0 {
        warn!("there was no room for all points: the oldest are evicted, see --memory-limit");
        // A checkpoint is due, so that they do not come back.
        loading.found.extent.journal_files = usize::MAX;
    }
    if salvages && loading.damage.is_some() {
        // This checkpoint takes the place of all files.
        loading.salvage(folder, newest_file + 1, needed)?;
    }
    let unended = mem::take(&mut loading.unended);
    let mut found = mem::take(&mut loading.found);
    found.store = loading.finish().map_err(|error| {
        let hint = "--salvage goes on with what can be read, and keeps a copy of the file";
        io::Error::new(error.kind(), format!("{error}; {hint}"))
    })?;
    // A loss of power may have left it as another name of a file that is needed.
    remove_partial(folder)?;
    for file in unended {
        match file.end(folder, found.next) {
            // Puts are refused until there is a checkpoint, and that takes the place of all files.
            Err(error) if files::is_full(&error) => found.failure = Some(error),
            result => result?,
        }
    }
    remove_partial(folder)?;
    Ok(found)
}

/// The same, and nobody is told.
#[cfg(test)]
pub fn recover(folder: &mut dyn FileSystem, salvages: bool) -> io::Result<Recovered> {
    recover_telling(folder, salvages, None, Room::default(), &mut |_| {})
}

/// Removes a file that was not complete, if there is one.
fn remove_partial(folder: &mut dyn FileSystem) -> io::Result<()> {
    match folder.list()?.iter().any(|name| name == PARTIAL) {
        true => folder.remove(PARTIAL).map_err(explained(PARTIAL)),
        false => Ok(()),
    }
}

/// A file of the journal that is empty or was not ended, since the process was.
struct Unended {
    number: u64,
    /// Bytes up to the last frame that is whole; 0 if there is none.
    bytes: u64,
    /// Number of the frame after it.
    next: u64,
    /// Whole frames follow, which are left out.
    has_rest: bool,
}

impl Unended {
    /// Writes the file once more, up to its last whole frame, and ends it. What was written of it before
    /// may be in memory only, even if it was synced: the sync may have failed. An empty file is removed, if
    /// it is not the one that frame `next` goes to.
    fn end(self, folder: &mut dyn FileSystem, next: u64) -> io::Result<()> {
        let name = FileKind::Journal.name(self.number);
        if self.has_rest {
            keep_copy(folder, &name)?;
        }
        if self.bytes > 0 {
            let end = frame::end(self.next);
            copy(folder, &name, PARTIAL, self.bytes, &end)?;
            folder.rename(PARTIAL, &name)?;
        } else if !self.has_rest && self.number != next {
            // Who reads the journal would look for frames here that are in the file before.
            folder.remove(&name)?;
        }
        Ok(())
    }
}

/// Copies a file to one that is kept and not read any more, and returns its name.
fn keep_copy(folder: &mut dyn FileSystem, name: &str) -> io::Result<String> {
    let kept = format!("damaged-{name}");
    copy(folder, name, &kept, u64::MAX, &[])?;
    Ok(kept)
}

/// Copies so many bytes of a file, or all, and more after them, to another file, and syncs that.
fn copy(
    folder: &mut dyn FileSystem,
    from: &str,
    to: &str,
    bytes: u64,
    more: &[u8],
) -> io::Result<()> {
    let (mut from, mut to) = (folder.open(from)?, folder.create(to)?);
    let mut room = vec![0; COPY_BYTES];
    let mut offset = 0;
    while offset < bytes {
        let most = (bytes - offset).min(COPY_BYTES as u64) as usize;
        let count = from.read_all(offset, &mut room[..most])?;
        if count == 0 {
            break;
        }
        to.write_all(&room[..count])?;
        offset += count as u64;
    }
    to.write_all(more)?;
    to.sync()
}

/// What is read so far.
#[derive(Default)]
pub struct Loading<'start> {
    found: Recovered,
    replay: Replay,
    /// Number of the newest frame whose puts may be in the checkpoint, once that is read to its end.
    newest: Option<u64>,
    /// How many points and puts were read.
    points: u64,
    /// Bytes of all files that are to be read.
    total_bytes: u64,
    /// The file, and the place in it, from which on frames were left out.
    left_out: Option<(String, u64)>,
    /// The file that was read last, and where that ended.
    end: (String, u64),
    /// The first damage: file, place and what is wrong, and how many points and puts were read before it.
    damage: Option<(String, u64)>,
    /// The files that are damaged.
    damaged: Vec<String>,
    /// Files of the journal that are empty or were not ended.
    unended: Vec<Unended>,
    /// Who is told how far it has come.
    telling: Option<Telling<'start>>,
}

/// Who is told how far a start has come.
struct Telling<'start> {
    on_event: &'start mut dyn FnMut(Event),
    began_at: Instant,
    /// After how many seconds it was last told.
    told_at_seconds: u64,
}

impl Loading<'_> {
    /// Reads the newest checkpoint, if there is one, and the journal after it. Returns the highest number of a
    /// file.
    fn read_all(&mut self, folder: &mut dyn FileSystem) -> io::Result<u64> {
        let checkpoint = folder.numbers(FileKind::Checkpoint)?.pop().unwrap_or(0);
        let mut journals = folder.numbers(FileKind::Journal)?;
        journals.retain(|&number| number >= checkpoint);
        for name in journals
            .iter()
            .map(|&number| FileKind::Journal.name(number))
        {
            self.total_bytes += folder.size(&name).map_err(explained(&name))?;
        }
        // The longest frame is read into memory that nobody counts.
        let frame_bytes = self.total_bytes.min(LONG_FRAME_BYTES);
        self.replay.room.keep_free(frame_bytes as usize);
        if checkpoint > 0 {
            let name = FileKind::Checkpoint.name(checkpoint);
            self.total_bytes += folder.size(&name).map_err(explained(&name))?;
            self.read_checkpoint(folder, &name, checkpoint)?;
        }
        (self.found.checkpoint, self.found.next) = (checkpoint, checkpoint.max(1));
        self.found.extent.journal_files = journals.len();
        for &number in &journals {
            self.read_journal(folder, number)?;
        }
        self.check_newest();
        Ok(journals.last().copied().unwrap_or(checkpoint))
    }

    /// Reads a checkpoint; where it is damaged, the series before that.
    pub fn read_checkpoint(
        &mut self,
        folder: &mut dyn FileSystem,
        name: &str,
        number: u64,
    ) -> io::Result<()> {
        let mut reader = FrameReader::open(folder, name, FileKind::Checkpoint, number)?;
        let mut image = ImageReader::default();
        let damage = loop {
            let offset = reader.offset();
            let what = match reader.next() {
                Ok(None) if self.newest.is_some() => break None,
                Ok(None) => "it is incomplete",
                Ok(Some(_)) if self.newest.is_some() => "it goes on after its end",
                Ok(Some((_, end)))
                    if image.is_complete() && checkpoint::newest_frame(end).is_some() =>
                {
                    self.newest = checkpoint::newest_frame(end);
                    continue;
                }
                Ok(Some((_, piece))) => match image.take_in(piece) {
                    Ok(()) => {
                        self.points = image.points();
                        let room = &mut self.replay.room;
                        room.make_at_start(&mut image.store, &mut |_| ());
                        self.tell_progress(offset);
                        continue;
                    }
                    Err(corrupt) => corrupt,
                },
                Err(error) => break Some(damage_of(name, error)?),
            };
            break Some(format!("at byte {offset}: {what}"));
        };
        self.end = (name.into(), reader.offset());
        self.found.extent.checkpoint_bytes = reader.offset();
        let store = image.into_store();
        // Without the series whose end is damaged.
        self.points = store.point_count() as u64 + store.evicted_points();
        self.replay.store = store;
        if let Some(what) = damage {
            self.damaged(name, what);
        }
        Ok(())
    }

    /// Replays a file of the journal, without what is damaged.
    fn read_journal(&mut self, folder: &mut dyn FileSystem, number: u64) -> io::Result<()> {
        let name = FileKind::Journal.name(number);
        let mut reader = FrameReader::open(folder, &name, FileKind::Journal, number)?;
        let (mut has_ended, mut has_rest, mut bytes) = (false, false, 0);
        self.replay.begin_file();
        let end = loop {
            let offset = reader.offset();
            match reader.next() {
                Ok(None) => break offset,
                Ok(Some((_, []))) => has_ended = true,
                Ok(Some((frame, [_, ..]))) => {
                    self.check_next(frame, &name, offset);
                    bytes = reader.offset();
                    let (payload, file) = reader.parts();
                    let replayed = self.replay.frame(payload, bytes, file);
                    let (puts, wrong) = replayed.map_err(explained(&name))?;
                    if let Some(place) = wrong {
                        let what = format!(
                            "at byte {offset}: no record of a known series at byte {place} of a frame \
                             with {puts} other puts"
                        );
                        self.damaged(&name, what);
                    }
                    self.points += puts as u64;
                    self.tell_progress(bytes);
                }
                Err(FrameError::Blank { .. }) if has_ended => break offset,
                // Most likely the process was killed, or the power failed, and a part of the end was not written.
                Err(error) if is_unsynced(&error) => {
                    say_left_out(&name, &error);
                    has_rest = matches!(error, FrameError::Damaged { .. });
                    self.left_out = Some((name.clone(), offset));
                    break offset;
                }
                Err(error) => {
                    let goes_on = matches!(error, FrameError::Damaged { .. });
                    let what = damage_of(&name, error)?;
                    self.damaged(&name, what);
                    if !goes_on {
                        break offset;
                    }
                }
            }
        };
        if !has_ended || bytes == 0 {
            self.unended.push(Unended {
                number,
                bytes,
                next: self.found.next,
                has_rest,
            });
        }
        self.found.extent.journal_bytes += end;
        self.end = (name, end);
        Ok(())
    }

    /// Notes the number of the next frame, and that those before it are missing if they are. It begins at this
    /// offset of the file.
    fn check_next(&mut self, frame: u64, name: &str, offset: u64) {
        if frame != self.found.next {
            let missing = format!("frames before number {frame} are missing");
            let left_out = self.left_out.take();
            let (file, offset) = left_out.unwrap_or((name.to_owned(), offset));
            self.damaged(&file, format!("at byte {offset}: {missing}"));
        }
        self.found.next = frame + 1;
    }

    /// Checks that all frames were read whose puts may be in the checkpoint.
    fn check_newest(&mut self) {
        if let Some(newest) = self.newest.filter(|&newest| newest >= self.found.next) {
            let missing = format!("frames {} to {newest} are missing", self.found.next);
            let (file, offset) = mem::take(&mut self.end);
            self.damaged(&file, format!("at byte {offset}: {missing}"));
        }
    }

    fn damaged(&mut self, file: &str, what: String) {
        if self.damaged.last().is_none_or(|last| last != file) {
            self.damaged.push(file.into());
        }
        let points = self.points;
        self.damage
            .get_or_insert_with(|| (format!("{file}: {what}"), points));
    }

    /// Writes what was read as a checkpoint of this number or a higher one, and gives other names to the files that
    /// are damaged.
    fn salvage(
        &mut self,
        folder: &mut dyn FileSystem,
        least_number: u64,
        needed: Option<u64>,
    ) -> io::Result<()> {
        for file in mem::take(&mut self.damaged) {
            let kept = keep_copy(folder, &file)?;
            warn!("{file} is kept as {kept}");
        }
        let number = self.found.next.max(least_number);
        let name = FileKind::Checkpoint.name(number);
        checkpoint::write(folder, &name, number, &self.replay.store)?;
        (self.found.checkpoint, self.found.next) = (number, number);
        self.found.extent.journal_bytes = 0;
        self.found.extent.journal_files = 0;
        self.unended.clear();
        if let Some((first, _)) = self.damage.take() {
            let points = self.points;
            warn!("{first}; {points} points are read, and what cannot be read is left out");
        }
        for name in folder.before(number, needed)? {
            folder.remove(&name)?;
        }
        Ok(())
    }

    /// The store, unless a file is damaged.
    pub fn finish(self) -> io::Result<Store> {
        let Some((first, before)) = self.damage else {
            return Ok(self.replay.store);
        };
        let after = self.points - before;
        let message =
            format!("{first}; {before} points before it can be read, and {after} after it");
        Err(io::Error::new(ErrorKind::InvalidData, message))
    }

    /// Logs and tells about once a second how far the start has come.
    fn tell_progress(&mut self, read_bytes: u64) {
        let Some(telling) = &mut self.telling else {
            return;
        };
        let seconds = telling.began_at.elapsed().as_secs();
        if seconds > telling.told_at_seconds {
            telling.told_at_seconds = seconds;
            let extent = &self.found.extent;
            let read_bytes = extent.checkpoint_bytes + extent.journal_bytes + read_bytes;
            let progress = Progress {
                points: self.points,
                percent: 100 * read_bytes / self.total_bytes.max(1),
                points_per_second: self.points / seconds,
            };
            info!("{progress}");
            (telling.on_event)(Event::Loading(progress));
        }
    }
}

fn say_left_out(name: &str, error: &FrameError) {
    match error {
        FrameError::Blank { .. } => debug!("{name}: {error}"),
        _ => {
            warn!(
                "{name}: {error}: left out, as not all of it was written when the process or the power ended"
            )
        }
    }
}

/// Whether the end of the process, or of the power, can leave a file so: with a torn or a blank end, or with
/// damage to frames that were not synced. The head of a file is synced before any frame.
fn is_unsynced(error: &FrameError) -> bool {
    match *error {
        FrameError::Torn { .. } | FrameError::Blank { .. } => true,
        FrameError::Damaged {
            offset, was_synced, ..
        } => !was_synced && offset >= FILE_HEAD_BYTES as u64,
        _ => false,
    }
}

/// What is wrong with the bytes of a file.
///
/// # Errors
///
/// If it is not its bytes that are wrong: the file system's error, or that the file is of a newer
/// version.
fn damage_of(name: &str, error: FrameError) -> io::Result<String> {
    match error {
        FrameError::Io(error) => Err(explained(name)(error)),
        FrameError::WrongVersion(_) => {
            let message = format!("{name} is {error}");
            Err(io::Error::new(ErrorKind::InvalidData, message))
        }
        _ => Ok(error.to_string()),
    }
}
