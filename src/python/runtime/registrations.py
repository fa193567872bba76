"""Registrations: what `register()` accepts, and the flows that events start."""

from . import calls, serialise
from .context import CONTEXT
from .convert import whole, word
from .errors import GearsError, plain
from .kept import Kept
from .native import is_function
from .steps import plain_steps

_MODES = frozenset(("sync", "async", "async_local"))
_KEY_TYPES = frozenset(("empty", "string", "list", "hash", "set", "zset", "module", "stream"))
# Most event types, key types or commands; mirrored in messages.ts.
_MAX_WORDS = 4096
_POLICIES = frozenset(("continue", "abort", "retry"))

# Registrations by their number, which is the part of the id after the dash.
registrations = Kept()


class Registration:
    """A stored flow and the session that it lives in."""

    __slots__ = ("number", "session", "reader", "steps", "plain", "on_registered")

    def __init__(self, number, session, reader, steps, on_registered):
        self.number = number
        self.session = session
        self.reader = reader
        self.steps = steps
        self.plain = plain_steps(steps)
        self.on_registered = on_registered


def register(reader, desc, steps, options, take_made):
    """Checks the arguments of `register()`, tells the main thread, and gives the id. Raises `gears.error`."""
    context = CONTEXT.get()
    if context is None:
        raise GearsError("Can not create a gearsCtx on a python created thread")
    mode = options.get("mode", "async")
    if not isinstance(mode, str):
        raise GearsError("execution mode must be a string")
    if mode not in _MODES:
        raise GearsError("unknown execution mode")
    on_registered = options.get("onRegistered")
    if on_registered is not None and not is_function(on_registered):
        raise GearsError("OnRegistered argument must be a function")
    given = _arguments(reader, options, mode)
    spec = {"reader": reader, "mode": plain(mode), "desc": desc and word(desc, "desc"), "session": context.session.key, **given}
    spec["has_on_registered"] = on_registered is not None
    spec["blob"] = serialise.pack_registration(context.session, reader, steps, on_registered)
    text = calls.call("register", take_made(), spec, context.handle)
    number = int(text.rpartition("-")[2])
    _add(Registration(number, context.session, reader, steps, on_registered))
    if context.declares:
        context.registered.append(number)
    return text


def restore(session, number, blob):
    """Makes a registration again from its serialised form. Raises when that is not possible."""
    reader, steps, on_registered = serialise.unpack_registration(session, blob)
    _add(Registration(number, session, reader, steps, on_registered))


def _add(registration):
    registrations.add(registration.number, registration.session, registration)


def unregister(number):
    """Forgets a registration, and gives it if there was one; its unfinished executions keep what they need."""
    return registrations.pop(number)


def _arguments(reader, options, mode):
    """The arguments of a reader, checked in the order in which RedisGears checks them, so that the same error comes first."""
    if reader == "CommandReader":
        return _command(options)
    prefix = _prefix(options)
    if reader == "KeysReader":
        return {"prefix": prefix, **_keys(options)}
    if reader == "StreamReader":
        return {"prefix": prefix, **_stream(options, mode)}
    raise GearsError("given reader does not exists or does not support register")


def _keys(options):
    return {
        "eventTypes": _words(options, "eventTypes", "given event type is not string"),
        "keyTypes": _words(options, "keyTypes", "given key type is not string", _KEY_TYPES),
        "readValue": _flag(options, "readValue", True, "readValue is not boolean"),
        "commands": _words(options, "commands", "given command type is not string"),
    }


def _stream(options, mode):
    batch = _number(options, "batch", 1, "batch argument must be a number")
    if batch <= 0:
        raise GearsError("batch argument must be greater than 0")
    duration = _number(options, "duration", 0, "duration argument must be a number")
    policy = options.get("onFailedPolicy", "continue")
    if not isinstance(policy, str):
        raise GearsError("onFailedPolicy must be a string (Continue/Abort/Retry)")
    if policy.lower() not in _POLICIES:
        raise GearsError("onFailedPolicy must be Continue/Abort/Retry")
    if mode == "sync" and policy.lower() != "continue":
        raise GearsError("ExecutionMode sync can only be combined with OnFailedPolicy Continue")
    return {
        "batch": batch,
        "duration": duration,
        "onFailedPolicy": plain(policy.lower()),
        "onFailedRetryInterval": _number(options, "onFailedRetryInterval", 1, "retryInterval argument must be a number"),
        "trimStream": _flag(options, "trimStream", True, "pyTrimmStream argument must be a boolean"),
    }


def _command(options):
    trigger = _optional_text(options, "trigger", "trigger argument is not string")
    in_order = _flag(options, "inorder", False, "inorder argument is be boolean")
    key_prefix = _optional_text(options, "keyprefix", "keyprefix argument is not string")
    hook = _optional_text(options, "hook", "hook argument is not string")
    if trigger is None and hook is None:
        raise GearsError("no trigger or hook argument was given")
    if trigger is not None and (hook is not None or key_prefix is not None):
        raise GearsError("trigger argument can not be given with keyprefix or hook")
    return {"trigger": trigger, "hook": hook, "keyprefix": key_prefix, "inorder": in_order}


def _prefix(options):
    prefix = options.get("prefix", "*")
    if not isinstance(prefix, str):
        raise GearsError("regex argument must be a string")
    return word(plain(prefix), "prefix")


def _words(options, name, error, known=None):
    given = options.get(name)
    if given is None:
        return None
    try:
        given = iter(given)
    except TypeError:
        raise GearsError(f"given {name} is not iterable") from None
    words = []
    for item in given:
        if len(words) == _MAX_WORDS:
            raise GearsError(f"at most {_MAX_WORDS} {name} may be given")
        if not isinstance(item, str):
            raise GearsError(error)
        if known is not None and item not in known:
            raise GearsError("unknown key type")
        words.append(plain(item))
    word("".join(words), name)
    return words


def _flag(options, name, default, error):
    value = options.get(name, default)
    if type(value) is not bool:
        raise GearsError(error)
    return value


def _number(options, name, default, error):
    value = options.get(name, default)
    if not isinstance(value, int):
        raise GearsError(error)
    return whole(value, f"{name} is out of range")


def _optional_text(options, name, error):
    if name not in options:
        return None
    value = options[name]
    if not isinstance(value, str):
        raise GearsError(error)
    return word(plain(value), name)
