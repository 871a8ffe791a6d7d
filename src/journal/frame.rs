//! Frames: payloads with checksums, one after the other in a file.
//!
//! ```text
//! file    8 bytes  magic: `mtrcjrnl` of a journal, `mtrcckpt` of a checkpoint
//!         u32      version: 2
//!         u64      number of the file, as in its name
//!         u32      CRC-32C of these 20 bytes; every version has this head of 24 bytes
//!         frames
//!
//! frame   u32      CRC-32C of all that follows
//!         u32      bytes of the payload, at most 2^27
//!         u32      unsynced: how many of the frames just before may not have been on the medium
//!                  when this one was made; 2^32 − 1 for so many or more
//!         u64      number, one more than that of the frame before
//!         payload
//! ```
//!
//! Zeros may follow the last frame of a journal, since a file may be made longer before a frame is written.
//!
//! Numbers have their low byte first. The frames of a journal count from the number of the file,
//! those of a checkpoint from 0.
//!
//! When the power fails, any part of what was not synced may be lost: the end, or some sectors in
//! the middle. What a frame says about those before it tells this from damage to what was on the
//! medium for good.

use std::fmt;
use std::io;
use std::ops::{Range, RangeInclusive};

use super::file_system::{DiskFile, FileSystem, retried};
use crate::config::Config;
use crate::error::explained;

/// The most bytes of a payload: a key of [the longest line](crate::Config::BUFFER_MAX_BYTES) has room.
pub const FRAME_MAX_BYTES: usize = 128 << 20;

/// Bytes of a frame before its payload.
pub const FRAME_HEAD_BYTES: usize = 20;

/// Bytes of a file before its first frame.
pub const FILE_HEAD_BYTES: usize = 24;

/// The version of the format.
const VERSION: u32 = 2;

/// Bytes of a frame's head that the checksum does not cover: its own.
const CHECKSUM_BYTES: usize = 4;

/// Read from a file at once. Tests read many small files, and have files that are longer than this.
const READ_BYTES: usize = if cfg!(test) { 1 << 10 } else { 128 << 10 };

/// What the frames of a file hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Records of puts and removals.
    Journal,
    /// The image of a store.
    Checkpoint,
}

impl FileKind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            FileKind::Journal => b"mtrcjrnl",
            FileKind::Checkpoint => b"mtrcckpt",
        }
    }
}

/// What a file of this kind and number begins with.
pub fn file_head(kind: FileKind, number: u64) -> [u8; FILE_HEAD_BYTES] {
    let mut head = [0; FILE_HEAD_BYTES];
    head[..8].copy_from_slice(kind.magic());
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..20].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&head[..20]);
    head[20..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// Appends room for the head of a frame, after which its payload is to be appended.
pub fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
}

/// The frame that ends a file of the journal: it is empty, and says that all frames before this
/// number are on the medium. The next file begins with the same number.
pub fn end(number: u64) -> [u8; FRAME_HEAD_BYTES] {
    let mut end = [0; FRAME_HEAD_BYTES];
    finish(&mut end, number, number);
    end
}

/// Fills in the head of a frame whose payload is complete. All frames before number `synced` are
/// on the medium; where nothing depends on that, it is 0.
///
/// # Panics
///
/// If `frame` was not [begun](begin).
pub fn finish(frame: &mut [u8], number: u64, synced: u64) {
    let payload_bytes = frame.len() - FRAME_HEAD_BYTES;
    debug_assert!(payload_bytes <= FRAME_MAX_BYTES);
    let unsynced = u32::try_from(number.saturating_sub(synced)).unwrap_or(u32::MAX);
    frame[4..8].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    frame[8..12].copy_from_slice(&unsynced.to_le_bytes());
    frame[12..20].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32c::crc32c(&frame[CHECKSUM_BYTES..]);
    frame[..4].copy_from_slice(&checksum.to_le_bytes());
}

/// Why the next frame of a file cannot be read. Offsets are those of bytes in the file.
#[derive(Debug)]
pub enum FrameError {
    /// The file system's error.
    Io(io::Error),
    /// The file is of another kind, or of none.
    WrongKind,
    /// The file is of another version.
    WrongVersion(u32),
    /// The file has the number of another.
    WrongNumber(u64),
    /// From this offset on there is no whole frame. At an offset within the file's head, there is
    /// none in the file.
    Torn {
        /// Where the last whole frame ends.
        offset: u64,
    },
    /// Only zeros follow, and no more than a file may be made longer by. Most likely no frame was written there.
    Blank {
        /// Where the last whole frame ends.
        offset: u64,
    },
    /// Bytes in the middle are no whole frame, and whole frames follow them.
    Damaged {
        /// The first of these bytes.
        offset: u64,
        /// Where the next whole frame begins.
        end: u64,
        /// The damaged part was on the medium once. If not, a power failure may have left it so.
        was_synced: bool,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Io(error) => error.fmt(f),
            FrameError::WrongKind => f.write_str("not a file of metricd"),
            FrameError::WrongVersion(version) => write!(
                f,
                "of version {version}, and this metricd reads version {VERSION}"
            ),
            FrameError::WrongNumber(number) => {
                write!(f, "its head is that of number {number:016x}")
            }
            FrameError::Torn { offset } => write!(f, "incomplete from byte {offset} on"),
            FrameError::Blank { offset } => write!(f, "empty from byte {offset} on"),
            FrameError::Damaged { offset, end, .. } => {
                write!(f, "damaged from byte {offset} to byte {end}")
            }
        }
    }
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> FrameError {
        FrameError::Io(error)
    }
}

/// Reads the frames of one file in order.
///
/// It holds two frames and a little more at most, and never more than the file does.
pub struct FrameReader {
    pub file: Box<dyn DiskFile>,
    kind: FileKind,
    /// The number of the file.
    pub number: u64,
    /// Number of the next frame; `None` until the head of the file is read.
    next: Option<u64>,
    /// A part of the file, of which `bytes[unread..]` are not read yet.
    bytes: Vec<u8>,
    unread: usize,
    /// Where in `bytes` the payload of the frame is that was read last.
    payload: Range<usize>,
    /// Offset of `bytes[0]`.
    offset: u64,
}

/// What the head of a frame says.
#[derive(Clone, Copy)]
struct Head {
    checksum: u32,
    payload_bytes: usize,
    /// All frames before this number were on the medium.
    synced: u64,
    number: u64,
}

impl Head {
    fn read(bytes: &[u8; FRAME_HEAD_BYTES]) -> Head {
        let number = u64_at(bytes, 12);
        Head {
            checksum: u32_at(bytes, 0),
            payload_bytes: u32_at(bytes, 4) as usize,
            synced: number.saturating_sub(u64::from(u32_at(bytes, 8))),
            number,
        }
    }

    fn frame_bytes(&self) -> usize {
        FRAME_HEAD_BYTES + self.payload_bytes
    }
}

impl FrameReader {
    /// Opens a file of this kind and number.
    ///
    /// # Errors
    ///
    /// Those of the file system, with the name: nothing is read yet.
    pub fn open(
        folder: &mut dyn FileSystem,
        name: &str,
        kind: FileKind,
        number: u64,
    ) -> io::Result<FrameReader> {
        Ok(FrameReader {
            file: retried(|| folder.open(name)).map_err(explained(name))?,
            kind,
            number,
            next: None,
            bytes: Vec::new(),
            unread: 0,
            payload: 0..0,
            offset: 0,
        })
    }

    /// Offset of the next frame: where the [payload](Self::payload) ends.
    pub fn offset(&self) -> u64 {
        self.offset + self.unread as u64
    }

    /// The payload that [`next`](Self::next) returned last, until it is called again.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.payload.clone()]
    }

    /// That payload, and the file that it is from.
    pub fn parts(&mut self) -> (&[u8], &mut dyn DiskFile) {
        (&self.bytes[self.payload.clone()], &mut *self.file)
    }

    /// The number and the payload of the next frame, or `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// See [`FrameError`]. After [`Damaged`](FrameError::Damaged), the next call goes on with the
    /// frame past the damage. After [`Torn`](FrameError::Torn) and [`Blank`](FrameError::Blank), the file is
    /// at its end.
    pub fn next(&mut self) -> Result<Option<(u64, &[u8])>, FrameError> {
        self.payload = 0..0;
        let next = match self.next {
            Some(next) => next,
            None => self.read_file_head()?,
        };
        let mut head = self.whole_frame(0, next..=next)?;
        if head.is_none() {
            // Who reads while frames are written may have read ahead what was there before them.
            self.go_to(self.offset());
            head = self.whole_frame(0, next..=next)?;
        }
        let Some(head) = head else {
            return match self.fill(1)? {
                0 => Ok(None),
                _ => Err(self.find_end_of_damage(next)?),
            };
        };
        self.payload = self.unread + FRAME_HEAD_BYTES..self.unread + head.frame_bytes();
        self.unread = self.payload.end;
        self.next = Some(next.wrapping_add(1));
        Ok(Some((next, &self.bytes[self.payload.clone()])))
    }

    /// Checks the head of the file, and returns the number of the first frame.
    fn read_file_head(&mut self) -> Result<u64, FrameError> {
        let first = match self.kind {
            FileKind::Journal => self.number,
            FileKind::Checkpoint => 0,
        };
        let length = self.fill(FILE_HEAD_BYTES)?.min(FILE_HEAD_BYTES);
        let head = &self.bytes[..length];
        let expected = file_head(self.kind, self.number);
        if head == expected {
            self.unread = FILE_HEAD_BYTES;
            self.next = Some(first);
            return Ok(first);
        }
        let magic = self.kind.magic();
        if let Some(head) = head.first_chunk::<FILE_HEAD_BYTES>()
            && crc32c::crc32c(&head[..20]) == u32_at(head, 20)
        {
            return Err(if !head.starts_with(magic) {
                FrameError::WrongKind
            } else if u32_at(head, 8) != VERSION {
                FrameError::WrongVersion(u32_at(head, 8))
            } else {
                FrameError::WrongNumber(u64_at(head, 12))
            });
        }
        let is_ours = head.iter().all(|&byte| byte == 0)
            || magic.starts_with(&head[..length.min(magic.len())]);
        self.next = Some(first);
        match self.find_end_of_damage(first)? {
            FrameError::Torn { .. } if !is_ours => Err(FrameError::WrongKind),
            error => Err(error),
        }
    }

    /// Finds the next whole frame after bytes that are none, among which number `lost` should be,
    /// and goes there.
    fn find_end_of_damage(&mut self, lost: u64) -> Result<FrameError, FrameError> {
        let offset = self.offset();
        if offset >= FILE_HEAD_BYTES as u64 && self.is_blank()? {
            return Ok(FrameError::Blank { offset });
        }
        self.go_to(offset);
        if let Some(head) = self.head(0)?
            && head.number == lost
            && let following = lost.saturating_add(1)
            && self
                .whole_frame(head.frame_bytes(), following..=following)?
                .is_some()
        {
            // The length is right, and what looks like a frame in the payload is none.
            self.unread += head.frame_bytes();
        }
        let Some(found) = self.find_frame(offset, lost)? else {
            return Ok(FrameError::Torn { offset });
        };
        let end = self.offset();
        let mut newest = found;
        // The first frames past the damage may have been made before it was synced.
        while newest.synced <= lost {
            self.unread += newest.frame_bytes();
            match self.find_frame(offset, newest.number)? {
                Some(found) => newest = found,
                None => break,
            }
        }
        self.go_to(end);
        self.next = Some(found.number);
        Ok(FrameError::Damaged {
            offset,
            end,
            was_synced: newest.synced > lost,
        })
    }

    /// Whether there are only zeros up to the end of the file, and so few that it may have been made longer by
    /// them. Goes on by some of them.
    fn is_blank(&mut self) -> io::Result<bool> {
        let most_end = self.offset() + Config::JOURNAL_BLANK_BYTES;
        loop {
            let unread = &self.bytes[self.unread..];
            let end = self.offset() + unread.len() as u64;
            if end > most_end || unread.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            self.unread = self.bytes.len();
            if self.read_more()? == 0 {
                return Ok(true);
            }
        }
    }

    /// Goes to the next whole frame, of number `least` or higher, if there is one. Since `start`,
    /// where number `least` is missing at the earliest, there are no more frames than have room.
    ///
    /// Linear in the bytes up to there, unless most of them look like the heads of long frames.
    fn find_frame(&mut self, start: u64, least: u64) -> Result<Option<Head>, FrameError> {
        while self.fill(FRAME_HEAD_BYTES)? >= FRAME_HEAD_BYTES {
            let room = (self.offset() - start) / FRAME_HEAD_BYTES as u64;
            let found = self.whole_frame(0, least..=least.saturating_add(room))?;
            if found.is_some() {
                return Ok(found);
            }
            self.unread += 1;
        }
        self.unread = self.bytes.len();
        Ok(None)
    }

    /// The head of the frame `ahead` bytes after the next one, if its number is one of these and
    /// it is whole.
    fn whole_frame(
        &mut self,
        ahead: usize,
        numbers: RangeInclusive<u64>,
    ) -> Result<Option<Head>, FrameError> {
        let head = self.head(ahead)?;
        let Some(head) = head.filter(|head| numbers.contains(&head.number)) else {
            return Ok(None);
        };
        self.fill(ahead + head.frame_bytes())?;
        let frame = &self.bytes[self.unread + ahead..];
        let summed = frame.get(CHECKSUM_BYTES..head.frame_bytes());
        let is_whole = summed.is_some_and(|summed| crc32c::crc32c(summed) == head.checksum);
        Ok(is_whole.then_some(head))
    }

    /// What is read as a head `ahead` bytes after the next frame begins, unless the payload would be too
    /// long, or the file ends there.
    fn head(&mut self, ahead: usize) -> io::Result<Option<Head>> {
        self.fill(ahead + FRAME_HEAD_BYTES)?;
        let bytes = self.bytes[self.unread..].get(ahead..);
        let head = bytes.and_then(|bytes| bytes.first_chunk()).map(Head::read);
        Ok(head.filter(|head| head.payload_bytes <= FRAME_MAX_BYTES))
    }

    /// Reads until so many bytes are unread, or all, and returns how many are.
    #[inline]
    fn fill(&mut self, bytes: usize) -> io::Result<usize> {
        while self.bytes.len() - self.unread < bytes {
            if self.read_more()? == 0 {
                break;
            }
        }
        Ok(self.bytes.len() - self.unread)
    }

    fn read_more(&mut self) -> io::Result<usize> {
        self.bytes.drain(..self.unread);
        self.offset += self.unread as u64;
        self.unread = 0;
        let before = self.bytes.len();
        let end = self.offset + before as u64;
        self.bytes.resize(before + READ_BYTES, 0);
        let read = retried(|| self.file.read(end, &mut self.bytes[before..]));
        self.bytes
            .truncate(before + read.as_ref().map_or(0, |&read| read));
        read
    }

    /// Goes to this offset, and forgets what is read ahead.
    fn go_to(&mut self, offset: u64) {
        self.bytes.clear();
        (self.unread, self.offset) = (0, offset);
    }
}

pub fn u32_at<const LENGTH: usize>(bytes: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|place| bytes[at + place]))
}

pub fn u64_at<const LENGTH: usize>(bytes: &[u8; LENGTH], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|place| bytes[at + place]))
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{Fault, Simulated};
    use super::*;
    use proptest::prelude::*;

    const NUMBER: u64 = 0x1234;

    fn frame(number: u64, payload: &[u8], synced: u64) -> Vec<u8> {
        let mut frame = Vec::new();
        begin(&mut frame);
        frame.extend_from_slice(payload);
        finish(&mut frame, number, synced);
        frame
    }

    /// A journal of these payloads, each of which says that all before it are synced, and where
    /// each of its parts begins and the last one ends.
    fn journal(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = file_head(FileKind::Journal, NUMBER).to_vec();
        let mut starts = vec![0];
        for (number, payload) in (NUMBER..).zip(payloads) {
            starts.push(bytes.len());
            bytes.extend(frame(number, payload, number));
        }
        starts.push(bytes.len());
        (bytes, starts)
    }

    /// What a reader returns, one after the other.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Read {
        Frame(u64, Vec<u8>),
        Torn(u64),
        Blank(u64),
        Damaged(u64, u64, bool),
        Wrong(String),
    }

    fn read_from(disk: &mut Simulated) -> Vec<Read> {
        let mut reader =
            FrameReader::open(disk, "file", FileKind::Journal, NUMBER).expect("no fault");
        let mut all = Vec::new();
        loop {
            all.push(match reader.next() {
                Ok(None) => return all,
                Ok(Some((number, payload))) => Read::Frame(number, payload.to_vec()),
                Err(FrameError::Torn { offset }) => Read::Torn(offset),
                Err(FrameError::Blank { offset }) => Read::Blank(offset),
                Err(FrameError::Damaged {
                    offset,
                    end,
                    was_synced,
                }) => Read::Damaged(offset, end, was_synced),
                Err(error) => {
                    all.push(Read::Wrong(error.to_string()));
                    return all;
                }
            });
        }
    }

    fn read(bytes: &[u8]) -> Vec<Read> {
        let mut disk = Simulated::new();
        disk.set_content("file", bytes);
        read_from(&mut disk)
    }

    fn frames(payloads: &[Vec<u8>]) -> Vec<Read> {
        let frame = |(number, payload): (u64, &Vec<u8>)| Read::Frame(number, payload.clone());
        (NUMBER..).zip(payloads).map(frame).collect()
    }

    fn some_payloads() -> Vec<Vec<u8>> {
        [3, 0, 70, 1].map(|bytes| vec![7; bytes]).to_vec()
    }

    #[test]
    fn the_format_is_as_documented() {
        let mut bytes = b"mtrcckpt\x02\0\0\0\x05\0\0\0\0\0\0\0".to_vec();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        assert_eq!(file_head(FileKind::Checkpoint, 5)[..], bytes);
        let summed = b"\x03\0\0\0\x02\0\0\0\x09\0\0\0\0\0\0\0abc";
        let expected = [&crc32c::crc32c(summed).to_le_bytes()[..], summed].concat();
        assert_eq!(frame(9, b"abc", 7), expected);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_were(
            payloads in proptest::collection::vec((0usize..3_000, any::<u8>()), 0..20),
            interrupted in 1u64..6,
        ) {
            let payloads: Vec<Vec<u8>> = payloads.iter().map(|&(bytes, byte)| vec![byte; bytes]).collect();
            let mut disk = Simulated::new();
            disk.set_content("file", &journal(&payloads).0);
            disk.fail_from(1, Fault::Short);
            disk.fail_at(interrupted, Fault::Interrupted);
            prop_assert_eq!(read_from(&mut disk), frames(&payloads));
        }

        #[test]
        fn any_bytes_are_read_to_an_end(
            start in 0usize..200,
            bytes in proptest::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..300),
        ) {
            let (mut file, _) = journal(&some_payloads());
            file.truncate(start);
            file.extend_from_slice(&bytes);
            prop_assert!(read(&file).len() <= file.len() / FRAME_HEAD_BYTES + 2);
        }
    }

    #[test]
    fn a_flipped_byte_is_damage_to_its_part() {
        let payloads = some_payloads();
        let (bytes, starts) = journal(&payloads);
        let frames = frames(&payloads);
        for place in 0..bytes.len() {
            let part = starts.partition_point(|&start| start <= place) - 1;
            let (start, end) = (starts[part] as u64, starts[part + 1] as u64);
            let mut expected = frames[..part.saturating_sub(1)].to_vec();
            expected.push(match part {
                // What was synced is said by frames after the one that follows.
                0..=3 => Read::Damaged(start, end, true),
                _ => Read::Torn(start),
            });
            expected.extend_from_slice(&frames[part..]);
            for flipped in [1, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[place] ^= flipped;
                assert_eq!(read(&bytes), expected, "byte {place}");
            }
        }
    }

    #[test]
    fn a_cut_file_is_torn_where_its_last_whole_frame_ends() {
        let payloads = some_payloads();
        let (bytes, starts) = journal(&payloads);
        for length in 0..bytes.len() {
            let part = starts.partition_point(|&start| start <= length) - 1;
            let mut expected = frames(&payloads[..part.saturating_sub(1)]);
            if length != starts[part] || length == 0 {
                expected.push(Read::Torn(starts[part] as u64));
            }
            assert_eq!(read(&bytes[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn tails_without_a_whole_frame_are_torn() {
        let payloads = some_payloads();
        let (bytes, _) = journal(&payloads);
        let next = NUMBER + 4;
        let garbage: Vec<u8> = (0..5_000u32)
            .map(|place| ((place * place) >> 3) as u8)
            .collect();
        let long = [
            &(1u32 << 26).to_le_bytes()[..],
            &[0; 4],
            &next.to_le_bytes(),
            &[0; 99],
        ]
        .concat();
        for (name, tail) in [
            ("garbage", garbage.clone()),
            ("one byte", vec![1]),
            ("zeros and one byte", [&[0; READ_BYTES][..], &[1]].concat()),
            ("half a frame", frame(next, &[7; 500], 0)[..300].to_vec()),
            (
                "half a frame and zeros",
                [&frame(next, &[7; 500], 0)[..300], &[0; 512]].concat(),
            ),
            ("an earlier number", frame(NUMBER + 3, b"a", 0)),
            ("a number too high", frame(next + 1, b"a", 0)),
            (
                "a number too high for the garbage before it",
                [&garbage[..100], &frame(next + 6, b"a", 0)].concat(),
            ),
            ("a frame said to be long", [&[0; 4][..], &long].concat()),
        ] {
            let expected = [frames(&payloads), vec![Read::Torn(bytes.len() as u64)]].concat();
            assert_eq!(read(&[&bytes[..], &tail].concat()), expected, "{name}");
        }
    }

    #[test]
    fn zeros_after_the_last_frame_are_blank() {
        let payloads = some_payloads();
        let (bytes, _) = journal(&payloads);
        let end = bytes.len() as u64;
        let most = Config::JOURNAL_BLANK_BYTES as usize;
        for (zeros, expected) in [
            (1, Read::Blank(end)),
            (FRAME_HEAD_BYTES, Read::Blank(end)),
            (most, Read::Blank(end)),
            // More than a file is made longer by.
            (most + 1, Read::Torn(end)),
            (2 * most, Read::Torn(end)),
        ] {
            let file = [&bytes[..], &vec![0; zeros]].concat();
            let expected = [frames(&payloads), vec![expected]].concat();
            assert_eq!(read(&file), expected, "{zeros}");
        }
        // A file without a head was not made longer.
        assert_eq!(read(&[0; 100]), [Read::Torn(0)]);
    }

    #[test]
    fn frames_are_read_that_are_written_in_place_of_zeros_that_were_read() {
        let payloads = some_payloads();
        let (bytes, starts) = journal(&payloads);
        let mut disk = Simulated::new();
        let mut file = disk.create("file").expect("no fault");
        file.write(&bytes[..starts[1]]).expect("no fault");
        file.set_length(1_000).expect("no fault");
        let reader = FrameReader::open(&mut disk, "file", FileKind::Journal, NUMBER);
        let mut reader = reader.expect("no fault");
        for (part, expected) in payloads.iter().enumerate() {
            // Half of a frame, and all of it.
            let (start, end) = (starts[part + 1], starts[part + 2]);
            let half = start + (end - start) / 2;
            file.write(&bytes[start..half]).expect("no fault");
            reader.fill(500).expect("no fault");
            file.write(&bytes[half..end]).expect("no fault");
            let read = reader.next().expect("a frame");
            assert_eq!(read, Some((NUMBER + part as u64, &expected[..])));
        }
        file.set_length(bytes.len() as u64).expect("no fault");
        assert!(reader.next().expect("the end").is_none());
    }

    #[test]
    fn damage_before_a_whole_frame_is_told_from_what_was_not_synced() {
        let payloads = some_payloads();
        let (bytes, _) = journal(&payloads);
        let lost = NUMBER + 4;
        let start = bytes.len() as u64;
        for (name, damaged) in [
            ("zeros", vec![0; 100]),
            ("half a frame", frame(lost, &[7; 500], 0)[..300].to_vec()),
            ("a frame of another number", frame(3, b"abc", 0)),
        ] {
            for (synced, was_synced) in [
                ([lost, lost, lost], false),
                ([0, 0, 0], false),
                ([lost, lost, lost + 1], true),
                ([lost + 1, lost + 1, lost + 1], true),
            ] {
                let mut file = [&bytes[..], &damaged].concat();
                let mut expected = frames(&payloads);
                expected.push(Read::Damaged(start, file.len() as u64, was_synced));
                for (number, synced) in (lost + 1..).zip(synced) {
                    file.extend(frame(number, b"later", synced));
                    expected.push(Read::Frame(number, b"later".to_vec()));
                }
                assert_eq!(read(&file), expected, "{name}, {synced:?}");
            }
        }
    }

    #[test]
    fn several_damaged_parts_are_told_one_by_one() {
        let payloads = vec![vec![7; 50]; 6];
        let (mut bytes, starts) = journal(&payloads);
        for part in [2, 5] {
            bytes[starts[part] + 30] = 0;
        }
        let mut expected = frames(&payloads);
        for part in [2, 5] {
            let (start, end) = (starts[part] as u64, starts[part + 1] as u64);
            expected[part - 1] = Read::Damaged(start, end, true);
        }
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn a_payload_that_holds_a_frame_is_not_searched_if_its_length_is_right() {
        let inner = frame(NUMBER + 1, b"inner", 0);
        let payloads = [vec![1], [&[0; 9][..], &inner].concat(), vec![2]];
        let (mut bytes, starts) = journal(&payloads);
        bytes[starts[2] + FRAME_HEAD_BYTES] = 1;
        let mut expected = frames(&payloads);
        expected[1] = Read::Damaged(starts[2] as u64, starts[3] as u64, true);
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn a_file_of_another_kind_version_or_number_is_refused() {
        let mut newer = file_head(FileKind::Journal, NUMBER);
        newer[8] = 3;
        let checksum = crc32c::crc32c(&newer[..20]);
        newer[20..].copy_from_slice(&checksum.to_le_bytes());
        for (bytes, expected) in [
            (&newer[..], "of version 3, and this metricd reads version 2"),
            (
                &file_head(FileKind::Checkpoint, NUMBER),
                "not a file of metricd",
            ),
            (
                &file_head(FileKind::Journal, 0xab),
                "its head is that of number 00000000000000ab",
            ),
            (
                b"a text of somebody else, longer than a head",
                "not a file of metricd",
            ),
            (b"a text", "not a file of metricd"),
        ] {
            assert_eq!(read(bytes), [Read::Wrong(expected.to_owned())]);
        }
    }

    #[test]
    fn memory_is_for_bytes_that_are_there() {
        let long = frame(NUMBER, &vec![7; 300_000], 0);
        let mut file = file_head(FileKind::Journal, NUMBER).to_vec();
        file.extend(&long);
        // Says that it is as long as a frame can be.
        let mut next = frame(NUMBER + 1, &[7; 9], 0);
        next[4..8].copy_from_slice(&(FRAME_MAX_BYTES as u32).to_le_bytes());
        file.extend(&next);
        let mut other = file.clone();
        other.truncate(FILE_HEAD_BYTES + long.len());
        other.resize(2 << 20, 1);
        for file in [file, other] {
            let mut disk = Simulated::new();
            disk.set_content("file", &file);
            let reader = FrameReader::open(&mut disk, "file", FileKind::Journal, NUMBER);
            let mut reader = reader.expect("no fault");
            assert!(reader.next().is_ok());
            assert!(matches!(reader.next(), Err(FrameError::Torn { .. })));
            assert!(reader.bytes.capacity() < 1 << 20);
        }
    }
}
