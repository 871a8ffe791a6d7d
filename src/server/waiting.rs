//! Replies that wait for a commit.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;
use std::ops::Range;

use crate::protocol::response;

/// Replies that wait for a commit, in the order of the commits. All share a few buffers, so that none
/// costs an allocation.
#[derive(Debug, Default)]
pub struct WaitingReplies {
    queue: VecDeque<Waiting>,
    /// `bytes[sent..]` are those of the replies in the queue; `sent <= bytes.len()`.
    bytes: Vec<u8>,
    sent: usize,
    /// Which of them are replies to puts, counted from the first reply of their connection.
    puts: VecDeque<Range<usize>>,
}

/// Replies of a connection.
#[derive(Debug)]
struct Waiting {
    key: usize,
    /// Of the commit; `None` while it is not submitted.
    number: Option<u64>,
    bytes: usize,
    /// How many ranges of them are replies to puts.
    puts: usize,
}

impl Waiting {
    fn kept_bytes(&self) -> usize {
        self.bytes + self.puts * size_of::<Range<usize>>()
    }
}

/// Replies that wait no longer.
pub struct Leaving<'waiting> {
    pub key: usize,
    /// Bytes that were kept for them.
    pub kept_bytes: usize,
    pub replies: Cow<'waiting, [u8]>,
    /// To how many puts they are refusals, since these are not stored.
    pub refused: u64,
}

/// A buffer of so many bytes is kept though nothing is in it.
const BUFFER_BYTES: usize = 64 << 10;

impl WaitingReplies {
    /// Appends the replies of a connection, of which `puts` wait for the commit of this number, or for
    /// one that is not submitted yet. Returns how many bytes are kept for them: none, and nothing is
    /// appended, if there are no puts.
    pub fn push(
        &mut self,
        key: usize,
        number: Option<u64>,
        replies: &[u8],
        puts: impl Iterator<Item = Range<usize>>,
    ) -> usize {
        let before = self.puts.len();
        self.puts.extend(puts);
        let waiting = Waiting {
            key,
            number,
            bytes: replies.len(),
            puts: self.puts.len() - before,
        };
        if waiting.puts == 0 {
            return 0;
        }
        self.bytes.extend_from_slice(replies);
        let kept_bytes = waiting.kept_bytes();
        self.queue.push_back(waiting);
        kept_bytes
    }

    /// Says that all those without a number wait for the commit of this number.
    pub fn submitted(&mut self, number: u64) {
        let new = self.queue.iter_mut().rev();
        for waiting in new.take_while(|waiting| waiting.number.is_none()) {
            waiting.number = Some(number);
        }
    }

    /// The number of the commit that the first of them wait for, if it is submitted.
    pub fn next_number(&self) -> Option<u64> {
        self.queue.front()?.number
    }

    /// Takes the first of them, with refusals in place of the replies to puts if these are not stored.
    pub fn pop(&mut self, are_stored: bool) -> Option<Leaving<'_>> {
        let waiting = self.queue.pop_front()?;
        let start = self.sent;
        self.sent += waiting.bytes;
        let replies = &self.bytes[start..self.sent];
        let puts = self.puts.drain(..waiting.puts);
        let mut leaving = Leaving {
            key: waiting.key,
            kept_bytes: waiting.kept_bytes(),
            replies: Cow::Borrowed(replies),
            refused: 0,
        };
        if !are_stored {
            let puts: Vec<_> = puts.collect();
            let put_bytes: usize = puts.iter().map(Range::len).sum();
            leaving.refused = (put_bytes / response::OK.len()) as u64;
            leaving.replies = response::deny(replies, &puts).into();
        }
        Some(leaving)
    }

    /// Frees memory that is not needed any more. No more bytes are moved than have left since the last
    /// time.
    pub fn trim(&mut self) {
        if 2 * self.sent >= self.bytes.len() {
            self.bytes.drain(..mem::take(&mut self.sent));
        }
        let used = BUFFER_BYTES.max(2 * self.bytes.len());
        if self.bytes.capacity() > 2 * used {
            self.bytes.shrink_to(used);
        }
    }

    /// Bytes that are kept for all of them.
    #[cfg(test)]
    pub fn kept_bytes(&self) -> usize {
        self.queue.iter().map(Waiting::kept_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    #[test]
    fn replies_leave_in_order_and_as_their_commits_have_ended() {
        let mut waiting = WaitingReplies::default();
        assert_eq!(waiting.push(7, Some(1), b"error\n", iter::empty()), 0);
        let replies = [&b"ok\n\n"[..], b"error\nok\n\nok\n\n", b"ok\n\nok\n\nwrong"];
        let mut kept_bytes = 0;
        for (key, (replies, puts)) in replies.iter().zip([0..4, 6..14, 0..8]).enumerate() {
            let number = (key == 0).then_some(3);
            kept_bytes += waiting.push(key, number, replies, iter::once(puts));
        }
        let reply_bytes: usize = replies.iter().map(|replies| replies.len()).sum();
        assert_eq!(kept_bytes, reply_bytes + 3 * size_of::<Range<usize>>());
        assert_eq!(waiting.kept_bytes(), kept_bytes);
        assert_eq!(waiting.next_number(), Some(3));
        waiting.submitted(4);
        let refused = [&b"error\n"[..], response::NOT_STORED, response::NOT_STORED];
        for (key, are_stored, expected) in [
            (0, true, replies[0]),
            (1, false, &refused.concat()),
            (2, true, replies[2]),
        ] {
            let leaving = waiting.pop(are_stored).expect("it waits");
            assert_eq!((leaving.key, &*leaving.replies), (key, expected));
            assert_eq!(leaving.refused, if are_stored { 0 } else { 2 });
            kept_bytes -= leaving.kept_bytes;
            waiting.trim();
            assert_eq!(waiting.next_number(), (key < 2).then_some(4));
        }
        assert!(waiting.pop(true).is_none());
        assert_eq!((kept_bytes, waiting.kept_bytes()), (0, 0));
    }

    #[test]
    fn no_more_bytes_are_moved_than_have_left() {
        let mut waiting = WaitingReplies::default();
        for _ in 0..3 {
            waiting.push(0, Some(1), &[0; 1_000], iter::once(0..4));
        }
        for expected in [(1_000, 3_000), (0, 1_000), (0, 0)] {
            waiting.pop(true);
            waiting.trim();
            assert_eq!((waiting.sent, waiting.bytes.len()), expected);
        }
    }

    #[test]
    fn memory_of_replies_that_have_left_is_freed() {
        let mut waiting = WaitingReplies::default();
        for _ in 0..1_000 {
            for _ in 0..2 {
                waiting.push(0, Some(1), &[0; 1_000], iter::once(0..4));
            }
            waiting.pop(true);
            waiting.trim();
            waiting.pop(true);
            waiting.push(0, Some(1), &[0; 1_000], iter::once(0..4));
            waiting.trim();
            waiting.pop(true);
            waiting.trim();
            assert!(waiting.bytes.capacity() < 10_000);
        }
        for bytes in [3 * BUFFER_BYTES, 4] {
            waiting.push(0, Some(1), &vec![0; bytes], iter::once(0..4));
        }
        // Though some still wait.
        waiting.pop(true);
        waiting.trim();
        assert_eq!(waiting.bytes.len(), 4);
        assert!(waiting.bytes.capacity() <= BUFFER_BYTES);
    }

    #[test]
    fn a_buffer_is_kept_unless_it_is_much_larger_than_what_waits() {
        for (waiting_bytes, capacity, expected) in [
            (4, 2 * BUFFER_BYTES, 2 * BUFFER_BYTES),
            (4, 2 * BUFFER_BYTES + 1, BUFFER_BYTES),
            (BUFFER_BYTES, 4 * BUFFER_BYTES, 4 * BUFFER_BYTES),
            (BUFFER_BYTES, 4 * BUFFER_BYTES + 1, 2 * BUFFER_BYTES),
        ] {
            let mut waiting = WaitingReplies {
                bytes: Vec::with_capacity(capacity),
                ..WaitingReplies::default()
            };
            waiting.push(0, Some(1), &vec![0; waiting_bytes], iter::once(0..4));
            waiting.trim();
            assert_eq!(waiting.bytes.capacity(), expected);
        }
    }
}
