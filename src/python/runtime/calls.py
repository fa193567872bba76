"""Traffic with the main thread: calls that wait for their reply, posts that do not, and jobs that come in meanwhile."""

import asyncio.events as events
import itertools
import time
from collections import deque

from . import bridge
from .bridge import OK, WITH_BYTES
from .context import CONTEXT
from .convert import revive
from .errors import GearsError, GearsForceStopped

# Characters of a line for the log; the main thread takes no longer ones.
_LINE = 16384

# Messages and callables that wait for the serve loop.
jobs = deque()

_sequence = itertools.count(1)
# Calls that were interrupted by a nested job, and replies that came for them while that job ran.
_interrupted = set()
_early = {}
# Nested jobs inside nested jobs; more would not fit on Python's stack.
MAX_NESTED = 16
# Seconds that one wait of a sleep takes at most.
_LONG = 86400
_nested = 0
# Set by main: runs one job at once, and ends one that can not be run.
_perform = _give_up = None


def connect(perform, give_up):
    """Tells who runs nested jobs, and who refuses them."""
    global _perform, _give_up
    _perform, _give_up = perform, give_up


def call(op, *args):
    """Asks the main thread and waits. Gives the reply's value; raises `gears.error` with the text of an error."""
    status, value = request(op, args)
    if status == OK:
        return value
    if status == WITH_BYTES:
        return revive(value)
    raise GearsError(value)


def request(op, args):
    """A call's raw outcome: status and value. Raises `gears.forcestopped` when the caller is to stop."""
    sequence = next(_sequence)
    reply = bridge.send_and_receive(["call", sequence, op, *args])
    if reply is None or reply[1] != sequence or reply[0] != "reply":
        reply = _await_reply(sequence, reply)
    heed_abort()
    return reply[2], reply[3]


def heed_abort():
    """Raises `gears.forcestopped` when the running code is to stop."""
    context = CONTEXT.get()
    if context is not None and context.abort_requested:
        raise GearsForceStopped()


def post(op, *args):
    """Tells the main thread something."""
    bridge.send(["post", op, *args])


def log(level, message):
    """A line for the server's log; level is `debug`, `verbose`, `notice` or `warning`."""
    if len(message) > _LINE:
        message = f"{message[:_LINE]}... ({len(message)} characters)"
    bridge.send(["post", "log", level, message])


def wait(timeout, turn):
    """Waits for a message, at most so many seconds (None: for ever); not at all when jobs are there already. `turn`: it is
    the loop of all sessions that waits."""
    if jobs:
        timeout = 0
    message = bridge.receive(None if timeout is None else max(timeout, 0) * 1000, turn)
    if message is not None:
        accept(message)


def sleep(seconds):
    """`time.sleep`: serves nested jobs meanwhile, and can be interrupted."""
    deadline = time.monotonic() + _seconds(seconds)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return
        message = bridge.receive(min(left, _LONG) * 1000)
        if message is not None:
            accept(message)
        heed_abort()


def serve_nested():
    """Takes all messages that have come, and so runs the nested jobs among them."""
    message = bridge.receive(0)
    while message is not None:
        accept(message)
        message = bridge.receive(0)


def accept(message):
    """Takes a message that is no reply to the running call: nested jobs run now, most others wait for the serve loop."""
    kind = message[0]
    if kind == "nested":
        _run_nested(message[1])
    elif kind == "restore" or kind == "restore_timer" or kind == "packages":
        # what is nested after it may be an event of this very registration, and would overtake it in the queue
        _perform(message)
    elif kind != "reply":
        jobs.append(message)
    elif message[1] in _interrupted:
        _early[message[1]] = message
    # any other reply is for a call that was given up


def _await_reply(sequence, message):
    _interrupted.add(sequence)
    try:
        while True:
            if message is not None:
                if message[0] == "reply" and message[1] == sequence:
                    return message
                accept(message)
                if sequence in _early:
                    return _early.pop(sequence)
            message = bridge.receive(None)
    finally:
        _interrupted.discard(sequence)
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
