/** By which way the code of an execution has come: together with others in a chunk, or alone. */
import type { Client } from "./client.ts";

/** Lines of a script: `how()` notes that, under `how:chunk` or `how:alone`. */
export const HOW = [
  "import asyncio, sys, time",
  "def how():",
  "    frame, names = sys._getframe(), set()",
  "    while frame: names.add(frame.f_code.co_name); frame = frame.f_back",
  "    execute('INCR', 'how:chunk' if '_run_in_chunk' in names else 'how:alone')",
];

/** How many executions have come in a chunk. */
export const inChunks = async (client: Client): Promise<number> => Number(await client.call("GET", "how:chunk"));
