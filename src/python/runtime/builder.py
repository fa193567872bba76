"""`GearsBuilder`: collects the steps of a flow, and runs or registers it."""

from types import FunctionType

from . import calls, composed, readers, registrations
from .context import CONTEXT
from .errors import GearsError, plain
from .flow import Flow, flows
from .futures import GearsFuture
from .records import Step, check_steps, describe

_READERS = frozenset(("KeysReader", "StreamReader", "PythonReader", "CommandReader"))
_NO_SESSION = "Can not create a gearsCtx on a python created thread"
_MODES = frozenset(("async", "async_local"))

# GearsBuilders made since the main thread was told last; each takes a registration id.
_made = 0


def take_made():
    """How many builders were made since the last time somebody asked."""
    global _made
    made, _made = _made, 0
    return made


class PyFlatExecution:
    """The flow behind a builder: its reader and its basic steps."""

    def __init__(self, reader, desc):
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

    def map(self, *args):
        self._add("map", _callback("map", args))

    def filter(self, *args):
        self._add("filter", _callback("filter", args))

    def foreach(self, *args):
        self._add("foreach", _callback("foreach", args))

    def flatmap(self, *args):
        self._add("flatmap", _callback("flatmap", args))

    def accumulate(self, *args):
        self._add("accumulate", _callback("accumulate", args))

    def repartition(self, *args):
        self._steps.append(Step("repartition", extractor=_callback("repartition", args)))

    def groupby(self, *args):
        self._group("group", "groupby", args)

    def localgroupby(self, *args):
        self._group("localgroup", "groupby", args)

    def batchgroupby(self, *args):
        self._group("batchgroup", "batchgroupby", args)

    def limit(self, *args):
        if not 1 <= len(args) <= 2:
            raise GearsError("wrong number of args to limit function")
        if not all(isinstance(arg, int) for arg in args):
            raise GearsError("limit argument must be a number")
        self._steps.append(Step("limit", length=int(args[0]), start=int(args[1]) if len(args) > 1 else 0))

    def collect(self, *args):
        if args:
            raise GearsError("wrong number of args to collect function")
        self._add("collect", None)

    def _add(self, kind, function):
        self._steps.append(Step(kind, function))

    def _group(self, kind, name, args):
        if len(args) != 2:
            raise GearsError(f"wrong number of args to {name} function")
        extractor, reducer = args
        if type(extractor) is not FunctionType:
            raise GearsError(f"{name} extractor argument must be a function")
        # that of batchgroupby is only found out when it is called
        if kind != "batchgroup" and type(reducer) is not FunctionType:
            raise GearsError(f"{name} reducer argument must be a function")
        self._steps.append(Step(kind, reducer, extractor))

    def run(self, arg=None, **options):
        """Starts the flow on its reader's records; gives an awaitable of `[results, errors]`."""
        context = CONTEXT.get()
        if context is None:
            raise GearsError(_NO_SESSION)
        declares = context.declares
        if declares and context.declared is not None:
            raise GearsError("Can not run more then 1 executions in a single script")
        mode = _mode(options.get("mode", "async"))
        source = readers.prepare(self._reader, arg, options)
        future = GearsFuture(gearsSession=context)
        steps = check_steps(self._steps)
        if declares:
            flow = Flow(context.handle, context.session, steps, source, future)
            context.declared = (flow, mode, self._reader)
            return future
        session, parent = context.session, context.handle
        handle, _ = calls.call("run", mode, describe(steps), self._reader, parent, session.key)
        flows[handle] = Flow(handle, session, steps, source, future, inner=True)
        return future

    def register(self, **options):
        """Declares a registration; gives its id."""
        return registrations.register(self._reader, self._desc, tuple(self._steps), options, take_made)


def gearsCtx(reader="KeysReader", desc=None):
    """The low-level flow object behind a builder."""
    return PyFlatExecution(reader, desc)


class GearsBuilder:
    """Builds a flow. Every step method gives the builder back."""

    def __init__(self, reader="KeysReader", defaultArg="*", desc=None):
        self.realReader = reader
        self.reader = "PythonReader" if reader in ("ShardsIDReader", "KeysOnlyReader") else reader
        self.gearsCtx = gearsCtx(self.reader, desc)
        self.defaultArg = defaultArg

    def __localAggregateby__(self, extractor, zero, aggregator):
        if type(extractor) is not FunctionType:
            # whether it can be called is found out then
            extractor = composed.calling(extractor)
        self.gearsCtx.localgroupby(extractor, composed.folding_by_key(zero, aggregator))
        return self

    def aggregate(self, zero, seqOp, combOp):
        """Folds all records, on each node and then together."""
        self.gearsCtx.accumulate(composed.folding(zero, seqOp))
        self.gearsCtx.collect()
        self.gearsCtx.accumulate(composed.folding(zero, combOp))
        return self

    def aggregateby(self, extractor, zero, seqOp, combOp):
        """Folds the records of each key."""
        self.__localAggregateby__(extractor, zero, seqOp)
        self.gearsCtx.groupby(composed.group_key(), composed.folding_groups(zero, combOp))
        return self

    def count(self):
        """Counts the records."""
        self.gearsCtx._add("count", composed.counting())
        self.gearsCtx.collect()
        self.gearsCtx.accumulate(composed.adding())
        return self

    def countby(self, extractor=composed.itself()):
        """Counts the records of each key."""
        return self.aggregateby(extractor, 0, composed.counting_key(), composed.adding_counts())

    def avg(self, extractor=composed.as_float()):
        """The average of the records, or of what the extractor makes of them."""
        self.gearsCtx.map(extractor)
        self.aggregate((0, 0), composed.summing(), composed.adding_pairs())
        self.gearsCtx.map(composed.dividing())
        return self

    def sort(self, reverse=True):
        """Sorts the records; ascending, as `flatmap` turns the order around."""
        self.aggregate([], composed.appending(), composed.concatenating())
        self.gearsCtx.map(composed.sorting(reverse))
        self.gearsCtx.flatmap(composed.itself())
        return self

    def distinct(self):
        """Each record once."""
        self.aggregate(set(), composed.joining(), composed.uniting())
        self.gearsCtx.flatmap(composed.listing())
        return self

    def run(self, arg=None, convertToStr=True, collect=True, **kargs):
        """Starts the flow."""
        if convertToStr:
            self.gearsCtx._add("text", lambda record: str(record))
        if collect:
            self.gearsCtx.collect()
        arg = arg if arg else self.defaultArg
        if self.realReader == "ShardsIDReader":
            arg = readers.shardReaderCallback
        if self.realReader == "KeysOnlyReader":
            arg = readers.createKeysOnlyReader(arg, **kargs)
        return self.gearsCtx.run(arg, **kargs)

    def register(self, prefix="*", convertToStr=True, collect=True, **kargs):
        """Registers the flow; gives the registration's id."""
        if self.realReader != self.reader:
            raise GearsError("given reader does not exists or does not support register")
        if convertToStr:
            self.gearsCtx._add("text", lambda record: str(record))
        if collect:
            self.gearsCtx.collect()
        kargs["prefix"] = prefix
        if "regex" in kargs:
            calls.log("warning", "GEARS: the argument `regex` of register is deprecated, use `prefix` instead")
            kargs["prefix"] = kargs["regex"]
        return self.gearsCtx.register(**kargs)


def _delegate(name):
    def deco(self, *args):
        getattr(self.gearsCtx, name)(*args)
        return self

    deco.__name__ = name
    return deco


for _name in (
    "map", "filter", "foreach", "flatmap", "accumulate", "repartition", "groupby", "localgroupby", "batchgroupby",
    "limit", "collect",
):  # fmt: skip
    setattr(GearsBuilder, _name, _delegate(_name))


def _callback(name, args):
    if len(args) != 1:
        raise GearsError(f"wrong number of args to {name} function")
    if type(args[0]) is not FunctionType:
        raise GearsError(f"{name} argument must be a function")
    return args[0]


def _mode(mode):
    if not isinstance(mode, str):
        raise GearsError("execution mode must be a string")
    if mode not in _MODES:
        raise GearsError("unknown execution mode")
    return plain(mode)
