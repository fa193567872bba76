"""The Python side of Regears: runs gears scripts inside the interpreter of a worker."""
