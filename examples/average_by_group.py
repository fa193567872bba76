# The average salary for each department, over hashes such as
#
#   redis-cli HSET employee:1 name Ada department research salary 5200
#   redis-cli -x RG.PYEXECUTE < examples/average_by_group.py
#   # 1) 1) "{\"department\": \"research\", \"average\": 5200.0, \"people\": 1}"
#   # 2) (empty array)
#
# Each result is a JSON object; hashes without one of the two fields are left out.
import json


def complete(record):
    return record['type'] == 'hash' and {'department', 'salary'} <= record['value'].keys()


def add(department, total, record):
    return (total[0] + float(record['value']['salary']), total[1] + 1)


def merge(department, total, other):
    return (total[0] + other[0], total[1] + other[1])


def summary(group):
    salaries, people = group['value']
    return json.dumps({'department': group['key'], 'average': round(salaries / people, 2), 'people': people})


(
    GB('KeysReader')
    .filter(complete)
    .aggregateby(lambda record: record['value']['department'], (0.0, 0), add, merge)
    .map(summary)
    .run('employee:*')
)
