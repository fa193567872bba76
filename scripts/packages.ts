/**
 * What packages cost: their installation, the next session, the next start, an import, and memory; with and without `preload`.
 * Takes about a minute, on a machine that does nothing else: `npx tsx scripts/packages.ts`, and `npm run docs` after it, which
 * writes the figures into docs/packages.md.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { spread } from "../bench/statistics.ts";
import { type Client, connectClient, type Value } from "../test/support/client.ts";
import { figure } from "../test/support/figures.ts";
import { removeFolders } from "../test/support/folders.ts";
import { pidOf, residentMb } from "../test/support/processes.ts";
import { type RunningRegears, startRegears } from "../test/support/regears.ts";
import { debianWheel, emptyCache, wheel } from "../test/support/wheels.ts";
import { measuredOn } from "./measured-on.ts";

process.env.REGEARS_FIGURES ??= fileURLToPath(new URL("../bench/results/packages", import.meta.url));
process.on("exit", removeFolders);

const ROUNDS = Number(process.env.ROUNDS ?? 3);
/** Bytes of the wheel, roughly. */
const SIZE = 5_000_000;

const library = debianWheel("SQLAlchemy", ["sqlalchemy"]);
if (!library) throw new Error("Debian's python3-sqlalchemy is not installed");
const code = wheel(library).bytes.length;
const made = wheel({
  ...library,
  files: [...(library.files ?? []), { path: "sqlalchemy/data.bin", content: randomBytes(SIZE - code) }],
});
const modules = library.files?.filter(({ path }) => path.endsWith(".py")).length;

const index = createServer((request, response) => {
  if (request.url === `/${made.fileName}`) response.end(made.bytes);
  else if (request.url === "/simple/sqlalchemy/") {
    response.setHeader("content-type", "text/html");
    response.end(`<a href="/${made.fileName}">${made.fileName}</a>`);
  } else response.writeHead(404).end();
});
await new Promise<void>((resolve) => index.listen(0, "127.0.0.1", resolve));
const indexUrl = `http://127.0.0.1:${(index.address() as AddressInfo).port}/simple`;

const IMPORTING = `
import time
begun = time.perf_counter()
import sqlalchemy
took = (time.perf_counter() - begun) * 1000
GB('ShardsIDReader').map(lambda x: took).run()`;
const ASKED = ["REQUIREMENTS", "SQLAlchemy"];

interface Round {
  readonly [what: string]: number;
}

async function timed<T>(act: () => Promise<T>): Promise<[number, T]> {
  const begun = performance.now();
  const value = await act();
  return [performance.now() - begun, value];
}

const importMs = async (client: Client, ...asked: string[]): Promise<number> =>
  Number(((await client.call("RG.PYEXECUTE", IMPORTING, ...asked)) as Value[][])[0]?.[0]);

/** MB of the memory of the interpreter that has most. */
const heapMb = async (client: Client): Promise<number> => {
  const info = String(await client.call("RG.INFO"));
  return Math.max(
    ...[...info.matchAll(/^interpreter_memory_bytes_\d+:(\d+)/gm)].map(([, bytes]) => Number(bytes) / 1024 / 1024),
  );
};

async function withServer<T>(
  args: readonly string[],
  act: (client: Client, server: RunningRegears) => Promise<T>,
): Promise<T> {
  const server = await startRegears(["--pyodide-packages", "no", "--index-url", indexUrl, ...args]);
  const client = await connectClient(server.port);
  try {
    return await act(client, server);
  } finally {
    client.close();
    await server.stop();
  }
}

async function round(): Promise<Round> {
  const cache = ["--cache-dir", emptyCache(), "--execution-threads", "1"];
  const start = async (...more: string[]): Promise<number> =>
    (await timed(() => withServer([...cache, ...more], () => Promise.resolve())))[0];
  const startMs = await start();
  const first = await withServer(cache, async (client, server) => {
    await client.call("RG.PYEXECUTE", "pass");
    const without = { heap: await heapMb(client), resident: residentMb(pidOf(server)) };
    const [installMs] = await timed(() => client.call("RG.PYEXECUTE", "pass", ...ASKED));
    const [nextMs] = await timed(() => client.call("RG.PYEXECUTE", "pass", ...ASKED));
    const imported = await importMs(client, ...ASKED);
    return { without, installMs, nextMs, imported, heap: await heapMb(client), resident: residentMb(pidOf(server)) };
  });
  const restartMs = await withServer(
    cache,
    async (client) => (await timed(() => client.call("RG.PYEXECUTE", "pass", ...ASKED)))[0],
  );
  const preload = [...cache, "--preload", "SQLAlchemy"];
  const [preloadingMs] = await timed(() => withServer(preload, () => Promise.resolve()));
  const preloadedMs = await start("--preload", "SQLAlchemy");
  const preloaded = await withServer(preload, async (client, server) => {
    const imported = await importMs(client);
    return { imported, heap: await heapMb(client), resident: residentMb(pidOf(server)) };
  });
  return {
    ...{ startMs, installMs: first.installMs, nextMs: first.nextMs, restartMs, importMs: first.imported },
    ...{ heapWithout: first.without.heap, heapImported: first.heap, heapPreloaded: preloaded.heap },
    ...{
      residentWithout: first.without.resident,
      residentImported: first.resident,
      residentPreloaded: preloaded.resident,
    },
    ...{ preloadingMs, preloadedMs, preloadedImportMs: preloaded.imported },
  };
}

const where = measuredOn();
const rounds: Round[] = [];
for (let n = 0; n < ROUNDS; n++) rounds.push(await round());
index.close();

/** The median of all rounds. */
const median = (what: string): number => spread(rounds.map((one) => one[what] ?? 0)).median;
const ms = (what: string): string =>
  median(what) < 1 ? `${median(what).toFixed(3)} ms` : `${Math.round(median(what))} ms`;
const mb = (what: string): string => `${Math.round(median(what))} MB`;

figure("1-machine", `Measured on (medians of ${ROUNDS} rounds)`, where);
figure(
  "2-install",
  `First installation: ${(made.bytes.length / 1e6).toFixed(1)} MB by a local index (SQLAlchemy with ${modules} modules, and data), unpacked and compiled, until the script is answered`,
  ms("installMs"),
);
figure("3-next", "The next script that requires it", ms("nextMs"));
figure("4-restart", "The first script that requires it after a restart", ms("restartMs"));
figure(
  "5-import",
  "`import sqlalchemy`, from its bytecode; with `preload`",
  `${ms("importMs")}; ${ms("preloadedImportMs")}`,
);
figure(
  "6-start",
  "Start and end of a server: without packages; with `preload`; with `preload` whose snapshot has to be made",
  `${ms("startMs")}; ${ms("preloadedMs")}; ${ms("preloadingMs")}`,
);
figure(
  "7-heap",
  "Memory of Python in an interpreter: without packages; that has imported it; with `preload`",
  `${mb("heapWithout")}; ${mb("heapImported")}; ${mb("heapPreloaded")}`,
);
figure(
  "8-resident",
  "Memory of the whole server: one script without packages; then one that imports it, in an interpreter of its own; with `preload`",
  `${mb("residentWithout")}; ${mb("residentImported")}; ${mb("residentPreloaded")}`,
);
