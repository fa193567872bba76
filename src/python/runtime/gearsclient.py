"""The module `gearsclient` for scripts that the Python client of that name sends.

The client pickles a description of a flow, an object of its own classes, which are looked up by name here; the script
then calls `createAndRun(GB)` on it. How the client's objects call their attributes is its business: what a step does
follows from the name of its class, and its arguments from the order in which its constructor kept them.
"""

import sys
import types

from . import cloudpickle as _cloudpickle
from .errors import GearsError

# The steps whose classes are not named as `<method>Step`, in any spelling.
_METHODS = {
    name.lower(): name
    for name in (
        "map", "flatmap", "filter", "foreach", "accumulate", "repartition", "localgroupby", "groupby", "batchgroupby",
        "countby", "count", "avg", "distinct", "aggregate", "aggregateby", "sort", "limit", "run", "register", "collect",
    )
}  # fmt: skip


class _Step:
    """One step of a flow: the arguments are whatever it was unpickled with."""

    method = ""

    def __init__(self, *args, **keywords):
        for at, value in enumerate(args):
            setattr(self, f"argument{at}", value)
        if keywords:
            self.kargs = keywords

    def __setstate__(self, state):
        self.__dict__.update(state)

    def AddToGB(self, builder, *_):
        """Adds itself to a builder."""
        given = dict(self.__dict__)
        keywords = {}
        for name in ("kargs", "kwargs", "kw"):
            keywords.update(given.pop(name, {}))
        return getattr(builder, self.method)(*given.values(), **keywords)


class GearsPipe:
    """A flow as it was described: its reader, the reader's argument, and its steps."""

    def __init__(self, reader="KeysReader", defaultArg="*"):
        self.reader = reader
        self.defaultArg = defaultArg
        self.steps = []

    def createAndRun(self, GB):
        """Builds the flow and runs or registers it, whichever its last step says."""
        builder = GB(self.reader, self.defaultArg)
        for step in self.steps:
            step.AddToGB(builder)


def log(message, level="notice"):
    """Writes to the server's log."""
    _api().log(message, level=level)


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
    """`with atomic():` no other client's command runs meanwhile."""

    def __init__(self):
        self.atomic = _api().atomicCtx()

    def __enter__(self):
        self.atomic.__enter__()
        return self

    def __exit__(self, *_):
        self.atomic.__exit__()


class GearsRemoteBuilder:
    """What the client describes a flow with. It sends it over a connection; there is none here."""

    def __init__(self, *_args, **_keywords):
        raise GearsError("GearsRemoteBuilder works in clients; in a script use GearsBuilder")


GearsBuilder = GearsRemoteBuilder


def _api():
    return sys.modules["redisgears"]


def _step_class(name):
    method = _METHODS.get(name.removesuffix("Step").lower()) if name.endswith("Step") else None
    if method is None:
        raise AttributeError(f"module 'gearsclient' has no attribute {name!r}")
    made = type(name, (_Step,), {"method": method, "__module__": "gearsclient.redisgears_builder"})
    globals()[name] = made
    return made


def __getattr__(name):
    return _step_class(name)


_PUBLIC = ("GearsRemoteBuilder", "GearsBuilder", "GearsPipe", "log", "gearsConfigGet", "execute", "hashtag", "atomic")


def install():
    """Makes this importable under the names that the client has."""
    package = types.ModuleType("gearsclient", "Server side of the package gearsclient.")
    inner = sys.modules[__name__]
    package.__path__ = []
    for name in _PUBLIC:
        setattr(package, name, getattr(inner, name))
        if name != "GearsBuilder" and isinstance(getattr(inner, name), (type, types.FunctionType)):
            getattr(inner, name).__module__ = "gearsclient.redisgears_builder"
    package.__getattr__ = __getattr__
    package.redisgears_builder = inner
    vars(inner)["cloudpickle"] = _cloudpickle
    sys.modules["gearsclient"] = package
    sys.modules["gearsclient.redisgears_builder"] = inner
