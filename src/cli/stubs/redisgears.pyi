"""The module `redisgears`: the API for modules that scripts import. In scripts it is there already, also as `rg`."""

from typing import Any

from gears import PyFlatExecution as PyFlatExecution
from gears import _Atomic as PyAtomic
from gears import _HeldRecord as PyFuture
from gears import call_next as callNext
from gears import atomic as atomicCtx
from gears import configGet as config_get
from gears import error as GearsError
from gears import execute as executeCommand
from gears import flat_error as flatError
from gears import forcestopped as GearsForceStopped
from gears import gearsCtx as gearsCtx
from gears import gearsFuture as gearsFutureCtx
from gears import get_command as getCommand
from gears import getGearsSession as getGearsSession
from gears import hashtag as getMyHashTag
from gears import isAsyncAllow as isAsyncAllow
from gears import isInAtomicBlock as isInAtomicBlock
from gears import log as log
from gears import override_reply as overrideReply
from gears import registerGearsThread as registerGearsThread
from gears import registerTE as registerTimeEvent
from gears import setGearsSession as setGearsSession

class GearsFlatError(Exception):
    """What `flat_error` raises: its text is shown as it is."""

class PyExecutionSession:
    """What `getGearsSession` gives."""

def _saveGlobals(*_: Any) -> int: ...
