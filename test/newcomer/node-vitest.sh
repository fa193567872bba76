#!/usr/bin/env bash
# Somebody with a project of Node.js and tests in vitest.
source "$(dirname "$0")/begin.sh"
install ./regears-*.tgz vitest redis typescript @types/node
cat >totals.py <<'PYTHON'
GB('StreamReader').foreach(lambda m: execute('INCRBY', 'total', m['value']['price'])).register('orders', batch=10, duration=60000)
PYTHON
cat >totals.test.ts <<'TYPESCRIPT'
import { createClient } from "redis";
import { type TestServer, startServer } from "regears/testing";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
}, 60_000);
beforeEach(() => server.reset());
afterAll(() => server.close());

it("adds up what orders cost, a minute later at most", async () => {
  await server.load("totals.py");
  const client = await createClient({ url: server.url }).connect();
  await client.xAdd("orders", "*", { price: "3" });
  await client.xAdd("orders", "*", { price: "4" });
  await server.fastForward(60_000);
  expect(await client.get("total")).toBe("7");
  client.destroy();
});

it("begins with nothing", async () => {
  expect(await server.call("KEYS", "*")).toEqual([]);
});
TYPESCRIPT
cat >shared.test.js <<'JAVASCRIPT'
import { expect, inject, it } from "vitest";

it("finds the server of all files", () => {
  expect(process.env.REDIS_URL).toMatch(/^redis:\/\/127\.0\.0\.1:\d+$/);
  expect(inject("redisUrl")).toBe(process.env.REDIS_URL);
});
JAVASCRIPT
echo 'export default { test: { globalSetup: "regears/testing/vitest" } };' >vitest.config.js
npx vitest run
npx tsc --noEmit --strict --skipLibCheck --target es2023 --module nodenext --types node totals.test.ts
cat >app.mjs <<'JAVASCRIPT'
import { createServer } from "regears";
const server = await createServer({ port: 0, log: false });
if (typeof server.port !== "number" || !server.url.endsWith(String(server.port))) throw new Error(server.url);
await createServer({ "metrics-port": 1 }).catch(({ message }) => console.log(message));
await server.close();
JAVASCRIPT
node app.mjs | expect "unknown option 'metrics-port'; did you mean 'metricsPort'?"
npx regears exec -- node -e 'console.log(process.env.REDIS_URL.slice(0, 18))' | expect "redis://127.0.0.1:"
