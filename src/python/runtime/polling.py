"""`select.select` and `select.poll` for sockets as well as for files, which are always ready."""

import select as _module
import selectors
import time

from . import sockets, waits
from .sockets import READ, WRITE

_native_poll, _native_select = _module.poll, _module.select
_IN = _module.POLLIN | _module.POLLPRI
_OUT = _module.POLLOUT


def ready(wanted, timeout):
    """Waits until some connections are ready, at most so many seconds (None: for ever). Takes and gives pairs of a connection and
    what it is to be ready for."""
    found = sockets.poll(wanted)
    deadline = None if timeout is None else time.monotonic() + timeout
    while not found and timeout != 0:
        for connection, events in wanted:
            sockets.watch(connection, events)
        if not waits.until(deadline, lambda: any("ready" in connection.answers for connection, _ in wanted)):
            break
        found = sockets.poll(wanted)
    return found


def select(rlist, wlist, xlist, timeout=None):
    """`select.select`."""
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    lists = [(READ, list(rlist)), (WRITE, list(wlist)), (0, list(xlist))]
    wanted, files = {}, ([], [], [])
    for at, (event, objects) in enumerate(lists):
        for one in objects:
            connection = sockets.find(selectors._fileobj_to_fd(one))
            if connection is None:
                files[at].append(one)
            elif event:
                wanted[connection] = wanted.get(connection, 0) | event
    if not wanted:
        return _native_select(*files, timeout)
    found_files = _native_select(*files, 0) if any(files) else files
    found = dict(ready(list(wanted.items()), 0 if any(found_files) else timeout))

    def chosen(at, event):
        return [
            one
            for one in lists[at][1]
            if one in found_files[at] or found.get(sockets.find(selectors._fileobj_to_fd(one)), 0) & event
        ]

    return chosen(0, READ), chosen(1, WRITE), found_files[2]


class Poll:
    """`select.poll()`."""

    def __init__(self):
        self._wanted = {}

    def register(self, fd, eventmask=_IN | _OUT):
        """Begins to look at a file or socket."""
        self._wanted[selectors._fileobj_to_fd(fd)] = eventmask

    def modify(self, fd, eventmask):
        """Changes what is looked for."""
        number = selectors._fileobj_to_fd(fd)
        if number not in self._wanted:
            raise FileNotFoundError(2, "it is not registered")
        self._wanted[number] = eventmask

    def unregister(self, fd):
        """Ends that."""
        del self._wanted[selectors._fileobj_to_fd(fd)]

    def poll(self, timeout=None, /):
        """What is ready, as pairs of a file descriptor and events; waits so many milliseconds, for ever when there are none."""
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        connections, files = {}, _native_poll()
        has_files = False
        for number, mask in self._wanted.items():
            connection = sockets.find(number)
            if connection is None:
                files.register(number, mask)
                has_files = True
            else:
                connections[connection] = (number, (READ if mask & _IN else 0) | (WRITE if mask & _OUT else 0))
        if not connections:
            return files.poll(timeout)
        found = files.poll(0) if has_files else []
        wanted = [(connection, events) for connection, (_, events) in connections.items() if events]
        for connection, events in ready(wanted, 0 if found else seconds):
            mask = (_module.POLLIN if events & READ else 0) | (_OUT if events & WRITE else 0)
            found.append((connections[connection][0], mask))
        return found


def poll():
    """Gives a polling object."""
    return Poll()


def install():
    """Makes these the functions of the module `select`, and of selectors."""
    select.__module__ = poll.__module__ = Poll.__module__ = "select"
    _module.select, _module.poll = select, poll
    selectors.SelectSelector._select = staticmethod(select)
    selectors.PollSelector._selector_cls = Poll


install()
