# Write-through and read-through: the hash of an account is written to MySQL or PostgreSQL before the client has its reply, and read
# from there when it is not in memory. Needs the same as write_behind.py.
#
# `HSET account:1 owner Ada` fails when the database can not be written, and then changes nothing in memory either. `HGETALL
# account:1` finds what only the database has, and keeps it for a minute.
from urllib.parse import urlsplit

SECONDS = 60
db = None


def connect():
    url = urlsplit(configGet('DatabaseURL'))
    given = {'host': url.hostname, 'port': url.port, 'user': url.username, 'password': url.password, 'database': url.path[1:]}
    if url.scheme == 'mysql':
        import pymysql
        return pymysql.connect(**given, charset='utf8mb4', connect_timeout=5)
    import pg8000
    return pg8000.connect(**given, timeout=30)


def query(text, values=()):
    """Runs one statement and commits it. A connection that has failed is not used again."""
    global db
    try:
        db = db or connect()
        cursor = db.cursor()
        cursor.execute(text, values)
        rows = cursor.fetchall() if text.startswith('SELECT') else []
        db.commit()
        return rows
    except BaseException:
        broken, db = db, None
        if broken is not None:
            broken.close()
        raise


def write(command):
    _, key, *pairs = command
    mysql = configGet('DatabaseURL').startswith('mysql')
    verb, rest = ('REPLACE', '') if mysql else ('INSERT', 'ON CONFLICT (id, field) DO UPDATE SET value = EXCLUDED.value')
    rows = [(key, pairs[at], pairs[at + 1]) for at in range(0, len(pairs), 2)]
    places = ', '.join(['(%s, %s, %s)'] * len(rows))
    query(f'{verb} INTO account VALUES {places} {rest}', [value for row in rows for value in row])
    return call_next(key, *pairs)


def read(command):
    key = command[1]
    if not execute('EXISTS', key):
        found = query('SELECT field, value FROM account WHERE id = %s', (key,))
        if found:
            # by a command without a hook: it is in the database already
            execute('HMSET', key, *(word for row in found for word in row))
            execute('EXPIRE', key, SECONDS)
    return call_next(key)


query(
    'CREATE TABLE IF NOT EXISTS account '
    '(id VARCHAR(100), field VARCHAR(100), value VARCHAR(1000), PRIMARY KEY (id, field))'
)
db.close()
db = None
GB('CommandReader').map(write).register(hook='hset', keyprefix='account:', mode='async_local', convertToStr=False)
GB('CommandReader').map(read).register(hook='hgetall', keyprefix='account:', mode='async_local', convertToStr=False)
