//! Lists series as it comes to them, in the order of their first put: in constant memory.

use std::mem;

use super::budget::Effort;
use super::json::push_string;
use super::walk::Walk;
use crate::config::Config;
use crate::http::{Failure, Halt, Pieces, push, push_all};
use crate::turn::Turn;

/// A list of series, as far as it is written.
pub struct Listing {
    walk: Walk,
    /// In lower case. A name is listed if it has all of these, its ASCII letters in either case.
    words: Vec<String>,
    /// How many more are listed at most.
    left: usize,
    /// What the list begins with, what is before and after each name, and what the list ends with.
    marks: [&'static str; 4],
    is_begun: bool,
}

impl Listing {
    /// All series: a list of names.
    pub fn all(turn: &Turn) -> Listing {
        Listing::new(Vec::new(), usize::MAX, ["[", "", "", "]"], turn)
    }

    /// At most so many series in whose names all of these words occur, as graphite-web completes names.
    ///
    /// # Errors
    ///
    /// If the words are too long.
    pub fn search(words: &str, most: usize, turn: &Turn) -> Result<Listing, Failure> {
        let words = words.split_whitespace().map(str::to_ascii_lowercase);
        let words: Vec<String> = words.collect();
        let limit = Config::WORDS_BYTES_MAX;
        if words.iter().map(String::len).sum::<usize>() > limit {
            return Err(format!("the words take more than {limit} bytes").into());
        }
        let each = [r#"{"path": "#, r#", "is_leaf": true}"#];
        let marks = [r#"{"metrics": ["#, each[0], each[1], "]}"];
        Ok(Listing::new(words, most, marks, turn))
    }

    fn new(words: Vec<String>, left: usize, marks: [&'static str; 4], turn: &Turn) -> Listing {
        let effort = Effort {
            fixed: words.len(),
            for_each_byte: words.len(),
        };
        Listing {
            walk: Walk::new(turn, effort),
            words,
            left,
            marks,
            is_begun: false,
        }
    }
}

impl Pieces for Listing {
    fn append(&mut self, turn: &mut Turn) -> Result<(), Halt> {
        let full_at = turn.replies.len() + turn.allowance.reply_bytes;
        let [begin, before, after, end] = self.marks;
        let walked = self.walk.go_on(turn, |key, out| {
            if self.left == 0 || out.len() >= full_at {
                return Err(Halt::Pause);
            }
            if has_all(key, &self.words) {
                let is_first = !mem::replace(&mut self.is_begun, true);
                push_all(out, &[if is_first { begin } else { ", " }, before]);
                push_string(out, key);
                push(out, after);
                self.left -= 1;
            }
            Ok(())
        });
        if self.left > 0 {
            walked?;
        }
        push_all(turn.replies, &[if self.is_begun { "" } else { begin }, end]);
        Ok(())
    }

    fn kept_bytes(&self) -> usize {
        let words = self.words.iter();
        let words = words.map(|word| size_of::<String>() + word.capacity());
        size_of::<Listing>() + words.sum::<usize>()
    }
}

/// Whether words in lower case occur in a key, whose letters of ASCII may be in either case. Takes time by
/// the length of the key for each.
fn has_all(key: &str, words: &[String]) -> bool {
    if words.is_empty() {
        return true;
    }
    let key = key.to_ascii_lowercase();
    words.iter().all(|word| {
        let mut windows = key.as_bytes().windows(word.len());
        windows.any(|window| window == word.as_bytes())
    })
}
