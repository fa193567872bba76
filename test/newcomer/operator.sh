#!/usr/bin/env bash
# Somebody who runs it for others: a configuration, a password, data that stay, signals, health, figures.
source "$(dirname "$0")/begin.sh"
install ./regears-*.tgz
port=$(free_port) metrics=$(free_port)
mkdir data
cat >regears.conf <<CONF
port $port
metrics-port $metrics
dir $FOLDER/data
logfile $FOLDER/regears.log
requirepass secret
appendonly yes
appendfsync always
CONF
cli() { redis-cli -p "$port" --no-auth-warning -a secret "$@"; }

serve regears.conf
says NOAUTH redis-cli -p "$port" PING
cli SET kept yes | expect OK
cli RG.PYEXECUTE "GB('CommandReader').map(lambda r: execute('GET', 'kept')).register(trigger='kept')" ID kept | expect OK
curl -fsS "http://127.0.0.1:$metrics/healthz" | expect ready
says '^regears_ready 1$' curl -fsS "http://127.0.0.1:$metrics/metrics"
says '^state:ready' cli RG.INFO
# a second server does not take the folder from it, and says so
if npx regears --port 0 --dir data >second.log 2>&1; then exit 1; fi
grep -q "data" second.log

# the log is moved away, as logrotate does
mv regears.log regears.log.1
kill -HUP "$SERVER"
until [ -s regears.log ]; do sleep 0.1; done

# it dies, and comes back with everything
kill -9 "$SERVER"
wait "$SERVER" || true
serve regears.conf
cli RG.TRIGGER kept | expect yes

# it ends when it is asked to
kill -TERM "$SERVER"
status=0
wait "$SERVER" || status=$?
echo "$status" | expect 0

# mistakes end the start with a line that helps
first_line npx regears --prot 1 | expect "regears: unknown option 'prot'; did you mean 'port'?"
first_line npx regears --isolation none | expect "regears: option 'isolation': 'none' is none of shared, session"
