"""Sessions and the scripts that begin them."""

from . import abort, atomics, bridge, calls, flat_execution, flow, registrations, waits
from .context import BASE_GLOBALS, CONTEXT, Background, Context
from .convert import shortened
from .errors import error_text, stopped_text
from .loop import note_garbage
from .records import describe


# Compiled code by its text, least recently used first. Clients send the same few scripts over and over.
_cache = {}
_CACHED_SCRIPTS = 256
_LONGEST_CACHED = 16 * 1024


class Session:
    """One script with its global namespace; lives as long as an execution, registration or coroutine holds it."""

    __slots__ = ("key", "id", "globals", "profile", "profiling", "connects", "__weakref__")

    def __init__(self, key):
        # no other session has the same key, though one may have the same id
        self.key = key
        self.id = key.rpartition(":")[2]
        self.globals = dict(BASE_GLOBALS)
        self.globals["__name__"] = "not_main"
        # for the option ProfileExecutions
        self.profile = None
        self.profiling = False
        # it has opened a connection
        self.connects = False


class ScriptBody(Context):
    """A script's top level. It declares at most one flow, which has the same handle."""

    __slots__ = ("declared", "registered", "_declares")

    def __init__(self, handle, session, flags):
        super().__init__(handle, session, flags)
        self.sender = -handle
        self.no_async = True
        self.declared = None
        self.registered = []
        self._declares = True

    @property
    def declares(self):
        """Are flows and registrations still collected until the end of the body?"""
        return self._declares

    def end(self):
        """Ends the body: what its functions do from now on takes effect at once, and does not belong to its flow."""
        self._declares = False
        self.handle = self.sender = 0

    def lasting(self):
        return Background(self.session)


def run_script(handle, session, code, flags):
    """Runs a script's body and tells how it ended."""
    body = ScriptBody(handle, session, flags)
    CONTEXT.set(body)
    try:
        error = _run_body(body, code)
    finally:
        abort.disarm(body)
    if body.atomic:
        atomics.leave(body)
    body.end()
    if error is not None:
        for number in body.registered:
            registrations.unregister(number)
        calls.post("script", handle, shortened(error), flat_execution.take_made(), None, False)
        note_garbage(body.session)
        return
    run, begins = None, False
    if body.declared is not None:
        declared, reader = body.declared
        flow.flows[handle] = declared
        run = [describe(declared.steps), reader, [step.kind for step in declared.steps]]
        # the flow must not begin before the registrations take effect, which is the main thread's work
        begins = not body.registered and bridge.take_thread()
        if begins:
            declared.set_flags(flags)
            waits.jobs.appendleft(declared.begin)
    else:
        note_garbage(body.session)
    body.declared = None
    calls.post("script", handle, None, flat_execution.take_made(), run, begins)


def call_back(session, function, handle=0):
    """Calls a function of a session outside of any execution. Gives the text of its error, or None."""
    context = Background(session)
    context.handle = context.sender = handle
    CONTEXT.set(context)
    try:
        value = function()
    except BaseException as error:
        return error_text(error, True)
    finally:
        abort.disarm(context)
        if context.atomic:
            atomics.leave(context)
        # coroutines that the function has left behind run on, without its handle
        context.handle = context.sender = 0
    if hasattr(value, "close") and hasattr(value, "cr_frame"):
        value.close()
        return "coroutines are not allowed here"
    return None


def _run_body(body, code):
    try:
        compiled = _compiled(code)
    except BaseException as error:
        return error_text(error, False)
    try:
        exec(compiled, body.session.globals)
    except BaseException as error:
        if body.abort_requested:
            abort.disarm(body)
            return stopped_text(error)
        return error_text(error, body.traceback)
    return None


def _compiled(code):
    """A script's code object; the same text gives the same object. Raises what `compile()` raises."""
    compiled = _cache.pop(code, None)
    if compiled is None:
        compiled = compile(code, "<string>", "exec", dont_inherit=True)
        if len(code) > _LONGEST_CACHED:
            return compiled
        if len(_cache) >= _CACHED_SCRIPTS:
            del _cache[next(iter(_cache))]
    _cache[code] = compiled
    return compiled
