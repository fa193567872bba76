"""The exception classes that scripts see, and the texts that exceptions become."""

import traceback
from traceback import FrameSummary, StackSummary, TracebackException

# The file names of this package's code begin so. Frames of these files are not shown to users.
RUNTIME_FILES = "<regears>"
# Frames of GearsBuilder are shown, under the file name of scripts: RedisGears has that class in Python, too.
_BUILDER_FILE = "<regears>/builder.py"
_SCRIPT_FILE = "<string>"

# Exceptions that code is dealing with on top of which other code runs: they have nothing to do with what is raised there.
beneath = []


class GearsError(Exception):
    """A wrong use of the API, or an error reply of the engine."""


class GearsFlatError(Exception):
    """An error whose text is shown as it is, without traceback."""


class GearsForceStopped(Exception):
    """Raised in code that is to stop."""


for _class, _name in ((GearsError, "error"), (GearsFlatError, "flat_error"), (GearsForceStopped, "forcestopped")):
    _class.__module__ = "gears"
    _class.__name__ = _class.__qualname__ = _name


class FlowAborted(BaseException):
    """Ends a flow from within, through all its steps. Never reaches users' code."""

    def __init__(self, text):
        self.text = text


def error_text(error, with_traceback, entered=None):
    """The text of an exception as an error reply or an entry of an execution's errors.

    The first entry of the traceback is the frame that caught the exception. When no function was entered below that frame (a
    wrong number of arguments), the text has no traceback, unless `entered` says that code of the runtime was.
    """
    try:
        if isinstance(error, GearsFlatError):
            return plain(str(error))
        if beneath:
            _part(error)
        trace = error.__traceback__
        if with_traceback and (entered or (trace is not None and trace.tb_next is not None)):
            return str(format_exception(error))
        return f"Error type: {type(error)!r}, Value: {_value_text(error)}"
    except BaseException:  # noqa: BLE001 - users' __str__ and __repr__, no memory, no stack
        return f"Error type: <class '{type.__dict__['__name__'].__get__(type(error))}'>, Value: "


def stopped_text(error=None):
    """The text of the `gears.forcestopped` that ended something, without the exceptions that were being handled there."""
    error = error if isinstance(error, GearsForceStopped) else GearsForceStopped()
    error.__suppress_context__ = True
    error.__notes__ = []
    return error_text(error, True, True)


def bare_text(error):
    """`str(error)`: so an exception that leaves a coroutine is shown."""
    return plain(_value_text(error))


def format_exception(error):
    """The lines of `traceback.format_exception`, without frames of the runtime and without markers below source lines."""
    found = TracebackException(type(error), error, error.__traceback__, compact=True)
    _clean(found)
    return list(found.format())


def plain(text):
    """An exact str, made of one that may be of a subclass."""
    return text if type(text) is str else str.__str__(text)


def _value_text(error):
    try:
        return plain(str(error))
    except Exception:  # noqa: BLE001 - a user's __str__
        return traceback._some_str(error) if hasattr(traceback, "_some_str") else "<exception str() failed>"


def _part(error):
    """Takes what belongs to other code out of the exceptions during whose handling this one was raised."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if any(error.__context__ is other for other in beneath):
            error.__context__ = None
        error = error.__cause__ or error.__context__


class _Stack(StackSummary):
    """A list of frames that is true, and so gets its heading, even when no frame is left."""

    def __bool__(self):
        return True


def _clean(found):
    for part in (found, *_chain(found)):
        if part.stack or part is found:
            part.stack = _Stack(_shown(frame) for frame in part.stack if not _is_hidden(frame.filename))


def _chain(found):
    todo, seen = [found], {id(found)}
    while todo:
        part = todo.pop()
        for other in (part.__cause__, part.__context__, *(part.exceptions or ())):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                todo.append(other)
                yield other


def _is_hidden(filename):
    return filename.startswith(RUNTIME_FILES) and filename != _BUILDER_FILE


def _shown(frame):
    """A frame without markers below its source line, and without that line if the frame is in a script."""
    if frame.colno is None:
        return frame
    filename = _SCRIPT_FILE if frame.filename == _BUILDER_FILE else frame.filename
    line = "" if filename == _SCRIPT_FILE else frame.line
    return FrameSummary(filename, frame.lineno, frame.name, lookup_line=False, line=line)
