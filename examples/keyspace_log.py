# A reliable log of what happens to keys. Keyspace notifications by PUBLISH are lost when nobody listens; these are messages
# of a stream, written within the command that caused them, numbered without gaps, and read whenever a consumer likes.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/keyspace_log.py)" ID keyspace_log
#   redis-cli SET order:1 new EX 60
#   redis-cli RENAME order:1 order:2
#   redis-cli XRANGE log:events - +
#   redis-cli XGROUP CREATE log:events billing 0
#   redis-cli XREADGROUP GROUP billing worker-1 COUNT 10 STREAMS log:events '>'
#
# Because the registration is `sync`, a message is there before the client has its reply, and the log's own writes are no
# events. The last hundred thousand or so are kept.
LOG = 'log:events'
SEQUENCE = 'log:sequence'
KEEP = 100_000


def append(record):
    number = execute('INCR', SEQUENCE)
    fields = ['n', number, 'event', record['event'], 'key', record['key'], 'type', record['type']]
    execute('XADD', LOG, 'MAXLEN', '~', KEEP, '*', *fields)


(
    GB('KeysReader', desc='keyspace log')
    .filter(lambda record: record['event'] != 'keymiss')
    .foreach(append)
    .register(prefix='order:*', mode='sync')
)
