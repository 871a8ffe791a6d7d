//! Which keys a pattern stands for, as graphite-web 1.1.8 has it: `graphite/finders/standard.py`,
//! over Python's `fnmatch`.

use std::borrow::Cow;
use std::collections::BinaryHeap;

use memchr::arch::all::memchr::Two;

use super::budget::{Budget, Effort};
use super::text::has_any;
use crate::config::Config;

/// The most nodes that a pattern may have: the positions in it are the bits of a word.
const MOST_NODES: usize = 63;

/// A pattern of keys, whose nodes dots separate.
///
/// In one node, `*` stands for any characters, `?` for one, `[a-z]` for one of these, `[!a-z]` for one
/// of the others, and `{a,b}` for either text, which may have wildcards and braces. A node `**` stands
/// for any nodes or none; at the end of a pattern for one at least. A bracket or brace without its
/// other half stands for itself. Backslashes are left out.
#[derive(Debug, Default)]
pub struct Pattern {
    nodes: Vec<Node>,
    /// The positions of those that are `**`. None comes last.
    any_nodes: u64,
    /// What it takes to compare a key with it.
    pub effort: Effort,
    /// Bytes that it takes, about.
    pub allocated_bytes: usize,
}

/// Where in a pattern a key may be after some of its nodes: a bit for each position.
type Positions = u64;

/// What one node may be.
#[derive(Debug)]
struct Node {
    /// Alternatives without wildcards, sorted.
    texts: Vec<String>,
    /// Those with wildcards.
    wildcards: Vec<Vec<Token>>,
    /// How many comparisons the tokens of all wildcards take, each once.
    compared: usize,
    /// How many of these come after a `*`: each character of a node may be compared with them.
    searched: usize,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If it has more nodes or stands for more alternatives than it may: a sentence that says so.
    pub fn parse(text: &str, budget: &mut Budget) -> Result<Pattern, Cow<'static, str>> {
        let text = text.replace('\\', "");
        let mut nodes = Vec::new();
        let mut any_nodes = 0;
        let mut rest = Some(&*text);
        while let Some(node) = next_node(&mut rest) {
            if nodes.len() == MOST_NODES {
                return Err(format!("a pattern has more than {MOST_NODES} nodes").into());
            }
            if node == "**" {
                any_nodes |= 1 << nodes.len();
                rest = rest.or(Some("*"));
            }
            nodes.push(Node::parse(node, budget)?);
        }
        let compared: usize = nodes.iter().map(|node| node.compared).sum();
        if compared > Config::WILDCARDS_MAX {
            return Err("a pattern has too many wildcards, or ranges in brackets".into());
        }
        let searched = nodes.iter().map(|node| node.searched);
        let for_each_byte = match any_nodes {
            // Each node of a key is compared with one of these.
            0 => searched.max().unwrap_or(0),
            _ => nodes.len() + searched.sum::<usize>(),
        };
        Ok(Pattern {
            effort: Effort {
                fixed: nodes.len() + compared,
                for_each_byte,
            },
            allocated_bytes: nodes.iter().map(Node::allocated_bytes).sum(),
            nodes,
            any_nodes,
        })
    }

    /// Whether it stands for this key.
    pub fn matches(&self, key: &str) -> bool {
        let mut positions = self.start();
        let mut rest = Some(key);
        while let Some(node) = next_node(&mut rest) {
            positions = self.advance(positions, node);
            if self.is_final(positions) {
                return rest.is_none() && self.is_end(positions);
            }
        }
        self.is_end(positions)
    }

    /// Whether it stands for names of one node alone.
    pub fn has_one_node(&self) -> bool {
        self.nodes.len() == 1 && self.any_nodes == 0
    }

    /// The positions before the first node of a key.
    pub fn start(&self) -> Positions {
        self.skip_any_nodes(1)
    }

    /// The positions after the next node of a key.
    pub fn advance(&self, positions: Positions, node: &str) -> Positions {
        let mut left = positions;
        let mut after = 0;
        while let Some(known) = self.nodes.get(left.trailing_zeros() as usize) {
            let position = left & left.wrapping_neg();
            left -= position;
            if known.is(node) {
                after |= position << 1 | position & self.any_nodes;
            }
        }
        self.skip_any_nodes(after)
    }

    /// Whether the nodes so far are what the pattern stands for.
    pub fn is_end(&self, positions: Positions) -> bool {
        positions >> self.nodes.len() != 0
    }

    /// Whether no keys with more nodes are among those that the pattern stands for.
    pub fn is_final(&self, positions: Positions) -> bool {
        positions & !(1 << self.nodes.len()) == 0
    }

    /// These positions, and those past each `**` that they reach.
    fn skip_any_nodes(&self, mut positions: u64) -> Positions {
        loop {
            let before = positions;
            positions |= (positions & self.any_nodes) << 1;
            if positions == before {
                return positions;
            }
        }
    }
}

/// Takes the next node of a key or a pattern, whose tags, from the first `;` on, belong to its last
/// node.
pub fn next_node<'text>(rest: &mut Option<&'text str>) -> Option<&'text str> {
    let text = rest.take()?;
    // Nodes are short: what compares more bytes at once begins too late.
    let end = Two::new(b'.', b';').find(text.as_bytes());
    let after = end.and_then(|end| text[end..].strip_prefix('.'));
    *rest = after;
    Some(after.map_or(text, |after| &text[..text.len() - after.len() - 1]))
}

impl Node {
    fn parse(text: &str, budget: &mut Budget) -> Result<Node, &'static str> {
        budget.take(Budget::FOR_NODE)?;
        let (mut texts, mut wildcards) = (BinaryHeap::new(), Vec::new());
        let (mut compared, mut searched) = (0, 0);
        let mut unexpanded = vec![text.to_string()];
        while let Some(text) = unexpanded.pop() {
            if let Some((start, end)) = innermost_braces(&text) {
                for alternative in text[start + 1..end].split(',') {
                    let text = [&text[..start], alternative, &text[end + 1..]].concat();
                    budget.take(Budget::FOR_ALTERNATIVE + text.len() / 4)?;
                    unexpanded.push(text);
                }
            } else if has_any(&text, b"*?[") {
                let tokens = tokens(&text);
                let efforts = tokens.iter().map(Token::effort);
                let all = efforts.clone().sum::<usize>();
                budget.take(Budget::FOR_ALTERNATIVE + all)?;
                compared += all;
                // Past the first `*`, each character may be one that is looked for.
                let past_any = tokens.iter().position(|token| matches!(token, Token::Any));
                searched += past_any.map_or(0, |any| efforts.skip(any + 1).sum());
                wildcards.push(tokens);
            } else {
                texts.push(text);
            }
        }
        Ok(Node {
            // A heap makes a smaller program than `sort`.
            texts: texts.into_sorted_vec(),
            wildcards,
            compared,
            searched,
        })
    }

    fn is(&self, node: &str) -> bool {
        let is_text = |text: &String| (**text).cmp(node);
        self.texts.binary_search_by(is_text).is_ok()
            || self.wildcards.iter().any(|tokens| is_match(tokens, node))
    }

    /// Bytes that it takes, with what an allocator adds.
    fn allocated_bytes(&self) -> usize {
        let texts = self.texts.iter().map(|text| 40 + text.capacity());
        let wildcards = 40 * self.wildcards.len() + size_of::<Token>() * self.compared;
        size_of::<Node>() + texts.sum::<usize>() + wildcards
    }
}

/// Where the first braces that have none inside open and close.
fn innermost_braces(text: &str) -> Option<(usize, usize)> {
    let first = text.find('{')?;
    let end = first + text[first..].find('}')?;
    Some((text[..end].rfind('{')?, end))
}

/// What a wildcard is made of.
#[derive(Debug)]
enum Token {
    /// Any characters.
    Any,
    /// One character.
    One,
    /// This character.
    Character(char),
    /// A character in these ranges, or, if the flag is `true`, one that is in none of them. A range that
    /// ends before it begins has none.
    Ranges(Vec<(char, char)>, bool),
}

/// Reads a wildcard.
fn tokens(wildcard: &str) -> Vec<Token> {
    let characters: Vec<char> = wildcard.chars().collect();
    let (mut tokens, mut rest) = (Vec::new(), &characters[..]);
    // Where one bracket has no other half, none after it has.
    let mut has_brackets = true;
    while let [first, after @ ..] = rest {
        rest = after;
        tokens.push(match first {
            '*' if matches!(tokens.last(), Some(Token::Any)) => continue,
            '*' => Token::Any,
            '?' => Token::One,
            '[' if has_brackets => match brackets(after) {
                Some((token, after)) => {
                    rest = after;
                    token
                }
                None => {
                    has_brackets = false;
                    Token::Character('[')
                }
            },
            first => Token::Character(*first),
        });
    }
    tokens
}

/// The characters that are listed up to the closing bracket, and the text after it. A `]` that comes first is
/// listed.
fn brackets(text: &[char]) -> Option<(Token, &[char])> {
    let is_negated = text.first() == Some(&'!');
    let (mut ranges, mut rest) = (Vec::new(), &text[usize::from(is_negated)..]);
    loop {
        let (range, after) = match rest {
            [']', after @ ..] if !ranges.is_empty() => {
                return Some((Token::Ranges(ranges, is_negated), after));
            }
            [first, '-', last, after @ ..] if *last != ']' => ((*first, *last), after),
            [first, after @ ..] => ((*first, *first), after),
            [] => return None,
        };
        ranges.push(range);
        rest = after;
    }
}

impl Token {
    /// With how many characters one of a node is compared.
    fn effort(&self) -> usize {
        match self {
            Token::Ranges(ranges, _) => ranges.len(),
            _ => 1,
        }
    }

    fn is(&self, character: char) -> bool {
        match self {
            Token::Any | Token::One => true,
            Token::Character(known) => *known == character,
            Token::Ranges(ranges, is_negated) => {
                let is_inside = |range: &(char, char)| (range.0..=range.1).contains(&character);
                ranges.iter().any(is_inside) != *is_negated
            }
        }
    }
}

/// Whether a wildcard stands for all of a text. Only the last `*` so far ever has to take more: what comes
/// before it has been found as early as it can be.
fn is_match(wildcard: &[Token], text: &str) -> bool {
    let (mut tokens, mut rest) = (wildcard, text.chars());
    // Past the last `*`, and where in the text what follows it was last looked for.
    let mut retry = None;
    loop {
        if let [Token::Any, after @ ..] = tokens {
            if after.is_empty() {
                return true;
            }
            tokens = after;
            retry = Some((after, rest.clone()));
        }
        match (tokens, rest.next()) {
            ([], None) => return true,
            // The rest of the text is too short, and even shorter if more of it is taken.
            (_, None) => return false,
            ([token, after @ ..], Some(next)) if token.is(next) => tokens = after,
            _ => {
                let Some((after_any, from)) = &mut retry else {
                    return false;
                };
                from.next();
                (tokens, rest) = (after_any, from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    fn matches(pattern: &str, key: &str) -> bool {
        Pattern::parse(pattern, &mut Budget::default())
            .expect("a pattern")
            .matches(key)
    }

    /// Whether a variant without braces stands for a node, as anyone would write it who need not
    /// care how long it takes.
    fn naive_is_match(pattern: &[char], text: &[char]) -> bool {
        let Some((&first, after)) = pattern.split_first() else {
            return text.is_empty();
        };
        if first == '*' {
            return (0..=text.len()).any(|taken| naive_is_match(after, &text[taken..]));
        }
        let Some((&character, text)) = text.split_first() else {
            return false;
        };
        let skipped = 1 + usize::from(after.first() == Some(&'!'));
        let (is_one, after) = match (
            first,
            after.iter().skip(skipped).position(|&one| one == ']'),
        ) {
            ('[', Some(at)) => (
                naive_is_one_of(&after[..skipped + at], character),
                &after[skipped + at + 1..],
            ),
            _ => (first == '?' || first == character, after),
        };
        is_one && naive_is_match(after, text)
    }

    /// Whether a character is between brackets, or, after a `!`, is not.
    fn naive_is_one_of(inside: &[char], character: char) -> bool {
        let is_inside = |inside: &[char]| {
            let mut at = 0;
            let mut is_inside = false;
            while at < inside.len() {
                let is_range = inside.get(at + 1) == Some(&'-') && at + 2 < inside.len();
                let end = if is_range { at + 2 } else { at };
                is_inside |= (inside[at]..=inside[end]).contains(&character);
                at = end + 1;
            }
            is_inside
        };
        match inside {
            ['!', others @ ..] => !is_inside(others),
            _ => is_inside(inside),
        }
    }

    fn naive_alternatives(text: &str) -> Vec<String> {
        let Some(end) = text
            .match_indices('}')
            .map(|(at, _)| at)
            .find(|&at| text[..at].contains('{'))
        else {
            return vec![text.into()];
        };
        let start = text[..end].rfind('{').expect("it is there");
        let inside = text[start + 1..end].split(',');
        inside
            .flat_map(|one| {
                naive_alternatives(&format!("{}{one}{}", &text[..start], &text[end + 1..]))
            })
            .collect()
    }

    /// Whether nodes of a pattern stand for nodes of a key.
    fn naive_matches(pattern: &[&str], nodes: &[&str]) -> bool {
        match pattern {
            [] => nodes.is_empty(),
            ["**"] => !nodes.is_empty(),
            ["**", after @ ..] => (0..=nodes.len()).any(|at| naive_matches(after, &nodes[at..])),
            [first, after @ ..] => nodes.split_first().is_some_and(|(node, nodes)| {
                let node: Vec<char> = node.chars().collect();
                naive_alternatives(first)
                    .iter()
                    .any(|one| naive_is_match(&one.chars().collect::<Vec<char>>(), &node))
                    && naive_matches(after, nodes)
            }),
        }
    }

    proptest! {
        #[test]
        fn matches_what_a_naive_matcher_does(pattern in r"([ab?*.\[\]!\-{},é^]|\*\*){0,10}", keys in proptest::collection::vec(r"[ab.\-\]é^!]{0,8}", 20)) {
            let parsed = Pattern::parse(&pattern, &mut Budget::default()).expect("a pattern");
            for key in keys {
                let nodes: Vec<&str> = key.split('.').collect();
                let expected = naive_matches(&pattern.split('.').collect::<Vec<_>>(), &nodes);
                prop_assert_eq!(parsed.matches(&key), expected, "{} {}", pattern, key);
            }
        }

        #[test]
        fn takes_any_text(pattern in r"\PC{0,40}|[\[\]{},!*.;a-]{0,200}", key in r"\PC{0,40}|[a.;]{0,200}") {
            if let Ok(pattern) = Pattern::parse(&pattern, &mut Budget::default()) {
                pattern.matches(&key);
            }
        }
    }

    /// `a pattern, a tab, and the names for which it stands`, as graphite-web 1.1.8 has it.
    const TABLE: &str = include_str!("../../tests/graphite/patterns.tsv");

    #[test]
    fn matches_what_graphite_does() {
        let mut lines = TABLE.lines().map(|line| line.split('\t'));
        let keys: Vec<&str> = lines.next().expect("a line of keys").collect();
        let mut count = 0;
        for mut line in lines {
            let pattern = line.next().expect("a pattern");
            let parsed = Pattern::parse(pattern, &mut Budget::default()).expect("a pattern");
            let matched = keys.iter().filter(|key| parsed.matches(key));
            assert!(matched.copied().eq(line), "{pattern}");
            count += 1;
        }
        assert!(count > 1_000, "{count} patterns");
    }

    #[test]
    fn tags_belong_to_the_last_node() {
        for (pattern, key, expected) in [
            ("a.*", "a.b;host=x.y", true),
            ("a.*.*", "a.b;host=x.y", false),
            ("a.b;host=x.y", "a.b;host=x.y", true),
            ("a.b*;host=*.y", "a.bc;host=x.y", true),
            ("a.b", "a.b;host=x.y", false),
            ("**", ";", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn limits() {
        let nodes = |count: usize| vec!["a"; count].join(".");
        assert!(matches(&nodes(63), &nodes(63)));
        assert!(!matches(&nodes(63), &nodes(64)));
        assert!(Pattern::parse(&nodes(64), &mut Budget::default()).is_err());
        assert!(matches(&format!("{}**", "**.".repeat(61)), &nodes(1_000)));
        assert!(Pattern::parse(&"**.".repeat(64), &mut Budget::default()).is_err());
        assert!(matches(&"?".repeat(4_096), &"a".repeat(4_096)));
        assert!(Pattern::parse(&"?".repeat(4_097), &mut Budget::default()).is_err());
        let hosts: Vec<String> = (0..5_000).map(|host| format!("host{host}")).collect();
        let hosts = format!("dc1.{{{}}}.cpu", hosts.join(","));
        assert!(matches(&hosts, "dc1.host4711.cpu") && !matches(&hosts, "dc1.host5000.cpu"));
        for many in [
            "{a,b}".repeat(64),
            "{a}".repeat(20_000),
            "{".to_string() + &",".repeat(1 << 20) + "}",
        ] {
            assert!(Pattern::parse(&many, &mut Budget::default()).is_err());
        }
        let nested = ["{".repeat(2_000), "}".repeat(2_000)].concat();
        assert!(Pattern::parse(&nested, &mut Budget::default()).is_err());
        assert!(matches(
            &format!("{}*", "a".repeat(4_000)),
            &"a".repeat(64_000)
        ));
        // Of nodes that are compared one by one, the longest counts; after `**`, all.
        for (searched, nodes) in [("*a.*{}.*a", 0), ("**.*{}", 2), ("*", 0)] {
            for (letters, fits) in [(16 - nodes, true), (17 - nodes, false)] {
                let pattern = searched.replace("{}", &"a".repeat(letters));
                let parsed = Pattern::parse(&pattern, &mut Budget::default()).expect("a pattern");
                let is_taken = parsed.effort.of(65_000).is_ok();
                assert_eq!(is_taken, fits || searched == "*", "{pattern}");
            }
        }
        assert!(!matches(
            &"*a".repeat(2_000),
            &("a".repeat(1_999) + &"b".repeat(60_000))
        ));
    }

    #[test]
    fn brackets_without_their_other_half_are_read_in_linear_time() {
        let start = Instant::now();
        let open = "[".repeat(1 << 20);
        assert!(Pattern::parse(&open, &mut Budget::default()).is_err());
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn ranges_are_an_effort() {
        for (ranges, fits) in [
            (1, true),
            (Config::WILDCARDS_MAX - 2, true),
            (60_000, false),
        ] {
            let pattern = format!("a*[{}]", "x".repeat(ranges));
            let parsed = Pattern::parse(&pattern, &mut Budget::default());
            assert_eq!(parsed.is_ok(), fits, "{ranges}");
            if let Ok(parsed) = parsed {
                assert!(parsed.effort.for_each_byte >= ranges);
                assert!(parsed.allocated_bytes >= ranges);
            }
        }
    }

    #[test]
    fn the_patterns_of_a_request_have_one_budget() {
        for (pattern, count, bytes) in [
            ("{a,b}".repeat(10), 2, 1 << 10),
            ("{a,b}{*,?}".repeat(4), 5, 1 << 8),
            ("*.".repeat(60), 40, 60),
            ("a.".repeat(60), 100, 60),
        ] {
            let mut budget = Budget::default();
            let parsed: Vec<Pattern> = (0..10_000)
                .map_while(|_| Pattern::parse(&pattern, &mut budget).ok())
                .collect();
            assert!(
                (count..5 * count).contains(&parsed.len()),
                "{}",
                parsed.len()
            );
            assert!(parsed[0].allocated_bytes > bytes * size_of::<String>());
        }
    }
}
