"""Stands for `regears.bridge` in tests: a main thread in a few lines, and the engine a dict.

Messages take the same way as in the product, through marshal. `Main.ask` gives what a client would get: str and bytes are
bulk strings, `Status` and `Failure` simple strings and errors.
"""

import itertools
import marshal
import time
from collections import deque

from regears_test import store

real_sleep = time.sleep
TRACEBACK, NO_ASYNC, HOLDS_BYTES = 1, 4, 64
NODE = "0" * 40


class Idle(BaseException):
    """Leaves the serve loop when a test has what it waits for."""


class Status(str):
    def __repr__(self):
        return f"Status({str(self)!r})"


class Failure(str):
    def __repr__(self):
        return f"Failure({str(self)!r})"


class Main:
    def __init__(self):
        self.inbox = deque()
        self.engine = store.Store()
        self.handles = itertools.count(1)
        self.next_registration = 0
        self.registrations = {}
        self.scripts = {}
        self.flows = {}
        self.logs = []
        self.posts = []
        self.options = {}
        self.atomic = None
        self.readers = {}
        self.target = 0
        self.lent = False
        self.wait_is_open = False
        # jobs to be run on top of waits, as soon as one is open
        self.on_top = deque()
        self.flags = TRACEBACK
        self.until = lambda: True
        self.deadline = 0.0

    # the bridge's side

    def put(self, message):
        self.inbox.append(marshal.loads(marshal.dumps(message, 2)))

    def take(self, message):
        kind, *rest = marshal.loads(marshal.dumps(message, 2))
        if kind == "post":
            self.posts.append(rest)
            getattr(self, f"post_{rest[0]}")(*rest[1:])
            return
        sequence, op, *args = rest
        try:
            value = getattr(self, f"call_{op}")(*args)
            status = 2 if store.has_bytes(value) else 0
        except store.CommandError as error:
            status, value = 1, str(error)
        self.put(["reply", sequence, status, value])

    def receive(self, timeout_ms=None, turn=False):
        if self.inbox:
            return self.inbox.popleft()
        if timeout_ms == 0:
            return None
        if timeout_ms is None or self.until() or time.monotonic() > self.deadline:
            raise Idle
        real_sleep(min(timeout_ms / 1000, 0.01))
        return None

    def serve(self, until, seconds=5):
        """Lets Python work until the condition holds."""
        from regears import main

        self.until, self.deadline = until, time.monotonic() + seconds
        try:
            main.prepare()
            main.serve()
        except Idle:
            pass
        assert until(), "Python did not do what the test waits for"

    # calls and posts

    def call_execute(self, args, context):
        name = args[0].upper() if isinstance(args[0], str) else args[0]
        if name == "RG.TRIGGER":
            return self.nested_trigger([store.text(arg) for arg in args[1:]])
        if name == "RG.PYEXECUTE":
            raise store.CommandError("Can not run gears inside a multi exec, lua, or when blocking is not allowed")
        return self.engine.command(args)

    def nested_trigger(self, args):
        registration = self.trigger(args[0])
        flow = next(self.handles)
        self.flows[flow] = {"results": [], "done": None}
        message = ["event", flow, registration, [args], self.flags | NO_ASYNC | HOLDS_BYTES]
        # the runtime runs it while it waits, which is now
        from regears import waits

        waits.accept(["nested", message])
        errors = self.flows[flow]["done"][1]
        if errors:
            raise store.CommandError(errors[0])
        return self.flows[flow]["results"]

    def call_atomic(self, hold, context):
        if hold:
            assert self.atomic is None
            self.atomic = context
        else:
            assert self.atomic == context
            self.atomic = None

    def call_keys_open(self, pattern, no_scan, read_value, context):
        keys = [pattern] if no_scan else self.engine.keys(pattern)
        number = len(self.readers) + 1
        self.readers[number] = (keys, no_scan, read_value)
        return self.call_keys_next(number)

    def call_keys_next(self, number):
        keys, no_scan, read_value = self.readers[number]
        now, rest = keys[:700], keys[700:]
        self.readers[number] = (rest, no_scan, read_value)
        if not rest:
            del self.readers[number]
        if not read_value:
            return [number, bool(rest), now, None, None]
        read = [self.engine.read(key) for key in now]
        types = None if all(kind == "string" for kind, _ in read) else [kind for kind, _ in read]
        return [number, bool(rest), now, types, [value for _, value in read]]

    def post_keys_close(self, number):
        del self.readers[number]

    def call_config_get(self, key):
        return self.options.get(key)

    def call_get_command(self, context):
        raise store.CommandError("Can not get command ctx")

    def call_override_reply(self, value, context):
        raise store.CommandError("Can not get command ctx")

    def call_call_next(self, args, context):
        raise store.CommandError("Can not get CommandHook ctx")

    def call_run(self, steps, context, session):
        flow = next(self.handles)
        self.flows[flow] = {"results": [], "done": None}
        self.put(["start", flow, self.flags])
        return flow

    def call_register(self, builders, spec, context):
        self.next_registration += builders
        if spec.get("trigger") is not None and any(
            other["trigger"] == spec["trigger"] for other in self.registrations.values() if "trigger" in other
        ):
            raise store.CommandError("trigger already registered")
        number = self.next_registration
        self.next_registration += 1
        self.registrations[number] = {**spec, "script": context if context in self.scripts else 0}
        if context not in self.scripts:
            self.put(["registered", 0, number])
        return f"{NODE}-{number}"

    def call_time_event(self, seconds, key, blob, session, context):
        return 7

    def call_timer_begin(self, number):
        return True

    def post_log(self, level, message, _job, _session):
        self.logs.append((level, message))

    def post_script(self, job, error, builders, run, begins):
        mine = [number for number, spec in self.registrations.items() if spec["script"] == job]
        self.scripts[job] = (error, builders, run, bool(mine))
        for number in mine:
            if error is not None:
                del self.registrations[number]
                continue
            self.registrations[number]["script"] = 0
            self.put(["registered", 0, number])
        if run is not None:
            self.flows[job] = {"results": [], "done": None, "steps": run}
            if not begins:
                self.put(["start", job, self.flags])

    def post_results(self, flow, items, _passed):
        self.flows[flow]["results"] += items

    def post_done(self, flow, last, status, errors, total, read, steps, _passed, _goes_on):
        self.flows[flow]["results"] += last
        self.flows[flow]["done"] = (status, errors, total, read, steps)

    def post_waiting(self, flow, _passed):
        self.flows[flow]["waiting"] = True

    def post_running(self, flow):
        self.flows[flow]["waiting"] = False

    def post_open(self):
        if self.on_top and self.wait_is_open:
            self.wait_is_open = False
            self.put(["on_top", self.on_top.popleft()])

    def post_covers(self, job, other):
        assert job != other

    def post_timer(self, number, outcome, text):
        self.flows[f"timer {number}"] = {"done": (outcome, text)}

    def post_restored(self, number, outcome, text):
        self.flows[f"restored {number}"] = {"done": (outcome, text)}

    def post_timer_restored(self, number, outcome, text):
        self.flows[f"timer_restored {number}"] = {"done": (outcome, text)}

    def post_answer(self, job, outcome, text):
        self.flows[f"profile {job}"] = {"done": (outcome, text)}

    # the clients' side

    def trigger(self, name):
        for number, spec in self.registrations.items():
            if spec.get("trigger") == name and not spec["script"]:
                return number
        raise store.CommandError("ERR subcommand not found")

    def begin(self, args):
        """Sends a command; gives a function that tells whether the reply is there, and one that gives it."""
        name = args[0].upper()
        if name == "RG.PYEXECUTE":
            return self.begin_script(args[1], args[2:])
        if name == "RG.TRIGGER":
            return self.begin_trigger(args[1:])
        try:
            reply = self.engine.command(args, client=True)
        except store.CommandError as error:
            reply = Failure(error)
        return (lambda: True), (lambda: reply)

    def begin_script(self, code, options):
        job = next(self.handles)
        self.scripts[job] = None
        session = options[options.index("ID") + 1] if "ID" in options else f"session-{job}"
        code = code.encode() if isinstance(code, str) else code
        self.put(["script", job, session, code, self.flags])

        def ready():
            if self.scripts[job] is None:
                return False
            error, _, run, registered = self.scripts[job]
            return error is not None or run is None or registered or self.flows[job]["done"] is not None

        def reply():
            error, _, run, registered = self.scripts.pop(job)
            if error is not None:
                return Failure(error)
            if run is None or registered:
                return Status("OK")
            return [self.flows[job]["results"], self.flows[job]["done"][1]]

        return ready, reply

    def begin_trigger(self, args):
        try:
            registration = self.trigger(args[0])
        except store.CommandError as error:
            failure = Failure(error)
            return (lambda: True), (lambda: failure)
        flow = next(self.handles)
        self.flows[flow] = {"results": [], "done": None}
        self.put(["event", flow, registration, [list(args)], self.flags | HOLDS_BYTES])

        def reply():
            errors = self.flows[flow]["done"][1]
            return Failure(errors[0]) if errors else [prefixed(item) for item in self.flows[flow]["results"]]

        return (lambda: self.flows[flow]["done"] is not None), reply

    def ask(self, *args, seconds=5):
        """Sends a command and gives its reply."""
        ready, reply = self.begin(list(args))
        self.serve(lambda: ready() and not self.inbox, seconds)
        return reply()


def prefixed(item):
    """The rule by which triggers answer statuses and errors."""
    if isinstance(item, list):
        return [prefixed(part) for part in item]
    if isinstance(item, str) and len(item) > 1 and item[0] in "+-":
        return (Status if item[0] == "+" else Failure)(item[1:])
    return item


OK, ERROR, WITH_BYTES = 0, 1, 2
NOT_HERE, VALUE, BYTES, FAILED, NIL, DONE, LONG, UNSURE = range(8)
WHOLE = 2**29
fd = -1
reading = False
late = []

main = Main()


def reset():
    """A fresh main thread."""
    global main
    main = Main()
    return main


def open():
    pass


def send(message):
    main.take(message)


def send_from_anywhere(message):
    send(message)


def send_late():
    pass


def open_wait():
    main.wait_is_open = True


def close_wait():
    was_open, main.wait_is_open = main.wait_is_open, False
    return was_open


def send_aside(message):
    main.take(message)


def prints_for(_job, _session):
    pass


def receive(timeout_ms=None, turn=False):
    return main.receive(timeout_ms)


def send_and_receive(message):
    main.take(message)
    return main.receive(10)


def write(_fd, _request):
    return NOT_HERE


def ask_engine(_task, _words):
    return NOT_HERE


def answer(outcome):
    raise AssertionError(f"there is no engine that could have answered {outcome}")


def interrupt_target():
    return main.target


def take_thread():
    lent, main.lent = main.lent, False
    return lent
