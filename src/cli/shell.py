"""What `regears shell` sends to the server: a trigger that evaluates lines in a namespace of its own.

The namespace lives as long as the interpreter that the session is in.
"""

import ast
import codeop
import inspect
import json
import linecache
import sys
import traceback
import types

_names = {}
# What was printed and shown by the input that runs.
_output = []
# Values that have to be waited for before they can be shown.
_awaited = []
_inputs = []


def _print(*values, sep=" ", end="\n", file=None, flush=False):
    _output.append((" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end))


def _log(message, level="notice"):
    log(message, level=level)
    _output.append(f"{level}: {message}\n")


def _show(value):
    if value is None:
        return
    if inspect.isawaitable(value):
        _awaited.append(value)
        return
    _names["_"] = value
    _output.append(repr(value) + "\n")


def _prepare():
    _names.update(globals())
    _names.update(print=_print, log=_log, __name__="__shell__")
    for name in list(_names):
        if name.startswith("_") and not name.startswith("__"):
            del _names[name]


def _compile(text):
    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    name = f"<shell-{len(_inputs) + 1}>"
    code = compiler(text, name, "single")
    if code is not None:
        _inputs.append(name)
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    return code


async def _run(code):
    shown = sys.displayhook
    sys.displayhook = _show
    try:
        value = types.FunctionType(code, _names)()
        if inspect.iscoroutine(value):
            await value
    finally:
        sys.displayhook = shown
    while _awaited:
        _show(await _awaited.pop(0))


def _trace(error):
    told = traceback.TracebackException.from_exception(error)
    part, seen = told, set()
    while part is not None and id(part) not in seen:
        seen.add(id(part))
        # neither this script nor the server's runtime is what was typed
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(("<string>", "<regears>"))]
        part = part.__cause__ or part.__context__
    return "".join(told.format())


async def _evaluate(text):
    _output.clear()
    _awaited.clear()
    error = None
    try:
        code = _compile(text)
        if code is None:
            return {"more": True}
        await _run(code)
    except Exception as caught:
        error = _trace(caught)
    return {"output": "".join(_output), "error": error}


def _complete(word):
    place, dot, start = word.rpartition(".")
    if not dot:
        known = {*_names, *vars(_names["__builtins__"])}
    else:
        # attributes only: nothing is called
        value = _names.get(place.partition(".")[0])
        for name in place.split(".")[1:]:
            value = inspect.getattr_static(value, name, None)
        known = dir(value)
    hidden = "" if start else "_"
    return sorted(f"{place}{dot}{name}" for name in known if name.startswith(start) and not (hidden and name.startswith(hidden)))


async def _answer(call):
    if not _names:
        _prepare()
    _, kind, text = call
    return json.dumps({"words": _complete(text)} if kind == "complete" else await _evaluate(text))


GB("CommandReader", desc="regears shell").map(_answer).register(
    trigger=TRIGGER, mode="async_local", convertToStr=False
)
