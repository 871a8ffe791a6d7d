#!/usr/bin/env python3
"""Writes functions.tsv beside itself: targets, and what graphite-web makes of them.

    /usr/bin/python3 make_functions.py

First come the functions that metricd has, with their group and parameters in JSON, as graphite-web
describes them. Then come the series, each with its step, the time of its first value, and its values, and
then the targets, each with what graphite-web 1.1.8 evaluates it to over the window from FROM to UNTIL: for each
series its name, path expression, start, step and values; or `error` if it refuses. Another run with the
same versions writes the same bytes.

Left out are targets at which graphite-web does not refuse an argument, but fails: comparing a number
with a missing value, using a variable before it is set. Left out are also factors of seven digits that end
in a 5: in names metricd rounds them to even, `%g` as the double is below or above.

Series are read as from Graphite's files. Everything is written as Python's repr writes it. Values are
floats from the beginning, as metricd keeps them: Graphite would print some of them as integers.
"""

import datetime
import json
import logging
import pathlib
import sys
import types
from fnmatch import fnmatchcase

import django.conf

# Its log would need settings, and a folder to write to; events would need a database.
sys.modules["graphite.logger"] = types.SimpleNamespace(log=logging.getLogger("graphite"))
sys.modules["graphite.events"] = types.SimpleNamespace(models=None)
logging.getLogger("graphite").rendering = lambda *_: None
logging.disable(logging.CRITICAL)
django.conf.settings.configure(
    DEFAULT_XFILES_FACTOR=0, ENFORCE_INPUT_VALIDATION=True, FUNCTION_PLUGINS=[], REMOTE_STORE_MERGE_RESULTS=True,
    RENDER_TRIM_RECENT_IN_AGGREGATE=False, STORAGE_FINDERS=[], TAGDB=None, TIME_ZONE="UTC", UTF8_METRICS=False,
)

import pytz
from graphite.finders import expand_braces
from graphite.render import datalib, evaluator, functions
from graphite.render.grammar_unsafe import grammar
from graphite.tags.utils import TaggedSeries

FROM, UNTIL = 1_600_000_030, 1_600_000_790
N = None

FUNCTIONS = """
absolute alias aliasByMetric aliasByNode aliasSub asPercent averageSeries avg consolidateBy constantLine
currentAbove derivative diffSeries divideSeries exclude grep groupByNode highestAverage highestCurrent
highestMax integral keepLastValue limit lowestAverage maxSeries minSeries movingAverage
nonNegativeDerivative offset pct perSecond scale scaleToSeconds sortByMaxima sortByName sum sumSeries
summarize timeShift transformNull
""".split()
# What groupByNode may call besides aggregations.
OF_SERIES = {"averageSeries", "diffSeries", "maxSeries", "minSeries", "sumSeries"}

# Names, steps, steps from the first value to the first of the window, and values.
SERIES = {
    "a.cpu.user": (60, 0, [1, 2, 3.5, N, 5, 0, -7, 8.25, 1e-3, 10, 11, 12]),
    "a.cpu.system": (60, 0, [0.5, N, N, 4, 4, 4, 1, 2, 3, N, N, 6]),
    "b.cpu.user": (60, 0, [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0, -10]),
    "b.cpu.system": (60, 0, [N, 0, 0, 0, 1.5, N, N, 3, 0.1, 0.2, 0.3, 1 / 3]),
    "a.count": (60, 5, [1, 2, 4, 8, 16, 32, 64, 128, 140, 3, 10, 11, 15, N, 20, 22, 27]),
    "b.count": (60, 60, [float(i * i % 97) for i in range(72)]),
    "empty.one": (60, 0, [N] * 12),
    "empty.two": (60, 0, []),
    "point.first": (60, 0, [7]),
    "point.last": (60, 0, [N] * 12 + [7]),
    "fine.x": (20, 6, [i * 0.1 if i % 5 else N for i in range(45)]),
    "fine.y": (30, 2, [N if 6 <= i < 12 else float(i) for i in range(28)]),
    "big.x": (60, 0, [1e300, -1e300, 1.7e308, 4294967296.123456789, 8589934592.5, 123456789.1234565, 5e-324, 1e16]),
    "tag.x;host=a;dc=one": (60, 0, [1, 2, 3]),
    "tag.x;host=b;dc=one": (60, 0, [4, 5, 6]),
    "sort.h10": (60, 0, [3, 3, N]),
    "sort.h9": (60, 0, [5, 1, 1]),
    "sort.h1": (60, 0, [5, 1, N, 1]),
    "sort.h01": (60, 0, [N]),
    "sort.A": (60, 0, [-1, -5, -0.0]),
}

AGGREGATIONS = ["average", "avg", "avg_zero", "median", "sum", "min", "max", "diff", "stddev", "count", "range",
                "multiply", "last", "rangeOf", "total", "current"]
MANY = ["a.cpu.*", "*.cpu.*", "*.count", "empty.*", "nothing.*", "point.*", "fine.x", "big.x", "tag.*", "sort.*",
        "scale(a.cpu.*,2)"]
EACH = ["a.cpu.user", "*.cpu.system", "a.count", "empty.*", "nothing.*", "point.*", "fine.x", "big.x"]


def targets():
    """All targets, some of them more than once."""
    for path in MANY:
        yield path
        for function in ["sum", "sumSeries", "avg", "averageSeries", "minSeries", "maxSeries", "diffSeries",
                         "sortByMaxima", "sortByName", "aliasByMetric", "asPercent"]:
            yield f"{function}({path})"
    for function in ["highestMax", "highestCurrent", "highestAverage", "lowestAverage", "limit"]:
        for count in [0, 1, 2, 100] + ([-1] if function != "limit" else []):
            yield f"{function}(sort.*,{count})"
        yield f"{function}(*.cpu.*,3)"
        yield f"{function}(nothing.*,3)"
    for path in EACH:
        for function in ["absolute", "derivative", "integral", "nonNegativeDerivative", "perSecond", "keepLastValue"]:
            yield f"{function}({path})"
        for call in ["scale({},0.1)", "offset({},1)", "scaleToSeconds({},1)", "keepLastValue({},2)", "transformNull({},1)",
                     "movingAverage({},2)", "summarize({},'2min')", "timeShift({},'1min')"]:
            yield call.format(path)
    for factor in ["0", "2", "-1", "0.5", "1e3", "-2.5e-7", "123456789", "0.1234567", "1000000", "100000", "inf", "'3'",
                   "true", "0.00001234", "0.0001", "999999.5", "1e-300", "1.5E300", "0.30000000000000004"]:
        yield f"scale(point.first,{factor})"
        yield f"offset(point.first,{factor})"
    for seconds in ["1", "60", "3600", "0.5", "7.9", "-60"]:
        yield f"scaleToSeconds(a.cpu.user,{seconds})"
        yield f"scaleToSeconds(big.x,{seconds})"
    for limit in ["0", "1", "2", "3", "100", "inf", "-1", "'2'", "'inf'"]:
        yield f"keepLastValue(*.cpu.system,{limit})"
    for default in ["0", "5", "-1.5", "1e10", "default=3", "0,a.cpu.system", "1,nothing.*", "2,*.cpu.*", "0.1,b.count",
                    "7,empty.*"]:
        yield f"transformNull(a.cpu.system,{default})"
        yield f"transformNull(empty.*,{default})"
    for path in ["a.count", "fine.y"]:
        for size in ["1", "2", "5", "12", "'1min'", "'2min'", "'90s'", "'-3min'", "'10s'", "'1h'", "2.7", "3,0.5", "100",
                     "3,xFilesFactor=1", "'5min',0.9"]:
            yield f"movingAverage({path},{size})"
        for interval in ["1min", "2min", "5min", "90s", "30s", "1h", "1d", "45s", "1min30s"]:
            yield f"summarize({path},'{interval}')"
            yield f"summarize({path},'{interval}','avg',true)"
            yield f"summarize({path},'{interval}','max')"
        for shift in ["1min", "-1min", "+2min", "90s", "1h", "-7s", "1h30min", "+90s", "1w", "1mon", "1y", "1d2h",
                      "2min',false", "2min',true,false", "2min',resetEnd=false"]:
            yield f"timeShift({path},'{shift})" if "," in shift else f"timeShift({path},'{shift}')"
    for name in ["sum", "average", "avg", "avg_zero", "min", "max", "first", "last"]:
        yield f"consolidateBy(a.cpu.user,'{name}')"
    for aggregation in AGGREGATIONS:
        yield f"summarize(*.cpu.system,'3min','{aggregation}')"
        yield f"summarize(fine.*,'70s','{aggregation}',true)"
        yield f"groupByNode(*.cpu.*,0,'{aggregation}')"
        yield f"groupByNode({{a,b,empty}}.*.*,-1,callback='{aggregation}')"
        yield f"sumSeries(groupByNode(*.cpu.*,1,'{aggregation}'))"
    for callback in ["sumSeries", "averageSeries", "minSeries", "maxSeries", "diffSeries"]:
        yield f"groupByNode(*.cpu.*,0,'{callback}')"
    for name in ["sum", "average", "avg_zero", "min", "max", "first", "last"]:
        yield f"sumSeries(consolidateBy(fine.x,'{name}'),a.cpu.user)"
        yield f"maxSeries(consolidateBy(fine.y,'{name}'),a.cpu.user)"
    yield from COUNTERS.split("\n")
    yield from BY_HAND.split("\n")


COUNTERS = "\n".join(
    f"{function}({path}{arguments})"
    for function in ["nonNegativeDerivative", "perSecond"]
    for path in ["b.cpu.user", "b.count", "big.x"]
    for arguments in [",100", ",50", ",100,5", ",maxValue=200", ",minValue=10", ",maxValue=90,minValue=20", ",None", ",None,None"]
)

BY_HAND = r"""
groupByNode(*.cpu.*,2)
groupByNode(*.cpu.*,7,'sum')
groupByNode(*.cpu.*,'host','sum')
groupByNode(tag.*,'host','sum')
groupByNode(tag.*,'dc','sum')
groupByNode(tag.*,'name','sum')
groupByNode(scale(*.cpu.*,2),0,'sum')
groupByNode(alias(*.cpu.*,'x.y.z'),1,'sum')
groupByNode(nothing.*,1,'sum')
groupByNode(*.cpu.*,0,'nonsense')
groupByNode(*.cpu.*,0,'medianSeries')
aliasByNode(*.cpu.*,0)
aliasByNode(*.cpu.*,0,2)
aliasByNode(*.cpu.*,2,0)
aliasByNode(*.cpu.*,-1,-3)
aliasByNode(*.cpu.*,-4,9,1)
aliasByNode(tag.*,'host')
aliasByNode(tag.*,1,'dc','nonsense','name')
aliasByNode(scale(a.cpu.*,2),1,2)
aliasByNode(sumSeries(scale(a.cpu.*,2),b.cpu.user),2)
aliasByNode(movingAverage(summarize(a.cpu.user,'2min','avg'),2),0,2)
aliasByNode(timeShift(a.cpu.user,'1h'),2)
aliasByNode(asPercent(a.cpu.user,100),2)
aliasByNode(divideSeries(a.cpu.user,b.cpu.user),0)
aliasByNode(alias(a.cpu.user,'one.two three(four.five,six)'),1)
aliasByNode(sumSeries(a.{cpu,count}.*),1)
aliasByNode(constantLine(5.5),0,1)
aliasByNode(*.cpu.*)
aliasByMetric(scale(*.cpu.*,2))
aliasByMetric(sumSeries(a.cpu.*,b.cpu.user))
aliasByMetric(summarize(a.cpu.user,'2min'))
aliasByMetric(constantLine(5))
aliasByMetric(alias(a.cpu.user,'x) y(z'))
aliasByMetric(alias(a.cpu.user,'x y'))
aliasByMetric(tag.*)
aliasByMetric(a.cpu.user,1)
alias(*.cpu.*,"it's")
alias(a.cpu.user,'say "hi"')
alias(a.cpu.user,"a\"b")
alias(a.cpu.user,'a''b')
alias(a.cpu.user,'')
alias(a.cpu.user)
alias('x','y')
alias(a.cpu.user,5)
alias(a.cpu.user,newName='named')
sumSeries(alias(a.cpu.user,'x'),alias(b.cpu.user,'y'))
aliasSub(*.cpu.*,'cpu','processor')
aliasSub(*.cpu.*,'^(.*)\.cpu\.(.*)$','\2 of \1')
aliasSub(*.cpu.*,'(?P<host>[a-z]+)\.cpu','<\g<host>>')
aliasSub(*.cpu.*,'([a-z])','\g<1>\1')
aliasSub(*.cpu.*,'x*','-')
aliasSub(*.cpu.*,'[aeiou]+','')
aliasSub(*.cpu.*,'','.')
aliasSub(*.cpu.*,'$','!')
aliasSub(*.cpu.*,'^','!')
aliasSub(*.cpu.*,'\bcpu\b','\\')
aliasSub(*.cpu.*,'\d','0')
aliasSub(*.cpu.*,'(?i)CPU','C')
aliasSub(*.cpu.*,'cpu|user','[\g<0>]')
aliasSub(*.cpu.*,'(c)pu|(u)ser','(\1\2)')
aliasSub(*.cpu.*,'u{1,2}?','U')
aliasSub(*.cpu.*,'(','x')
aliasSub(*.cpu.*,'a','\1')
aliasSub(scale(a.cpu.user,2),'scale\((.*),(\d)\)','\1 times \2')
exclude(*.cpu.*,'user')
exclude(*.cpu.*,'^a')
exclude(*.cpu.*,'nothing')
exclude(*.cpu.*,'')
exclude(*.cpu.*,'[')
exclude(*.cpu.*,'(a|b)\.cpu\.(?:user|x)')
exclude(alias(*.cpu.*,'x'),'cpu')
grep(*.cpu.*,'user')
grep(*.cpu.*,'^b.*m$')
grep(*.cpu.*,'nothing')
grep(scale(*.cpu.*,2),'scale\(a')
grep(*.cpu.*,pattern='USER|system')
currentAbove(*.cpu.*,5)
currentAbove(*.cpu.*,-10)
currentAbove(*.cpu.*,-10.5)
currentAbove(empty.*,-10)
currentAbove(point.*,6.9)
currentAbove(point.*,7)
currentAbove(*.cpu.*)
limit(*.cpu.*,1.5)
limit(*.cpu.*,'2')
limit(*.cpu.*,n=2)
limit(*.cpu.*,)
highestMax(*.cpu.*)
highestMax(*.cpu.*,-2)
highestMax(*.cpu.*,-100)
sortByName(sort.*,true)
sortByName(sort.*,natural=true)
sortByName(sort.*,natural=true,reverse=true)
sortByName(sort.*,false,true)
sortByName(sort.*,'true','false')
sortByName(sort.*,1,0)
sortByName(sort.*,2)
sortByName(alias(sort.*,'same'),true,true)
sortByMaxima(scale(sort.*,-1))
limit(sortByMaxima(sort.*),2)
asPercent(*.cpu.*,100)
asPercent(*.cpu.*,0)
asPercent(*.cpu.*,-12.5)
asPercent(*.cpu.*,1e3)
asPercent(*.cpu.*,b.cpu.user)
asPercent(*.cpu.user,*.cpu.system)
asPercent(scale(*.cpu.user,2),*.cpu.system)
asPercent(a.cpu.*,*.cpu.*)
asPercent(a.cpu.*,nothing.*)
asPercent(a.cpu.user,nothing.*)
asPercent(nothing.*,a.cpu.user)
asPercent(nothing.*)
asPercent(nothing.*,nothing.*)
asPercent(a.cpu.user,a.cpu.user)
asPercent(empty.*,a.cpu.user)
asPercent(a.cpu.user,empty.one)
asPercent(*.cpu.*,None,0)
asPercent(*.cpu.*,None,2)
asPercent(*.cpu.*,None,0,2)
asPercent(*.cpu.*,None,0,-1)
asPercent(*.cpu.*,*.cpu.user,0)
asPercent(*.cpu.*,*.*.system,0)
asPercent(*.cpu.user,*.cpu.*,0)
asPercent(a.cpu.*,*.cpu.*,0)
asPercent(*.cpu.*,a.cpu.*,0)
asPercent(*.cpu.*,sumSeries(b.cpu.*),0)
asPercent(scale(*.cpu.*,2),None,0)
asPercent(*.cpu.*,100,0)
asPercent(*.cpu.*,'x')
asPercent(sumSeries(a.cpu.*),sumSeries(*.cpu.*))
asPercent(movingAverage(*.cpu.user,2),sumSeries(*.cpu.*))
pct(*.cpu.*,200)
divideSeries(*.cpu.*,b.cpu.user)
divideSeries(a.cpu.user,a.cpu.user)
divideSeries(a.cpu.user,nothing.*)
divideSeries(nothing.*,a.cpu.user)
divideSeries(a.cpu.user,*.cpu.*)
divideSeries(empty.*,a.cpu.user)
divideSeries(a.cpu.user,empty.one)
divideSeries(sumSeries(a.cpu.*),scale(b.cpu.user,0))
divideSeries(a.cpu.user,fine.x)
divideSeries(fine.x,a.cpu.user)
divideSeries(fine.x,fine.y)
sumSeries(fine.x,a.cpu.user)
averageSeries(a.cpu.user,fine.x,fine.y)
maxSeries(fine.x,fine.y)
minSeries(summarize(a.cpu.user,'2min'),a.cpu.user)
diffSeries(summarize(a.cpu.*,'3min'),summarize(b.cpu.*,'2min'))
sumSeries(a.cpu.*,a.cpu.*)
sumSeries(a.cpu.user,b.cpu.user,a.cpu.user)
sumSeries(a.cpu.*,nothing.*,b.cpu.user)
sumSeries(nothing.*,nothing.*)
sumSeries()
sumSeries(a.cpu.user,5)
diffSeries(b.cpu.user,a.cpu.user)
diffSeries(a.cpu.system,b.cpu.user,a.cpu.user)
diffSeries(empty.one,a.cpu.user)
constantLine(5)
constantLine(-0.5)
constantLine(1e20)
constantLine(123456.789)
constantLine('7')
constantLine('x')
constantLine()
sumSeries(constantLine(5),constantLine(7))
scale(constantLine(5),2)
summarize(a.cpu.user,'0s')
summarize(a.cpu.user,'nonsense')
summarize(a.cpu.user,'5m')
summarize(a.cpu.user,5)
summarize(a.cpu.user,'2min','nonsense')
summarize(a.cpu.user,'2min',func='last')
summarize(a.cpu.user,'2min',alignToFrom=true)
summarize(summarize(a.cpu.user,'2min'),'6min','max')
summarize(scale(*.cpu.*,2),'4min','median',false)
summarize(movingAverage(a.count,3),'3min','avg')
summarize(timeShift(a.count,'2min'),'3min','sum')
movingAverage(summarize(b.count,'2min','sum'),3)
movingAverage(movingAverage(b.count,3),'2min')
movingAverage(*.cpu.*,'nonsense')
movingAverage(a.cpu.user)
movingAverage(scale(b.count,0.1),'10min',xFilesFactor=0.5)
movingAverage(sumSeries(*.count),3)
timeShift(sumSeries(*.count),'5min')
timeShift(timeShift(b.count,'5min'),'5min')
timeShift(movingAverage(b.count,4),'3min')
movingAverage(timeShift(b.count,'3min'),4)
timeShift(summarize(b.count,'2min'),'4min')
timeShift(a.count,'')
timeShift(a.count,'x')
timeShift(a.count,5)
timeShift(sort.*,'1min')
consolidateBy(a.cpu.user,'nonsense')
consolidateBy(a.cpu.user,'median')
summarize(consolidateBy(fine.x,'max'),'2min')
sumSeries(scale(consolidateBy(fine.x,'max'),2),a.cpu.user)
sumSeries(derivative(consolidateBy(fine.x,'min')),a.cpu.user)
sumSeries(sumSeries(consolidateBy(fine.x,'min')),a.cpu.user)
derivative(integral(a.cpu.user))
integral(derivative(a.cpu.*))
perSecond(sumSeries(*.count))
nonNegativeDerivative(keepLastValue(a.count))
keepLastValue(a.cpu.user,None)
keepLastValue(a.cpu.user,1.5)
keepLastValue(a.cpu.user,'x')
scale(a.cpu.user,'x')
scale(a.cpu.user,None)
scale(a.cpu.user,b.cpu.user)
scale(a.cpu.user,-inf)
scale(a.cpu.user,+2)
scale(a.cpu.user)
scale(a.cpu.user,1,2)
scale(a.cpu.user,factor=3)
scale(a.cpu.user,2,factor=3)
scale(a.cpu.user,by=3)
scale(scale(scale(a.cpu.user,2),3),4)
scale( a.cpu.user , 2 )
sumSeries( a.cpu.* , b.cpu.user )
 a.cpu.user
a.cpu.user|scale(2)
a.cpu.user | scale(2) | offset(1)
a.cpu.*|sumSeries()
sumSeries(a.cpu.*|scale(2),b.cpu.user)
a.cpu.*|aliasByNode(1,2)
a.cpu.*|sumSeries(b.cpu.user)
sumSeries(a.cpu.*)|alias('x')
a.cpu.user|
|scale(2)
a.{cpu,count}.user
{a,b}.cpu.{user,system}
a.cpu.{user}
a.cpu.use?
a.cpu.[su]*
a.c{pu,x}.u{s,x}er
foo(a.cpu.user)
sumSeries(foo(a.cpu.user))
Sum(a.cpu.user)
scale(a.cpu.user,2
alias(a.cpu.user,'x
alias(a.cpu.user,"x')
alias(sumSeries(scale(nonNegativeDerivative(a.count),0.5),scaleToSeconds(b.count,1)),'deep')
aliasByNode(highestMax(scale(perSecond(*.count),60),1),0)
sortByName(aliasByNode(movingAverage(keepLastValue(*.cpu.*),2),0,2),reverse=true)
alias(asPercent(groupByNode(*.cpu.*,0,'sum'),sumSeries(*.cpu.*)),'share')
divideSeries(sumSeries(a.*),sumSeries(b.*))
transformNull(divideSeries(a.cpu.user,a.cpu.system),-1)
limit(exclude(sortByMaxima(*.*.*),'none'),3)
offset(scale(absolute(a.cpu.user),0.1),0.2)
"""


def is_found(pattern, name):
    """Whether a pattern stands for a name: node by node, as graphite-web has it."""
    nodes, patterns = name.split("."), pattern.split(".")
    if len(nodes) != len(patterns):
        return False
    return all(any(fnmatchcase(node, one) for one in expand_braces(several)) for node, several in zip(nodes, patterns))


def fetch(patterns, start, end, _now, _context):
    """What graphite-web reads from its files, as whisper returns it."""
    for pattern in patterns:
        for name, (step, before, values) in SERIES.items():
            if not is_found(pattern, name):
                continue
            first = FROM - FROM % step + step - before * step
            begin, stop = start - start % step + step, end - end % step + step
            stop += step if begin == stop else 0
            known = {first + at * step: value for at, value in enumerate(values) if value is not None}
            values = [None if time not in known else float(known[time]) for time in range(begin, stop, step)]
            yield {"pathExpression": pattern, "name": name, "time_info": (begin, stop, step), "values": values}


def evaluated(target):
    """The result cells of the table; None if graphite-web fails."""
    moment = lambda time: datetime.datetime.fromtimestamp(time, pytz.utc)
    context = {"startTime": moment(FROM), "endTime": moment(UNTIL), "now": moment(UNTIL), "tzinfo": pytz.utc,
               "data": [], "localOnly": True, "prefetched": {}, "template": {}}
    try:
        grammar.parseString(target, parseAll=True)  # otherwise it ignores what it cannot read
        results = evaluator.evaluateTarget(context, [target])
    except (TypeError, UnboundLocalError):
        return None
    except Exception:
        return "error"
    return "\t".join("\t".join(cells(series)) for series in results)


def described(name):
    """A function's group and parameters, without what metricd does not have."""
    function = functions.SeriesFunctions[name]
    parameters = [parameter.toJSON() for parameter in function.params]
    for parameter in parameters:
        if "options" in parameter:
            is_known = lambda option: option not in functions.SeriesFunctions or option in OF_SERIES | {"avg", "sum"}
            parameter["options"] = list(filter(is_known, parameter["options"]))
    text = json.dumps(parameters, separators=(",", ":")).replace("Infinity", "1e9999")
    return f"function\t{name}\t{function.group}\t{text}"


def numbers(values):
    return " ".join("-" if value is None else repr(float(value)) for value in values)


def cells(series):
    step = series.step * series.valuesPerPoint
    return str(series.name), str(series.pathExpression), repr(int(series.start)), repr(int(step)), numbers(series)


def main():
    datalib.STORE.fetch = fetch
    datalib.STORE.tagdb = types.SimpleNamespace(parse=TaggedSeries.parse)
    rows = ["# " + line for line in (__doc__.split("\n")[0], f"window\t{FROM}\t{UNTIL}")]
    rows += map(described, FUNCTIONS)
    for name, (step, before, values) in SERIES.items():
        first = FROM - FROM % step + step - before * step
        rows.append(f"series\t{name}\t{step}\t{first}\t{numbers(values)}")
    results = {target: evaluated(target) for target in targets() if target}
    rows += [f"target\t{target}\t{result}" for target, result in results.items() if result is not None]
    pathlib.Path(__file__).with_name("functions.tsv").write_text("\n".join(rows) + "\n")


main()
