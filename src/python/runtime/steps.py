"""The steps of a flow as generators: each pulls from the one before, and passes Marks on untouched.

Everything here runs once per record, so the loops are written out. `gearsFuture()` recognises these functions on the stack by
their file, and finds the step in their local `stage`; so no other file of this package may call the callbacks of steps. No
`yield` stands inside a `try` that catches: closing a generator raises at its `yield`.
"""

from collections import deque

from .errors import plain
from .futures import AWAITABLES, Entry, hold
from .records import PENDING, Mark, Stage, Step, refuse_coroutine

# Coroutines and futures that one step may wait for at a time.
MAX_IN_FLIGHT = 1000

_END = object()
_NO_EXTRACTOR_COROUTINE = "coroutine are not allow on extractor"
_NO_REDUCE_COROUTINE = "coroutine are not allow on reduce"


def map_records(stage, source):
    call = stage.function
    for record in source:
        if type(record) is not Mark:
            try:
                record = call(record)
            except BaseException as error:
                record = stage.failed(error)
            else:
                if type(record) in AWAITABLES:
                    record = hold(stage, record, None)
                    if type(record) is Entry:
                        stage.outcome = _mapped
                        yield from _in_order(stage, source, deque((record,)))
                        return
        yield record


def flatmap_records(stage, source):
    call = stage.function
    for record in source:
        if type(record) is not Mark:
            try:
                record = call(record)
            except BaseException as error:
                record = stage.failed(error)
            else:
                if type(record) in AWAITABLES:
                    record = hold(stage, record, None)
                    if type(record) is Entry:
                        stage.outcome = _flattened
                        yield from _in_order(stage, source, deque((record,)))
                        return
                if isinstance(record, list):
                    yield from record[::-1]
                    continue
        yield record


def filter_records(stage, source):
    call = stage.function
    for record in source:
        if type(record) is not Mark:
            try:
                keep = call(record)
                # coroutines and futures are true
                if not keep:
                    continue
            except BaseException as error:
                record = stage.failed(error)
            else:
                if type(keep) in AWAITABLES:
                    keep = hold(stage, keep, record)
                    if type(keep) is Entry:
                        stage.outcome = _filtered
                        yield from _in_order(stage, source, deque((keep,)))
                        return
                    if type(keep) is Mark:
                        record = keep
        yield record


def foreach_records(stage, source):
    call = stage.function
    for record in source:
        if type(record) is not Mark:
            try:
                ignored = call(record)
            except BaseException as error:
                record = stage.failed(error)
            else:
                if type(ignored) in AWAITABLES:
                    ignored = hold(stage, ignored, record)
                    if type(ignored) is Entry:
                        stage.outcome = _passed
                        yield from _in_order(stage, source, deque((ignored,)))
                        return
                    if type(ignored) is Mark:
                        record = ignored
        yield record


def text_records(stage, source):
    for record in source:
        if type(record) is not str and type(record) is not Mark:
            try:
                record = str(record)
            except BaseException as error:
                record = stage.failed(error, True)
        yield record


def limit_records(stage, source):
    start, end, seen = stage.start, stage.end, 0
    for record in source:
        full = end is not None and seen >= end
        if type(record) is Mark:
            yield record
            # after the last record one more is pulled, and an error counts as one; a pause does not
            if full and record.text is not None:
                return
            continue
        if full:
            return
        seen += 1
        if start >= 0 and seen > start:
            yield record


def repartition_records(stage, source):
    for record in source:
        if type(record) is not Mark:
            key = _key(stage, record)
            if type(key) is Mark:
                record = key
        yield record


def count_records(stage, source):
    count = 0
    for record in source:
        if type(record) is Mark:
            yield record
        else:
            count += 1
    if count:
        yield count


def accumulate_records(stage, source):
    call = stage.function
    value, some = None, False
    for record in source:
        if type(record) is Mark:
            yield record
            continue
        try:
            value = call(value, record)
        except BaseException as error:
            record = stage.failed(error)
        else:
            if type(value) not in AWAITABLES:
                some = True
                continue
            record = value = hold(stage, value, None)
            if type(record) is Entry:
                while not record.done:
                    yield PENDING
                value, record = record.value, record.failure
            elif type(record) is not Mark:
                record = None
        if record is None:
            some = True
        else:
            value, some = None, False
            yield record
            record = None
    if some:
        yield value


def group_records(stage, source):
    call = stage.function
    groups = {}
    for record in source:
        if type(record) is Mark:
            yield record
            continue
        key = _key(stage, record)
        if type(key) is Mark:
            yield key
            continue
        try:
            value = call(key, groups.get(key), record)
        except BaseException as error:
            record = stage.failed(error)
        else:
            if type(value) not in AWAITABLES:
                groups[key] = value
                continue
            record = value = hold(stage, value, None)
            if type(record) is Entry:
                while not record.done:
                    yield PENDING
                value, record = record.value, record.failure
            elif type(record) is not Mark:
                record = None
        if record is None:
            groups[key] = value
        else:
            groups.pop(key, None)
            yield record
    for key, value in groups.items():
        yield {"key": key, "value": value}


def batch_group_records(stage, source):
    call = stage.function
    groups = {}
    for record in source:
        if type(record) is Mark:
            yield record
            continue
        key = _key(stage, record)
        if type(key) is Mark:
            yield key
        elif key in groups:
            groups[key].append(record)
        else:
            groups[key] = [record]
    for key in reversed(groups):
        try:
            value = call(key, groups[key])
        except BaseException as error:
            record = stage.failed(error)
        else:
            record = refuse_coroutine(value, _NO_REDUCE_COROUTINE) or {"key": key, "value": value}
        yield record


RUNNERS = {
    "map": map_records,
    "text": text_records,
    "filter": filter_records,
    "foreach": foreach_records,
    "flatmap": flatmap_records,
    "limit": limit_records,
    "accumulate": accumulate_records,
    "count": count_records,
    "group": group_records,
    "localgroup": group_records,
    "batchgroup": batch_group_records,
    "repartition": repartition_records,
}


# Steps that make at most one record of each record.
_PLAIN = frozenset(("map", "text", "filter", "foreach"))


def plain_steps(steps):
    """The given steps as `run_plain` takes them, without `collect`; None when `run_plain` can not run them."""
    steps = [step for step in steps if step.kind != "collect"]
    return steps if _PLAIN.issuperset([step.kind for step in steps]) else None


def run_plain(flow, steps, records):
    """Takes records through steps of `plain_steps`, one record after the other. It does what the generators do, but does not begin
    and end generators, which takes most of the time of an event with its one record. Gives None at the end; when a step has to
    wait, the first arguments of `go_on`."""
    stages = [None if step.kind == "text" else Stage(flow, step) for step in steps]
    for record in records:
        for stage in stages:
            try:
                if stage is None:
                    record = record if type(record) is str else str(record)
                    continue
                value = stage.function(record)
                kind = stage.kind
                # coroutines and futures are true
                if kind == "filter" and not value:
                    break
            except BaseException as error:
                flow.refuse(flow.failed(error, stage is None))
                return None
            if type(value) in AWAITABLES:
                value = hold(stage, value, None if kind == "map" else record)
                if type(value) is Entry:
                    return stages, stage, value
                if type(value) is Mark:
                    flow.refuse(value)
                    return None
            if kind == "map":
                record = value
        else:
            flow.keep(record)
    return None


def go_on(stages, waiting, entry, source):
    """Makes the generators of steps for the rest of what `run_plain` has begun: the step `waiting` waits for `entry`, and `source`
    gives the records after that one."""
    for stage in stages:
        if stage is None:
            source = text_records(Stage(waiting.flow, Step("text")), source)
        elif stage is waiting:
            stage.outcome = _OUTCOMES[stage.kind]
            source = _in_order(stage, source, deque((entry,)))
        else:
            source = RUNNERS[stage.kind](stage, source)
    return source


def _key(stage, record):
    """The key of a record, which is always an exact str; or a Mark when there is none."""
    try:
        key = stage.extractor(record)
        if type(key) is str:
            return key
        refused = refuse_coroutine(key, _NO_EXTRACTOR_COROUTINE)
        return refused or plain(key if isinstance(key, str) else repr(key))
    except BaseException as error:
        return stage.failed(error)


def _in_order(stage, source, queue):
    """Goes on with a step that has begun to wait: calls the callback for further records, and yields in their order."""
    call, outcome = stage.function, stage.outcome
    queue[0].queue = queue
    while True:
        while queue and queue[0].done:
            yield from outcome(stage, queue.popleft())
        if source is None or len(queue) >= MAX_IN_FLIGHT:
            if not queue:
                return
            yield PENDING
            continue
        record = next(source, _END)
        if record is _END:
            source = None
        elif type(record) is Mark and record.text is None:
            yield record
        elif type(record) is Mark:
            queue.append(Entry.settled(None, None, record))
        else:
            try:
                value = call(record)
            except BaseException as error:
                value = stage.failed(error)
            if type(value) in AWAITABLES:
                value = hold(stage, value, record)
            if type(value) is Entry:
                value.queue = queue
            else:
                value = Entry.settled(record, value, value if type(value) is Mark else None)
            queue.append(value)
        value = record = None


def _mapped(_stage, entry):
    return (entry.value if entry.failure is None else entry.failure,)


def _flattened(_stage, entry):
    if entry.failure is not None:
        return (entry.failure,)
    return entry.value[::-1] if isinstance(entry.value, list) else (entry.value,)


def _filtered(stage, entry):
    if entry.failure is not None:
        return (entry.failure,)
    try:
        return (entry.record,) if entry.value else ()
    except BaseException as error:
        return (stage.failed(error),)


def _passed(_stage, entry):
    return (entry.record if entry.failure is None else entry.failure,)


_OUTCOMES = {"map": _mapped, "filter": _filtered, "foreach": _passed}
