//! A place in the files of a journal, from which puts are read in order.
//!
//! Frames up to the newest that [is written](super::spool::Written) are whole in the files, and nothing past them
//! is read. Where frames are missing, since they were refused, damaged or removed, it is logged, and the
//! next one is read.

use std::io;
use std::mem;

use super::file_places::{FilePlaces, KeyPlace, UNKNOWN};
use super::file_system::FileSystem;
use super::frame::{FileKind, FrameError, FrameReader};
use super::marks::Marks;
use super::position::Position;
use super::record::{Before, Reader, Record};

/// A put, as it is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadPut {
    /// A number for its series, which no other series of the file has.
    pub series: u64,
    pub timestamp: i64,
    pub value: f64,
}

/// A place in the files of a journal.
#[derive(Default)]
pub struct Cursor {
    /// The position of the next put.
    pub next: Position,
    /// The file that is read, or was read last.
    file: Option<FrameReader>,
    /// Frames are read from it; otherwise only keys.
    is_open: bool,
    series: DeclaredSeries,
    /// A key that was read again.
    key: String,
    /// Of the frame that is read in part: where its next record is in its payload, and what that is coded
    /// against.
    record: Option<(usize, Before)>,
    /// Frames were missing, and none was read since.
    is_in_gap: bool,
    /// That puts of this file cannot be read was logged.
    has_warned: bool,
    /// Where the puts are that were read last.
    pub marks: Marks,
}

/// The series that a file has declared so far.
///
/// It takes 8 bytes for each place of a series, and the keys that are held.
#[derive(Default)]
struct DeclaredSeries {
    /// For the place of each series that of its key.
    places: FilePlaces,
    /// The keys that are held, one after the other, …
    held: String,
    /// … and how many bytes these may be; the others are read again. Past the first 64 GiB of a file, all
    /// are held. `None` if the puts are only counted, and no series is noted.
    held_most_bytes: Option<usize>,
    /// Offset in the file of the end of the payload that is read.
    payload_end: u64,
}

impl Cursor {
    /// Begins before the put at this position, and holds up to `keys_held_bytes` of the keys of a file. With
    /// `None`, puts are counted as left out, and none is handed out.
    pub fn new(next: Position, keys_held_bytes: Option<usize>) -> Cursor {
        let mut cursor = Cursor::default();
        cursor.series.held_most_bytes = keys_held_bytes;
        cursor.go_to(next);
        cursor
    }

    /// Goes to another position.
    pub fn go_to(&mut self, next: Position) {
        self.next = Position {
            under_way: 0,
            ..next
        };
        self.marks.begin(self.next);
        (self.file, self.is_open, self.record) = (None, false, None);
        (self.is_in_gap, self.has_warned) = (false, false);
    }

    /// Takes at once the memory that is needed to read up to `most` puts of so many series, and to hold up to
    /// `key_bytes` of the keys of each file that is opened from now on.
    pub fn take_room(&mut self, most: usize, series: usize, key_bytes: usize) {
        self.marks.take_room(most);
        self.series.places.take_room(series);
        self.series.held_most_bytes = Some(key_bytes);
        self.series.held = " ".repeat(key_bytes);
        self.series.held.clear();
    }

    /// Number of the file that is read, or was read last; 0 before.
    pub fn file_number(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.number)
    }

    /// How many bytes of it are read.
    pub fn offset(&self) -> u64 {
        self.file.as_ref().map_or(0, FrameReader::offset)
    }

    /// The key of a series of that file.
    ///
    /// # Errors
    ///
    /// Those of the file system, if the key is not held.
    ///
    /// # Panics
    ///
    /// If no put to the series was handed out.
    pub fn key(&mut self, series: u64) -> io::Result<&str> {
        let key = KeyPlace(series);
        if key.is_held() {
            let start = key.offset() as usize;
            return Ok(&self.series.held[start..start + key.bytes()]);
        }
        if let Some(reader) = &mut self.file {
            self.key = reader.file.read_text(key.offset(), key.bytes())?;
        }
        Ok(&self.key)
    }

    /// Hands puts to `take`, in order, none of a frame after number `newest`, until it has taken, or left
    /// out, `most`. Ends before that where a file ends: the next call goes on with the next file,
    /// whose series have other numbers. All is read when the next frame is past `newest`.
    ///
    /// # Errors
    ///
    /// Those of the file system: the next call goes on where this one ended, with other numbers of series.
    pub fn read(
        &mut self,
        folder: &mut dyn FileSystem,
        newest: u64,
        most: usize,
        take: &mut impl FnMut(ReadPut) -> bool,
    ) -> io::Result<()> {
        self.marks.begin(self.next);
        while self.marks.is_below(most) && self.next.frame <= newest {
            if self.record.is_some() {
                self.take_puts(most, take);
                continue;
            }
            let is_begun = self.begin_frame(folder, newest)?;
            self.marks.push(self.next);
            if !is_begun {
                break;
            }
        }
        Ok(())
    }

    /// Goes to the next frame, which may be past `newest`. False if the file has none.
    fn begin_frame(&mut self, folder: &mut dyn FileSystem, newest: u64) -> io::Result<bool> {
        while self.next.frame <= newest {
            if !self.is_open && !self.open(folder, newest)? {
                self.skip_to(newest + 1);
                return Ok(false);
            }
            let Some(number) = self.read_frame()? else {
                self.end_file(folder, newest)?;
                return Ok(false);
            };
            self.begin_records(number);
            if number >= self.next.frame {
                break;
            }
        }
        Ok(true)
    }

    /// Reads the next frame of the file that is not damaged. Returns its number; `None` at the end of the file.
    fn read_frame(&mut self) -> io::Result<Option<u64>> {
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        loop {
            match file.next() {
                Ok(Some((number, [_, ..]))) => return Ok(Some(number)),
                Ok(_) | Err(FrameError::Torn { .. } | FrameError::Blank { .. }) => return Ok(None),
                // Which frames are missing is known with the next one.
                Err(FrameError::Damaged { .. }) => {}
                Err(FrameError::Io(error)) => {
                    self.is_open = false;
                    return Err(error);
                }
                Err(wrong) => {
                    let name = FileKind::Journal.name(file.number);
                    warn!("{name}: {wrong}: it is not sent");
                    return Ok(None);
                }
            }
        }
    }

    /// Opens the file with the next frame, or else the one after it. False if that has no frames yet.
    fn open(&mut self, folder: &mut dyn FileSystem, newest: u64) -> io::Result<bool> {
        let from_next = folder.holding(self.next.frame)?;
        let Some(&number) = from_next.first().filter(|&&number| number <= newest) else {
            return Ok(false);
        };
        let name = FileKind::Journal.name(number);
        self.file = Some(FrameReader::open(folder, &name, FileKind::Journal, number)?);
        self.is_open = true;
        self.series.places.forget();
        self.series.held.clear();
        self.has_warned = self.series.held_most_bytes.is_none();
        Ok(true)
    }

    /// Goes to the next file, if it has frames.
    fn end_file(&mut self, folder: &mut dyn FileSystem, newest: u64) -> io::Result<()> {
        let numbers = folder.numbers(FileKind::Journal)?;
        self.is_open = false;
        let next = numbers
            .into_iter()
            .find(|&number| number > self.file_number());
        // Only damage ends the last file before `newest`. Frames to come are found from its beginning on.
        self.skip_to(next.unwrap_or(u64::MAX).min(newest + 1));
        Ok(())
    }

    /// Goes to this frame, unless it is past it.
    fn skip_to(&mut self, frame: u64) {
        let first = self.next.frame;
        if first >= frame {
            return;
        }
        self.next = Position::before(frame);
        if !mem::replace(&mut self.is_in_gap, true) {
            let (count, last) = (frame - first, frame - 1);
            warn!(
                "{count} frames of the journal cannot be read and are not sent, {first} to {last}: \
                 they were refused, or are damaged or removed"
            );
        }
    }

    /// Goes to the first put of a frame that is not before the position. If all are, its declarations are
    /// read.
    fn begin_records(&mut self, frame: u64) {
        self.skip_to(frame);
        let Some(file) = &self.file else { return };
        let payload = file.payload();
        self.series.payload_end = file.offset();
        let Some(mut records) = Reader::begin(payload, &mut self.series.places) else {
            return self.end_frame(frame, true);
        };
        let puts_before = match frame == self.next.frame {
            true => self.next.puts,
            false => u32::MAX,
        };
        for _ in 0..puts_before {
            if self.series.next_put(&mut records).is_none() {
                break;
            }
        }
        if frame == self.next.frame {
            self.is_in_gap = false;
            self.record = Some((payload.len() - records.rest.len(), records.before));
        }
    }

    /// Hands over puts of a frame until `most` are taken, or left out, or the frame ends.
    #[inline]
    fn take_puts(&mut self, most: usize, take: &mut impl FnMut(ReadPut) -> bool) {
        let (Some(file), Some((offset, before))) = (&self.file, self.record) else {
            return;
        };
        let payload = file.payload();
        let mut records = Reader {
            rest: &payload[offset..],
            before,
        };
        let mut has_unknown = false;
        while self.marks.is_below(most) {
            let Some(put) = self.series.next_put(&mut records) else {
                let is_wrong = !records.rest.is_empty() || has_unknown;
                self.end_frame(self.next.frame, is_wrong);
                return self.marks.push(self.next);
            };
            self.next.puts += 1;
            has_unknown |= put.series == UNKNOWN;
            if put.series != UNKNOWN && take(put) {
                self.marks.puts += 1;
            } else {
                self.marks.left_out += 1;
                self.marks.push(self.next);
            }
        }
        self.record = Some((payload.len() - records.rest.len(), records.before));
    }

    /// Goes to the frame after this one. Some of it `is_wrong`: bytes that are no records, or puts to
    /// series that lost frames have declared.
    fn end_frame(&mut self, frame: u64, is_wrong: bool) {
        self.record = None;
        if frame >= self.next.frame {
            self.next = Position::before(frame + 1);
        }
        if is_wrong && !mem::replace(&mut self.has_warned, true) {
            let name = FileKind::Journal.name(self.file_number());
            warn!("{name}: puts from frame {frame} on cannot be read, and are not sent");
        }
    }
}

impl DeclaredSeries {
    /// The next put; `None` where there is no further record. Its series is [`UNKNOWN`] if it is not declared.
    #[inline]
    fn next_put(&mut self, records: &mut Reader) -> Option<ReadPut> {
        while !records.rest.is_empty() {
            let record = records.next()?;
            let series = match record.key {
                None => self.places.get(record.place),
                Some(key) => self.declare(&record, key, records.rest.len()),
            };
            if let Some(value) = record.value {
                let timestamp = record.timestamp;
                return Some(ReadPut {
                    series,
                    timestamp,
                    value,
                });
            }
        }
        None
    }

    /// Notes where the key is of a series that is declared. So many bytes of the payload are after it.
    #[cold]
    fn declare(&mut self, record: &Record, key: &str, bytes_after: usize) -> u64 {
        let Some(held_most_bytes) = self.held_most_bytes else {
            return UNKNOWN;
        };
        let offset = self.payload_end - (key.len() + bytes_after) as u64;
        let has_room = self.held.len() + key.len() <= held_most_bytes;
        let is_held = has_room || offset >= KeyPlace::OFFSET_END;
        let KeyPlace(series) = match is_held {
            true => KeyPlace::new(true, self.held.len() as u64, key.len()),
            false => KeyPlace::new(false, offset, key.len()),
        };
        if is_held {
            self.held.push_str(key);
        }
        self.places.declare(record, series);
        series
    }
}
