# Server
redis_version:7.2.4
server_name:valkey
valkey_version:9.1.1
valkey_release_stage:ga
redis_git_sha1:0
redis_git_dirty:0
redis_build_id:3c1be5d4ce106385
redis_mode:standalone
server_mode:standalone
os:wasi 0.0.0 wasm32
arch_bits:64
monotonic_clock:POSIX clock_gettime
multiplexing_api:wasi-host
gcc_version:4.2.1
process_id:11488
process_supervised:no
run_id:c11aba2913303abf98f1f21adcf5bb6d1667c88d
tcp_port:7921
server_time_usec:1795768005608427
uptime_in_seconds:7
uptime_in_days:0
hz:10
configured_hz:10
clients_hz:10
lru_clock:605893
executable:/work/wt-d/bin/regears.js
config_file:
io_threads_active:0
availability_zone:
listener0:name=tcp,bind=127.0.0.1,port=6379

# TLS
tls_server_cert_serial:none
tls_server_cert_expires_in_seconds:0
tls_client_cert_serial:none
tls_client_cert_expires_in_seconds:0
tls_ca_cert_serial:none
tls_ca_cert_expires_in_seconds:0

# Clients
connected_clients:1
cluster_connections:0
maxclients:10000
client_recent_max_input_buffer:0
client_recent_max_output_buffer:81712
blocked_clients:0
tracking_clients:0
pubsub_clients:0
watching_clients:0
clients_in_timeout_table:0
total_watched_keys:0
total_blocking_keys:0
total_blocking_keys_on_nokey:0
paused_reason:none
paused_actions:none
paused_timeout_milliseconds:0

# Memory
used_memory:3312080
used_memory_human:3.16M
used_memory_rss:3293044
used_memory_rss_human:3.14M
used_memory_peak:3367683
used_memory_peak_human:3.21M
used_memory_peak_perc:98.35%
used_memory_overhead:810336
used_memory_startup:809979
used_memory_dataset:2501744
used_memory_dataset_perc:99.99%
allocator_allocated:3293044
allocator_active:3241844
allocator_resident:3241844
allocator_muzzy:0
total_system_memory:25276026880
total_system_memory_human:23.54G
used_memory_lua:24576
used_memory_vm_eval:24576
used_memory_lua_human:24.00K
used_memory_scripts_eval:0
number_of_cached_scripts:0
number_of_functions:0
number_of_libraries:0
used_memory_vm_functions:26624
used_memory_vm_total:51200
used_memory_vm_total_human:50.00K
used_memory_functions:197
used_memory_scripts:197
used_memory_scripts_human:197B
maxmemory:0
maxmemory_human:0B
maxmemory_policy:noeviction
allocator_frag_ratio:1.00
allocator_frag_bytes:0
allocator_rss_ratio:1.00
allocator_rss_bytes:0
rss_overhead_ratio:1.02
rss_overhead_bytes:51200
mem_fragmentation_ratio:1.00
mem_fragmentation_bytes:0
mem_not_counted_for_evict:0
mem_replication_backlog:0
mem_total_replication_buffers:0
mem_replicas_repl_buffer:0
mem_clients_slaves:0
mem_clients_normal:0
mem_cluster_links:0
mem_cluster_slot_import:0
mem_cluster_slot_export:0
mem_aof_buffer:0
mem_allocator:libc
mem_overhead_db_hashtable_rehashing:0
active_defrag_running:0
lazyfree_pending_objects:0
lazyfreed_objects:0

# Persistence
loading:0
async_loading:0
current_cow_peak:0
current_cow_size:0
current_cow_size_age:0
current_fork_perc:0.00
current_save_keys_processed:0
current_save_keys_total:0
rdb_changes_since_last_save:0
rdb_bgsave_in_progress:0
rdb_last_save_time:1795767998
rdb_last_bgsave_status:ok
rdb_last_bgsave_time_sec:-1
rdb_current_bgsave_time_sec:-1
rdb_saves:0
rdb_last_cow_size:0
rdb_last_load_keys_expired:0
rdb_last_load_keys_loaded:0
aof_enabled:0
aof_rewrite_in_progress:0
aof_rewrite_scheduled:0
aof_last_rewrite_time_sec:-1
aof_current_rewrite_time_sec:-1
aof_last_bgrewrite_status:ok
aof_rewrites:0
aof_rewrites_consecutive_failures:0
aof_last_write_status:ok
aof_last_cow_size:0
module_fork_in_progress:0
module_fork_last_cow_size:0
slot_migration_fork_in_progress:0

# Stats
total_connections_received:2
total_commands_processed:12
instantaneous_ops_per_sec:0
total_net_input_bytes:585
total_net_output_bytes:98107
total_net_repl_input_bytes:0
total_net_repl_output_bytes:0
total_net_cluster_slot_import_bytes:0
total_net_cluster_slot_export_bytes:0
instantaneous_input_kbps:0.01
instantaneous_output_kbps:0.00
instantaneous_input_repl_kbps:0.00
instantaneous_output_repl_kbps:0.00
rejected_connections:0
sync_full:0
sync_partial_ok:0
sync_partial_err:0
expired_keys:0
expired_fields:0
expired_stale_perc:0.00
expired_keys_with_volatile_items_stale_perc:0.00
expired_time_cap_reached_count:0
expire_cycle_cpu_milliseconds:64
evicted_keys:0
evicted_clients:0
evicted_scripts:0
total_eviction_exceeded_time:0
current_eviction_exceeded_time:0
keyspace_hits:0
keyspace_misses:0
pubsub_channels:0
pubsub_patterns:0
pubsubshard_channels:0
latest_fork_usec:0
total_forks:0
migrate_cached_sockets:0
slave_expires_tracked_keys:0
active_defrag_hits:0
active_defrag_misses:0
active_defrag_key_hits:0
active_defrag_key_misses:0
total_active_defrag_time:0
current_active_defrag_time:0
tracking_total_keys:0
tracking_total_items:0
tracking_total_prefixes:0
unexpected_error_replies:0
total_error_replies:0
dump_payload_sanitizations:0
total_reads_processed:15
total_writes_processed:8
io_threaded_reads_processed:0
io_threaded_writes_processed:0
io_threaded_freed_objects:0
io_threaded_accept_processed:0
io_threaded_poll_processed:0
io_threaded_total_prefetch_batches:0
io_threaded_total_prefetch_entries:0
client_query_buffer_limit_disconnections:0
client_output_buffer_limit_disconnections:0
reply_buffer_shrinks:1
reply_buffer_expands:0
eventloop_cycles:131
eventloop_duration_sum:6419464
eventloop_duration_cmd_sum:94720
instantaneous_eventloop_cycles_per_sec:19
instantaneous_eventloop_duration_usec:53255
acl_access_denied_auth:0
acl_access_denied_cmd:0
acl_access_denied_key:0
acl_access_denied_channel:0
acl_access_denied_tls_cert:0
acl_access_denied_db:0

# Replication
role:master
connected_slaves:0
replicas_waiting_psync:0
master_failover_state:no-failover
master_replid:2b2190d6e28bd5508b1a576b9a3b06e2cd9085a9
master_replid2:0000000000000000000000000000000000000000
master_repl_offset:0
second_repl_offset:-1
repl_backlog_active:0
repl_backlog_size:10485760
repl_backlog_first_byte_offset:0
repl_backlog_histlen:0

# CPU
used_cpu_sys:0.000000
used_cpu_user:7.100680
used_cpu_sys_children:0.000000
used_cpu_user_children:0.000000
used_active_time_main_thread:0.216366

# Modules
module:name=lua,ver=1,api=1,filters=0,usedby=[],using=[],options=[handle-repl-async-load|handle-atomic-slot-migration]

# Commandstats
cmdstat_ping:calls=2,usec=62,usec_per_call=31.00,rejected_calls=0,failed_calls=0
cmdstat_acl|setuser:calls=1,usec=577,usec_per_call=577.00,rejected_calls=0,failed_calls=0
cmdstat_config|get:calls=2,usec=395,usec_per_call=197.50,rejected_calls=0,failed_calls=0
cmdstat_config|set:calls=4,usec=46009,usec_per_call=11502.25,rejected_calls=0,failed_calls=0
cmdstat_client|no-evict:calls=1,usec=44,usec_per_call=44.00,rejected_calls=0,failed_calls=0
cmdstat_command:calls=1,usec=47656,usec_per_call=47656.00,rejected_calls=0,failed_calls=0
cmdstat_auth:calls=1,usec=372,usec_per_call=372.00,rejected_calls=0,failed_calls=0

# Errorstats

# Latencystats
latency_percentiles_usec_ping:p50=4.015,p99=58.111,p99.9=58.111
latency_percentiles_usec_acl|setuser:p50=577.535,p99=577.535,p99.9=577.535
latency_percentiles_usec_config|get:p50=17.023,p99=378.879,p99.9=378.879
latency_percentiles_usec_config|set:p50=10.047,p99=46137.343,p99.9=46137.343
latency_percentiles_usec_client|no-evict:p50=44.031,p99=44.031,p99.9=44.031
latency_percentiles_usec_command:p50=47710.207,p99=47710.207,p99.9=47710.207
latency_percentiles_usec_auth:p50=372.735,p99=372.735,p99.9=372.735

# Cluster
cluster_enabled:0

# Cluster Info

# Scripting Engines
engines_count:1
engines_total_used_memory:51200
engines_total_memory_overhead:40
engine_0:name=LUA,module=lua,abi_version=4,used_memory=51200,memory_overhead=40

# Keyspace

# regears
version:0.1.0
engine:embedded
state:ready
ready:1
engine_up:1
uptime_seconds:16.271
resident_memory_bytes:297299968
cpu_seconds_total:2.952
clients:1
clients_accepted_total:2
clients_refused_total:0
executions_created:0
executions_running:0
executions_done:0
executions_aborted:0
executions_waiting:0
executions_ended_total_done:0
executions_ended_total_failed:0
executions_ended_total_aborted:0
execution_seconds_total:0
executions_slow_total:0
results_bytes:0
sessions_live:0
sessions_dead:0
queue_length:0
queue_oldest_seconds:0
queue_waits_total:0
queue_wait_seconds_total:0
interpreters_booting:0
interpreters_idle:1
interpreters_busy:0
interpreters_limit:4
executions_on_threads:0
interpreter_memory_bytes_1:34799616
interpreter_sessions_1:0
interpreter_tasks_1:0
interpreter_restarts_total_unstoppable:0
interpreter_restarts_total_memory:0
interpreter_restarts_total_sandbox:0
interpreter_restarts_total_fatal:0
posts_total:0
sandbox_denials_total:0
registrations_KeysReader:0
registrations_StreamReader:0
registrations_CommandReader:0
registrations_pending:0
registrations_failing:0
registrations_lag_seconds:0

# rg
rg_nexecutions:0
rg_nregistrations:0

# rg_regisrations

# rg_plugins
rg_GearsPythonPlugin:version=10000

# rg_python_stats
rg_TotalAllocated:34799616
rg_PeakAllocated:34799616
rg_CurrAllocated:34799616

# rg_python_requirements

# rg_python_sessions
