"""Tells where running code is: its Python stack, and how far its flow has come. The code goes on as if nothing had been."""

from . import bridge
from .context import CONTEXT
from .errors import RUNTIME_FILES

# The frames that are told, from the innermost on, and the characters of all of them; the limit is mirrored in messages.ts.
_DEPTH, _LENGTH = 50, 16384

# A signal handler can be interrupted by the next signal.
_telling = False

_STEPS = f"{RUNTIME_FILES}/steps.py"


def tell(frame):
    """Posts a sample. `frame` is what was interrupted."""
    global _telling
    if _telling:
        return
    _telling = True
    try:
        _tell(frame)
    finally:
        _telling = False


def _tell(frame):
    context = CONTEXT.get()
    handle = 0 if context is None else context.handle
    lines, stage = [], None
    while frame is not None and len(lines) < _DEPTH:
        code = frame.f_code
        if not code.co_filename.startswith(RUNTIME_FILES):
            lines.append(f'File "{code.co_filename}", line {frame.f_lineno}, in {code.co_name}')
        elif stage is None and code.co_filename == _STEPS:
            stage = frame.f_locals.get("stage")
        frame = frame.f_back
    results, passed = context.progress() if hasattr(context, "progress") else (0, [])
    stack = "\n".join(reversed(lines))[-_LENGTH:]
    bridge.send_aside(["post", "sample", handle, stack, _number_of(stage), results, passed])


def _number_of(stage):
    """Which step of its flow is at work, the first being 1; 0 when it is not known."""
    if stage is None:
        return 0
    for number, step in enumerate(stage.flow.steps, 1):
        if step.function is stage.function and step.kind == stage.kind:
            return number
    return 0
