#!/usr/bin/env python3
"""Writes patterns.tsv beside itself: patterns, and the keys for which graphite-web says they stand.

    /usr/bin/python3 make_patterns.py

The first line has all keys. Each further line has a pattern, then those of the keys that graphite-web
1.1.8 finds for it as leaves, in a folder of empty files: what `/render` would read. The patterns are
seeded: another run with the same versions writes the same bytes.

Left out are patterns in which a folder's structure would show through, which keys do not have:
nodes that are empty, that are `.` or `..` or that hold `/`, and `**` as one of several alternatives,
which graphite-web takes for the last one that it reads.

Left out is also what CPython reads by accident: a range that has no characters, first inside brackets
and before a `!`, makes it a negation.
"""

import logging
import pathlib
import random
import re
import sys
import tempfile
import types

import django.conf

# Its log would need settings, and a folder to write to.
sys.modules["graphite.logger"] = types.SimpleNamespace(log=logging)
django.conf.settings.configure(STANDARD_DIRS=[], TAGDB=None, FIND_CACHE_DURATION=0)

from graphite.finders import expand_braces
from graphite.finders.standard import StandardFinder
from graphite.finders.utils import FindQuery

SEED = 1503319739
BY_HAND = """
* ** *.* *.*.* a a.b a.* a.b.* a.** **.b a.**.b **.**.b **.*.b *a *a* a*b ?b ?? ??? [ab] [!ab] [a-c] [!a-c]
[]a] [!]a] [a-] [-a] [!-a] [c-a] [!c-a] [a-b-c] [--a] [^a] [a [a.b a] [] [!] {a,b} {a,b}.{b,c} a{,b} {a} {} {a,{b,c}}
{a,b {a,{b,c} a}b {{a,b},c}b {[a,b]}b [{a,b}] [{a,b]} {*,a} *{a,b} a.{b.c,a} a\\b \\a é* ?é [é] [à-ü] A [A-Z] *[ *] *{ *}
"""


def make_keys(random_source):
    keys = {"a", "b", "ab", "é", "aé", "A", "[", "a[", "a]", "{a", "a}", "{a,b", "a}b", "-", "^", "!", "a-b", "]"}
    keys |= {"a.b", "a.ab", "a.b.c", "a.b.b", "b.b", "ab.b.c.b", "c.b.a", "é.b", "a.{b", "c,a}", "a.{b.c,a}"}
    while len(keys) < 120:
        keys.add(".".join("".join(random_source.choices("abcé-]!^", k=random_source.randint(1, 3)))
                          for _ in range(random_source.randint(1, 4))))
    return sorted(keys)


def is_fit(pattern):
    nodes = pattern.replace("\\", "").split(".")
    variants = [(node, variant) for node in nodes for variant in expand_braces(node)]
    if any(not variant or (variant == "**" and node != "**") for node, variant in variants):
        return False
    return not any(re.search(r"\[!?(.)-(.)!", variant) and first > last
                   for _, variant in variants for first, last in re.findall(r"\[!?(.)-(.)!", variant))


def make_patterns(random_source, keys):
    """Those by hand, then keys in which pieces stand for some of the characters."""
    patterns = BY_HAND.split()
    pieces = ["", "a", "b", "-", "]", "[", "!", "*", "?", ".", "{", "}", ",", "**", "{a,b}", "[a-c]", "[!a]", "{,a}"]
    while len(patterns) < 3_000:
        characters = list(random_source.choice(keys))
        for _ in range(random_source.randint(1, 4)):
            at = random_source.randrange(len(characters))
            piece = random_source.choice(pieces)
            characters[at] = random_source.choice([piece, piece + characters[at], f"[{characters[at]}{piece}]"])
        patterns.append("".join(characters))
    return sorted(set(filter(is_fit, patterns)))


def main():
    random_source = random.Random(SEED)
    keys = make_keys(random_source)
    with tempfile.TemporaryDirectory() as folder:
        for key in keys:
            path = pathlib.Path(folder, key.replace(".", "/") + ".wsp")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        finder = StandardFinder([folder])
        lines = [keys]
        for pattern in make_patterns(random_source, keys):
            found = finder.find_nodes(FindQuery(pattern, None, None))
            lines.append([pattern] + sorted({node.path for node in found if node.is_leaf}))
    text = "".join("\t".join(line) + "\n" for line in lines)
    pathlib.Path(__file__).with_name("patterns.tsv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
