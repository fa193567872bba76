/** Where scripts may connect to: hosts in all their forms, rules, and what names may be resolved to. */
import { describe, expect, it } from "vitest";
import { isSpecial, readHost } from "../../src/connections/hosts.ts";
import { InterpreterConnections } from "../../src/connections/interpreter-connections.ts";
import { type Found, Judge } from "../../src/connections/judge.ts";
import { HostResolver } from "../../src/connections/host-resolver.ts";
import { Targets } from "../../src/connections/targets.ts";

describe("a host", () => {
  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["0x7f.1", "127.0.0.1"],
    ["0x7f000001", "127.0.0.1"],
    ["2130706433", "127.0.0.1"],
    ["017700000001", "127.0.0.1"],
    ["127.1", "127.0.0.1"],
    ["127.0.0.1.", "127.0.0.1"],
    ["１２７.0.0.1", "127.0.0.1"],
    ["127。0。0。1", "127.0.0.1"],
    ["0", "127.0.0.1"],
    ["0x", "127.0.0.1"],
    ["0.0.0.0", "127.0.0.1"],
    ["::", "::1"],
    ["[::]", "::1"],
    ["::ffff:127.0.0.1", "127.0.0.1"],
    ["::ffff:7f00:1", "127.0.0.1"],
    ["0:0:0:0:0:ffff:7f00:0001", "127.0.0.1"],
    ["::ffff:0.0.0.0", "127.0.0.1"],
    ["FE80::0001", "fe80::1"],
    ["2001:DB8:0:0::1", "2001:db8::1"],
  ])("%s is the address %s", (written, address) => {
    expect(readHost(written)).toMatchObject({ kind: "address", text: address });
  });

  it.each([
    ["DB.Example.com", "db.example.com"],
    ["db.example.com.", "db.example.com"],
    ["bücher.example", "xn--bcher-kva.example"],
    ["my_host", "my_host"],
  ])("%s is the name %s", (written, name) => {
    expect(readHost(written)).toEqual({ kind: "name", text: name });
  });

  it.each([
    ...[
      "",
      " ",
      "a b",
      "a\tb",
      "a/b",
      "a@b",
      "a?b",
      "a#b",
      "a:80",
      "a%62",
      "\\a",
      "[",
      "[a",
      "[a]b",
      "..",
      ".a",
      "a..b",
      "-a",
    ],
    ...["1.2.3.256", "fe80::1%eth0", "::g", "1::2::3", "a\0b", `${"a".repeat(64)}.`.repeat(4), "[127.0.0.1]:80", "-"],
  ])("%j is none", (written) => {
    const host = readHost(written);
    // what is not refused here must be a plain name: nothing that a resolver takes for something else
    if (host?.kind === "name") expect(host.text).toMatch(/^[a-z0-9_.-]+$/);
    else expect(host).toBeUndefined();
  });

  it.each([
    ...["127.0.0.1", "127.1.2.3", "0.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1"],
    ...[
      "::127.0.0.1",
      "::ffff:0:127.0.0.1",
      "64:ff9b::7f00:1",
      "2002:7f00:1::",
      "2001::1",
      "fe80::1",
      "fec0::1",
      "ff02::1",
    ],
    ...["100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe"],
  ])("%s is no ordinary address", (written) => {
    expect(isSpecial(readHost(written)?.text ?? "")).toBe(true);
  });

  it.each([
    "10.0.0.1",
    "192.168.1.1",
    "8.8.8.8",
    "172.17.0.1",
    "2001:db8::1",
    "fd00::1",
    "223.255.255.255",
    "100.100.100.201",
  ])("%s is an ordinary address", (written) => {
    expect(isSpecial(written)).toBe(false);
  });
});

describe("the rules of allow-connect", () => {
  it.each([
    "db",
    "db:",
    "db:0",
    "db:65536",
    ":5432",
    "fd00::1:80",
    "[fd00::1]",
    "a b:1/2",
    "10.0.0.0/33:1",
    "[db]:5432",
    "x/8:1",
    "10.0.0.0/:1",
  ])("%s is none", (rule) => {
    expect(() => new Targets([rule])).toThrow(/allow-connect.*form host:port/);
  });

  const allows = (rules: string, host: string, port: number): boolean =>
    new Targets([rules]).allows(readHost(host)?.text ?? "", port);

  it.each([
    ["10.0.0.5:5432", "10.0.0.5", 5432],
    ["10.0.0.0/8:5432", "10.255.0.1", 5432],
    ["127.0.0.1:6379", "0.0.0.0", 6379],
    ["127.0.0.0/8:6379", "0x7f.2", 6379],
    ["[::1]:80", "::", 80],
    ["[fd00::/8]:443", "fd12::1", 443],
    ["10.0.0.1:*", "10.0.0.1", 1],
    ["*:443", "93.184.216.34", 443],
    ["a:1, b:2\tc:3,*:5432", "192.168.0.1", 5432],
  ])("%s allow %s at %d", (rules, host, port) => {
    expect(allows(rules, host, port)).toBe(true);
  });

  it.each([
    ["", "10.0.0.5", 5432],
    ["10.0.0.5:5432", "10.0.0.5", 5433],
    ["10.0.0.5:5432", "10.0.0.6", 5432],
    ["10.0.0.0/8:5432", "11.0.0.1", 5432],
    ["10.0.0.0/8:5432", "::10.0.0.1", 5432],
    ["[::/0]:5432", "127.0.0.1", 5432],
    ["[::/0]:5432", "::ffff:127.0.0.1", 5432],
    ["*:5432", "127.0.0.1", 5432],
    ["*:5432", "0.0.0.0", 5432],
    ["*:5432", "::1", 5432],
    ["*:5432", "::ffff:127.0.0.1", 5432],
    ["*:5432", "2130706433", 5432],
    ["*:80", "169.254.169.254", 80],
    ["*:80", "64:ff9b::a9fe:a9fe", 80],
    ["localhost:80", "127.0.0.1", 80],
  ])("%s do not allow %s at %d", (rules, host, port) => {
    expect(allows(rules, host, port)).toBe(false);
  });
});

describe("a name", () => {
  const asked: string[] = [];
  const NAMES: Record<string, string[]> = {
    "db.example": ["10.1.1.1", "fd00::1"],
    "evil.example": ["127.0.0.1"],
    "mixed.example": ["127.0.0.1", "::ffff:127.0.0.1", "10.1.1.2"],
    "meta.example": ["169.254.169.254"],
    localhost: ["127.0.0.1", "::1"],
  };
  const judge = (...rules: string[]): Judge =>
    new Judge({
      targets: new Targets(rules),
      resolver: new HostResolver(async (name) => {
        asked.push(name);
        const found = NAMES[name];
        if (!found) throw Object.assign(new Error("no"), { code: "ENOTFOUND" });
        return found.map((address) => ({ address }));
      }),
      users: [],
      rights: { isFree: () => true, lastingRefusal: () => undefined },
    });
  const found = async (rules: string, host: string, port: number): Promise<Found<readonly string[]>> =>
    judge(rules).addresses(new InterpreterConnections(), host, port);

  it.each([
    ["db.example:5432", "db.example", ["10.1.1.1", "fd00::1"]],
    ["db.example:5432", "DB.EXAMPLE.", ["10.1.1.1", "fd00::1"]],
    ["10.0.0.0/8:5432", "db.example", ["10.1.1.1"]],
    ["*:5432", "db.example", ["10.1.1.1", "fd00::1"]],
    ["*:5432", "mixed.example", ["10.1.1.2"]],
    ["mixed.example:5432", "mixed.example", ["10.1.1.2"]],
    ["evil.example:5432,127.0.0.1:5432", "evil.example", ["127.0.0.1"]],
    ["localhost:5432", "localhost", ["127.0.0.1", "::1"]],
  ])("by %s: %s has the addresses %j", async (rules, host, addresses) => {
    expect(await found(rules, host, 5432)).toEqual({ value: addresses });
  });

  it.each([
    ["evil.example:5432", "evil.example"],
    ["*:5432", "evil.example"],
    ["meta.example:5432", "meta.example"],
    ["*:5432", "localhost"],
    ["10.0.0.0/8:5433", "db.example"],
    ["other.example:5432", "db.example"],
  ])("by %s: %s is not allowed", async (rules, host) => {
    expect(await found(rules, host, 5432)).toEqual({ failure: expect.stringMatching(/^EPERM .*allow-connect/) });
  });

  it("that no rule can mean is not asked about: that would tell its server something", async () => {
    asked.length = 0;
    await found("db.example:5432", "secret.evil.example", 5432);
    await found("db.example:5432", "db.example", 80);
    expect(asked).toEqual([]);
  });

  it("is remembered with its addresses for the interpreter that has asked, and nobody else", async () => {
    const one = judge("db.example:5432");
    const [own, other] = [new InterpreterConnections(), new InterpreterConnections()];
    expect(await one.addresses(own, "10.1.1.1", 5432)).toHaveProperty("failure");
    await one.addresses(own, "db.example", undefined);
    expect(await one.addresses(own, "10.1.1.1", 5432)).toEqual({ value: ["10.1.1.1"] });
    expect(await one.addresses(own, "10.1.1.1", 5433)).toHaveProperty("failure");
    expect(await one.addresses(other, "10.1.1.1", 5432)).toHaveProperty("failure");
  });

  it("that does not exist is said to", async () => {
    expect(await found("none.example:5432", "none.example", 5432)).toEqual({
      failure: "EAI none.example can not be resolved (ENOTFOUND)",
    });
  });

  it("is resolved with few others at a time, and a queue that does not grow without limit", async () => {
    const waiting: (() => void)[] = [];
    let most = 0;
    const resolver = new HostResolver(async () => {
      most = Math.max(most, waiting.length + 1);
      await new Promise<void>((resolve) => waiting.push(resolve));
      return [];
    });
    const all = Array.from({ length: 400 }, (_, at) =>
      resolver.addresses(`n${at}`).then(
        () => "ok",
        (e: Error) => e.message,
      ),
    );
    for (let at = 0; at < 400; at++) {
      await Promise.resolve();
      waiting.shift()?.();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    const outcomes = await Promise.all(all);
    expect(most).toBe(2);
    expect(outcomes.filter((one) => one.includes("EAI_AGAIN")).length).toBe(400 - 2 - 256);
  });
});
