/**
 * The child process of ping-probe.ts: sends one PING after the other to a server, and tells how long they took when its parent
 * asks.
 * Usage: node ping-probe.mjs PORT [PID]; the parent speaks to it by IPC. With the server's process id it also tells how long
 * they took without the time in which the server's main thread, or this one, was ready to run and had no core.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";

const PAUSE_MS = 2;
const [port, pid] = process.argv.slice(2);
const socket = connect(Number(port), "127.0.0.1");
socket.setNoDelay(true);

const times = [];
let heldMs = 0;
let sentAt = 0;
let coreless = 0;

/** Milliseconds that a process' main thread has waited for a core so far; 0 where the system does not tell. */
function withoutCore(process) {
  try {
    return Number(readFileSync(`/proc/${process}/task/${process}/schedstat`, "latin1").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}
const bothWithoutCore = () => (pid === undefined ? 0 : withoutCore(pid) + withoutCore(process.pid));

function ping() {
  coreless = bothWithoutCore();
  sentAt = performance.now();
  socket.write("PING\r\n");
}

function note() {
  const ms = performance.now() - sentAt;
  times.push(ms);
  heldMs = Math.max(heldMs, ms - (bothWithoutCore() - coreless));
}

socket.on("connect", ping);
socket.on("data", () => {
  note();
  if (times.length === 1) process.send({ kind: "ready" });
  sentAt = 0;
  setTimeout(ping, PAUSE_MS);
});
socket.on("close", () => process.send?.({ kind: "closed" }));
socket.on("error", () => {});

process.on("message", () => {
  // A PING that is still without an answer counts with the time that it has waited.
  if (sentAt > 0) note();
  times.sort((one, other) => one - other);
  const p99Ms = times[Math.floor((times.length - 1) * 0.99)];
  const [slowestMs, secondMs = 0] = times.slice(-2).reverse();
  process.send({ kind: "result", slowestMs, secondMs, p99Ms, heldMs, count: times.length });
  process.exit(0);
});
