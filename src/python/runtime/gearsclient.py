"""The module `gearsclient` for scripts that the Python client of that name sends.

The client (releases 1.0.0 to 1.0.2) pickles a `GearsPipe` with a list of steps, each an object of a class of its own such
as `GearsRemoteMapStep`; the classes are looked up by name here. The script then calls `createAndRun(GB)` on it. What a
step does follows from the name of its class, and its arguments from the order in which the client kept them.
"""

import re
import sys
import types
from importlib.machinery import ModuleSpec

from . import cloudpickle as _cloudpickle
from .errors import GearsError

_MODULE = "gearsclient.redisgears_builder"
_STEP = re.compile(r"GearsRemote(\w+)Step")
_METHODS = frozenset((
    "map", "flatmap", "filter", "foreach", "accumulate", "repartition", "localgroupby", "groupby", "batchgroupby",
    "countby", "count", "avg", "distinct", "aggregate", "aggregateby", "sort", "limit", "run", "register", "collect",
))  # fmt: skip


class _Step:
    """One step of a flow, with the attributes that it was pickled with: the arguments of a builder's method in their
    order, and `kargs`, its keyword arguments."""

    method = ""

    def AddToGB(self, builder, *_):
        """Adds itself to a builder."""
        given = dict(self.__dict__)
        keywords = given.pop("kargs", {})
        getattr(builder, self.method)(*given.values(), **keywords)


class GearsPipe:
    """A flow as the client described it: its reader and its steps. It keeps a default argument, but does not use it."""

    def __init__(self, reader="KeysReader", defaultArg="*"):
        self.reader = reader
        self.defaultArg = defaultArg
        self.steps = []

    def createAndRun(self, GB):
        """Builds the flow and runs or registers it, whichever its last step says."""
        builder = GB(self.reader)
        for step in self.steps:
            step.AddToGB(builder)


def log(msg, level="notice"):
    """Writes to the server's log."""
    _api().log(msg, level=level)


def gearsConfigGet(key, default=None):
    """The value of a user option."""
    value = _api().config_get(key)
    return default if value is None else value


def execute(*args):
    """Runs a command."""
    return _api().executeCommand(*args)


def hashtag():
    """A key's tag that belongs to this node."""
    return _api().getMyHashTag()


class atomic:
    """`with atomic():` no command of another client runs inside this block."""

    def __init__(self):
        self.atomic = _api().atomicCtx()

    def __enter__(self):
        self.atomic.__enter__()
        return self

    def __exit__(self, *_):
        self.atomic.__exit__()


class GearsRemoteBuilder:
    """The class with which a client describes a flow and sends it to the server. It does not work in scripts."""

    def __init__(self, *_args, **_keywords):
        raise GearsError("GearsRemoteBuilder works in clients; in a script use GearsBuilder")


def _api():
    return sys.modules["redisgears"]


def _step_class(name):
    found = _STEP.fullmatch(name)
    method = found.group(1).lower() if found else None
    if method not in _METHODS:
        raise AttributeError(f"module 'gearsclient' has no attribute {name!r}")
    made = type(name, (_Step,), {"method": method, "__module__": _MODULE})
    globals()[name] = made
    return made


def __getattr__(name):
    return _step_class(name)


_PUBLIC = ("GearsRemoteBuilder", "GearsPipe", "log", "gearsConfigGet", "execute", "hashtag", "atomic")


def install():
    """Makes this importable under the names that the client has."""
    package = types.ModuleType("gearsclient", "Server side of the package gearsclient.")
    inner = sys.modules[__name__]
    package.__path__ = []
    for name in _PUBLIC:
        value = getattr(inner, name)
        value.__module__ = _MODULE
        setattr(package, name, value)
    package.__getattr__ = __getattr__
    package.redisgears_builder = inner
    vars(inner)["cloudpickle"] = _cloudpickle
    # they print as what they stand for
    inner.__name__, inner.__spec__ = _MODULE, ModuleSpec(_MODULE, None, origin="built-in")
    package.__spec__ = ModuleSpec("gearsclient", None, origin="built-in", is_package=True)
    sys.modules["gearsclient"] = package
    sys.modules[_MODULE] = inner
