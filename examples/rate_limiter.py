# A rate limiter: GET of keys that start with `api:` is answered ten times a second for each key, then refused.
# The script takes the place of the command; clients need not change.
#
#   redis-cli RG.CONFIGSET RateLimit 10
#   redis-cli -x RG.PYEXECUTE ID rate_limiter < examples/rate_limiter.py
#   redis-cli SET api:weather sunny
#   redis-cli -r 15 GET api:weather
#
# The eleventh reply within a second is the error `ERR rate limit of api:weather exceeded, try again later`.
import time

LIMIT = int(configGet('RateLimit') or 10)


def limited(command):
    key = command[1]
    window = f'rate:{key}:{int(time.time())}'
    count = execute('INCR', window)
    if count == 1:
        execute('EXPIRE', window, 2)
    if count > LIMIT:
        return f'-ERR rate limit of {key} exceeded, try again later'
    return call_next(*command[1:])


(
    GB('CommandReader', desc='limits GET of api:*')
    .map(limited)
    .register(hook='get', keyprefix='api:', mode='sync', convertToStr=False)
)
