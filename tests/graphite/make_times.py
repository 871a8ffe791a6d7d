#!/usr/bin/env python3
"""Writes times.tsv beside itself: the time of a request, a text, and when graphite-web says that is.

    /usr/bin/python3 make_times.py

It needs Debian's graphite-web. All is in UTC. The table is seeded: another run with the same
graphite-web writes the same bytes. Times are seconds since 1970; what graphite-web raises an
exception for is an error.
"""

import datetime
import importlib.metadata
import pathlib
import random

import pytz
from django.conf import settings

settings.configure(TIME_ZONE="UTC")

from graphite.render.attime import parseATTime  # noqa: E402

SEED = 1503319739

NOWS = ["2026-11-21 22:15:50", "2024-02-29 00:00:00", "2000-01-01 12:00:00", "1999-12-31 23:59:59"]

TEXTS = """
now now-1h now-7d now+1d -1h -30min -24h -1d -2w -3mon -1y +5s +1min 1h5min
-1h30min -1d12h30min10s -5seconds -5minutes -5hours -5days -5weeks -5months -5years
-1m -1 -h --1h now--1h now-1h+5min now+1h-5min -1h-5min -1hours30minutes -1sx -1minx -1monx -99999999999d
-999999999999999999999999h -700000d -739000d +2900000d +2920000d -0h -00012h
today yesterday tomorrow midnight noon teatime noontoday noonyesterday midnighttomorrow
teatimetoday today-1h yesterday+12h midnight-1d noon+1d
8am 8pm 12am 12pm 0am 13pm 24am 25pm 8amtoday 8pmyesterday 6pm+2h 6pm_yesterday
8:30 08:30 8:30am 8:30pm 12:00am 12:00pm 23:59 24:00 23:60 8:5 8: :30 123:00 8:30today 8:30_yesterday
08:30pm_20261121 12:34_20261121 00:00_19700101 23:59_99991231 00:00_00010101 00:00_00000101 12:00_20260230
20261121 20240229 20230229 19010101 19000101 19001301 20261301 20260132 99991231 12345678 00000000
0 1 60 1150864247 1795299350 253402300799 253402300800 99999999999999999999 9223372036854775807
4611686018427387904 -9223372036854775808 +9223372036854775807s +9223372036854775807w
11/21/26 11/21/2026 1/2/70 1/2/69 1/2/99 1/2/00 12/31/1999 02/29/24 02/29/23 13/01/26 1/32/26 1/2 1/2/3/4
1/2/ //1 a/b/c 12:30_11/21/26 1/2/1899 1/2/1900 1/2/1969 1/2/9999 1/2/10000
jan1 january15 feb29 feb30 dec31 dec jan mar105 marx7 8am_jul4 may05 decxx9
monday tuesday wednesday thursday friday saturday sunday mon sun monday-1w 12:00_monday noon_friday
xyz nowx toda 1.5 1e9 -1.5h +h - + ++ +- -- 1:2:3 am pm :
""".split()

TEXTS += ["", "  ", "noon yesterday", "January 15", "12:30 20261121", " now - 1h ", "NOW-1H", "6PM today", "Nov, 21"]


def mutants(count):
    """Texts of pieces of texts."""
    generator = random.Random(SEED)
    for _ in range(count):
        one, other = (TEXTS[int(generator.random() * len(TEXTS))] for _ in range(2))
        yield one[: int(generator.random() * (len(one) + 1))] + other[int(generator.random() * (len(other) + 1)) :]


def result(text, now):
    try:
        time = parseATTime(text, pytz.utc, now)
    except Exception:
        return "error"
    return str(int((time - datetime.datetime(1970, 1, 1, tzinfo=pytz.utc)) // datetime.timedelta(seconds=1)))


def main():
    version = importlib.metadata.version("graphite-web")
    rows = [f"# made by make_times.py with graphite-web {version}: now, text, time"]
    for number, now in enumerate(NOWS):
        now = pytz.utc.localize(datetime.datetime.strptime(now, "%Y-%m-%d %H:%M:%S"))
        for text in TEXTS + (list(mutants(1500)) if number == 0 else []):
            rows.append(f"{int(now.timestamp())}\t{text}\t{result(text, now)}")
    path = pathlib.Path(__file__).with_name("times.tsv")
    path.write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
