#!/usr/bin/env python3
"""Writes lines.tsv beside itself: lines of Graphite's plaintext protocol, and what carbon makes of them.

    /usr/bin/python3 make_lines.py

It needs carbon (Debian: graphite-carbon), and gives each line to carbon's own receiver. A row is the
line, a tab, and one of

    put KEY VALUE TIMESTAMP     a point, its timestamp cut to whole seconds, as Graphite's files keep it
    now KEY VALUE               a point at the time at which the line came
    nan                         nothing: the value is not a number
    error                       nothing: the line is logged as invalid
    closed                      nothing, and carbon closes the connection, since this is no case it knows

Backslashes, and what is not printable ASCII, are written as \\xNN. Seeded: another run with the same versions writes the same bytes.

What carbon takes and metricd does not is an error here, and the only such things are

- timestamps beyond signed 64 bits;
- digits of other scripts: a number on the wire is written with ASCII digits.
"""

import pathlib
import platform
import sys
from importlib import metadata

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "numbers"))

from carbon import events, log, protocols  # noqa: E402
from make_tables import (  # noqa: E402
    INTEGER_MAXIMUM,
    INTEGER_MINIMUM,
    Generator,
    float_texts,
    has_digits_of_other_scripts,
    integer_texts,
    mangled,
)

SEED = 2003
NOW = 1600000000.75


class Receiver(protocols.MetricLineReceiver):
    """carbon's receiver of one line, with what it says of it."""

    peerName = "peer"

    def __init__(self):
        self.said = []

    def resetTimeout(self):
        pass


def said_of(line):
    receiver = Receiver()
    events.metricReceived.handlers[:] = [lambda key, point: receiver.said.append((key, point))]
    log.listener = lambda message: receiver.said.append("error")
    protocols.time.time = lambda: NOW
    try:
        receiver.lineReceived(line)
    except Exception:  # Twisted logs it and drops the connection.
        return "closed"
    if not receiver.said:
        return "nan"
    if receiver.said == ["error"]:
        return "error"
    [(key, (timestamp, value))] = receiver.said
    if any(has_digits_of_other_scripts(word) for word in line.decode().split()[1:]):
        return "error"
    if timestamp == NOW:
        return f"now {escaped(key.encode())} {value!r}"
    if not INTEGER_MINIMUM <= int(timestamp) <= INTEGER_MAXIMUM:
        return "error"
    return f"put {escaped(key.encode())} {value!r} {int(timestamp)}"


def escaped(line):
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x5C else f"\\x{byte:02x}" for byte in line)


WRITTEN_BY_HAND = [
    b"servers.web1.load 0.5 1500000000",
    b"servers.web1.load 0.5 1500000000\r",
    b"servers.web1.load 0.5 1500000000\r\r",
    b" servers.web1.load  0.5\t1500000000 ",
    b"\x0ba\x0c1\x1c2\x1d",
    b"a\x1e1\x1f2",
    b"\x00 1 2",
    b"a\x00b 1 2",
    b"a 1\x00 2",
    b"a 1 2\x00",
    b"a 1 2 3",
    b"a 1",
    b"a",
    b"",
    b" ",
    b"\t\r",
    b"put a 1 2",
    b"get a",
    b"* 1 2",
    b"# 1 2",
    b"-1 -1 -2",
    b"a nan 2",
    b"a -nan 2",
    b"a NaN nan",
    b"a nan inf",
    b"a nan x",
    b"a x nan",
    b"a 1 nan",
    b"a 1 inf",
    b"a 1 -inf",
    b"a 1 1e999",
    b"a inf 2",
    b"a -Infinity 2",
    b"a 1e999 2",
    b"a 1_0.5 1_500_000_000",
    b"a 0x10 2",
    b"a 1 0x10",
    b"a 1,5 2",
    b"a;host=b;rack=c 1 2",
    b"a;rack=c;host=b 1 2",
    b"a; 1 2",
    b"a;b 1 2",
    b";a=b 1 2",
    b"a;;; 1 2",
    b'a{host="b"} 1 2',
    b"a=b 1 2",
    b"..a..b. 1 2",
    b"a/b 1 2",
    "å.ß.日本 1 2".encode(),
    "å\u00a01\u20032\u3000".encode(),
    "å\u200b1 2 3".encode(),
    "\ufeffa 1 2".encode(),
    "a\u20281\u20292".encode(),
    "a \u0661 2".encode(),
    "a 1 \uff12".encode(),
    b"\xff 1 2",
    b"a 1 2 \xff",
    b"a\xc2 1 2",
    b"\xc0\x80 1 2",
    b"\xed\xa0\x80 1 2",
    b"\x85 1 2",
    b"a\xa01 2 3",
    b"GET / HTTP/1.1",
    b"a 1 1500000000.0",
    b"a 1 1500000000.5",
    b"a 1 1500000000.999999",
    b"a 1 1500000000.99999999999999",
    b"a 1 1.5e9",
    b"a 1 15e8",
    b"a 1 +1500000000",
    b"a 1 -1500000000",
    b"a 1 0",
    b"a 1 -0",
    b"a 1 -0.5",
    b"a 1 0.999",
    b"a 1 -1",
    b"a 1 -1.0",
    b"a 1 -1.5",
    b"a 1 -1.999",
    b"a 1 -0.999",
    b"a 1 -2",
    b"a 1 -01",
    b"a 1 -1e0",
    b"a 1 -10e-1",
    b"a 1 9007199254740991",
    b"a 1 9007199254740992",
    b"a 1 9007199254740993",
    b"a 1 -9007199254740993",
    b"a 1 999999999999999999",
    b"a 1 9223372036854774784",
    b"a 1 9223372036854775295",
    b"a 1 9223372036854775296",
    b"a 1 9223372036854775807",
    b"a 1 9223372036854775808",
    b"a 1 -9223372036854775808",
    b"a 1 -9223372036854775809",
    b"a 1 -9223372036854777856",
    b"a 1 1e18",
    b"a 1 1e19",
]

SPACES = [" ", " ", " ", "  ", "\t", "\r", "\x0b", "\x1c", "\x85", "\u00a0", "\u2009", "\u3000"]
KEYS = ["a", "a.b.c", "collectd.host.cpu-0.cpu-idle", "a;b=c", "é.日", "-1", "nan"]


def any_line(generator, numbers):
    """Three words, more or fewer, with any white space between and around them."""
    count = generator.choice([3, 3, 3, 3, 2, 4])
    words = [generator.choice(KEYS)] + [generator.choice(numbers) for _ in range(count - 1)]
    edge = ["", "", generator.choice(SPACES)]
    between = [generator.choice(SPACES) for _ in words]
    line = "".join(space + word for space, word in zip(between, words))[len(between[0]) :]
    return generator.choice(edge) + line + generator.choice(edge)


def lines():
    yield from WRITTEN_BY_HAND
    generator = Generator(SEED)
    # Those of hundreds of digits are in the tables of numbers.
    numbers = [text for text in [*float_texts(), *integer_texts()] if len(text) <= 40 and text.split() == [text]]
    for _ in range(400):
        yield f"k {generator.choice(numbers)} 1500000000".encode()
        yield f"k 1.5 {generator.choice(numbers)}".encode()
    for _ in range(600):
        yield any_line(generator, numbers).encode()
    for _ in range(400):
        seconds = f"{generator.below(2**32)}.{generator.digits(1 + generator.below(9))}"
        yield f"k 1.5 {generator.choice(['', '', '-'])}{seconds}".encode()
    for _ in range(400):
        yield mangled(generator, generator.choice(["a.b 1.5 1500000000", "é 1e5 -1", "k nan 15.25"])).encode()


def main():
    rows = {escaped(line): said_of(line) for line in lines() if b"\n" not in line}
    header = [
        "# A line, a tab, and what carbon makes of it.",
        "# Made by make_lines.py, which says how to read it,",
        f"# with carbon {metadata.version('carbon')} and {platform.python_implementation()} {platform.python_version()}.",
    ]
    path = FOLDER / "lines.tsv"
    path.write_text("\n".join(header + [f"{line}\t{said}" for line, said in rows.items()]) + "\n")
    kinds = [said.split()[0] for said in rows.values()]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    print(f"lines.tsv: {len(rows)} rows, {counts}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
