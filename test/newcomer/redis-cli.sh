#!/usr/bin/env bash
# Somebody who has redis-cli, and wants to see whether it works.
source "$(dirname "$0")/begin.sh"
install ./regears-*.tgz
port=$(free_port)
serve --port "$port"
cli() { redis-cli -p "$port" "$@"; }

cli HSET employee:1 name Ada salary 5200 | expect 2
cli HSET employee:2 name Alan salary 4800 | expect 2
cli RG.PYEXECUTE "GB().map(lambda r: int(r['value']['salary'])).avg().run('employee:*')" | expect 5000.0 ""
cli RG.PYEXECUTE "GB('CommandReader').map(lambda r: execute('INCRBY', 'total', r[1])).register(trigger='add')" | expect OK
cli RG.TRIGGER add 5 | expect 5
cli RG.PYEXECUTE "GB().foreach(lambda r: execute('INCR', 'events')).register('employee:*', eventTypes=['hset'])" | expect OK
cli HSET employee:1 salary 5300 | expect 0
cli RG.IDLE 10000 | expect OK
cli GET events | expect 1
# a mistake says what it is
says AttributeError cli RG.PYEXECUTE "GB().mpa(1)"
says "subcommand not found" cli RG.TRIGGER nothing
