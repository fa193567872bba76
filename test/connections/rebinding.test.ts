/** Names whose server answers another address each time: it is the system's resolver that is asked, with a name server of the test. */
import { spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { seenBy, serve, type TestServer } from "./support.ts";

const NAME_SERVER = "127.0.53.53";
/** An address for documents: nothing is there. */
const ELSEWHERE = "192.0.2.1";

/** A program with files of its own in the place of the system's, which only somebody with all rights can give it. */
const withResolver =
  (resolver: string) =>
  (commandLine: readonly string[]): string[] => [
    ...["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolver],
    ...commandLine,
  ];

const resolver = join(newFolder(), "resolv.conf");
writeFileSync(resolver, `nameserver ${NAME_SERVER}\noptions timeout:1 attempts:1\n`);
const [unshare = "", ...words] = withResolver(resolver)(["cat", "/etc/resolv.conf"]);
const canResolve = spawnSync(unshare, words, { encoding: "utf8" }).stdout?.includes(NAME_SERVER) ?? false;

/** What connecting there comes to, which depends on the machine's network; but it was allowed. */
const NOT_THERE = expect.stringMatching(/^(TimeoutError|ConnectionRefusedError|OSError)$/);
/** What the name server answers next, one after the other; the last one for ever. */
let answers: string[][] = [];
let asked = 0;
let dns: Socket;
let secret: TestServer;
let server: RunningRegears;
let client: Client;

/** The answer to a question for addresses of IPv4; none to others. */
function answer(question: Buffer): Buffer {
  const end = question.indexOf(0, 12) + 5;
  const isFour = question.readUInt16BE(end - 4) === 1;
  if (isFour) asked++;
  const addresses = isFour ? ((answers.length > 1 ? answers.shift() : answers[0]) ?? []) : [];
  const head = Buffer.from(question.subarray(0, 12));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(addresses.length, 6);
  head.fill(0, 8, 12);
  const records = addresses.map((address) =>
    Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number)]),
  );
  return Buffer.concat([head, question.subarray(12, end), ...records]);
}

describe.skipIf(!canResolve)("a name that changes its address (skipped where files can not be mounted)", () => {
  beforeAll(async () => {
    secret = await serve((socket) => socket.end("secret"), createServer());
    dns = createSocket("udp4");
    dns.on("message", (question, { port, address }) => dns.send(answer(question), port, address));
    await new Promise<void>((resolve) => dns.bind(53, NAME_SERVER, resolve));
    const allowed = `rebind.example:${secret.port},open.example:${secret.port},127.0.0.1:${secret.port + 1}`;
    server = await startRegears(["--allow-connect", allowed], withResolver(resolver));
    client = await connectClient(server.port);
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
    await secret?.close();
    dns?.close();
  });

  const outcomes = (...attempts: string[]): Promise<unknown> => {
    asked = 0;
    return seenBy(
      client,
      `
import socket
seen = []
def attempt(act):
    try:
        seen.append(str(act()))
    except OSError as error:
        seen.append(type(error).__name__)
def connect(host):
    with socket.socket() as s:
        s.settimeout(0.3)
        s.connect((host, ${secret.port}))
        return s.recv(10).decode()
${attempts.map((one) => `attempt(lambda: ${one})`).join("\n")}
`,
    );
  };

  it("is not connected to when it has become one of this machine, whatever it was before", async () => {
    answers = [[ELSEWHERE], ["127.0.0.1"]];
    expect(
      await outcomes(
        `socket.getaddrinfo('rebind.example', ${secret.port})[0][4][0]`,
        "connect('rebind.example')",
        "connect('127.0.0.1')",
        `socket.getaddrinfo('rebind.example', ${secret.port})`,
      ),
    ).toEqual([ELSEWHERE, "PermissionError", "PermissionError", "PermissionError"]);
    expect(secret.accepted()).toBe(0);
  });

  it("is resolved once for each attempt: what was judged is what is connected to", async () => {
    answers = [[ELSEWHERE], ["127.0.0.1"]];
    expect(await outcomes("connect('rebind.example')")).toEqual([NOT_THERE]);
    expect(asked).toBe(1);
    expect(secret.accepted()).toBe(0);
  });

  it("has its other addresses left out", async () => {
    answers = [["127.0.0.1", "169.254.169.254", "0.0.0.0", ELSEWHERE]];
    expect(await outcomes("connect('open.example')")).toEqual([NOT_THERE]);
    expect(secret.accepted()).toBe(0);
  });
});
