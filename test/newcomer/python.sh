#!/usr/bin/env bash
# Somebody who writes Python, with redis-py and pytest.
source "$(dirname "$0")/begin.sh"
PYTHON=${PYTHON:-/usr/bin/python3}
"$PYTHON" -c 'import pytest, redis' || exit 77
install ./regears-*.tgz
cp node_modules/regears/examples/pytest/{regears_pytest,conftest}.py .
cat >double.py <<'PYTHON'
GB('CommandReader').map(lambda c: int(c[1]) * 2).register(trigger='double', convertToStr=False)
PYTHON
cat >test_double.py <<'PYTHON'
import pytest
import redis


def test_doubles(gears):
    gears.run("double.py", "ID", "double")
    assert gears.execute_command("RG.TRIGGER", "double", 21) == [42]


def test_mistakes_are_told(gears):
    gears.run("double.py")
    with pytest.raises(redis.ResponseError, match="invalid literal"):
        gears.execute_command("RG.TRIGGER", "double", "x")
PYTHON
REGEARS="npx regears" PYTHONDONTWRITEBYTECODE=1 "$PYTHON" -m pytest -q -p no:cacheprovider
port=$(free_port)
serve --port "$port"
"$PYTHON" -c "
import redis
client = redis.Redis(port=$port, decode_responses=True)
client.mset({'a': 1, 'b': 2})
print(client.execute_command('RG.PYEXECUTE', 'GB().map(lambda r: int(r[\"value\"])).avg().run()')[0])
" | expect "['1.5']"
