/**
 * INFO of the engine in this process. It knows neither sockets nor processes, and what it says of them is invented; clients
 * and their tests read these fields. `arch_bits` is 64, although its pointers have 32 bits: clients leave out by it what
 * takes integers or lengths of 64 bits, and these it has.
 */
import { totalmem } from "node:os";

/** What the server knows in the engine's place. */
interface ServerFacts {
  readonly port: number;
  readonly clients: number;
  readonly accepted: number;
  readonly refused: number;
  readonly maxClients: number;
  /** Absolute path; empty: there is none. */
  readonly configFile: string;
  /** The `maxmemory` that was set; 0: as much as there can be. */
  readonly maxMemory: number;
}

/** The text of INFO with the server's facts in it; what is not there is not added. */
export function withFacts(info: Buffer, facts: ServerFacts): Buffer {
  const total = totalmem();
  const cpu = process.cpuUsage();
  const fields: Readonly<Record<string, string | number>> = {
    arch_bits: 64,
    process_id: process.pid,
    tcp_port: facts.port,
    used_cpu_user: (cpu.user / 1e6).toFixed(6),
    used_cpu_sys: (cpu.system / 1e6).toFixed(6),
    config_file: facts.configFile,
    executable: process.argv[1] ?? process.execPath,
    connected_clients: facts.clients,
    maxclients: facts.maxClients,
    total_connections_received: facts.accepted,
    rejected_connections: facts.refused,
    total_system_memory: total,
    total_system_memory_human: human(total),
    ...(facts.maxMemory === 0 ? { maxmemory: 0, maxmemory_human: "0B" } : {}),
  };
  const changed = info
    .toString("latin1")
    .replace(/^(\w+):.*?(?=\r?$)/gm, (line, name: string) => (name in fields ? `${name}:${fields[name]}` : line))
    // Redis' name of it; Valkey has both only when it is to pass for Redis
    .replace(/^(?=server_mode:(\w+))/m, "redis_mode:$1\r\n")
    // where the engine believes to listen
    .replace(/^listener\d+:.*\r\n/gm, "");
  return Buffer.from(changed, "latin1");
}

const human = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(2)}G`;
