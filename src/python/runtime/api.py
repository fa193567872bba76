"""What scripts see: the names in their globals, and the module `redisgears`."""

import asyncio
import cProfile
import copy
import dis
import functools
import importlib
import io
import itertools
import logging
import opcode
import operator
import pickle
import pstats
import struct
import sys
import threading
import traceback
import types
import weakref

from . import atomics, builder, cloudpickle, errors, execute, flat_execution, futures, gearsclient, readers, serialise, timers
from .context import BASE_GLOBALS, CONTEXT
from .errors import GearsError
from .loop import MAIN
from .native import class_in_c, in_c, in_python


@class_in_c("PyExecutionSession")
class PyExecutionSession:
    """What `getGearsSession()` gives, so that code in other threads or callbacks can belong to the session. Opaque to scripts."""

    __slots__ = ("context",)

    def __init__(self, context):
        self.context = context

    def __str__(self):
        return "PyExecutionSession"


@in_c("getGearsSession")
def getGearsSession(*_):
    """The session of the running code; None when it has none."""
    context = CONTEXT.get()
    return None if context is None else PyExecutionSession(context)


@in_c("setGearsSession")
def setGearsSession(*args):
    """Makes a session current; None clears it."""
    if len(args) != 1:
        raise GearsError("Wrong number of args given to setGearsSession")
    session = args[0]
    if session is not None and not isinstance(session, PyExecutionSession):
        raise GearsError("Given object is not of type GearsSession")
    CONTEXT.set(None if session is None else session.context)


@in_python
class GearsSession:
    """`with GearsSession(s):` sets and clears the session around a block."""

    def __init__(self, s):
        self.s = s

    def __enter__(self):
        setGearsSession(self.s)
        return self

    def __exit__(self, *_):
        setGearsSession(None)


@in_c("registerGearsThread")
def registerGearsThread(*_):
    """There are no threads: does nothing."""


@in_c("_saveGlobals")
def _saveGlobals(*_):
    """Exists for old scripts, and does nothing."""
    return 1


_PLAIN = {
    "execute": execute.execute,
    "atomic": atomics.atomic,
    "log": execute.log,
    "configGet": execute.configGet,
    "gearsConfigGet": execute.gearsConfigGet,
    "hashtag": execute.hashtag,
    "isAsyncAllow": futures.isAsyncAllow,
    "isInAtomicBlock": atomics.isInAtomicBlock,
    "createFuture": futures.createFuture,
    "setFutureResults": futures.setFutureResults,
    "setFutureException": futures.setFutureException,
    "runCoroutine": futures.runCoroutine,
    "gearsFuture": futures.gearsFuture,
    "call_next": execute.call_next,
    "get_command": execute.get_command,
    "override_reply": execute.override_reply,
    "flat_error": execute.flat_error,
    "registerTE": timers.registerTE,
    "getGearsSession": getGearsSession,
    "setGearsSession": setGearsSession,
    "GearsSession": GearsSession,
    "registerGearsThread": registerGearsThread,
    "gearsCtx": flat_execution.gearsCtx,
    "PyFlatExecution": flat_execution.PyFlatExecution,
    "GearsBuilder": builder.GearsBuilder,
    "GB": builder.GearsBuilder,
    "GearsFuture": futures.GearsFuture,
    "Future": asyncio.Future,
    "Thread": threading.Thread,
    "loop": MAIN,
    "createKeysOnlyReader": readers.createKeysOnlyReader,
    "shardReaderCallback": readers.shardReaderCallback,
    "Log": execute.Log,
    "ConfigGet": execute.ConfigGet,
    "GearsConfigGet": execute.GearsConfigGet,
    "partial": functools.partial,
    "StringIO": io.StringIO,
    "dumps": cloudpickle.dumps,
    "loads": cloudpickle.loads,
    "dump": cloudpickle.dump,
    "load": cloudpickle.load,
    "CloudPickler": cloudpickle.CloudPickler,
}

_MODULES = (
    asyncio, copy, io, sys, types, traceback, logging, pickle, struct, itertools, operator, weakref, importlib, dis,
    opcode, cProfile, pstats,
)  # fmt: skip

_REDISGEARS = {
    "executeCommand": execute.execute,
    "atomicCtx": atomics.atomic,
    "log": execute.log,
    "config_get": execute.configGet,
    "getMyHashTag": execute.hashtag,
    "registerTimeEvent": timers.registerTE,
    "gearsFutureCtx": futures.gearsFuture,
    "callNext": execute.call_next,
    "getCommand": execute.get_command,
    "overrideReply": execute.override_reply,
    "flatError": execute.flat_error,
    "isAsyncAllow": futures.isAsyncAllow,
    "isInAtomicBlock": atomics.isInAtomicBlock,
    "getGearsSession": getGearsSession,
    "setGearsSession": setGearsSession,
    "registerGearsThread": registerGearsThread,
    "gearsCtx": flat_execution.gearsCtx,
    "_saveGlobals": _saveGlobals,
    "GearsError": errors.GearsError,
    "GearsFlatError": errors.GearsFlatError,
    "GearsForceStopped": errors.GearsForceStopped,
    "PyFlatExecution": flat_execution.PyFlatExecution,
    "PyAtomic": atomics.PyAtomic,
    "PyExecutionSession": PyExecutionSession,
    "PyFuture": futures.PyFuture,
}


def _is_of_scripts(value):
    return getattr(value, "__module__", None) == "not_main"


def _redisgears():
    module = types.ModuleType("redisgears", "The API of gears scripts, for modules.")
    vars(module).update(_REDISGEARS)
    return module


def _install():
    cloudpickle.install()
    gearsclient.install()
    redisgears = sys.modules["redisgears"] = _redisgears()
    # the exception classes say that they are in a module `gears`
    gears = sys.modules["gears"] = types.ModuleType("gears")
    for exception in (errors.GearsError, errors.GearsFlatError, errors.GearsForceStopped):
        setattr(gears, exception.__name__, exception)
    names = {"__builtins__": sys.modules["builtins"], "redisgears": redisgears, "rg": redisgears, **_PLAIN}
    names.update((module.__name__, module) for module in _MODULES)
    BASE_GLOBALS.update(names)
    # packed functions refer to the API by these places
    serialise.PLACES.update((id(value), ("redisgears", name)) for name, value in _REDISGEARS.items())
    serialise.PLACES.update((id(value), ("__main__", name)) for name, value in _PLAIN.items() if _is_of_scripts(value))
    # modules that scripts import find the API in `__main__`, as in RedisGears
    main = sys.modules["__main__"] = types.ModuleType("__main__", "The namespace that scripts begin with.")
    vars(main).update(names, __name__="not_main")


_install()
