"""Runs the Python part of a test."""

import ast
import json

from regears import bridge


def as_json(code, inputs):
    """Runs statements with a fresh main thread as `main`; gives the last expression's value as JSON."""
    tree = ast.parse(code)
    names = {"main": bridge.reset(), "inputs": json.loads(inputs), "Status": bridge.Status, "Failure": bridge.Failure}
    last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "<test>", "exec"), names)
    return json.dumps(eval(compile(last, "<test>", "eval"), names), default=_plain)


def _plain(value):
    return {"base64": __import__("base64").b64encode(value).decode()}
