/** Parts of the console alone, and the page's parts that need no browser. */
import { describe, expect, it } from "vitest";
import { isKnownHost } from "../../src/console/guard.ts";
import { Logins } from "../../src/console/logins.ts";
import { replyJson } from "../../src/console/reply-json.ts";
import { array, bulk, error, integer, map, nil, type Reply, raw, status, text } from "../../src/resp/reply.ts";

describe("names of the console", () => {
  it.each([
    ["localhost:8080", true],
    ["127.0.0.1", true],
    ["[::1]:80", true],
    ["192.0.2.1:1", true],
    ["my.example:1", true],
    ["other.example", false],
    ["localhost.other.example", false],
    ["", false],
    [undefined, false],
    ["my.example:1:2", false],
    ["my.example@other.example", false],
  ])("%s: %s", (host, known) => {
    expect(isKnownHost(host, ["MY.example"])).toBe(known);
  });
});

describe("logins", () => {
  const clock = { at: 0 };
  const make = () =>
    new Logins({
      authenticate: async (_user, password) => (password === "right" ? undefined : "WRONGPASS"),
      now: () => clock.at,
    });

  it("are over when nobody has used them for an hour", async () => {
    const logins = make();
    const login = await logins.begin("a", "right", "");
    if (typeof login === "string") throw new Error(login);
    clock.at += 3_599_000;
    expect(logins.find(login.token)?.user).toBe("a");
    clock.at += 3_599_000;
    expect(logins.find(login.token)?.user).toBe("a");
    clock.at += 3_601_000;
    expect(logins.find(login.token)).toBeUndefined();
    expect(login.ended.aborted).toBe(true);
  });

  it("do not become more and more", async () => {
    const logins = make();
    const all = [];
    for (let n = 0; n < 300; n++) all.push(await logins.begin("a", "right", ""));
    const alive = all.filter((login) => typeof login !== "string" && logins.find(login.token));
    expect(alive).toHaveLength(256);
  });

  it("count wrong passwords that come at once, and forget them after a while", async () => {
    const logins = make();
    const tries = await Promise.all(Array.from({ length: 12 }, () => logins.begin("a", "wrong", "1")));
    expect(tries.filter((answer) => answer === "WRONGPASS")).toHaveLength(10);
    expect(await logins.begin("a", "right", "1")).toMatch(/^too many/);
    clock.at += 10_001;
    expect(typeof (await logins.begin("a", "right", "1"))).toBe("object");
  });
});

describe("replies as JSON", () => {
  it.each<[Reply, unknown]>([
    [status("OK"), "OK"],
    [error("ERR no"), { error: "ERR no" }],
    [integer(5), 5],
    [integer(2n ** 60n), "1152921504606846976"],
    [nil(), null],
    [text("äöü\r\n"), "äöü\r\n"],
    [bulk(Buffer.from([0xff, 0x41, 0x5c])), { bytes: "\\xffA\\x5c" }],
    [array([integer(1), array([]), error("x")]), [1, [], { error: "x" }]],
    [map([[text("a"), integer(1)]]), ["a", 1]],
    [raw(Buffer.from("*2\r\n$1\r\n"), Buffer.from("a\r\n:3\r\n")), ["a", 3]],
  ])("%#", (reply, json) => {
    expect(replyJson(reply)).toEqual(json);
  });

  it("are shown in parts: those elements of a list that hold a text, so many of them", () => {
    const names = array(Array.from({ length: 250 }, (_, n) => array([text("Name"), text(`item-${n}`)])));
    const part = (from: number, most: number, match = "") => replyJson(names, { from, most, match });
    expect(part(0, 2)).toEqual([["Name", "item-0"], ["Name", "item-1"], { more: 248 }]);
    expect(part(248, 100)).toEqual([
      ["Name", "item-248"],
      ["Name", "item-249"],
    ]);
    expect(part(1, 1, "ITEM-24")).toEqual([["Name", "item-240"], { more: 9 }]);
    expect(part(300, 100)).toEqual([]);
    expect(replyJson(text("x"), { from: 5, most: 1, match: "y" })).toBe("x");
  });

  it("are cut where they are too long", () => {
    const long = array(Array.from({ length: 2_500 }, (_, n) => integer(n)));
    expect((replyJson(long) as unknown[]).at(-1)).toEqual({ more: 500 });
    const big = array(Array.from({ length: 100 }, () => text("x".repeat(100_000))));
    const cut = replyJson(big) as unknown[];
    expect(cut.at(-1)).toEqual({ more: 100 - (cut.length - 1) });
    expect(String(replyJson(text("x".repeat(300_000)))).length).toBeLessThan(270_000);
    let deep: Reply = integer(1);
    for (let n = 0; n < 1000; n++) deep = array([deep]);
    expect(JSON.stringify(replyJson(deep))).toContain('{"more":1}');
  });
});
