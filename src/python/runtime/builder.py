"""`GearsBuilder`: collects the steps of a flow, and runs or registers it.

In RedisGears this class is written in Python and the flow behind it in C. So tracebacks show the methods of this file, and not
the functions that they call (`errors.py`).
"""

from . import calls, composed, readers
from .flat_execution import PyFlatExecution, gearsCtx
from .native import in_python, is_function


@in_python
class GearsBuilder:
    """Builds a flow. Every step method gives the builder back."""

    def __init__(self, reader="KeysReader", defaultArg="*", desc=None):
        self.realReader = reader
        self.reader = "PythonReader" if reader in ("ShardsIDReader", "KeysOnlyReader") else reader
        self.gearsCtx = gearsCtx(self.reader, desc)
        self.defaultArg = defaultArg

    def __localAggregateby__(self, extractor, zero, aggregator):
        if not is_function(extractor):
            # whether the extractor can be called is found out when it is called
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
        self.map(extractor)
        self.aggregate((0, 0), composed.summing(), composed.adding_pairs())
        return self.map(composed.dividing())

    def sort(self, reverse=True):
        """Sorts the records; ascending, as `flatmap` turns the order around."""
        self.aggregate([], composed.appending(), composed.concatenating())
        self.map(composed.sorting(reverse))
        return self.flatmap(composed.itself())

    def distinct(self):
        """Each record once."""
        self.aggregate(set(), composed.joining(), composed.uniting())
        return self.flatmap(composed.listing())

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
        if convertToStr:
            self.gearsCtx._add("text", lambda record: str(record))
        if collect:
            self.gearsCtx.collect()
        kargs["prefix"] = prefix
        if "regex" in kargs:
            calls.log("warning", "GEARS: the argument `regex` of register is deprecated, use `prefix` instead")
            kargs["prefix"] = kargs["regex"]
        return self.gearsCtx.register(**kargs)


def _delegate(step):
    def deco(self, *args):
        step(self.gearsCtx, *args)
        return self

    deco.__doc__ = step.__doc__
    # the name that these methods have in RedisGears
    deco.__qualname__ = "createDecorator.<locals>.deco"
    return in_python(deco)


for _name in (
    "map", "filter", "foreach", "flatmap", "accumulate", "repartition", "groupby", "localgroupby", "batchgroupby",
    "limit", "collect",
):  # fmt: skip
    setattr(GearsBuilder, _name, _delegate(getattr(PyFlatExecution, _name)))
