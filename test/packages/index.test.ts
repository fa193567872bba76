/** Packages from an index and from a folder of Pyodide's packages, with servers that do everything wrong. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { sha256Of } from "../../src/packages/package-cache.ts";
import { Installer } from "../../src/packages/installer.ts";
import type { PackageSettings } from "../../src/packages/installed.ts";
import type { CompileModules } from "../../src/python/python-host.ts";
import { newFolder } from "../support/folders.ts";
import { turns, until } from "../support/waiting.ts";
import { pyodideFolder, type TestLock, wheel, type WheelSpec } from "../support/wheels.ts";

const folders: string[] = [];
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = newFolder();
  folders.push(made);
  return made;
}

/** An installer whose packages are not compiled. */
function installer(
  settings: Partial<PackageSettings>,
  idleMs = 10_000,
  compile: CompileModules = () => Promise.resolve(new Map()),
): Installer & { readonly lines: string[] } {
  const lines: string[] = [];
  const note = (line: unknown): void => void lines.push(String(line));
  const made = new Installer({
    settings: {
      packagesDir: "",
      pyodidePackages: "no",
      indexUrl: "no",
      cacheDir: folder(),
      maxBytes: 10_000_000,
      maxCacheBytes: 0,
      preload: [],
      ...settings,
    },
    compile,
    idleMs: () => idleMs,
    builtIn: new Set(["cloudpickle"]),
    log: { trace: note, debug: note, info: note, warn: note, error: note },
  });
  return Object.assign(made, { lines });
}

/** The most milliseconds of a processor that one turn of the event loop has taken until this was settled. */
async function longestTurn(work: Promise<unknown>): Promise<number> {
  let done = false;
  void work.finally(() => {
    done = true;
  });
  let longest = 0;
  for (let before = process.cpuUsage(); !done; before = process.cpuUsage()) {
    await new Promise((resolve) => setImmediate(resolve));
    const { user, system } = process.cpuUsage(before);
    longest = Math.max(longest, (user + system) / 1000);
  }
  return longest;
}

type Handle = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(handle: Handle): Promise<string> {
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface IndexOptions {
  readonly html?: boolean;
  /** Has it metadata apart from the files? */
  readonly metadata?: boolean;
  readonly hash?: (bytes: Buffer) => string;
  /** Answers a request in its place. */
  readonly instead?: (path: string, request: IncomingMessage, response: ServerResponse) => boolean;
}

/** An index with these wheels; `asked` has the paths of all requests. */
async function index(
  specs: readonly WheelSpec[],
  options: IndexOptions = {},
): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const wheels = specs.map((spec) => ({ spec, ...wheel(spec) }));
  const hash = options.hash ?? sha256Of;
  const url = await serve((request, response) => {
    const path = request.url ?? "";
    asked.push(path);
    if (options.instead?.(path, request, response)) return;
    const name = /^\/simple\/([^/]+)\/$/.exec(path)?.[1];
    const file = wheels.find(({ fileName }) => path === `/files/${fileName}` || path === `/files/${fileName}.metadata`);
    if (file) {
      response.end(path.endsWith(".metadata") ? file.metadata : file.bytes);
      return;
    }
    const listed = wheels.filter(({ spec }) => spec.name === name);
    if (listed.length === 0) {
      response.writeHead(404).end();
      return;
    }
    if (options.html) {
      const links = listed.map(({ fileName, bytes, metadata }) => {
        const apart = options.metadata ? ` data-core-metadata="sha256=${sha256Of(metadata)}"` : "";
        return `<a href="../../files/${fileName}#sha256=${hash(bytes)}"${apart} data-requires-python="&gt;=3.8">${fileName}</a><br/>`;
      });
      response.setHeader("content-type", "text/html");
      response.end(`<!DOCTYPE html><html><body>${links.join("\n")}</body></html>`);
      return;
    }
    const files = listed.map(({ fileName, bytes, metadata }) => ({
      ...{ filename: fileName, url: `/files/${fileName}`, hashes: { sha256: hash(bytes) } },
      ...(options.metadata && { "core-metadata": { sha256: sha256Of(metadata) } }),
    }));
    response.setHeader("content-type", "application/vnd.pypi.simple.v1+json");
    response.end(JSON.stringify({ meta: { "api-version": "1.1" }, name, files }));
  });
  return { url: `${url}/simple`, asked };
}

const APPLE: WheelSpec = { name: "apple", version: "1.0", requires: ["pear>=2"] };
const PEARS: WheelSpec[] = [
  { name: "pear", version: "1.0" },
  { name: "pear", version: "2.0" },
  { name: "pear", version: "3.0", tag: "cp313-cp313-pyemscripten_2026_0_wasm32" },
];

const wheelsOf = async (one: Installer, ...texts: string[]): Promise<(readonly string[] | undefined)[]> => {
  const { wheelsOf: found } = await one.install(texts, false);
  return texts.map((text) => found.get(text));
};
const APPLE_AND_PEAR = ["apple-1.0-py3-none-any.whl", "pear-2.0-py3-none-any.whl"];

describe("an index", () => {
  it.each([
    ["as JSON", {}],
    ["as HTML", { html: true }],
    ["with metadata apart", { metadata: true }],
    ["as HTML, with metadata apart", { html: true, metadata: true }],
  ] as const)("%s gives packages with what they need", async (_what, options) => {
    const { url, asked } = await index([APPLE, ...PEARS], options);
    expect(await wheelsOf(installer({ indexUrl: url }), "apple")).toEqual([APPLE_AND_PEAR]);
    expect(asked.some((path) => path.endsWith(".metadata"))).toBe("metadata" in options);
    expect(asked.some((path) => path.includes("pear-1.0"))).toBe(false);
  });

  it("is not asked again for what was installed before, also by a server that starts anew", async () => {
    const { url, asked } = await index([APPLE, ...PEARS]);
    const cacheDir = folder();
    await installer({ indexUrl: url, cacheDir }).install(["apple"], false);
    const before = asked.length;
    const again = installer({ indexUrl: url, cacheDir });
    expect(await wheelsOf(again, "apple")).toEqual([APPLE_AND_PEAR]);
    expect(await wheelsOf(installer({ cacheDir }), "apple")).toEqual([APPLE_AND_PEAR]);
    expect(asked).toHaveLength(before);
    // forced, it is asked what there is, but what has not changed is not fetched again
    await again.install(["apple"], true);
    expect(asked.slice(before)).toEqual(["/simple/apple/", "/simple/pear/"]);
  });

  it("is not asked again for what was installed beside what comes with the server", async () => {
    const { url, asked } = await index([APPLE, ...PEARS]);
    const cacheDir = folder();
    const texts = ["cloudpickle", "apple"];
    expect(await wheelsOf(installer({ indexUrl: url, cacheDir }), ...texts)).toEqual([[], APPLE_AND_PEAR]);
    const before = asked.length;
    expect(await wheelsOf(installer({ indexUrl: url, cacheDir }), ...texts.toReversed())).toEqual([APPLE_AND_PEAR, []]);
    expect(asked).toHaveLength(before);
  });

  it("means the same by a requirement whatever others ask for beside it", async () => {
    const { url } = await index([APPLE, ...PEARS]);
    const cacheDir = folder();
    const pear = (version: string): string[] => [`pear-${version}.0-py3-none-any.whl`];
    const one = installer({ indexUrl: url, cacheDir });
    expect(await wheelsOf(one, "pear<2", "pear")).toEqual([pear("1"), pear("1")]);
    expect(await wheelsOf(one, "pear")).toEqual([pear("2")]);
    expect(await wheelsOf(one, "pear==1.*", "pear")).toEqual([pear("1"), pear("1")]);
    await one.install(["pear!=2", "pear"], true);
    for (const again of [one, installer({ indexUrl: url, cacheDir })]) {
      expect(await wheelsOf(again, "pear")).toEqual([pear("2")]);
      expect(await wheelsOf(again, "pear", "pear<2")).toEqual([pear("1"), pear("1")]);
    }
  });

  it("has a choice of several requirements stay as it was when one of them alone is chosen anew", async () => {
    const cacheDir = folder();
    const served = [...PEARS, { name: "plum", version: "1.0" }];
    const first = await index(served.slice(0, 1).concat(served.slice(-1)));
    const both = installer({ indexUrl: first.url, cacheDir });
    for (const text of ["pear", "plum"]) await both.install([text], false);
    const chosen = await wheelsOf(both, "pear", "plum");
    expect(chosen[0]).toEqual(["pear-1.0-py3-none-any.whl"]);
    served.push({ name: "plum", version: "2.0" });
    await both.install(["plum"], true);
    await both.forget(["plum"]);
    expect(await wheelsOf(both, "pear", "plum")).toEqual(chosen);
    await both.forget(["plum", "pear"]);
    await expect(both.install(["grape"], false)).rejects.toThrow("no source has it");
  });

  it("is asked by a server with other options than those with which something was installed, and not missed when it is gone", async () => {
    const cacheDir = folder();
    const first = await index([{ name: "pear", version: "1.0" }]);
    await installer({ indexUrl: first.url, cacheDir }).install(["pear"], false);
    const second = await index(PEARS);
    expect(await wheelsOf(installer({ indexUrl: second.url, cacheDir }), "pear")).toEqual([
      ["pear-2.0-py3-none-any.whl"],
    ]);
    const third = installer({ indexUrl: "http://127.0.0.1:1/simple", cacheDir });
    expect(await wheelsOf(third, "pear")).toEqual([["pear-2.0-py3-none-any.whl"]]);
    expect(third.lines.join("\n")).toContain("with other options is used");
    await third.forget(["pear"]);
    await expect(third.install(["pear"], false)).rejects.toThrow("can not be had");
  });

  it("gives each file once to several who want it at once", async () => {
    const { url, asked } = await index([APPLE, ...PEARS, { name: "nut", version: "1.0", requires: ["pear"] }]);
    const one = installer({ indexUrl: url });
    await Promise.all([one.install(["apple"], false), one.install(["nut"], false), one.install(["apple"], false)]);
    expect(asked.filter((path) => path.includes("pear-2.0"))).toHaveLength(1);
    expect(asked.filter((path) => path.includes("apple-1.0"))).toHaveLength(1);
  });

  it("whose file has another hash than promised is not trusted, and nothing is kept of it", async () => {
    const { url } = await index([APPLE, ...PEARS], { hash: () => "0".repeat(64) });
    const one = installer({ indexUrl: url });
    await expect(one.install(["pear"], false)).rejects.toThrow(/pear-2\.0.* has the SHA-256 .*, and not 0000/);
    await expect(one.exported("pear")).resolves.toBeUndefined();
  });

  it("whose metadata have another hash than promised is not trusted", async () => {
    const { url } = await index([APPLE, ...PEARS], {
      metadata: true,
      instead: (path, _request, response) =>
        path.endsWith(".metadata") && !!response.end("Name: apple\nVersion: 1.0\n"),
    });
    await expect(installer({ indexUrl: url }).install(["apple"], false)).rejects.toThrow("another SHA-256");
  });

  it("that is down is told by name, without its password", async () => {
    const error = installer({ indexUrl: "http://user:secret@127.0.0.1:1/simple" }).install(["apple"], false);
    await expect(error).rejects.toThrow(/^apple: the index's page of apple can not be had from 127\.0\.0\.1:1: /);
    await expect(error).rejects.not.toThrow("secret");
  });

  it("gives what Pyodide's packages should have and do not give", async () => {
    const { url, asked } = await index([{ name: "six", version: "9.0" }]);
    const one = installer({ indexUrl: url, pyodidePackages: folder() });
    expect(await wheelsOf(one, "six")).toEqual([["six-9.0-py3-none-any.whl"]]);
    expect(one.lines.join("\n")).toContain("ENOENT");
    expect(asked).toHaveLength(2);
    const error = installer({ pyodidePackages: folder() }).install(["six"], false);
    await expect(error).rejects.toThrow(/^six: six-.*\.whl can not be had from six-.*ENOENT/);
  });

  it("that goes away and comes back is asked again", async () => {
    let isThere = false;
    const { url } = await index([APPLE, ...PEARS], {
      instead: (_path, request) => !isThere && !!request.socket.destroy(),
    });
    const one = installer({ indexUrl: url });
    for (let n = 0; n < 2; n++) await expect(one.install(["apple"], false)).rejects.toThrow("can not be had");
    isThere = true;
    expect(await wheelsOf(one, "apple")).toEqual([APPLE_AND_PEAR]);
    isThere = false;
    expect(await wheelsOf(one, "apple")).toEqual([APPLE_AND_PEAR]);
    await expect(one.install(["apple"], true)).rejects.toThrow("can not be had");
    expect(await wheelsOf(one, "apple")).toEqual([APPLE_AND_PEAR]);
  });

  it("that answers an error is told", async () => {
    const { url } = await index([APPLE], { instead: (_path, _request, response) => !!response.writeHead(503).end() });
    await expect(installer({ indexUrl: url }).install(["apple"], false)).rejects.toThrow("answers 503");
  });

  it.each(["page", "file"])(
    "whose %s stops in the middle is given up after PythonInstallReqMaxIdleTime",
    async (what) => {
      const { url } = await index([APPLE, ...PEARS], {
        instead: (path, _request, response) => {
          if (path.startsWith("/files/") !== (what === "file")) return false;
          response.write("{");
          return true;
        },
      });
      await expect(installer({ indexUrl: url }, 200).install(["pear"], false)).rejects.toThrow(
        "nothing came for 200 ms (PythonInstallReqMaxIdleTime)",
      );
    },
  );

  it.each(["page", "file"])("whose %s never ends is given up at max-packages-size", async (what) => {
    const { url } = await index([APPLE, ...PEARS], {
      instead: (path, _request, response) => {
        if (path.startsWith("/files/") !== (what === "file")) return false;
        const more = (): void =>
          void (!response.destroyed && response.write(Buffer.alloc(65_536), () => setImmediate(more)));
        more();
        return true;
      },
    });
    const one = installer({ indexUrl: url, maxBytes: 1_000_000 });
    await expect(one.install(["pear"], false)).rejects.toThrow("exceeds max-packages-size");
  });

  it.each([
    ["no JSON", "{"],
    ["JSON of another kind", "[]"],
    ["files of other kinds", '{"files":[null,1,{"url":5},{"url":"x:y","filename":"z"}]}'],
  ])("that answers %s does no harm", async (_what, body) => {
    const { url } = await index([APPLE], {
      instead: (_path, _request, response) => {
        response.setHeader("content-type", "application/json");
        return !!response.end(body);
      },
    });
    await expect(installer({ indexUrl: url }).install(["apple"], false)).rejects.toThrow(/^apple: /);
  });

  it("whose page is made of links that never end does not keep the server busy", async () => {
    const body = "<a ".repeat(2_000_000);
    const { url } = await index([APPLE], {
      instead: (_path, _request, response) => !!response.setHeader("content-type", "text/html").end(body),
    });
    await expect(installer({ indexUrl: url }).install(["apple"], false)).rejects.toThrow("apple: no source has it");
  });

  it.each([
    ["more files than any package has", 50_001, "more than 50000 files"],
    ["many files", 15_000, "wide: the index has "],
  ])("that lists %s does not keep the server busy", async (_what, count, reason) => {
    const name = (n: number): string => `wide-${n % 997}.${n}-py3-none-any.whl`;
    const page = Array.from({ length: count }, (_, n) => `<a href="/files/${name(n)}">${name(n)}</a>`).join("\n");
    const url = await serve((request, response) => {
      response.setHeader("content-type", "text/html");
      if (request.url?.includes("/files/")) response.writeHead(404).end();
      else response.end(page);
    });
    const installing = installer({ indexUrl: `${url}/simple`, maxBytes: 100_000_000 }).install(["wide<0"], false);
    const error = installing.then(() => "", String);
    const longest = await longestTurn(error);
    expect(await error).toContain(reason);
    // it was tens of seconds for some hundred thousand
    expect(longest).toBeLessThan(300);
  });

  it("gets the password of its URL, and no other server does", async () => {
    const seen: (string | undefined)[] = [];
    const other = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.end(wheel(PEARS[1] as WheelSpec).bytes);
    });
    const { url } = await index(PEARS, {
      instead: (path, request, response) => {
        if (request.headers.authorization !== `Basic ${Buffer.from("user:pa:ss").toString("base64")}`) {
          return !!response.writeHead(401).end();
        }
        return path.startsWith("/files/") && !!response.writeHead(302, { location: `${other}/x` }).end();
      },
    });
    const withPassword = url.replace("http://", "http://user:pa%3Ass@");
    expect(await wheelsOf(installer({ indexUrl: withPassword }), "pear")).toEqual([["pear-2.0-py3-none-any.whl"]]);
    expect(seen).toEqual([undefined]);
    await expect(installer({ indexUrl: url }).install(["pear"], false)).rejects.toThrow("answers 401");
  });

  it("that leads on and on is not followed", async () => {
    const { url } = await index([], {
      instead: (path, _request, response) => !!response.writeHead(302, { location: path }).end(),
    });
    await expect(installer({ indexUrl: url }).install(["pear"], false)).rejects.toThrow("from one address to the next");
  });
});

describe("the cache", () => {
  const filesIn = (part: string): string[] =>
    readdirSync(part, { recursive: true, withFileTypes: true })
      .filter((one) => one.isFile())
      .map((one) => join(one.parentPath, one.name));

  it("has nothing left of a download that was given up because the server stops", async () => {
    let begun = (): void => {};
    const beginning = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const { url } = await index(PEARS, {
      instead(path, _request, response) {
        if (!path.startsWith("/files/")) return false;
        response.write("the beginning", begun);
        return true;
      },
    });
    const cacheDir = folder();
    const one = installer({ indexUrl: url, cacheDir });
    const installing = one.install(["pear"], false);
    const outcome = expect(installing).rejects.toThrow("the server stops");
    await beginning;
    await one.close();
    await outcome;
    expect(filesIn(cacheDir)).toEqual([]);
  });

  it("is rid of downloads that nobody goes on with", async () => {
    const cacheDir = folder();
    await installer({ cacheDir }).close();
    const [old, fresh] = ["1.a.tmp", "1.b.tmp"].map((name) => join(cacheDir, "packages", name)) as [string, string];
    const oldPack = join(cacheDir, "packages", "packs", "x.pack.1.a.tmp");
    for (const path of [old, fresh, oldPack]) writeFileSync(path, "x");
    const before = new Date(Date.now() - 2 * 3600 * 1000);
    for (const path of [old, oldPack]) utimesSync(path, before, before);
    installer({ cacheDir });
    await until(() => filesIn(cacheDir).length === 1);
    expect(filesIn(cacheDir)).toEqual([fresh]);
  });

  it("that can not be written is told of", async () => {
    const { url } = await index(PEARS);
    const cacheDir = folder();
    const one = installer({ indexUrl: url, cacheDir });
    rmSync(join(cacheDir, "packages"), { recursive: true });
    await expect(one.install(["pear"], false)).rejects.toThrow("packages can not be kept: ENOENT");
  });

  it.each<[string, string, (bytes: Buffer) => Buffer | string]>([
    ["pack that is cut off", "packs", (bytes) => bytes.subarray(0, -3)],
    ["pack with other contents", "packs", (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.from("#")])],
    [
      "pack with another table",
      "packs",
      (bytes) => Buffer.from(bytes.toString("latin1").replace("pear.py", "bear.py"), "latin1"),
    ],
    ["wheel that is cut off", "wheels", (bytes) => bytes.subarray(0, -3)],
    [
      "wheel with other contents",
      "wheels",
      (bytes) => Buffer.concat([bytes.subarray(0, 40), Buffer.from("#"), bytes.subarray(41)]),
    ],
    ["choice that is no JSON", "kept", () => "{"],
    ["choice of something else", "kept", () => '[["pear",[{}]]]'],
    ["choice of another file", "kept", () => `[["pear",[{"fileName":"../../x","sha256":"${"0".repeat(64)}"}]]]`],
  ])("with a %s is as one without", async (_what, part, damage) => {
    const { url } = await index(PEARS);
    const cacheDir = folder();
    await installer({ indexUrl: url, cacheDir }).install(["pear"], false);
    const [pack = ""] = filesIn(join(cacheDir, "packages", "packs"));
    const whole = readFileSync(pack);
    for (const file of filesIn(join(cacheDir, "packages", part))) writeFileSync(file, damage(readFileSync(file)));
    // nobody has made anything of a damaged wheel yet
    if (part === "wheels") rmSync(pack);
    const again = installer({ indexUrl: url, cacheDir });
    expect(await wheelsOf(again, "pear")).toEqual([["pear-2.0-py3-none-any.whl"]]);
    expect(readFileSync(pack).equals(whole)).toBe(true);
    expect(await again.exported("pear")).toHaveLength(1);
  });
});

it("many packages at once are unpacked and compiled two at a time", async () => {
  const specs = Array.from({ length: 6 }, (_, n): WheelSpec => ({ name: `pear${n}`, version: "1.0" }));
  const { url } = await index(specs);
  let compiling = 0;
  let most = 0;
  let bothBegun = (): void => {};
  const both = new Promise<void>((resolve) => {
    bothBegun = resolve;
  });
  const one = installer({ indexUrl: url }, 10_000, async () => {
    most = Math.max(most, ++compiling);
    if (compiling === 2) bothBegun();
    await both;
    await turns();
    compiling--;
    return new Map();
  });
  await Promise.all(specs.map(({ name }) => one.install([name], false)));
  expect(most).toBe(2);
});

it.each(["file:///a%FF-1-py3-none-any.whl", "http://host:99999/a-1-py3-none-any.whl", "https://host/a.tar.gz"])(
  "%s is no address of a wheel",
  async (address) => {
    await expect(installer({}).install([`a @ ${address}`], false)).rejects.toThrow(
      "the address is not that of a wheel",
    );
  },
);

it("many requirements are not all written into the log", async () => {
  const texts = Array.from({ length: 500 }, (_, n) => `pear>${n}`);
  const some = installer({});
  await expect(some.install(texts, false)).rejects.toThrow("no source has it");
  expect(some.lines[0]).toBe(`installing ${texts.slice(0, 10).join(", ")} and 490 more`);
});

describe("a folder of Pyodide's packages", () => {
  const lockFolder = (change?: (lock: TestLock) => void): string => pyodideFolder(folder(), change);

  it("gives what its lock file has, with the libraries that packages share", async () => {
    const one = installer({ pyodidePackages: lockFolder() });
    expect(await wheelsOf(one, "number>=2")).toEqual([
      ["number-2.4-cp314-cp314-pyemscripten_2026_0_wasm32.whl", "libnumber-1.0.zip"],
    ]);
    await expect(one.install(["number<2"], false)).rejects.toThrow("Pyodide's packages has 2.4");
  });

  it("by URL does the same, with the lock file of the installed Pyodide", async () => {
    const asked: string[] = [];
    const url = await serve((request, response) => {
      asked.push(request.url ?? "");
      response.end("something else");
    });
    const error = installer({ pyodidePackages: `${url}/full/` }).install(["six"], false);
    await expect(error).rejects.toThrow(/six-.* has the SHA-256/);
    expect(asked).toEqual([expect.stringMatching(/^\/full\/six-.*\.whl$/)]);
  });

  it("whose file has another hash than its lock file says is not trusted", async () => {
    const made = lockFolder(({ packages }) => Object.assign(packages.number as object, { sha256: "1".repeat(64) }));
    await expect(installer({ pyodidePackages: made }).install(["number"], false)).rejects.toThrow("has the SHA-256");
  });

  it("for another ABI is not used", async () => {
    const made = lockFolder(({ info }) => Object.assign(info, { abi_version: "2025_0" }));
    const one = installer({ pyodidePackages: made });
    await expect(one.install(["number"], false)).rejects.toThrow("number: no source has it");
    expect(one.lines.join("\n")).toContain("are for ABI 2025_0, and not 2026_0");
  });
});
