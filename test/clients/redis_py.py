"""What programs do with redis-py, as cases that run on a real redis-server and on Regears alike.

    python3 redis_py.py --port 6379 --kind "redis-server"|embedded|"by URL"

prints a line of JSON for each case: its name, what it gave and what it should have given. See cases.ts; the documents read
the names and reasons from the decorators here, so those are written out in full.
"""

import argparse
import json
import threading
import time

import redis

NO_CLUSTER = 'This instance has cluster support disabled'
UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"
LIBRARY = """#!lua name=counters
redis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)"""

CASES = []


def case(name, gives, embedded=None, because=None):
    """Declares a case; `embedded` is what it gives on the embedded engine if that is something else, and `because` why.

    A case whose name begins with `gears` is about `RG.*`, which redis-server does not have.
    """

    def declare(run):
        CASES.append((name, gives, gives if embedded is None else embedded, run))

    return declare


def error_of(call, *arguments, **named):
    try:
        return f'no error but {call(*arguments, **named)!r}'
    except redis.RedisError as error:
        return str(error)


def until(condition):
    """Waits until the condition gives something that is true, and gives that."""
    deadline = time.monotonic() + 30
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, 'it never happened'
        time.sleep(0.01)


def is_blocked(client):
    return any('b' in one['flags'] for one in client.client_list())


@case('connects, with a name and a database', gives=[True, 'app', '3'])
def _(connect):
    client = connect(client_name='app', db=3)
    [own] = [one for one in client.client_list() if one['name'] == 'app']
    return [client.ping(), client.client_getname(), own['db']]


@case('pipelines and transactions, with errors', gives=[[True, 1, 'v'], 'value is not an integer', [True, 2]])
def _(connect):
    client = connect()
    done = client.pipeline().set('k', 'v').incr('n').get('k').execute()
    failed = error_of(client.pipeline().incr('k').execute)
    plain = client.pipeline(transaction=False).set('x', 'y').incr('n').execute()
    return [done, 'value is not an integer' if 'value is not an integer' in failed else failed, plain]


@case('WATCH, and transactions that are tried again', gives=['Watched variable changed.', 2, '11'])
def _(connect):
    client, other = connect(), connect()
    client.set('n', 5)
    with client.pipeline() as pipe:
        pipe.watch('n')
        other.set('n', 10)
        pipe.multi()
        pipe.set('n', 6)
        lost = error_of(pipe.execute)
    tries = []

    def increment(pipe):
        value = int(pipe.get('n'))
        if not tries:
            other.set('n', 10)
        tries.append(value)
        pipe.multi()
        pipe.set('n', value + 1)

    client.transaction(increment, 'n')
    return ['Watched variable changed.' if 'Watched' in lost else lost, len(tries), client.get('n')]


@case('subscribes to channels and patterns, also in a thread', gives=[['a', '1'], ['pq', '2'], ['t', '3'], True])
def _(connect):
    client = connect()
    seen = []
    with client.pubsub(ignore_subscribe_messages=True) as subscriber:
        subscriber.subscribe('a')
        subscriber.psubscribe('p*')
        until(lambda: client.pubsub_numsub('a')[0][1] == 1 and client.pubsub_numpat() == 1)
        client.publish('a', '1')
        client.publish('pq', '2')
        until(lambda: seen.append(subscriber.get_message()) or len(list(filter(None, seen))) == 2)
        in_thread = []
        with client.pubsub(ignore_subscribe_messages=True) as other:
            other.subscribe(t=in_thread.append)
            thread = other.run_in_thread(sleep_time=0.01)
            client.publish('t', '3')
            until(lambda: in_thread)
            thread.stop()
            thread.join()
        messages = [[one['channel'], one['data']] for one in [*filter(None, seen), *in_thread]]
        return [*messages, subscriber.ping() is None or True]


@case('scripts, by EVALSHA with EVAL behind it, and functions', gives=[['k', 'v', 1, None], True, [5], 'counters'])
def _(connect):
    client = connect()
    client.script_flush()
    script = client.register_script('return {KEYS[1], ARGV[1], 1.9, false}')
    replies = script(keys=['k'], args=['v'])
    client.function_flush()
    loaded = client.function_load(LIBRARY)
    called = [client.fcall('add', 1, 'n', 5)]
    client.function_flush()
    return [replies, client.script_exists(script.sha)[0], called, loaded]


@case('MONITOR', gives=[['SET k v', True], ['ECHO end', True]])
def _(connect):
    client = connect()
    seen = []
    with connect().monitor() as monitor:
        client.set('k', 'v')
        client.echo('end')
        while not seen or seen[-1][0] != 'ECHO end':
            command = monitor.next_command()
            if command['command'] == 'PING':
                continue  # a server by URL shows those of Regears, too
            seen.append([command['command'], command['client_address'] == '127.0.0.1' and command['client_port'].isdigit()])
    return seen


@case('blocking commands, answered and timed out', gives=[['l', 'x'], None, ['z', 'm', 1.5], []])
def _(connect):
    waiter, other = connect(), connect()
    got = []

    def answered(wait, answer):
        thread = threading.Thread(target=lambda: got.append(wait()))
        thread.start()
        until(lambda: is_blocked(other))
        answer()
        thread.join()

    answered(lambda: waiter.blpop(['none', 'l']), lambda: other.rpush('l', 'x'))
    got.append(waiter.blpop('none', timeout=0.01))
    answered(lambda: waiter.bzpopmin('z'), lambda: other.zadd('z', {'m': 1.5}))
    got.append(waiter.xread({'none': '$'}, block=1))
    return got


@case('iterates with SCAN, HSCAN, SSCAN and ZSCAN', gives=[1500, 1500, 1500, 1500])
def _(connect):
    client = connect()
    client.mset({f'k:{n}': n for n in range(1500)})
    client.hset('h', mapping={f'f{n}': n for n in range(1500)})
    client.sadd('s', *range(1500))
    client.zadd('z', {f'm{n}': n for n in range(1500)})
    iterators = [client.scan_iter('k:*'), client.hscan_iter('h'), client.sscan_iter('s'), client.zscan_iter('z')]
    return [len(set(iterator)) for iterator in iterators]


@case(
    'streams and consumer groups',
    gives=[[['st', [['1-0', {'a': '1'}], ['2-0', {'a': '2'}]]]], 1, 1, [['2-0', {'a': '2'}]], 2, 'one'],
)
def _(connect):
    client = connect()
    client.xgroup_create('st', 'g', '0', mkstream=True)
    client.xadd('st', {'a': '1'}, id='1-0')
    client.xadd('st', {'a': '2'}, id='2-0')
    read = client.xreadgroup('g', 'one', {'st': '>'})
    acknowledged = client.xack('st', 'g', '1-0')
    [consumer] = client.xinfo_consumers('st', 'g')
    pending = client.xpending('st', 'g')['pending']
    return [read, acknowledged, pending, client.xclaim('st', 'g', 'two', 0, ['2-0']), client.xlen('st'), consumer['name']]


@case(
    'commands about a cluster, where there is none',
    gives=[NO_CLUSTER, NO_CLUSTER, NO_CLUSTER, 0],
    embedded=[NO_CLUSTER, NO_CLUSTER, 'no error but True', 0],
    because='Valkey answers CLUSTER KEYSLOT and READONLY without a cluster.',
)
def _(connect):
    client = connect()
    return [
        error_of(client.execute_command, 'CLUSTER INFO'),
        error_of(client.execute_command, 'CLUSTER SLOTS'),
        error_of(client.execute_command, 'READONLY'),
        client.wait(0, 10),
    ]


@case('the client’s Lock', gives=[True, False, 'Cannot release a lock', True, True])
def _(connect):
    one, two = connect().lock('lock', timeout=60), connect().lock('lock', timeout=60)
    taken = [one.acquire(), two.acquire(blocking=False)]
    two.local.token = b'not the right one'
    refused = error_of(two.release)
    extended = one.extend(10)
    one.release()
    return [*taken, refused[:21], extended, two.acquire(blocking=False)]


@case('errors are of the right classes', gives=['ResponseError', 'ResponseError', 'NoScriptError', 'DataError', 'NoPermissionError'])
def _(connect):
    client = connect()
    client.set('k', 'v')
    client.acl_setuser('few', enabled=True, passwords=['+secret'], keys=['*'], commands=['+get'])
    few = connect(username='few', password='secret')

    def class_of(call, *arguments):
        try:
            call(*arguments)
        except redis.RedisError as error:
            return type(error).__name__

    classes = [
        class_of(client.lpush, 'k', 'x'),
        class_of(client.json().get, 'k'),
        class_of(client.evalsha, '0' * 40, 0),
        class_of(client.set, 'k', None),
        class_of(few.set, 'k', 'v'),
    ]
    client.acl_deluser('few')
    return classes


@case(
    'what describes the server can be read: INFO, CLIENT LIST, CONFIG, SLOWLOG, MEMORY, COMMAND, ROLE, TIME, ACL',
    gives=[True] * 10,
)
def _(connect):
    client = connect()
    client.set('k', 'v')
    return [
        isinstance(client.info()['used_memory'], int),
        client.info('keyspace')['db0']['keys'] == 1,
        next(one for one in client.client_list() if one['cmd'] == 'client|list')['addr'].startswith('127.0.0.1:'),
        client.config_get('maxmemory-policy') == {'maxmemory-policy': 'noeviction'},
        isinstance(client.slowlog_get(), list),
        client.memory_usage('k') > 0,
        client.command()['get']['arity'] == 2,
        client.role()[0] == 'master',
        abs(client.time()[0] - time.time()) < 60,
        client.acl_whoami() == 'default',
    ]


@case('bytes of any kind, and values of 5 MB', gives=[True, True])
def _(connect):
    client = connect(decode_responses=False)
    every = bytes(range(256))
    client.set(every, every)
    client.set('big', every * 20_000)
    return [client.get(every) == every, client.get('big') == every * 20_000]


@case('client-side caching: invalidations to another connection', gives=['__redis__:invalidate', ['k']])
def _(connect):
    client, writer = connect(), connect()
    reader, listener = client.connection_pool.get_connection('x'), client.connection_pool.get_connection('x')

    def ask(connection, *command):
        connection.send_command(*command)
        return connection.read_response()

    number = ask(listener, 'CLIENT', 'ID')
    ask(listener, 'SUBSCRIBE', '__redis__:invalidate')
    ask(reader, 'CLIENT', 'TRACKING', 'ON', 'REDIRECT', number)
    ask(reader, 'GET', 'k')
    writer.set('k', 'new')
    _, channel, keys = listener.read_response()
    return [channel, keys]


@case('connects again when it was killed', gives=[True, 'v'])
def _(connect):
    client, other = connect(retry_on_error=[redis.ConnectionError]), connect()
    client.set('k', 'v')
    number = client.client_id()
    return [other.client_kill_filter(_id=number) == 1, client.get('k')]


@case('RESET', gives=['RESET', None])
def _(connect):
    client = connect(client_name='app', single_connection_client=True)
    return [client.execute_command('RESET'), client.client_getname()]


@case('gears: results, errors, UNBLOCKING, triggers and registrations', gives=[[['3'], []], True, [['2'], []], ['7'], 1, 1])
def _(connect):
    client = connect()
    client.mset({'a': 1, 'b': 2})
    ask = client.execute_command
    total = ask('RG.PYEXECUTE', "GB().map(lambda r: int(r['value'])).aggregate(0, lambda a, r: a + r, lambda a, r: a + r).run()")
    wrong = error_of(ask, 'RG.PYEXECUTE', '1 / 0')
    later = ask('RG.GETRESULTSBLOCKING', ask('RG.PYEXECUTE', 'GB().count().run()', 'UNBLOCKING'))
    ask('RG.PYEXECUTE', "GB('CommandReader').map(lambda r: execute('INCRBY', 'total', r[1])).register(trigger='add')")
    triggered = client.pipeline(transaction=False).execute_command('RG.TRIGGER', 'add', 7).execute()[0]
    return [total, 'ZeroDivisionError' in wrong, later, triggered, len(ask('RG.DUMPREGISTRATIONS')), ask('RG.UNREGISTERALL')]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument('--port', type=int, required=True)
    arguments.add_argument('--kind', required=True)
    options = arguments.parse_args()
    for name, gives, embedded, run in CASES:
        if name.startswith('gears') and options.kind == 'redis-server':
            continue
        opened = []

        def connect(**settings):
            client = redis.Redis(port=options.port, **{'socket_timeout': 30, 'decode_responses': True, **settings})
            opened.append(client)
            return client

        try:
            connect().flushall()
            if options.kind != 'redis-server':
                connect().execute_command('RG.UNREGISTERALL')
            given = run(connect)
        except Exception as error:
            given = f'{type(error).__name__}: {error}'
        for client in opened:
            client.close()
            client.connection_pool.disconnect()
        expected = embedded if options.kind == 'embedded' else gives
        print(json.dumps({'name': name, 'gives': given, 'expected': expected}), flush=True)


main()
