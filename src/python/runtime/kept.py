"""What stays when its script has ended: registrations and time events, and by them the sessions that they live in."""

# The sessions that have some, by their keys, and how many each has.
_sessions = {}
_counts = {}


def session_of(key):
    """The session of that key if it has registrations or time events, else None."""
    return _sessions.get(key)


class Kept:
    """Registrations or time events by the numbers that the main thread gave them."""

    __slots__ = ("_by_number",)

    def __init__(self):
        self._by_number = {}

    def add(self, number, session, kept):
        self.pop(number)
        self._by_number[number] = session, kept
        _sessions[session.key] = session
        _counts[session.key] = _counts.get(session.key, 0) + 1

    def get(self, number):
        """What has the number, or None."""
        return self._by_number.get(number, _NOTHING)[1]

    def pop(self, number):
        session, kept = self._by_number.pop(number, _NOTHING)
        if session is None:
            return None
        _counts[session.key] -= 1
        if _counts[session.key] == 0:
            del _counts[session.key], _sessions[session.key]
        return kept


_NOTHING = None, None
