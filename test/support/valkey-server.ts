/**
 * A real valkey-server 9 for tests in which it reads what this server has written: named by `REGEARS_VALKEY_SERVER`, or Debian's
 * package, unpacked with what it needs into a folder of its own, for no release of Debian that is in use has it.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { type Client, connectClient } from "./client.ts";
import { freePort } from "./ports.ts";
import { until } from "./waiting.ts";

/** How the server is started, or why there is none (for a skipped suite's title). */
export interface ValkeyProgram {
  readonly command: readonly string[] | undefined;
  readonly skipped: string;
}

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const FOLDER = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "regears-tests", "valkey-server-9");
/** The folders of the libraries and the loader, by what Node calls the machine. */
const MACHINES: Readonly<Record<string, readonly [libraries: string, loader: string]>> = {
  x64: ["x86_64-linux-gnu", "ld-linux-x86-64.so.2"],
  arm64: ["aarch64-linux-gnu", "ld-linux-aarch64.so.1"],
};

let found: ValkeyProgram | undefined;

/** The reason of a failure is printed. */
export function findValkeyServer(): ValkeyProgram {
  if (found) return found;
  const named = process.env.REGEARS_VALKEY_SERVER;
  try {
    found = { command: named ? [named] : unpacked(), skipped: "" };
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split("\n");
    console.warn(`no valkey-server 9: the tests that need it are skipped: ${reason}`);
    found = { command: undefined, skipped: ` (skipped: ${reason})` };
  }
  return found;
}

function unpacked(): readonly string[] {
  const [libraries, loader] = MACHINES[process.arch] ?? [];
  if (libraries === undefined || loader === undefined || !existsSync("/usr/bin/apt-get"))
    throw new Error("there is no apt-get, and REGEARS_VALKEY_SERVER names none");
  const path = join(FOLDER, "usr/lib", libraries);
  const program = join(FOLDER, "usr/bin/valkey-check-rdb");
  if (!existsSync(program)) unpack();
  // one program under several names
  return [join(path, loader), "--library-path", path, "--argv0", "valkey-server", program];
}

/** Other test files may do the same at the same time: the folder appears when it is whole, and whose is first stays. */
function unpack(): void {
  mkdirSync(dirname(FOLDER), { recursive: true });
  const work = mkdtempSync(`${FOLDER}-`);
  try {
    downloadInto(work);
    const root = join(work, "root");
    for (const name of readdirSync(join(work, "cache/archives")).filter((file) => file.endsWith(".deb")))
      execFileSync("dpkg-deb", ["-x", join(work, "cache/archives", name), root], { stdio: "ignore" });
    if (!existsSync(FOLDER)) renameSync(root, FOLDER);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function downloadInto(work: string): void {
  for (const folder of ["lists/partial", "cache/archives/partial", "root"])
    mkdirSync(join(work, folder), { recursive: true });
  writeFileSync(join(work, "sources.list"), `deb [signed-by=${KEYRING}] ${mirror()} sid main\n`);
  writeFileSync(join(work, "status"), "");
  const settings = {
    "Dir::State::lists": join(work, "lists"),
    "Dir::State::status": join(work, "status"),
    "Dir::Cache": join(work, "cache"),
    "Dir::Etc::sourcelist": join(work, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "APT::Sandbox::User": "root",
    "Debug::NoLocking": "true",
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const apt = (...args: string[]): void => {
    execFileSync("/usr/bin/apt-get", [...options, ...args], { stdio: ["ignore", "ignore", "pipe"], timeout: 180_000 });
  };
  apt("update");
  apt("install", "-y", "--no-install-recommends", "--download-only", "valkey-server");
}

/** Where this machine gets Debian's packages. */
function mirror(): string {
  const format = ["--format", "$(REPO_URI)", "Created-By: Packages"];
  const known = execFileSync("/usr/bin/apt-get", ["indextargets", ...format], { encoding: "utf8" }).split("\n");
  const debian = known.find((one) => /\/debian\/?$/.test(one));
  if (debian === undefined) throw new Error("apt knows no mirror of Debian");
  return debian;
}

/** A running one, that has to be stopped. */
export interface RealValkey {
  readonly port: number;
  readonly client: Client;
  /** What it has printed. */
  output(): string;
  stop(): Promise<void>;
}

/** Starts one that listens on a free port; it answers when this resolves. */
export async function startValkey(command: readonly string[], args: readonly string[]): Promise<RealValkey> {
  const port = await freePort();
  const [program = "", ...before] = command;
  const child: ChildProcess = spawn(program, [
    ...before,
    "--port",
    String(port),
    "--enable-debug-command",
    "yes",
    ...args,
  ]);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (bytes: Buffer) => (output += bytes));
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
  };
  try {
    await until(() => /Ready to accept connections/.test(output) || child.exitCode !== null, "valkey-server is ready");
    const client = await connectClient(port);
    return { port, client, output: () => output, stop };
  } catch (error) {
    await stop();
    throw new Error(`valkey-server does not start: ${output}`, { cause: error });
  }
}
