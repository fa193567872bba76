# A report over a stream of orders: units sold and turnover for each product.
#
#   redis-cli XADD orders '*' product tea quantity 3 price 4.50
#   redis-cli -x RG.PYEXECUTE < examples/stream_report.py
#   # 1) 1) "tea: 3 units, 13.50"
#   # 2) (empty array)
#
# Each result is a line of the report, by product. Orders that can not be read are counted in the last line.
from decimal import Decimal, InvalidOperation


def order(message):
    fields = message['value']
    try:
        quantity, price = int(fields['quantity']), Decimal(fields['price'])
    except (KeyError, ValueError, InvalidOperation):
        return ('unreadable orders', 1, Decimal(0))
    return (fields.get('product', 'unknown product'), quantity, quantity * price)


def add(product, total, sold):
    return (total[0] + sold[1], total[1] + sold[2])


def merge(product, total, other):
    return (total[0] + other[0], total[1] + other[1])


def line(group):
    units, turnover = group['value']
    return f"{group['key']}: {units}" if turnover == 0 else f"{group['key']}: {units} units, {turnover:.2f}"


(
    GB('StreamReader')
    .map(order)
    .aggregateby(lambda sold: sold[0], (0, Decimal(0)), add, merge)
    .map(line)
    # Results leave sort() in reverse: this is in alphabetical order.
    .sort()
    .run('orders')
)
