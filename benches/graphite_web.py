#!/usr/bin/env python3
"""Renders series from whisper files as graphite-web does, and prints how many seconds of processor time
an answer took: the median of so many.

    /usr/bin/python3 graphite_web.py SERIES POINTS SECONDS_BETWEEN_POINTS ROUNDS

It needs Debian's graphite-web, and ends with status 2 where there is none. There is no web server and no
cache before it: its view is called with a request.
"""

import json
import os
import statistics
import sys
import tempfile
import time


def main(series, points, interval, rounds):
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(DJANGO_SETTINGS_MODULE="graphite.settings", GRAPHITE_STORAGE_DIR=folder)
        try:
            import django
            import whisper
            from django.conf import settings

            settings.LOG_DIR = folder
            settings.WHISPER_DIR = folder + "/whisper"
            settings.STANDARD_DIRS = [settings.WHISPER_DIR]
            settings.CARBONLINK_HOSTS = []
            settings.ALLOWED_HOSTS = ["*"]
            settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
            django.setup()
            from django.test import RequestFactory
            from graphite.render.views import renderView
        except ImportError as error:
            print(error, file=sys.stderr)
            return 2
        until = int(time.time()) // interval * interval
        times = range(until - (points - 1) * interval, until + 1, interval)
        for number in range(series):
            path = f"{settings.WHISPER_DIR}/host{number:06}/cpu/sys.wsp"
            os.makedirs(os.path.dirname(path))
            whisper.create(path, [(interval, 2 * points)])
            whisper.update_many(path, [(at, (number * 37 + at) % 9973 / 100) for at in times])
        query = {"target": "*.cpu.sys", "format": "json", "from": times[0] - 1, "until": until, "noCache": 1}
        seconds = []
        for _ in range(rounds):
            before = time.process_time()
            answer = renderView(RequestFactory().get("/render", query))
            seconds.append(time.process_time() - before)
        rendered = json.loads(answer.content)
        complete = [one for one in rendered if sum(value is not None for value, _ in one["datapoints"]) == points]
        assert len(complete) == series, f"{len(complete)} of {len(rendered)} series are complete"
        print(statistics.median(seconds))
        return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
