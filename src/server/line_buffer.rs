//! Bytes in, until a newline.

use std::io::{self, Read};
use std::mem;

/// The server's one input buffer, lent to a connection for its turn: first what the connection
/// had left over, then what it reads, cut into lines in place.
///
/// Each byte is searched for a newline once, however the input is cut.
pub struct LineBuffer {
    /// Room for the longest unfinished line and one full read after it.
    bytes: Box<[u8]>,
    cut: Cut,
    /// The most bytes of a line, its newline not counted.
    line_limit: usize,
}

/// How far the bytes are cut.
#[derive(Default)]
struct Cut {
    /// First byte that is not handed out yet; `start <= scanned`.
    start: usize,
    /// No newline is in `bytes[start..scanned]`; `scanned <= end`.
    scanned: usize,
    /// End of what was read; `end <= bytes.len()`.
    end: usize,
    /// The line that begins at `start` is too long, and its middle may be left out.
    discarding: bool,
}

/// Bytes that are kept of a line that is too long: enough to tell whether it is a request of another
/// protocol.
const TOO_LONG_BYTES: usize = 48;

/// How many of these are its end. The others are its beginning.
const TOO_LONG_END_BYTES: usize = 16;

/// What a connection keeps of its input between its turns: nothing when it is idle, which costs
/// no memory outside this struct.
#[derive(Debug, Default)]
pub struct Unread {
    bytes: Box<[u8]>,
    /// No newline is in `bytes[..scanned]`. In 32 bits, since idle connections are many and these
    /// bytes are at most a line and a read.
    scanned: u32,
    discarding: bool,
}

impl Unread {
    /// Bytes that are kept.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether lines may be left to cut.
    pub fn has_unscanned(&self) -> bool {
        (self.scanned as usize) < self.bytes.len()
    }
}

/// A line as it was cut, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'buffer> {
    /// A line within the limit.
    Whole(&'buffer [u8]),
    /// A line of more bytes than the limit: its beginning and its end at least.
    TooLong(&'buffer [u8]),
}

/// The lines of a buffer, cut one by one.
pub struct Lines<'buffer> {
    bytes: &'buffer [u8],
    cut: &'buffer mut Cut,
    line_limit: usize,
}

impl LineBuffer {
    /// A buffer for lines of up to `line_limit` bytes and reads of up to `read_size`.
    pub fn new(line_limit: usize, read_size: usize) -> LineBuffer {
        LineBuffer {
            bytes: vec![0; line_limit.max(TOO_LONG_BYTES) + read_size].into_boxed_slice(),
            cut: Cut::default(),
            line_limit,
        }
    }

    /// Bytes that are allocated.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes up what a connection had left over. The buffer must be empty: each
    /// [`load`](Self::load) is followed by one [`save`](Self::save).
    #[inline]
    pub fn load(&mut self, unread: Unread) {
        debug_assert!(self.is_empty(), "the last turn saved its input");
        // It usually had nothing.
        if unread.bytes.is_empty() && !unread.discarding {
            return;
        }
        self.bytes[..unread.bytes.len()].copy_from_slice(&unread.bytes);
        self.cut = Cut {
            start: 0,
            scanned: unread.scanned as usize,
            end: unread.bytes.len(),
            discarding: unread.discarding,
        };
    }

    /// Hands back what is left over, and is empty again.
    #[inline]
    pub fn save(&mut self) -> Unread {
        if self.is_empty() {
            self.clear();
            return Unread::default();
        }
        self.shorten_line();
        let cut = mem::take(&mut self.cut);
        Unread {
            bytes: self.bytes[cut.start..cut.end].into(),
            scanned: (cut.scanned - cut.start) as u32,
            discarding: cut.discarding,
        }
    }

    /// Leaves out the middle of an unfinished line that is too long.
    fn shorten_line(&mut self) {
        let cut = &mut self.cut;
        let is_unfinished = cut.scanned == cut.end;
        if cut.discarding && is_unfinished && cut.end - cut.start > TOO_LONG_BYTES {
            let end = cut.end - TOO_LONG_END_BYTES..cut.end;
            cut.end = cut.start + TOO_LONG_BYTES;
            cut.scanned = cut.end;
            self.bytes.copy_within(end, cut.end - TOO_LONG_END_BYTES);
        }
    }

    /// Discards all that is left over.
    pub fn clear(&mut self) {
        self.cut = Cut::default();
    }

    /// Whether lines may be left to cut; if not, only a read brings the next one.
    pub fn has_unscanned(&self) -> bool {
        self.cut.scanned < self.cut.end
    }

    /// Whether nothing is left over: no line and no beginning of one.
    pub fn is_empty(&self) -> bool {
        self.cut.start == self.cut.end && !self.cut.discarding
    }

    /// Reads at most `most_bytes`, or as many as the buffer takes at once, in one call. To be
    /// called when all lines are cut. The result is the source's: `Ok(0)` is its end. The second
    /// value says whether the read filled its room, so that more may be waiting.
    pub fn read_from(
        &mut self,
        source: &mut impl Read,
        most_bytes: usize,
    ) -> io::Result<(usize, bool)> {
        debug_assert!(!self.has_unscanned(), "a read is for when no line is left");
        if !self.is_empty() {
            self.shorten_line();
            let left = self.cut.start..self.cut.end;
            self.bytes.copy_within(left, 0);
        }
        let cut = &mut self.cut;
        cut.end -= mem::take(&mut cut.start);
        cut.scanned = cut.end;
        let read_size = most_bytes.min(self.bytes.len() - self.line_limit.max(TOO_LONG_BYTES));
        let room = &mut self.bytes[cut.end..][..read_size];
        let count = loop {
            match source.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        cut.end += count;
        Ok((count, count == read_size))
    }

    /// The most bytes of a line.
    pub fn line_limit(&self) -> usize {
        self.line_limit
    }

    /// All that is left over, for what is not cut into lines.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.cut.start..self.cut.end]
    }

    /// Searches on for a newline, and returns all that is left over up to it and with it. Bytes that
    /// were searched are not searched again.
    pub fn through_newline(&mut self) -> Option<&[u8]> {
        let cut = &mut self.cut;
        let newline = memchr::memchr(b'\n', &self.bytes[cut.scanned..cut.end]);
        cut.scanned = newline.map_or(cut.end, |offset| cut.scanned + offset + 1);
        newline.map(|_| &self.bytes[cut.start..cut.scanned])
    }

    /// Takes so many bytes of what is left over.
    pub fn take(&mut self, count: usize) {
        self.cut.take(count);
    }

    /// The lines whose newline has come.
    pub fn lines(&mut self) -> Lines<'_> {
        Lines {
            bytes: &self.bytes,
            cut: &mut self.cut,
            line_limit: self.line_limit,
        }
    }
}

impl<'buffer> Lines<'buffer> {
    /// What follows the lines that were cut, and how much of it a line of so many bytes may take with its
    /// newline. Nothing if the beginning of the line is left out.
    #[inline]
    pub fn uncut(&self, line_bytes: usize) -> (&'buffer [u8], usize) {
        let Cut { start, end, .. } = *self.cut;
        let end = if self.cut.discarding { start } else { end };
        (&self.bytes[start..end], line_bytes.min(self.line_limit) + 1)
    }

    /// Whether nothing is left: no line and no beginning of one.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.cut.start == self.cut.end && !self.cut.discarding
    }

    /// Skips whole lines: the first `bytes` of what is [uncut](Self::uncut).
    #[inline]
    pub fn skip_lines(&mut self, bytes: usize) {
        self.cut.take(bytes);
    }

    /// Puts back the line that was cut last, which is whole: it comes again.
    pub fn put_back(&mut self) {
        // The lines before it end in newlines.
        let before = &self.bytes[..self.cut.start - 1];
        let newline = before.iter().rposition(|&byte| byte == b'\n');
        self.cut.start = newline.map_or(0, |newline| newline + 1);
        self.cut.scanned = self.cut.start;
    }
}

impl<'buffer> Iterator for Lines<'buffer> {
    type Item = Line<'buffer>;

    #[inline]
    fn next(&mut self) -> Option<Line<'buffer>> {
        let cut = &mut *self.cut;
        let Some(offset) = memchr::memchr(b'\n', &self.bytes[cut.scanned..cut.end]) else {
            cut.wait_for_more(self.line_limit);
            return None;
        };
        let line = &self.bytes[cut.start..cut.scanned + offset];
        cut.scanned += offset + 1;
        cut.start = cut.scanned;
        debug_assert!(cut.scanned <= cut.end);
        if !mem::take(&mut cut.discarding) && line.len() <= self.line_limit {
            return Some(Line::Whole(line));
        }
        Some(Line::TooLong(line))
    }
}

impl Cut {
    /// Hands out so many bytes.
    #[inline]
    fn take(&mut self, bytes: usize) {
        self.start += bytes;
        self.scanned = self.scanned.max(self.start);
        debug_assert!(self.start <= self.end);
    }

    /// Finds whether the unfinished line at the end is too long already.
    fn wait_for_more(&mut self, line_limit: usize) {
        self.discarding |= self.end - self.start > line_limit;
        self.scanned = self.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the lines of `input` are, by definition.
    fn naive_lines(input: &[u8], limit: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines: Vec<_> = input.split(|&byte| byte == b'\n').collect();
        lines.pop();
        lines
            .iter()
            .map(|line| (line.len() <= limit).then(|| line.to_vec()))
            .collect()
    }

    /// Reads `input` to its end by reads of at most `read_size` bytes, cutting at most `per_turn`
    /// lines a turn, with the left-over saved and loaded between turns.
    fn cut(
        mut input: &[u8],
        limit: usize,
        read_size: usize,
        per_turn: usize,
    ) -> Vec<Option<Vec<u8>>> {
        let whole = input;
        let mut buffer = LineBuffer::new(limit, read_size);
        let mut unread = Unread::default();
        let mut lines = Vec::new();
        loop {
            buffer.load(unread);
            if !buffer.has_unscanned() && buffer.read_from(&mut input, usize::MAX).unwrap().0 == 0 {
                return lines;
            }
            lines.extend(buffer.lines().take(per_turn).map(|line| match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong(kept) => {
                    let start = &kept[..kept.len().min(TOO_LONG_BYTES - TOO_LONG_END_BYTES)];
                    let end = &kept[kept.len() - kept.len().min(TOO_LONG_END_BYTES)..];
                    let is_of = |line: &[u8]| line.starts_with(start) && line.ends_with(end);
                    assert!(whole.split(|&byte| byte == b'\n').any(is_of));
                    None
                }
            }));
            unread = buffer.save();
            assert!(buffer.is_empty());
            assert!(unread.bytes.len() <= limit.max(TOO_LONG_BYTES) + read_size);
        }
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(
            input in "[ab]{0,150}\n[ab\n]{0,200}", limit in 1usize..60, read_size in 1usize..50, per_turn in 1usize..5,
        ) {
            prop_assert_eq!(
                cut(input.as_bytes(), limit, read_size, per_turn),
                naive_lines(input.as_bytes(), limit)
            );
        }
    }

    #[test]
    fn a_line_at_below_and_above_the_limit() {
        for (length, fits) in [(9, true), (10, true), (11, false), (1_000, false)] {
            let input = format!("{}\nnext\n", "x".repeat(length));
            for read_size in [1, 10, 11, 12, 5_000] {
                let lines = cut(input.as_bytes(), 10, read_size, usize::MAX);
                assert_eq!(lines.len(), 2, "{length} bytes by {read_size}");
                assert_eq!(lines[0].is_some(), fits, "{length} bytes by {read_size}");
                assert_eq!(lines[1].as_deref(), Some(&b"next"[..]));
            }
        }
    }

    #[test]
    fn to_skip_nothing_leaves_what_was_searched() {
        let mut buffer = LineBuffer::new(10, 8);
        buffer.read_from(&mut &b"part"[..], 8).unwrap();
        let mut lines = buffer.lines();
        assert_eq!(lines.next(), None);
        lines.skip_lines(0);
        assert!(!buffer.has_unscanned());
    }

    #[test]
    fn of_an_endless_line_only_the_beginning_and_the_end_are_kept() {
        let mut buffer = LineBuffer::new(10, 8);
        let mut unread = Unread::default();
        for _ in 0..1_000 {
            buffer.load(unread);
            assert_eq!(
                buffer.read_from(&mut &b"xxxxxxxx"[..], 8).unwrap(),
                (8, true)
            );
            assert_eq!(buffer.lines().next(), None);
            assert!(!buffer.is_empty());
            unread = buffer.save();
            assert!(unread.bytes.len() <= TOO_LONG_BYTES);
        }
    }
}
