#!/usr/bin/env python3
r"""Writes regexes.tsv beside itself: regular expressions, texts, and what CPython finds.

    /usr/bin/python3 make_regexes.py

The third column has where the expression is found first, and each of its groups (`-` if it was not), in
bytes; `-` if it is not found, and `error` if it is not an expression. The expressions are seeded: another
run with the same Python writes the same bytes.

Left out is what metricd does not offer (references, looking around, flags but that case is ignored in
ASCII, repetitions that give nothing back), and what depends on how empty
matches are repeated: CPython remembers other groups of these.
"""

import pathlib
import random
import re
import warnings

SEED = 1503319739
BY_HAND = r"""
a a|b ab|a a* a+ a? a*? a+? a?? (a*)(a*) (a*?)(a*) (a|ab)(c|bcd) (a+)(b+) a{2} a{2,} a{,2} a{1,2} a{1,2}? a{0} a{ a{} a{,} a{b} a{1
a{2,1} {1} * a** a+* (* () (a (?:a|b)c (?P<n>a)b (?P<n>a) [abc] [^abc] [a-c]+ [a-] [-a] [^-a]+ []a]+ [^]a]+ [a\]]+ [\w.]+ [\d\s]+ [\D] [\W]
[\S]+ [c-a] [a-\d] [!-\d] [%--] [ [] [^] [a \d+ \D+ \w+ \W+ \s+ \S+ \ba \Ba a\b a\B \Aa a\Z ^a a$ ^$ ^ $ . .* .+c .{3} \. \\ \- \q \1 \n \t é+ [é] [^é]+ [à-ü]
(?i)A (?i)[A-C]+ (?i)É ((a)|(b))+ (a)|b (?:(a)|b)* (\w+)\.(\w+) ^(.*)\.cpu\.(.*)$ (?=a) (?!a) (?<=a) (a)\1 a.c a[.]c a\.c |a a| (|a) (a|)b
"""
TEXTS = ["", "a", "aa", "aaa", "b", "ab", "abc", "abcd", "ba", "cab", "a.c", "a b", "a1 b2", "é", "aéb", "AbC", "a.cpu.user", "x-y_z", "[a]", "{a}", "a{", "aab", "a{}", "a{1", "a\\"]


def is_left_out(pattern):
    """Whether it is not offered; or whether what may be empty is repeated."""
    if re.search(r"\(\?[=!<]|\\[1-9]|\?P=|[*+?}]\+|i\)É", pattern):
        return True
    return re.search(r"\)[*+{]", pattern) and re.search(r"[*?|{]", pattern)


def find(pattern, text):
    """The result column of the table."""
    try:
        found = re.compile(pattern).search(text)
    except (re.error, OverflowError):
        return "error"
    if found is None:
        return "-"
    place = lambda at: len(text[:at].encode())
    spans = [found.span(group) for group in range(found.re.groups + 1)]
    return " ".join("-" if start < 0 else f"{place(start)}:{place(end)}" for start, end in spans)


def main():
    warnings.simplefilter("ignore")
    source = random.Random(SEED)
    pieces = ["a", "b", "c", ".", "(", ")", "(?:", "|", "*", "+", "?", "[ab]", "[^a]", "{2}", "{1,2}", "\\w", "\\d", "\\b", "^", "$", "é", "\\."]
    patterns = BY_HAND.split()
    while len(patterns) < 500:
        pattern = "".join(source.choices(pieces, k=source.randint(2, 9)))
        # Half of them are expressions.
        if find(pattern, "") != "error" or source.random() < 0.15:
            patterns.append(pattern)
    rows = ["# " + __doc__.split("\n")[0]]
    for pattern in dict.fromkeys(patterns):
        if not is_left_out(pattern):
            texts = TEXTS if pattern in BY_HAND.split() else source.sample(TEXTS, 3)
            results = {text: find(pattern, text) for text in texts}
            is_error = "error" in results.values()
            rows += [f"{pattern}\t{text}\t{result}" for text, result in list(results.items())[: 1 if is_error else None]]
    pathlib.Path(__file__).with_name("regexes.tsv").write_text("\n".join(rows) + "\n")


main()
