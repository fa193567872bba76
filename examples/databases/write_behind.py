# Write-behind to MySQL or PostgreSQL: what clients write to hashes and to a stream reaches a database in the background, in batches.
# It needs a driver as REQUIREMENTS (PyMySQL, or pg8000), a server that may be connected to (allow-connect), and the option
# DatabaseURL, such as mysql://user:password@host:3306/database or postgresql://…; docs/connections.md shows how it is run.
#
# Hashes `person:*` are written at least once: a change is in a stream before the client that made it has its reply, and leaves
# that stream when the database has committed it. If the database can not be reached it is tried again, for as long as it takes.
# After a crash a change may be written twice, which does no harm: each carries all fields, and the last one wins.
#
# Messages of the stream `payments` are written exactly once: the id of the message is the key of its row, and a row that is
# there already is not written again.
import json
from urllib.parse import urlsplit

CHANGES = 'write_behind:people'
FIELDS = ('name', 'age')
db = None


def connect():
    url = urlsplit(configGet('DatabaseURL'))
    given = {'host': url.hostname, 'port': url.port, 'user': url.username, 'password': url.password, 'database': url.path[1:]}
    if url.scheme == 'mysql':
        import pymysql
        return pymysql.connect(**given, charset='utf8mb4', connect_timeout=5)
    import pg8000
    return pg8000.connect(**given, timeout=30)


def transaction(*statements):
    """All statements or none. A connection that has failed is not used again."""
    global db
    try:
        db = db or connect()
        cursor = db.cursor()
        for statement in statements:
            cursor.execute(*statement)
        db.commit()
    except BaseException:
        broken, db = db, None
        if broken is not None:
            broken.close()
        raise


def is_mysql():
    return configGet('DatabaseURL').startswith('mysql')


def create_tables():
    transaction(
        ('CREATE TABLE IF NOT EXISTS person (id VARCHAR(100) PRIMARY KEY, name VARCHAR(200), age INT)',),
        ('CREATE TABLE IF NOT EXISTS payment (message VARCHAR(50) PRIMARY KEY, person VARCHAR(100), amount NUMERIC(12, 2))',),
    )


def insert(table, rows, mysql, postgres):
    """One statement for all rows; what is done about those that are there is said in two ways."""
    places = ', '.join('(' + ', '.join(['%s'] * len(rows[0])) + ')' for _ in rows)
    verb, rest = (mysql, '') if is_mysql() else ('INSERT', postgres)
    return f'{verb} INTO {table} VALUES {places} {rest}', [value for row in rows for value in row]


def note(record):
    execute('XADD', CHANGES, '*', 'id', record['key'].partition(':')[2], 'fields', json.dumps(record['value']))


def write_people(changes):
    # of several changes of one person the last one counts
    last = {change['value']['id']: json.loads(change['value']['fields']) for change in changes}
    statements = []
    kept = [(person, *map(fields.get, FIELDS)) for person, fields in last.items() if fields is not None]
    if kept:
        update = ', '.join(f'{name} = EXCLUDED.{name}' for name in FIELDS)
        statements.append(insert('person', kept, 'REPLACE', f'ON CONFLICT (id) DO UPDATE SET {update}'))
    gone = [person for person, fields in last.items() if fields is None]
    if gone:
        statements.append((f"DELETE FROM person WHERE id IN ({', '.join(['%s'] * len(gone))})", gone))
    transaction(*statements)


def write_payments(messages):
    rows = [(message['id'], message['value']['person'], message['value']['amount']) for message in messages]
    transaction(insert('payment', rows, 'INSERT IGNORE', 'ON CONFLICT DO NOTHING'))


def collect(batch, message):
    return batch + [message]


def behind(stream, write):
    (
        GB('StreamReader', desc=f'{stream} to the database')
        .aggregate([], collect, lambda batch, other: batch + other)
        .foreach(write)
        .register(
            prefix=stream,
            batch=1000,
            duration=100,
            mode='async_local',
            onFailedPolicy='retry',
            onFailedRetryInterval=1,
            trimStream=True,
        )
    )


create_tables()
db.close()
db = None
(
    GB('KeysReader', desc='changes of people')
    .foreach(note)
    .register(prefix='person:*', eventTypes=['hset', 'hdel', 'hincrby', 'del', 'expired', 'evicted'], mode='sync')
)
behind(CHANGES, write_people)
behind('payments', write_payments)
