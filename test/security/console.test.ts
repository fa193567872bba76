/** Attacks on the console's port: what other pages, strangers and users with few rights try. */
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { ConsoleClient } from "../support/console-client.ts";
import { freePort } from "../support/ports.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const outside = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === "IPv4" && !address.internal)?.address;

let server: RunningRegears;
let admin: Client;
let port = 0;
let page: ConsoleClient;

beforeAll(async () => {
  port = await freePort();
  server = await startRegears([
    ...["--http-port", String(port), "--http-bind", "0.0.0.0", "--requirepass", "secret"],
    ...["--http-host", "console.example"],
  ]);
  admin = await connectClient(server.port);
  await admin.call("AUTH", "secret");
  await admin.call("ACL", "SETUSER", "reader", "on", ">reading", "~*", "+@read", "+ping");
  await admin.call("ACL", "SETUSER", "nobody", "on", ">nothing", "+ping");
});
beforeEach(() => {
  page = new ConsoleClient(port);
});
afterAll(async () => {
  admin?.close();
  await server?.stop();
});

describe("without a login", () => {
  it.each([
    ["GET", "/api/session"],
    ["GET", "/api/history"],
    ["GET", "/api/slow"],
    ["GET", "/api/log"],
    ["POST", "/api/run"],
    ["POST", "/api/logout"],
    ["GET", "/api/anything"],
  ])("%s %s gives nothing", async (method, path) => {
    const { status, json } = await page.ask(path, {
      method,
      ...(method === "POST" && { body: { args: ["RG.INFO"] } }),
    });
    expect([status, json]).toEqual([401, { error: "NOAUTH log in first", passwordless: false }]);
  });

  it.each([
    ["default", "wrong"],
    ["default", ""],
    ["regears", ""],
    ["who", "secret"],
  ])("%s with the password '%s' is not let in", async (user, password) => {
    const answer = await page.login(user, password);
    expect(answer.status).toBe(401);
    expect(String(answer.json.error)).toMatch(/^WRONGPASS/);
    expect(answer.headers["set-cookie"]).toBeUndefined();
  });

  it("guessed cookies are none", async () => {
    await page.login("default", "secret");
    const [name, token = ""] = page.cookie.split("=");
    const guesses = [
      "",
      "undefined",
      "__proto__",
      token.slice(0, -1),
      `${token}A`,
      token.toLowerCase(),
      "A".repeat(43),
    ];
    for (const guess of guesses) {
      page.cookie = `${name}=${guess}`;
      expect((await page.ask("/api/session")).status, guess).toBe(401);
    }
    page.cookie = `x=1; ${name}=${token}; y`;
    expect((await page.ask("/api/session")).json).toEqual({ user: "default" });
  });

  it("a cookie is for this page only, and no longer good after the logout", async () => {
    const { headers } = await page.login("default", "secret");
    expect([headers["set-cookie"]].flat()[0]).toMatch(
      new RegExp(`^regears-${port}=[A-Za-z0-9_-]{43}; HttpOnly; SameSite=Strict; Path=/$`),
    );
    const { cookie } = page;
    expect((await page.ask("/api/logout", { body: {} })).status).toBe(200);
    page.cookie = cookie;
    expect((await page.ask("/api/session")).status).toBe(401);
  });

  it("a login that was there before is over when another begins: nobody can have given it", async () => {
    await page.login("reader", "reading");
    const before = page.cookie;
    await page.login("default", "secret");
    expect(page.cookie).not.toBe(before);
    page.cookie = before;
    expect((await page.ask("/api/session")).status).toBe(401);
  });
});

describe("requests of other pages", () => {
  beforeEach(async () => {
    await page.login("default", "secret");
  });
  const run = (headers: Record<string, string>) => page.ask("/api/run", { body: { args: ["RG.INFO"] }, headers });

  it.each([
    ["of another origin", { origin: "http://evil.example" }],
    ["of another port", { origin: "http://127.0.0.1:1" }],
    ["of a page without an origin", { origin: "null" }],
    ["without an origin", { origin: "" }],
    ["that the browser calls foreign", { "sec-fetch-site": "cross-site" }],
    ["of another host of the same site", { "sec-fetch-site": "same-site" }],
  ])("%s are refused", async (_what, headers) => {
    expect((await run(headers as Record<string, string>)).status).toBe(403);
  });

  it.each([["text/plain"], ["application/x-www-form-urlencoded"], ["multipart/form-data"], [""]])(
    "a form's (%s) are refused",
    async (type) => {
      expect((await run({ "content-type": type })).status).toBe(415);
    },
  );

  it("those that only read are refused too, and so is a login by another page", async () => {
    for (const path of ["/api/history", "/api/slow", "/api/log", "/api/session"]) {
      expect((await page.ask(path, { headers: { origin: "http://evil.example" } })).status).toBe(403);
      expect((await page.ask(path, { headers: { "sec-fetch-site": "cross-site" } })).status).toBe(403);
    }
    const body = { user: "default", password: "secret" };
    expect((await page.ask("/api/login", { body, headers: { origin: "http://evil.example" } })).status).toBe(403);
  });

  it("no answer allows another origin to read it, to show it in a frame, or to run what is not in its files", async () => {
    for (const path of ["/", "/app.js", "/api/session", "/nothing"]) {
      const { headers } = await page.ask(path);
      expect(headers["access-control-allow-origin"]).toBeUndefined();
      expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
      expect(headers["content-security-policy"]).toContain("frame-ancestors 'none'");
      expect(headers["content-security-policy"]).not.toMatch(/unsafe|nonce|data:|\*/);
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(headers["cross-origin-resource-policy"]).toBe("same-origin");
    }
    expect((await page.ask("/")).text).not.toMatch(/<script>|<style|style=| on\w+=/);
  });

  it("names that others let point here are unknown (DNS rebinding)", async () => {
    const names = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "console.example.evil", ""];
    for (const name of names) {
      const host = name && `${name}:${port}`;
      const answer = await page.ask("/", { headers: { host: host || ":" } });
      expect([400, 421], name).toContain(answer.status);
      const asked = { body: { args: ["RG.INFO"] }, headers: { host: host || ":", origin: `http://${host}` } };
      expect([400, 421], name).toContain((await page.ask("/api/run", asked)).status);
    }
    for (const host of [
      "localhost",
      `localhost:${port}`,
      `127.0.0.1:${port}`,
      `[::1]:${port}`,
      "console.example",
      "Console.Example:80",
    ]) {
      expect((await page.ask("/", { headers: { host } })).status, host).toBe(200);
    }
  });
});

describe("paths and bodies", () => {
  it.each([
    "/../package.json",
    "/..%2f..%2fpackage.json",
    "/%2e%2e/%2e%2e/package.json",
    "//etc/passwd",
    "/app.js/../../../package.json",
    "/app.js%00.html",
    "/index.html/",
    "/__proto__",
    "/constructor",
  ])("%s is no page", async (path) => {
    expect((await page.ask(path)).status).toBe(404);
  });

  it("long bodies end early, those of strangers earlier", async () => {
    const long = JSON.stringify({ user: "default", password: "x".repeat(10_000) });
    expect((await page.ask("/api/login", { body: long })).status).toBe(413);
    expect((await page.ask("/api/login", { body: long, headers: { "transfer-encoding": "chunked" } })).status).toBe(
      413,
    );
    expect((await page.ask("/api/run", { body: long })).status).toBe(401);
    await page.login("default", "secret");
    const huge = connect(port, "127.0.0.1");
    huge.on("error", () => {});
    const head = [`POST /api/run HTTP/1.1`, `Host: 127.0.0.1:${port}`, `Origin: http://127.0.0.1:${port}`];
    huge.write(
      [...head, "Content-Type: application/json", `Cookie: ${page.cookie}`, "Content-Length: 99999999999", "", ""].join(
        "\r\n",
      ),
    );
    const answer = await new Promise<string>((resolve) => huge.once("data", (bytes) => resolve(bytes.toString())));
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    huge.destroy();
  });

  it("what is no request is answered without harm", async () => {
    await page.login("default", "secret");
    const bodies = [
      "",
      "null",
      "[]",
      "{",
      '{"args":[]}',
      '{"args":"RG.INFO"}',
      '{"args":[1]}',
      '{"args":[["RG.INFO"]]}',
      '{"__proto__":{"args":["RG.INFO"]}}',
    ];
    for (const body of bodies) expect((await page.ask("/api/run", { method: "POST", body })).status, body).toBe(400);
    const many = { args: Array.from({ length: 2000 }, () => "x") };
    expect((await page.ask("/api/run", { body: many })).status).toBe(400);
    expect((await page.ask("/api/session", { method: "DELETE" })).status).toBe(405);
  });

  it("who sends slowly is sent away, and others are served meanwhile", async () => {
    const slow = Array.from({ length: 20 }, () => {
      const socket = connect(port, "127.0.0.1");
      socket.write(
        `POST /api/login HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nOrigin: http://127.0.0.1:${port}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
      );
      return new Promise<void>((resolve) =>
        socket
          .resume()
          .on("error", () => {})
          .on("close", () => resolve()),
      );
    });
    expect((await page.login("default", "secret")).status).toBe(200);
    expect(await admin.call("PING")).toBe("PONG");
    await Promise.all(slow);
  });
});

describe("rights", () => {
  it("are those that the user has as a client", async () => {
    await page.login("reader", "reading");
    const client = await connectClient(server.port);
    await client.call("AUTH", "reader", "reading");
    const commands = [
      ["RG.PYEXECUTE", "GB().count().run()"],
      ["RG.TRIGGER", "x"],
      ["RG.DUMPEXECUTIONS"],
      ["RG.ABORTEXECUTION", "x"],
      ["RG.UNREGISTERALL"],
      ["RG.CONFIGSET", "MaxExecutions", "1"],
      ["RG.CONFIGGET", "MaxExecutions"],
    ] as const;
    for (const command of commands) {
      const asClient = await client.call(...command).catch((error: Error) => ({ error: error.message }));
      expect(await page.run(...command), command.join(" ")).toEqual(asClient);
    }
    client.close();
  });

  it("without the right to read there are neither figures nor log", async () => {
    await page.login("nobody", "nothing");
    for (const path of ["/api/history", "/api/slow", "/api/log", "/metrics"]) {
      const { status, json } = await page.ask(path);
      expect(status).toBe(403);
      expect(json.error).toMatch(/^NOPERM/);
    }
  });

  it("hold from the next request on when they are changed, and for nobody whose user is gone", async () => {
    await admin.call("ACL", "SETUSER", "guest", "on", ">guest", "~*", "+@all");
    await page.login("guest", "guest");
    expect(await page.run("RG.PYEXECUTE", "GB('ShardsIDReader').run()")).toEqual([["1"], []]);
    await admin.call("ACL", "SETUSER", "guest", "-eval");
    expect(await page.run("RG.PYEXECUTE", "GB('ShardsIDReader').run()")).toMatchObject({ error: /^NOPERM/ });
    await admin.call("ACL", "DELUSER", "guest");
    expect(await page.run("RG.DUMPEXECUTIONS")).toMatchObject({ error: /^NOPERM/ });
    expect((await page.ask("/api/history")).status).toBe(403);
  });

  it("commands of the engine are not for the console", async () => {
    await page.login("default", "secret");
    for (const command of [["GET", "k"], ["CONFIG", "GET", "requirepass"], ["FLUSHALL"], ["ACL", "LIST"], [""]])
      expect(await page.run(...command)).toMatchObject({ error: /^ERR unknown command/ });
  });
});

describe("programs that watch", () => {
  const basic = (user: string, password: string): { headers: Record<string, string>; from?: string } => ({
    headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` },
  });

  it("are told the health, and figures with the password of a user who may read", async () => {
    expect(await page.ask("/healthz")).toMatchObject({ status: 200, text: "ready\n" });
    const { status, text, headers } = await page.ask("/metrics", basic("reader", "reading"));
    expect([status, headers["content-type"]]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    expect(text).toMatch(/^regears_ready 1$/m);
    await page.login("reader", "reading");
    expect((await page.ask("/metrics")).text).toMatch(/^regears_ready 1$/m);
  });

  it.each([
    ["no password", {}, 401],
    ["a wrong one", basic("reader", "wrong"), 401],
    ["nothing that is a user", { headers: { authorization: "Basic !" } }, 401],
    ["a user who may not read", basic("nobody", "nothing"), 403],
    ["a page of others", { headers: { ...basic("reader", "reading").headers, "sec-fetch-site": "cross-site" } }, 403],
  ])("get no figures with %s", async (_what, asked, status) => {
    const answer = await page.ask("/metrics", asked);
    expect([answer.status, answer.text.includes("regears_")]).toEqual([status, false]);
  });

  it("guess passwords no faster than others", async () => {
    for (let n = 0; n < 10; n++) await page.ask("/metrics", { ...basic("reader", "guess"), from: "127.0.0.8" });
    expect((await page.ask("/metrics", { ...basic("reader", "reading"), from: "127.0.0.8" })).status).toBe(401);
    expect((await page.ask("/metrics", basic("reader", "reading"))).status).toBe(200);
  });
});

describe("passwords", () => {
  it("can not be tried without end", async () => {
    const other = new ConsoleClient(port);
    const statuses: string[] = [];
    // counted by addresses: the other tests have another one
    const body = { user: "default", password: "guess" };
    for (let n = 0; n < 15; n++)
      statuses.push(String((await other.ask("/api/login", { body, from: "127.0.0.9" })).json.error));
    expect(statuses.slice(0, 10).every((text) => text.startsWith("WRONGPASS"))).toBe(true);
    expect(statuses.slice(10)).toEqual(Array(5).fill("too many wrong passwords: try again in some seconds"));
    const right = { user: "default", password: "secret" };
    expect((await other.ask("/api/login", { body: right, from: "127.0.0.9" })).status).toBe(401);
    expect((await other.ask("/api/login", { body: right })).status).toBe(200);
  });
});

describe("protected mode", () => {
  it.skipIf(!outside)("serves only this machine while there is no password", async () => {
    await admin.call("CONFIG", "SET", "requirepass", "");
    try {
      for (const path of ["/", "/api/session"]) {
        const { status, json } = await page.ask(path, { address: outside ?? "" });
        expect([status, json.error]).toEqual([403, "protected mode: without a password only this machine is served"]);
      }
      expect((await page.ask("/api/session")).json).toEqual({ error: "NOAUTH log in first", passwordless: true });
      expect((await page.login()).json).toEqual({ user: "default" });
    } finally {
      await admin.call("CONFIG", "SET", "requirepass", "secret");
    }
  });
});
