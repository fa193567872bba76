/** The console's port with TLS. */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { expect, it } from "vitest";
import { hasOpenssl, selfSigned, withoutOpenssl } from "../support/certificates.ts";
import { newFolder } from "../support/folders.ts";
import { freePort } from "../support/ports.ts";
import { runRegears, startRegears } from "../support/regears.ts";

const ask = (port: number, ca: Buffer, path: string, body?: string) =>
  new Promise<{ status: number | undefined; text: string; cookie: string }>((resolve, reject) => {
    const headers = { origin: `https://127.0.0.1:${port}`, "content-type": "application/json" };
    const asked = request(
      { host: "127.0.0.1", port, path, method: body === undefined ? "GET" : "POST", headers, ca },
      (response) => {
        let text = "";
        response.on("data", (bytes: Buffer) => {
          text += bytes;
        });
        const [cookie = ""] = response.headers["set-cookie"] ?? [];
        response.on("end", () => resolve({ status: response.statusCode, text, cookie }));
      },
    );
    asked.on("error", reject).end(body);
  });

it.skipIf(!hasOpenssl)(`serves the page by TLS, with a cookie that goes no other way${withoutOpenssl}`, async () => {
  const { key, cert } = selfSigned(newFolder());
  const ca = readFileSync(cert);
  const port = await freePort();
  const server = await startRegears([
    ...["--http-port", String(port), "--http-tls", "yes", "--tls-cert-file", cert, "--tls-key-file", key],
  ]);
  try {
    expect((await ask(port, ca, "/")).text).toContain("<title>Regears</title>");
    const { status, cookie } = await ask(port, ca, "/api/login", "{}");
    expect(status).toBe(200);
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict; Path=\/; Secure$/);
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  } finally {
    await server.stop();
  }
});

it("says which file is missing", async () => {
  const { exited, output } = runRegears(["--port", "0", "--http-port", "1", "--http-tls", "yes"]);
  expect(await exited).toBe(2);
  expect(output()).toContain("regears: http-tls needs tls-cert-file");
});
