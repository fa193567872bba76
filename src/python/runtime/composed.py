"""The functions behind the builder's composed operations.

Each is made by a factory of this module and remembers how (`__recipe__`), so that a registration can be made again in
another interpreter without packing the code of these functions.
"""

import copy

_ATOMS = frozenset((int, float, str, bytes, bool, type(None), complex))


def recipe(factory):
    """Decorates a factory: each function that it makes gets a note of how to make it again."""

    def make(*args):
        function = factory(*args)
        function.__recipe__ = (factory.__name__, args)
        return function

    FACTORIES[factory.__name__] = make
    return make


FACTORIES = {}


def remake(name, args):
    """Makes a function again from the note that `recipe` put on it."""
    return FACTORIES[name](*args)


def _zero(value):
    """A function that gives each accumulator a copy of its own of the zero value."""
    if type(value) in _ATOMS or (type(value) is tuple and all(type(item) in _ATOMS for item in value)):
        return lambda: value
    return lambda: copy.deepcopy(value)


@recipe
def folding(zero, operation):
    """For `aggregate`: folds records, or folded values, into one."""
    fresh = _zero(zero)
    return lambda value, record: operation(value or fresh(), record)


@recipe
def folding_by_key(zero, operation):
    """For `aggregateby`: folds the records of a key."""
    fresh = _zero(zero)
    return lambda key, value, record: operation(key, value or fresh(), record)


@recipe
def folding_groups(zero, operation):
    """For `aggregateby`: folds the groups of a key."""
    fresh = _zero(zero)
    return lambda key, value, record: operation(key, value or fresh(), record["value"])


@recipe
def group_key():
    return lambda record: record["key"]


@recipe
def counting():
    return lambda count, _record: 1 + (count or 0)


@recipe
def adding():
    return lambda total, record: record + (total or 0)


@recipe
def itself():
    return lambda record: record


@recipe
def calling(function):
    return lambda record: function(record)


@recipe
def as_float():
    return lambda record: float(record)


@recipe
def counting_key():
    return lambda _key, count, _record: 1 + count


@recipe
def adding_counts():
    return lambda _key, count, other: other + count


@recipe
def summing():
    return lambda pair, value: (pair[0] + value, pair[1] + 1)


@recipe
def adding_pairs():
    return lambda pair, other: (pair[0] + other[0], pair[1] + other[1])


@recipe
def dividing():
    return lambda pair: pair[0] / pair[1]


@recipe
def appending():
    return lambda items, record: items.append(record) or items


@recipe
def concatenating():
    return lambda items, more: items + more


@recipe
def sorting(reverse):
    return lambda items: sorted(items, reverse=reverse)


@recipe
def joining():
    return lambda found, record: found.add(record) or found


@recipe
def uniting():
    return lambda found, more: found | more


@recipe
def listing():
    return lambda found: list(found)
