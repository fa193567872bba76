"""Stops code that does not stop by itself: raises `gears.forcestopped` in it, again and again until it has ended."""

import signal
import sys
from asyncio.events import Handle

from . import bridge, sampling, waits
from .context import CONTEXT
from .errors import RUNTIME_FILES, GearsForceStopped

_monitoring = sys.monitoring
_TOOL = 4
_EVENTS = _monitoring.events.LINE | _monitoring.events.JUMP | _monitoring.events.PY_START | _monitoring.events.PY_RESUME

# Files of the runtime that must not be torn: an exception raised in a function that they call would leave their work half done.
_SAFE = frozenset(
    f"{RUNTIME_FILES}/{name}.py"
    for name in ("abort", "bridge", "calls", "errors", "flow", "loop", "main", "profiler", "records", "sockets", "tls", "waits")
)

_WAITS = frozenset((bridge.receive.__code__, bridge.send_and_receive.__code__))

# These stand in the place of a handle; they mirror protocol.ts.
SERVE_NESTED = 2**40
BACKGROUND = 2**41
SAMPLE = 2**42


_armed = set()


def install():
    """Takes over the interrupt signal. Once per interpreter."""
    if _monitoring.get_tool(_TOOL) is None:
        _monitoring.use_tool_id(_TOOL, "regears")
    for event in (_monitoring.events.LINE, _monitoring.events.JUMP):
        _monitoring.register_callback(_TOOL, event, _strike)
    for event in (_monitoring.events.PY_START, _monitoring.events.PY_RESUME):
        _monitoring.register_callback(_TOOL, event, _strike)
    signal.signal(signal.SIGINT, _interrupted)


def stop(context):
    """The context's code is to stop as soon as it goes on."""
    context.abort_requested = True
    _armed.add(context)
    _monitoring.set_events(_TOOL, _EVENTS)


def disarm(context):
    """Stops raising in a context's code, which has ended or is just ending."""
    context.abort_requested = False
    if context in _armed:
        _armed.discard(context)
        if not _armed:
            _monitoring.set_events(_TOOL, 0)


def _interrupted(_signal, frame):
    context = CONTEXT.get()
    target = bridge.interrupt_target()
    if target == SERVE_NESTED:
        # nested jobs run on top of users' code only: the runtime's own code is not interrupted, and is soon done
        if _may_raise(frame) or _is_callback(frame):
            waits.serve_nested()
        return
    if target == SAMPLE:
        if _may_raise(frame) or frame.f_code in _WAITS or _is_callback(frame):
            sampling.tell(frame)
        return
    if target == BACKGROUND:
        if _may_raise(frame) or frame.f_code in _WAITS or _is_callback(frame):
            raise GearsForceStopped()
        return
    if context is None or context.handle != target:
        # the job that is meant may have ended just now
        if target != 0 and (waiting := waits.waiting_context(target)) is not None:
            stop(waiting)
        return
    stop(context)
    # while the bridge waits it can be left at any point
    if _may_raise(frame) or frame.f_code in _WAITS:
        raise GearsForceStopped()


def _strike(code, *_):
    if code.co_filename.startswith(RUNTIME_FILES):
        return
    context = CONTEXT.get()
    if context is not None and context.abort_requested and _may_raise(sys._getframe(1)):
        raise GearsForceStopped()


def _may_raise(frame):
    """May an exception be raised in this frame? Yes in users' code and in what users' code called, but not in what the files
    of `_SAFE` called."""
    if frame.f_code.co_filename.startswith(RUNTIME_FILES):
        return False
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(RUNTIME_FILES):
            return name not in _SAFE
        frame = frame.f_back
    return False


def _is_callback(frame):
    """Is this the frame of a plain function that the event loop has called, or of something which that function called?"""
    below = None
    while frame is not None and not frame.f_code.co_filename.startswith(RUNTIME_FILES):
        if frame.f_code is Handle._run.__code__:
            return below is not None
        below, frame = frame, frame.f_back
    return False
