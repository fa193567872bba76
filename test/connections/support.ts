/** Servers that tests connect to, and scripts that tell what they have seen. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client, Value } from "../support/client.ts";
import { debianWheel, type WheelSpec } from "../support/wheels.ts";

/** A TCP server in this process. */
export interface TestServer {
  readonly port: number;
  /** Connections that are open. */
  readonly sockets: Set<Socket>;
  /** Connections that there ever were. */
  readonly accepted: () => number;
  close(): Promise<void>;
}

/** Starts a server on a free port of this machine. */
export async function serve(
  onConnection: (socket: Socket) => void,
  server: Server = createServer({ allowHalfOpen: true }),
): Promise<TestServer> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on("connection", (socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("it listens nowhere");
  return {
    ...{ port: address.port, sockets, accepted: () => accepted },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** One that sends back what it gets, and the end as well. */
export const serveEcho = (): Promise<TestServer> => serve((socket) => socket.pipe(socket));

/** A script of the fixtures with these words replaced. */
export function fixture(name: string, words: Readonly<Record<string, number | string>>): string {
  const text = readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
  return Object.entries(words).reduce((all, [word, value]) => all.replaceAll(word, String(value)), text);
}

/** Runs a script, and gives what it has left in `seen`. */
export async function seenBy(client: Client, script: string, ...more: string[]): Promise<unknown> {
  const told = `${script}\nimport json\nGB('ShardsIDReader').map(lambda x: json.dumps(seen)).run()`;
  const reply = (await client.call("RG.PYEXECUTE", told, ...more)) as [[string], Value[]];
  if (reply[1].length > 0) throw new Error(String(reply[1]));
  return JSON.parse(reply[0][0]);
}

const LIBRARIES: Record<string, readonly [modules: readonly string[], requires?: readonly string[]]> = {
  redis: [["redis"], ["async-timeout", "packaging"]],
  "async-timeout": [["async_timeout"]],
  packaging: [["packaging"]],
  PyMySQL: [["pymysql"]],
  pg8000: [["pg8000"], ["six", "distutils-version"]],
  six: [["six.py"]],
  SQLAlchemy: [["sqlalchemy"]],
};

/** Debian's libraries as wheels, and what is missing of them, for a suite's title. */
export function clientLibraries(): { readonly wheels: readonly WheelSpec[]; readonly missing: string } {
  const found = Object.entries(LIBRARIES).map(([name, [modules, requires]]) => ({
    name,
    wheel: debianWheel(name.replaceAll("-", "_"), modules, requires) ?? debianWheel(name, modules, requires),
  }));
  // Debian's pg8000 is of a time when Python still had distutils, of which it only compares versions by this
  const loose =
    "class LooseVersion(tuple):\n    def __new__(cls, text): return tuple(map(int, text.split()[0].split('.')))\n";
  const distutils: WheelSpec = {
    ...{ name: "distutils-version", version: "1.0" },
    files: [
      { path: "distutils/__init__.py", content: "" },
      { path: "distutils/version.py", content: loose },
    ],
  };
  const missing = found.filter(({ wheel }) => !wheel).map(({ name }) => name);
  return {
    wheels: [distutils, ...found.flatMap(({ wheel }) => (wheel ? [wheel] : []))],
    missing: missing.length === 0 ? "" : ` (skipped: Debian's ${missing.join(", ")} are not installed)`,
  };
}

/**
 * Has pip get wheels that Debian has no fitting version of, once for all runs.
 * @returns their folder; undefined: pip is not there, or can not get them
 */
export function downloaded(...requirements: readonly string[]): string | undefined {
  const folder = join(tmpdir(), "regears-test-wheels");
  mkdirSync(folder, { recursive: true });
  const args = [
    "download",
    "-q",
    "--no-deps",
    "--only-binary",
    ":all:",
    "--retries",
    "1",
    "--timeout",
    "10",
    "-d",
    folder,
  ];
  try {
    execFileSync("pip", [...args, "--find-links", folder, ...requirements], { stdio: "ignore", timeout: 60_000 });
    return folder;
  } catch {
    console.warn(`pip could not get ${requirements.join(", ")}: the tests that need them are skipped`);
    return undefined;
  }
}
