"""Every wait that holds the interpreter up, and the jobs that come in meanwhile.

`until()` is the one way in which blocking code waits: time.sleep, calls of the main thread that take their time, sockets.
Whatever main sends ends a wait, if that makes `is_over` true: main wakes the interpreter by any message.

While the code of an execution waits, others of the same interpreter run on top of it. Main is told that the wait is open, and
may claim it for one job: the word for that lies in shared memory, so a job that was claimed for is run here, however
little of the wait is left. The code that waits goes on when what runs on top of it has ended, and so:
- A wait is open until half of it is over: what takes as long as this one, which is likely, then gains more than this one loses.
- It is not open while a wait further down is over, or half over.
- Who was held up does not let others in again before it has waited for as long as it was held up.
- Nothing runs on top of code that holds the engine, for that would wait for it: an atomic block, or what is nested.
"""

import asyncio.events as events
import sys
import time
from asyncio.tasks import _swap_current_task
from collections import deque

from . import bridge
from .context import CONTEXT
from .errors import GearsForceStopped, beneath

# Messages and callables that wait for the serve loop.
jobs = deque()

# Calls that wait for their replies here, and the replies that came for them while something else was waited for.
_expected = set()
_early = {}
# Jobs inside jobs; more would not fit on Python's stack. Half of them may be such that run while others wait.
MAX_NESTED = 16
_MAX_ON_TOP = MAX_NESTED // 2
# Frames of Python below which a wait is open, and time events are called on top: what runs there has the rest of the stack.
_MAX_FRAMES = 300
# Seconds of the shortest wait that is open, and for which one of unknown length is not.
_SHORTEST = 0.01
# Seconds that one wait takes at most before it looks at the clock again.
_LONG = 86400
# Jobs that may run on top of a wait.
_WORK = frozenset(("script", "start", "event"))

# How many jobs are inside others, and how many of them are nested.
_inside = 0
_nested = 0
# Waits of code that others may run on top of, the innermost last.
_waits = []
# Waits that were claimed and whose jobs are on their way, and the jobs that have come.
_claimed = 0
_arrived = deque()
# Time events for which there was no room on the stack.
_put_off = deque()
# Functions of main.py and abort.py: the first runs a job at once, the second ends a job that can not be run, the third has the code
# of a context stop when it goes on.
_perform = _give_up = _stop = None


def connect(perform, give_up, stop):
    """Tells who runs jobs, who refuses them, and who stops code."""
    global _perform, _give_up, _stop
    _perform, _give_up, _stop = perform, give_up, stop


def until(deadline, is_over=None):
    """Waits until `time.monotonic()` has come to `deadline` (None: for ever) or `is_over()` is true, which is asked first,
    and again whenever something has come from main. Gives False when the time is up. Others run meanwhile. Raises
    `gears.forcestopped` when the running code is to stop."""
    return _wait(deadline, is_over, 0 if is_over is None else _SHORTEST)


def sleep(seconds):
    """The `time.sleep` of scripts."""
    until(time.monotonic() + _seconds(seconds))


def heed_abort():
    """Raises `gears.forcestopped` when the running code is to stop."""
    context = CONTEXT.get()
    if context is not None and context.abort_requested:
        raise GearsForceStopped()


def waiting_context(handle):
    """The Context of that handle whose code waits, with others on top of it or not; None if there is none."""
    return next((wait.context for wait in _waits if wait.context.handle == handle), None)


def turn(timeout, is_main):
    """Waits for a message in the name of an event loop, at most so many seconds (None: for ever); not at all when there are jobs
    already. `is_main` says that it is the loop of all sessions."""
    if bridge.late:
        bridge.send_late()
    if jobs:
        timeout = 0
    message = bridge.receive(None if timeout is None else max(timeout, 0) * 1000, is_main)
    if message is not None:
        accept(message)


def serve_nested():
    """Takes all messages that have come, and so runs the nested jobs among them."""
    _call_put_off()
    message = bridge.receive(0)
    while message is not None:
        accept(message)
        message = bridge.receive(0)


def accept(message):
    """Takes a message that is not what was waited for: nested jobs run now, most others wait for the serve loop."""
    kind = message[0]
    if kind == "nested":
        run_nested(message[1])
    elif kind == "connection" or kind == "restore" or kind == "restore_timer" or kind == "packages":
        # done now: somebody waits for it, or a nested job that comes next may be an event of this very registration
        _perform(message)
    elif kind == "reply":
        # any other reply belongs to a call that was given up
        if message[1] in _expected:
            _early[message[1]] = message
    elif kind == "on_top":
        # that wait may have been given up
        (_arrived if _claimed else jobs).append(message[1])
    else:
        if kind == "abort" and (context := waiting_context(message[1])) is not None:
            _stop(context)
        jobs.append(message)


def await_reply(sequence, message, shares=True):
    """Waits for the reply to a call. `message` is what has come in its place; None: nothing has for a while. Others run on top
    meanwhile only if it `shares` its wait."""
    _expected.add(sequence)
    try:
        if message is not None:
            accept(message)
        if shares:
            _wait(None, lambda: sequence in _early, 0 if message is None else _SHORTEST)
        else:
            _wait_alone(CONTEXT.get(), None, lambda: sequence in _early, time.monotonic())
        return _early[sequence]
    finally:
        _expected.discard(sequence)
        _early.pop(sequence, None)


def _wait(deadline, is_over, opens_after):
    """What `until` does. The wait is not open for the first so many seconds."""
    context = CONTEXT.get()
    begun = time.monotonic()
    if (deadline is not None and deadline - begun < _SHORTEST) or not _lets_in(context):
        return _wait_alone(context, deadline, is_over, begun)
    return _Wait(context, deadline, is_over, begun, begun + opens_after).run()


def _wait_alone(context, deadline, is_over, begun):
    """Waits with nothing on top but nested jobs."""
    while is_over is None or not is_over():
        if _call_put_off():
            continue
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        message = bridge.receive(None if left is None else min(left, _LONG) * 1000)
        if message is not None:
            accept(message)
        heed_abort()
    else:
        return True
    if context is not None:
        context.credit += time.monotonic() - begun
    return False


def _lets_in(context):
    """May others run on top of code that waits?"""
    if context is None or not context.shares or context.handle == 0 or context.atomic or context.credit < 0:
        return False
    return _nested == 0 and len(_waits) < _MAX_ON_TOP and is_shallow()


def is_shallow():
    """Is there room on the stack for what runs on top?"""
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        frame = frame.f_back
        if frame is None:
            return True
    return False


class _Wait:
    """One on top of which others may run."""

    __slots__ = ("context", "_deadline", "_is_over", "_begun", "_opens", "_closes", "_is_open", "_late")

    def __init__(self, context, deadline, is_over, begun, opens):
        self.context = context
        self._deadline = deadline
        self._is_over = is_over
        self._begun = begun
        self._opens = opens
        self._closes = None if deadline is None else (begun + deadline) / 2
        # main knows that it may claim it
        self._is_open = False
        # seconds by which others have held it up
        self._late = 0.0

    def run(self):
        """Waits. Gives False when the time is up."""
        _waits.append(self)
        try:
            while self._is_over is None or not self._is_over():
                now = time.monotonic()
                if self._deadline is not None and now >= self._deadline:
                    return False
                self._step(now)
                heed_abort()
            return True
        finally:
            if self._is_open:
                # what it was claimed for and comes now waits for the serve loop
                self._close()
            _waits.pop()
            self.context.credit += time.monotonic() - self._begun - 2 * self._late

    def admits(self, now):
        """May something begin on top of it?"""
        return (self._closes is None or now < self._closes) and not self._has_ended(now) and not self.context.abort_requested

    def _has_ended(self, now):
        if self._is_over is not None and self._is_over():
            return True
        return self._deadline is not None and now >= self._deadline

    def _step(self, now):
        """Runs a job, or waits for the next message."""
        if not self._is_open and _call_put_off():
            return
        may = now >= self._opens and all(wait.admits(now) for wait in _waits)
        has_job = may and bool(jobs) and _may_run_on_top(jobs[0])
        if self._is_open and (has_job or not may) and not self._close():
            self._run_claimed(None)
        elif has_job:
            self._run_on_top(jobs.popleft())
        else:
            if may and not self._is_open:
                self._open()
            self._take(bridge.receive(self._milliseconds(now, may)))

    def _milliseconds(self, now, may):
        """How long to wait until there may be something else to do; None: for ever."""
        ends = [_LONG]
        if self._deadline is not None:
            ends.append(self._deadline - now)
        if now < self._opens:
            ends.append(self._opens - now)
        if may:
            ends += (wait._closes - now for wait in _waits if wait._closes is not None)
        return max(min(ends), 0) * 1000

    def _take(self, message):
        if message is None:
            return
        if self._is_open and not self._close():
            self._run_claimed(message)
        else:
            accept(message)

    def _open(self):
        self._is_open = True
        bridge.open_wait()
        bridge.send(["post", "open"])

    def _close(self):
        """False when it was claimed."""
        self._is_open = False
        return bridge.close_wait()

    def _run_claimed(self, message):
        """Runs the job that main is sending, after what has come before it."""
        global _claimed
        _claimed += 1
        try:
            while True:
                if message is not None:
                    accept(message)
                if _arrived:
                    break
                message = bridge.receive()
            job = _arrived.popleft()
        finally:
            _claimed -= 1
        self._run_on_top(job)

    def _run_on_top(self, job):
        bridge.send(["post", "covers", _handle_of(job), self.context.handle])
        begun = time.monotonic()
        _run_inside(job)
        # among them may be one that stops the code below
        serve_nested()
        now = time.monotonic()
        if self._has_ended(now):
            # when the other kind of wait was over is not known
            self._late = now - (begun if self._deadline is None else max(begun, self._deadline))


def _handle_of(job):
    """The handle of a job that may run on top of others; 0 for other jobs."""
    if callable(job):
        return getattr(getattr(job, "__self__", None), "handle", 0)
    return job[1] if job[0] in _WORK else 0


def _may_run_on_top(job):
    handle = _handle_of(job)
    # a flow is not resumed inside itself
    return handle != 0 and all(wait.context.handle != handle for wait in _waits)


def run_nested(message):
    """Runs a job on top of other code."""
    if message[0] in _WORK:
        if _inside < MAX_NESTED:
            _nest(message)
        else:
            _give_up(message, "ERR executions inside executions are nested too deeply")
    elif _has_room():
        _nest(message)
    else:
        # nobody waits for a time event inside what it would be nested in
        _put_off.append(message)
        jobs.append(_call_put_off)


def _has_room():
    return _inside < MAX_NESTED and is_shallow()


def _call_put_off():
    """Calls the time events that were put off, if there is room now. False if it has called none."""
    called = False
    while _put_off and _has_room():
        _nest(_put_off.popleft())
        called = True
    return called


def _nest(job):
    global _nested
    _nested += 1
    try:
        _run_inside(job)
    finally:
        _nested -= 1


def _run_inside(job):
    """Runs something on top of other code, which it must not notice."""
    global _inside
    running = events._get_running_loop()
    task = None if running is None else _swap_current_task(running, None)
    handled = sys.exception()
    if handled is not None:
        beneath.append(handled)
    events._set_running_loop(None)
    _inside += 1
    try:
        _perform(job)
    finally:
        _inside -= 1
        events._set_running_loop(running)
        if handled is not None:
            beneath.pop()
        if task is not None:
            _swap_current_task(running, task)


def _seconds(value):
    if isinstance(value, (int, float)):
        seconds = float(value)
    elif hasattr(value, "__index__"):
        seconds = float(value.__index__())
    else:
        raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as an integer or float")
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    return seconds
