"""Time events: functions that the main thread wants called again and again."""

from types import FunctionType

from . import calls, serialise
from .context import CONTEXT
from .convert import whole
from .errors import GearsError, plain
from .scripts import call_back

# By the number that the main thread gave.
timers = {}


def registerTE(*args):
    """`registerTE(seconds, function[, key])`: calls the function every so many seconds. False if the key exists."""
    if len(args) not in (2, 3):
        raise GearsError("not enough arguments for time event")
    seconds, function = args[0], args[1]
    if type(function) is not FunctionType:
        raise GearsError("callback must be a function")
    seconds = whole(seconds, "time argument must be a long")
    context = CONTEXT.get()
    if context is None:
        raise GearsError("can not create time event on a python created thread")
    key, blob = None, b""
    if len(args) == 3:
        if not isinstance(args[2], str):
            raise GearsError("key argument must be a string")
        key, blob = plain(args[2]), serialise.pack_function(context.session, function)
    number = calls.call("time_event", seconds, key, blob, context.session.key, context.handle)
    if number is False:
        return False
    timers[number] = (context.session, function)
    return True


def restore(session, number, blob):
    """Makes a time event again from its serialised form."""
    timers[number] = (session, serialise.unpack_function(session, blob))


def fire(number, handle):
    """Calls a time event's function, which can be interrupted by the handle; an error ends it."""
    timer = timers.get(number)
    if timer is None:
        calls.post("timer", number, "error", "the time event does not exist")
        return
    error = call_back(*timer, handle)
    if error is None:
        calls.post("timer", number, "ok", "")
    else:
        timers.pop(number, None)
        calls.post("timer", number, "error", error)


def drop(number):
    """Forgets a time event."""
    timers.pop(number, None)
