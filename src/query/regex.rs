//! Regular expressions, as Python reads them: what `grep`, `exclude` and `aliasSub` take.
//!
//! A search takes time in proportion to the expression and the text, since each place of the one is
//! tried at each place of the other once only (Cox, "Regular Expression Matching: the Virtual Machine
//! Approach", 2009, and RE2's `bitstate.cc`). A crate would do the same in 35 KB of the program; this
//! takes seven.
//!
//! There are no references to groups, no lookaround, and no flags but `(?i)` at the
//! beginning, which is for ASCII. `\d` and `\s` are ASCII, and all other characters are in `\w`.

use std::ops;

use super::number::integer;
use super::text::cut;
use crate::config::Config;

/// Characters from the first to the last, by their numbers.
type Range = (u32, u32);

const LAST: u32 = char::MAX as u32;
const NEWLINE: &[Range] = &[(0x0a, 0x0a)];
const DIGIT: &[Range] = &[(0x30, 0x39)];
const SPACE: &[Range] = &[(0x09, 0x0d), (0x1c, 0x20)];
const WORD: &[Range] = &[
    (0x30, 0x39),
    (0x41, 0x5a),
    (0x5f, 0x5f),
    (0x61, 0x7a),
    (0x80, LAST),
];

/// A compiled expression.
#[derive(Debug)]
pub struct Regex {
    program: Vec<Step>,
    /// Those that its steps take.
    ranges: Vec<Range>,
    /// The names of groups, by their numbers; empty if a group has none.
    names: Vec<String>,
    ignores_case: bool,
}

/// A step of a program. Where it goes on elsewhere than after itself, the distance is counted from itself.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Takes a character that is in the ranges from the first index up to before the second; or, if the flag is
    /// `true`, one that is in none of them.
    Take(usize, usize, bool),
    /// Goes on in the first place, or, if this fails, in the second.
    Split(isize, isize),
    Jump(isize),
    /// Notes where a group begins or ends.
    Save(usize),
    AtStart,
    AtEnd,
    /// `\b`, or `\B` if the flag is `false`.
    AtWordEdge(bool),
    Found,
}

/// Where an expression was found, and its groups: of each, two positions.
#[derive(Debug)]
pub struct Found(Vec<Option<usize>>);

impl Found {
    /// Where a group matched; group 0 is the whole match. `None` if it took no part. Panics if there is no such
    /// group.
    pub fn group(&self, number: usize) -> Option<ops::Range<usize>> {
        Some(self.0[2 * number]?..self.0[2 * number + 1]?)
    }
}

impl Regex {
    /// Compiles an expression. `None` if it is malformed, too large, or has what is not offered here.
    pub fn new(text: &str) -> Option<Regex> {
        let after_flag = text.strip_prefix("(?i)");
        let mut compiler = Compiler {
            rest: after_flag.unwrap_or(text),
            program: Vec::new(),
            ranges: Vec::new(),
            names: vec![String::new()],
        };
        compiler.alternatives(0)?;
        compiler.program.insert(0, Step::Save(0));
        compiler.program.extend([Step::Save(1), Step::Found]);
        compiler.rest.is_empty().then_some(Regex {
            program: compiler.program,
            ranges: compiler.ranges,
            names: compiler.names,
            ignores_case: after_flag.is_some(),
        })
    }

    /// How many bytes of text may be searched at once, in all searches together.
    pub fn searched_bytes_max(&self) -> usize {
        Config::REGEX_TRIED_MAX / size(&self.program)
    }

    /// Bytes that it takes, about.
    pub fn allocated_bytes(&self) -> usize {
        2 * size_of::<Step>() * size(&self.program)
    }

    /// The number of the group of this name or number.
    pub fn group(&self, name: &str) -> Option<usize> {
        let mut names = self.names.iter();
        let named = names.position(|known| !known.is_empty() && known == name);
        named.or_else(|| name.parse().ok().filter(|at| *at < self.names.len()))
    }

    /// Whether it is found in `text`.
    pub fn is_found(&self, text: &str) -> bool {
        self.find(text, 0, false).is_some()
    }

    /// The first place at or after `from` where it is found; not one without characters at `from`
    /// itself if `must_advance`.
    pub fn find(&self, text: &str, from: usize, must_advance: bool) -> Option<Found> {
        // A bit for each step of the program at each position: what was tried has failed.
        let mut tried = vec![0u64; (self.program.len() * (text.len() - from + 1)).div_ceil(64)];
        let mut found = Found(vec![None; 2 * self.names.len()]);
        let mut jobs = Vec::new();
        for start in (from..=text.len()).filter(|&at| text.is_char_boundary(at)) {
            jobs.push(Job::Try(0, start));
            while let Some(job) = jobs.pop() {
                let (step, at) = match job {
                    Job::Try(step, at) => (step, at),
                    Job::Restore(place, before) => {
                        found.0[place] = before;
                        continue;
                    }
                };
                let bit = (at - from) * self.program.len() + step;
                let (word, mask) = (&mut tried[bit / 64], 1 << (bit % 64));
                if *word & mask != 0 {
                    continue;
                }
                *word |= mask;
                let next = text[at..].chars().next();
                let go = |distance| Job::Try(step.wrapping_add_signed(distance), at);
                let is_passed = match self.program[step] {
                    Step::Found if must_advance && at == from => false,
                    Step::Found => return Some(found),
                    Step::Split(first, second) => {
                        jobs.extend([go(second), go(first)]);
                        false
                    }
                    Step::Jump(distance) => {
                        jobs.push(go(distance));
                        false
                    }
                    Step::Save(place) => {
                        jobs.push(Job::Restore(place, found.0[place].replace(at)));
                        true
                    }
                    Step::Take(first, end, is_negated) => {
                        let ranges = &self.ranges[first..end];
                        let taken = next.filter(|&next| self.is_in(next, ranges) != is_negated);
                        jobs.extend(taken.map(|next| Job::Try(step + 1, at + next.len_utf8())));
                        false
                    }
                    Step::AtStart => at == 0,
                    Step::AtEnd => next.is_none(),
                    Step::AtWordEdge(is_edge) => {
                        let before = text[..at].chars().next_back();
                        let is_word = |it: Option<char>| it.is_some_and(|it| is_one_of(it, WORD));
                        (is_word(before) != is_word(next)) == is_edge
                    }
                };
                if is_passed {
                    jobs.push(go(1));
                }
            }
        }
        None
    }

    fn is_in(&self, char: char, ranges: &[Range]) -> bool {
        let folded = [char.to_ascii_lowercase(), char.to_ascii_uppercase()];
        is_one_of(char, ranges)
            || self.ignores_case && folded.iter().any(|&char| is_one_of(char, ranges))
    }
}

/// What is left to try in a search.
enum Job {
    /// To go on with a step at a position.
    Try(usize, usize),
    /// To forget where a group began or ended, and take what was before.
    Restore(usize, Option<usize>),
}

fn is_one_of(char: char, ranges: &[Range]) -> bool {
    let is_inside = |&(first, last): &Range| (first..=last).contains(&char.into());
    ranges.iter().any(is_inside)
}

/// Reads an expression from left to right, and appends to its program. Its functions return `None` if it is
/// none.
struct Compiler<'text> {
    rest: &'text str,
    program: Vec<Step>,
    ranges: Vec<Range>,
    /// See [`Regex::names`].
    names: Vec<String>,
}

impl Compiler<'_> {
    fn takes(&mut self, wanted: &str) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    /// What is between bars: atoms in their order, with how often each may be there.
    fn alternatives(&mut self, depth: usize) -> Option<()> {
        let (mut start, mut jumps) = (self.program.len(), Vec::new());
        while !self.rest.is_empty() && !self.rest.starts_with(')') {
            if self.takes("|") {
                let others = self.program.len() - start + 2;
                self.program.insert(start, Step::Split(1, others as isize));
                jumps.push(self.program.len());
                self.program.push(Step::Jump(0));
                start = self.program.len();
            } else {
                let atom = self.program.len();
                self.atom(depth)?;
                self.repeat(atom)?;
            }
            fitting(size(&self.program))?;
        }
        let end = self.program.len();
        for jump in jumps {
            self.program[jump] = Step::Jump((end - jump) as isize);
        }
        Some(())
    }

    fn atom(&mut self, depth: usize) -> Option<()> {
        if self.rest.starts_with('{') && self.counts().is_some() {
            return None;
        }
        let first = self.ranges.len();
        let step = match self.next()? {
            '(' => return self.group(depth),
            '[' => return self.class(),
            '^' => Step::AtStart,
            '$' => Step::AtEnd,
            '*' | '+' | '?' => return None,
            '\\' if self.takes("A") => Step::AtStart,
            '\\' if self.takes("Z") => Step::AtEnd,
            '\\' if self.takes("b") => Step::AtWordEdge(true),
            '\\' if self.takes("B") => Step::AtWordEdge(false),
            char => {
                match char {
                    '.' => self.others(NEWLINE)?,
                    char => self.character(char)?,
                }
                Step::Take(first, self.ranges.len(), false)
            }
        };
        self.program.push(step);
        Some(())
    }

    fn group(&mut self, depth: usize) -> Option<()> {
        let number = self.names.len();
        if depth == Config::REGEX_DEPTH_MAX || number == Config::REGEX_GROUPS_MAX {
            return None;
        }
        let is_counted = !self.takes("?:");
        if is_counted {
            let mut name = "";
            if self.takes("?P<") {
                (name, self.rest) = cut(self.rest, '>')?;
            } else if self.rest.starts_with('?') {
                return None;
            }
            self.names.push(name.into());
            self.program.push(Step::Save(2 * number));
        }
        self.alternatives(depth + 1)?;
        if is_counted {
            self.program.push(Step::Save(2 * number + 1));
        }
        self.takes(")").then_some(())
    }

    /// Repeats the atom that begins at `start` as often as what follows it says.
    fn repeat(&mut self, start: usize) -> Option<()> {
        let (least, most) = match self.rest.as_bytes().first() {
            _ if self.takes("*") => (0, None),
            _ if self.takes("+") => (1, None),
            _ if self.takes("?") => (0, Some(1)),
            Some(b'{') => match self.counts() {
                Some(counts) => counts,
                None => return Some(()),
            },
            _ => return Some(()),
        };
        let is_lazy = self.takes("?");
        let atom = self.program.split_off(start);
        if matches!(
            atom[..],
            [Step::AtStart | Step::AtEnd | Step::AtWordEdge(_)]
        ) || self.rest.starts_with(['*', '+', '?'])
            || most.is_some_and(|most| most < least)
        {
            return None;
        }
        fitting(most.unwrap_or(least).max(1) * size(&atom).max(1))?;
        for _ in 0..least {
            self.program.extend_from_slice(&atom);
        }
        let length = atom.len() as isize;
        for left in (0..most.map_or(1, |most| most - least)).rev() {
            // Past the optional repetitions that are left, or past the jump back.
            let further = most.map_or(1, |_| left as isize * (length + 1));
            let after = length + 1 + further;
            let (first, second) = if is_lazy { (after, 1) } else { (1, after) };
            self.program.push(Step::Split(first, second));
            self.program.extend_from_slice(&atom);
        }
        if most.is_none() {
            self.program.push(Step::Jump(-length - 1));
        }
        Some(())
    }

    /// Counts in braces. `None` if the braces are ordinary characters.
    fn counts(&mut self) -> Option<(usize, Option<usize>)> {
        let (inside, rest) = cut(&self.rest[1..], '}')?;
        let (least, most) = cut(inside, ',').unwrap_or((inside, inside));
        let is_digit = |byte: u8| byte.is_ascii_digit();
        if inside.is_empty() || !least.bytes().chain(most.bytes()).all(is_digit) {
            return None;
        }
        self.rest = rest;
        // What has too many digits is too much.
        let count = |digits: &str| {
            let count = integer(digits).and_then(|count| usize::try_from(count).ok());
            let count = count.unwrap_or(usize::MAX).min(Config::REGEX_COUNT_MAX);
            (!digits.is_empty()).then_some(count)
        };
        Some((count(least).unwrap_or(0), count(most)))
    }

    /// What is in brackets.
    fn class(&mut self) -> Option<()> {
        let is_negated = self.takes("^");
        let first = self.ranges.len();
        loop {
            let start = fitting(self.ranges.len() - first)? + first;
            match self.next()? {
                ']' if start > first => break,
                '\\' if self.takes("b") => self.ranges.push((0x08, 0x08)),
                char => self.character(char)?,
            }
            if !self.rest.starts_with('-') || self.rest.starts_with("-]") {
                continue;
            }
            self.takes("-");
            let last = self.next()?;
            self.character(last)?;
            match self.ranges[start..] {
                [(first, same), (last, also)] if first == same && last == also && first <= last => {
                    self.ranges.truncate(start);
                    self.ranges.push((first, last));
                }
                _ => return None,
            }
        }
        let end = self.ranges.len();
        self.program.push(Step::Take(first, end, is_negated));
        Some(())
    }

    /// A character, or what a backslash stands for with what follows it.
    fn character(&mut self, char: char) -> Option<()> {
        let char = match char {
            '\\' => match self.next()? {
                'd' => return self.these(DIGIT),
                'D' => return self.others(DIGIT),
                's' => return self.these(SPACE),
                'S' => return self.others(SPACE),
                'w' => return self.these(WORD),
                'W' => return self.others(WORD),
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'f' => '\x0c',
                'v' => '\x0b',
                'a' => '\x07',
                char if char.is_ascii_alphanumeric() => return None,
                char => char,
            },
            char => char,
        };
        self.these(&[(char.into(), char.into())])
    }

    /// The characters in these ranges.
    fn these(&mut self, ranges: &[Range]) -> Option<()> {
        self.ranges.extend(ranges);
        Some(())
    }

    /// All characters that are not in these ranges, which are in order.
    fn others(&mut self, ranges: &[Range]) -> Option<()> {
        let mut start = 0;
        for &(first, last) in ranges {
            if start < first {
                self.ranges.push((start, first - 1));
            }
            start = last + 1;
        }
        if start <= LAST {
            self.ranges.push((start, LAST));
        }
        Some(())
    }
}

/// A size, unless it is too much.
fn fitting(size: usize) -> Option<usize> {
    (size <= Config::REGEX_STEPS_MAX).then_some(size)
}

/// How many steps there are, where one that takes several ranges counts for each.
fn size(steps: &[Step]) -> usize {
    let of_step = |step: &Step| match step {
        Step::Take(first, end, _) => end - first,
        _ => 1,
    };
    steps.iter().map(of_step).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_found_is_what_python_finds() {
        let table = include_str!("../../tests/graphite/regexes.tsv");
        let mut count = 0;
        let mut differing = Vec::new();
        for row in table.lines().filter(|row| !row.starts_with('#')) {
            let cells: Vec<&str> = row.split('\t').collect();
            let [pattern, text, expected] = cells[..] else {
                panic!("a pattern, a text and what is found: {row}");
            };
            let found = match Regex::new(pattern) {
                None => String::from("error"),
                Some(regex) => regex.find(text, 0, false).map_or("-".into(), |found| {
                    let group = |at| {
                        found
                            .group(at)
                            .map_or("-".into(), |at| format!("{}:{}", at.start, at.end))
                    };
                    let groups = (0..regex.names.len()).map(group);
                    groups.collect::<Vec<String>>().join(" ")
                }),
            };
            if found != expected {
                differing.push(format!(
                    "{pattern} in {text}: {found}, in Python {expected}"
                ));
            }
            count += 1;
        }
        assert!(count >= 1000, "only {count} rows");
        assert!(
            differing.is_empty(),
            "{} differ:\n{}",
            differing.len(),
            differing.join("\n")
        );
    }

    #[test]
    fn an_expression_of_bounded_size_is_taken() {
        let steps = |count: usize| format!("a{{{count}}}");
        assert!(Regex::new(&steps(Config::REGEX_STEPS_MAX)).is_some());
        assert!(Regex::new(&steps(Config::REGEX_STEPS_MAX + 1)).is_none());
        let groups = |count: usize| "(".repeat(count) + &")".repeat(count);
        assert!(Regex::new(&groups(Config::REGEX_DEPTH_MAX)).is_some());
        assert!(Regex::new(&groups(Config::REGEX_DEPTH_MAX + 1)).is_none());
        assert!(Regex::new(&"()".repeat(Config::REGEX_GROUPS_MAX - 1)).is_some());
        assert!(Regex::new(&"()".repeat(Config::REGEX_GROUPS_MAX)).is_none());
        let class = |characters: usize, count| format!("[{}]{{{count}}}", "x".repeat(characters));
        for (characters, count) in [
            (Config::REGEX_STEPS_MAX, 1),
            (8, Config::REGEX_STEPS_MAX / 8),
        ] {
            let regex = Regex::new(&class(characters, count)).expect("it fits");
            assert!(
                regex.searched_bytes_max() * Config::REGEX_STEPS_MAX <= Config::REGEX_TRIED_MAX
            );
            assert!(Regex::new(&class(characters + 1, count)).is_none());
        }
        assert!(Regex::new(&class(60_000, 500)).is_none());
        assert!(Regex::new(&"|".repeat(60_000)).is_none());
        assert!(Regex::new(&"a{999}".repeat(10_000)).is_none());
    }

    #[test]
    fn no_search_takes_long() {
        let regex = Regex::new("(a*)*(a*)*(a|aa)*b$").expect("it is one");
        assert!(!regex.is_found(&"a".repeat(4_096)));
    }

    proptest! {
        #[test]
        fn no_expression_makes_it_panic(pattern in "[a-cé(){}|*+?.^$\\[\\]\\\\,0-9<>:P-]{0,30}", text in "[a-cé1 ]{0,20}") {
            if let Some(regex) = Regex::new(&pattern) {
                let mut from = 0;
                while let Some(all) = regex.find(&text, from, from > 0).and_then(|found| found.group(0)) {
                    prop_assert!(from <= all.start && all.start <= all.end && text.is_char_boundary(all.end));
                    prop_assert!(from == 0 || from < all.end);
                    from = all.end;
                    if from == 0 { break; }
                }
            }
        }
    }
}
