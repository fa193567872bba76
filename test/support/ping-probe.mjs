/**
 * The child process of ping-probe.ts: sends one PING after the other to a server, and tells the slowest when its parent asks.
 * Usage: node ping-probe.mjs PORT; the parent speaks to it by IPC.
 */
import { connect } from "node:net";

const PAUSE_MS = 2;
const [port] = process.argv.slice(2);
const socket = connect(Number(port), "127.0.0.1");
socket.setNoDelay(true);

let [slowest, count, sentAt] = [0, 0, 0];

function ping() {
  sentAt = performance.now();
  socket.write("PING\r\n");
}

socket.on("connect", ping);
socket.on("data", () => {
  slowest = Math.max(slowest, performance.now() - sentAt);
  if (++count === 1) process.send({ kind: "ready" });
  sentAt = 0;
  setTimeout(ping, PAUSE_MS);
});
socket.on("close", () => process.send?.({ kind: "closed" }));
socket.on("error", () => {});

process.on("message", () => {
  // A PING that is still without an answer counts with the time that it has waited.
  const waiting = sentAt > 0 ? performance.now() - sentAt : 0;
  process.send({ kind: "result", slowestMs: Math.max(slowest, waiting), count });
  process.exit(0);
});
