"""Readers of batch flows: of the arguments of `run()` they make a source, and a source makes a generator of records."""

import time
from types import GeneratorType

from . import calls, few_keys
from .convert import word
from .errors import GearsError, bare_text, plain
from .execute import execute
from .native import in_python, is_function
from .records import BREATH, Mark


# Stands between two chunks of keys, types and values.
_PAUSE = (BREATH, None, None)
# Records between two breaths of a flow.
_STRIDE = range(256)
# Readers of batch flows whose argument is a pattern or a key.
_WITH_TEXT = frozenset(("KeysReader", "StreamReader"))


class KeysSource:
    """KeysReader: the keys that match a pattern, or one key by its name."""

    def __init__(self, pattern, no_scan=False, read_value=True):
        self.pattern = pattern
        self.no_scan = no_scan
        self.read_value = read_value

    def records(self, flow):
        chunks = self._chunks(flow, self.read_value)
        if not self.read_value:
            for keys, _, _ in chunks:
                if type(keys) is Mark:
                    yield keys
                else:
                    for key in flow.reading(keys):
                        yield {"event": None, "key": key}
            return
        for keys, types, values in chunks:
            if type(keys) is Mark:
                yield keys
            elif types is None:
                for key, value in zip(flow.reading(keys), values):
                    yield {"event": None, "key": key, "type": "string", "value": value}
            else:
                for key, kind, value in zip(flow.reading(keys), types, values):
                    yield {"event": None, "key": key, "type": kind, "value": value}

    def counted(self, flow):
        """Yields the number of the records, in place of the records and a step that counts them; so no value is read."""
        count = 0
        for keys, _, _ in self._chunks(flow, False):
            if type(keys) is Mark:
                yield keys
            else:
                count += len(keys)
                flow.note_read(len(keys))
        if count:
            yield count

    def _chunks(self, flow, read_value):
        wanted = self.pattern, self.no_scan, read_value
        try:
            few = _timed(flow, few_keys.read, flow.sender, *wanted)
        except BaseException as error:
            few = flow.failed(error), None, None
        if few is not None:
            yield few
            yield _PAUSE
            return
        reader, more, op, args = None, True, "keys_open", (*wanted, flow.handle)
        try:
            while more:
                try:
                    reader, more, keys, types, values = _timed(flow, calls.call, op, *args)
                except BaseException as error:
                    more = False
                    keys, types, values = flow.failed(error), None, None
                yield keys, types, values
                yield _PAUSE
                op, args = "keys_next", (reader,)
        finally:
            if reader is not None and more:
                calls.post("keys_close", reader)


class StreamSource:
    """StreamReader: the messages of one stream after an id."""

    def __init__(self, key, from_id="0-0"):
        self.key = key
        self.from_id = from_id

    def records(self, flow):
        try:
            reply = _timed(flow, execute, "XREAD", "STREAMS", self.key, self.from_id)
        except GearsError as error:
            failed = flow.failed(error)
            failed.text = bare_text(error).removesuffix("\r\n")
        except BaseException as error:
            failed = flow.failed(error)
        else:
            for message, fields in flow.reading(reply[0][1] if reply else ()):
                yield {"key": self.key, "id": message, "value": dict(zip(fields[::2], fields[1::2]))}
            return
        yield failed


class PythonSource:
    """PythonReader: whatever a generator function yields."""

    def __init__(self, function):
        self.function = function

    def records(self, flow):
        try:
            first = self.function()
        except BaseException as error:
            record = flow.failed(error)
        else:
            record = first
        if type(record) is not GeneratorType:
            flow.note_read(type(record) is not Mark)
            yield record
            more = self.function
        else:
            more = record.__next__
        while True:
            for _ in flow.reading(_STRIDE):
                if type(record) is Mark:
                    flow.note_read(-1)
                    return
                try:
                    record = more()
                except StopIteration:
                    flow.note_read(-1)
                    return
                except BaseException as error:
                    flow.note_read(-1)
                    record = flow.failed(error)
                yield record
            yield BREATH


class GivenSource:
    """The records of an event."""

    def __init__(self, records):
        self.given = records

    def records(self, _flow):
        yield from self.given


def _timed(flow, read, *args):
    """Gives what a function gives that reads, and counts the time that it has taken."""
    started = time.perf_counter()
    found = read(*args)
    flow.read_seconds += time.perf_counter() - started
    return found


def argument(reader, args):
    """The argument of a reader among those of `run(*args)`: a function, pattern or key. Raises `gears.error`."""
    if reader == "PythonReader":
        if len(args) != 1:
            raise GearsError("python reader function is not given")
        if not is_function(args[0]):
            raise GearsError("pyreader argument must be a function")
        return args[0]
    arg = args[0] if args else "*"
    _text(arg, "regex argument must be a string")
    if reader not in _WITH_TEXT:
        raise GearsError("Given reader do not support run or not exists")
    return plain(arg)


def prepare(reader, arg, options):
    """The source of a reader with its argument and the keywords of `run()`. Raises `gears.error`."""
    if reader == "PythonReader":
        return PythonSource(arg)
    if reader == "KeysReader":
        return KeysSource(
            word(arg, "pattern"),
            _flag(options.get("noScan", False), "exactMatch value is not boolean"),
            _flag(options.get("readValue", True), "readValue value is not boolean"),
        )
    from_id = options.get("fromId", "0-0")
    _text(from_id, "fromId argument must be a string")
    return StreamSource(arg, plain(from_id))


@in_python
def shardReaderCallback():
    """Generator of ShardsIDReader."""
    yield "1"


@in_python
def createKeysOnlyReader(pattern="*", count=1000, noScan=False, patternGenerator=None):
    """Generator function of KeysOnlyReader."""

    def keysOnlyReader():
        wanted, exact = pattern, noScan
        if patternGenerator is not None:
            wanted, exact = patternGenerator()
        if exact:
            if execute("EXISTS", wanted) == 1:
                yield wanted
            return
        cursor = "0"
        while True:
            cursor, keys = execute("SCAN", cursor, "MATCH", str(wanted), "COUNT", str(count))
            yield from keys
            if cursor == "0":
                return

    return keysOnlyReader


def _text(value, error):
    if not isinstance(value, str):
        raise GearsError(error)


def _flag(value, error):
    if type(value) is not bool:
        raise GearsError(error)
    return value
