"""`atomic()`: the engine held for one piece of work."""

from . import calls
from .context import CONTEXT
from .errors import GearsError
from .native import class_in_c, in_c

_NOT_INSIDE = "Not inside an atomic block"

# Contexts that hold the engine.
inside = set()


@class_in_c("PyAtomic")
class PyAtomic:
    """Context manager: no other client and no other execution touches the engine inside its block."""

    __slots__ = ()

    def __enter__(self):
        context = CONTEXT.get()
        if context is None:
            raise GearsError(_NOT_INSIDE)
        if context.atomic:
            raise GearsError("Already inside an atomic block")
        # noted before the call, so that the hold is given back when this code is stopped while it waits for the hold
        context.atomic = True
        inside.add(context)
        calls.call("atomic", 1, context.handle)
        return self

    def __exit__(self, *_):
        context = CONTEXT.get()
        if context is None or not context.atomic:
            raise GearsError(_NOT_INSIDE)
        leave(context)


@in_c("atomicCtx")
def atomic(*_):
    """`with atomic():` holds the engine."""
    return PyAtomic()


@in_c("isInAtomicBlock")
def isInAtomicBlock(*_):
    """Is the engine held by this code?"""
    context = CONTEXT.get()
    return context is not None and context.atomic


def leave(context):
    """Lets go of the engine in a context's name. Works for code that is being stopped, too."""
    context.atomic = False
    inside.discard(context)
    stopping, context.abort_requested = context.abort_requested, False
    try:
        calls.call("atomic", 0, context.handle)
    finally:
        context.abort_requested = context.abort_requested or stopping


def leave_all():
    """Lets go of the engine after callbacks of the event loop that have not done so: nobody may wait while holding the engine."""
    for context in tuple(inside):
        leave(context)
