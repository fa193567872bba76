/** Who may run commands of ours, and what COMMAND, MODULE, INFO and HELLO show of them. */
import { expect, it } from "vitest";
import { AccessEpoch } from "../../src/engine/user-rights.ts";
import { Verdicts } from "../../src/gateway/verdicts.ts";
import { globMatches } from "../../src/gateway/glob.ts";
import { describeEachEngine } from "../support/engines.ts";
import type { PlainClient } from "../support/plain-client.ts";

const noPermission = (name: string): RegExp => new RegExp(`^-NOPERM .*'${name}' command\r\n$`);

async function reply(client: PlainClient, command: string): Promise<string> {
  client.write(`${command}\r\nECHO end-of-it\r\n`);
  const end = "$9\r\nend-of-it\r\n";
  await client.until(() => client.pending.endsWith(end));
  const all = await client.read(client.pending.length);
  return all.slice(0, -end.length);
}

/** The lines without their order: the engine lists its hash tables, and those may grow between two commands. */
const sortedLines = (text: string): string[] => text.split("\r\n").sort();

describeEachEngine("access", (gateway) => {
  it("asks for the right that the command needs", async () => {
    const admin = await gateway().connect();
    await reply(admin, "ACL SETUSER bob on >pw ~* &* +@all -eval -config");
    const bob = await gateway().connect();
    expect(await reply(bob, "RG.SCRIPT")).toBe("+ran\r\n");
    expect(await reply(bob, "AUTH bob pw")).toBe("+OK\r\n");
    expect(await reply(bob, "RG.SCRIPT")).toMatch(noPermission("rg.script"));
    expect(await reply(bob, "rg.Script a")).toMatch(noPermission("rg.script"));
    expect(await reply(bob, "RG.ADMIN")).toMatch(noPermission("rg.admin"));
    expect(await reply(bob, "RG.ECHO x")).toBe("$1\r\nx\r\n");
    expect(await reply(bob, "RG.ANY")).toBe("+ran\r\n");
    expect(await reply(bob, "RESET\r\nRG.SCRIPT")).toBe("+RESET\r\n+ran\r\n");
  });

  it("notices at once when rights change", async () => {
    const admin = await gateway().connect();
    await reply(admin, "ACL SETUSER carl on nopass ~* &* +@all");
    const carl = await gateway().connect();
    await reply(carl, "AUTH carl any");
    expect(await reply(carl, "RG.SCRIPT")).toBe("+ran\r\n");
    await reply(admin, "ACL SETUSER carl -eval");
    expect(await reply(carl, "RG.SCRIPT")).toMatch(noPermission("rg.script"));
    await reply(admin, "MULTI\r\nACL SETUSER carl +eval\r\nEXEC");
    expect(await reply(carl, "RG.SCRIPT")).toBe("+ran\r\n");
    expect(await reply(carl, "MULTI\r\nACL SETUSER carl -eval\r\nEXEC\r\nRG.SCRIPT")).toMatch(/-NOPERM/);
  });

  it("refuses at queue time inside MULTI", async () => {
    const admin = await gateway().connect();
    await reply(admin, "ACL SETUSER dora on nopass ~* &* +@all -eval -incr");
    const dora = await gateway().connect();
    await reply(dora, "AUTH dora any");
    const aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    expect(await reply(dora, "MULTI\r\nRG.SCRIPT\r\nEXEC")).toMatch(
      /^\+OK\r\n-NOPERM [^\r]*'rg\.script'[^\r]*\r\n-EXECABORT/,
    );
    expect(await reply(dora, "MULTI\r\nRG.ECHO x\r\nPING\r\nRG.SCRIPT\r\nEXEC")).toMatch(
      /QUEUED\r\n\+QUEUED\r\n-NOPERM [^\r]*'rg\.script'/,
    );
    const later = await reply(dora, "MULTI\r\nRG.ECHO x\r\nINCR n\r\nEXEC");
    expect(later).toMatch(/QUEUED\r\n-NOPERM [^\r]*'incr'/);
    expect(later.endsWith(aborted)).toBe(true);
    expect(await reply(dora, "MULTI\r\nRG.ECHO x\r\nPING\r\nRG.ECHO y\r\nEXEC")).toMatch(
      /\*3\r\n\$1\r\nx\r\n\+PONG\r\n\$1\r\ny\r\n$/,
    );
  });

  it("demands authentication, with Redis' limits for strangers", async () => {
    const admin = await gateway().connect();
    expect(await reply(admin, "CONFIG SET requirepass secret")).toBe("+OK\r\n");
    const client = await gateway().connect();
    client.write("RG.ECHO x\r\nRG.ANY\r\nGET a\r\n");
    await client.expect("-NOAUTH Authentication required.\r\n".repeat(3));
    client.write("HELLO 2 AUTH default wrong\r\n");
    await client.until(() => client.pending.startsWith("-WRONGPASS"));
    await client.read(client.pending.length);
    client.write("HELLO 2 AUTH default secret\r\nRG.ECHO x\r\n");
    await client.until(() => client.pending.endsWith("$1\r\nx\r\n"));
    // The whole command of a known client may be big, also with a transaction whose twin has to authenticate.
    expect((await reply(client, `RG.ECHO ${"b".repeat(20_000)}`)).length).toBeGreaterThan(20_000);
    expect(await reply(client, "MULTI\r\nRG.ECHO x\r\nPING\r\nEXEC")).toMatch(/\*2\r\n\$1\r\nx\r\n\+PONG\r\n$/);
    const stranger = await gateway().connect();
    stranger.write(`*1\r\n$20000\r\n`);
    expect(await stranger.readToEnd()).toBe("-ERR Protocol error: unauthenticated bulk length\r\n");
    expect(await reply(client, "CONFIG SET requirepass ''")).toBe("+OK\r\n");
  });
});

describeEachEngine(
  "introspection",
  (gateway) => {
    it("counts and lists our commands", async () => {
      const client = await gateway().connect();
      const names = gateway().commands.rows.map(({ name }) => name);
      const count = Number((await reply(client, "COMMAND COUNT")).slice(1));
      const all = await reply(client, "COMMAND");
      expect(all.startsWith(`*${count}\r\n`)).toBe(true);
      expect(sortedLines(await reply(client, "COMMAND INFO"))).toEqual(sortedLines(all));
      const list = await reply(client, "COMMAND LIST");
      expect(Number(list.slice(1, 5))).toBeGreaterThan(count);
      for (const name of names) expect(list).toContain(`\r\n${name}\r\n`);
      expect((await reply(client, "COMMAND LIST FILTERBY MODULE rg")).startsWith(`*${names.length}\r\n`)).toBe(true);
      expect(await reply(client, "COMMAND LIST FILTERBY PATTERN rg.ec*")).toBe("*1\r\n$7\r\nrg.echo\r\n");
      expect(await reply(client, "COMMAND LIST FILTERBY ACLCAT scripting")).toContain("rg.script");
      expect((await reply(client, "COMMAND LIST FILTERBY PATTERN nosuch*")).startsWith("*0\r\n")).toBe(true);
    });

    it.each([2, 3])("describes our commands as the engine does its own, RESP%i", async (protocol) => {
      const client = await gateway().connect();
      await reply(client, `HELLO ${protocol}`);
      const set = protocol === 3 ? "~" : "*";
      const entry = `*10\r\n$7\r\nrg.echo\r\n:-1\r\n${set}2\r\n+readonly\r\n+module\r\n:0\r\n:0\r\n:0\r\n${set}2\r\n+@read\r\n+@slow\r\n${set}0\r\n${set}0\r\n${set}0\r\n`;
      expect(await reply(client, "COMMAND INFO RG.Echo")).toBe(`*1\r\n${entry}`);
      const get = await reply(client, "COMMAND INFO get");
      const nil = protocol === 3 ? "_\r\n" : (await reply(client, "COMMAND INFO nosuch")).slice(4);
      expect(await reply(client, "COMMAND INFO get rg.echo nosuch")).toBe(`*3\r\n${get.slice(4)}${entry}${nil}`);
      // The key specification has the form of the engine's own for a command with one key (what follows it varies).
      const shape = (text: string): string =>
        text
          .replace(/:\d+/g, ":n")
          .replace(/\$\d+\r\n[^\r]*/g, "s")
          .replace(/\+[^\r]*/g, "s");
      const tail = (text: string): string =>
        shape(text).slice(shape(text).lastIndexOf(protocol === 3 ? "%3" : "*6\r\ns\r\n*3"), -4);
      expect(tail((await reply(client, "COMMAND INFO rg.onkey")).slice(4))).toBe(
        tail((await reply(client, "COMMAND INFO getset")).slice(4)),
      );
      const docs = await reply(client, "COMMAND DOCS rg.echo ping nosuch");
      expect(docs.startsWith(protocol === 3 ? "%2\r\n" : "*4\r\n")).toBe(true);
      expect(docs).toContain("$18\r\nsummary of rg.echo\r\n");
    });

    it("finds keys", async () => {
      const client = await gateway().connect();
      expect(await reply(client, "COMMAND GETKEYS RG.ONKEY put Key v")).toBe("*1\r\n$3\r\nKey\r\n");
      expect(await reply(client, "COMMAND GETKEYSANDFLAGS RG.ONKEY put k")).toBe(
        "*1\r\n*2\r\n$1\r\nk\r\n*3\r\n$2\r\nRW\r\n$6\r\naccess\r\n$6\r\nupdate\r\n",
      );
      expect(await reply(client, "COMMAND GETKEYS RG.ECHO x")).toBe("-ERR The command has no key arguments\r\n");
      expect(await reply(client, "COMMAND GETKEYS RG.ONKEY put")).toBe(
        "-ERR Invalid number of arguments specified for command\r\n",
      );
      expect(await reply(client, "COMMAND GETKEYS GET a")).toBe("*1\r\n$1\r\na\r\n");
      expect(await reply(client, "COMMAND GETKEYS NOSUCH a")).toBe("-ERR Invalid command specified\r\n");
    });

    it.each([2, 3])("is a module, RESP%i", async (protocol) => {
      const client = await gateway().connect();
      const hello = await reply(client, `HELLO ${protocol}`);
      const entry = `${protocol === 3 ? "%4" : "*8"}\r\n$4\r\nname\r\n$2\r\nrg\r\n$3\r\nver\r\n:10213\r\n$4\r\npath\r\n$0\r\n\r\n$4\r\nargs\r\n*1\r\n$1\r\na\r\n`;
      expect(hello.endsWith(entry)).toBe(true);
      expect((await reply(client, "MODULE LIST")).endsWith(entry)).toBe(true);
      expect(await reply(client, "MODULE")).toMatch(/^-ERR wrong number/);
      expect(await reply(client, "COMMAND NOSUCH")).toMatch(/^-ERR/);
    });

    it.each([2, 3])("has sections in INFO, RESP%i", async (protocol) => {
      const client = await gateway().connect();
      await reply(client, `HELLO ${protocol}`);
      const asked = "# rg\r\nrg_asked:rg\r\n";
      const alone = await reply(client, "INFO rg");
      expect(alone).toBe(
        protocol === 3 ? `=${asked.length + 4}\r\ntxt:${asked}\r\n` : `$${asked.length}\r\n${asked}\r\n`,
      );
      const more = await reply(client, "INFO CPU RG");
      expect(more).toContain("# CPU\r\n");
      expect(more.endsWith("\r\n\r\n# rg\r\nrg_asked:cpu,rg\r\n\r\n")).toBe(true);
      expect(Number(/^.(\d+)/.exec(more)?.[1])).toBe(more.length - more.indexOf("\n") - 3);
      expect(await reply(client, "INFO cpu")).not.toContain("rg_");
    });
  },
  {
    moduleArgs: ["a"],
    infoSections: (sections) => (sections.includes("rg") ? `# rg\r\nrg_asked:${sections.join()}\r\n` : ""),
  },
);

it("verdicts end with their time and with every change of rights", () => {
  const rights = new AccessEpoch();
  let now = 0;
  const verdicts = new Verdicts(rights, 1000, () => now);
  expect(verdicts.has("read")).toBe(false);
  verdicts.keep("read", undefined, rights.value);
  verdicts.keep("script", "NOPERM no", rights.value);
  verdicts.keep("admin", "BUSY later", rights.value);
  expect([verdicts.has("read"), verdicts.has("script"), verdicts.has("admin")]).toEqual([true, true, false]);
  now = 1001;
  expect(verdicts.has("read")).toBe(false);
  const before = rights.value;
  rights.advance();
  verdicts.keep("read", undefined, before);
  expect(verdicts.has("read")).toBe(false);
});

it.each([
  ["*", "rg.echo", true],
  ["rg.*", "rg.echo", true],
  ["RG.E*O", "rg.echo", true],
  ["rg.e?ho", "rg.echo", true],
  ["rg.[a-f]cho", "rg.echo", true],
  ["rg.[^e]cho", "rg.echo", false],
  ["rg\\.echo", "rg.echo", true],
  ["rg", "rg.echo", false],
  ["*a*a*a*a*a*a*a*a*a*a*a*a*b", "a".repeat(60), false],
  ["[", "[", true],
  ["", "", true],
])("glob %s and %s", (pattern, name, matches) => {
  expect(globMatches(pattern, name)).toBe(matches);
});
