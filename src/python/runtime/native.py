"""Makes functions and classes look as in RedisGears. There most functions of the API are written in C and belong to the module
`redisgears`; those that are written in Python belong to the namespace of scripts, `not_main`."""

import functools
from types import FunctionType

_in_c = set()


def in_c(name):
    """Gives a function the name that it has in RedisGears, where it is written in C."""

    def dress(function):
        function.__name__ = function.__qualname__ = name
        function.__module__ = "redisgears"
        _in_c.add(function)
        return function

    return dress


def is_function(value):
    """Can this be a callback? Only functions that are written in Python can."""
    return type(value) is FunctionType and value not in _in_c


def in_python(value):
    """Makes a function, or a class with its methods, look like one that RedisGears has in Python."""
    return _in_module(value, "not_main")


def also_named(**names):
    """Lets a function take arguments under further names: `also_named(value="res")`."""

    def take(function):
        @functools.wraps(function)
        def taking(*args, **keywords):
            return function(*args, **{names.get(name, name): value for name, value in keywords.items()})

        return taking

    return take


def class_in_c(name):
    """Makes a class look like one that RedisGears has in C: its objects stand for something in the server, and can not
    be pickled."""

    def dress(kind):
        kind.__name__ = kind.__qualname__ = name
        kind.__reduce_ex__ = _refuse_to_pickle
        return _in_module(kind, "redisgears")

    return dress


def _in_module(value, module):
    methods = [method for method in vars(value).values() if type(method) is FunctionType]
    for part in (value, *methods):
        part.__module__ = module
    return value


def _refuse_to_pickle(self, _protocol):
    raise TypeError(f"cannot pickle '{type(self).__name__}' object")
