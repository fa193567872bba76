"""Makes the names of gears.pyi known in all scripts of this folder, for pyright and Pylance."""

from gears import *
