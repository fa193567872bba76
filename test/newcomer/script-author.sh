#!/usr/bin/env bash
# Somebody who writes gears scripts, in an editor, and wants to run them.
source "$(dirname "$0")/begin.sh"
install ./regears-*.tgz
cat >words.py <<'PYTHON'
def words(record):
    return record['value'].split()


GB().flatmap(words).countby().map(lambda g: f"{g['key']} {g['value']}").sort().run('text:*')
PYTHON
echo 'SET text:1 "to be or not to be"' >data.txt

# what one types first
first_line npx regears words.py | expect \
  "regears: words.py is a script, and no configuration: regears run words.py runs it on a server"
npx regears run words.py --embedded --load data.txt | expect "be 2" "not 1" "or 1" "to 2"
first_line npx regears run words.py --embedded --load data.txt --json | expect '"be 2"'

# a mistake, with its line
sed 's/split/splt/' words.py >wrong.py
status=0
npx regears run wrong.py --embedded --load data.txt 2>errors.txt || status=$?
echo "$status" | expect 1
grep -q 'File "wrong.py", line 2, in words' errors.txt
grep -q "    return record\['value'\].splt()" errors.txt

# the editor knows the names
npx regears types . | expect __builtins__.pyi gears.pyi redisgears.pyi
install pyright@1.1.414
npx pyright words.py
echo 'GB().flatmpa(len)' >typo.py
says 'Cannot access attribute "flatmpa"' npx pyright typo.py

# trying things out
printf '%s\n' "execute('SET', 'text:1', 'a b')" "GB().count().run()" | npx regears shell --embedded | expect "'OK'" "[['1'], []]"
npx regears completion bash | bash -n
says '^  run  ' npx regears --help
