/**
 * A `globalSetup` of vitest: one server for all files of a run. They find it by the variable `REDIS_URL`, and by
 * `inject("redisUrl")`. Vitest gives a global set-up all the time that it takes, so it is also the place where the image of
 * Python is made for those files that start servers of their own.
 */
import { startServer } from "./test-server.ts";

/** What vitest gives a global set-up, as far as it is needed here. */
interface Project {
  provide?(key: string, value: string): void;
}

/** Starts the server. @returns what stops it */
export default async function setup(project?: Project): Promise<() => Promise<void>> {
  const server = await startServer();
  process.env.REDIS_URL = server.url;
  project?.provide?.("redisUrl", server.url);
  return () => server.close();
}
