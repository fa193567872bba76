"""The event loop: asyncio's own, except that it waits for messages of the main thread instead of sockets."""

import asyncio
import asyncio.events as events
import concurrent.futures
import gc
import sys
import threading
from asyncio.base_events import BaseEventLoop
from asyncio.tasks import _swap_current_task

from . import atomics, calls, waits

# Seconds without work after which unreachable sessions are collected.
_IDLE = 0.05


class _Waiter:
    """Waits for messages of the main thread; it stands where other loops have their selector."""

    garbage = False

    def __init__(self, loop):
        self._loop = loop
        # the next wait is that of the serve loop: nothing else is going on
        self.serves = False

    def select(self, timeout):
        serves, self.serves = self.serves, False
        if serves:
            self._wait_for_work(timeout)
        elif timeout is not None and timeout <= 0:
            waits.turn(0, False)
        else:
            waits.until(None if timeout is None else self._loop.time() + timeout, lambda: bool(self._loop._ready))
        return ()

    def _wait_for_work(self, timeout):
        if timeout is None and _Waiter.garbage and not waits.jobs:
            waits.turn(_IDLE, True)
            if not waits.jobs:
                _Waiter.garbage = False
                gc.collect()
            return
        waits.turn(timeout, True)


class GearsLoop(BaseEventLoop):
    """One of these serves all sessions; `asyncio.run` makes further ones for as long as it runs."""

    # makes the tasks of all loops; the futures module sets it
    task_factory = None

    def __init__(self):
        super().__init__()
        self._selector = _Waiter(self)
        self.set_task_factory(self.task_factory)
        self.set_exception_handler(_log_exception)

    def _process_events(self, event_list):
        pass

    def _write_to_self(self):
        pass

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

    @property
    def has_work(self):
        """Is there a callback to be run now?"""
        return bool(self._ready) or (bool(self._scheduled) and self._scheduled[0]._when <= self.time())

    def turn(self):
        """Waits for a message or the next callback, and runs the callbacks that are ready. For the serve loop only."""
        self._selector.serves = True
        if not (self._ready or self._scheduled or self._stopping):
            self._selector.select(None)
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


def note_garbage():
    """Has garbage collected when there is nothing else to do, because something large may have become unreachable."""
    _Waiter.garbage = True


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
