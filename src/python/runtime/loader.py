"""Brings the runtime package into the interpreter, and takes away what scripts must not have.

The package `regears` is imported from memory: the snapshot of the interpreter drops files.
"""

import contextlib
import sys


class _Finder:
    """Finds and loads the modules of the package, whose sources it holds."""

    def __init__(self, sources):
        self._sources = sources

    def find_spec(self, name, path=None, target=None):
        from importlib.machinery import ModuleSpec

        if name not in self._sources:
            return None
        spec = ModuleSpec(name, self, origin=self._origin(name), is_package=name == "regears")
        spec.has_location = False
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__
        origin = self._origin(name)
        module.__file__ = origin
        exec(compile(self._sources[name], origin, "exec"), module.__dict__)

    def get_source(self, name):
        return self._sources.get(name)

    @staticmethod
    def _origin(name):
        return "<regears>/" + (name.partition(".")[2] or "__init__") + ".py"


def install(modules):
    """Imports the whole package. Takes a JSON object of module names (`main` for `regears.main`) to source texts."""
    import asyncio
    import importlib
    import json
    import time

    from pyodide import webloop

    # Pyodide's event loop is that of JavaScript, which never turns here. The runtime brings an event loop of its own (loop.py)
    asyncio.run = webloop._orig_run
    time.sleep = webloop._orig_sleep
    asyncio.events._set_running_loop(None)
    asyncio.events._set_event_loop_policy(None)
    sys.set_asyncgen_hooks(None, None)

    sources = {"regears": ""}
    for name, text in json.loads(modules).items():
        sources["regears" if name == "__init__" else "regears." + name] = text
    sys.meta_path.insert(0, _Finder(sources))
    for name in sources:
        importlib.import_module(name)


# Modules that lead to JavaScript (calling it would end the worker), to the wasm's functions and to broken memory. Importing
# one is an ImportError.
_FORBIDDEN = (
    *("js", "pyodide_js", "pyodide", "_pyodide", "_pyodide_core", "ctypes", "_ctypes"),
    *("_testcapi", "_testinternalcapi", "_testlimitedcapi", "_xxtestfuzz"),
)


@contextlib.contextmanager
def hidden():
    """Packages that are imported into the snapshot see what scripts see: nothing that leads to JavaScript."""
    modules, finders = dict(sys.modules), list(sys.meta_path)
    _hide()
    try:
        yield
    finally:
        for name in _FORBIDDEN:
            del sys.modules[name]
        sys.modules.update((name, module) for name, module in modules.items() if name.partition(".")[0] in _FORBIDDEN)
        sys.meta_path[:] = finders


def _hide():
    for name in list(sys.modules):
        if name.partition(".")[0] in _FORBIDDEN:
            sys.modules[name] = None
    for name in _FORBIDDEN:
        sys.modules[name] = None
    sys.meta_path[:] = [finder for finder in sys.meta_path if not _is_pyodides(finder)]


def harden():
    """To be called once in each worker, after the snapshot is restored and before scripts may run."""
    import _thread
    import os
    import random
    import threading

    _hide()
    sys.excepthook = sys.__excepthook__

    # The snapshot holds the random state of the interpreter that made it, so that would be the same in every worker. (The seed
    # of hashes is the same in all, too, and can not be changed any more: it is as random as the snapshot file.)
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None

    # these two would end the worker, and with it the sessions of others
    os._exit = _refuse_exit
    os.abort = _refuse_exit

    # what says so by itself is "can't start new thread", as if there were too many
    for name in ("start_new_thread", "start_joinable_thread", "start_new"):
        setattr(_thread, name, _refuse_thread)
    threading._start_joinable_thread = _refuse_thread

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _is_pyodides(finder):
    kind = finder if isinstance(finder, type) else type(finder)
    return (kind.__module__ or "").partition(".")[0] in ("_pyodide", "pyodide")


def _refuse_exit(status=0):
    raise SystemExit(status)


def _refuse_thread(*_args, **_keywords):
    raise RuntimeError("threads can not be started: Python runs in WebAssembly here, which has none")


def exercise():
    """Does a little of everything that Python's interpreter does most often, so that V8 optimises its code."""

    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    records = [{"key": str(i), "value": fib(5)} for i in range(200)]
    fib(17)
    return sum(len(f"{r['key']}:{r['value']}") for r in records if r["key"] != "7")
