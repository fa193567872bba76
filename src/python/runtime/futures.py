"""Coroutines and futures that steps wait for, and the functions with which scripts make futures."""

import asyncio
import sys
import types
from types import CoroutineType

from . import atomics
from .context import CONTEXT
from .errors import GearsError, GearsForceStopped, bare_text, error_text, stopped_text
from .loop import MAIN, GearsLoop
from .native import also_named, class_in_c, in_c, in_python
from .records import Mark

_STEPS_FILE = "<regears>/steps.py"
# A frame of one of these files ends the search for a step: what such a frame has called is no step callback.
_BORDERS = frozenset(f"<regears>/{name}.py" for name in ("loop", "flow", "main", "scripts", "readers"))

_NOT_ALLOWED = "Creating async record is not allowed"
_AWAIT_IN_ATOMIC = "await is not allow inside atomic block"


class Entry:
    """A record for which a step waits."""

    __slots__ = ("flow", "record", "value", "failure", "done", "queue", "__weakref__")

    def __init__(self, flow, record):
        self.flow = flow
        self.record = record
        self.value = None
        self.failure = None
        self.done = False
        # the step's records in their order; None when the step waits for this one only
        self.queue = None

    @classmethod
    def settled(cls, record, value, failure):
        """An Entry that is done already."""
        entry = cls(None, record)
        entry.value, entry.failure, entry.done = value, failure, True
        return entry

    def settle(self, value, failure):
        """Takes the value or the error that was waited for; the flow goes on if this is the record that it waits for."""
        if self.done:
            return
        self.value, self.failure, self.done = value, failure, True
        if self.queue is None or (self.queue and self.queue[0] is self):
            self.flow.wake()

    def take(self, task):
        """Settles with the outcome of a coroutine's task."""
        self.flow.tasks.discard(task)
        if task.cancelled():
            self.settle(None, Mark(""))
            return
        error = task.exception()
        if error is None:
            self.settle(task.result(), None)
        elif isinstance(error, GearsForceStopped) and self.flow.abort_requested:
            if not self.flow.stop():
                self.settle(None, Mark(stopped_text(error)))
        else:
            self.settle(None, Mark(bare_text(error)))


def hold(stage, value, record):
    """Begins to wait for what a callback returned. Gives an Entry; a Mark when waiting is not allowed; or the value
    itself when it is a future of another call."""
    flow = stage.flow
    if type(value) is not CoroutineType:
        return value._returned(stage, record)
    if flow.no_async:
        value.close()
        return Mark(error_text(GearsError(_NOT_ALLOWED), False))
    entry = Entry(flow, record)
    task = MAIN.create_task(value)
    flow.tasks.add(task)
    task.add_done_callback(entry.take)
    return entry


@class_in_c("Future")
class PyFuture:
    """What `gearsFuture()` gives: holds the current record until it is continued."""

    __slots__ = ("_stage", "_entry", "_failure", "_continued", "__weakref__")

    def __init__(self, stage):
        self._stage = stage
        self._entry = None
        # the error, if continueFailed was called before the callback has returned
        self._failure = None
        self._continued = False

    def continueRun(self, *args):
        """Goes on with a value in place of the callback's."""
        self._check(args)
        if self._entry is None:
            raise GearsError("Can not handle future untill it returned from the callback")
        self._continued = True
        self._entry.settle(args[0], None)

    def continueFailed(self, *args):
        """Goes on with an error; its text is `str(error)`. Works before the callback has returned the future, too."""
        self._check(args)
        failure = Mark(bare_text(args[0]))
        self._continued = True
        if self._entry is None:
            self._failure = failure
        else:
            self._entry.settle(None, failure)

    def _check(self, args):
        if len(args) != 1:
            raise GearsError("Continue function expect an object")
        if self._continued:
            raise GearsError("Can not continue with the same future twice")

    def _returned(self, stage, record):
        if self._stage is not stage or self._entry is not None:
            return self
        stage.held_by = None
        if self._failure is not None:
            return self._failure
        self._entry = Entry(stage.flow, record)
        return self._entry

    def __del__(self):
        if self._entry is not None and not self._continued:
            self._entry.settle(None, Mark("Async record did not called continue"))


AWAITABLES = frozenset((CoroutineType, PyFuture))


@in_c("gearsFutureCtx")
def gearsFuture(*args):
    """Holds the current record; the step callback must return what this gives."""
    if args:
        raise GearsError("Future gets no arguments")
    stage, callback = _running_step()
    if stage is None:
        raise GearsError("Future object can only be created inside certain execution steps")
    extractor = stage.extractor
    if not stage.can_hold or (extractor is not None and callback.f_code is extractor.__code__):
        raise GearsError("Step does not support async")
    if stage.flow.no_async:
        raise GearsError(_NOT_ALLOWED)
    if stage.held_by is callback:
        raise GearsError("Can not create async record twice on the same step")
    stage.held_by = callback
    return PyFuture(stage)


@in_c("isAsyncAllow")
def isAsyncAllow(*_):
    """May the record's step wait?"""
    stage, _ = _running_step()
    return stage is not None and not stage.flow.no_async


def _running_step():
    """The step whose callback is running, and that callback's frame; None for both elsewhere. They are found on the stack, so
    that steps need not note anything for each record."""
    callback = None
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name == _STEPS_FILE:
            return frame.f_locals["stage"], callback
        if name in _BORDERS:
            return None, None
        callback, frame = frame, frame.f_back
    return None, None


@in_python
class GearsFuture(asyncio.Future):
    """The awaitable that `createFuture()` and `run()` give."""

    def __init__(self, *, loop=None, gearsSession=None):
        super().__init__(loop=loop or MAIN)
        self.gearsSession = gearsSession


@in_python
def createFuture():
    """Makes a future, which `setFutureResults` or `setFutureException` completes."""
    return GearsFuture(gearsSession=CONTEXT.get())


@in_python
@also_named(value="res")
def setFutureResults(f, res):
    """Completes a future, soon after; the first outcome counts."""
    MAIN.call_soon(_set_result, f, res)


@in_python
@also_named(exc="exception")
def setFutureException(f, exception):
    """Fails a future, soon after."""
    if not isinstance(exception, BaseException):
        exception = Exception(bare_text(exception))
    MAIN.call_soon(_set_exception, f, exception)


def _set_result(future, value):
    if not future.done():
        future.set_result(value)


def _set_exception(future, error):
    if not future.done():
        future.set_exception(error)


@in_python
@also_named(coro="cr")
def runCoroutine(cr, f=None, delay=0, s=None):
    """Runs a coroutine in the background, after `delay` seconds, in the session `s` or the current one; its outcome
    continues `f`, a `gearsFuture`. A delay below 0 counts as 0."""
    if delay != delay:
        raise ValueError("Invalid delay: NaN (not a number)")
    context = CONTEXT.get() if s is None else s.context
    token = CONTEXT.set(context and context.lasting())
    try:
        MAIN.create_task(_in_background(cr, f, delay))
    finally:
        CONTEXT.reset(token)


async def _in_background(coroutine, future, delay):
    if delay:
        await asyncio.sleep(delay)
    try:
        value = await coroutine
    except Exception as error:
        if future is not None:
            future.continueFailed(error)
    else:
        if future is not None:
            future.continueRun(value)


def _new_task(loop, coroutine, **options):
    return asyncio.Task(_guarded(coroutine), loop=loop, **options)


GearsLoop.task_factory = staticmethod(_new_task)
MAIN.set_task_factory(_new_task)


async def _guarded(coroutine):
    """Runs a coroutine under the rule that code which holds the engine does not wait."""
    context = CONTEXT.get()
    if context is None:
        return await coroutine
    try:
        return await _watched(coroutine, context)
    finally:
        if context.atomic:
            atomics.leave(context)


@types.coroutine
def _watched(coroutine, context):
    resume, argument = coroutine.send, None
    while True:
        try:
            waited = resume(argument)
        except StopIteration as stop:
            return stop.value
        if context.atomic:
            if waited is not None:
                waited._asyncio_future_blocking = False
            resume, argument = coroutine.throw, GearsError(_AWAIT_IN_ATOMIC)
            continue
        try:
            yield waited
        except BaseException as error:
            resume, argument = coroutine.throw, error
        else:
            resume, argument = coroutine.send, None
