"""The keys of a KeysReader, where they are few: read by the engine in this thread, without the main thread.

Gives the same as `keys_open` of the main thread (key-scan.ts), whose first batch would be the only one.
"""

from . import bridge
from .bridge import NOT_HERE, OK, UNSURE, WITH_BYTES
from .convert import revive
from .waits import heed_abort

# Places of the key space that are looked at: what is larger is read by the main thread, while Python works.
_PLACES = "32"
_GLOB = frozenset("*?[\\")
# How a type's value is read: the command, and what follows the key. Values of other types are not read.
_READ = {"string": ("GET", ()), "hash": ("HGETALL", ()), "list": ("LRANGE", ("0", "-1"))}
# How records call the types; all others are of modules.
_NAMES = {"string": "string", "hash": "hash", "list": "list", "set": "set", "zset": "zset", "stream": "unknown"}


class _NotHere(Exception):
    """The engine can not be used in this thread now, or has answered with an error."""


def read(sender, pattern, exact, read_value):
    """Gives keys, types (None: all are strings) and values (None: not read) of all records of the pattern, or of the key of that
    name. Gives None where the main thread has to be asked."""
    try:
        if exact or not _GLOB.intersection(pattern):
            return _one(sender, pattern, exact, read_value)
        cursor, keys = _ask(sender, "SCAN", "0", "MATCH", pattern, "COUNT", _PLACES)
        if cursor != "0":
            return None
        if not read_value or not keys:
            return revive(keys), None, None if not read_value else []
        return _all(sender, keys)
    except _NotHere:
        return None


def _one(sender, key, exact, read_value):
    kind = _ask(sender, "TYPE", key)
    if kind != "none":
        records = [(key, _NAMES.get(kind, "module"), _value(sender, key, kind) if read_value else None)]
    else:
        records = [(key, "empty", None)] if exact else []
    keys, types, values = _columns(records)
    return (keys, types, values) if read_value else (keys, None, None)


def _all(sender, keys):
    values = _ask(sender, "MGET", *keys)
    if None not in values:
        return revive(keys), None, revive(values)
    records = []
    for key, value in zip(keys, values):
        kind = "string" if value is not None else _ask(sender, "TYPE", key)
        # a key that has vanished meanwhile has no record
        if kind != "none":
            value = value if value is not None else _value(sender, key, kind)
            records.append((key, _NAMES.get(kind, "module"), value))
    return _columns(records)


def _columns(records):
    return [revive([record[column] for record in records]) for column in range(3)]


def _value(sender, key, kind):
    if kind not in _READ:
        return None
    command, more = _READ[kind]
    value = _ask(sender, command, key, *more)
    return dict(zip(value[::2], value[1::2])) if kind == "hash" else value


def _ask(sender, *words):
    outcome = bridge.ask_engine(sender, list(words))
    if outcome == NOT_HERE or outcome == UNSURE:
        raise _NotHere
    status, value = bridge.answer(outcome)
    heed_abort()
    if status != OK and status != WITH_BYTES:
        raise _NotHere
    return value
