"""A plain model of the steps of gears, run by the system's Python: one JSON line in, one out.

Written for clarity: generators that pull, and a flag that ends the reader after the first error.
"""

import functools
import json
import sys


class Failed:
    """An error on its way to the end of the flow."""


def guarded(function, *args):
    try:
        return function(*args)
    except Exception:
        return Failed()


def good(upstream, then):
    """Hands errors through; everything else goes to `then`, which yields."""
    for record in upstream:
        if isinstance(record, Failed):
            yield record
        else:
            yield from then(record)


def one(value):
    return value if isinstance(value, Failed) else None


def step_map(upstream, f):
    def then(record):
        yield guarded(f, record)

    return good(upstream, then)


def step_foreach(upstream, f):
    def then(record):
        yield one(guarded(f, record)) or record

    return good(upstream, then)


def step_filter(upstream, f):
    def then(record):
        passes = guarded(f, record)
        if isinstance(passes, Failed):
            yield passes
        elif passes:
            yield record

    return good(upstream, then)


def step_flatmap(upstream, f):
    def then(record):
        value = guarded(f, record)
        if isinstance(value, list):
            yield from reversed(value)
        else:
            yield value

    return good(upstream, then)


def step_limit(upstream, length, start):
    seen = 0
    for record in upstream:
        if isinstance(record, Failed):
            yield record
            if seen >= start + length:
                return
            continue
        seen += 1
        if seen > start + length:
            return
        if seen > start:
            yield record


def drained(upstream, into):
    """Passes errors on at once; collects the rest."""
    for record in upstream:
        if isinstance(record, Failed):
            yield record
        else:
            into.append(record)


def step_whole(upstream, f):
    """For steps that need all of their input: `f` makes the output of it."""
    records = []
    yield from drained(upstream, records)
    yield from f(records)


def grouped(extractor, records):
    groups = {}
    for record in records:
        key = extractor(record)
        groups.setdefault(key if isinstance(key, str) else repr(key), []).append(record)
    return groups


def whole(name, args):
    def count(records):
        return [len(records)] if records else []

    def accumulate(records):
        return [functools.reduce(args[0], records, None)] if records else []

    def aggregate(records):
        zero, add, _combine = args
        return [functools.reduce(lambda a, r: add(a or zero, r), records, None)] if records else []

    def sort(records):
        # flatmap turns the sorted list round
        return list(reversed(sorted(records, reverse=args[0])))

    def countby(records):
        return [{"key": key, "value": len(items)} for key, items in grouped(args[0], records).items()]

    def groupby(records):
        groups = grouped(args[0], records)
        reduce = args[1]
        return [
            {"key": key, "value": functools.reduce(lambda a, r, key=key: reduce(key, a, r), items, None)}
            for key, items in groups.items()
        ]

    def batchgroupby(records):
        groups = grouped(args[0], records)
        return [{"key": key, "value": args[1](key, groups[key])} for key in reversed(list(groups))]

    def avg(records):
        return [sum(float(r) for r in records) / len(records)] if records else []

    def distinct(records):
        return sorted(set(records))

    return locals()[name]


def run(records, steps):
    errors = 0

    def reader():
        for record in records:
            if errors:
                return
            yield record

    flow = reader()
    for name, *texts in steps:
        args = [eval(text) for text in texts]
        if name in ("map", "foreach", "filter", "flatmap", "limit"):
            flow = globals()["step_" + name](flow, *args)
        elif name == "repartition":
            flow = step_foreach(flow, *args)
        elif name != "collect":
            flow = step_whole(flow, whole(name, args))
    results = []
    for record in flow:
        if isinstance(record, Failed):
            errors += 1
        else:
            results.append(str(record))
    return {"results": results, "errors": errors}


for line in sys.stdin:
    case = json.loads(line)
    print(json.dumps(run(case["records"], case["steps"])), flush=True)
