/** `regears exec`. */
import { describe, expect, it } from "vitest";
import { until } from "../support/waiting.ts";
import { finish, start } from "./program.ts";

const node = (code: string): string[] => ["--", process.execPath, "-e", code];

describe("regears exec", () => {
  it("runs a command with a server, and ends as that does", async () => {
    const code = `
      const { hostname, port } = new URL(process.env.REDIS_URL);
      const socket = require("node:net").connect(Number(port), hostname, () => socket.write("PING\\r\\n"));
      socket.on("data", (bytes) => { process.stdout.write(String(bytes)); process.exit(7); });`;
    expect(await finish(["exec", ...node(code)])).toEqual({ code: 7, out: "+PONG\r\n", err: "" });
  });

  it("passes signals on, and says by which one the command ended", async () => {
    const waits = "process.on('SIGTERM', () => process.exit(9)); console.log('waits'); setInterval(() => {}, 1000)";
    const { child, ended, so } = start(["exec", ...node(waits)]);
    await until(() => so().out.includes("waits"));
    child.kill("SIGTERM");
    expect((await ended).code).toBe(9);
    expect((await finish(["exec", ...node("process.kill(process.pid, 'SIGKILL')")])).code).toBe(137);
  });

  it("names the address of the server, and the user with a password, as redis-cli wants it", async () => {
    const code =
      "const { REDIS_URL, REDIS_HOST, REDIS_PORT } = process.env; console.log(REDIS_URL, REDIS_HOST, REDIS_PORT)";
    const { out } = await finish(["exec", "--requirepass", "se/cret", "--bind", "127.0.0.2", ...node(code)]);
    expect(out).toMatch(/^redis:\/\/default:se%2Fcret@127\.0\.0\.2:(\d+) 127\.0\.0\.2 \1\n$/);
  });

  it("says what is wrong", async () => {
    expect(await finish(["exec", "--", "/none/such"])).toMatchObject({
      ...{ code: 127, err: expect.stringContaining("/none/such can not be run") },
    });
    expect(await finish(["exec", "true"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("'exec' needs a command"),
    });
    expect(await finish(["exec", "--prot", "1", "--", "true"])).toMatchObject({
      ...{ code: 2, err: expect.stringContaining("'exec' has no option '--prot'; did you mean '--port'?") },
    });
  });
});
