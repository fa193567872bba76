# A server that runs, and knows nothing of what was done before.
[ -s "$WORLD/server-6379.pid" ] || { npm install -g regears && regears --port 6379; }
redis-cli RG.UNREGISTERALL ABORTPENDING
redis-cli FLUSHALL
