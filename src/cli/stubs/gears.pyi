"""What the scripts of RedisGears and Regears find in their globals.

Nothing has to be imported: a script begins with these names. For editors and checkers, one of these is enough:

- `__builtins__.pyi` beside this file, in the folder of the scripts (pyright, Pylance);
- at the top of a script (every checker; nothing is imported when it runs):

      from typing import TYPE_CHECKING
      if TYPE_CHECKING:
          from gears import *
"""

import asyncio as asyncio
import cProfile as cProfile
import copy as copy
import dis as dis
import importlib as importlib
import io as io
import itertools as itertools
import logging as logging
import opcode as opcode
import operator as operator
import pickle as pickle
import pstats as pstats
import struct as struct
import sys as sys
import traceback as traceback
import types as types
import weakref as weakref
from asyncio import Future as Future
from functools import partial as partial
from io import StringIO as StringIO
from threading import Thread as Thread
from typing import IO, Any, Awaitable, Callable, Coroutine, Iterable, Iterator, Literal, NoReturn, TypeAlias

import redisgears as redisgears
import redisgears as rg

__all__ = [
    "GB", "GearsBuilder", "PyFlatExecution", "gearsCtx",
    "execute", "atomic", "isInAtomicBlock", "isAsyncAllow", "log", "configGet", "gearsConfigGet", "hashtag",
    "call_next", "get_command", "override_reply", "flat_error", "registerTE",
    "createFuture", "setFutureResults", "setFutureException", "runCoroutine", "gearsFuture", "GearsFuture", "Future",
    "getGearsSession", "setGearsSession", "GearsSession", "registerGearsThread", "Thread", "loop",
    "createKeysOnlyReader", "shardReaderCallback", "Log", "ConfigGet", "GearsConfigGet",
    "partial", "StringIO", "dumps", "loads", "dump", "load", "CloudPickler",
    "redisgears", "rg",
    "asyncio", "cProfile", "copy", "dis", "importlib", "io", "itertools", "logging", "opcode", "operator", "pickle",
    "pstats", "struct", "sys", "traceback", "types", "weakref",
]

Reader: TypeAlias = Literal[
    "KeysReader", "KeysOnlyReader", "StreamReader", "PythonReader", "ShardsIDReader", "CommandReader"
]
Mode: TypeAlias = Literal["async", "async_local", "sync"]
KeyType: TypeAlias = Literal["empty", "string", "list", "hash", "set", "zset", "module", "stream"]
FailedPolicy: TypeAlias = Literal["continue", "abort", "retry"]
LogLevel: TypeAlias = Literal["debug", "verbose", "notice", "warning"]

class error(Exception):
    """A wrong use of the API, or an error reply of the engine. Scripts catch it as `redisgears.GearsError`."""

class forcestopped(Exception):
    """Raised in code that is to stop: by RG.ABORTEXECUTION, or because it ran for too long."""

class GearsBuilder:
    """Builds a flow: a reader, and the steps that its records go through.

    `run()` starts it once; `register()` lets it run whenever something happens. What a record is:

    - KeysReader: `{'key': …, 'value': …, 'type': …, 'event': …}`; event is None in `run()`
    - KeysOnlyReader: the key
    - StreamReader: `{'key': …, 'id': '1-0', 'value': {field: value}}`
    - PythonReader: what the generator yields
    - ShardsIDReader: `'1'`
    - CommandReader: the command as a list: its name, and its arguments
    """

    def __init__(self, reader: Reader = "KeysReader", defaultArg: Any = "*", desc: str | None = None) -> None:
        """`defaultArg` is what `run()` reads when it is given nothing; `desc` is shown with registrations."""

    def map(self, f: Callable[[Any], Any], /) -> GearsBuilder:
        """Replaces each record by what a function makes of it."""

    def filter(self, f: Callable[[Any], Any], /) -> GearsBuilder:
        """Keeps the records for which a function gives something true."""

    def foreach(self, f: Callable[[Any], Any], /) -> GearsBuilder:
        """Calls a function with each record and passes the record on."""

    def flatmap(self, f: Callable[[Any], Any], /) -> GearsBuilder:
        """Replaces each record by the elements of the list that a function makes of it, last first."""

    def accumulate(self, f: Callable[[Any, Any], Any], /) -> GearsBuilder:
        """Folds all records into one: `f(value so far or None, record)`."""

    def aggregate(self, zero: Any, seqOp: Callable[[Any, Any], Any], combOp: Callable[[Any, Any], Any]) -> GearsBuilder:
        """Folds all records, on each node with `seqOp(value, record)` and then together with `combOp(value, value)`."""

    def aggregateby(
        self,
        extractor: Callable[[Any], Any],
        zero: Any,
        seqOp: Callable[[Any, Any, Any], Any],
        combOp: Callable[[Any, Any, Any], Any],
    ) -> GearsBuilder:
        """Folds the records of each key; both functions get the key first. Gives `{'key': …, 'value': …}`."""

    def groupby(self, extractor: Callable[[Any], Any], reducer: Callable[[Any, Any, Any], Any], /) -> GearsBuilder:
        """Folds the records of each key: `reducer(key, value so far or None, record)`. Gives `{'key': …, 'value': …}`."""

    def localgroupby(self, extractor: Callable[[Any], Any], reducer: Callable[[Any, Any, Any], Any], /) -> GearsBuilder:
        """As `groupby`, without moving records between nodes."""

    def batchgroupby(self, extractor: Callable[[Any], Any], reducer: Callable[[Any, list[Any]], Any], /) -> GearsBuilder:
        """Makes one record of all records of each key: `reducer(key, records)`."""

    def count(self) -> GearsBuilder:
        """Counts the records."""

    def countby(self, extractor: Callable[[Any], Any] = ...) -> GearsBuilder:
        """Counts the records of each key. Gives `{'key': …, 'value': count}`."""

    def avg(self, extractor: Callable[[Any], float] = ...) -> GearsBuilder:
        """The average of the records, or of what the extractor makes of them."""

    def sort(self, reverse: bool = True) -> GearsBuilder:
        """Sorts the records: with the default they come out in ascending order, with `reverse=False` in descending."""

    def distinct(self) -> GearsBuilder:
        """Each record once."""

    def limit(self, length: int, start: int = 0, /) -> GearsBuilder:
        """Keeps so many records, after the first `start`."""

    def repartition(self, extractor: Callable[[Any], Any], /) -> GearsBuilder:
        """Moves each record to the node of the key that a function gives; on one node it only calls the function."""

    def collect(self) -> GearsBuilder:
        """Brings all records to the node that began; on one node it does nothing."""

    def run(
        self,
        arg: Any = None,
        convertToStr: bool = True,
        collect: bool = True,
        *,
        mode: Literal["async", "async_local"] = "async",
        noScan: bool = False,
        readValue: bool = True,
        fromId: str = "0-0",
        count: int = 1000,
        patternGenerator: Callable[[], tuple[str, bool]] | None = None,
    ) -> GearsFuture:
        """Starts the flow; awaited in a coroutine it gives `[results, errors]`.

        `arg` is the pattern of keys (KeysReader, KeysOnlyReader), the stream (StreamReader) or the generator function
        (PythonReader). KeysReader: `noScan` takes `arg` for one key's name, `readValue=False` leaves values out.
        StreamReader: messages after `fromId`. KeysOnlyReader: `count`, `noScan`, `patternGenerator`.
        """

    def register(
        self,
        prefix: str = "*",
        convertToStr: bool = True,
        collect: bool = True,
        *,
        mode: Mode = "async",
        onRegistered: Callable[[], Any] | None = None,
        eventTypes: Iterable[str] | None = None,
        keyTypes: Iterable[KeyType] | None = None,
        commands: Iterable[str] | None = None,
        readValue: bool = True,
        batch: int = 1,
        duration: int = 0,
        onFailedPolicy: FailedPolicy = "continue",
        onFailedRetryInterval: int = 1,
        trimStream: bool = True,
        trigger: str = ...,
        hook: str = ...,
        keyprefix: str = ...,
        inorder: bool = False,
        regex: str = ...,
    ) -> str:
        """Registers the flow; gives the registration's id.

        `prefix` is a pattern of keys, or of streams. `mode` says when it runs: `async` after what caused it,
        `async_local` the same on this node, `sync` before that is answered. `onRegistered` is called when it is in force.

        KeysReader: `eventTypes` (names of keyspace events), `keyTypes`, `commands` (it runs for the client's command,
        whose reply can be overridden), `readValue`.
        StreamReader: it runs for each `batch` messages, or after `duration` milliseconds with fewer; `trimStream`
        deletes what was processed; after an error it goes on (`continue`), stops (`abort`), or tries again after
        `onFailedRetryInterval` seconds (`retry`).
        CommandReader: `trigger` is the name for RG.TRIGGER; or `hook` is a command that it takes the place of, for keys
        that begin with `keyprefix`. `inorder` lets it run for one call after the other.
        """

GB = GearsBuilder

class PyFlatExecution:
    """The flow behind a builder: a reader and steps, without the steps that are made of others."""

    def __init__(self, reader: str = "KeysReader", desc: str | None = None) -> None: ...
    def map(self, f: Callable[[Any], Any], /) -> PyFlatExecution: ...
    def filter(self, f: Callable[[Any], Any], /) -> PyFlatExecution: ...
    def foreach(self, f: Callable[[Any], Any], /) -> PyFlatExecution: ...
    def flatmap(self, f: Callable[[Any], Any], /) -> PyFlatExecution: ...
    def accumulate(self, f: Callable[[Any, Any], Any], /) -> PyFlatExecution: ...
    def repartition(self, extractor: Callable[[Any], Any], /) -> PyFlatExecution: ...
    def groupby(self, extractor: Callable[[Any], Any], reducer: Callable[[Any, Any, Any], Any], /) -> PyFlatExecution: ...
    def localgroupby(
        self, extractor: Callable[[Any], Any], reducer: Callable[[Any, Any, Any], Any], /
    ) -> PyFlatExecution: ...
    def batchgroupby(
        self, extractor: Callable[[Any], Any], reducer: Callable[[Any, list[Any]], Any], /
    ) -> PyFlatExecution: ...
    def limit(self, length: int, start: int = 0, /) -> PyFlatExecution: ...
    def collect(self) -> PyFlatExecution: ...
    def run(self, arg: Any = ..., **options: Any) -> GearsFuture: ...
    def register(self, **options: Any) -> str: ...

def gearsCtx(reader: str = "KeysReader", desc: str | None = None, *ignored: Any) -> PyFlatExecution:
    """The flow behind a builder."""

def execute(name: str, /, *args: Any) -> Any:
    """Runs a command of the engine in database 0 and gives its reply: `str` (`bytearray` if it is no UTF-8), `int`,
    `None` or a list of these. `bytes` and `bytearray` are sent as they are, all else as `str(x)`.

    Raises `redisgears.GearsError` for an error reply."""

class _Atomic:
    def __enter__(self) -> _Atomic: ...
    def __exit__(self, *_: Any) -> None: ...

def atomic() -> _Atomic:
    """`with atomic():` no other client and no other execution touches the data inside the block."""

def isInAtomicBlock() -> bool:
    """Is this code inside `with atomic():`?"""

def isAsyncAllow() -> bool:
    """May this step's function be a coroutine, or give a `gearsFuture`? Not under MULTI, in Lua or in `execute`."""

def log(message: str, /, level: LogLevel = "notice", **ignored: Any) -> None:
    """Writes a line to the server's log."""

def configGet(key: str, /) -> str | None:
    """The text of an option for scripts (`--gears-option`, `RG.CONFIGSET`); None when there is none."""

def gearsConfigGet(key: str, default: Any = None) -> Any:
    """`configGet` with a default."""

def hashtag() -> str:
    """A hash tag of this node's lowest slot."""

def call_next(*args: Any) -> Any:
    """In a hook: runs the next hook of the command, or the command itself. Arguments without the command's name."""

def get_command() -> list[str]:
    """The client's command behind an event, as it was typed (registrations with `commands`)."""

def override_reply(value: Any, /) -> None:
    """Sets the reply of the client's command behind an event. A text that begins with `+` is a status, with `-` an error."""

def flat_error(message: Any, /) -> NoReturn:
    """Raises an error whose text is shown as it is, without traceback."""

def registerTE(seconds: int, function: Callable[[], Any], key: str = ..., /) -> bool:
    """Calls a function every so many seconds. With a key, the time event survives restarts and ends when the key is
    deleted; False if the key exists."""

class GearsFuture(asyncio.Future[Any]):
    """What `createFuture()` and `run()` give: can be awaited."""

def createFuture() -> GearsFuture:
    """A future that `setFutureResults` or `setFutureException` completes, from any step."""

def setFutureResults(f: asyncio.Future[Any], res: Any) -> None:
    """Completes a future, soon after."""

def setFutureException(f: asyncio.Future[Any], exception: Any) -> None:
    """Fails a future, soon after."""

class _HeldRecord:
    def continueRun(self, value: Any, /) -> None:
        """Goes on with a value in place of the callback's."""

    def continueFailed(self, error: Any, /) -> None:
        """Goes on with an error; its text is `str(error)`."""

def gearsFuture() -> _HeldRecord:
    """Holds the current record; the step's function must return what this gives."""

def runCoroutine(
    cr: Coroutine[Any, Any, Any],
    f: _HeldRecord | None = None,
    delay: float = 0,
    s: Any = None,
) -> None:
    """Runs a coroutine in the background, after `delay` seconds, in the session `s` or the current one; its outcome
    continues `f`, a `gearsFuture`."""

def getGearsSession() -> Any:
    """The session of the running code, for `setGearsSession` elsewhere; None when it has none."""

def setGearsSession(session: Any, /) -> None:
    """Makes a session current; None clears it."""

class GearsSession:
    """`with GearsSession(s):` sets and clears the session around a block."""

    def __init__(self, s: Any) -> None: ...
    def __enter__(self) -> GearsSession: ...
    def __exit__(self, *_: Any) -> None: ...

def registerGearsThread(*_: Any) -> None:
    """There are no threads: does nothing."""

loop: asyncio.AbstractEventLoop
"""The event loop of all sessions."""

def createKeysOnlyReader(
    pattern: str = "*",
    count: int = 1000,
    noScan: bool = False,
    patternGenerator: Callable[[], tuple[str, bool]] | None = None,
) -> Callable[[], Iterator[str]]:
    """The generator function of KeysOnlyReader."""

def shardReaderCallback() -> Iterator[str]:
    """The generator of ShardsIDReader."""

def Log(*args: Any, **options: Any) -> None:
    """Deprecated: `log`."""

def ConfigGet(key: str, /) -> str | None:
    """Deprecated: `configGet`."""

def GearsConfigGet(key: str, default: Any = None) -> Any:
    """Deprecated: `gearsConfigGet`."""

def dumps(obj: Any, protocol: int | None = None) -> bytes:
    """Serialises a value, functions by their code (cloudpickle)."""

def loads(data: bytes, /) -> Any:
    """The value of `dumps`."""

def dump(obj: Any, file: IO[bytes], protocol: int | None = None) -> None:
    """As `dumps`, into a file."""

def load(file: IO[bytes], /) -> Any:
    """As `loads`, from a file."""

class CloudPickler(pickle.Pickler):
    """Serialises functions by their code."""
