//! Regular expressions, as Python reads them: what `grep`, `exclude` and `aliasSub` take.
//!
//! A search takes time in proportion to the expression and the text, since each place of the one is
//! tried at each place of the other once only (Cox, "Regular Expression Matching: the Virtual Machine
//! Approach", 2009, and RE2's `bitstate.cc`). A crate would do the same in 35 KB of the program; this
//! takes seven.
//!
//! There are no references to groups, no looking ahead or behind, and no flags but `(?i)` at the
//! beginning, which is for ASCII. `\d` and `\s` are ASCII, and all other characters are in `\w`.

use super::number::integer;
use crate::config::Config;

/// Characters from the first to the last.
type Range = (char, char);

const DIGIT: &[Range] = &[('0', '9')];
const NOT_DIGIT: &[Range] = &[('\0', '/'), (':', char::MAX)];
const SPACE: &[Range] = &[('\t', '\r'), ('\x1c', ' ')];
const NOT_SPACE: &[Range] = &[('\0', '\x08'), ('\x0e', '\x1b'), ('!', char::MAX)];
const WORD: &[Range] = &[
    ('0', '9'),
    ('A', 'Z'),
    ('_', '_'),
    ('a', 'z'),
    ('\u{80}', char::MAX),
];
const NOT_WORD: &[Range] = &[
    ('\0', '/'),
    (':', '@'),
    ('[', '^'),
    ('`', '`'),
    ('{', '\x7f'),
];
const ANY: &[Range] = &[('\0', '\x09'), ('\x0b', char::MAX)];

/// A compiled expression.
#[derive(Debug, Default)]
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
    /// Takes a character of so many ranges from the first one on; if it is negated, any other.
    Take {
        first: usize,
        count: usize,
        is_negated: bool,
    },
    /// Goes on in the first place, or, if this fails, in the second.
    Split(isize, isize),
    Jump(isize),
    /// Notes where a group begins or ends.
    Save(usize),
    AtStart,
    AtEnd,
    /// Is between a character of a word and one that is none, or is not.
    AtWordEdge(bool),
    Found,
}

/// Where an expression was found, and its groups: of each, two positions.
#[derive(Debug)]
pub struct Found(Vec<Option<usize>>);

impl Found {
    /// Where a group was found; group 0 is all. `None` if it was not, or there is none.
    pub fn group(&self, number: usize) -> Option<std::ops::Range<usize>> {
        let at = number.checked_mul(2)?;
        Some((*self.0.get(at)?)?..(*self.0.get(at + 1)?)?)
    }
}

impl Regex {
    /// Compiles an expression. `None` if it is none, is not offered here, or is too large.
    pub fn new(text: &str) -> Option<Regex> {
        let rest = text.strip_prefix("(?i)");
        let mut compiler = Compiler {
            rest: rest.unwrap_or(text),
            regex: Regex {
                program: vec![Step::Save(0)],
                names: vec![String::new()],
                ignores_case: rest.is_some(),
                ..Regex::default()
            },
        };
        compiler.alternatives(0)?;
        let mut regex = compiler.regex;
        regex.program.extend([Step::Save(1), Step::Found]);
        compiler.rest.is_empty().then_some(regex)
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
        let mut search = Search {
            regex: self,
            text,
            from,
            must_advance,
            tried: vec![0; (self.program.len() * (text.len() - from + 1)).div_ceil(64)],
            found: Found(vec![None; 2 * self.names.len()]),
        };
        let mut starts = (from..=text.len()).filter(|&at| text.is_char_boundary(at));
        let is_found = starts.any(|start| search.run(start));
        is_found.then_some(search.found)
    }
}

/// A search in a text.
struct Search<'search> {
    regex: &'search Regex,
    text: &'search str,
    from: usize,
    must_advance: bool,
    /// A bit for each step of the program at each position: what was tried has failed.
    tried: Vec<u64>,
    found: Found,
}

/// What is left to try.
enum Job {
    /// To go on with a step at a position.
    Try(usize, usize),
    /// To forget where a group began or ended, and take what was before.
    Restore(usize, Option<usize>),
}

impl Search<'_> {
    /// Whether it is found at `start`.
    fn run(&mut self, start: usize) -> bool {
        let mut jobs = vec![Job::Try(0, start)];
        while let Some(job) = jobs.pop() {
            match job {
                Job::Restore(place, before) => self.found.0[place] = before,
                Job::Try(step, at) => {
                    if self.follow(step, at, &mut jobs) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Follows a program from a step until it fails or it is found.
    fn follow(&mut self, mut step: usize, mut at: usize, jobs: &mut Vec<Job>) -> bool {
        let program = &self.regex.program;
        loop {
            let bit = (at - self.from) * program.len() + step;
            let tried = &mut self.tried[bit / 64];
            if *tried & 1 << (bit % 64) != 0 {
                return false;
            }
            *tried |= 1 << (bit % 64);
            let mut goes_to = 1;
            let next = self.text[at..].chars().next();
            let is_passed = match program[step] {
                Step::Take {
                    first,
                    count,
                    is_negated,
                } => next.is_some_and(|next| {
                    at += next.len_utf8();
                    self.is_in(next, &self.regex.ranges[first..][..count]) != is_negated
                }),
                Step::Split(first, second) => {
                    jobs.push(Job::Try(step.wrapping_add_signed(second), at));
                    goes_to = first;
                    true
                }
                Step::Jump(distance) => {
                    goes_to = distance;
                    true
                }
                Step::Save(place) => {
                    let before = self.found.0[place].replace(at);
                    jobs.push(Job::Restore(place, before));
                    true
                }
                Step::AtStart => at == 0,
                Step::AtEnd => next.is_none(),
                Step::AtWordEdge(is_edge) => {
                    let before = self.text[..at].chars().next_back();
                    let is_word =
                        |char: Option<char>| char.is_some_and(|char| is_one_of(char, WORD));
                    (is_word(before) != is_word(next)) == is_edge
                }
                Step::Found if self.must_advance && at == self.from => false,
                Step::Found => return true,
            };
            if !is_passed {
                return false;
            }
            step = step.wrapping_add_signed(goes_to);
        }
    }

    fn is_in(&self, char: char, ranges: &[Range]) -> bool {
        let folded = |char: char| self.regex.ignores_case && is_one_of(char, ranges);
        is_one_of(char, ranges)
            || folded(char.to_ascii_lowercase())
            || folded(char.to_ascii_uppercase())
    }
}

fn is_one_of(char: char, ranges: &[Range]) -> bool {
    let is_inside = |&(first, last): &Range| first <= char && char <= last;
    ranges.iter().any(is_inside)
}

/// Reads an expression from left to right, and appends to its program. Its functions return `None` if it is
/// none.
struct Compiler<'text> {
    rest: &'text str,
    regex: Regex,
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

    /// What is between bars.
    fn alternatives(&mut self, depth: usize) -> Option<()> {
        let (mut total, mut jumps) = (0, Vec::new());
        loop {
            let start = self.regex.program.len();
            total = fitting(total + self.sequence(depth)?)?;
            if !self.takes("|") {
                break;
            }
            total += 2;
            let others = self.regex.program.len() - start + 2;
            self.regex
                .program
                .insert(start, Step::Split(1, others as isize));
            jumps.push(self.regex.program.len());
            self.regex.program.push(Step::Jump(0));
        }
        let end = self.regex.program.len();
        for jump in jumps {
            self.regex.program[jump] = Step::Jump((end - jump) as isize);
        }
        Some(())
    }

    /// What follows each other, with how often it may. Returns its [size].
    fn sequence(&mut self, depth: usize) -> Option<usize> {
        let mut total = 0;
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let start = self.regex.program.len();
            self.atom(depth)?;
            self.repeat(start)?;
            total = fitting(total + size(&self.regex.program[start..]))?;
        }
        Some(total)
    }

    fn atom(&mut self, depth: usize) -> Option<()> {
        if self.rest.starts_with('{') && self.counts().is_some() {
            return None;
        }
        let first = self.regex.ranges.len();
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
            '.' => {
                self.regex.ranges.extend_from_slice(ANY);
                self.take(first, false)
            }
            char => {
                self.character(char)?;
                self.take(first, false)
            }
        };
        self.regex.program.push(step);
        Some(())
    }

    fn group(&mut self, depth: usize) -> Option<()> {
        let number = self.regex.names.len();
        if depth == Config::REGEX_DEPTH_MAX || number == Config::REGEX_GROUPS_MAX {
            return None;
        }
        let is_counted = !self.takes("?:");
        if is_counted {
            let mut name = "";
            if self.takes("?P<") {
                (name, self.rest) = self.rest.split_once('>')?;
            } else if self.rest.starts_with('?') {
                return None;
            }
            self.regex.names.push(name.into());
            self.regex.program.push(Step::Save(2 * number));
        }
        self.alternatives(depth + 1)?;
        if is_counted {
            self.regex.program.push(Step::Save(2 * number + 1));
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
        let program = &mut self.regex.program;
        let atom = program.split_off(start);
        let is_assertion = matches!(
            atom[..],
            [Step::AtStart | Step::AtEnd | Step::AtWordEdge(_)]
        );
        if is_assertion
            || self.rest.starts_with(['*', '+', '?'])
            || most.is_some_and(|most| most < least)
        {
            return None;
        }
        fitting(most.unwrap_or(least).max(1) * size(&atom).max(1))?;
        let split = |inside: usize| match (inside as isize + 1, is_lazy) {
            (after, false) => Step::Split(1, after),
            (after, true) => Step::Split(after, 1),
        };
        for _ in 0..least {
            program.extend_from_slice(&atom);
        }
        let length = atom.len();
        for left in (0..most.map_or(1, |most| most - least)).rev() {
            program.push(match most {
                Some(_) => split(length + left * (length + 1)),
                None => split(length + 1),
            });
            program.extend_from_slice(&atom);
        }
        if most.is_none() {
            program.push(Step::Jump(-(length as isize) - 1));
        }
        Some(())
    }

    /// Counts in braces. `None` if the braces are ordinary characters.
    fn counts(&mut self) -> Option<(usize, Option<usize>)> {
        let (inside, rest) = self.rest[1..].split_once('}')?;
        let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
        let is_digit = |byte: u8| byte.is_ascii_digit();
        if inside.is_empty() || !least.bytes().chain(most.bytes()).all(is_digit) {
            return None;
        }
        self.rest = rest;
        let most_count = Config::REGEX_COUNT_MAX;
        let count = |text: &str| match integer(text) {
            Some(count) => Some(usize::try_from(count).map_or(most_count, |it| it.min(most_count))),
            None => (!text.is_empty()).then_some(most_count),
        };
        Some((count(least).unwrap_or(0), count(most)))
    }

    /// A step that takes the ranges from `first` on.
    fn take(&self, first: usize, is_negated: bool) -> Step {
        Step::Take {
            first,
            count: self.regex.ranges.len() - first,
            is_negated,
        }
    }

    /// What is in brackets.
    fn class(&mut self) -> Option<()> {
        let is_negated = self.takes("^");
        let first = self.regex.ranges.len();
        loop {
            let start = fitting(self.regex.ranges.len() - first)? + first;
            match self.next()? {
                ']' if start > first => break,
                '\\' if self.takes("b") => self.regex.ranges.push(('\x08', '\x08')),
                char => self.character(char)?,
            }
            if !self.rest.starts_with('-') || self.rest.starts_with("-]") {
                continue;
            }
            self.takes("-");
            let last = self.next()?;
            self.character(last)?;
            match self.regex.ranges[start..] {
                [(first, same), (last, also)] if first == same && last == also && first <= last => {
                    self.regex.ranges.truncate(start);
                    self.regex.ranges.push((first, last));
                }
                _ => return None,
            }
        }
        let step = self.take(first, is_negated);
        self.regex.program.push(step);
        Some(())
    }

    /// A character, or what a backslash stands for with what follows it.
    fn character(&mut self, char: char) -> Option<()> {
        let char = match char {
            '\\' => match self.next()? {
                'd' => return self.ranges(DIGIT),
                'D' => return self.ranges(NOT_DIGIT),
                's' => return self.ranges(SPACE),
                'S' => return self.ranges(NOT_SPACE),
                'w' => return self.ranges(WORD),
                'W' => return self.ranges(NOT_WORD),
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
        self.ranges(&[(char, char)])
    }

    fn ranges(&mut self, ranges: &[Range]) -> Option<()> {
        self.regex.ranges.extend_from_slice(ranges);
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
        Step::Take { count, .. } => *count,
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
