"""Measuring: time per step, and cProfile per session."""

import cProfile
import io
import pstats
import time

from .errors import error_text
from .records import Mark


class Timed:
    """Wraps an iterator: counts its records, and sums up the time that is spent in it and in those that it pulls from."""

    __slots__ = ("spent", "passed", "_next")

    def __init__(self, source):
        self.spent = 0.0
        self.passed = 0
        self._next = source.__next__

    def __iter__(self):
        return self

    def __next__(self):
        started = time.perf_counter()
        try:
            record = self._next()
            if type(record) is not Mark:
                self.passed += 1
            return record
        finally:
            self.spent += time.perf_counter() - started


def begin(context):
    """Starts to profile a session's code, if that is wanted and not yet going on."""
    if not context.profile or context.session.profiling:
        return None
    session = context.session
    if session.profile is None:
        session.profile = cProfile.Profile()
    try:
        session.profile.enable()
    except ValueError:  # another session's code is being profiled around this
        return None
    session.profiling = True
    return session


def end(session):
    """Ends the profiling of a session that `begin` gave."""
    session.profiling = False
    session.profile.disable()


def report(session, order):
    """The text of the pstats report, and whether it is an error (nothing was profiled)."""
    text = io.StringIO()
    try:
        stats = pstats.Stats(session.profile or cProfile.Profile(), stream=text)
        stats.sort_stats(order or "tottime")
        stats.print_stats()
        stats.print_callers()
        stats.print_callees()
    except Exception as error:
        return error_text(error, True, True), True
    return text.getvalue(), False
