//! The start: from files back to a store.

use std::fmt;
use std::io::{self, ErrorKind};
use std::mem;
use std::time::{Duration, Instant};

use super::checkpoint;
use super::file_system::{FileSystem, retried};
use super::files::{self, PARTIAL};
use super::frame::{self, FILE_HEAD_BYTES, FileKind, FrameError, FrameReader};
use super::record::{self, Places, Target};
use crate::error::explained;
use crate::memory::Room;
use crate::server::{Event, Progress};
use crate::store::{ImageReader, Store};

/// How often the progress of a long start is told.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// Room for a frame of the journal that is full, and what is read with it.
pub const LONG_FRAME_BYTES: u64 = 5 << 18;

/// Copied at once.
const COPY_BYTES: usize = 64 << 10;

/// What a start has found.
pub struct Recovered {
    pub store: Store,
    /// Number of the first frame to write.
    pub next: u64,
    /// Bytes of the journal, all of which a further start would read.
    pub journal_bytes: u64,
    /// How many files it has.
    pub journal_files: usize,
    /// Number of the checkpoint before it; 0 if there is none.
    pub checkpoint: u64,
    /// Its bytes.
    pub checkpoint_bytes: u64,
    /// Why puts cannot be stored: the disk is full.
    pub failure: Option<io::Error>,
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
    let checkpoint = folder.numbers(FileKind::Checkpoint)?.pop();
    let mut journals = folder.numbers(FileKind::Journal)?;
    journals.retain(|&number| checkpoint.is_none_or(|checkpoint| number >= checkpoint));
    let mut loading = Loading {
        next: 1,
        room,
        telling: Some(Telling {
            on_event,
            began_at: Instant::now(),
            told_at: Instant::now(),
        }),
        ..Loading::default()
    };
    for &number in &journals {
        let name = FileKind::Journal.name(number);
        loading.total_bytes += folder.size(&name).map_err(explained(&name))?;
    }
    // The longest frame is read into memory that nobody counts.
    let frame_bytes = loading.total_bytes.min(LONG_FRAME_BYTES);
    loading.room.keep_free(frame_bytes as usize);
    if let Some(number) = checkpoint {
        let name = FileKind::Checkpoint.name(number);
        loading.total_bytes += folder.size(&name).map_err(explained(&name))?;
        loading.read_checkpoint(folder, &name, number)?;
        loading.next = number;
    }
    let checkpoint_bytes = loading.bytes;
    for &number in &journals {
        loading.read_journal(folder, number)?;
    }
    loading.check_newest();
    let mut recovered = Recovered {
        next: loading.next,
        journal_bytes: loading.bytes - checkpoint_bytes,
        journal_files: journals.len(),
        checkpoint: checkpoint.unwrap_or(0),
        checkpoint_bytes,
        failure: None,
        store: Store::new(),
    };
    if loading.store.evicted_points() > 0 {
        warn!("there was no room for all points: the oldest are evicted, see --memory-limit");
        // A checkpoint is due, so that they do not come back.
        recovered.journal_files = usize::MAX;
    }
    if salvages && loading.damage.is_some() {
        // Past the numbers of all files, so that this checkpoint takes the place of all of them.
        let newest = journals.last().copied().max(checkpoint);
        recovered.next = recovered.next.max(newest.map_or(0, |newest| newest + 1));
        (recovered.journal_bytes, recovered.journal_files) = (0, 0);
        recovered.checkpoint = recovered.next;
        loading.salvage(folder, recovered.next, needed)?;
    }
    let unended = mem::take(&mut loading.unended);
    let mut empty = mem::take(&mut loading.empty);
    recovered.store = loading.finish().map_err(|error| {
        let hint = "--salvage goes on with what can be read, and keeps a copy of the file";
        io::Error::new(error.kind(), format!("{error}; {hint}"))
    })?;
    // Who reads the journal would look for frames there that are in the file before.
    empty.retain(|name| FileKind::Journal.number(name) != Some(recovered.next));
    recovered.failure = clean_up(folder, unended, &empty)?;
    Ok(recovered)
}

/// Ends the files that were not ended, and removes empty ones. Returns why there is no room for that, if there
/// is none.
fn clean_up(
    folder: &mut dyn FileSystem,
    unended: Vec<Unended>,
    empty: &[String],
) -> io::Result<Option<io::Error>> {
    // A loss of power may have left it as another name of a file that is needed.
    remove_partial(folder)?;
    let failure = end_all(unended, folder)?;
    remove_partial(folder)?;
    for name in empty {
        folder.remove(name)?;
    }
    Ok(failure)
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

/// Removes a file that was not complete, if there is one.
fn remove_partial(folder: &mut dyn FileSystem) -> io::Result<()> {
    match folder.list()?.iter().any(|name| name == PARTIAL) {
        true => folder.remove(PARTIAL).map_err(explained(PARTIAL)),
        false => Ok(()),
    }
}

/// The same, and nobody is told.
#[cfg(test)]
pub fn recover(folder: &mut dyn FileSystem, salvages: bool) -> io::Result<Recovered> {
    recover_telling(folder, salvages, None, Room::default(), &mut |_| {})
}

/// A file of the journal that was not ended, since the process was.
struct Unended {
    name: String,
    /// Bytes up to the last frame that is whole.
    bytes: u64,
    /// Number of the frame after it.
    next: u64,
    /// Whole frames follow, which are left out.
    has_rest: bool,
}

impl Unended {
    /// Writes the file once more, up to its last whole frame, and ends it. What was written of it before
    /// may be in memory only, even if it was synced: the sync may have failed.
    fn end(self, folder: &mut dyn FileSystem) -> io::Result<()> {
        if self.has_rest {
            copy(folder, &self.name, &kept_name(&self.name), u64::MAX, &[])?;
        }
        if self.bytes == 0 {
            // The next file gets its name.
            return Ok(());
        }
        let end = frame::end(self.next);
        copy(folder, &self.name, PARTIAL, self.bytes, &end)?;
        folder.rename(PARTIAL, &self.name)
    }
}

/// Ends files of the journal. If the disk is full, returns that error: then puts are refused until there
/// is a checkpoint, and that takes the place of all files.
fn end_all(unended: Vec<Unended>, folder: &mut dyn FileSystem) -> io::Result<Option<io::Error>> {
    let mut failure = None;
    for file in unended {
        match file.end(folder) {
            Err(error) if files::is_full(&error) => failure = Some(error),
            result => result?,
        }
    }
    Ok(failure)
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

/// The name of a file that is kept and not read any more.
fn kept_name(name: &str) -> String {
    format!("damaged-{name}")
}

/// What is read so far.
#[derive(Default)]
pub struct Loading<'start> {
    store: Store,
    /// Room for the store. When it runs out, the oldest points are evicted if they are to be.
    room: Room,
    /// Number of the next frame of the journal.
    next: u64,
    /// Number of the newest frame whose puts may be in the checkpoint, once that is read to its end.
    newest: Option<u64>,
    /// How many points and puts were read.
    points: u64,
    /// Bytes of the files that are read, …
    bytes: u64,
    /// … and of those that are to be.
    total_bytes: u64,
    /// The file, and the place in it, from which on frames were left out.
    left_out: Option<(String, u64)>,
    /// The file that was read last, and where that ended.
    end: (String, u64),
    /// The first damage.
    damage: Option<Damage>,
    /// The files that are damaged.
    damaged: Vec<String>,
    /// Files of the journal that were not ended.
    unended: Vec<Unended>,
    /// Files of the journal without frames.
    empty: Vec<String>,
    /// Who is told how far it has come.
    telling: Option<Telling<'start>>,
}

/// Who is told how far a start has come.
struct Telling<'start> {
    on_event: &'start mut dyn FnMut(Event),
    began_at: Instant,
    /// When it was last told.
    told_at: Instant,
}

/// A place from which on a file cannot be read.
struct Damage {
    file: String,
    /// Where, and what is wrong.
    what: String,
    /// Points and puts that were read before it.
    points_before: u64,
}

impl Loading<'_> {
    /// Reads a checkpoint; where it is damaged, the series before that.
    pub fn read_checkpoint(
        &mut self,
        folder: &mut dyn FileSystem,
        name: &str,
        number: u64,
    ) -> io::Result<()> {
        let reader = FrameReader::open(folder, name, FileKind::Checkpoint, number);
        let mut reader = reader.map_err(explained(name))?;
        let mut image = ImageReader::default();
        let damage = loop {
            let offset = reader.offset();
            let what = match reader.next() {
                Ok(None) if self.newest.is_some() => break None,
                Ok(None) => format!("at byte {offset}: it is incomplete"),
                Ok(Some(_)) if self.newest.is_some() => {
                    format!("at byte {offset}: it goes on after its end")
                }
                Ok(Some((_, end)))
                    if image.is_complete() && checkpoint::newest_frame(end).is_some() =>
                {
                    self.newest = checkpoint::newest_frame(end);
                    continue;
                }
                Ok(Some((_, piece))) => match image.take_in(piece) {
                    Ok(()) => {
                        self.points = image.points();
                        self.room.make_at_start(&mut image.store, &mut |_| ());
                        self.tell_progress(offset);
                        continue;
                    }
                    Err(corrupt) => format!("at byte {offset}: {corrupt}"),
                },
                Err(error) => damage_of(name, error)?,
            };
            break Some(what);
        };
        self.end = (name.into(), reader.offset());
        self.bytes = reader.offset();
        self.store = image.into_store();
        // Without the series whose end is damaged.
        self.points = self.store.point_count() as u64 + self.store.evicted_points();
        if let Some(what) = damage {
            self.damaged(name, what);
        }
        Ok(())
    }

    /// Replays a file of the journal, without what is damaged.
    fn read_journal(&mut self, folder: &mut dyn FileSystem, number: u64) -> io::Result<()> {
        let name = FileKind::Journal.name(number);
        let reader = FrameReader::open(folder, &name, FileKind::Journal, number);
        let mut reader = reader.map_err(explained(&name))?;
        let (mut has_ended, mut has_rest, mut bytes) = (false, false, 0);
        let mut places = Places::default();
        let keys = retried(|| folder.open(&name)).map_err(explained(&name));
        let (mut keys, mut key_failure) = (keys?, None);
        let end = loop {
            let offset = reader.offset();
            match reader.next() {
                Ok(None) => break offset,
                Ok(Some((_, []))) => has_ended = true,
                Ok(Some((frame, [_, ..]))) => {
                    self.check_next(frame, &name, offset);
                    let mut target = Target {
                        store: &mut self.store,
                        room: &mut self.room,
                        key_at: &mut |place| {
                            let key = keys.read_text(place.offset(), place.bytes());
                            key.map_err(|error| key_failure = Some(error)).ok()
                        },
                    };
                    let end = reader.offset();
                    match record::replay(reader.payload(), end, &mut places, &mut target) {
                        Ok(puts) => self.points += puts as u64,
                        Err(wrong) => {
                            self.damaged(&name, format!("at byte {offset}: {wrong}"));
                            self.points += wrong.puts as u64;
                        }
                    }
                    if let Some(error) = key_failure {
                        return Err(explained(&name)(error));
                    }
                    bytes = end;
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
        if bytes == 0 && !has_rest {
            self.empty.push(name.clone());
        }
        if !has_ended && (bytes > 0 || has_rest) {
            self.unended.push(Unended {
                name: name.clone(),
                bytes,
                next: self.next,
                has_rest,
            });
        }
        self.bytes += end;
        self.end = (name, end);
        Ok(())
    }

    /// Notes the number of the next frame, and that those before it are missing if they are. It begins at this
    /// offset of the file.
    fn check_next(&mut self, frame: u64, name: &str, offset: u64) {
        if frame != self.next {
            let missing = format!("frames before number {frame} are missing");
            let left_out = self.left_out.take();
            let (file, offset) = left_out.unwrap_or((name.to_owned(), offset));
            self.damaged(&file, format!("at byte {offset}: {missing}"));
        }
        self.next = frame + 1;
    }

    /// Checks that all frames were read whose puts may be in the checkpoint.
    fn check_newest(&mut self) {
        if let Some(newest) = self.newest.filter(|&newest| newest >= self.next) {
            let missing = format!("frames {} to {newest} are missing", self.next);
            let (file, offset) = mem::take(&mut self.end);
            self.damaged(&file, format!("at byte {offset}: {missing}"));
        }
    }

    fn damaged(&mut self, file: &str, what: String) {
        if self.damaged.last().is_none_or(|last| last != file) {
            self.damaged.push(file.into());
        }
        self.damage.get_or_insert_with(|| Damage {
            file: file.into(),
            what,
            points_before: self.points,
        });
    }

    /// Writes what was read as a checkpoint, and gives other names to the files that are damaged.
    fn salvage(
        &mut self,
        folder: &mut dyn FileSystem,
        number: u64,
        needed: Option<u64>,
    ) -> io::Result<()> {
        for file in mem::take(&mut self.damaged) {
            let kept = kept_name(&file);
            copy(folder, &file, &kept, u64::MAX, &[])?;
            warn!("{file} is kept as {kept}");
        }
        let name = FileKind::Checkpoint.name(number);
        checkpoint::write(folder, &name, number, &self.store)?;
        self.unended.clear();
        self.empty.clear();
        if let Some(first) = self.damage.take() {
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
        let Some(first) = self.damage else {
            return Ok(self.store);
        };
        let (before, after) = (first.points_before, self.points - first.points_before);
        let message =
            format!("{first}; {before} points before it can be read, and {after} after it");
        Err(io::Error::new(ErrorKind::InvalidData, message))
    }

    /// Logs and tells now and then how far the start has come.
    fn tell_progress(&mut self, read_bytes: u64) {
        let Some(telling) = &mut self.telling else {
            return;
        };
        let now = Instant::now();
        if now.duration_since(telling.told_at) >= TELL_INTERVAL {
            telling.told_at = now;
            let seconds = now.duration_since(telling.began_at).as_secs().max(1);
            let progress = Progress {
                points: self.points,
                percent: 100 * (self.bytes + read_bytes) / self.total_bytes.max(1),
                points_per_second: self.points / seconds,
            };
            info!("{progress}");
            (telling.on_event)(Event::Loading(progress));
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

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { file, what, .. } = self;
        write!(f, "{file}: {what}")
    }
}
