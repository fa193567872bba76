# A rate limiter: into each list whose key starts with `inbox:`, ten messages a second may be pushed; more are refused.
# The script takes the place of the command; clients need not change.
#
#   redis-cli RG.CONFIGSET RateLimit 10
#   redis-cli RG.PYEXECUTE "$(cat examples/rate_limiter.py)" ID rate_limiter
#   redis-cli -r 100 LPUSH inbox:ada hello
#   # (integer) 1
#   # …
#   # (error) ERR rate limit of inbox:ada exceeded, try again later
#   # …
#
# The error is the eleventh reply within a second.
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
    GB('CommandReader', desc='limits LPUSH into inboxes')
    .map(limited)
    .register(hook='lpush', keyprefix='inbox:', mode='sync', convertToStr=False)
)
