# Regears is installed, and there is a redis-server with a password by the name data.example.
[ -e "$WORLD/prefix/bin/regears" ] || npm install -g regears
{ cat /etc/hosts; echo '127.0.0.2 data.example'; } >"$WORLD/hosts"
mount --bind "$WORLD/hosts" /etc/hosts
redis-server --bind 127.0.0.2 --port 6379 --requirepass password --save '' --dir "$WORLD" >"$WORLD/data-server.log" &
until redis-cli -h data.example -a password --no-auth-warning ping | grep -q PONG; do sleep 0.05; done
