"""Packages for scripts. They are brought in before the first script runs, and compiled in interpreters that run no scripts."""

import gc
import importlib
import importlib._bootstrap_external as _importer
import json
import os
import sys
import warnings

from . import bridge, calls, cloudpickle, loader

_FOLDER = "/packages"
# A hash of the source in the head of a file of bytecode. It is never checked: both files are in a pack that nobody can change.
_UNCHECKED = bytes(8)


def bring_in():
    """Makes the packages importable that the main thread has given to this interpreter."""
    if bridge.load_packages() > 0:
        _offer()


def preload(names):
    """Imports modules into the snapshot of all interpreters. Takes a JSON list of them."""
    with loader.hidden():
        _offer()
        for name in json.loads(names):
            try:
                importlib.import_module(name)
            except BaseException as error:  # noqa: BLE001 - it is any code
                print(f"{name} can not be imported beforehand: {error!r}")
    gc.collect()


def _offer():
    """The folder has got files."""
    if _FOLDER not in sys.path:
        sys.path.append(_FOLDER)
    importlib.invalidate_caches()
    for name in ("cloudpickle", "gearsclient"):
        if os.path.exists(f"{_FOLDER}/{name}") and not _is_real(name):
            _use_real(name)


def _is_real(name):
    return str(getattr(sys.modules.get(name), "__file__", "")).startswith(f"{_FOLDER}/")


def _use_real(name):
    """Puts the real package in the place of the module that comes with the server, if it can be imported."""
    ours = {key: sys.modules.pop(key) for key in list(sys.modules) if key.partition(".")[0] == name}
    try:
        importlib.import_module(name)
        if name == "cloudpickle":
            _guard(sys.modules["cloudpickle.cloudpickle"])
    except BaseException as error:  # noqa: BLE001 - it is any code
        for key in list(sys.modules):
            if key.partition(".")[0] == name:
                del sys.modules[key]
        sys.modules.update(ours)
        text = f"{name} of /packages can not be used, and what comes with the server is used in its place: {error!r}"
        if bridge.fd < 0:
            print(text)
        else:
            calls.log("warning", text)


def _guard(real):
    """Byte code of another version of Python is refused, as it is without the real package: it could do anything here. Raises when
    the package does not work with this version itself."""
    plain = real._builtin_type

    def checked(name):
        return cloudpickle._builtin_type(name) if name == "CodeType" else plain(name)

    # pickles name it by its place
    checked.__module__, checked.__name__, checked.__qualname__ = real.__name__, plain.__name__, plain.__qualname__
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "cloudpickle" and vars(module).get("_builtin_type") is plain:
            module._builtin_type = checked
    package = sys.modules["cloudpickle"]
    limit = sys.getrecursionlimit()
    try:
        # those that know nothing of this version of Python go round in circles
        sys.setrecursionlimit(500)
        package.loads(package.dumps(lambda: None))()
    finally:
        sys.setrecursionlimit(limit)


def compile_module(number, path, source):
    """Compiles one module, and sends the contents of its file of bytecode."""
    try:
        # warnings about a package's source do not concern its users
        warnings.simplefilter("ignore")
        code = compile(source, f"{_FOLDER}/{path}", "exec", dont_inherit=True)
        compiled = bytes(_importer._code_to_hash_pyc(code, _UNCHECKED, False))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        compiled = None
    calls.post("compiled", number, compiled)
