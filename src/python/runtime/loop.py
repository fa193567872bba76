"""The event loop: asyncio's own, except that it waits for messages of the main thread, which also tell of sockets."""

import asyncio
import asyncio.events as events
import concurrent.futures
import functools
import gc
import selectors
import sys
import threading
from asyncio.selector_events import BaseSelectorEventLoop
from asyncio.tasks import _swap_current_task

from . import atomics, calls, sockets, tls, waits

# Seconds without work after which unreachable sessions are collected.
_IDLE = 0.05


class _Waiter(selectors._BaseSelectorImpl):
    """The selector of a loop: it waits for messages of the main thread, which tell of sockets as well."""

    garbage = False
    # the key of a session with connections of which something has ended
    ended = None

    def __init__(self, loop):
        super().__init__()
        self._loop = loop
        # the next wait is that of the serve loop: nothing else is going on
        self.serves = False
        # what sockets are ready for, and what the main thread is to tell of them, by their file descriptors
        self._ready = {}
        self._watched = {}

    def select(self, timeout):
        """Waits for a message or a callback, and gives the sockets that are ready."""
        serves, self.serves = self.serves, False
        if self._fd_to_key:
            self._watch()
        if self._ready:
            timeout = 0
        if serves:
            self._wait_for_work(timeout)
        elif timeout is not None and timeout <= 0:
            waits.turn(0, False)
        else:
            deadline = None if timeout is None else self._loop.time() + timeout
            waits.until(deadline, lambda: bool(self._loop._ready or self._ready))
        return self._take() if self._ready else ()

    def unregister(self, fileobj):
        """Ends that a socket is looked at."""
        key = super().unregister(fileobj)
        self._watched.pop(key.fd, None)
        self._ready.pop(key.fd, None)
        return key

    def _watch(self):
        """Has the main thread tell when sockets are ready: each time anew, for it tells once."""
        for fd, key in self._fd_to_key.items():
            if self._watched.get(fd) == key.events:
                continue
            connection = sockets.find(fd)
            if connection is None or connection.number is None or connection.inbox:
                self._ready[fd] = key.events
                continue
            self._watched[fd] = key.events
            connection.on_ready = functools.partial(self._tell, fd)
            sockets.watch(connection, key.events)

    def _tell(self, fd, events):
        self._watched.pop(fd, None)
        self._ready[fd] = self._ready.get(fd, 0) | events

    def _take(self):
        ready, self._ready = self._ready, {}
        keys = [(self._fd_to_key.get(fd), events) for fd, events in ready.items()]
        return [(key, key.events & events) for key, events in keys if key is not None and key.events & events]

    def _wait_for_work(self, timeout):
        if timeout is None and _Waiter.garbage and not waits.jobs:
            waits.turn(_IDLE, True)
            if not waits.jobs:
                _Waiter.garbage = False
                gc.collect()
            return
        waits.turn(timeout, True)


class GearsLoop(BaseSelectorEventLoop):
    """One of these serves all sessions; `asyncio.run` makes further ones for as long as it runs."""

    # makes the tasks of all loops; the futures module sets it
    task_factory = None

    def __init__(self):
        super().__init__(_Waiter(self))
        self.set_task_factory(self.task_factory)
        self.set_exception_handler(_log_exception)

    def _make_self_pipe(self):
        """There are no other threads that would have to wake it."""

    _close_self_pipe = _write_to_self = _make_self_pipe

    def call_at(self, when, callback, *args, context=None):
        """Refuses NaN for a time: it is neither before nor after any other, so the loop would never sleep again."""
        if when != when:
            raise ValueError("Invalid delay: NaN (not a number)")
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(self, executor, func, *args):
        """There are no threads: the function runs now."""
        done = concurrent.futures.Future()
        try:
            done.set_result(func(*args))
        except BaseException as error:
            done.set_exception(error)
        return asyncio.wrap_future(done, loop=self)

    async def _create_connection_transport(
        self, sock, protocol_factory, ssl, server_hostname, server_side=False, ssl_handshake_timeout=None, **_keywords
    ):
        """TLS is made of the socket, before there is a transport."""
        extra = {}
        if ssl:
            sock.setblocking(False)
            context = tls.ssl.create_default_context() if ssl is True else ssl
            extra = await tls.secure(self, sock, context, server_hostname or None, ssl_handshake_timeout)
        made = await super()._create_connection_transport(sock, protocol_factory, None, "")
        made[0]._extra.update(extra)
        return made

    async def start_tls(
        self, transport, protocol, sslcontext, *, server_hostname=None, ssl_handshake_timeout=None, **_keywords
    ):
        """Makes TLS of a transport's socket; the transport stays the same."""
        transport.pause_reading()
        sock = transport._sock
        transport._extra.update(await tls.secure(self, sock, sslcontext, server_hostname, ssl_handshake_timeout))
        transport.set_protocol(protocol)
        transport.resume_reading()
        return transport

    @property
    def has_work(self):
        """Is there a callback to be run now?"""
        return bool(self._ready) or (bool(self._scheduled) and self._scheduled[0]._when <= self.time())

    def turn(self):
        """Waits for a message or the next callback, and runs the callbacks that are ready. For the serve loop only."""
        self._selector.serves = True
        if not (self._ready or self._scheduled or self._stopping):
            self._process_events(self._selector.select(None))
            return
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)
        self._thread_id = threading.get_ident()
        events._set_running_loop(self)
        # a task that has changed the running loop may still be the current task, and then no other could run
        _swap_current_task(self, None)
        try:
            self._run_once()
        except (SystemExit, KeyboardInterrupt):
            # the exception is the outcome of the task that raised it
            pass
        finally:
            events._set_running_loop(None)
            self._thread_id = None
            # code of one session may have stopped the loop, which runs for all
            self._stopping = False
            if atomics.inside:
                atomics.leave_all()
            sys.set_asyncgen_hooks(*hooks)


def note_garbage(session=None):
    """Has garbage collected when there is nothing else to do, because something large may have become unreachable. If something
    of a session has ended that has connections, it is looked at sooner: they end together with it."""
    _Waiter.garbage = True
    if session is not None and session.connects:
        _Waiter.ended = session.key


def take_ended():
    """The key of a session with connections of which something has ended since this was last asked; else None."""
    ended, _Waiter.ended = _Waiter.ended, None
    return ended


def _log_exception(_loop, details):
    message = details.get("message") or "Unhandled exception in event loop"
    error = details.get("exception")
    calls.log("warning", f"{message}: {error!r}" if error is not None else message)


class _MainLoop(GearsLoop):
    """The loop of all sessions."""

    def close(self):
        """Does nothing: scripts often close the loop that they were given, and other sessions still need it."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")


class _Policy(events._AbstractEventLoopPolicy):
    """Decides what code outside of coroutines gets from `asyncio.get_event_loop()`."""

    def __init__(self):
        self._chosen = None

    def get_event_loop(self):
        return self._chosen or MAIN

    def set_event_loop(self, loop):
        self._chosen = loop

    def new_event_loop(self):
        return GearsLoop()


MAIN = _MainLoop()


def install():
    """Makes MAIN the event loop of asyncio."""
    events._set_event_loop_policy(_Policy())
    events._set_running_loop(None)
