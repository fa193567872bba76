"""Callbacks as bytes: functions and classes by value, with what they refer to; everything importable by its name.

A registration is packed with its functions' globals as they are at that moment. The namespace of the session itself is only
named in the bytes: whoever unpacks them gives a session, whose namespace all its registrations share again.
"""

import abc
import dataclasses
import dis
import enum
import importlib
import importlib.util
import io
import marshal
import pickle
import sys
import types

from . import composed
from .context import BASE_GLOBALS
from .errors import GearsError, bare_text
from .loop import MAIN
from .records import Step

# Longest function or flow that the main thread keeps; mirrored in messages.ts.
_MAX_BYTES = 64 * 1_048_576
# Code objects only load in the Python that made them.
_HEADER = b"RGF1" + importlib.util.MAGIC_NUMBER

_GLOBAL_OPS = frozenset(("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))
_NOT_OURS = frozenset(("not_main", "__main__", None))
_DROPPED = frozenset(
    (
        "__dict__", "__weakref__", "__module__", "__slots__", "__abstractmethods__", "_abc_impl", "__annotate__",
        "__annotate_func__", "__annotations__", "__annotations_cache__", "__static_attributes__", "__firstlineno__",
        "__classdictcell__",
    )
)  # fmt: skip
_ENUM_INTERNALS = frozenset(
    (
        "_generate_next_value_", "_member_names_", "_member_map_", "_member_type_", "_value2member_map_",
        "_unhashable_values_", "_unhashable_values_map_", "_hashable_values_", "_new_member_", "_use_args_",
        "_value_repr_", "__new__", "_flag_mask_", "_singles_mask_", "_all_bits_", "_boundary_", "_inverted_",
    )
)  # fmt: skip
# Module and name of each object of the API, by its identity: the objects themselves name other modules. The api module fills it.
PLACES = {}
_SENTINELS = {
    id(getattr(dataclasses, name)): name
    for name in ("MISSING", "KW_ONLY", "_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR", "_HAS_DEFAULT_FACTORY")
}


def pack_registration(session, reader, steps, on_registered):
    """A registration's flow as bytes. Raises `gears.error` that names the callback which can not be packed."""
    flow = [
        (step.kind, None if step.kind == "text" else step.function, step.extractor, step.start, step.length)
        for step in steps
    ]
    try:
        packed = _pack(session, (reader, flow, on_registered))
    except BaseException as error:
        callbacks = [item for _, function, extractor, *_ in flow for item in (function, extractor)]
        for callback in (*callbacks, on_registered):
            _pack_callback(session, callback)
        raise _failure("", error) from None
    return _checked(packed)


def unpack_registration(session, blob):
    """Unpacks a registration: reader, steps, onRegistered. Raises `gears.error` when another version of Python has packed it."""
    reader, flow, on_registered = _unpack(session, blob)
    steps = [
        Step(kind, _as_text if kind == "text" else function, extractor, start, length)
        for kind, function, extractor, start, length in flow
    ]
    return reader, tuple(steps), on_registered


def pack_function(session, function):
    """One callback as bytes. Raises `gears.error`."""
    return _checked(_pack_callback(session, function))


def _checked(packed):
    if len(packed) > _MAX_BYTES:
        raise GearsError(f"its functions, with what they refer to, may have at most {_MAX_BYTES} bytes")
    return packed


def unpack_function(session, blob):
    """Unpacks one callback."""
    return _unpack(session, blob)


class Pickler(pickle.Pickler):
    """Pickles by value the functions and classes that can not be imported. Subclasses can override `function`, `built_in`, `enum`
    and `plain_class`, each of which gives what a `__reduce__` would give."""

    # functions that reduce objects which pickle alone refuses, by their type
    reducers = {}

    def __init__(self, file, protocol=None, buffer_callback=None, session=None):
        super().__init__(file, pickle.HIGHEST_PROTOCOL if protocol is None else protocol)
        self._session = session
        # namespaces that functions have besides the session's, by identity
        self._spaces = {}

    def persistent_id(self, value):
        if self._session is None:
            return None
        if value is self._session.globals:
            return "globals"
        return "loop" if value is MAIN else None

    def reducer_override(self, value):
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            # `__main__` has another name in its own `__name__`
            name = "__main__" if value is sys.modules.get("__main__") else value.__name__
            if sys.modules.get(name) is not value:
                raise pickle.PicklingError(f"cannot pickle module '{name}', which can not be imported")
            return importlib.import_module, (name,)
        reduce = self.reducers.get(type(value))
        if reduce is not None:
            return reduce(value)
        name = _SENTINELS.get(id(value))
        return NotImplemented if name is None else (getattr, (dataclasses, name))

    def _function(self, function):
        recipe = function.__dict__.get("__recipe__")
        if recipe is not None:
            return composed.remake, recipe
        if id(function) in PLACES:
            return _found(function)
        return NotImplemented if _importable(function) else self.function(function)

    def function(self, function):
        """A function by value."""
        space = function.__globals__
        own = self._session is not None and space is self._session.globals
        used, modules = referred(function, BASE_GLOBALS if own else {})
        state = {
            "globals": used,
            "modules": modules,
            "defaults": function.__defaults__,
            "kwdefaults": function.__kwdefaults__,
            "dict": function.__dict__,
            "doc": function.__doc__,
        }
        code = marshal.dumps(function.__code__)
        made = (code, space if own else self.space(space), function.__name__, function.__qualname__)
        return make_function, (*made, function.__module__, function.__closure__), state, None, None, set_function

    def space(self, space):
        """A copy of a namespace that has only the names which say where it is; the same copy for the same original."""
        if id(space) not in self._spaces:
            kept = {name: space[name] for name in ("__name__", "__package__", "__file__") if name in space}
            # the original is kept alive, so that nothing else can get its identity
            self._spaces[id(space)] = (kept, space)
        return self._spaces[id(space)][0]

    def _class(self, cls):
        if cls in _SPECIAL_TYPES:
            return type, (_SPECIAL_TYPES[cls],)
        if cls in _BUILT_IN:
            return self.built_in(_BUILT_IN[cls])
        if id(cls) in PLACES:
            return _found(cls)
        if _importable(cls):
            return NotImplemented
        space = dict(cls.__dict__)
        if issubclass(cls, enum.Enum):
            members = {name: member.value for name, member in cls.__members__.items()}
            return self.enum(cls, members, _kept(space, _DROPPED | _ENUM_INTERNALS | members.keys()))
        slots = space.get("__slots__", ())
        slots = (slots,) if isinstance(slots, str) else tuple(slots)
        attributes = _kept(space, _DROPPED | set(slots))
        return self.plain_class(cls, slots if "__slots__" in space else None, attributes)

    def built_in(self, name):
        """A class that can only be found in the module `types`."""
        return getattr, (types, name)

    def enum(self, cls, members, attributes):
        """An enumeration by value."""
        made = (type(cls), cls.__name__, cls.__bases__, cls.__module__, cls.__qualname__, members)
        return make_enum, made, attributes, None, None, set_class

    def plain_class(self, cls, slots, attributes):
        """Any other class by value; `slots` is None when the class has none."""
        made = (type(cls), cls.__name__, cls.__bases__, cls.__module__, cls.__qualname__, slots)
        return make_class, made, attributes, None, None, set_class


def referred(function, base):
    """The globals that a function refers to, without those that are the same in `base`; and the names of submodules that the
    function reaches as attributes of modules among these globals."""
    names, attributes = set(), set()
    _find_names(function.__code__, names, attributes)
    space = function.__globals__
    used = {name: space[name] for name in names if name in space and space[name] is not base.get(name, _NOWHERE)}
    used.pop("__builtins__", None)
    return used, _submodules(used, attributes)


def make_function(code, space, name, qualname, module, closure):
    space.setdefault("__builtins__", sys.modules["builtins"])
    function = types.FunctionType(marshal.loads(code), space, name, None, closure)
    function.__qualname__ = qualname
    function.__module__ = module
    return function


def set_function(function, state):
    space = function.__globals__
    for name in state["modules"]:
        importlib.import_module(name)
    for name, value in state["globals"].items():
        # a value that another registration of the session has brought is shared
        if name not in space or space[name] is BASE_GLOBALS.get(name, _NOWHERE):
            space[name] = value
    function.__defaults__ = state["defaults"]
    function.__kwdefaults__ = state["kwdefaults"]
    function.__dict__.update(state["dict"])
    function.__doc__ = state["doc"]


def make_cell():
    return types.CellType()


def set_cell(cell, state):
    if state:
        cell.cell_contents = state[0]


def make_class(kind, name, bases, module, qualname, slots):
    space = {"__module__": module, "__qualname__": qualname}
    if slots is not None:
        space["__slots__"] = slots
    return types.new_class(name, bases, {"metaclass": kind}, lambda made: made.update(space))


def make_enum(kind, name, bases, module, qualname, members):
    space = kind.__prepare__(name, bases)
    space["__module__"], space["__qualname__"] = module, qualname
    for member, value in members.items():
        space[member] = value
    return kind.__new__(kind, name, bases, space)


def set_class(cls, state):
    for name, value in state.items():
        type.__setattr__(cls, name, value)
    if isinstance(cls, abc.ABCMeta):
        abc.update_abstractmethods(cls)


def _found(value):
    """What finds an object of the API again when it is unpacked."""
    module, name = PLACES[id(value)]
    return getattr, (sys.modules[module], name)


def _as_text(record):
    return str(record)


_NOWHERE = object()

# Classes that name `builtins` as their module, but can only be found in `types`.
_BUILT_IN = {value: name for name, value in vars(types).items() if isinstance(value, type)}
_SPECIAL_TYPES = {type(None): None, type(...): ..., type(NotImplemented): NotImplemented}


def _cell(cell):
    try:
        state = (cell.cell_contents,)
    except ValueError:
        state = None
    return make_cell, (), state, None, None, set_cell


Pickler.reducers = {
    types.CellType: _cell,
    types.CodeType: lambda code: (marshal.loads, (marshal.dumps(code),)),
    staticmethod: lambda method: (staticmethod, (method.__func__,)),
    classmethod: lambda method: (classmethod, (method.__func__,)),
    property: lambda value: (property, (value.fget, value.fset, value.fdel, value.__doc__)),
    types.MappingProxyType: lambda value: (types.MappingProxyType, (dict(value),)),
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, session):
        super().__init__(file)
        self._session = session

    def persistent_load(self, name):
        return self._session.globals if name == "globals" else MAIN


def _pack(session, value):
    file = io.BytesIO()
    file.write(_HEADER)
    Pickler(file, session=session).dump(value)
    return file.getvalue()


def _unpack(session, blob):
    if not blob.startswith(_HEADER):
        raise GearsError("Registration was serialised by another version of Python")
    return _Unpickler(io.BytesIO(blob[len(_HEADER) :]), session).load()


def _pack_callback(session, callback):
    try:
        return _pack(session, callback)
    except BaseException as error:
        raise _failure(getattr(callback, "__name__", ""), error) from None


def _failure(name, error):
    return GearsError(f"Error occured when serialized a python callback, callback={name} error={bare_text(error)}")


def _importable(value):
    """Can this value be found by its module and name in any interpreter?"""
    module = getattr(value, "__module__", None)
    if module in _NOT_OURS:
        return False
    found = sys.modules.get(module)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _find_names(code, names, attributes):
    """The global names that a function's code uses, and all names that could be attributes."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL_OPS:
            names.add(instruction.argval)
    attributes.update(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _find_names(constant, names, attributes)


def _submodules(used, attributes):
    """Modules that are reached as attributes of used modules: importing the used modules alone would not load them."""
    packages = [value.__name__ for value in used.values() if isinstance(value, types.ModuleType)]
    names = (f"{package}.{attribute}" for package in packages for attribute in attributes)
    return [name for name in names if name in sys.modules]


def _kept(space, dropped):
    skip = (types.MemberDescriptorType, types.GetSetDescriptorType)
    return {name: value for name, value in space.items() if name not in dropped and not isinstance(value, skip)}
