#!/bin/sh
# As in the images of Redis and Valkey: options or a configuration file alone are for the server, and these variables of the
# environment hold more of its arguments, separated by blanks.
set -ef
case "${1-}" in
  -* | *.conf) set -- regears "$@" ;;
esac
case "${1-}" in
  regears | redis-server | valkey-server) set -- "$@" ${REDIS_ARGS-} ${VALKEY_EXTRA_FLAGS-} ;;
esac
exec "$@"
