"""An engine for tests: a dict, and the commands that the tests need."""

import fnmatch
import re


class CommandError(Exception):
    """An error reply."""


WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NO_INTEGER = "ERR value is not an integer or out of range"


def has_bytes(value):
    if isinstance(value, (list, tuple)):
        return any(map(has_bytes, value))
    if isinstance(value, dict):
        return any(map(has_bytes, value.values()))
    return isinstance(value, bytes)


def text(value):
    """str where it is UTF-8, as main gives it."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def raw(value):
    return value if isinstance(value, bytes) else value.encode()


class Stream:
    def __init__(self):
        self.messages = []


class ZSet(dict):
    pass


class Store:
    def __init__(self):
        self.data = {}

    def command(self, args, client=False):
        name = text(args[0]).lower()
        method = getattr(self, f"do_{name}", None) if name.isalpha() else None
        if method is None:
            raise CommandError(f"ERR unknown command '{args[0]}', with args beginning with: ")
        try:
            value = method(*args[1:])
        except TypeError as error:
            if "positional argument" not in str(error):
                raise
            raise CommandError(f"ERR wrong number of arguments for '{name}' command") from None
        if client and value in ("OK", "PONG") and name in ("set", "mset", "ping"):
            from regears.bridge import Status

            return Status(value)
        return value

    def keys(self, pattern):
        rule = re.compile(fnmatch.translate(text(pattern)).replace("[!", "[^"), re.DOTALL)
        return [key for key in self.data if rule.match(key if isinstance(key, str) else key.decode("latin1"))]

    def read(self, key):
        value = self.data.get(text(key))
        if value is None:
            return "empty", None
        kind = self.do_type(key)
        if isinstance(value, (str, bytes, list)):
            return kind, value
        if kind == "hash":
            return kind, value
        return ("unknown" if kind == "stream" else kind), None

    def get(self, key, kind, default=None):
        value = self.data.get(text(key))
        if value is None:
            return default
        if not isinstance(value, kind):
            raise CommandError(WRONG_TYPE)
        return value

    def made(self, key, kind):
        value = self.get(key, kind)
        if value is None:
            value = self.data[text(key)] = kind()
        return value

    def do_ping(self):
        return "PONG"

    def do_echo(self, value):
        return text(value)

    def do_dbsize(self):
        return len(self.data)

    def do_type(self, key):
        value = self.data.get(text(key))
        if value is None:
            return "none"
        kinds = ((ZSet, "zset"), (dict, "hash"), (list, "list"), (set, "set"), (Stream, "stream"))
        return next((name for kind, name in kinds if isinstance(value, kind)), "string")

    def do_get(self, key):
        return self.get(key, (str, bytes))

    def do_set(self, key, value, *options):
        if any(text(option).lower() == "xx" for option in options) and text(key) not in self.data:
            return None
        self.data[text(key)] = text(value)
        return "OK"

    def do_mset(self, *pairs):
        for key, value in zip(pairs[::2], pairs[1::2]):
            self.data[text(key)] = text(value)
        return "OK"

    def do_mget(self, *keys):
        return [value if isinstance(value := self.data.get(text(key)), (str, bytes)) else None for key in keys]

    def do_del(self, *keys):
        return sum(self.data.pop(text(key), None) is not None for key in keys)

    def do_exists(self, *keys):
        return sum(text(key) in self.data for key in keys)

    def do_strlen(self, key):
        return len(raw(self.get(key, (str, bytes), "")))

    def do_getrange(self, key, start, end):
        value = raw(self.get(key, (str, bytes), ""))
        end = int(end)
        return text(value[int(start) : None if end == -1 else end + 1])

    def do_incrby(self, key, by):
        try:
            number = int(self.get(key, (str, bytes), "0")) + int(by)
        except ValueError:
            raise CommandError(NO_INTEGER) from None
        self.data[text(key)] = str(number)
        return number

    def do_incr(self, key):
        return self.do_incrby(key, 1)

    def do_rpush(self, key, *values):
        items = self.made(key, list)
        items += map(text, values)
        return len(items)

    def do_lpush(self, key, *values):
        items = self.made(key, list)
        items[:0] = map(text, reversed(values))
        return len(items)

    def do_llen(self, key):
        return len(self.get(key, list, ()))

    def do_lrange(self, key, start, end):
        items, end = self.get(key, list, []), int(end)
        return items[int(start) : None if end == -1 else end + 1]

    def do_lpop(self, key):
        items = self.get(key, list)
        return items.pop(0) if items else None

    def do_hset(self, key, field, value, *more):
        if len(more) % 2:
            raise CommandError("ERR wrong number of arguments for 'hset' command")
        items = self.made(key, dict)
        before = len(items)
        pairs = (field, value, *more)
        items.update(zip(map(text, pairs[::2]), map(text, pairs[1::2])))
        return len(items) - before

    def do_hincrby(self, key, field, by):
        items = self.made(key, dict)
        items[text(field)] = str(int(items.get(text(field), 0)) + int(by))
        return int(items[text(field)])

    def do_hgetall(self, key):
        return [part for pair in self.get(key, dict, {}).items() for part in pair]

    def do_sadd(self, key, *members):
        items = self.made(key, set)
        before = len(items)
        items.update(map(text, members))
        return len(items) - before

    def do_smembers(self, key):
        return sorted(self.get(key, set, ()))

    def do_zadd(self, key, *pairs):
        items = self.made(key, ZSet)
        items.update((text(member), text(score)) for score, member in zip(pairs[::2], pairs[1::2]))
        return len(pairs) // 2

    def do_zscore(self, key, member):
        return self.get(key, ZSet, {}).get(text(member))

    def do_scan(self, cursor, _match, pattern, _count, count):
        try:
            count = int(count)
        except ValueError:
            raise CommandError(NO_INTEGER) from None
        if count <= 0:
            raise CommandError("ERR syntax error")
        at = int(cursor)
        keys = self.keys(pattern)
        return [str(at + count) if at + count < len(keys) else "0", keys[at : at + count]]

    def do_xadd(self, key, message, *pairs):
        self.made(key, Stream).messages.append((text(message), list(map(text, pairs))))
        return text(message)

    def do_xdel(self, key, message):
        messages = self.get(key, Stream).messages
        before = len(messages)
        messages[:] = [item for item in messages if item[0] != message]
        return before - len(messages)

    def do_xlen(self, key):
        stream = self.get(key, Stream)
        return len(stream.messages) if stream else 0

    def do_xread(self, _streams, key, start):
        number = re.fullmatch(r"(\d+)(?:-(\d+))?", text(start))
        if number is None:
            raise CommandError("ERR Invalid stream ID specified as stream command argument")
        after = (int(number[1]), int(number[2] or 0))
        stream = self.get(key, Stream)
        messages = stream.messages if stream else ()
        found = [[name, pairs] for name, pairs in messages if tuple(map(int, name.split("-"))) > after]
        return [[text(key), found]] if found else None
