# Write-behind: changes of hashes go to a stream within the command that makes them, and from there, in the background
# and in batches, to a SQL database. Here that is SQLite, which comes with Python; scripts have no disk, so the database is
# kept as a value of its own.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/write_behind.py)" ID write_behind
#   redis-cli HSET person:1 name Ada age 36
#   redis-cli HSET person:2 name Alan age 41
#   redis-cli DEL person:1
#   redis-cli RG.TRIGGER sql 'SELECT id, name, age FROM person'
#
# A change is in the stream before the client that made it has its reply. It leaves the stream when the database has it;
# after a crash some changes may be written twice, which is why they carry all the fields.
import json
import sqlite3

STREAM = 'write_behind:changes'
DATABASE = 'write_behind:sqlite'
FIELDS = ('name', 'age')


def open_database():
    global db
    db = sqlite3.connect(':memory:')
    saved = execute('GET', DATABASE)
    if saved is not None:
        db.deserialize(bytes(saved) if isinstance(saved, bytearray) else saved.encode())
    db.execute('CREATE TABLE IF NOT EXISTS person (id TEXT PRIMARY KEY, name TEXT, age INTEGER)')


def note(record):
    person = record['key'].partition(':')[2]
    execute('XADD', STREAM, '*', 'id', person, 'fields', json.dumps(record['value']))


def write(changes):
    with db:
        for change in changes:
            fields = json.loads(change['fields'])
            if fields is None:
                db.execute('DELETE FROM person WHERE id = ?', (change['id'],))
                continue
            row = [fields.get(name) for name in FIELDS]
            db.execute('INSERT OR REPLACE INTO person VALUES (?, ?, ?)', (change['id'], *row))
    execute('SET', DATABASE, db.serialize())


def query(call):
    return [list(row) for row in db.execute(call[1], call[2:])]


(
    GB('KeysReader', desc='hashes to the stream')
    .foreach(note)
    .register(prefix='person:*', eventTypes=['hset', 'hdel', 'hincrby', 'del', 'expired', 'evicted'], mode='sync')
)
(
    GB('StreamReader', desc='the stream to SQL')
    .aggregate([], lambda batch, message: batch + [message['value']], lambda batch, other: batch + other)
    .foreach(write)
    .register(
        prefix=STREAM,
        batch=100,
        duration=100,
        mode='async_local',
        onFailedPolicy='retry',
        onFailedRetryInterval=1,
        onRegistered=open_database,
    )
)
GB('CommandReader', desc='asks the database').flatmap(query).register(trigger='sql', mode='async_local')
