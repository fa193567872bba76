# Exports all hashes whose keys begin with "user:" as lines of JSON.
#
#   redis-cli HSET user:1 name Ada city London
#   redis-cli --raw -x RG.PYEXECUTE < examples/hashes_to_json.py
#   # {"fields": {"city": "London", "name": "Ada"}, "key": "user:1"}
#   # …
#
# What is not UTF-8 is written as "base64:…".
import base64
import json


def text(data):
    return data if isinstance(data, str) else 'base64:' + base64.b64encode(data).decode()


def as_json(record):
    fields = {text(field): text(value) for field, value in record['value'].items()}
    return json.dumps({'key': text(record['key']), 'fields': fields}, ensure_ascii=False, sort_keys=True)


(
    GB('KeysReader')
    .filter(lambda record: record['type'] == 'hash')
    .map(as_json)
    .run('user:*')
)
