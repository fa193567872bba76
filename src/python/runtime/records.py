"""Marks, which travel through a flow between its records, and the steps that a flow is made of."""

from types import CoroutineType

from .errors import GearsError

# The most steps of a flow; mirrored in messages.ts.
MAX_STEPS = 10_000
# Characters of a step's argument in RG.GETEXECUTION, and of all steps' arguments together.
_SHOWN, _SHOWN_IN_ALL = 1024, 262_144


class Mark:
    """Travels in the place of a record: with a text it is an error, without one it says that the flow pauses."""

    __slots__ = ("text",)

    def __init__(self, text):
        self.text = text


# A step yields this when it waits for a coroutine or future: the flow pauses until that has ended.
PENDING = Mark(None)
# A reader yields this every now and then: the flow pauses so that others are served. The loop of Python's interpreter is
# entered anew then, which lets V8 replace that loop's code by optimised code.
BREATH = Mark(None)


class Step:
    """One operation of a builder. `function` is the user's callback, the reducer where there are two."""

    __slots__ = ("kind", "function", "extractor", "start", "length")

    def __init__(self, kind, function=None, extractor=None, start=0, length=-1):
        self.kind = kind
        self.function = function
        self.extractor = extractor
        self.start = start
        self.length = length


class Stage:
    """A step at work in a flow."""

    __slots__ = ("flow", "kind", "function", "extractor", "start", "end", "can_hold", "outcome", "held_by", "spent")

    def __init__(self, flow, step):
        self.flow = flow
        self.kind = step.kind
        self.function = step.function
        self.extractor = step.extractor
        self.start = step.start
        self.end = None if step.length < 0 else step.start + step.length
        self.can_hold = step.kind in _HOLDING
        self.outcome = None
        # the frame of the callback that made a gearsFuture and has not returned it yet
        self.held_by = None
        self.spent = 0.0

    def failed(self, error, entered=None):
        """Makes an error that travels on of an exception from the callback; ends the flow when it is being stopped."""
        return self.flow.failed(error, entered)


_HOLDING = frozenset(("map", "flatmap", "filter", "foreach", "accumulate", "group", "localgroup"))


def refuse_coroutine(value, text):
    """An error for a coroutine where none is allowed; None when the value is no coroutine."""
    if type(value) is not CoroutineType:
        return None
    value.close()
    return Mark(text)


_LINES = {
    "map": (("map", "RedisGearsPy_PyCallbackMapper", "function"),),
    "text": (("map", "RedisGearsPy_PyCallbackMapper", "function"),),
    "filter": (("filter", "RedisGearsPy_PyCallbackFilter", "function"),),
    "foreach": (("foreach", "RedisGearsPy_PyCallbackForEach", "function"),),
    "flatmap": (("flatmap", "flatmap", None), ("map", "RedisGearsPy_PyCallbackFlatMapper", "function")),
    "limit": (("limit", "limit", None),),
    "accumulate": (("accumulate", "RedisGearsPy_PyCallbackAccumulate", "function"),),
    "count": (("accumulate", "RedisGearsPy_PyCallbackAccumulate", "function"),),
    "collect": (("collect", "collect", None),),
    "localgroup": (
        ("map", "RedisGearsPy_ToPyRecordMapper", None),
        ("accumulatebykey", "RedisGearsPy_PyCallbackAccumulateByKey", "function"),
        ("extractkey", "RedisGearsPy_PyCallbackExtractor", "extractor"),
    ),
    "group": (
        ("map", "RedisGearsPy_ToPyRecordMapper", None),
        ("accumulatebykey", "RedisGearsPy_PyCallbackAccumulateByKey", "function"),
        ("repartition", "repartition", None),
        ("extractkey", "RedisGearsPy_PyCallbackExtractor", "extractor"),
    ),
    "batchgroup": (
        ("map", "RedisGearsPy_ToPyRecordMapper", None),
        ("reduce", "RedisGearsPy_PyCallbackReducer", "function"),
        ("group", "group", None),
        ("repartition", "repartition", None),
        ("extractkey", "RedisGearsPy_PyCallbackExtractor", "extractor"),
    ),
    "repartition": (
        ("map", "GetValueMapper", None),
        ("repartition", "repartition", None),
        ("extractkey", "RedisGearsPy_PyCallbackExtractor", "extractor"),
    ),
}
_FIRST_LINE = ["map", "RedisGearsPy_ToPyRecordMapper", ""]


def check_steps(steps):
    """The steps of a flow that is to be run; raises `gears.error` when they are too many."""
    if len(steps) > MAX_STEPS:
        raise GearsError(f"a flow may have at most {MAX_STEPS} steps, this one has {len(steps)}")
    return tuple(steps)


def describe(steps):
    """The steps as RG.GETEXECUTION shows them: last first, each with type, name and argument."""
    lines = []
    shown = min(_SHOWN, _SHOWN_IN_ALL // max(len(steps), 1))
    for step in reversed(steps):
        for kind, name, source in _LINES[step.kind]:
            lines.append([kind, name, str(getattr(step, source))[:shown] if source else ""])
    return [*lines, list(_FIRST_LINE)]


def lines_of(step):
    """How many lines of RG.GETEXECUTION a step has."""
    return len(_LINES[step.kind])
