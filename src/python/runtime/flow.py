"""Flows: one pass of a builder's steps over its reader's records."""

import time
import weakref
from contextvars import Context as Variables, copy_context
from operator import length_hint

from . import abort, atomics, bridge, calls, profiler, waits
from .context import CONTEXT, Context
from .convert import MAX_ELEMENTS, messages, shortened, to_replies
from .errors import FlowAborted, GearsForceStopped, error_text, stopped_text
from .loop import note_garbage
from .records import BREATH, Mark, Stage, lines_of
from .steps import RUNNERS, go_on, run_plain

# Results are sent when there are so many, or when one has such a length.
BATCH = 4096
LARGE = 16384
_SIZED = frozenset((str, bytes))
_TOO_LARGE = f"ERR a record of more than {MAX_ELEMENTS} elements can not be a result"
# The most errors of an execution, the last one telling how many others there were; mirrored in messages.ts.
_MAX_ERRORS = 65_536
# Bytes of all errors of an execution.
_ERROR_BYTES = 8 * 1_048_576

DECLARED, RUNNING, WAITING, DONE = range(4)

# Flows that have not ended, by handle.
flows = {}


class Flow(Context):
    """An execution. Its steps are generators that pull from each other. When a step has to wait the pulling stops. When what the
    step waits for has come, the pulling begins again from the last step."""

    __slots__ = (
        "steps", "source", "results", "errors", "state", "tasks", "read_seconds", "inner",
        "_future", "_kept", "_spent", "_reader", "_pipeline", "_stages", "_variables", "_woken", "_read", "_ahead",
    )  # fmt: skip

    def __init__(self, handle, session, steps, source, future=None, inner=False, flags=0):
        super().__init__(handle, session, flags)
        self.steps = steps
        self.source = source
        self.results = []
        self.errors = []
        self.state = DECLARED
        # coroutines in progress
        self.tasks = set()
        self.read_seconds = 0.0
        # true: its results go to the awaitable only
        self.inner = inner
        self._future = None if future is None else weakref.ref(future)
        # results for the awaitable, if anybody still holds the awaitable
        self._kept = None
        self._spent = 0.0
        self._reader = self._pipeline = None
        self._stages = ()
        # the context variables of its code, once it has begun
        self._variables = None
        self._woken = False
        # records that the reader has got, and the iterator over those of them that the steps have still to take
        self._read = 0
        self._ahead = ()

    def start(self, flags):
        """Begins with these flags, and runs until the flow ends or waits."""
        self.set_flags(flags)
        self.begin()

    def begin(self):
        """Begins with the flags that the flow has, and runs until it ends or waits."""
        if self._future is not None and self._future() is not None:
            self._kept = []
        self._variables = Variables()
        self._pipeline = self._build()
        self._run()

    def run_given(self, plain, until):
        """Runs the flow on given records. The caller has given it context variables of its own. A flow of `plain` steps runs in a
        plain loop, and is not among the `flows` unless a step has to wait. Gives True when the caller has to go on with the next
        event, of which main has been told: not after the time `until`."""
        if not self._run_given(plain):
            return False
        last = self._take()
        goes_on = time.perf_counter() < until and bridge.take_event()
        bridge.send(self._end_given(last, goes_on))
        return goes_on

    def run_in_chunk(self, plain):
        """The same, but gives the message by which main is told of the end; None when main has been told, or the flow waits."""
        return self._end_given(self._take(), False) if self._run_given(plain) else None

    def _run_given(self, plain):
        """Gives True when the flow has ended and main has yet to be told."""
        if self.observed or plain is None:
            flows[self.handle] = self
            self.begin()
            return False
        self.state = RUNNING
        records = iter(self.source.given)
        held = self._timed(run_plain, self, plain, records)
        if held is not None:
            flows[self.handle] = self
            self._variables = copy_context()
            self._reader = (record for record in records)
            self._pipeline = go_on(*held, self._reader)
            self._run()
            return False
        if self.atomic:
            atomics.leave(self)
        self.state = DONE
        return True

    def _end_given(self, last, goes_on):
        """The message by which main is told of the end of a flow on given records, with its last results."""
        self.steps = ()
        self.source = None
        note_garbage(self.session)
        ms = round(self._spent * 1000, 3)
        return ["post", "done", self.handle, last, "done", _shown(self.errors), ms, 0.0, [], [], goes_on]

    def reading(self, records):
        """Gives an iterator over what a reader has got. How much of that the steps have taken is known by what the iterator has
        left, so that counting takes no time for each record."""
        self._read += len(records)
        self._ahead = iter(records)
        return self._ahead

    def note_read(self, count):
        """Counts records that come from no iterator of `reading`, or with a number below 0 what was no record."""
        self._read += count

    def keep(self, record):
        """Takes a record that has come to the end of the steps."""
        results = self.results
        results.append(record)
        if len(results) >= BATCH or (type(record) in _SIZED and len(record) >= LARGE):
            self._flush()

    def refuse(self, mark):
        """Takes an error that has come to the end of the steps."""
        self.errors.append(mark.text)

    def wake(self):
        """What the flow waited for has come: it goes on when the serve loop is free."""
        if self.state in (RUNNING, WAITING) and not self._woken:
            self._woken = True
            waits.jobs.append(self._resume)

    def failed(self, error, entered=None):
        """Makes an error entry of an exception from users' code; ends the flow when it is being stopped."""
        if self.abort_requested:
            abort.disarm(self)
            raise FlowAborted(stopped_text(error)) from None
        return Mark(error_text(error, self.traceback, entered))

    def stop(self):
        """Ends the flow as aborted, if it waits: a coroutine of it was stopped. False when it does not wait."""
        abort.disarm(self)
        if self.state != WAITING:
            return False
        self.cancel()
        return True

    def cancel(self):
        """Ends the flow without results and errors if it waits; does nothing if it has not started or has ended."""
        if self.state == WAITING:
            self.results.clear()
            self.errors.clear()
            self._kept = self._kept and []
            self._finish("aborted")

    def discard(self):
        """Forgets the flow, which will never be started."""
        if self.state == DECLARED:
            self.state = DONE
            flows.pop(self.handle, None)
            self._complete_future([[], []])

    def _resume(self):
        self._woken = False
        if self.state == WAITING:
            calls.post("running", self.handle)
            self._run()

    def _run(self):
        self.state = RUNNING
        # the call through C lets V8 use optimised code of the interpreter's loop
        while (pause := self._variables.run(self._slice)) is BREATH:
            waits.serve_nested()
        if self.atomic:
            atomics.leave(self)
        if pause is None:
            self._finish("done")
            return
        self.state = WAITING
        if self.holds:
            # what it still sends does not come from the holder of the engine, also while main has not heard of that
            self.sender = 0
        self._flush()
        calls.post("waiting", self.handle, self._passed())

    def _slice(self):
        return self._timed(self._pull)

    def _timed(self, run, *args):
        """Runs users' code in the flow's name. Gives what the code gives; None when it was stopped."""
        CONTEXT.set(self)
        started = time.perf_counter()
        profile = profiler.begin(self) if self.profile else None
        try:
            return run(*args)
        except FlowAborted as stopped:
            self.errors.append(stopped.text)
        except GearsForceStopped as error:
            self.errors.append(stopped_text(error))
        except BaseException as error:
            self.errors.append(error_text(error, True, True))
            calls.log("warning", f"internal error in an execution: {self.errors[-1]}")
        finally:
            if profile is not None:
                profiler.end(profile)
            abort.disarm(self)
            self._spent += time.perf_counter() - started
        return None

    def _pull(self):
        """Pulls records out of the last step. Gives the Mark with which the flow pauses; None at the end."""
        results = self.results
        keep = results.append
        for record in self._pipeline:
            if type(record) is not Mark:
                keep(record)
                if len(results) >= BATCH or (type(record) in _SIZED and len(record) >= LARGE):
                    self._flush()
            elif record.text is None:
                return record
            else:
                self.errors.append(record.text)
                # records that later steps hold still come
                self._reader.close()
        return None

    def _build(self):
        steps = [step for step in self.steps if step.kind != "collect"] if not self.observed else self.steps
        counts = bool(steps) and steps[0].kind == "count" and hasattr(self.source, "counted") and not self.observed
        source = self._reader = self.source.counted(self) if counts else self.source.records(self)
        if self.observed:
            source = profiler.Timed(source)
            self._stages = [source]
        for step in steps[1:] if counts else steps:
            run = RUNNERS.get(step.kind)
            if run is not None:
                source = run(Stage(self, step), source)
            if self.observed:
                source = profiler.Timed(source)
                self._stages.append(source)
        return iter(source)

    def _flush(self):
        """Sends the results that there are."""
        replies = self._take()
        if replies:
            calls.post("results", self.handle, replies, self._passed())

    def _take(self):
        """Takes the results that there are, and sends what is too much for one message. Gives the rest as replies; an empty list
        when only the awaitable gets them."""
        results = self.results
        if not results:
            return []
        if self._kept is not None:
            self._kept += results
        replies = [] if self.inner else to_replies(results)
        results.clear()
        if len(replies) == 1 and type(replies[0]) is not list:
            return replies
        last = []
        for batch in messages(replies):
            if batch is None:
                self.errors.append(_TOO_LARGE)
            else:
                if last:
                    calls.post("results", self.handle, last, self._passed())
                last = batch
        return last

    def _finish(self, status):
        self.state = DONE
        flows.pop(self.handle, None)
        abort.disarm(self)
        for task in tuple(self.tasks):
            task.cancel()
        self.tasks.clear()
        # the last results go with `done`: a message of their own would cost most executions as much as everything else
        last = self._take()
        self._close()
        times = round(self._spent * 1000, 3), self._read_ms(), self._step_ms()
        calls.post("done", self.handle, last, status, _shown(self.errors), *times, self._passed(), False)
        self._complete_future([self._kept or [], self.errors])
        self.steps = self._stages = ()
        self.source = self._kept = None
        note_garbage(self.session)

    def _close(self):
        """Ends the generators. Generators of users may run code when they are ended."""
        pipeline, reader, self._pipeline, self._reader = self._pipeline, self._reader, None, None
        for generator in (pipeline, reader):
            try:
                if hasattr(generator, "close"):
                    self._variables.run(generator.close)
            except BaseException as error:
                calls.log("warning", f"error while an execution was ended: {error!r}")

    def _complete_future(self, outcome):
        future = None if self._future is None else self._future()
        if future is not None and not future.done():
            future.set_result(outcome)

    def _read_ms(self):
        read = self._stages[0].spent if self._stages else self.read_seconds
        return round(read * 1000, 3)

    def progress(self):
        """How many results are not handed on yet, and what `_passed` gives."""
        return len(self.results), self._passed()

    def _passed(self):
        """How many records have come out of the reader and, when somebody observes, of each step, with the steps' kinds. Empty
        before the first record, and for events, whose records are counted only when somebody observes."""
        if not self._stages:
            read = self._read - length_hint(self._ahead)
            return [["", read]] if read > 0 else []
        return [["", self._stages[0].passed], *([step.kind, timed.passed] for step, timed in zip(self.steps, self._stages[1:]))]

    def _step_ms(self):
        """The time of each line of RG.GETEXECUTION, in the order of the lines, which is last first. A step's time stands in its
        first line; the others have 0."""
        if not self._stages:
            return []
        out, before = [0.0], self._stages[0].spent
        for step, timed in zip(self.steps, self._stages[1:]):
            out[:0] = [round((timed.spent - before) * 1000, 3), *[0.0] * (lines_of(step) - 1)]
            before = timed.spent
        return out


def _shown(errors):
    if not errors:
        return errors
    shown, room = [], _ERROR_BYTES
    most = _MAX_ERRORS if len(errors) <= _MAX_ERRORS else _MAX_ERRORS - 1
    for error in map(shortened, errors):
        room -= len(error) if error.isascii() else len(error) * 4
        if room < 0 or len(shown) == most:
            return [*shown, f"and {len(errors) - len(shown)} errors more"]
        shown.append(error)
    return shown
