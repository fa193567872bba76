/** Connections of TLS: what is verified by which CAs, and what programs see of it. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer as createHttpsServer } from "node:https";
import { join } from "node:path";
import { createServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { debianWheel, emptyCache, folderOf, type WheelSpec } from "../support/wheels.ts";
import { fixture, seenBy, serve, type TestServer } from "./support.ts";

const directory = newFolder();
const path = (name: string): string => join(directory, name);
const text = (name: string): string => readFileSync(path(name), "utf8");

/** Makes CAs, and certificates of this machine by them. */
function makeCertificates(): void {
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: directory, stdio: "ignore" });
  for (const name of ["ca", "stranger"]) {
    const key = ["-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`];
    openssl("req", "-x509", ...key, "-out", `${name}.crt`, "-days", "2", "-subj", `/CN=${name}`);
  }
  for (const [name, by, days, names] of [
    ["good", "ca", "2", "DNS:localhost,IP:127.0.0.1"],
    ["foreign", "stranger", "2", "DNS:localhost,IP:127.0.0.1"],
    ["other", "ca", "2", "DNS:elsewhere.example"],
    ["client", "ca", "2", "DNS:client"],
  ] as const) {
    const key = ["-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`];
    openssl("req", ...key, "-out", `${name}.csr`, "-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`);
    const signed = ["-CA", `${by}.crt`, "-CAkey", `${by}.key`, "-CAcreateserial", "-copy_extensions", "copy"];
    openssl("x509", "-req", "-in", `${name}.csr`, ...signed, "-out", `${name}.crt`, "-days", days);
  }
}

const https = (name: string): Promise<TestServer> => {
  const server = createHttpsServer({ cert: text(`${name}.crt`), key: text(`${name}.key`) }, (request, response) => {
    response.end(request.url);
  });
  return serve(() => {}, server);
};

const libraries = [
  debianWheel("requests", ["requests"], ["urllib3", "idna", "certifi", "chardet"]),
  debianWheel("urllib3", ["urllib3"], ["six"]),
  debianWheel("six", ["six.py"]),
  debianWheel("idna", ["idna"]),
  debianWheel("certifi", ["certifi"]),
  debianWheel("chardet", ["chardet"]),
];
const missing = libraries.some((one) => one === undefined) ? " (skipped: Debian's libraries are not there)" : "";

let server: RunningRegears;
let plain: RunningRegears;
const servers: Record<string, TestServer> = {};
beforeAll(async () => {
  makeCertificates();
  const allowed = ["--allow-connect", "127.0.0.1:*,localhost:*", "--pyodide-packages", "no", "--index-url", "no"];
  const wheels = folderOf(libraries.filter((one): one is WheelSpec => one !== undefined));
  const packages = ["--packages-dir", wheels, "--cache-dir", emptyCache()];
  server = await startRegears([...allowed, ...packages, "--connection-ca-file", path("ca.crt")]);
  plain = await startRegears(allowed);
  for (const name of ["good", "foreign", "other"]) servers[name] = await https(name);
  servers.speechless = await serve((socket) => socket.end("HTTP/1.0 400 Bad Request\r\n\r\n"));
  const asking = createServer(
    {
      ...{ cert: text("good.crt"), key: text("good.key"), ca: text("ca.crt"), ALPNProtocols: ["speak"] },
      ...{ requestCert: true, rejectUnauthorized: false },
    },
    (socket) => {
      socket.write(`${socket.authorized} ${socket.getPeerCertificate().subject?.CN} ${socket.alpnProtocol}\n`);
      socket.pipe(socket);
    },
  );
  servers.asking = await serve(() => {}, asking);
});
afterAll(async () => {
  await Promise.all(Object.values(servers).map((one) => one.close()));
  await Promise.all([server?.stop(), plain?.stop()]);
});

const words = (): Record<string, number | string> => ({
  ...Object.fromEntries(Object.entries(servers).map(([name, { port }]) => [`PORT_${name}`, port])),
  ...{ CA_TEXT: text("ca.crt"), CERT_TEXT: text("client.crt"), KEY_TEXT: text("client.key") },
});
const see = async (by: RunningRegears, script: string, ...more: string[]): Promise<unknown> => {
  const client = await connectClient(by.port);
  try {
    return await seenBy(client, script, ...more);
  } finally {
    client.close();
  }
};

describe("TLS", () => {
  it("is spoken with servers whose certificate is one of the operator's CAs, and with no others", async () => {
    expect(await see(server, fixture("tls.py", words()))).toEqual({
      good: [
        "/good",
        "TLSv1.3",
        true,
        [
          ["DNS", "localhost"],
          ["IP Address", "127.0.0.1"],
        ],
        "good",
      ],
      foreign: ["SSLCertVerificationError", true],
      other: ["SSLCertVerificationError", true],
      "other, by address": ["SSLCertVerificationError", true],
      "without names": "/other",
      unverified: "/foreign",
      ...{ urllib: "/urllib", "urllib foreign": "URLError CERTIFICATE_VERIFY_FAILED", asyncio: "/asyncio" },
      ...{ "asyncio foreign": "SSLCertVerificationError", start_tls: "false undefined false" },
      ...{
        "no TLS": "SSLError",
        client: ["true client speak\n", "echo"],
        "would block": "SSLWantReadError",
        late: "TimeoutError",
      },
    });
  });

  it("without CAs of the operator trusts those that a script brings, and nobody else that is not publicly known", async () => {
    const script = `
import socket, ssl
seen = []
for name, context in (('usual', ssl.create_default_context()), ('own', ssl.create_default_context(cadata='''CA_TEXT'''))):
    try:
        with context.wrap_socket(socket.create_connection(('localhost', PORT_good)), server_hostname='localhost') as s:
            seen.append([name, s.version()])
    except ssl.SSLError as error:
        seen.append([name, error.reason])`;
    const filled = Object.entries(words()).reduce((all, [word, value]) => all.replaceAll(word, String(value)), script);
    expect(await see(plain, filled)).toEqual([
      ["usual", "CERTIFICATE_VERIFY_FAILED"],
      ["own", "TLSv1.3"],
    ]);
  });

  it.skipIf(missing !== "")(`is spoken by requests, as it is${missing}`, async () => {
    const script = `
import requests, requests.exceptions
session = requests.Session()
# Debian's certifi names a file of the system in place of its own
session.verify = '/tmp/bundle.pem'
with open(session.verify, 'w') as file: file.write('''${text("ca.crt")}''')
base = 'https://localhost:${servers.good?.port}'
seen = [session.get(base + '/' + str(at), timeout=10).text for at in range(3)]
try:
    session.get('https://localhost:${servers.foreign?.port}/', timeout=10)
except requests.exceptions.SSLError as error:
    seen.append('CERTIFICATE_VERIFY_FAILED' in str(error))
try:
    session.get('https://10.255.255.1/', timeout=10)
except requests.exceptions.ConnectionError as error:
    seen.append('allow-connect' in str(error))`;
    const before = servers.good?.accepted() ?? 0;
    expect(await see(server, script, "REQUIREMENTS", "requests")).toEqual(["/0", "/1", "/2", true, true]);
    // its pool keeps the connection
    expect((servers.good?.accepted() ?? 0) - before).toBe(1);
  });
});
