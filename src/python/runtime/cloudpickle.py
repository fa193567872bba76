"""The module `cloudpickle` for scripts and for clients that send pickled functions (gearsclient).

Pickles made by the real package must load here, and results that are pickled here must load there. Pickles name the
functions that put objects together, so those are here under the same names: this file follows the names and arguments
of cloudpickle 3's format.
"""

import abc
import collections
import dis
import importlib
import importlib.machinery
import io
import os
import pickle
import sys
import types
import typing
import weakref

from . import serialise
from .errors import GearsError

load, loads = pickle.load, pickle.loads
__version__ = "3.1"
_EMPTY = object()
# Classes by the id that the pickling side gave them, so that a class which comes twice, or back, is one class.
_classes = weakref.WeakValueDictionary()
_ids = weakref.WeakKeyDictionary()


def dump(value, file, protocol=None, buffer_callback=None):
    """Like `pickle.dump`, but with functions and classes by value."""
    Pickler(file, protocol).dump(value)


def dumps(value, protocol=None, buffer_callback=None):
    """Like `pickle.dumps`, but with functions and classes by value."""
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


class Pickler(serialise.Pickler):
    """Writes what the real package reads."""

    def function(self, function):
        used, modules = serialise.referred(function, {})
        slots = {
            **{name: getattr(function, name) for name in _FUNCTION_SLOTS},
            "__annotations__": _annotations(function),
            "_cloudpickle_submodules": [sys.modules[name] for name in modules],
            "__globals__": used,
        }
        cells = function.__closure__ and tuple(types.CellType() for _ in function.__closure__)
        made = (function.__code__, self.space(function.__globals__), None, None, cells)
        return _make_function, made, (function.__dict__, slots), None, None, _function_setstate

    def built_in(self, name):
        return _builtin_type, (name,)

    def enum(self, cls, members, attributes):
        made = (cls.__bases__, cls.__name__, cls.__qualname__, members, cls.__module__, _tracker(cls), None)
        return _make_skeleton_enum, made, (attributes, {}), None, None, _class_setstate

    def plain_class(self, cls, slots, attributes):
        space = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        if slots is not None:
            space["__slots__"] = slots
        if isinstance(cls, abc.ABCMeta):
            attributes["__abstractmethods__"] = cls.__abstractmethods__
        made = (type(cls), cls.__name__, cls.__bases__, space, _tracker(cls), None)
        return _make_skeleton_class, made, (attributes, {}), None, None, _class_setstate


CloudPickler = Pickler
_FUNCTION_SLOTS = (
    "__name__", "__qualname__", "__kwdefaults__", "__defaults__", "__module__", "__doc__", "__closure__",
)  # fmt: skip
# The arguments of a code object's constructor, in its order.
_CODE = (
    "argcount", "posonlyargcount", "kwonlyargcount", "nlocals", "stacksize", "flags", "code", "consts", "names",
    "varnames", "filename", "name", "qualname", "firstlineno", "linetable", "exceptiontable", "freevars", "cellvars",
)  # fmt: skip


def _annotations(function):
    try:
        return function.__annotations__
    except Exception:  # noqa: BLE001 - annotations are evaluated here, and may be any code
        return {}


def _cell(cell):
    try:
        return _make_cell, (cell.cell_contents,)
    except ValueError:
        return _make_empty_cell, ()


def _tracker(cls):
    if cls not in _ids:
        _tracked(os.urandom(16).hex(), cls)
    return _ids[cls]


def subimport(name):
    return importlib.import_module(name)


def dynamic_subimport(name, variables):
    module = types.ModuleType(name)
    vars(module).update(variables)
    module.__dict__["__builtins__"] = sys.modules["builtins"].__dict__
    return module


def _builtin_type(name):
    if name == "CodeType":
        return _checked_code
    return type if name == "ClassType" else getattr(types, name)


def _checked_code(*args):
    """Makes a code object, unless another version of Python compiled it, whose byte code could do anything here."""
    made_by = _compiled_by(args)
    if made_by is not None:
        raise GearsError(
            f"The pickled function was compiled by {made_by}; this server runs Python {_OURS}, "
            f"and functions can only be sent from Python {_OURS}"
        )
    return types.CodeType(*args)


_OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
# The versions of Python by the number of arguments that a code object's constructor takes; None: the version that runs here.
_ARGUMENTS = {15: "Python 3.7 or older", 16: "Python 3.8, 3.9 or 3.10", 18: None}
# Since Python 3.11 the first instruction, apart from those of _BEFORE_RESUME, is RESUME, whose number changes with most versions.
_RESUME = dis.opmap["RESUME"]
_BEFORE_RESUME = frozenset(dis.opmap[name] for name in ("MAKE_CELL", "COPY_FREE_VARS", "RETURN_GENERATOR", "POP_TOP"))
# RESUME in other versions, looked for in this order: 149 is COPY_FREE_VARS in 3.11, and stands before 151 there.
_RESUME_ELSEWHERE = {151: "Python 3.11 or 3.12", 149: "Python 3.13"}


def _compiled_by(args):
    """The other version of Python that compiled the code; None when it was this version."""
    other = _ARGUMENTS.get(len(args), "another version of Python")
    if other is not None:
        return other
    code = args[6]
    if not isinstance(code, bytes):
        return "another version of Python"
    operations = code[::2]
    first = next((operation for operation in operations if operation not in _BEFORE_RESUME), None)
    if first == _RESUME:
        return None
    begin = operations[:64]
    return next((name for resume, name in _RESUME_ELSEWHERE.items() if resume in begin), "another version of Python")


def _from_old(*_):
    raise GearsError(f"The pickle was made by an old cloudpickle; functions can only be sent from Python {_OURS}")


# Names of cloudpickle before version 2. A pickle that calls them was made by an older Python than the one here.
_fill_function = _make_skel_func = _rehydrate_skeleton_class = _from_old


def _gen_ellipsis():
    return ...


def _gen_not_implemented():
    return NotImplemented


def _make_empty_cell():
    return types.CellType()


def _make_cell(value=_EMPTY):
    return types.CellType() if value is _EMPTY else types.CellType(value)


def _cell_set(cell, value):
    cell.cell_contents = value


def _make_function(code, globals, name, argdefs, closure):
    globals["__builtins__"] = sys.modules["builtins"]
    return types.FunctionType(code, globals, name, argdefs, closure)


def _function_setstate(function, state):
    attributes, slots = state
    function.__dict__.update(attributes)
    used = slots.pop("__globals__")
    closure = slots.pop("__closure__")
    # the modules were in the pickle only to be imported
    slots.pop("_cloudpickle_submodules", None)
    function.__globals__.update(used)
    function.__globals__["__builtins__"] = sys.modules["builtins"]
    for cell, given in zip(function.__closure__ or (), closure or ()):
        try:
            cell.cell_contents = given.cell_contents
        except ValueError:
            continue
    for name, value in slots.items():
        setattr(function, name, value)


def _make_skeleton_class(type_constructor, name, bases, type_kwargs, class_tracker_id, extra):
    made = types.new_class(name, bases, {"metaclass": type_constructor}, lambda space: space.update(type_kwargs))
    return _tracked(class_tracker_id, made)


def _make_skeleton_enum(bases, name, qualname, members, module, class_tracker_id, extra):
    kind = type(bases[-1])
    return _tracked(class_tracker_id, serialise.make_enum(kind, name, bases, module, qualname, members))


def _class_setstate(cls, state):
    attributes, _ = state
    registry = None
    for name, value in attributes.items():
        if name == "_abc_impl":
            registry = value
        else:
            setattr(cls, name, value)
    for subclass in registry or ():
        cls.register(subclass)
    return cls


def _make_typevar(name, bound, constraints, covariant, contravariant, class_tracker_id):
    made = typing.TypeVar(name, *constraints, bound=bound, covariant=covariant, contravariant=contravariant)
    return _tracked(class_tracker_id, made)


def _make_dict_keys(items, is_ordered=False):
    return (collections.OrderedDict if is_ordered else dict).fromkeys(items).keys()


def _make_dict_values(items, is_ordered=False):
    return (collections.OrderedDict if is_ordered else dict)(enumerate(items)).values()


def _make_dict_items(items, is_ordered=False):
    return (collections.OrderedDict if is_ordered else dict)(items).items()


def _get_dataclass_field_type_sentinel(name):
    import dataclasses

    return getattr(dataclasses, name)


def register_pickle_by_value(_module):
    """Does nothing: what can be imported is always pickled by its name here."""


unregister_pickle_by_value = register_pickle_by_value


def _tracked(tracker, made):
    if tracker is None:
        return made
    kept = _classes.setdefault(tracker, made)
    _ids[kept] = tracker
    return kept


_DICT, _ORDERED = {}, collections.OrderedDict()
Pickler.reducers = {
    **serialise.Pickler.reducers,
    types.CellType: _cell,
    types.CodeType: lambda code: (types.CodeType, tuple(getattr(code, f"co_{name}") for name in _CODE)),
    type(_DICT.keys()): lambda view: (_make_dict_keys, (list(view),)),
    type(_DICT.values()): lambda view: (_make_dict_values, (list(view),)),
    type(_DICT.items()): lambda view: (_make_dict_items, (dict(view),)),
    type(_ORDERED.keys()): lambda view: (_make_dict_keys, (list(view), True)),
    type(_ORDERED.values()): lambda view: (_make_dict_values, (list(view), True)),
    type(_ORDERED.items()): lambda view: (_make_dict_items, (dict(view), True)),
}


def install():
    """Makes this importable as `cloudpickle` and, like there, `cloudpickle.cloudpickle`."""
    module = sys.modules[__name__]
    for value in list(vars(module).values()):
        if isinstance(value, (types.FunctionType, type)) and value.__module__ == __name__:
            # pickles name these functions by their place in the real package
            value.__module__ = "cloudpickle.cloudpickle"
    vars(module)["cloudpickle"] = module
    # it prints as what it stands for
    module.__name__, module.__spec__ = "cloudpickle", importlib.machinery.ModuleSpec("cloudpickle", None, origin="built-in")
    for name in ("cloudpickle", "cloudpickle.cloudpickle", "cloudpickle.cloudpickle_fast"):
        sys.modules[name] = module


__all__ = ("CloudPickler", "Pickler", "dump", "dumps", "load", "loads", "subimport")
