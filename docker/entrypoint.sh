#!/bin/sh
# As in the images of Redis: options or a configuration file alone are for the server.
set -e
case "${1-}" in
  -* | *.conf) set -- regears "$@" ;;
esac
exec "$@"
