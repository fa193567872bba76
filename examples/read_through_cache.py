# A read-through cache: GET or MGET of a `user:` key that is not there loads it from where the truth is, keeps it for a
# minute, and answers it. Clients just read. The truth here is the hash `users`; it could be any slow service: the client
# waits while others are served.
#
#   redis-cli HSET users 1 Ada 2 Alan
#   redis-cli RG.PYEXECUTE "$(cat examples/read_through_cache.py)" ID read_through
#   redis-cli GET user:1
#   # "Ada"
#   redis-cli TTL user:1
#   # (integer) …
#   redis-cli GET user:3
#   # (nil)
import asyncio

SECONDS = 60
# What is being loaded, so that a hundred clients that miss the same key load it once.
loading = {}


async def load(key):
    # somebody may have loaded it since it was missed
    if execute('EXISTS', key):
        return execute('GET', key)
    await asyncio.sleep(0.01)
    execute('INCR', 'users:loads')
    value = execute('HGET', 'users', key.partition(':')[2])
    if value is not None:
        execute('SET', key, value, 'EX', SECONDS)
    return value


async def load_once(key):
    task = loading.get(key)
    if task is None:
        task = loading[key] = asyncio.ensure_future(load(key))
        task.add_done_callback(lambda _: loading.pop(key, None))
    return await task


async def fill(record):
    key = record['key']
    value = await load_once(key)
    # MGET keeps its own reply, an array, for the first time
    if value is not None and get_command()[0].lower() == 'get':
        override_reply(value)


(
    GB('KeysReader', desc='loads users that are missing')
    .foreach(fill)
    .register(
        prefix='user:*',
        eventTypes=['keymiss'],
        commands=['get', 'mget'],
        readValue=False,
        mode='async_local',
    )
)
