import { describe, expect, it } from "vitest";
import { type InOrder, ScriptOrder } from "../../src/executions/script-order.ts";

function setUp() {
  const order = new ScriptOrder();
  const begun: string[] = [];
  const script = (name: string, more = (): void => {}): InOrder => ({
    begin: () => {
      begun.push(name);
      more();
    },
  });
  return { order, begun, script, connection: {} };
}

describe("the order of scripts", () => {
  it("lets one of a connection begin at a time, in their order, and connections side by side", async () => {
    const { order, begun, script, connection } = setUp();
    const [a, b, c] = ["a", "b", "c"].map((name) => script(name)) as [InOrder, InOrder, InOrder];
    for (const one of [a, b, c]) order.join(connection, one);
    order.join({}, script("other"));
    expect(begun).toEqual(["a", "other"]);
    expect(order.isFree(connection)).toBe(false);
    order.leave(connection, a);
    await Promise.resolve();
    expect(begun).toEqual(["a", "other", "b"]);
    order.leave(connection, b);
    order.leave(connection, b);
    await Promise.resolve();
    order.leave(connection, c);
    expect(begun).toEqual(["a", "other", "b", "c"]);
    expect(order.isFree(connection)).toBe(true);
  });

  it("forgets one that leaves before its turn", async () => {
    const { order, begun, script, connection } = setUp();
    const [a, b, c] = ["a", "b", "c"].map((name) => script(name)) as [InOrder, InOrder, InOrder];
    for (const one of [a, b, c]) order.join(connection, one);
    order.leave(connection, b);
    await Promise.resolve();
    expect(begun).toEqual(["a"]);
    order.leave(connection, a);
    // its turn had come, and it went before it could begin
    order.leave(connection, c);
    await Promise.resolve();
    expect([begun, order.isFree(connection)]).toEqual([["a"], true]);
  });

  it("stands any number that leave as soon as they begin", async () => {
    const { order, begun, script, connection } = setUp();
    const first = script("first");
    order.join(connection, first);
    for (let i = 0; i < 50_000; i++) {
      const one: InOrder = script(String(i), () => order.leave(connection, one));
      order.join(connection, one);
    }
    order.leave(connection, first);
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun.length).toBe(50_001);
  });
});
