# What each of these scripts begins with: the package that `npm pack` makes of this checkout, and an empty folder, in which
# they stand. What they start they end.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
FOLDER=$(mktemp -d)
SERVERS=()
end() {
  for server in "${SERVERS[@]}"; do kill "$server" 2>/dev/null || true; done
  wait
  rm -rf "$FOLDER"
}
trap end EXIT
cd "$FOLDER"
unset REDIS_URL
npm pack "$ROOT" --ignore-scripts --silent >/dev/null

# Installs packages as a person does. Where no registry can be reached nothing can be tried out: that is status 77.
install() {
  [ -e package.json ] || echo '{ "name": "newcomer", "private": true, "type": "module" }' >package.json
  npm install --prefer-offline --no-audit --no-fund --loglevel error "$@" || { npm ping >/dev/null 2>&1 && exit 1 || exit 77; }
}

free_port() { node -e 'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'; }

# Starts a server, and waits until it answers. Its process id is in SERVER, what it prints in the file server.log.
serve() {
  node_modules/.bin/regears "$@" >>server.log 2>&1 &
  SERVER=$!
  SERVERS+=("$SERVER")
  until node_modules/.bin/regears "$@" --healthcheck 2>/dev/null; do
    kill -0 "$SERVER" || { cat server.log; exit 1; }
    sleep 0.2
  done
}

# Compares what comes on standard input with the arguments, a line each.
expect() {
  local got
  got=$(cat)
  [ "$got" = "$(printf '%s\n' "$@")" ] || { echo "expected: $*"; echo "got: $got"; exit 1; }
}

# Runs a command that may fail, and looks for a pattern in what it says.
says() {
  local pattern=$1 got
  shift
  got=$("$@" 2>&1) || true
  grep -q -- "$pattern" <<<"$got" || { echo "no $pattern from $*: $got"; exit 1; }
}

# The first line that a command says, which may fail.
first_line() { { "$@" 2>&1 || true; } | sed -n 1p; }
