#!/usr/bin/env python3
"""Writes formats.tsv beside itself: series, and how graphite-web prints them.

    /usr/bin/python3 make_formats.py

It needs Debian's graphite-web. The table is seeded: another run with the same graphite-web writes the
same bytes. A row is the format, series, and the answer. A series is its name, its start, its step and
its values with commas, with semicolons between these four; series have spaces between them. Names and
answers are percent-encoded.
"""

import importlib.metadata
import pathlib
import random
import sys
import unittest.mock
import urllib.parse

import django
import pytz
from django.conf import settings

settings.configure(TIME_ZONE="UTC", USE_TZ=True, DEFAULT_XFILES_FACTOR=0)
django.setup()

# What would log to files, and look for series on a disk.
for name, attribute in [("logger", "log"), ("storage", "STORE")]:
    sys.modules["graphite." + name] = unittest.mock.MagicMock(**{attribute + ".tagdb": None})

import graphite.render.datalib  # noqa: E402
from graphite.render.datalib import TimeSeries  # noqa: E402

SEED = 1503319739

NAMES = [
    "a",
    "palm.cpu",
    "sumSeries(palm.*.cpu,x)",
    "caf\u00e9 \u2603 \U0001f600",
    'quotes " and \\ and /',
    "a,b",
    "line\nfeed\r\ttab\x01\x7f\x08\x0c",
    "",
    "   ",
    "\u2028",
]

VALUES = [0.0, -0.0, 1.0, 0.1, 12.5, -99.25, 1e16, 1.5e300, 1e-5, 0.0001, 1 / 3, -2 / 3, 123456789.125, 5e-324, None, None, None]


def encoded(text):
    return urllib.parse.quote(text, safe="(){}[]:*,.\"/'")


def views():
    """The functions that print, without the rest of the module, which needs a whole site."""
    source = pathlib.Path(graphite.render.datalib.__file__).with_name("views.py").read_text()
    start, end = source.index("def renderViewCsv"), source.index("def renderViewDygraph")
    raw = source[source.index("def renderViewRaw") : source.index("def renderViewPickle")]
    from datetime import datetime
    from django.http import HttpResponse
    import csv, json, math

    names = dict(datetime=datetime, HttpResponse=HttpResponse, csv=csv, json=json, math=math)
    exec(source[start:end] + raw, names)
    return names


def main():
    generator = random.Random(SEED)
    choice = lambda options: options[int(generator.random() * len(options))]  # noqa: E731
    version = importlib.metadata.version("graphite-web")
    rows = [f"# made by make_formats.py with graphite-web {version}: format, series, answer"]
    printers = views()
    for number in range(200):
        name = ["json", "json without nulls", "csv", "raw"][number % 4]
        infinities = [] if "json" in name else [float("inf"), float("-inf")]
        series = []
        for _ in range(int(generator.random() * 4)):
            count = 1 + int(generator.random() * choice([2, 5, 5, 70]))
            only = choice([VALUES + infinities, [None], [1.25, 2.5]])
            values = [choice(only) for _ in range(count)]
            step = choice([1, 10, 60, 86400])
            start = step * int((generator.random() - 0.3) * 30000)
            series.append(TimeSeries(choice(NAMES), start, start + step * count, step, values))
        described = [
            ";".join([encoded(one.name), str(one.start), str(one.step), ",".join(map(str, one))])
            for one in series
        ]
        options = {"tzinfo": pytz.utc}
        if name == "json without nulls":
            options["noNullPoints"] = True
        printer = {"c": "renderViewCsv", "r": "renderViewRaw", "j": "renderViewJson"}[name[0]]
        answer = printers[printer](options, series).content.decode()
        rows.append("\t".join([name, " ".join(described), encoded(answer)]))
    pathlib.Path(__file__).with_name("formats.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
