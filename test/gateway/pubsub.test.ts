/** Subscribers in both protocols: their confirmations and messages are counted, and `RG.*` is refused where Redis would. */
import { expect, it } from "vitest";
import { describeEachEngine } from "../support/engines.ts";

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const frame = (type: string, ...parts: (string | number)[]): string =>
  `${type}${parts.length}\r\n${parts.map((part) => (typeof part === "number" ? `:${part}\r\n` : bulk(part))).join("")}`;
const refused = (name: string): string =>
  `-ERR Can't execute '${name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n`;

describeEachEngine("subscribers", (gateway) => {
  it("RESP2: confirmations, messages, refusals, and back", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("SUBSCRIBE a b\r\nPSUBSCRIBE p*\r\nRG.ECHO x\r\nRG.ANY\r\nRG.SCRIPT\r\nGET a\r\nPING\r\n");
    await client.expect(
      frame("*", "subscribe", "a", 1) +
        frame("*", "subscribe", "b", 2) +
        frame("*", "psubscribe", "p*", 3) +
        refused("rg.echo") +
        refused("rg.any") +
        refused("rg.script") +
        refused("get") +
        frame("*", "pong", ""),
    );
    other.write("PUBLISH a hi\r\nPUBLISH pq there\r\n");
    await client.expect(frame("*", "message", "a", "hi") + frame("*", "pmessage", "p*", "pq", "there"));
    client.write("UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nUNSUBSCRIBE\r\nRG.ECHO x\r\nSUBSCRIBE\r\nPING\r\n");
    await client.until(() => client.pending.endsWith("+PONG\r\n"));
    const replies = client.pending;
    expect(replies).toContain(frame("*", "punsubscribe", "p*", 0));
    expect(replies).toContain(
      "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n$1\r\nx\r\n-ERR wrong number of arguments for 'subscribe' command\r\n+PONG\r\n",
    );
  });

  it("RESP2: messages between replies do not disturb their order", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("SUBSCRIBE busy\r\n");
    await client.expect(frame("*", "subscribe", "busy", 1));
    other.write("PUBLISH busy m\r\n".repeat(300));
    for (let index = 0; index < 100; index++)
      client.write(`PING ${index}\r\nSUBSCRIBE c${index}\r\nUNSUBSCRIBE c${index}\r\n`);
    client.write("UNSUBSCRIBE\r\nRG.ECHO end\r\n");
    await client.until(() => client.pending.endsWith("$3\r\nend\r\n"));
    const rest = client.pending.replaceAll(frame("*", "message", "busy", "m"), "");
    const expected = Array.from(
      { length: 100 },
      (_, index) =>
        frame("*", "pong", String(index)) +
        frame("*", "subscribe", `c${index}`, 2) +
        frame("*", "unsubscribe", `c${index}`, 1),
    );
    expect(rest).toBe(`${expected.join("")}${frame("*", "unsubscribe", "busy", 0)}$3\r\nend\r\n`);
  });

  it("RESP3: pushes, and every command", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("HELLO 3\r\nSUBSCRIBE a b\r\nRG.ECHO x\r\nPUBLISH a self\r\nGET nokey\r\n");
    const start = frame(">", "subscribe", "a", 1) + frame(">", "subscribe", "b", 2) + bulk("x");
    await client.until(() => client.pending.includes(start) && client.pending.endsWith("_\r\n"));
    expect(client.pending).toContain(frame(">", "message", "a", "self"));
    await client.read(client.pending.length);
    other.write("PUBLISH b hi\r\n");
    await client.expect(frame(">", "message", "b", "hi"));
    client.write("UNSUBSCRIBE\r\nRG.LATER y\r\n");
    await client.until(() => client.pending.endsWith(bulk("y")));
    expect(client.pending.match(/>3\r\n\$11/g)).toHaveLength(2);
  });

  it("RESP3: a push comes through while one of ours runs", async () => {
    const { connect, gears } = gateway();
    const client = await connect();
    const other = await connect();
    client.write("HELLO 3\r\nSUBSCRIBE live\r\nRG.WAIT\r\n");
    await expect.poll(() => gears.waiting.length).toBe(1);
    await client.until(() => client.pending.endsWith(":1\r\n"));
    await client.read(client.pending.length);
    other.write("PUBLISH live now\r\n");
    await client.expect(frame(">", "message", "live", "now"));
    gears.waiting.pop()?.release({ type: "status", text: "done" });
    await client.expect("+done\r\n");
  });

  it("RESP3: invalidations of client-side caching come through", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("HELLO 3\r\nCLIENT TRACKING ON\r\nGET cached\r\nRG.ECHO x\r\n");
    await client.until(() => client.pending.endsWith(`+OK\r\n_\r\n${bulk("x")}`));
    await client.read(client.pending.length);
    other.write("SET cached 1\r\n");
    await client.expect(`>2\r\n${bulk("invalidate")}*1\r\n${bulk("cached")}`);
    client.write("GET cached\r\n");
    await client.expect(bulk("1"));
  });
});
