//! Regular expressions, as Python reads them: what `grep`, `exclude` and `aliasSub` take.
//!
//! A search takes time in proportion to the expression and the text, since each place of the one is
//! tried at each place of the other once only (Cox, "Regular Expression Matching: the Virtual Machine
//! Approach", 2009, and RE2's `bitstate.cc`). A crate would do the same in 35 KB of the program; this
//! takes seven.
//!
//! There are no references to groups, no looking ahead or behind, and no flags but `(?i)` at the
//! beginning, which is for ASCII. `\d` and `\s` are ASCII, and all other characters are in `\w`.

use crate::config::Config;
use std::borrow::Cow;

use super::number::integer;

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

/// The characters of these ranges, or, if it is negated, all others.
#[derive(Debug)]
struct Class {
    ranges: Cow<'static, [Range]>,
    is_negated: bool,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Regex {
    program: Vec<Step>,
    /// Those that its steps take.
    classes: Vec<Class>,
    /// The names of groups, by their numbers; empty if a group has none.
    names: Vec<String>,
    ignores_case: bool,
}

/// A step of a program. Where it goes on elsewhere than after itself, the distance is counted from itself.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Takes a character.
    Take(char),
    /// Takes one of a class, by its number.
    TakeOf(usize),
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
            names: vec![String::new()],
            classes: Vec::new(),
        };
        let body = compiler.alternatives(0)?;
        if !compiler.rest.is_empty() {
            return None;
        }
        let mut program = vec![Step::Save(0)];
        program.extend(body);
        program.extend([Step::Save(1), Step::Found]);
        Some(Regex {
            program,
            classes: compiler.classes,
            names: compiler.names,
            ignores_case: rest.is_some(),
        })
    }

    /// How many bytes of text may be searched at once, in all searches together.
    pub fn searched_bytes_max(&self) -> usize {
        Config::REGEX_TRIED_MAX / size(&self.program, &self.classes)
    }

    /// Bytes that it takes, about.
    pub fn allocated_bytes(&self) -> usize {
        2 * size_of::<Step>() * size(&self.program, &self.classes)
    }

    /// The number of the group of this name or number.
    pub fn group(&self, name: &str) -> Option<usize> {
        let named = self
            .names
            .iter()
            .position(|known| !known.is_empty() && known == name);
        let number = || {
            name.parse()
                .ok()
                .filter(|number| *number < self.names.len())
        };
        named.or_else(number)
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
        let starts = text[from..].char_indices().map(|(at, _)| from + at);
        let mut starts = starts.chain([text.len()]);
        starts
            .any(|start| search.run(start))
            .then_some(search.found)
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
                Step::Take(char) => next.is_some_and(|next| {
                    at += next.len_utf8();
                    self.is_in(next, &[(char, char)])
                }),
                Step::TakeOf(class) => next.is_some_and(|next| {
                    let class = &self.regex.classes[class];
                    at += next.len_utf8();
                    self.is_in(next, &class.ranges) != class.is_negated
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
        let folded =
            |fold: fn(&char) -> char| self.regex.ignores_case && is_one_of(fold(&char), ranges);
        is_one_of(char, ranges)
            || folded(char::to_ascii_lowercase)
            || folded(char::to_ascii_uppercase)
    }
}

fn is_one_of(char: char, ranges: &[Range]) -> bool {
    ranges
        .iter()
        .any(|&(first, last)| first <= char && char <= last)
}

/// Reads an expression from left to right. Its functions return `None` if it is none.
struct Compiler<'text> {
    rest: &'text str,
    /// The names of the groups so far.
    names: Vec<String>,
    /// The classes so far.
    classes: Vec<Class>,
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
    fn alternatives(&mut self, depth: usize) -> Option<Vec<Step>> {
        let mut branches = vec![self.sequence(depth)?];
        while self.takes("|") {
            branches.push(self.sequence(depth)?);
            if branches.len() > Config::REGEX_STEPS_MAX {
                return None;
            }
        }
        let mut steps = branches.pop()?;
        while let Some(first) = branches.pop() {
            let others = std::mem::take(&mut steps);
            steps.push(Step::Split(1, first.len() as isize + 2));
            steps.extend(first);
            steps.push(Step::Jump(others.len() as isize + 1));
            steps.extend(others);
            steps = fitting(steps, &self.classes)?;
        }
        Some(steps)
    }

    /// What follows each other, with how often it may.
    fn sequence(&mut self, depth: usize) -> Option<Vec<Step>> {
        let (mut steps, mut total) = (Vec::new(), 0);
        while !self.rest.is_empty() && !self.rest.starts_with(['|', ')']) {
            let atom = self.atom(depth)?;
            let atom = self.repeated(atom)?;
            total += size(&atom, &self.classes);
            if total > Config::REGEX_STEPS_MAX {
                return None;
            }
            steps.extend(atom);
        }
        Some(steps)
    }

    fn atom(&mut self, depth: usize) -> Option<Vec<Step>> {
        if self.rest.starts_with('{') && self.counts().is_some() {
            return None;
        }
        let step = match self.next()? {
            '(' => return self.group(depth),
            '[' => self.class()?,
            '.' => self.take_of(ANY.into(), false),
            '^' => Step::AtStart,
            '$' => Step::AtEnd,
            '*' | '+' | '?' => return None,
            '\\' if self.takes("A") => Step::AtStart,
            '\\' if self.takes("Z") => Step::AtEnd,
            '\\' if self.takes("b") => Step::AtWordEdge(true),
            '\\' if self.takes("B") => Step::AtWordEdge(false),
            '\\' => {
                let ranges = self.escaped()?;
                self.take_of(ranges, false)
            }
            char => Step::Take(char),
        };
        Some(vec![step])
    }

    fn group(&mut self, depth: usize) -> Option<Vec<Step>> {
        if depth == Config::REGEX_DEPTH_MAX || self.names.len() == Config::REGEX_GROUPS_MAX {
            return None;
        }
        let mut number = None;
        if !self.takes("?:") {
            let mut name = "";
            if self.takes("?P<") {
                (name, self.rest) = self.rest.split_once('>')?;
            } else if self.rest.starts_with('?') {
                return None;
            }
            number = Some(self.names.len());
            self.names.push(name.into());
        }
        let mut steps = self.alternatives(depth + 1)?;
        if let Some(number) = number {
            steps.insert(0, Step::Save(2 * number));
            steps.push(Step::Save(2 * number + 1));
        }
        self.takes(")").then_some(steps)
    }

    /// `atom`, as often as what follows it says.
    fn repeated(&mut self, atom: Vec<Step>) -> Option<Vec<Step>> {
        let (least, most) = match self.rest.as_bytes().first() {
            _ if self.takes("*") => (0, None),
            _ if self.takes("+") => (1, None),
            _ if self.takes("?") => (0, Some(1)),
            Some(b'{') => match self.counts() {
                Some(counts) => counts,
                None => return Some(atom),
            },
            _ => return Some(atom),
        };
        let is_lazy = self.takes("?");
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
        let split = |inside: usize| match (inside as isize + 1, is_lazy) {
            (after, false) => Step::Split(1, after),
            (after, true) => Step::Split(after, 1),
        };
        let count = most.unwrap_or(least).max(1);
        if count * size(&atom, &self.classes).max(1) > Config::REGEX_STEPS_MAX {
            return None;
        }
        let mut steps = atom.repeat(least);
        match most {
            None => {
                steps.push(split(atom.len() + 1));
                steps.extend_from_slice(&atom);
                steps.push(Step::Jump(-(atom.len() as isize) - 1));
            }
            Some(most) => {
                for left in (0..most - least).rev() {
                    steps.push(split(atom.len() + left * (atom.len() + 1)));
                    steps.extend_from_slice(&atom);
                }
            }
        }
        fitting(steps, &self.classes)
    }

    /// Counts in braces. `None` if the braces are ordinary characters.
    fn counts(&mut self) -> Option<(usize, Option<usize>)> {
        let (inside, rest) = self.rest[1..].split_once('}')?;
        let (least, most) = inside.split_once(',').unwrap_or((inside, inside));
        let count = |text: &str| match text {
            "" => Some(None),
            text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let count = integer(text).and_then(|count| usize::try_from(count).ok());
                Some(Some(count.map_or(Config::REGEX_COUNT_MAX, |count| {
                    count.min(Config::REGEX_COUNT_MAX)
                })))
            }
            _ => None,
        };
        let (least, most) = (count(least)?, count(most)?);
        let is_ordinary = inside.is_empty();
        self.rest = if is_ordinary { self.rest } else { rest };
        (!is_ordinary).then_some((least.unwrap_or(0), most))
    }

    fn take_of(&mut self, ranges: Cow<'static, [Range]>, is_negated: bool) -> Step {
        self.classes.push(Class { ranges, is_negated });
        Step::TakeOf(self.classes.len() - 1)
    }

    /// What is in brackets.
    fn class(&mut self) -> Option<Step> {
        let is_negated = self.takes("^");
        let mut ranges = Vec::new();
        while ranges.len() <= Config::REGEX_STEPS_MAX {
            let first = match self.next()? {
                ']' if !ranges.is_empty() => return Some(self.take_of(ranges.into(), is_negated)),
                '\\' if self.takes("b") => vec![('\x08', '\x08')].into(),
                '\\' => self.escaped()?,
                char => vec![(char, char)].into(),
            };
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            if !is_range {
                ranges.extend_from_slice(&first);
                continue;
            }
            self.takes("-");
            let last = match self.next()? {
                '\\' => self.escaped()?,
                char => vec![(char, char)].into(),
            };
            match (&first[..], &last[..]) {
                ([(first, same)], [(last, _)]) if first == same && first <= last => {
                    ranges.push((*first, *last));
                }
                _ => return None,
            }
        }
        None
    }

    /// What a backslash stands for with what follows it.
    fn escaped(&mut self) -> Option<Cow<'static, [Range]>> {
        let char = match self.next()? {
            'd' => return Some(DIGIT.into()),
            'D' => return Some(NOT_DIGIT.into()),
            's' => return Some(SPACE.into()),
            'S' => return Some(NOT_SPACE.into()),
            'w' => return Some(WORD.into()),
            'W' => return Some(NOT_WORD.into()),
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'f' => '\x0c',
            'v' => '\x0b',
            'a' => '\x07',
            char if char.is_ascii_alphanumeric() => return None,
            char => char,
        };
        Some(vec![(char, char)].into())
    }
}

/// The steps, unless they are too many.
fn fitting(steps: Vec<Step>, classes: &[Class]) -> Option<Vec<Step>> {
    (size(&steps, classes) <= Config::REGEX_STEPS_MAX).then_some(steps)
}

/// How many steps there are, where one that takes several ranges counts for each.
fn size(steps: &[Step], classes: &[Class]) -> usize {
    let of_step = |step: &Step| match step {
        Step::TakeOf(class) => classes[*class].ranges.len(),
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
