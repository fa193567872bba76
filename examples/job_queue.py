# A job queue. Jobs are messages of a stream, so none is lost; a client may wait for the result of its job, which a future
# brings, or only leave it and look for the result later.
#
#   redis-cli RG.PYEXECUTE "$(cat examples/job_queue.py)" ID job_queue
#   # OK
#   job=$(redis-cli --raw RG.TRIGGER job leave slow_reverse hello)
#   redis-cli RG.TRIGGER job run count_words 'to be or not to be'
#   # 1) "6"
#   redis-cli GET "job:$job"
#   # "{\"result\": \"olleh\"}"
#
# `run` answers the job's result, `leave` its id: the result, or the error, is in the key `job:<id>` for an hour.
import asyncio
import json

QUEUE = 'jobs'
HOUR = 3600
# Futures of clients that wait, by the id of their job.
waiting = {}


def count_words(text):
    return len(text.split())


async def slow_reverse(text):
    await asyncio.sleep(0.1)
    return text[::-1]


JOBS = {'count_words': count_words, 'slow_reverse': slow_reverse}


async def submit(call):
    how, name, arguments = call[1], call[2], call[3:]
    if name not in JOBS:
        raise ValueError(f'there is no job {name}')
    job = execute('XADD', QUEUE, '*', 'name', name, 'arguments', json.dumps(arguments))
    if how == 'leave':
        return job
    future = waiting[job] = createFuture()
    return await future


async def work(message):
    job, fields = message['id'], message['value']
    try:
        result = JOBS[fields['name']](*json.loads(fields['arguments']))
        outcome = {'result': await result if asyncio.iscoroutine(result) else result}
    except Exception as error:
        outcome = {'error': str(error)}
    execute('SET', f'job:{job}', json.dumps(outcome), 'EX', HOUR)
    future = waiting.pop(job, None)
    if future is None:
        return
    if 'error' in outcome:
        setFutureException(future, outcome['error'])
    else:
        setFutureResults(future, outcome['result'])


GB('CommandReader', desc='takes jobs').map(submit).register(trigger='job', mode='async_local')
GB('StreamReader', desc='does jobs').foreach(work).register(prefix=QUEUE, batch=10, duration=10, mode='async_local')
