# Deletes the keys that match a pattern, a few at a time, so that other clients are served meanwhile (KEYS and DEL would
# hold them up). Without further notice it only counts; say so to make it delete:
#
#   redis-cli MSET session:1 x session:2 x
#   redis-cli RG.CONFIGSET DeletePattern 'session:*' DeleteConfirm yes
#   redis-cli -x RG.PYEXECUTE < examples/delete_by_pattern.py
#   # 1) 1) "2"
#   # 2) (empty array)
#   redis-cli RG.CONFIGSET DeleteConfirm no
#
# The result is the number of keys, or nothing when no key matches.
PATTERN = gearsConfigGet('DeletePattern', 'tmp:*')
CONFIRMED = gearsConfigGet('DeleteConfirm', 'no') == 'yes'


def delete(key):
    # False for a key that somebody else deleted first: it does not count.
    return not CONFIRMED or execute('UNLINK', key) == 1


(
    GB('KeysOnlyReader')
    .filter(delete)
    .count()
    .run(PATTERN)
)
