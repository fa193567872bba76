"""Values on their way between Python and the engine."""

from .errors import GearsError, plain

# Deeper lists can not be replies, since marshal's own nesting is limited.
MAX_DEPTH = 500
# What one message to the main thread may hold; mirrored in messages.ts.
MAX_ARGUMENTS = 262_144
MAX_ELEMENTS = 1_048_576
# Elements of one message where several messages can be made: the main thread serves others in between.
_BATCH_ELEMENTS = 65_536
# The largest integer that JavaScript can tell from its neighbours.
MAX_WHOLE = 2**53 - 1
# Bytes of a name (of a key, a trigger, a command, an option); mirrored in messages.ts.
MAX_WORD = 65_536
# Bytes of an error, of which each character that is not ASCII counts as four; mirrored in messages.ts.
_MAX_ERROR = 1_048_576
NO_REPLY = "PY RECORD"
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


def revive(value):
    """Turns each `bytes` inside a value from the main thread, which is text that is not UTF-8, into a bytearray."""
    kind = type(value)
    if kind is bytes:
        return bytearray(value)
    if kind is list:
        return [revive(item) if type(item) not in _DONE else item for item in value]
    if kind is dict:
        # the field of a hash stays `bytes`, since a bytearray can not be a key of a dict
        return {key: revive(item) if type(item) not in _DONE else item for key, item in value.items()}
    return value


_DONE = frozenset((str, int, type(None), bool, float))


def to_reply(value):
    """A record as it is in a reply: str, bytes, int or a list of those."""
    kind = type(value)
    if kind is str or kind is bytes:
        return value
    return _to_reply(value, 0)


def to_replies(values):
    """A list of records as replies."""
    return [value if type(value) is str else _to_reply(value, 0) for value in values]


def elements(reply):
    """How many values a reply consists of."""
    count = 1
    if type(reply) is list:
        for item in reply:
            count += elements(item) if type(item) is list else 1
    return count


def messages(replies):
    """Cuts replies into lists that fit into messages. Yields each list, and None in place of a reply that fits into no message."""
    if list not in map(type, replies) and len(replies) <= _BATCH_ELEMENTS:
        yield replies
        return
    batch, count = [], 0
    for reply in replies:
        size = elements(reply)
        if size > MAX_ELEMENTS:
            yield None
            continue
        if batch and count + size > _BATCH_ELEMENTS:
            yield batch
            batch, count = [], 0
        batch.append(reply)
        count += size
    yield batch


def word(text, name):
    """A text that the main thread takes as a name of something; raises `gears.error` when it is too long."""
    if len(text) > MAX_WORD or len(text.encode("utf-8", "surrogatepass")) > MAX_WORD:
        raise GearsError(f"{name} may have at most {MAX_WORD} bytes")
    return text


def shortened(error):
    """An error's text, cut to the length that the main thread takes."""
    most = _MAX_ERROR if error.isascii() else _MAX_ERROR // 4
    return error if len(error) <= most else f"{error[:most]}... ({len(error)} characters)"


def whole(value, error):
    """An int that the main thread takes; raises `gears.error` for anything else."""
    if not isinstance(value, int) or not -MAX_WHOLE <= value <= MAX_WHOLE:
        raise GearsError(error)
    return int(value)


def _to_reply(value, depth):
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, bytes):
        return value if type(value) is bytes else bytes.__getitem__(value, slice(None))
    if isinstance(value, int):
        return _integer(int.__add__(value, 0))
    if isinstance(value, float):
        return "%.6f" % float.__pos__(value)
    if isinstance(value, list) and depth < MAX_DEPTH:
        return [_to_reply(item, depth + 1) for item in list.__iter__(value)]
    return NO_REPLY


def _integer(value):
    if _INT_MIN <= value <= _INT_MAX:
        return value
    try:
        return str(value)
    except ValueError:  # more digits than Python converts
        return NO_REPLY


def command(name, args):
    """The arguments of an engine command: bytes as they are, everything else as its text."""
    if len(args) >= MAX_ARGUMENTS:
        raise GearsError(f"a command may have at most {MAX_ARGUMENTS} arguments, these are {len(args) + 1}")
    out = [name]
    for arg in args:
        kind = type(arg)
        if kind is bytes:
            out.append(arg)
        elif kind is str and arg.isascii():
            out.append(arg)
        elif isinstance(arg, (bytes, bytearray)):
            out.append(bytes(arg))
        else:
            out.append(str(arg).encode())
    return out
