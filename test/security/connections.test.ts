/** What scripts try in order to reach what they may not. */
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { errorOf } from "../support/errors.ts";
import { servesDuring } from "../support/serving.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { seenBy, serve, serveEcho, type TestServer } from "../connections/support.ts";

/** What nobody may connect to, and how often somebody did. */
let secret: TestServer;
let open: TestServer;
let server: RunningRegears;
let client: Client;

beforeAll(async () => {
  secret = await serve((socket) => socket.end("secret"), createServer());
  open = await serveEcho();
  const allowed = `127.0.0.1:${open.port},localhost:${open.port},*:${secret.port}`;
  server = await startRegears(["--allow-connect", allowed, "--execution-threads", "2"]);
  client = await connectClient(server.port);
});
afterAll(async () => {
  client?.close();
  await server?.stop();
  await Promise.all([secret?.close(), open?.close()]);
});

/** What a script gets that connects to these. */
const outcomes = (...targets: readonly string[]): Promise<unknown> =>
  seenBy(
    client,
    `
import socket
seen = []
for target in (${targets.join(", ")},):
    try:
        with socket.socket(socket.AF_INET6 if ':' in target[0] else socket.AF_INET) as s:
            s.settimeout(5)
            s.connect(target)
            seen.append(s.recv(10).decode())
    except OSError as error:
        seen.append(type(error).__name__)
`,
  );

describe("code that is allowed *:PORT, and no address of this machine", () => {
  it.each([
    ...[
      "127.0.0.1",
      "127.0.0.2",
      "0.0.0.0",
      "0",
      "127.1",
      "0x7f.1",
      "0x7f000001",
      "2130706433",
      "017700000001",
      "127.0.0.1.",
    ],
    ...[
      "１２７.0.0.1",
      "localhost",
      "LOCALHOST.",
      "a.localhost",
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "::ffff:7f00:1",
      "::127.0.0.1",
    ],
    ...[
      "64:ff9b::7f00:1",
      "2002:7f00:1::",
      "fe80::1",
      "169.254.169.254",
      "[::1]",
      "::ffff:0:127.0.0.1",
      "0:0:0:0:0:ffff:7f00:1",
    ],
  ])("does not get to %s", async (host) => {
    const before = secret.accepted();
    const [outcome] = (await outcomes(`(${JSON.stringify(host)}, ${secret.port})`)) as [string];
    expect(["PermissionError", "gaierror"]).toContain(outcome);
    expect(secret.accepted()).toBe(before);
  });

  it.each([
    "127.0.0.1 ",
    "127.0.0.1%0",
    "127.0.0.1\\u0000.example",
    "user@127.0.0.1",
    "127.0.0.1#",
    "127.0.0.1/",
    "127.0.0.1:80",
    "fe80::1%lo",
    "::1%1",
    "\\n127.0.0.1",
  ])('does not get to "%s"', async (host) => {
    const before = secret.accepted();
    const [outcome] = (await outcomes(`("${host}", ${secret.port})`)) as [string];
    expect(["PermissionError", "gaierror"]).toContain(outcome);
    expect(secret.accepted()).toBe(before);
  });

  it("does not get to other ports of what it may connect to, nor to the server itself", async () => {
    expect(
      await outcomes(`("127.0.0.1", ${server.port})`, `("localhost", ${server.port})`, '("127.0.0.1", 22)'),
    ).toEqual(["PermissionError", "PermissionError", "PermissionError"]);
  });

  it("gets neither sockets of Unix, nor of UDP, nor raw ones, nor an address to listen on", async () => {
    const script = `
import socket
seen = []
for attempt in (
    lambda: socket.socket(1).connect('/var/run/docker.sock'),
    lambda: socket.socket(getattr(socket, 'AF_UNIX')),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW),
    lambda: socket.socket(17, 3),
    lambda: socket.create_server(('127.0.0.1', 0)),
    lambda: socket.socket().bind(('', 0)),
    lambda: socket.socket().listen(),
    lambda: socket.socketpair(),
    lambda: socket.fromfd(0, socket.AF_INET, socket.SOCK_STREAM),
):
    try:
        attempt()
        seen.append('done')
    except (OSError, AttributeError) as error:
        seen.append('refused')`;
    expect(await seenBy(client, script)).toEqual(Array.from({ length: 10 }, () => "refused"));
  });

  it("gets nothing by Python's own module of sockets, wherever it is found", async () => {
    const script = `
import importlib.machinery, sys
seen = []
from regears import sockets
natives = [sockets._native]
spec = importlib.machinery.BuiltinImporter.find_spec('_socket') if '_socket' in sys.builtin_module_names else None
if spec: natives.append(importlib._bootstrap._load(spec))
for native in natives:
    try:
        s = native.socket(2, 1); s.connect(('127.0.0.1', ${open.port})); seen.append('done')
    except OSError as error: seen.append('refused')
    try: native.getaddrinfo('localhost', 80); seen.append('done')
    except OSError: seen.append('refused')
seen = sorted(set(seen))`;
    expect(await seenBy(client, script)).toEqual(["refused"]);
  });
});

describe("code that writes its own messages", () => {
  const sends = (messages: string): string => `
import socket
from regears import bridge, calls
from regears.context import CONTEXT
key = CONTEXT.get().session.key
${messages}`;

  it.each([
    ["opens a connection twice", "for n in range(2): calls.request('connection_open', (7, '127.0.0.1', PORT, 4, key))"],
    ["names another user's session", "calls.request('connection_open', (7, '127.0.0.1', PORT, 4, 'OTHER'))"],
    ["names a port that is none", "calls.request('connection_open', (7, '127.0.0.1', 0, 4, key))"],
    ["names a host that is too long", "calls.request('connection_open', (7, 'a' * 2000, PORT, 4, key))"],
    ["sends more than it may at once", "calls.request('connection_send', (7, b'x' * 70000))"],
    ["numbers a connection badly", "calls.post('connection_close', -1)"],
    ["watches for what there is not", "calls.post('connection_watch', 7, 9)"],
  ])("and %s loses its interpreter, and nobody else notices", async (_what, code) => {
    await client.call("ACL", "SETUSER", "mallory", "on", ">pw", "+@all", "~*", "&*");
    const own = await connectClient(server.port);
    await own.call("AUTH", "mallory", "pw");
    const registered = "GB('CommandReader').register(trigger='t')";
    await client.call("RG.PYEXECUTE", registered, "ID", "victim", "UPGRADE");
    const sessions = JSON.stringify(await client.call("RG.PYDUMPSESSIONS", "VERBOSE"));
    expect(sessions).toContain("victim");
    // keys of sessions are numbered: one of these is the victim's
    const all = code.includes("OTHER")
      ? `for n in range(1, 300):\n    ${code.replace("7,", "n,").replace("'OTHER'", "f'{n}:victim'")}`
      : code;
    const error = await errorOf(own.call("RG.PYEXECUTE", sends(all.replaceAll("PORT", String(open.port)))));
    expect(error).toContain("it sent what it may not");
    expect(await seenBy(client, "seen = 1")).toBe(1);
    own.close();
  });

  it("and asks for readiness again and again, without reading the answers, loses its interpreter", async () => {
    const script = sends(`
s = socket.create_connection(('127.0.0.1', ${open.port}))
for attempt in range(20000): calls.post('connection_watch', s._connection.number, 2)
seen = 'done'`);
    expect(await servesDuring(server, () => errorOf(seenBy(client, script)))).toContain("takes no answers");
  });

  it("and names what is not there gets answers that say so", async () => {
    const script = sends(`
seen = [calls.request('connection_receive', (99, 10, False))[1], calls.request('connection_send', (99, b'x'))[1],
        calls.request('connection_state', (99,))[1], calls.request('connection_poll', ([[99, 1]],))[1]]
for op, args in (('connection_close', ()), ('connection_shut', ()), ('connection_watch', (1,)), ('connection_take', (10,))):
    calls.post(op, 99, *args)`);
    const closed = "EBADF the connection was closed";
    expect(await seenBy(client, script)).toEqual([closed, closed, closed, [[99, 1]]]);
  });
});

describe("a server that scripts connect to", () => {
  it("and that pours bytes out holds nobody up", async () => {
    const pouring = await serve((socket) => {
      const more = (): void => {
        while (socket.writable && socket.write(Buffer.alloc(65_536)));
      };
      socket.on("drain", more);
      more();
    });
    const one = await startRegears(["--allow-connect", `127.0.0.1:${pouring.port}`]);
    const own = await connectClient(one.port);
    try {
      const script = `
import socket
s = socket.create_connection(('127.0.0.1', ${pouring.port}))
left = 200_000_000
while left > 0: left -= len(s.recv(1 << 20))
seen = 'done'`;
      expect(await servesDuring(one, () => seenBy(own, script))).toBe("done");
    } finally {
      own.close();
      await one.stop();
      await pouring.close();
    }
  });
});
