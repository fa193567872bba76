/** The server as a process: how fast it is there, and what it takes. */
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "../client.ts";
import type { Trial } from "../row.ts";

const MB = 1024 * 1024;

export const processes: readonly Trial[] = [
  {
    name: "start, until the server is ready",
    unit: "ms",
    plain: true,
    measure: async (start) => (await start()).startMs,
  },
  {
    name: "start, until the first script is answered",
    unit: "ms",
    async measure(start) {
      const server = await start();
      const began = performance.now();
      const client = await Client.open(server.port);
      await client.must("RG.PYEXECUTE", "x = 1");
      client.close();
      return server.startMs + performance.now() - began;
    },
  },
  {
    name: "memory at rest",
    unit: "MB",
    plain: true,
    async measure(start) {
      const server = await start();
      await delay(8_000);
      return server.memory() / MB;
    },
  },
];
