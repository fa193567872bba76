/** Takes a directory, says so, and lives until it is killed. Its argument is the directory. */
import { DirectoryLock } from "../../src/store/directory-lock.ts";

const lock = new DirectoryLock({ directory: process.argv[2] ?? "", log: { warn: () => {} } });
lock.take().then(
  () => process.stdout.write("taken\n"),
  (error: Error) => process.stdout.write(`${error.message}\n`),
);
process.stdin.resume();
