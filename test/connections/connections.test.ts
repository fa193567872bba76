/** Connections of scripts: what code can do with them, and how they end. */
import { createServer as createHttpServer } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { errorOf } from "../support/errors.ts";
import { freePort } from "../support/ports.ts";
import { startRegears } from "../support/regears.ts";
import { executions, fields, useServer } from "../support/use-server.ts";
import { fixture, seenBy, serve, serveEcho, type TestServer } from "./support.ts";

const setting = useServer(["--allow-connect", "127.0.0.1:*,localhost:*", "--allow-connect-users", "named,other"]);

let echo: TestServer;
/** It reads and says nothing. */
let mute: TestServer;
/** It does not even read. */
let deaf: TestServer;
beforeAll(async () => {
  echo = await serveEcho();
  mute = await serve((socket) => socket.resume().once("end", () => socket.end()));
  deaf = await serve(() => {});
});
afterAll(() => Promise.all([echo.close(), mute.close(), deaf.close()]));

const connections = async (client: Client): Promise<Record<string, Value>[]> =>
  ((await client.call("RG.CONNECTIONS")) as Value[]).map(fields);
const info = async (client: Client, name: string): Promise<number> =>
  Number(new RegExp(`^${name}:(.*)$`, "m").exec(String(await client.call("RG.INFO")))?.[1]);
const open = (port: number): string => `import socket\ns = socket.create_connection(('127.0.0.1', ${port}))\n`;

describe("a script", () => {
  it("connects, sends, receives, waits and closes, by blocking calls", async () => {
    const words = { PORT: echo.port, FREE: await freePort() };
    expect(await seenBy(setting().client, fixture("blocking.py", words))).toEqual({
      ...{ peer: ["127.0.0.1", echo.port], own: "127.0.0.1", timeout: 5, family: 2 },
      ...{
        peek: "hello",
        part: "he",
        into: [3, "llo"],
        fixed: true,
        late: ["timed out", true],
        later: "later",
        "would block": true,
      },
      ...{ lines: ["line 1\n", "line 2\n"], much: 3_000_000, option: [1, 0], "after end": ["copy", "", ""] },
      ...{ "broken pipe": true, closed: [-1, true], "bad descriptor": true, refused: true, connect_ex: true },
      ...{ again: "again", names: ["127.0.0.1", ["127.0.0.1"], [["127.0.0.1", 80]]], "by name": "by name" },
    });
    await expect.poll(() => echo.sockets.size).toBe(0);
  });

  it("waits for several connections by select, poll, selectors and asyncio", async () => {
    expect(await seenBy(setting().client, fixture("waiting.py", { PORT: echo.port }))).toEqual({
      writable: [[], ["a", "b"], []],
      nothing: [[[], [], []], true],
      one: [["b"], [], []],
      ...{ poll: [["b", true]], "poll nothing": [], selector: ["b"], "to b": "to b", "at last": ["a"] },
      asyncio: [...Array.from({ length: 10 }, () => 0), "too late", 2_000_000, "raw"],
    });
    await expect.poll(() => echo.sockets.size).toBe(0);
  });

  it("has others run while its coroutines wait for connections", async () => {
    const { client, connect } = setting();
    const script = `
import asyncio
async def ask(x):
    reader, writer = await asyncio.open_connection('127.0.0.1', ${mute.port})
    return (await reader.read(10)).decode()
GB('CommandReader').map(ask).register(trigger='ask')
GB('CommandReader').map(lambda x: 'at once').register(trigger='other')`;
    await client.call("RG.PYEXECUTE", script);
    const asking = (await connect()).call("RG.TRIGGER", "ask");
    await expect.poll(() => mute.sockets.size).toBe(1);
    expect(await client.call("RG.TRIGGER", "other")).toEqual(["at once"]);
    for (const socket of mute.sockets) socket.end("answer");
    expect(await asking).toEqual(["answer"]);
  });

  it("speaks HTTP by Python's own library, and does not follow redirects to where it may not connect", async () => {
    const server = createHttpServer((request, response) => {
      if (request.url === "/away") response.writeHead(302, { location: "http://10.255.255.1/secret" }).end();
      else if (request.url === "/local") response.writeHead(302, { location: "/here" }).end();
      else response.end(`${request.method} ${request.url}`);
    });
    const http = await serve(() => {}, server);
    try {
      const script = `
import http.client, urllib.request
connection = http.client.HTTPConnection('localhost', ${http.port}, timeout=5)
connection.request('GET', '/1'); first = connection.getresponse().read().decode()
connection.request('POST', '/2', body=b'x'); second = connection.getresponse().read().decode()
base = 'http://127.0.0.1:${http.port}'
seen = [first, second, urllib.request.urlopen(base + '/local', timeout=5).read().decode()]
try:
    urllib.request.urlopen(base + '/away', timeout=5)
except OSError as error:
    seen.append(str(error))`;
      expect(await seenBy(setting().client, script)).toEqual([
        "GET /1",
        "POST /2",
        "GET /here",
        expect.stringContaining("connections to 10.255.255.1:80 are not allowed (option allow-connect)"),
      ]);
    } finally {
      await http.close();
    }
  });

  it("gets errors of servers that are dead or die", async () => {
    const dying = await serve((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const ending = await serve((socket) => socket.end("bye"));
    try {
      const script = `
import socket
seen = []
s = socket.create_connection(('127.0.0.1', ${dying.port}))
s.sendall(b'x')
for attempt in range(2):
    try: seen.append(s.recv(10).decode())
    except OSError as error: seen.append(type(error).__name__)
try: s.sendall(b'x')
except OSError as error: seen.append(type(error).__name__)
e = socket.create_connection(('127.0.0.1', ${ending.port}))
seen += [e.recv(10).decode(), e.recv(10).decode(), e.recv(10).decode()]`;
      const gone = "ConnectionResetError";
      expect(await seenBy(setting().client, script)).toEqual([gone, gone, gone, "bye", "", ""]);
    } finally {
      await Promise.all([dying.close(), ending.close()]);
    }
  });
});

describe("a script that waits for a server", () => {
  it.each([
    ["receives", "s.recv(1)"],
    ["sends", "s.sendall(b'x' * 2**24)"],
    ["selects", "import select; select.select([s], [], [])"],
    ["connects", "s.close(); socket.create_connection(('127.0.0.1', PORT)).recv(1)"],
  ])("is aborted at once, if it %s", async (what, code) => {
    const { client } = setting();
    const { port } = what === "sends" ? deaf : mute;
    const script = `${open(port)}def wait(x):\n    ${code.replace("PORT", String(port))}\nGB('ShardsIDReader').map(wait).run()`;
    await abortedAtOnce(client, script);
  });

  it("is aborted at once, if a coroutine waits", async () => {
    const script = `
import asyncio
async def wait(x):
    reader, writer = await asyncio.open_connection('127.0.0.1', ${mute.port})
    return await reader.read(1)
GB('ShardsIDReader').map(wait).run()`;
    await abortedAtOnce(setting().client, script);
  });

  /** @throws AssertionError when a script is not aborted at once, by itself, or leaves a connection open */
  async function abortedAtOnce(client: Client, script: string): Promise<void> {
    const id = String(await client.call("RG.PYEXECUTE", script, "UNBLOCKING"));
    await expect.poll(async () => (await connections(client)).length).toBe(1);
    await expect.poll(async () => (await executions(client)).some(({ status }) => status === "running")).toBe(true);
    const begun = performance.now();
    expect(await client.call("RG.ABORTEXECUTION", id)).toBe("OK");
    // an interpreter that does not stop is given a second
    expect(performance.now() - begun).toBeLessThan(900);
    await client.call("RG.DROPEXECUTION", id);
    await expect.poll(() => connections(client)).toEqual([]);
    expect(await info(client, "interpreter_restarts_total_unstoppable")).toBe(0);
  }

  it("is stopped by the limit of its time", async () => {
    const { client } = setting();
    await client.call("RG.CONFIGSET", "ExecutionTimeout", "200");
    try {
      const script = `${open(mute.port)}GB('ShardsIDReader').map(lambda x: s.recv(1)).run()`;
      expect(await client.call("RG.PYEXECUTE", script)).toEqual([[], [expect.stringContaining("execution-timeout")]]);
    } finally {
      await client.call("RG.CONFIGSET", "ExecutionTimeout", "0");
    }
    await expect.poll(() => mute.sockets.size).toBe(0);
  });

  it("while it holds the engine, lets it go after the limit for that", async () => {
    const { client } = setting();
    await client.call(
      "RG.PYEXECUTE",
      `def wait(x):\n    ${open(mute.port).trim().replace("\n", "\n    ")}\n    s.recv(1)\nGB('KeysReader').foreach(wait).register('key', mode='sync')`,
    );
    const begun = performance.now();
    await client.call("SET", "key", "value");
    expect(performance.now() - begun).toBeLessThan(15_000);
    const [registration] = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
    expect(JSON.stringify(fields(registration))).toContain("script-time-limit");
  }, 30_000);
});

describe("connections", () => {
  it("are closed when their session ends, also those that were leaked", async () => {
    const { client } = setting();
    const before = echo.accepted();
    const script = `
import socket, sys
sys.leaked = []
for attempt in range(40):
    sys.leaked.append(socket.create_connection(('127.0.0.1', ${echo.port})))
seen = len(sys.leaked)`;
    expect(await seenBy(client, script)).toBe(40);
    expect(echo.accepted() - before).toBe(40);
    await expect.poll(() => echo.sockets.size).toBe(0);
    expect(await connections(client)).toEqual([]);
  });

  it("are closed when a thousand of them were leaked", async () => {
    const large = await startRegears([
      ...["--allow-connect", `127.0.0.1:${echo.port}`],
      ...["--max-connections-per-interpreter", "1000"],
    ]);
    const client = await connectClient(large.port);
    try {
      const script = `
import socket, sys
sys.leaked = []
try:
    while True: sys.leaked.append(socket.create_connection(('127.0.0.1', ${echo.port})))
except OSError as error:
    seen = [len(sys.leaked), str(error)]`;
      const [count, error] = (await seenBy(client, script)) as [number, string];
      expect(count).toBe(1000);
      expect(error).toContain("max-connections-per-interpreter is 1000");
      await expect.poll(() => echo.sockets.size).toBe(0);
      expect(await connections(client)).toEqual([]);
    } finally {
      client.close();
      await large.stop();
    }
  });

  it("live as long as the session's registrations, and are listed with what they do", async () => {
    const { client } = setting();
    const script = `
s = None
def connect():
    global s
    import socket
    s = socket.create_connection(('127.0.0.1', ${echo.port}))
def ask(x):
    s.sendall(x[1].encode())
    return s.recv(100).decode()
GB('CommandReader').map(ask).register(trigger='ask', onRegistered=connect)`;
    await client.call("RG.PYEXECUTE", script, "ID", "asking");
    await expect.poll(() => echo.sockets.size).toBe(1);
    const before = echo.accepted();
    for (const word of ["one", "two"]) expect(await client.call("RG.TRIGGER", "ask", word)).toEqual([word]);
    expect(echo.accepted()).toBe(before);
    expect(await connections(client)).toEqual([
      expect.objectContaining({
        ...{
          target: expect.stringMatching(`:${echo.port}$`),
          address: "127.0.0.1",
          port: echo.port,
          tls: "no",
          state: "open",
        },
        ...{ session: "asking", user: "default", received: 6, sent: 6, unread: 0, unsent: 0 },
      }),
    ]);
    expect(await info(client, "connections")).toBe(1);
    expect(await info(client, "connections_opened_total")).toBeGreaterThan(0);
    expect(setting().server.output()).toMatch(
      new RegExp(`"session":"asking","msg":"a script connects to \\S+:${echo.port}`),
    );
    const [registration] = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
    await client.call("RG.UNREGISTER", String(fields(registration).id));
    await expect.poll(() => connections(client)).toEqual([]);
    expect(await info(client, "connections_received_bytes_total")).toBeGreaterThan(6);
  });

  it("are closed when their interpreter ends", async () => {
    const { client } = setting();
    const script = `${open(mute.port)}from regears import bridge\nbridge.send(['post', 'nonsense'])\ns.recv(1)`;
    expect(await errorOf(client.call("RG.PYEXECUTE", script))).toContain("it sent what it may not");
    await expect.poll(() => mute.sockets.size).toBe(0);
    expect(await connections(client)).toEqual([]);
  });

  it("beyond the limit are refused, but those that nobody can use any more make room", async () => {
    const { client } = setting();
    const script = `
import errno, socket
kept, seen = [], []
try:
    for attempt in range(100): kept.append(socket.create_connection(('127.0.0.1', ${echo.port})))
except OSError as error:
    seen = [len(kept), error.errno == errno.EMFILE, str(error)]
kept.clear()
for attempt in range(200):
    cycle = [socket.create_connection(('127.0.0.1', ${echo.port}))]
    cycle.append(cycle)`;
    expect(await seenBy(client, script)).toEqual([
      64,
      true,
      expect.stringContaining("max-connections-per-interpreter is 64"),
    ]);
    await expect.poll(() => echo.sockets.size).toBe(0);
  });

  it("hold few bytes that nobody reads, and few that a server does not take", async () => {
    const { client, connect } = setting();
    const pouring = await serve((socket) => {
      socket.write(Buffer.alloc(50_000_000));
    });
    try {
      const script = `
import socket, time
s = socket.create_connection(('127.0.0.1', ${pouring.port}))
t = socket.create_connection(('127.0.0.1', ${deaf.port}))
t.setblocking(False)
try:
    while True: t.send(b'x' * 60000)
except BlockingIOError: pass
execute('SET', 'ready', 1)
while execute('GET', 'go') is None: time.sleep(0.01)
left = 50_000_000
while left: left -= len(s.recv(1 << 20))
seen = 'all'`;
      const running = seenBy(await connect(), script);
      await expect.poll(() => client.call("GET", "ready")).toBe("1");
      // what could come has come when a round of questions is over in which nothing more did
      let before = -1;
      await expect
        .poll(async () => {
          const received = Number((await connections(client)).find(({ port }) => port === pouring.port)?.received);
          const same = received === before;
          before = received;
          return same;
        })
        .toBe(true);
      for (const { unread, unsent } of await connections(client)) {
        expect(Number(unread)).toBeLessThanOrEqual(256 * 1024 + 65_536);
        expect(Number(unsent)).toBeLessThanOrEqual(256 * 1024 + 65_536);
      }
      await client.call("SET", "go", "1");
      expect(await running).toBe("all");
    } finally {
      await pouring.close();
    }
  });
});

describe("a user", () => {
  const script = (): string => `${open(echo.port)}s.sendall(b'x')\nseen = s.recv(1).decode()`;
  const as = async (user: string, ...rules: string[]): Promise<Client> => {
    await setting().client.call("ACL", "SETUSER", user, "on", ">pw", "+@all", "~*", "&*", ...rules);
    const client = await connectClient(setting().server.port);
    await client.call("AUTH", user, "pw");
    return client;
  };

  it("with all rights may connect, others only if allow-connect-users names them", async () => {
    const [free, bound, named] = [await as("free"), await as("bound", "-debug"), await as("named", "-debug")];
    expect(await seenBy(free, script())).toBe("x");
    expect(await seenBy(named, script())).toBe("x");
    expect(await errorOf(bound.call("RG.PYEXECUTE", script()))).toMatch(
      /PermissionError.*user 'bound' may not open connections.*allow-connect-users/,
    );
    for (const client of [free, bound, named]) client.close();
  });

  it("who loses the rights loses the use of connections that are open", async () => {
    const { client } = setting();
    for (const [user, change] of [
      ["loser", ["SETUSER", "loser", "-debug"]],
      ["other", ["DELUSER", "other"]],
      ["named", ["SETUSER", "named", "-eval"]],
    ] as const) {
      const own = await as(user, ...(user === "loser" ? [] : ["-debug"]));
      const asking = `${open(echo.port)}
import time
execute('SET', 'ready', 1)
while True:
    s.sendall(b'x'); s.recv(1)`;
      const error = errorOf(own.call("RG.PYEXECUTE", asking));
      await expect.poll(() => client.call("GET", "ready")).toBe("1");
      await client.call("ACL", ...change);
      // a client whose user is deleted is closed
      expect(await error).toMatch(/PermissionError.*may not open connections|the connection was closed/);
      await expect.poll(() => echo.sockets.size).toBe(0);
      await client.call("DEL", "ready");
      own.close();
    }
  });
});
