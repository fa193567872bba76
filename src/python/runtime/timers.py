"""Time events: functions that the main thread wants called again and again."""

from . import calls, serialise
from .context import CONTEXT
from .convert import shortened, word
from .errors import GearsError, plain
from .kept import Kept
from .native import in_c, is_function
from .scripts import call_back

# The most seconds that the main thread can count in milliseconds, which are as good as for ever.
_LONGEST = 2**53 // 1000

# The session and function of each time event.
timers = Kept()


@in_c("registerTimeEvent")
def registerTE(*args):
    """`registerTE(seconds, function[, key])`: calls the function every so many seconds. False if the key exists."""
    if len(args) not in (2, 3):
        raise GearsError("not enough arguments for time event")
    seconds, function = args[0], args[1]
    if not is_function(function):
        raise GearsError("callback must be a function")
    if not isinstance(seconds, int) or not -(2**63) <= seconds < 2**63:
        raise GearsError("time argument must be a long")
    if seconds < 0:
        raise GearsError("time argument must not be negative")
    context = CONTEXT.get()
    if context is None:
        raise GearsError("can not create time event on a python created thread")
    key, blob = None, b""
    # a key that is no text counts as none
    if len(args) == 3 and isinstance(args[2], str):
        key, blob = word(plain(args[2]), "key"), serialise.pack_function(context.session, function)
    number = calls.call("time_event", min(int(seconds), _LONGEST), key, blob, context.session.key, context.handle)
    if number is False:
        return False
    _add(number, context.session, function)
    return True


def restore(session, number, blob):
    """Makes a time event again from its serialised form."""
    _add(number, session, serialise.unpack_function(session, blob))


def _add(number, session, function):
    timers.add(number, session, (session, function))


def fire(number, handle):
    """Calls a time event's function, which can be interrupted by the handle. An error ends the time event."""
    timer = timers.get(number)
    if timer is None:
        calls.post("timer", number, "error", "the time event does not exist")
        return
    # the engine is held from here on, and not while the job waits for this interpreter
    if not calls.call("timer_begin", number):
        return
    error = call_back(*timer, handle)
    if error is None:
        calls.post("timer", number, "ok", "")
    else:
        timers.pop(number)
        calls.post("timer", number, "error", shortened(error))


def drop(number):
    """Forgets a time event."""
    timers.pop(number)
