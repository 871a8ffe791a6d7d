#!/usr/bin/env python3
"""Writes floats.tsv and integers.tsv beside itself: texts, and what CPython makes of them.

    python3 make_tables.py

The tables are what the number readers and the printer are tested against. They are
seeded: another run with the same Python writes the same bytes.

What CPython takes and metricd does not is an error here, and the only such things are

- integers beyond signed 64 bits: a timestamp is kept in 64 bits;
- digits of other scripts: a number on the wire is written with ASCII digits.
"""

import pathlib
import platform
import random
import struct

SEED = 1503319739
MUTATION_ALPHABET = "0123456789+-_.eEinfNATYx"
INTEGER_MINIMUM, INTEGER_MAXIMUM = -(2**63), 2**63 - 1


class Generator:
    """Random choices out of the two calls whose results no Python version changes."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def bits(self, count):
        return self.random.getrandbits(count)

    def below(self, limit):
        return int(self.random.random() * limit)

    def choice(self, options):
        return options[self.below(len(options))]

    def digits(self, count):
        return "".join(self.choice("0123456789") for _ in range(count))


def has_digits_of_other_scripts(text):
    return any(character.isdecimal() and not character.isascii() for character in text)


def read_float(text):
    """The result column of floats.tsv."""
    try:
        value = float(text)
    except ValueError:
        return "error"
    return "error" if has_digits_of_other_scripts(text) else repr(value)


def read_integer(text):
    """The result column of integers.tsv."""
    try:
        value = int(text)
    except ValueError:
        return "error"
    if has_digits_of_other_scripts(text) or not INTEGER_MINIMUM <= value <= INTEGER_MAXIMUM:
        return "error"
    return str(value)


def double(bits):
    """The double of this bit pattern."""
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def exact(numerator, power):
    """numerator * 2**power, every decimal digit of it."""
    if power >= 0:
        return str(numerator << power)
    digits = str(numerator * 5**-power).rjust(1 - power, "0")
    return (digits[:power] + "." + digits[power:]).rstrip("0")


def in_all_positions(text, inserted):
    return [text[:at] + inserted + text[at:] for at in range(len(text) + 1)]


def around(decimal):
    """The decimal, and one a little above and one a little below it."""
    yield decimal
    if "." in decimal:
        # An odd multiple of a negative power of two: its last digit is 5.
        yield decimal + "0001"
        yield decimal[:-1] + "49999"
    else:
        yield decimal + ".0001"
        yield str(int(decimal) - 1) + ".9999"


# Texts for either reader: what is and is not a number at all.
SHARED = """
0 -0 +0 00 -00 000000000000000000000000000000 1 -1 +1 01 007 -007 +007 10 12 42 100
--1 ++1 +-1 -+1 ---1 - + -- +- 1- 1+ -1- 1-1 1+1 -_1 +_1 _-1
_ __ _1 1_ 1__0 1_0 1_0_0 1_0_0_ 1_000 1_000_000 0_0 0_1 -1_0 1_+0 00_00
1.0 1. .1 1.5 -1.5 1e5 1E5 1e+5 1e-5 0x10 0x1p3 0X1P-3 0b1 0o7 0b_1 1l 1L 1j 1f 1d 10h
True None one 1,000 1,5 1'000 1;0 1/2 1%2 $1 (1) [1] "1" '1' b'1' 1\\n \\x31
1503319739 1503319740 -1503319739 1_503_319_739 +1503319739 0001503319739
x x1 1x 1x1 e E . _.
""".split()

# Digits of other scripts, then what looks like a number and is none to CPython either.
OTHER_SCRIPTS = ["١", "١٢", "1١", "٣.٥", "１２３", "1２", "-１", "１e５", "1e５", "१_२", "𝟏", "๑๒"]
NOT_ASCII = ["²", "1²", "½", "Ⅷ", "一", "−1", "＋1", "‐1", "1．5", "1，5", "∞", "-∞", "ｎａｎ", "ınf", "İnf", "ſ"]
NOT_ASCII += ["1·", "1\u0301", "é", "\U0001f600"]

FLOATS = """
inf Inf INF iNf +inf -inf +Inf -INF infinity Infinity INFINITY +infinity -Infinity iNfInItY
nan NaN NAN nAn +nan -nan -NaN -NAN
in i infi infin infinit infinityy infinite inff iinf inf0 0inf inf. .inf 1inf inf1 --inf +-inf inf_ _inf in_f
na n nann nan0 0nan nan() nan(1) nan(0x1) qnan snan nanq --nan +-nan nan_ _nan n_an NaNs nanf 1nan ind 1.#inf
1.#QNAN
infe5 nane5 einf 1einf 1enan infnan naninf infinityinfinity inf+1
.0 0. -.0 -0. +.0 0.0 -0.0 +0.0 0e0 0e5 -0e5 0e-5 0.e0 .0e0 00.00e00 -0.0e-0 0e999999999999 -0e999999999999
0e-999999999999
.. ..1 1.. 1..0 1.0.0 .1. . +. -. .e .e1 -.e1 +.e-1 .+1 .-1 1.+1 1.-1 1.e 1.e1 1.e+1 .1e1 -.1e-1 .e.
1e 1e+ 1e- 1e++1 1e--1 1e+-1 1e5.0 1e.5 1e5e5 1ee5 1E+E5 e5 E5 -e5 +e5 e e+ e-5 1e5- 1e5+ 1e5x 1e5f 1e0x5
1_000.5 1_000_000.000_001 1_0e1_0 1e1_0 1e1__0 1e_5 1_e5 1e5_ 1._5 1_.5 1.5_ ._5 _.5 .5_ .5_5 1.5_5 1.5__5
1e+_5 1e-_5 1e_+5 1_e_5
-1_0.0_1 _1.0 -_1.0 1.0_e5 +1_0.0_1e-0_1 0_0.0_0 1_0. 1_. 1_e1 inf_inity nan_nan
0x 0x1 0x1.8 0x1.8p1 0x1p+3 -0x1p3 0x.8p0 0xinf 0x1e5 0X1P1 1p3 1p 0p0
1e-1 1e-2 1e-3 1e-4 1e-5 0.1 0.01 0.001 0.0001 0.00001 0.000001 0.00012345 0.000099999 0.00009999999999999999
0.0000999999999999999999999
0.00010000000000000002 9.999e-5 9.9999999999999999e-5 -0.0001 -0.00001 1.5e-5 -1.5e-05 1e-05 1e-005 1e-00005
1e+00016 12345e-9
1e14 1e15 1e16 1e17 1e18 1e21 1e22 1e23 1e24 -1e15 -1e16 -1e17 9.999e15 9.9999e15 1.5e16 1.5e15
123456789012345678
999999999999999 9999999999999999 99999999999999999 999999999999999.9 9999999999999998 9999999999999999.0
10000000000000000 10000000000000001
10000000000000002 9999999999999997 9999999999999998.5 9999999999999999.5 999999999999999.94 999999999999999.95
1234567890123456 12345678901234567
1000000000000000 100000000000000.5 1000000000000000.5 4503599627370495.5 4503599627370496.5 4503599627370497.5
2251799813685247.75
9007199254740991 9007199254740992 9007199254740993 9007199254740994 9007199254740995 9007199254740996
9007199254740997
9007199254740992.5 9007199254740993.0 9007199254740993.00000000000000000000000000000001
9007199254740992.99999999999999999999999999
-9007199254740993 900719925474099300e-2 0.9007199254740993e16 90071992547409930000000000000000000000e-22
9007199254740993e0
18014398509481983 18014398509481984 18014398509481985 18014398509481986 18014398509481987 18446744073709551615
18446744073709551616 18446744073709551617
9223372036854775807 9223372036854775808 -9223372036854775808 9223372036854775295 9223372036854775296
9223372036854775297 36893488147419103233
1.7976931348623157e308 1.7976931348623158e308 1.7976931348623159e308 1.797693134862315807e308
1.797693134862315808e308 -1.7976931348623159e308
1.7976931348623157081e308 17976931348623157e292 0.17976931348623157e309 1.7976931348623156e308 1.8e308 2e308
1e308 1e309 1e310 -1e309 1e400 1e4000 9e307
2.2250738585072014e-308 2.2250738585072011e-308 2.2250738585072012e-308 2.2250738585072009e-308
2.225073858507201e-308 2.2250738585072013e-308 22250738585072014e-324
6.631236871469758276785396630275967672e-308
5e-324 4.9e-324 4.94065645841246544e-324 4.9406564584124654e-324 4.9406564584124653e-324
2.4703282292062327e-324 2.4703282292062328e-324 2.470328229206232720e-324
2.4703282292062327208299597e-324 2.47032822920623272088284396434110686182e-324
2.47032822920623272088284396434110686183e-324 3e-324 2e-324 2.5e-324 7.4e-324 7.5e-324 1e-323 1.5e-323 1e-324
-5e-324 -1e-324 1e-325 1e-400 1e-4000
1e99999 1e-99999 1e2147483647 1e2147483648 1e-2147483648 1e-2147483649 1e4294967296 1e4294967297
1e9223372036854775807 1e9223372036854775808 1e18446744073709551616 1e18446744073709551617
1e-9223372036854775809 1e-18446744073709551617
1e99999999999999999999999999999999 1e-99999999999999999999999999999999 0e99999999999999999999999999999999
0e-99999999999999999999999999999999 -1e99999999999999999999999999999999 0.0e18446744073709551617
1e0000000000000000000000000000000000000000000000000000005
1e-0000000000000000000000000000000000000000000000000000005
1e+0000000000000000000000000000000000000000000000000000308 1e00000000000000000000000000000000000000000000309
000000000000000000000000000000000000000000001.5 -0000000000000000000000000000.1
1.50000000000000000000000000000000000000000000000 0.1000000000000000055511151231257827021181583404541015625
0.1000000000000000055511151231257827 0.10000000000000000555111512312578270211815834045410156249999 0.3
0.30000000000000004 0.299999999999999988897769753748434596
1.0000000000000002 1.0000000000000001 1.00000000000000011102230246251565404236316680908203125
1.00000000000000011102230246251565404236316680908203124
1.00000000000000011102230246251565404236316680908203126
1.00000000000000033306690738754696212708950042724609375 0.99999999999999994448884876874217297882
0.99999999999999997 0.9999999999999999
3.141592653589793 3.14159265358979323846264338327950288 2.718281828459045 1.4142135623730951
0.3333333333333333 0.6666666666666666 0.1 0.2 0.7 1.1 1.15 2.675 1.005 4.35 100.0 1000.0 12.0 13.0 5e-5
1.25e-3 65504 3.4028235e38 1.17549435e-38
8.41e21 2.0919495182368195e19 2.6153245263757307e19 9.5e20 5e20 4.5e15 1.5846085e17 9.2233720368547758e18
1.2e21 8.533e+68 4.1006e-184 9.998e+307 9.9538452227e-280 6.47660115e-260 7.4e+47 5.92e+48 7.35e+66
8.32116e+55 7.2057594037927933e16 1.8446744073709552e19
8.9255e-22 6.9294956446009195e15 123456.789e3 1.2345678901234567890123456789e-7 0.000001e6
100000000000000000000000e-23 1e-10000000000000000000000000000000000000000000
104110013277974872254e-225 9.5e-21 5.0031e-313 6.5e-320 9e-265 85e-37 623e100 3571e263 81661e153 920657e-23
4603285e-24 87575437e-309 245540327e122 138402720e-217 83356057653e193 619534293513e124 2335141086879e218
36167929443327e-159 609610927149051e-255 3743626360493413e-165 94080055902682397e-242 899810892172646163e283
7120190517612959703e120 25188282901709339043e-252 308984926168550152811e-52 6372891218502368041059e64
""".split()

INTEGERS = """
9223372036854775806 9223372036854775807 9223372036854775808 9223372036854775809 9223372036854775817
9223372036854775800 9223372036854775810
-9223372036854775807 -9223372036854775808 -9223372036854775809 -9223372036854775818 -9223372036854775810
+9223372036854775807 +9223372036854775808
0009223372036854775807 -0009223372036854775808 0009223372036854775808 9_223_372_036_854_775_807
9_223_372_036_854_775_808 -9_223_372_036_854_775_808 9_2_2_3_3_7_2_0_3_6_8_5_4_7_7_5_8_0_7
922337203685477580 922337203685477581 9999999999999999999 10000000000000000000 18446744073709551615
18446744073709551616 18446744073709551617 -18446744073709551615 -18446744073709551616 36893488147419103232
340282366920938463463374607431768211455 340282366920938463463374607431768211456
340282366920938463463374607431768211457 -340282366920938463463374607431768211456
99999999999999999999999999999999999999999999
2147483647 2147483648 -2147483648 -2147483649 4294967295 4294967296 4294967297 -4294967296 9007199254740993
1503319739000 1503319739000000 1503319739000000000
0000000000000000000000000000000000000000000000000000 -0000000000000000000000000000000000000000
0000000000000000000000000000000000000000001 -00000000000000000000000000000000000000000000000001
0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_0_1
1.0e0 1e0 1e 0e0 0. .0 0.0 -0.0 1503319739.0 1503319739. inf nan -inf Infinity infinity NaN 0xff 0xFF ff FF
0o17 017 0b101 0B1 +0x1 1_0x 0_x1 --0 ++0 -+0 0- 0+ 0-0 +0_0 -0_0 _0 0_ 0__0
""".split()


def hard_floats():
    """Values at which readers and printers are known to err."""
    for exponent in range(-330, 311):
        yield f"1e{exponent}"
    for exponent in range(-330, 311, 7):
        yield f"-9.999999999999999e{exponent}"
    for power in range(-1074, 1024, 11):
        yield repr(2.0**power)
    # Halfway cases, which go to the even neighbour, and both sides of them.
    generator = Generator(SEED + 1)
    for power in (-1075, -1074, -1060, -1023, -300, -54, -53, -52, -10, -1, 0, 1, 10, 53, 300, 970):
        for last_bit in (0, 1):
            significand = (1 << 52 | generator.bits(52)) & ~1 | last_bit
            yield from around(exact(significand * 2 + 1, power))
    # Below the smallest double, between the subnormals and the rest, and at overflow.
    for halfway in (exact(1, -1075), exact((1 << 53) - 1, -1075), exact((1 << 54) - 1, 970)):
        yield from around(halfway)
    for bits in (0, 1, 2, 3, (1 << 52) - 1, 1 << 52, (1 << 52) + 1, (0x7FE << 52) - 1, (0x7FF << 52) - 1, 0x3FF << 52):
        yield repr(double(bits))
        yield repr(-double(bits))


def long_floats():
    """Many digits, and exponents that undo them."""
    for zeros in (20, 100, 310, 700, 1000):
        yield f"1{'0' * zeros}e-{zeros}"
        yield f"0.{'0' * zeros}1e{zeros + 1}"
        yield f"{'0' * zeros}1.25"
        yield f"1.5{'0' * zeros}"
        yield f"0.{'0' * zeros}"
    for exponent_zeros in (10, 100, 400):
        yield f"1.5e{'0' * exponent_zeros}7"
        yield f"1.5e-{'0' * exponent_zeros}7"
        yield f"1.5e+{'0' * exponent_zeros}400"
    generator = Generator(SEED + 2)
    for count in (25, 40, 60, 100, 200, 308, 309, 310, 400, 600, 767, 768, 769, 800, 1000):
        digits = generator.digits(count)
        yield digits
        yield f"0.{digits}"
        at = generator.below(count)
        yield f"{digits[:at]}.{digits[at:]}e{generator.below(600) - 300}"


def random_double(generator):
    """Of any bit pattern, but for the infinities and NaNs, which there are spellings of."""
    while True:
        bits = generator.bits(64)
        if bits >> 52 & 0x7FF != 0x7FF:
            return double(bits)


def random_decimal(generator):
    """A decimal of 0 to 20 digits, a point at any place, with a sign and an exponent or without."""
    digits = generator.digits(generator.below(21))
    at = generator.below(len(digits) + 1)
    text = generator.choice(["", "", "", "-", "+"]) + digits[:at] + generator.choice([".", ".", ""]) + digits[at:]
    if generator.below(3) == 0:
        width = generator.choice([5, 30, 340])
        exponent = generator.below(2 * width + 1) - width
        text += generator.choice("eE") + generator.choice([str(exponent), f"{exponent:+d}", f"{exponent:04d}"])
    return text


def random_integer(generator):
    """An integer of any length up to a little more than fits, some with underscores."""
    if generator.below(4) == 0:
        value = generator.choice([2**63, -(2**63), 2**64, 10**18, 10**19]) + generator.below(21) - 10
    else:
        value = generator.bits(1 + generator.below(66))
    text = f"{value:_d}" if generator.below(4) == 0 else str(value)
    text = "0" * generator.choice([0, 0, 0, 1, 5, 25]) + text
    return generator.choice(["", "", "-", "+"]) + text


def mangled(generator, text):
    """The text with one to three characters inserted, removed, replaced or swapped."""
    characters = list(text)
    for _ in range(1 + generator.below(3)):
        at = generator.below(len(characters) + 1)
        kind = generator.below(4)
        if kind == 0 or not characters:
            characters.insert(at, generator.choice(MUTATION_ALPHABET))
        elif kind == 1:
            characters.pop(at - 1)
        elif kind == 2:
            characters[at - 1] = generator.choice(MUTATION_ALPHABET)
        else:
            other = generator.below(len(characters))
            characters[at - 1], characters[other] = characters[other], characters[at - 1]
    return "".join(characters)


def float_texts():
    yield from SHARED + FLOATS + OTHER_SCRIPTS + NOT_ASCII
    for text in ("12", "1.5", "1.25e-10", "-10.5E+20", "inf", "-nan"):
        for inserted in ("_", "-", "."):
            yield from in_all_positions(text, inserted)
    yield from hard_floats()
    yield from long_floats()
    generator = Generator(SEED + 3)
    for _ in range(700):
        yield repr(random_double(generator))
    for _ in range(250):
        # Seventeen digits always read back the same; they are seldom the shortest.
        yield f"{random_double(generator):.16e}"
    for _ in range(700):
        yield random_decimal(generator)
    for _ in range(700):
        yield mangled(generator, generator.choice([repr(random_double(generator)), random_decimal(generator)]))
    for _ in range(300):
        yield mangled(generator, generator.choice(["inf", "-Infinity", "nan", "+NaN", "1_000.5", "1e5", "-0.0", "12.0"]))


def integer_texts():
    yield from SHARED + INTEGERS + OTHER_SCRIPTS + NOT_ASCII
    for text in ("12", "-123", "+1503319739"):
        for inserted in ("_", "__", "-", "+", "."):
            yield from in_all_positions(text, inserted)
    for exponent in range(0, 41):
        yield str(10**exponent)
        yield str(10**exponent - 1)
        yield str(-(10**exponent))
    for power in range(0, 70):
        for difference in (-1, 0, 1):
            yield str(2**power + difference)
            yield str(-(2**power) + difference)
    for zeros in (19, 20, 64, 100, 600, 640, 641, 1000):
        yield "0" * zeros
        yield "-" + "0" * zeros + "7"
        yield "1" + "0" * zeros
    generator = Generator(SEED + 4)
    for _ in range(500):
        yield random_integer(generator)
    for _ in range(600):
        yield mangled(generator, random_integer(generator))


def write_table(name, made_by, texts, read):
    """Writes each text once, in the order made, with what it reads as."""
    rows = {}
    for text in texts:
        # Words are never empty and hold no white space. What cannot be seen is kept out of the
        # files, and the live comparison with the reference sends it.
        if text.split() == [text] and text.isprintable():
            rows[text] = read(text)
    header = [
        f"# A text, a tab, and {made_by} or the word error.",
        "# Made by make_tables.py, which says what is an error here and none to Python,",
        f"# with {platform.python_implementation()} {platform.python_version()}.",
    ]
    lines = header + [f"{text}\t{result}" for text, result in rows.items()]
    path = pathlib.Path(__file__).with_name(name)
    path.write_bytes(("\n".join(lines) + "\n").encode())
    errors = sum(result == "error" for result in rows.values())
    print(f"{name}: {len(rows)} rows, {errors} of them errors, {path.stat().st_size} bytes")


def main():
    write_table("floats.tsv", "repr(float(text))", float_texts(), read_float)
    write_table("integers.tsv", "int(text)", integer_texts(), read_integer)


if __name__ == "__main__":
    main()
