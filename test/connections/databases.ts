/** Real database servers for tests: Debian's postgresql and mariadb, each in a folder of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { type Client, connectClient } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { until } from "../support/waiting.ts";
import { emptyCache, folderOf, type WheelSpec } from "../support/wheels.ts";

export interface DatabaseServer {
  readonly port: number;
  /** Runs statements as its administrator. @returns what its client prints: lines of fields between tabs */
  sql(statements: string): string;
  stop(): Promise<void>;
}

/** What a suite's title says of a server that is not there; empty when it is. */
export const skipped = (name: string, program: string | undefined): string =>
  program === undefined ? ` (skipped: ${name} is not installed)` : "";

const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql").sort() : [];
const postgresFolder = versions
  .map((one) => `/usr/lib/postgresql/${one}/bin`)
  .findLast((one) => existsSync(`${one}/postgres`));
/** Where the programs are. */
export const POSTGRES: string | undefined = postgresFolder;
export const MARIADB: string | undefined = ["/usr/sbin/mariadbd", "/usr/sbin/mysqld"].find((one) => existsSync(one));
if (!POSTGRES) console.warn("postgresql was not found: the tests that need it are skipped");
if (!MARIADB) console.warn("mariadb-server was not found: the tests that need it are skipped");

const isRoot = userInfo().uid === 0;

/** Starts PostgreSQL with a user `test` whose password is `secret`, and a database `test`. */
export async function startPostgres(): Promise<DatabaseServer> {
  const folder = mkdtempSync(join(tmpdir(), "regears-pg-"));
  const port = await freePort();
  // it refuses to run as root
  const as = (program: string): string[] => (isRoot ? ["runuser", "-u", "postgres", "--", program] : [program]);
  if (isRoot) execFileSync("chown", ["postgres", folder]);
  const run = (program: string, ...args: string[]): string => {
    const [first = "", ...rest] = as(`${POSTGRES}/${program}`);
    return execFileSync(first, [...rest, ...args], {
      encoding: "utf8",
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    });
  };
  run("initdb", "-D", `${folder}/data`, "-A", "md5", "--auth-local=trust", "--no-sync", "-U", "admin");
  const [first = "", ...rest] = as(`${POSTGRES}/postgres`);
  const settings = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    `unix_socket_directories=${folder}`,
    "fsync=off",
    "password_encryption=md5",
  ];
  const args = ["-D", `${folder}/data`, ...settings.flatMap((one) => ["-c", one])];
  const child = spawn(first, [...rest, ...args], { stdio: "ignore", cwd: folder });
  const at = ["-h", folder, "-p", String(port), "-U", "admin"];
  const sql = (statements: string, database = "test"): string =>
    run("psql", ...at, "-d", database, "-qAtF", "\t", "-c", statements).trim();
  await until(() => answers(() => sql("SELECT 1", "postgres")), "PostgreSQL answers");
  sql("CREATE USER test PASSWORD 'secret'", "postgres");
  sql("CREATE DATABASE test OWNER test", "postgres");
  const end = (): void => void run("pg_ctl", "stop", "-D", `${folder}/data`, "-m", "immediate");
  return { port, sql: (statements) => sql(statements), stop: () => stop(child, folder, end) };
}

/** Starts MariaDB with a user `test` whose password is `secret`, and a database `test`. */
export async function startMariadb(): Promise<DatabaseServer> {
  const folder = mkdtempSync(join(tmpdir(), "regears-my-"));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const user = isRoot ? ["--user=root"] : [];
  const data = [`--datadir=${folder}/data`, "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"];
  execFileSync(
    "mariadb-install-db",
    ["--no-defaults", ...data, ...user, "--auth-root-authentication-method=normal", "--skip-test-db"],
    {
      stdio: "ignore",
    },
  );
  const socket = join(folder, "socket");
  const listening = [`--port=${port}`, "--bind-address=127.0.0.1", `--socket=${socket}`, `--pid-file=${folder}/pid`];
  const child = spawn(MARIADB as string, ["--no-defaults", ...data, ...user, ...listening], { stdio: "ignore" });
  const sql = (statements: string, database = "test"): string =>
    execFileSync("mariadb", ["--no-defaults", "-S", socket, "-u", "root", "-N", "-B", "-e", statements, database], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    }).trim();
  await until(() => answers(() => sql("SELECT 1", "mysql")), "MariaDB answers");
  sql("CREATE DATABASE test; CREATE USER test@'%' IDENTIFIED BY 'secret'; GRANT ALL ON test.* TO test@'%'", "mysql");
  return { port, sql: (statements) => sql(statements), stop: () => stop(child, folder, () => child.kill("SIGKILL")) };
}

function answers(ask: () => string): boolean {
  try {
    return ask() !== "";
  } catch {
    return false;
  }
}

async function stop(child: ChildProcess, folder: string, end: () => void): Promise<void> {
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  if (child.exitCode === null) {
    end();
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
}

/** The kinds that examples/databases know: the scheme of their URLs, and the driver that scripts require. */
export const KINDS = [
  { name: "MySQL", scheme: "mysql", driver: "PyMySQL", program: MARIADB, start: startMariadb },
  { name: "PostgreSQL", scheme: "postgresql", driver: "pg8000", program: POSTGRES, start: startPostgres },
] as const;

/** A server with these wheels whose scripts may connect to a database, and find its URL by `DatabaseURL`. */
export async function startBeside(
  scheme: string,
  { port }: DatabaseServer,
  wheels: readonly WheelSpec[],
): Promise<{ readonly server: RunningRegears; readonly client: Client }> {
  const packages = ["--packages-dir", folderOf(wheels), "--cache-dir", emptyCache()];
  const server = await startRegears([
    ...["--allow-connect", `127.0.0.1:${port}`, ...packages],
    ...["--pyodide-packages", "no", "--index-url", "no"],
  ]);
  const client = await connectClient(server.port);
  await client.call("RG.CONFIGSET", "DatabaseURL", `${scheme}://test:secret@127.0.0.1:${port}/test`);
  return { server, client };
}
