#!/usr/bin/env python3
"""Writes finds.tsv beside itself: requests, and what graphite-web answers to them.

    /usr/bin/python3 make_finds.py

The first line has all keys. Each further line has a request, and the body that the views of graphite-web
1.1.8 (`find_view`, `expand_view` and `index_json` of `graphite/metrics/views.py`) make of it, over a
folder of empty files.

Left out are requests whose answer differs from one time to the next: where nodes of one name are
branches below one node and leaves below another, graphite-web shows whichever comes first. Left out is
also the entry for all where a single name, a branch and a leaf, counts as two.

No key has a `+` or a `%`: graphite-web decodes these in the texts of a tree, so that a client that makes
a pattern of them finds nothing.
"""

import logging
import os
import pathlib
import sys
import tempfile
import types
import urllib.parse

import django.conf

FOLDER = tempfile.TemporaryDirectory()
# Its log would need a folder to write to, and profiles of users a database.
sys.modules["graphite.logger"] = types.SimpleNamespace(log=logging)
sys.modules["graphite.user_util"] = types.SimpleNamespace(
    getProfile=lambda request: types.SimpleNamespace(advancedUI=False)
)
os.environ["DJANGO_SETTINGS_MODULE"] = "graphite.settings"
django.conf.settings.STANDARD_DIRS = [FOLDER.name]
django.conf.settings.WHISPER_DIR = FOLDER.name
django.conf.settings.RRD_DIR = FOLDER.name

from django.test import RequestFactory

from graphite.metrics import views

VIEWS = {"/metrics/find": views.find_view, "/metrics/expand": views.expand_view, "/metrics/index.json": views.index_json}

KEYS = """
a a.b a.c a.b.c a.b.d.e b.b b.c.d ab.c ab.d.x ab.d.y collectd.host1.cpu-0.user collectd.host1.cpu-0.system
collectd.host2.cpu-0.user collectd.host2.load collectd.host1.load x.y.z x.y é.ü "a 1 10 2 A B _.~
""".split()

PATTERNS = """
* a a.* a.b a.b.* a*.* *.b *.* *.*.* ** a.** **.load collectd.*.load collectd.host[12].* collectd.{host1,host2}.cpu-*
nothing nothing.* a.nothing é.* "* 1* [0-9]* x.y x.y.* x.?.z {a,x}.* {a,x} A* collectd.host1.* a\\.b
""".split()

REQUESTS = (
    [f"/metrics/find?query={pattern}{more}" for pattern in PATTERNS
     for more in ("", "&wildcards=1", "&leavesOnly=1", "&from=-1h&until=now")]
    + [f"/metrics/find?format=completer&query={prefix}{more}"
       for prefix in ("", "a", "a.", "a.b", "collectd.", "collectd.host1.", "collectd.host1.c", "x.y", "no", "a*", "é")
       for more in ("", "&wildcards=1") if prefix]
    + [f"/metrics/expand?query={pattern}{more}" for pattern in PATTERNS for more in ("", "&leavesOnly=1", "&groupByExpr=1")]
    + [
        "/metrics/expand", "/metrics/expand?groupByExpr=1", "/metrics/expand?query=a.*&query=x.*",
        "/metrics/expand?query=x.*&query=a.*&groupByExpr=1", "/metrics/expand?query=a&query=no&query=a&groupByExpr=1",
        "/metrics/index.json",
    ]
)


def main():
    for key in KEYS:
        path = pathlib.Path(FOLDER.name, key.replace(".", "/") + ".wsp")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    lines = [KEYS]
    for request in REQUESTS:
        path, _, query = request.partition("?")
        query = urllib.parse.quote(query, safe="=&")
        bodies = {VIEWS[path](RequestFactory().get(path, QUERY_STRING=query)).content for _ in range(20)}
        is_one = "&wildcards" in query and b'"text": "*"' in min(bodies) and min(bodies).count(b'"text"') == 2
        if len(bodies) == 1 and not is_one:
            lines.append([f"{path}?{query}".rstrip("?"), bodies.pop().decode()])
    text = "".join("\t".join(line) + "\n" for line in lines)
    pathlib.Path(__file__).with_name("finds.tsv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
