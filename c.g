acl-pubsub-default	resetchannels
aclfile	
acllog-max-len	128
active-defrag-cycle-max	25
active-defrag-cycle-min	1
active-defrag-cycle-us	500
active-defrag-ignore-bytes	104857600
active-defrag-max-scan-fields	1000
active-defrag-threshold-lower	10
active-defrag-threshold-upper	100
active-expire-effort	1
activedefrag	no
activerehashing	yes
always-show-logo	no
aof-load-truncated	yes
aof-rewrite-cpulist	
aof-rewrite-incremental-fsync	yes
aof-timestamp-enabled	no
aof-use-rdb-preamble	yes
aof_rewrite_cpulist	
appenddirname	appendonlydir
appendfilename	appendonly.aof
appendfsync	everysec
appendonly	no
auto-aof-rewrite-min-size	67108864
auto-aof-rewrite-percentage	100
availability-zone	
bgsave-cpulist	
bgsave_cpulist	
bind	127.0.0.1
bind-source-addr	
bio-cpulist	
bio_cpulist	
busy-reply-threshold	5000
client-output-buffer-limit	normal 1073741824 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60
client-query-buffer-limit	1073741824
cluster-allow-pubsubshard-when-down	yes
cluster-allow-reads-when-down	no
cluster-allow-replica-migration	yes
cluster-announce-bus-port	0
cluster-announce-client-ipv4	
cluster-announce-client-ipv6	
cluster-announce-client-port	0
cluster-announce-client-tls-port	0
cluster-announce-hostname	
cluster-announce-human-nodename	
cluster-announce-ip	
cluster-announce-port	0
cluster-announce-tls-port	0
cluster-blacklist-ttl	60
cluster-config-file	nodes.conf
cluster-config-save-behavior	sync
cluster-databases	1
cluster-enabled	no
cluster-link-sendbuf-limit	0
cluster-manual-failover-timeout	5000
cluster-migration-barrier	1
cluster-node-timeout	15000
cluster-port	0
cluster-preferred-endpoint-type	ip
cluster-replica-no-failover	no
cluster-replica-validity-factor	10
cluster-require-full-coverage	yes
cluster-slave-no-failover	no
cluster-slave-validity-factor	10
cluster-slot-migration-log-max-len	1000
cluster-slot-stats-enabled	no
commandlog-execution-slower-than	10000
commandlog-large-reply-max-len	128
commandlog-large-request-max-len	128
commandlog-reply-larger-than	1048576
commandlog-request-larger-than	1048576
commandlog-slow-execution-max-len	128
crash-log-enabled	yes
crash-memcheck-enabled	yes
daemonize	no
databases	16
dbfilename	dump.rdb
dir	/work/wt-d
disable-thp	yes
dual-channel-replication-enabled	no
enable-debug-command	no
enable-module-command	no
enable-protected-configs	no
extended-redis-compatibility	no
hash-max-listpack-entries	512
hash-max-listpack-value	64
hash-max-ziplist-entries	512
hash-max-ziplist-value	64
hash-seed	
hide-user-data-from-log	yes
hll-sparse-max-bytes	3000
hz	10
ignore-warnings	
import-mode	no
io-threads	1
jemalloc-bg-thread	yes
latency-monitor-threshold	0
latency-tracking	yes
latency-tracking-info-percentiles	50 99 99.9
lazyfree-lazy-eviction	yes
lazyfree-lazy-expire	yes
lazyfree-lazy-server-del	yes
lazyfree-lazy-user-del	yes
lazyfree-lazy-user-flush	yes
lfu-decay-time	1
lfu-log-factor	10
list-compress-depth	0
list-max-listpack-size	-2
list-max-ziplist-size	-2
locale-collate	
log-format	legacy
log-timestamp-format	legacy
logfile	
loglevel	notice
lua-time-limit	5000
masterauth	
masteruser	
max-new-connections-per-cycle	10
max-new-tls-connections-per-cycle	1
maxclients	10000
maxmemory	0
maxmemory-clients	0
maxmemory-eviction-tenacity	10
maxmemory-policy	noeviction
maxmemory-samples	5
min-replicas-max-lag	10
min-replicas-to-write	0
min-slaves-max-lag	10
min-slaves-to-write	0
mptcp	no
no-appendfsync-on-rewrite	no
notify-keyspace-events	
oom-score-adj	no
oom-score-adj-values	0 200 800
pidfile	
port	7921
prefetch-batch-max-size	16
primaryauth	
primaryuser	
proc-title-template	{title} {listen-addr} {server-mode}
propagation-error-behavior	ignore
protected-mode	yes
proto-max-bulk-len	536870912
rdb-del-sync-files	no
rdb-save-incremental-fsync	yes
rdb-version-check	strict
rdbchecksum	yes
rdbcompression	yes
rdma-bind	
rdma-completion-vector	-1
rdma-port	0
rdma-rx-size	1048576
repl-backlog-size	10485760
repl-backlog-ttl	3600
repl-disable-tcp-nodelay	no
repl-diskless-load	disabled
repl-diskless-sync	yes
repl-diskless-sync-delay	5
repl-diskless-sync-max-replicas	0
repl-mptcp	no
repl-ping-replica-period	10
repl-ping-slave-period	10
repl-timeout	60
replica-announce-ip	
replica-announce-port	0
replica-announced	yes
replica-ignore-disk-write-errors	no
replica-ignore-maxmemory	yes
replica-lazy-flush	yes
replica-priority	100
replica-read-only	yes
replica-serve-stale-data	yes
replicaof	
requirepass	
sanitize-dump-payload	clients
save	
server-cpulist	
server_cpulist	
set-max-intset-entries	512
set-max-listpack-entries	128
set-max-listpack-value	64
set-proc-title	yes
shutdown-on-sigint	default
shutdown-on-sigterm	default
shutdown-timeout	10
slave-announce-ip	
slave-announce-port	0
slave-ignore-maxmemory	yes
slave-lazy-flush	yes
slave-priority	100
slave-read-only	yes
slave-serve-stale-data	yes
slaveof	
slot-migration-max-failover-repl-bytes	0
slowlog-log-slower-than	10000
slowlog-max-len	128
socket-mark-id	0
stop-writes-on-bgsave-error	no
stream-node-max-bytes	4096
stream-node-max-entries	100
supervised	no
syslog-enabled	no
syslog-facility	local0
syslog-ident	valkey
tcp-backlog	511
tcp-keepalive	300
timeout	0
tls-auth-clients	yes
tls-auth-clients-user	off
tls-auto-reload-interval	0
tls-ca-cert-dir	
tls-ca-cert-file	
tls-cert-file	
tls-ciphers	
tls-ciphersuites	
tls-client-cert-file	
tls-client-key-file	
tls-client-key-file-pass	
tls-cluster	no
tls-dh-params-file	
tls-key-file	
tls-key-file-pass	
tls-port	0
tls-prefer-server-ciphers	no
tls-protocols	
tls-replication	no
tls-session-cache-size	20480
tls-session-cache-timeout	300
tls-session-caching	yes
tracking-table-max-keys	1000000
unixsocket	
unixsocketgroup	
unixsocketperm	0
zset-max-listpack-entries	128
zset-max-listpack-value	64
zset-max-ziplist-entries	128
zset-max-ziplist-value	64
