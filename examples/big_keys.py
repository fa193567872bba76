# The ten keys that take the most memory.
#
#   redis-cli -x RG.PYEXECUTE < examples/big_keys.py
#
# Each result is "bytes type key", the largest first. It runs in the background of a busy server, too:
#
#   id=$(redis-cli --raw RG.PYEXECUTE "$(cat examples/big_keys.py)" UNBLOCKING)
#   redis-cli RG.GETRESULTSBLOCKING "$id"
import heapq

SHOWN = 10


def measure(key):
    # A key that has gone since it was seen has no size.
    return (execute('MEMORY', 'USAGE', key) or 0, execute('TYPE', key), key)


def keep_largest(largest, item):
    return heapq.nlargest(SHOWN, (largest or []) + [item])


(
    GB('KeysOnlyReader')
    .map(measure)
    .accumulate(keep_largest)
    # flatmap gives the elements of a list from its end.
    .flatmap(lambda largest: largest[::-1])
    .map(lambda item: f'{item[0]} {item[1]} {item[2]}')
    .run()
)
