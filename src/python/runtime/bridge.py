"""Messages to and from the main thread, through the device that the worker provides.

A message is a marshalled object (version 2). Nothing here may be called from a signal handler, except interrupt_target() and
send_aside().

A signal handler may raise between any two steps. A message that was taken from the device but not handed to the caller yet
is then put back, so that none is ever lost; only the reply of the interrupted call stays to be received by somebody.
"""

import os
import time
from marshal import dumps as _dumps, loads as _loads

_MARSHAL_VERSION = 2

# Messages of less than so many bytes need one read.
_PIECE = 65536

# Commands of the device; they stand in the place of lseek's `whence`.
_REWIND = 0
_QUERY = 1
_AWAIT = 2

# The questions of the command _QUERY; they stand in the place of lseek's offset.
_TARGET = 0
_SIZE = 1
_THREAD = 2
_LONG_SIZE = 3
_PLACE = 4
_PACKAGES = 5
_OPEN = 6
_CLOSE = 7
_ASIDE = 8
_EVENT = 9

# What became of a request for the engine; mirrors DIRECT_OUTCOME in protocol.ts.
NOT_HERE, VALUE, BYTES, FAILED, NIL, DONE, LONG, UNSURE = range(8)
WHOLE = 2**29

# What is written to ask for the next event of a chunk, and to end the chunk; mirrors chunk-memory.ts.
_NEXT_EVENT = b"C"
_END_CHUNK = b"E"

_FOREVER = 1 << 52

# Status of an answer; mirrors ReplyStatus in protocol.ts.
OK, ERROR, WITH_BYTES = 0, 1, 2
_STATUS = {VALUE: OK, BYTES: WITH_BYTES, FAILED: ERROR}

# The device's descriptor, and the buffer for what comes from the device.
fd = -1
piece = bytearray(_PIECE)
write = os.write
# True while a message is being read: whatever garbage collection runs then may send nothing. What it would have sent.
reading = False
late = []
_readinto = os.readinto
_lseek = os.lseek
_monotonic = time.monotonic


def open():
    """Opens the device. To be called once in each worker, after the snapshot is restored."""
    global fd
    fd = os.open("/dev/gears", os.O_RDWR)
    _lseek(fd, _PLACE, _QUERY)
    _readinto(fd, piece)


def send(message):
    """Sends a message and does not wait for anything, unless main is far behind."""
    write(fd, _dumps(message, _MARSHAL_VERSION))


def send_aside(message):
    """Sends a message from within a signal handler, at whatever point that has interrupted this module. Never waits: the message is
    dropped when main is far behind."""
    _lseek(fd, _ASIDE, _QUERY)
    write(fd, _dumps(message, _MARSHAL_VERSION))


def send_from_anywhere(message):
    """Sends a message, in a while if one is being read: finalisers run at any time."""
    if reading:
        late.append(message)
    else:
        send(message)


def send_late():
    """Sends what could not be sent at once."""
    while late:
        send(late.pop(0))


def receive(timeout_ms=None, turn=False):
    """Gives the next message from main, or None when none came in time. Without a timeout it waits for ever. `turn` tells main
    that the event loop waits and nothing else is going on."""
    # an absolute time, because Python repeats a read that a signal has interrupted
    global reading
    until = _FOREVER if timeout_ms is None else int(_monotonic() * 1000 + max(timeout_ms, 0))
    reading = True
    try:
        _lseek(fd, -until if turn else until, _AWAIT)
        size = _readinto(fd, piece)
        if size == 0:
            return None
        return _loads(piece) if size < _PIECE else _rest()
    except (MemoryError, ValueError, EOFError, TypeError):
        raise
    except BaseException:
        _lseek(fd, 0, _REWIND)
        raise
    finally:
        reading = False


def send_and_receive(message):
    """Sends a message and gives the next one from main; None when none has come for a while."""
    global reading
    write(fd, _dumps(message, _MARSHAL_VERSION))
    reading = True
    try:
        size = _readinto(fd, piece)
        if size == 0:
            return None
        # What follows the object in the buffer is ignored.
        return _loads(piece) if size < _PIECE else _rest()
    except (MemoryError, ValueError, EOFError, TypeError):
        raise
    except BaseException:
        _lseek(fd, 0, _REWIND)
        raise
    finally:
        reading = False


def ask_engine(sender, words):
    """Has a command carried out in this thread, if that is possible. Gives a number that says what has become of it. Words in a
    list have to be `str` and `bytes`. Words in a tuple may be anything: unless all are plain `str` and `int` the outcome is
    UNSURE. Raises a ValueError when marshal can not write one of them."""
    return write(fd, _dumps((sender, words), _MARSHAL_VERSION))


def answer(outcome):
    """Status and value of the answer to a request that was carried out."""
    if outcome >= WHOLE:
        return OK, outcome - WHOLE
    if outcome == DONE:
        return OK, "OK"
    if outcome == NIL:
        return OK, None
    if outcome == LONG:
        return _loads(_read_whole(bytearray(_lseek(fd, _LONG_SIZE, _QUERY)), 0))
    return _STATUS[outcome], _loads(piece)


def interrupt_target():
    """Gives the handle of the job that main wants interrupted, 0 for none. Never waits."""
    return _lseek(fd, _TARGET, _QUERY)


def take_thread():
    """Takes the thread that main lends, and tells whether main lent one: then a flow may begin without asking. Never waits."""
    return _lseek(fd, _THREAD, _QUERY) == 1


def take_event():
    """Takes the next one of the events that main has given ahead, and tells whether main has left one. Never waits."""
    return _lseek(fd, _EVENT, _QUERY) == 1


def next_event(message):
    """Sends a message, if there is one, and has this thread go on with the chunk, up to the next event: the present one is over.
    Gives the handle of the execution, whose registration, records and flags `event` reads; 0 when the chunk has ended."""
    return write(fd, _NEXT_EVENT if message is None else _NEXT_EVENT + _dumps(message, _MARSHAL_VERSION))


def event():
    """Number of the registration, records, and further flags of the event that has just come."""
    return _loads(piece)


def end_chunk():
    """Ends the chunk, if one is under way."""
    write(fd, _END_CHUNK)


def open_wait():
    """Lets main claim the wait that begins: then it sends a job that is to run on top."""
    _lseek(fd, _OPEN, _QUERY)


def close_wait():
    """From now on it can not. False when it has done so."""
    return _lseek(fd, _CLOSE, _QUERY) == 1


def prints_for(job, session):
    """Tells whose lines are printed from now on: the handle of a job, and the number of a session. 0 is none."""
    _lseek(fd, job * 2 + 2, _REWIND)
    _lseek(fd, session * 2 + 1, _REWIND)


def load_packages():
    """Brings in the packages that main has given to this interpreter. Gives the number of their files."""
    return _lseek(fd, _PACKAGES, _QUERY)


def _rest():
    """Decodes the message whose first piece fills the buffer."""
    message = bytearray(_lseek(fd, _SIZE, _QUERY))
    message[:_PIECE] = piece
    return _loads(_read_whole(message, _PIECE))


def _read_whole(message, at):
    """Reads the bytes of a message from `at` on into it."""
    view = memoryview(message)
    while at < len(message):
        at += _readinto(fd, view[at:])
    return message
