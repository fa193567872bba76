"""Traffic with the main thread: calls that wait for their reply, and posts that do not."""

import itertools

from . import bridge, origins
from .bridge import OK, WITH_BYTES
from .convert import revive
from .errors import GearsError
from .waits import await_reply, heed_abort

# Characters of a line for the log; the main thread takes no longer ones.
_LINE = 16384

# Calls whose replies name something new: a job about it may be there before the reply is, and must not run before that.
_MAKING = frozenset(("run", "register", "time_event"))

_sequence = itertools.count(1)


def call(op, *args):
    """Asks the main thread and waits. Gives the reply's value; raises `gears.error` with the text of an error reply."""
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
        reply = await_reply(sequence, reply, op not in _MAKING)
    heed_abort()
    return reply[2], reply[3]


def post(op, *args):
    """Tells the main thread something, and does not wait."""
    bridge.send(["post", op, *args])


def log(level, message):
    """Writes a line to the server's log; level is `debug`, `verbose`, `notice` or `warning`."""
    if len(message) > _LINE:
        message = f"{message[:_LINE]}... ({len(message)} characters)"
    bridge.send(["post", "log", level, message, *origins.present()])
