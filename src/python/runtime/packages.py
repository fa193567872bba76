"""Packages for scripts. They are brought in before the first script runs, and compiled in interpreters that run no scripts."""

import importlib
import importlib._bootstrap_external as _importer
import sys
import warnings

from . import bridge, calls

_FOLDER = "/packages"
# A hash of the source in the head of a file of bytecode. It is never checked: both files are in a pack that nobody can change.
_UNCHECKED = bytes(8)


def bring_in():
    """Makes the packages importable that the main thread has given to this interpreter."""
    if bridge.load_packages() > 0 and _FOLDER not in sys.path:
        sys.path.append(_FOLDER)
        importlib.invalidate_caches()


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
