/**
 * The child process of ping-probe.ts: sends one PING after the other to a server, and tells how long they took when its parent
 * asks.
 * Usage: node ping-probe.mjs PORT; the parent speaks to it by IPC.
 */
import { connect } from "node:net";

const PAUSE_MS = 2;
const [port] = process.argv.slice(2);
const socket = connect(Number(port), "127.0.0.1");
socket.setNoDelay(true);

const times = [];
let sentAt = 0;

function ping() {
  sentAt = performance.now();
  socket.write("PING\r\n");
}

socket.on("connect", ping);
socket.on("data", () => {
  times.push(performance.now() - sentAt);
  if (times.length === 1) process.send({ kind: "ready" });
  sentAt = 0;
  setTimeout(ping, PAUSE_MS);
});
socket.on("close", () => process.send?.({ kind: "closed" }));
socket.on("error", () => {});

process.on("message", () => {
  // A PING that is still without an answer counts with the time that it has waited.
  if (sentAt > 0) times.push(performance.now() - sentAt);
  times.sort((one, other) => one - other);
  const p99Ms = times[Math.floor((times.length - 1) * 0.99)];
  process.send({ kind: "result", slowestMs: times.at(-1), p99Ms, count: times.length });
  process.exit(0);
});
