"""What running Python code belongs to: a script's body, an execution, or a callback of a session."""

from contextvars import ContextVar

# Bits of a job's flags; they mirror JobFlag in protocol.ts.
TRACEBACK = 1
PROFILE = 2
NO_ASYNC = 4
SHARES = 8
SYNC = 16
OBSERVED = 32
BYTES = 64


def _meaning(flags):
    return (
        bool(flags & TRACEBACK),
        bool(flags & PROFILE),
        bool(flags & (PROFILE | OBSERVED)),
        bool(flags & NO_ASYNC),
        # others may run on top of it while it waits
        bool(flags & SHARES),
        # the engine is held for it, until it waits
        bool(flags & SYNC),
    )


# What each sum of flags means: a look here takes a fifth of the time.
_MEANING = [_meaning(flags) for flags in range(2 * BYTES)]


class Context:
    """One piece of work. The main thread knows it by `handle`; 0 stands for code that belongs to no job."""

    __slots__ = (
        "handle", "sender", "session", "traceback", "profile", "observed", "no_async", "shares", "holds", "atomic",
        "abort_requested",
        "credit", "__weakref__",
    )  # fmt: skip

    def __init__(self, handle, session, flags):
        self.handle = handle
        # the number that a command for the engine is sent with: the handle; below zero for the body of a script
        self.sender = handle
        self.session = session
        self.set_flags(flags)
        self.atomic = False
        self.abort_requested = False
        # seconds that it has waited, less those by which others have held it up
        self.credit = 0.0

    def set_flags(self, flags):
        self.traceback, self.profile, self.observed, self.no_async, self.shares, self.holds = _MEANING[flags]

    @property
    def declares(self):
        """Does what `run()` and `register()` begin wait for the end of this code? Only in a script's body."""
        return False

    def lasting(self):
        """The Context of background work that this code starts."""
        return self


class Background(Context):
    """Callbacks and coroutines of a session that belong to no execution."""

    __slots__ = ()

    def __init__(self, session):
        super().__init__(0, session, TRACEBACK)


# What every session has in its globals from the start; the api module fills it.
BASE_GLOBALS = {}

# The running code's Context; None in code that has none. Coroutines inherit it, as asyncio copies context variables.
CONTEXT = ContextVar("regears", default=None)
