// Does what the walks of docs/architecture.md tell of, in the built server, and prints for each which files had a function
// called meanwhile on the main thread: a JSON object of lists, as V8 counts calls.
import { once } from "node:events";
import { Session } from "node:inspector/promises";
import { createConnection } from "node:net";

const DIST = new URL("../../dist/", import.meta.url);
const { createServer } = await import(new URL("index.js", DIST).href);

const server = await createServer({ port: 0, loglevel: "warning" });
const profiler = new Session();
profiler.connect();
await profiler.post("Profiler.enable");
await profiler.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });

/** Files with functions that were called since this was asked last. */
async function calledFiles() {
  const { result } = await profiler.post("Profiler.takePreciseCoverage");
  return result
    .filter(({ url, functions }) => url.startsWith(DIST.href) && functions.some(({ ranges }) => ranges[0].count > 0))
    .map(({ url }) => url.slice(DIST.href.length).replace(/\.js$/, ".ts"))
    .sort();
}

const encode = (words) =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;

/** Sends commands of one client, each when the one before is answered; a list of commands is a pipeline. */
async function send(...commands) {
  const socket = createConnection(server.port);
  for (const words of commands) {
    socket.write(Array.isArray(words[0]) ? words.map(encode).join("") : encode(words));
    const [reply] = await once(socket, "data");
    if (reply[0] === 0x2d) throw new Error(`${words.join(" ")}: ${reply}`);
  }
  socket.end();
  await once(socket, "close");
}

const script = (code) => ["RG.PYEXECUTE", code];
const walks = {
  // first, as an interpreter's first command opens its connection
  execute: [
    script("GB('CommandReader').map(lambda r: execute('GET', 'key')).register(trigger='get')"),
    ["RG.TRIGGER", "get"],
  ],
  set: [["SET", "key", "1"]],
  flow: [
    // few keys would be read in Python's own thread
    ["MSET", ...Array.from({ length: 200 }, (_, number) => [`many:${number}`, ""]).flat()],
    script("GB().map(lambda r: r['value']).run('many:*')"),
  ],
  event: [script("GB().foreach(lambda r: 1).register('key', mode='sync')"), ["SET", "key", "2"]],
  chunk: [
    // on a connection that the engine knows
    ["SET", "other", "2"],
    Array.from({ length: 50 }, (_, number) => ["SET", "key", String(number)]),
  ],
};
const files = {};
for (const [name, commands] of Object.entries(walks)) {
  await calledFiles();
  await send(...commands);
  files[name] = await calledFiles();
}
await server.close();
process.stdout.write(`${JSON.stringify(files)}\n`);
