"""Every wait that holds the interpreter up, and the jobs that come in meanwhile.

`until()` is the one way in which blocking code waits: time.sleep, calls of the main thread that take their time, sockets.
Whatever main sends ends a wait, if that makes `is_over` true: main wakes the interpreter by any message.
"""

import asyncio.events as events
import time
from collections import deque

from . import bridge
from .context import CONTEXT
from .errors import GearsForceStopped

# Messages and callables that wait for the serve loop.
jobs = deque()

# Calls that wait for their replies here, and the replies that came for them while something else was waited for.
_expected = set()
_early = {}
# Nested jobs inside nested jobs; more would not fit on Python's stack.
MAX_NESTED = 16
# Seconds that one wait takes at most before it looks at the clock again.
_LONG = 86400
_nested = 0
# Functions of main.py: the first runs a job at once, the second ends a job that can not be run.
_perform = _give_up = None


def connect(perform, give_up):
    """Tells who runs nested jobs, and who refuses them."""
    global _perform, _give_up
    _perform, _give_up = perform, give_up


def until(deadline, is_over=None):
    """Waits until `time.monotonic()` has come to `deadline` (None: for ever) or `is_over()` is true, which is asked first,
    and again whenever something has come from main. Gives False when the time is up. Nested jobs run meanwhile. Raises
    `gears.forcestopped` when the running code is to stop."""
    while is_over is None or not is_over():
        left = None
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            left = min(left, _LONG) * 1000
        message = bridge.receive(left)
        if message is not None:
            accept(message)
        heed_abort()
    return True


def sleep(seconds):
    """The `time.sleep` of scripts."""
    until(time.monotonic() + _seconds(seconds))


def heed_abort():
    """Raises `gears.forcestopped` when the running code is to stop."""
    context = CONTEXT.get()
    if context is not None and context.abort_requested:
        raise GearsForceStopped()


def turn(timeout, is_main):
    """Waits for a message in the name of an event loop, at most so many seconds (None: for ever); not at all when there are jobs
    already. `is_main` says that it is the loop of all sessions."""
    if jobs:
        timeout = 0
    message = bridge.receive(None if timeout is None else max(timeout, 0) * 1000, is_main)
    if message is not None:
        accept(message)


def serve_nested():
    """Takes all messages that have come, and so runs the nested jobs among them."""
    message = bridge.receive(0)
    while message is not None:
        accept(message)
        message = bridge.receive(0)


def accept(message):
    """Takes a message that is not what was waited for: nested jobs run now, most others wait for the serve loop."""
    kind = message[0]
    if kind == "nested":
        _run_nested(message[1])
    elif kind == "restore" or kind == "restore_timer" or kind == "packages":
        # done now: a nested job that comes next may be an event of this very registration
        _perform(message)
    elif kind != "reply":
        jobs.append(message)
    elif message[1] in _expected:
        _early[message[1]] = message
    # any other reply belongs to a call that was given up


def await_reply(sequence, message):
    """Waits for the reply to a call. `message` is what has come in its place."""
    _expected.add(sequence)
    try:
        if message is not None:
            accept(message)
        while sequence not in _early:
            message = bridge.receive(None)
            if message is not None:
                accept(message)
        return _early[sequence]
    finally:
        _expected.discard(sequence)
        _early.pop(sequence, None)


def _run_nested(message):
    global _nested
    if _nested >= MAX_NESTED:
        _give_up(message, "ERR executions inside executions are nested too deeply")
        return
    running = events._get_running_loop()
    events._set_running_loop(None)
    _nested += 1
    try:
        _perform(message)
    finally:
        _nested -= 1
        events._set_running_loop(running)


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
