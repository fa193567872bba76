"""The worker's endless loop: takes jobs from the main thread and runs callbacks of the event loop in between."""

import contextvars
import gc
import sys
import time

from . import abort, bridge, calls, loop, origins, packages, profiler, registrations, scripts, sockets, timers, waits
from . import api as _api  # noqa: F401 - fills the globals of scripts
from . import polling as _polling  # noqa: F401 - makes `select` know sockets
from .context import BYTES
from .convert import revive, shortened
from .errors import GearsForceStopped, error_text
from .flow import Flow, flows
from .kept import session_of
from .readers import GivenSource

# Seconds after which no further one of the events that main has given ahead begins.
_ROW = 0.002


def prepare():
    """To be called once in each worker, after the bridge was opened. The worker can be interrupted from then on."""
    loop.install()
    abort.install()
    origins.install()
    waits.connect(perform, give_up, abort.stop)
    sys.argv = ["Embeded"]
    time.sleep = waits.sleep


def serve():
    """Runs for ever."""
    main = loop.MAIN
    while True:
        if waits.jobs:
            perform(waits.jobs.popleft())
            ended = loop.take_ended()
            if ended is not None and session_of(ended) is None:
                # the session may be held by itself only
                gc.collect()
        if not waits.jobs or main.has_work:
            try:
                main.turn()
            except GearsForceStopped:
                # it was for a callback, and came when that had just ended
                pass


def perform(job):
    """Runs one job: a message, or a function. Each begins without any context variables."""
    try:
        if callable(job):
            job()
            return
        handler = _HANDLERS.get(job[0])
        if handler is None:
            calls.log("warning", f"unknown message {job[0]!r}")
            return
        # through C, so that V8 uses optimised code of the interpreter's loop
        contextvars.Context().run(handler, *job[1:])
    except BaseException as error:
        _failed(job, error)


def _failed(job, error):
    text = error_text(error, True, True)
    calls.log("warning", f"internal error: {text}")
    give_up(job, text)


def give_up(job, text):
    """Ends with an error what a job would have begun, since the main thread waits for the end."""
    if callable(job):
        flow = getattr(job, "__self__", None)
        if isinstance(flow, Flow):
            _end(flow.handle, "done", [shortened(text)])
    elif job[0] == "script":
        calls.post("script", job[1], shortened(text), 0, None, False)
    elif job[0] in ("start", "event"):
        _end(job[1], "done", [shortened(text)])
    elif job[0] == "timer":
        calls.post("timer", job[1], "again", shortened(text))


def _end(handle, status, errors):
    flows.pop(handle, None)
    calls.post("done", handle, [], status, errors, 0, 0, [], [], False)


def _script(handle, key, code, flags):
    scripts.run_script(handle, scripts.Session(key), code, flags)


def _start(handle, flags):
    flow = flows.get(handle)
    if flow is None:
        _end(handle, "aborted", [])
    else:
        flow.start(flags)


def _event(handle, number, records, flags):
    # what is beneath may wait for its end
    if ("restored", number) in _to_make and waits.is_shallow():
        _make("restored", number)
    if not _held_back("restored", number, ("event", handle, number, records, flags)):
        _run_event(handle, number, records, flags, 0.0)


def _run_event(handle, number, records, flags, until):
    registration = registrations.registrations.get(number)
    if registration is None:
        _end(handle, "aborted", [])
        return False
    source = GivenSource(revive(records) if flags & BYTES else records)
    return Flow(handle, registration.session, registration.steps, source, flags=flags).run_given(registration.plain, until)


def _events(number, flags, events):
    """Events of one registration, one after the other. Main takes back those that have not begun when it wants to, and gets
    them back when one of them waits, or after a moment, so that others have their turn."""
    until = time.perf_counter() + _ROW
    for handle, records in events:
        job = ("event", handle)
        try:
            if not contextvars.Context().run(_run_event, handle, number, records, flags, until):
                return
        except BaseException as error:
            _failed(job, error)
            return


def _chunk(flags):
    """Events of `sync` registrations, which commands cause that this thread carries out in between. When one of them has to
    wait, main goes on with the rest."""
    told = None
    try:
        while (handle := bridge.next_event(told)) != 0:
            try:
                told = contextvars.Context().run(_run_in_chunk, handle, flags)
            except BaseException as error:
                told = None
                _failed(("event", handle), error)
            if told is None and handle in flows:
                return
    finally:
        bridge.end_chunk()


def _run_in_chunk(handle, flags):
    number, records, more = bridge.event()
    registration = registrations.registrations.get(number)
    if registration is None:
        _end(handle, "aborted", [])
        return None
    source = GivenSource(revive(records) if more else records)
    return Flow(handle, registration.session, registration.steps, source, flags=flags).run_in_chunk(registration.plain)


def _discard(handle):
    flow = flows.get(handle)
    if flow is not None:
        flow.discard()


def _abort(handle):
    flow = flows.get(handle)
    if flow is not None:
        flow.cancel()


def _unregister(number):
    registration = registrations.unregister(number)
    loop.note_garbage(registration and registration.session)


def _registered(job, number):
    registration = registrations.registrations.get(number)
    if registration is not None and registration.on_registered is not None:
        error = scripts.call_back(registration.session, registration.on_registered, job)
        if error is not None:
            calls.log("warning", f"GEARS: error in onRegistered of session {registration.session.id}: {error}")
    if job:
        calls.post("answer", job, "ok", "")


def _restore(key, number, blob):
    _remade(key, "restored", number, lambda session: registrations.restore(session, number, blob))


def _restore_timer(key, number, blob):
    _remade(key, "timer_restored", number, lambda session: timers.restore(session, number, blob))


# What is being made again or is to be, with the jobs that have come for it: users' code runs while something is made, and can be
# interrupted by what comes next.
_being_made = {}
# Those that have not begun: session's key, and what makes them. One is made after the other. Each would run on top of the one
# before, if that was interrupted, and a hundred of them are more than fit on Python's stack.
_to_make = {}
# Sessions of what is being made, by their keys: nothing else holds them until the first thing of them is there.
_sessions = {}
_is_making = False


def _remade(key, op, number, remake):
    _being_made[op, number] = []
    _to_make[op, number] = key, remake
    if waits.is_shallow():
        _make_all()
    else:
        waits.jobs.append(_make_all)


def _make_all():
    global _is_making
    if _is_making:
        return
    _is_making = True
    try:
        while _to_make:
            _make(*next(iter(_to_make)))
    finally:
        _is_making = False
        _sessions.clear()
        if _to_make:
            waits.jobs.append(_make_all)


def _make(op, number):
    key, remake = _to_make.pop((op, number))
    session = session_of(key) or _sessions.get(key)
    if session is None:
        session = _sessions[key] = scripts.Session(key)
    try:
        remake(session)
    except BaseException as error:
        calls.post(op, number, "error", shortened(error_text(error, False)))
    else:
        calls.post(op, number, "ok", "")
    finally:
        held = _being_made.pop((op, number))
    for job in held:
        waits.run_nested(job)


def _held_back(op, number, job):
    """Keeps the job until that is made which it is for. False if that is not being made."""
    held = _being_made.get((op, number))
    if held is None:
        return False
    held.append(job)
    return True


def _timer(number, handle):
    if not _held_back("timer_restored", number, ("timer", number, handle)):
        timers.fire(number, handle)


def _profile(job, key, action, order=""):
    session = session_of(key)
    if session is None:
        calls.post("answer", job, "error", "session does not exists")
    elif action == "reset":
        session.profile = None
        calls.post("answer", job, "ok", "")
    else:
        text, failed = profiler.report(session, order)
        calls.post("answer", job, "error" if failed else "ok", shortened(text))


_HANDLERS = {
    "script": _script,
    "start": _start,
    "event": _event,
    "events": _events,
    "chunk": _chunk,
    "discard": _discard,
    "abort": _abort,
    "unregister": _unregister,
    "registered": _registered,
    "restore": _restore,
    "restore_timer": _restore_timer,
    "timer": _timer,
    "timer_drop": timers.drop,
    "profile": _profile,
    "connection": sockets.answered,
    "packages": packages.bring_in,
    "compile": packages.compile_module,
}

# the objects that exist now are never garbage
gc.collect()
gc.freeze()
