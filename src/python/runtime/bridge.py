"""Messages to and from the main thread, through the device that the worker provides.

A message is a marshalled object (version 2). Nothing here may be called from a signal handler, except interrupt_target().

A signal handler may raise between any two steps. A message that was taken from the device but not handed to the caller yet
is then put back, so that none is ever lost; only the reply of the interrupted call stays to be received by somebody.
"""

import os
import time
from marshal import dumps as _dumps, loads as _loads

_MARSHAL_VERSION = 2

# The size up to which messages travel in shared memory: they need one read.
_PIECE = 65536

# Commands of the device, in place of lseek's `whence`.
_REWIND = 0
_QUERY = 1
_AWAIT = 2

# What can be queried.
_TARGET = 0
_SIZE = 1
_THREAD = 2

_FOREVER = 1 << 52

_fd = -1
_piece = bytearray(_PIECE)
_write = os.write
_readinto = os.readinto
_lseek = os.lseek
_monotonic = time.monotonic


def open():
    """Opens the device. To be called once in each worker, after the snapshot is restored."""
    global _fd
    _fd = os.open("/dev/gears", os.O_RDWR)


def send(message):
    """Sends a message and does not wait for anything, unless main is far behind."""
    _write(_fd, _dumps(message, _MARSHAL_VERSION))


def receive(timeout_ms=None, turn=False):
    """Gives the next message from main, or None when none came in time. Without a timeout it waits for ever. `turn` says
    that nothing else is going on: main sees by it that the event loop turns."""
    # An absolute time, because a read that a signal interrupts is repeated by Python.
    until = _FOREVER if timeout_ms is None else int(_monotonic() * 1000 + max(timeout_ms, 0))
    _lseek(_fd, -until if turn else until, _AWAIT)
    try:
        size = _readinto(_fd, _piece)
        if size == 0:
            return None
        return _loads(_piece) if size < _PIECE else _rest()
    except (MemoryError, ValueError, EOFError, TypeError):
        raise
    except BaseException:
        _lseek(_fd, 0, _REWIND)
        raise


def send_and_receive(message):
    """Sends a message and gives the next one from main."""
    _write(_fd, _dumps(message, _MARSHAL_VERSION))
    try:
        # What follows the object in the buffer is ignored.
        return _loads(_piece) if _readinto(_fd, _piece) < _PIECE else _rest()
    except (MemoryError, ValueError, EOFError, TypeError):
        raise
    except BaseException:
        _lseek(_fd, 0, _REWIND)
        raise


def interrupt_target():
    """Gives the handle of the flow that main wants interrupted, 0 for none. Never waits."""
    return _lseek(_fd, _TARGET, _QUERY)


def take_thread():
    """Takes the thread that main lends, if it does: then a flow may begin without asking. Never waits."""
    return _lseek(_fd, _THREAD, _QUERY) == 1


def _rest():
    """Decodes the message whose first piece fills the buffer."""
    size = _lseek(_fd, _SIZE, _QUERY)
    message = bytearray(size)
    at = len(_piece)
    message[:at] = _piece
    view = memoryview(message)
    while at < size:
        at += _readinto(_fd, view[at:])
    return _loads(message)
