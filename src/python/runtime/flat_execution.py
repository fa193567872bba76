"""The flow behind a builder: checks the arguments of its steps and of `run()`. In RedisGears this is written in C."""

from . import calls, readers, registrations
from .context import CONTEXT
from .errors import GearsError, plain
from .flow import Flow, flows
from .futures import GearsFuture
from .native import class_in_c, in_c, is_function
from .records import Step, check_steps, describe

_READERS = frozenset(("KeysReader", "StreamReader", "PythonReader", "CommandReader"))
_NO_SESSION = "Can not create a gearsCtx on a python created thread"
_MODES = frozenset(("async", "async_local"))

# How many flows were made since the main thread was told last; each takes a registration id.
_made = 0


def take_made():
    """How many flows were made since the last call."""
    global _made
    made, _made = _made, 0
    return made


@class_in_c("PyFlatExecution")
class PyFlatExecution:
    """A reader and the steps that its records go through. Each method that adds a step gives the object itself back."""

    __slots__ = ("_reader", "_desc", "_steps")

    def __init__(self, reader="KeysReader", desc=None):
        global _made
        if CONTEXT.get() is None:
            raise GearsError(_NO_SESSION)
        if not isinstance(reader, str):
            raise GearsError("reader argument must be a string")
        if desc is not None and not isinstance(desc, str):
            raise GearsError("desc argument must be a string")
        if reader not in _READERS:
            raise GearsError("The given reader does not exists")
        self._reader = plain(reader)
        self._desc = None if desc is None else plain(desc)
        self._steps = []
        _made += 1

    def __str__(self):
        return "PyFlatExecution"

    def map(self, *args):
        """Replaces each record by what a function makes of it."""
        return self._add("map", _callback("map", args))

    def filter(self, *args):
        """Keeps the records for which a function gives something true."""
        return self._add("filter", _callback("filter", args))

    def foreach(self, *args):
        """Calls a function with each record and passes the record on."""
        return self._add("foreach", _callback("foreach", args))

    def flatmap(self, *args):
        """Replaces each record by the elements of the list that a function makes of it, last first."""
        return self._add("flatmap", _callback("flatmap", args))

    def accumulate(self, *args):
        """Folds all records into one: `f(value so far or None, record)`."""
        return self._add("accumulate", _callback("accumulate", args))

    def repartition(self, *args):
        """Moves each record to the node of the key that a function gives; on one node it only calls the function."""
        return self._append(Step("repartition", extractor=_callback("repartition", args)))

    def groupby(self, *args):
        """Folds the records of each key: `extractor(record)`, `reducer(key, value so far or None, record)`."""
        return self._group("group", "groupby", args)

    def localgroupby(self, *args):
        """As `groupby`, without moving records between nodes."""
        return self._group("localgroup", "groupby", args)

    def batchgroupby(self, *args):
        """Makes one record of all records of each key: `extractor(record)`, `reducer(key, records)`."""
        return self._group("batchgroup", "batchgroupby", args)

    def limit(self, *args):
        """Keeps so many records: `limit(length, start=0)`."""
        if not 1 <= len(args) <= 2:
            raise GearsError("wrong number of args to limit function")
        if not all(isinstance(arg, int) for arg in args):
            raise GearsError("limit argument must be a number")
        return self._append(Step("limit", length=int(args[0]), start=int(args[1]) if len(args) > 1 else 0))

    def collect(self, *args):
        """Brings all records to the node that began; on one node it does nothing."""
        if args:
            raise GearsError("wrong number of args to collect function")
        return self._add("collect", None)

    def run(self, *args, **options):
        """Starts the flow on its reader's records; gives an awaitable of `[results, errors]`."""
        context = CONTEXT.get()
        if context is None:
            raise GearsError(_NO_SESSION)
        declares = context.declares
        if declares and context.declared is not None:
            raise GearsError("Can not run more then 1 executions in a single script")
        arg = readers.argument(self._reader, args)
        _check_mode(options.get("mode", "async"))
        source = readers.prepare(self._reader, arg, options)
        future = GearsFuture(gearsSession=context)
        steps = check_steps(self._steps)
        if declares:
            flow = Flow(context.handle, context.session, steps, source, future)
            context.declared = (flow, self._reader)
            return future
        session, parent = context.session, context.handle
        handle = calls.call("run", describe(steps), parent, session.key)
        flows[handle] = Flow(handle, session, steps, source, future, inner=True)
        return future

    def register(self, *_, **options):
        """Declares a registration; gives its id."""
        return registrations.register(self._reader, self._desc, tuple(self._steps), options, take_made)

    def _add(self, kind, function):
        return self._append(Step(kind, function))

    def _append(self, step):
        self._steps.append(step)
        return self

    def _group(self, kind, name, args):
        if len(args) != 2:
            raise GearsError(f"wrong number of args to {name} function")
        extractor, reducer = args
        if not is_function(extractor):
            raise GearsError(f"{name} extractor argument must be a function")
        # batchgroupby takes anything for a reducer; that it is no function shows when it is called
        if kind != "batchgroup" and not is_function(reducer):
            raise GearsError(f"{name} reducer argument must be a function")
        return self._append(Step(kind, reducer, extractor))


@in_c("gearsCtx")
def gearsCtx(*args):
    """`gearsCtx(reader='KeysReader', desc=None)`: the flow behind a builder. Further arguments are ignored."""
    return PyFlatExecution(*args[:2])


def _callback(name, args):
    if len(args) != 1:
        raise GearsError(f"wrong number of args to {name} function")
    if not is_function(args[0]):
        raise GearsError(f"{name} argument must be a function")
    return args[0]


def _check_mode(mode):
    """What `run()` takes for a mode makes no difference on one node."""
    if not isinstance(mode, str):
        raise GearsError("execution mode must be a string")
    if mode not in _MODES:
        raise GearsError("unknown execution mode")
