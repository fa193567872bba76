"""Functions of a script's globals that reach the engine, the configuration and the log."""

from marshal import dumps as _dumps, loads as _loads

from . import bridge, calls, waits
from .bridge import DONE, NIL, NOT_HERE, OK, UNSURE, VALUE, WHOLE, WITH_BYTES
from .context import CONTEXT, Context
from .convert import MAX_ELEMENTS, command, elements, revive, to_reply, word
from .errors import GearsError, GearsFlatError, GearsForceStopped, plain
from .native import in_c, in_python

# Stands for the Context in code that has none.
_NOBODY = Context(0, None, 0)
_LEVELS = ("debug", "verbose", "notice", "warning")


@in_c("executeCommand")
def execute(*args):
    """Runs an engine command and gives its reply; an error reply raises `gears.error`."""
    context = CONTEXT.get() or _NOBODY
    try:
        # this is bridge.ask_engine, written out: calls of functions are most of what a loop of execute() costs in Python
        outcome = bridge.write(bridge.fd, _dumps((context.sender, args), 2))
    except ValueError:
        outcome = UNSURE
    if context.abort_requested:
        raise GearsForceStopped()
    if outcome >= WHOLE:
        return outcome - WHOLE
    if outcome == VALUE:
        return _loads(bridge.piece)
    if outcome == DONE:
        return "OK"
    return None if outcome == NIL else _execute(args, context, outcome)


@in_c("callNext")
def call_next(*args):
    """Runs the next hook of the hooked command, or the command itself. Arguments without the command's name."""
    status, value = calls.request("call_next", (command("", args)[1:], _handle()))
    if status == OK:
        return value
    if status == WITH_BYTES:
        return revive(value)
    raise GearsError(_engine_error(value))


@in_c("getCommand")
def get_command(*_):
    """The client's command behind an event, as the client has sent it."""
    return calls.call("get_command", _handle())


@in_c("overrideReply")
def override_reply(*args):
    """Sets the reply of the client's command behind an event."""
    if len(args) != 1:
        # when there is no such command, that error comes first
        get_command()
        raise GearsError("Override reply must get a single argument")
    reply = to_reply(args[0])
    if elements(reply) > MAX_ELEMENTS:
        raise GearsError(f"a reply may have at most {MAX_ELEMENTS} elements")
    calls.call("override_reply", reply, _handle())


@in_c("flatError")
def flat_error(*args):
    """Raises an error that is shown without traceback."""
    if len(args) != 1:
        raise GearsError("not enough arguments for time flat error")
    raise GearsFlatError(args[0])


@in_c("getMyHashTag")
def hashtag(*_):
    """A hash tag of this node's lowest slot."""
    return "06S"


@in_c("log")
def log(*args, level="notice", **_):
    """Writes to the server's log: `log(message, level='notice')`. Other keywords are ignored."""
    if not 1 <= len(args) <= 2:
        raise GearsError("log function must get a log message as input")
    if len(args) == 2:
        level = args[0]
        calls.log("warning", "GEARS: log(level, message) is deprecated, use log(message, level=level) instead")
    message = args[-1]
    if not isinstance(message, str):
        raise GearsError("Log message must be a string")
    if not isinstance(level, str):
        raise GearsError("Log level must be a sting (debug/verbose/notice/warning)")
    if level not in _LEVELS:
        raise GearsError("Log level should be one of the following : debug,verbose,notice,warning")
    calls.log(plain(level), "GEARS: " + plain(message))


@in_c("config_get")
def configGet(*args):
    """The text of a user option or of an option that was set explicitly; None for others."""
    if len(args) != 1:
        raise GearsError("get_config function must get a single key input")
    if not isinstance(args[0], str):
        raise GearsError("get_config key must be a string")
    return calls.call("config_get", word(plain(args[0]), "get_config key"))


@in_python
def gearsConfigGet(key, default=None):
    """`configGet` with a default."""
    value = configGet(key)
    return default if value is None else value


def _deprecated(old, new, function):
    def alias(*args, **kwargs):
        calls.log("warning", f"GEARS: {old} is deprecated, use {new} instead")
        return function(*args, **kwargs)

    alias.__name__ = alias.__qualname__ = old
    alias.__doc__ = f"Deprecated: {new}"
    return in_python(alias)


Log = _deprecated("Log", "log", log)
ConfigGet = _deprecated("ConfigGet", "configGet", configGet)
GearsConfigGet = _deprecated("GearsConfigGet", "gearsConfigGet", gearsConfigGet)

# Errors of the server itself; all others are error replies of the engine.
_OWN_ERRORS = frozenset(("Can not get CommandHook ctx", "Failed executing command"))


def _handle():
    context = CONTEXT.get()
    return context.handle if context is not None else 0


def _execute(args, context, outcome):
    """Goes on with a command that was not sent yet, or whose outcome `execute` has not dealt with."""
    if outcome == NOT_HERE or outcome == UNSURE:
        if not args:
            return []
        name = args[0]
        if not isinstance(name, str):
            raise GearsError("the given command must be a string")
        words = command(plain(name), args[1:])
        if outcome == UNSURE:
            outcome = bridge.ask_engine(context.sender, words)
    if outcome == NOT_HERE or outcome == UNSURE:
        status, value = calls.request("execute", (words, context.handle))
    else:
        status, value = bridge.answer(outcome)
        waits.heed_abort()
    if status == OK:
        return value
    if status == WITH_BYTES:
        return revive(value)
    raise GearsError(_engine_error(value))


def _engine_error(text):
    """The text of an error reply as scripts see it. RedisGears finds two kinds of errors before the command runs, and gives them
    texts of the operating system. Errors of the engine itself end with the end of their line."""
    if text.endswith("\r\n") or text in _OWN_ERRORS:
        return text
    if text.startswith("ERR unknown command"):
        return "No such file or directory"
    if text.startswith("ERR wrong number of arguments for '") and not text[35:].lower().startswith("rg."):
        return "Invalid argument"
    return text + "\r\n"
