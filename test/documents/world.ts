/**
 * A small world to do in what a document says: a folder, a network and processes of its own, in which port 6379 is free,
 * `npm install -g regears` installs this checkout, and everything that was started ends at the end.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findPython } from "../support/redis-py.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));
const LIMIT_MS = 280_000;
const OWN_NAMESPACES = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
/** Nothing can be reached there before. */
const OPEN_LOOPBACK = "ip link set lo up";

export interface Outcome {
  readonly status: number;
  /** What came on standard output and standard error. */
  readonly output: string;
}

/** Why no world can be made on this machine; undefined when it can. */
export function whyNoWorld(): string | undefined {
  const check = `${OPEN_LOOPBACK} && for i in redis-cli redis-server curl tar; do command -v $i || { echo "no $i"; exit 1; }; done`;
  const { status, stdout, stderr, error } = spawnSync("unshare", inWorld(check), { encoding: "utf8" });
  if (status === 0) {
    const version = Number(/redis-cli (\d+)/.exec(execFileSync("redis-cli", ["--version"], { encoding: "utf8" }))?.[1]);
    if (version < 7) return `redis-cli is of version ${version}, not 7`;
    return findPython().path === undefined ? "no Python with redis-py" : undefined;
  }
  return error ? String(error) : `${stdout}${stderr}`.trim().split("\n").at(-1);
}

function inWorld(script: string): string[] {
  const rights = process.getuid?.() === 0 ? [] : ["--map-root-user"];
  return [...rights, ...OWN_NAMESPACES, "bash", "-c", script];
}

interface Step {
  /** A file to write before, beside which the shell stands. */
  readonly file?: { readonly name: string; readonly text: string };
  readonly command: string;
}

export class World {
  readonly #steps: Step[] = [];

  /** Adds something to do in the one shell of this world. Gives its number, for the result of {@link run}. */
  add(command: string, file?: Step["file"]): number {
    return this.#steps.push({ command, ...(file && { file }) }) - 1;
  }

  /** Adds a file of test/documents/set-ups. */
  addSetUp(name: string): number {
    return this.add(readFileSync(join(HERE, "set-ups", name), "utf8"));
  }

  /** Adds a program in a language that is not the shell's. */
  addProgram(language: "js" | "python", text: string): number {
    const [interpreter, ending] = language === "js" ? ["node", "mjs"] : ["python3", "py"];
    const name = `block-${this.#steps.length}.${ending}`;
    return this.add(`${interpreter} ${name}`, { name, text });
  }

  /** Does everything, in order. @returns what came of each step; those that were not reached, or did not end, have none */
  async run(): Promise<Outcome[]> {
    const folder = mkdtempSync(join(tmpdir(), "regears-documents-"));
    try {
      furnish(folder);
      for (const [index, { command, file }] of this.#steps.entries()) {
        writeFileSync(join(folder, "steps", String(index)), command);
        if (file) writeFileSync(join(folder, "here", file.name), file.text);
      }
      await this.#type(folder);
      return this.#steps
        .map((_, index) => outcome(join(folder, "steps", String(index))))
        .filter((one) => one !== undefined);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Runs the shell until its end. */
  #type(folder: string): Promise<void> {
    const script = [
      OPEN_LOOPBACK,
      `step() { eval "$(cat "$WORLD/steps/$1")" >"$WORLD/steps/$1.out" 2>&1 </dev/null; echo $? >"$WORLD/steps/$1.status"; }`,
      ...this.#steps.map((_, index) => `step ${index}`),
    ].join("\n");
    const env = {
      ...process.env,
      ROOT,
      WORLD: folder,
      PATH: `${join(folder, "bin")}:${process.env.PATH}`,
      // redis-cli prints as on a terminal
      FAKETTY: "1",
    };
    const shell = spawn("unshare", inWorld(script), { cwd: join(folder, "here"), env, stdio: "ignore" });
    const limit = setTimeout(() => shell.kill("SIGKILL"), LIMIT_MS);
    return new Promise((resolve) => {
      shell.once("close", () => {
        clearTimeout(limit);
        resolve();
      });
    });
  }
}

/** Puts into a folder what a reader has: this checkout's examples and package, and the clients of the blocks. */
function furnish(folder: string): void {
  const link = (target: string, name: string): void => symlinkSync(target, join(folder, name));
  for (const name of ["bin", "steps", "here", "here/node_modules"]) mkdirSync(join(folder, name));
  for (const stub of ["regears", "npm"]) link(join(HERE, "bin", stub), `bin/${stub}`);
  link(findPython().path ?? "", "bin/python3");
  link(join(ROOT, "examples"), "here/examples");
  for (const name of ["redis", "ioredis"]) link(join(ROOT, "node_modules", name), `here/node_modules/${name}`);
  link(join(folder, "prefix/lib/node_modules/regears"), "here/node_modules/regears");
  const pack = ["pack", "--silent", "--ignore-scripts", "--pack-destination", folder];
  link(execFileSync("npm", pack, { cwd: ROOT, encoding: "utf8" }).trim(), "regears.tgz");
}

function outcome(step: string): Outcome | undefined {
  if (!existsSync(`${step}.status`)) return undefined;
  return { status: Number(readFileSync(`${step}.status`, "utf8")), output: readFileSync(`${step}.out`, "utf8") };
}
