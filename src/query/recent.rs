//! Short texts that were seen lately.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// Some of the texts that were added: so that one that comes again and again is mostly not searched for
/// among all.
#[derive(Debug)]
pub struct Recent {
    /// In groups, by the hashes of the texts. Their number is a power of two.
    entries: Vec<Entry>,
    /// How many were added to so many entries.
    added: usize,
    hasher: RandomState,
}

/// A text, after what is compared first: two bytes of its hash, its kind, and its length, counted from 1.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    head: [u8; 4],
    text: [u8; TEXT_BYTES],
}

/// Longer texts are not kept.
const TEXT_BYTES: usize = 28;

/// How many entries there are. They grow with what is added, between these bounds.
const ENTRIES_MIN: usize = 64;
const ENTRIES_MAX: usize = 4_096;

/// At how many entries a text may be.
const GROUP_ENTRIES: usize = 4;

impl Default for Recent {
    fn default() -> Recent {
        Recent {
            entries: vec![Entry::default(); ENTRIES_MIN],
            added: 0,
            hasher: RandomState::default(),
        }
    }
}

impl Recent {
    /// Whether a text of this kind is here. It may have been added and be gone again.
    pub fn has(&self, kind: u8, text: &str) -> bool {
        let (first, head) = self.place(kind, text);
        let text = text.as_bytes();
        self.entries[first..first + GROUP_ENTRIES]
            .iter()
            .any(|entry| entry.head == head && entry.text.get(..text.len()) == Some(text))
    }

    /// Adds a text of a kind, in the place of another one if there is no room.
    pub fn add(&mut self, kind: u8, text: &str) {
        if text.len() > TEXT_BYTES {
            return;
        }
        self.added += 1;
        if 4 * self.added > self.entries.len() && self.entries.len() < ENTRIES_MAX {
            self.entries = vec![Entry::default(); 4 * self.entries.len()];
        }
        let (first, head) = self.place(kind, text);
        let group = &mut self.entries[first..first + GROUP_ENTRIES];
        let vacant = group.iter().position(|entry| entry.head[3] == 0);
        let entry = &mut group[vacant.unwrap_or(usize::from(head[0]) % GROUP_ENTRIES)];
        entry.head = head;
        entry.text[..text.len()].copy_from_slice(text.as_bytes());
    }

    /// The first of the entries where a text may be, and the head that it has there.
    fn place(&self, kind: u8, text: &str) -> (usize, [u8; 4]) {
        let hash = self.hasher.hash_one(text);
        let [one, other, ..] = hash.to_be_bytes();
        let first = hash as usize & (self.entries.len() - GROUP_ENTRIES);
        (
            first,
            [one, other, kind, (text.len() as u8).wrapping_add(1)],
        )
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_was_added_lately_and_nothing_else() {
        let mut recent = Recent::default();
        let (mut found, mut count) = (0, 0);
        for number in 0..20_000_u32 {
            let (kind, length) = ((number % 3) as u8, number as usize % 40);
            let text = format!("{number:0length$}");
            assert!(!recent.has(kind, &text));
            recent.add(kind, &text);
            assert_eq!(recent.has(kind, &text), text.len() <= TEXT_BYTES);
            assert!(!recent.has(kind + 1, &text) && !recent.has(kind, &(text + "x")));
            let earlier = number / 8 * 7;
            let length = earlier as usize % 40;
            count += usize::from(number < 2_000 && length <= TEXT_BYTES);
            let has = recent.has((earlier % 3) as u8, &format!("{earlier:0length$}"));
            found += usize::from(number < 2_000 && has);
        }
        assert!(2 * found > count, "{found} of {count}");
        assert_eq!(recent.bytes(), ENTRIES_MAX * 32);
    }

    /// The length of a longer text may come out the same in a byte.
    #[test]
    fn long_texts_are_not_taken_for_short_ones() {
        let mut recent = Recent::default();
        for length in 0..600 {
            let text = "a".repeat(length);
            assert!(!recent.has(0, &text), "{length}");
            recent.add(0, &text);
        }
    }
}
