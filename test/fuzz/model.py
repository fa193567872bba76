"""A plain model of the steps of gears, run by the system's Python: one JSON line in, one out.

Written for clarity: generators that pull, and a flag that ends the reader after the first error. Composed operations are
spelled out in basic ones, as their definition has it.
"""

import asyncio
import copy
import inspect
import json
import sys


class Failed:
    """An error on its way to the end of the flow."""


def called(function, *args):
    """What a callback makes of its arguments, at once or as a coroutine."""
    value = function(*args)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def guarded(function, *args):
    try:
        return called(function, *args)
    except Exception:
        return Failed()


def waits(function):
    return inspect.iscoroutinefunction(function)


class TooMany(Exception):
    """More records than may wait at a time: how far the reader gets depends on the clock."""


def read_ahead(upstream):
    """While a step waits for its first coroutine the others are begun."""
    for record in upstream:
        if isinstance(record, Failed):
            yield record
            continue
        waiting = [record, *upstream]
        if len(waiting) > 1000:
            raise TooMany
        yield from waiting


def good(upstream, then):
    """Hands errors through; everything else goes to `then`, which yields."""
    for record in upstream:
        if isinstance(record, Failed):
            yield record
        else:
            yield from then(record)


def each(upstream, f, then):
    """Calls `f` for each record. What comes of it goes with the record to `then`, unless it is an error."""

    def outcome(record):
        value = guarded(f, record)
        if isinstance(value, Failed):
            yield value
        else:
            yield from then(record, value)

    return good(read_ahead(upstream) if waits(f) else upstream, outcome)


def step_map(upstream, f):
    return each(upstream, f, lambda _record, value: [value])


def step_foreach(upstream, f):
    return each(upstream, f, lambda record, _value: [record])


def step_filter(upstream, f):
    return each(upstream, f, lambda record, value: [record] if value else [])


def step_flatmap(upstream, f):
    return each(upstream, f, lambda _record, value: reversed(value) if isinstance(value, list) else [value])


def step_limit(upstream, length, start=0):
    seen = 0
    for record in upstream:
        full = length >= 0 and seen >= start + length
        if isinstance(record, Failed):
            yield record
        if full:
            return
        if not isinstance(record, Failed):
            seen += 1
            if seen > start:
                yield record


def step_collect(upstream):
    return upstream


def key_of(extractor, record):
    key = extractor(record)
    if inspect.iscoroutine(key):
        key.close()
        raise TypeError("no coroutine here")
    return key if isinstance(key, str) else repr(key)


def step_repartition(upstream, extractor):
    return step_foreach(upstream, lambda record: key_of(extractor, record))


def step_accumulate(upstream, f):
    values = []
    for record in upstream:
        if isinstance(record, Failed):
            yield record
            continue
        value = guarded(f, values.pop() if values else None, record)
        if isinstance(value, Failed):
            yield value
        else:
            values.append(value)
    yield from values


def step_groupby(upstream, extractor, reducer):
    values = {}
    for record in upstream:
        key = record if isinstance(record, Failed) else guarded(key_of, extractor, record)
        if isinstance(key, Failed):
            yield key
            continue
        value = guarded(reducer, key, values.get(key), record)
        if isinstance(value, Failed):
            values.pop(key, None)
            yield value
        else:
            values[key] = value
    for key, value in values.items():
        yield {"key": key, "value": value}


step_localgroupby = step_groupby


def step_batchgroupby(upstream, extractor, reducer):
    groups = {}
    for record in upstream:
        key = record if isinstance(record, Failed) else guarded(key_of, extractor, record)
        if isinstance(key, Failed):
            yield key
        else:
            groups.setdefault(key, []).append(record)
    for key in reversed(list(groups)):
        value = guarded(reducer, key, groups[key])
        yield value if isinstance(value, Failed) else {"key": key, "value": value}


def step_aggregate(upstream, zero, add, combine):
    def folding(f):
        return lambda a, r: f(a or copy.deepcopy(zero), r)

    return step_accumulate(step_accumulate(upstream, folding(add)), folding(combine))


def step_aggregateby(upstream, extractor, zero, add, combine):
    local = step_localgroupby(upstream, extractor, lambda k, a, r: add(k, a or copy.deepcopy(zero), r))
    return step_groupby(local, lambda r: r["key"], lambda k, a, r: combine(k, a or copy.deepcopy(zero), r["value"]))


def step_count(upstream):
    return step_accumulate(step_accumulate(upstream, lambda a, r: 1 + (a or 0)), lambda a, r: r + (a or 0))


def step_countby(upstream, extractor=lambda x: x):
    return step_aggregateby(upstream, extractor, 0, lambda k, a, r: 1 + a, lambda k, a, r: r + a)


def step_avg(upstream, extractor=float):
    def add(pair, value):
        return (pair[0] + value, pair[1] + 1)

    def combine(pair, other):
        return (pair[0] + other[0], pair[1] + other[1])

    pairs = step_aggregate(step_map(upstream, extractor), (0, 0), add, combine)
    return step_map(pairs, lambda pair: pair[0] / pair[1])


def step_sort(upstream, reverse=True):
    lists = step_aggregate(upstream, [], lambda a, r: a + [r], lambda a, r: a + r)
    return step_flatmap(step_map(lists, lambda a: sorted(a, reverse=reverse)), lambda a: a)


def step_distinct(upstream):
    sets = step_aggregate(upstream, set(), lambda a, r: a | {r}, lambda a, r: a | r)
    return step_flatmap(sets, lambda a: list(a))


def reply(value):
    """What a client sees of a record."""
    if isinstance(value, str):
        return value.encode(errors="surrogatepass").decode(errors="replace")
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, list):
        return [reply(item) for item in value]
    return "PY RECORD"


def run(records, steps, to_text):
    errors = 0
    log = []

    def reader():
        for record in records:
            if errors:
                return
            yield record

    def execute(_command, _key, text):
        log.append(text)

    flow = reader()
    for name, *texts in steps:
        flow = globals()["step_" + name](flow, *(eval(text, {"execute": execute, "asynchronous": asynchronous}) for text in texts))
    if to_text:
        flow = step_map(flow, str)
    results = []
    for record in flow:
        if isinstance(record, Failed):
            errors += 1
        else:
            results.append(record)
    return {"results": [reply(record) for record in results], "errors": errors, "log": log}


def asynchronous(function):
    """The same as a coroutine."""

    async def coroutine(*args):
        return function(*args)

    return coroutine


def outcome(case):
    try:
        return run(eval(case["records"]), case["steps"], case["toText"])
    except TooMany:
        return None


for line in sys.stdin:
    print(json.dumps(outcome(json.loads(line))), flush=True)
