"""Whose lines these are: what is logged and printed is told together with the job and the session that it comes from."""

import sys

from . import bridge
from .context import CONTEXT

# What was told last of printed lines.
_told = (0, 0)


def present():
    """The handle of the running job, and the number of the running session; 0 where there is none."""
    context = CONTEXT.get()
    if context is None:
        return 0, 0
    number = context.session.key.partition(":")[0]
    return context.handle, int(number) if number.isdigit() else 0


def install():
    """Lets what is printed be told apart. Once per interpreter."""
    for stream in (sys.stdout, sys.stderr):
        stream.write = _told_apart(stream.write)


def _told_apart(write):
    def write_and_tell(text):
        global _told
        origin = present()
        if origin != _told:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            _told = origin
            bridge.prints_for(*origin)
        return write(text)

    return write_and_tell
