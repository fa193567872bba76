"""Replays recorded conversations (test/conformance) as far as the fake main thread knows their commands."""

import base64
import json
import re
import time

from regears import bridge

from regears_test import store

KNOWN = frozenset(name[3:].upper() for name in dir(store.Store) if name.startswith("do_")) | {
    "RG.PYEXECUTE", "RG.TRIGGER",
}  # fmt: skip
OPTIONS = frozenset(("ID", "DESCRIPTION", "REQUIREMENTS"))


def replay(case):
    """Runs one conversation. Gives None, or what was different."""
    main = bridge.reset()
    pending = {}
    saved = {}
    for step in case["steps"]:
        on = step.get("on", "main")
        if "until" in step:
            end = time.monotonic() + 3
            got = _shown(main.ask(*_arguments(step["until"], saved)))
            while step.get("contains", "") not in json.dumps(got) and time.monotonic() < end:
                main.serve(lambda: True)
                got = _shown(main.ask(*_arguments(step["until"], saved)))
        elif "send" not in step and "sleep" in step:
            before = time.monotonic()
            main.serve(lambda: time.monotonic() > before + step["sleep"] / 1000)
            continue
        elif "send" not in step:
            ready, reply = pending[on].pop(0)
            main.serve(ready)
            got = _shown(reply())
        else:
            begun = main.begin(_arguments(step["send"], saved))
            if step.get("later"):
                pending.setdefault(on, []).append(begun)
                main.serve(lambda: not main.inbox)
                continue
            ready, reply = begun
            main.serve(ready)
            got = _shown(reply())
        want = step.get("reply")
        for name in step.get("normalise", ()):
            got, want = NORMALISERS[name](got), NORMALISERS[name](want)
        if got != want:
            return {"sent": step.get("send", step.get("until")), "want": want, "got": got}
    return None


def playable(case):
    """Does the fake main thread know everything that this conversation needs?"""
    for step in case["steps"]:
        if "close" in step or "save" in step:
            return False
        command = step.get("send") or step.get("until")
        if command is None:
            continue
        if str(command[0]).upper() not in KNOWN:
            return False
        if command[0] == "RG.PYEXECUTE":
            if any(isinstance(word, str) and word.upper() not in OPTIONS and word.isupper() for word in command[2:]):
                return False
            if isinstance(command[1], str) and re.search(r"RG\.(?!TRIGGER|PYEXECUTE)|[Ii]nfo\b|eval'|publish", command[1]):
                return False
            if "is missing" in str(step.get("reply")):
                return False
    return True


def _arguments(command, saved):
    return [base64.b64decode(word["base64"]) if isinstance(word, dict) else word for word in command]


def _shown(reply):
    if isinstance(reply, bridge.Status):
        return {"status": str(reply)}
    if isinstance(reply, bridge.Failure):
        return {"error": str(reply)}
    if isinstance(reply, list):
        return [_shown(item) for item in reply]
    if isinstance(reply, bytes):
        try:
            return reply.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(reply).decode()}
    return reply


def _strings(value, change):
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    return value


def _last_line(text):
    if not text.startswith("['Traceback"):
        return text
    last = re.search(r"(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\]$", text, re.DOTALL)
    return f"<traceback> {(last[1] if last[1] is not None else last[2]) if last else text}"


def _kind(text):
    text = _last_line(text)
    if text.startswith("<traceback> "):
        return re.sub(r"^(<traceback> [\w.]+).*$", r"\1", text, flags=re.DOTALL)
    return re.sub(r"^(Error type: <class '[\w.]+'>).*$", r"\1", text, flags=re.DOTALL)


def _sorted_results(value):
    if isinstance(value, list) and value and isinstance(value[0], list):
        return [sorted(value[0], key=json.dumps), *value[1:]]
    return value


NORMALISERS = {
    "addresses": lambda value: _strings(value, lambda text: re.sub(r"0x[0-9a-f]+", "0x", text)),
    "traceback": lambda value: _strings(value, _last_line),
    "errorKind": lambda value: _strings(value, _kind),
    "sortedResults": _sorted_results,
    "type": lambda value: type(value).__name__,
}
