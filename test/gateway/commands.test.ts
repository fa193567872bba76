/** Order of replies, transactions, and what changes a connection's ways. */
import { expect, it } from "vitest";
import { status } from "../../src/resp/reply.ts";
import { pingTwice, request } from "../support/plain-client.ts";
import { describeEachEngine } from "../support/engines.ts";

const QUEUED = "+QUEUED\r\n";

describeEachEngine("commands", (gateway) => {
  it("answers a mixed pipeline in order", async () => {
    const client = await gateway().connect();
    client.write(
      Buffer.concat([
        request("SET", "a", "1"),
        request("RG.LATER", "x"),
        request("INCR", "a"),
        request("RG.ECHO", "y"),
        request("rg.echo", "z"),
        request("GET", "a"),
        request("RG.NONE", "q"),
      ]),
    );
    await client.expect("+OK\r\n$1\r\nx\r\n:2\r\n$1\r\ny\r\n$1\r\nz\r\n$1\r\n2\r\n");
    await client.expect("-ERR unknown command 'RG.NONE', with args beginning with: 'q' \r\n");
  });

  it("answers a long mixed pipeline in order, cut anywhere", async () => {
    const client = await gateway().connect();
    const commands: Buffer[] = [request("SET", "n", "0")];
    let expected = "+OK\r\n";
    for (let index = 1; index <= 600; index++) {
      commands.push(request("INCR", "n"));
      expected += `:${index}\r\n`;
      if (index % 7 === 0) commands.push(request(index % 2 ? "RG.LATER" : "RG.ECHO", `r${index}`));
      if (index % 7 === 0) expected += `$${`r${index}`.length}\r\nr${index}\r\n`;
    }
    const all = Buffer.concat(commands);
    for (let at = 0; at < all.length; at += 997) {
      client.write(all.subarray(at, at + 997));
      if (at % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await client.expect(expected, 10_000);
  });

  it("passes inline commands and empty requests", async () => {
    const client = await gateway().connect();
    client.write("\r\n*0\r\nSET q 'a b'\r\n\r\nRG.ECHO \"x\\x41\"\r\nGET q\r\n");
    await client.expect("+OK\r\n$2\r\nxA\r\n$3\r\na b\r\n");
  });

  it("passes big values both ways", async () => {
    const client = await gateway().connect();
    const value = "v".repeat(3_000_000);
    client.write(
      Buffer.concat([request("SET", "big", value), request("RG.ECHO", value), request("GET", "big"), request("PING")]),
    );
    const bulk = `$${value.length}\r\n${value}\r\n`;
    await client.expect(`+OK\r\n${bulk}${bulk}+PONG\r\n`, 10_000);
    client.send("DEL", "big");
    await client.expect(":1\r\n");
  });

  it("lets commands after a waiting one of ours wait", async () => {
    const { connect, gears } = gateway();
    const client = await connect();
    const other = await connect();
    client.write("RG.WAIT\r\nSET w 1\r\nRG.ECHO x\r\n");
    await expect.poll(() => gears.waiting.length).toBe(1);
    other.write("EXISTS w\r\nRG.ECHO free\r\n");
    await other.expect(":0\r\n$4\r\nfree\r\n");
    gears.waiting.pop()?.release(status("done"));
    await client.expect("+done\r\n+OK\r\n$1\r\nx\r\n");
    other.write("DEL w\r\n");
    await other.expect(":1\r\n");
  });

  it("gives earlier replies while a later command is still running", async () => {
    const { connect, gears } = gateway();
    const client = await connect();
    client.write("RG.ECHO a\r\nPING\r\nRG.LATER b\r\nRG.WAIT\r\nPING\r\n");
    await client.expect("$1\r\na\r\n+PONG\r\n$1\r\nb\r\n");
    gears.waiting.pop()?.release(status("done"));
    await client.expect("+done\r\n+PONG\r\n");
  });

  it("waits for a blocked command of the engine before one of ours", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("BLPOP list 0\r\nRG.ECHO after\r\n");
    other.write("PING\r\n");
    await other.expect("+PONG\r\n");
    expect(client.pending).toBe("");
    other.write("RPUSH list v\r\n");
    await client.expect("*2\r\n$4\r\nlist\r\n$1\r\nv\r\n$5\r\nafter\r\n");
  });

  it("waits for the gate", async () => {
    const { connect, gate } = gateway();
    const client = await connect();
    client.write("PING\r\n");
    await client.expect("+PONG\r\n");
    const holder = {};
    await gate.hold(holder);
    client.write("SET g 1\r\nRG.ECHO x\r\n");
    await pingTwice(await connect());
    expect(client.pending).toBe("");
    gate.release(holder);
    await client.expect("+OK\r\n$1\r\nx\r\n");
  });

  it("speaks the client's protocol", async () => {
    const client = await gateway().connect();
    client.write("HELLO 3\r\nRG.ECHO x\r\nGET nokey\r\n");
    await client.until(() => client.pending.endsWith("$1\r\nx\r\n_\r\n"));
    expect(client.pending).toContain("$2\r\nrg\r\n");
    await client.read(client.pending.length);
    client.write("COMMAND INFO rg.echo\r\n");
    await client.until(() => client.pending.endsWith("~0\r\n"));
    await client.read(client.pending.length);
    client.write("RESET\r\nGET nokey\r\nHELLO 9\r\nCOMMAND COUNT x\r\n");
    await client.until(() => client.pending.endsWith("count' command\r\n"));
    expect(client.pending.startsWith("+RESET\r\n$-1\r\n-NOPROTO")).toBe(true);
  });

  it("carries out CLIENT REPLY itself", async () => {
    const client = await gateway().connect();
    client.write(
      "CLIENT REPLY OFF\r\nSET r 1\r\nRG.ECHO x\r\nGET nokey\r\nMULTI\r\nEXEC\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nRG.ECHO y\r\n",
    );
    await client.expect("+OK\r\n$1\r\ny\r\n");
    client.write(
      "CLIENT REPLY SKIP\r\nRG.ECHO x\r\nPING\r\nCLIENT REPLY SKIP\r\nGET r\r\nGET r\r\nCLIENT REPLY SKIP\r\nINFO\r\nPING\r\n",
    );
    await client.expect("+PONG\r\n$1\r\n1\r\n+PONG\r\n");
    client.write("CLIENT REPLY MAYBE\r\nRG.ECHO z\r\n");
    await client.expect("-ERR syntax error\r\n$1\r\nz\r\n");
  });

  it("sends messages to a client that wants no replies", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("CLIENT REPLY OFF\r\nSUBSCRIBE quiet\r\n");
    await client.expect("*3\r\n$9\r\nsubscribe\r\n$5\r\nquiet\r\n:1\r\n");
    other.write("PUBLISH quiet hi\r\n");
    await client.expect("*3\r\n$7\r\nmessage\r\n$5\r\nquiet\r\n$2\r\nhi\r\n");
  });

  it("refuses replication", async () => {
    const client = await gateway().connect();
    const refused = "-ERR replication is not available through this server\r\n";
    client.write("SYNC\r\nPSYNC ? -1\r\nREPLCONF listening-port 1\r\nPING\r\n");
    await client.expect(`${refused.repeat(3)}+PONG\r\n`);
    client.write("REPLICAOF no one\r\nSLAVEOF NO ONE\r\n");
    await client.expect("+OK\r\n+OK\r\n");
  });

  it("shows a monitor what the engine does", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("MONITOR\r\n");
    await client.expect("+OK\r\n");
    other.write("SET seen 1\r\n");
    await client.until(() => /^\+\d+\.\d+ \[0 [^\]]*\] "SET" "seen" "1"\r\n$/.test(client.pending));
    await client.read(client.pending.length);
    other.write(request("rg.Echo", 'a "b"\\\n\x01'));
    const shown = /^\+\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "rg\.Echo" "a \\"b\\"\\\\\\n\\x01"\r\n$/;
    await client.until(() => shown.test(client.pending.slice(client.pending.lastIndexOf("+"))));
    await client.read(client.pending.length);
    client.write("RESET\r\nRG.ECHO x\r\n");
    await client.until(() => client.pending.endsWith("+RESET\r\n$1\r\nx\r\n"));
  });

  it("shows a monitor what clients send, and not what the server asks the engine in its place", async () => {
    const client = await gateway().connect();
    const other = await gateway().connect();
    client.write("MONITOR\r\n");
    await client.expect("+OK\r\n");
    other.write("MULTI\r\nRG.ECHO x\r\nPING\r\nEXEC\r\nEVAL \"return redis.call('rg.echo', 'y')\" 0\r\nSET last 1\r\n");
    await client.until(() => client.pending.includes('"last"'));
    const words = client.pending.split("\r\n").flatMap((line) => /\] (".*)$/.exec(line)?.[1] ?? []);
    // (an engine by URL shows the server's own connections, too)
    const sent = words.filter((line) => !/^"(PING|MULTI|EXEC|SELECT)"/.test(line));
    expect(sent).toEqual(['"RG.ECHO" "x"', `"EVAL" "return redis.call('rg.echo', 'y')" "0"`, '"SET" "last" "1"']);
    expect(words.filter((line) => line.startsWith('"PING"'))).toEqual(['"PING"']);
  });
});

describeEachEngine("transactions", (gateway) => {
  it("without commands of ours pass", async () => {
    const client = await gateway().connect();
    client.write(
      "MULTI\r\nSET a 1\r\nGET a\r\nEXEC\r\nMULTI\r\nNOSUCH\r\nEXEC\r\nEXEC\r\nMULTI\r\nMULTI\r\nDISCARD\r\nGET a\r\n",
    );
    await client.until(() => client.pending.endsWith("$1\r\n1\r\n"));
    const replies = client.pending;
    expect(replies).toMatch(/^\+OK\r\n\+QUEUED\r\n\+QUEUED\r\n\*2\r\n\+OK\r\n\$1\r\n1\r\n\+OK\r\n-ERR unknown command/);
    expect(replies).toContain(
      "-EXECABORT Transaction discarded because of previous errors.\r\n-ERR EXEC without MULTI\r\n",
    );
  });

  it("run ours at their place", async () => {
    const { connect, gears } = gateway();
    const client = await connect();
    gears.calls.length = 0;
    client.write(
      "SET a 1\r\nMULTI\r\nINCR a\r\nRG.LATER x\r\nINCR a\r\nGET a\r\nRG.ECHO y\r\nRG.LATER z\r\nINCR a\r\nEXEC\r\nGET a\r\n",
    );
    await client.expect(
      `+OK\r\n+OK\r\n${QUEUED.repeat(7)}*7\r\n:2\r\n$1\r\nx\r\n:3\r\n$1\r\n3\r\n$1\r\ny\r\n$1\r\nz\r\n:4\r\n$1\r\n4\r\n`,
    );
    expect(gears.calls).toEqual(["later multi", "echo multi", "later multi"]);
  });

  it("carry out each part before ours runs, and nobody gets in between", async () => {
    const { connect, gears } = gateway();
    const client = await connect();
    const other = await connect();
    client.write("MULTI\r\nSET step 1\r\nRG.WAIT\r\nSET step 2\r\nRG.WAIT\r\nEXEC\r\n");
    await expect.poll(() => gears.waiting.length).toBe(1);
    other.write("GET step\r\n");
    const third = await connect();
    await pingTwice(third);
    expect(other.pending).toBe("");
    gears.waiting.pop()?.release(status("one"));
    await expect.poll(() => gears.waiting.length).toBe(1);
    await pingTwice(third);
    expect(other.pending).toBe("");
    gears.waiting.pop()?.release(status("two"));
    await client.expect(`+OK\r\n${QUEUED.repeat(4)}*4\r\n+OK\r\n+one\r\n+OK\r\n+two\r\n`);
    await other.expect("$1\r\n2\r\n");
  });

  it("run nothing when a watched key has changed", async () => {
    const { connect, gears } = gateway();
    const client = await connect();
    const other = await connect();
    gears.calls.length = 0;
    client.write("WATCH w\r\nMULTI\r\nRG.ECHO x\r\nSET w mine\r\n");
    await client.expect(`+OK\r\n+OK\r\n${QUEUED.repeat(2)}`);
    other.write("SET w theirs\r\n");
    await other.expect("+OK\r\n");
    client.write("EXEC\r\nGET w\r\n");
    await client.expect("*-1\r\n$6\r\ntheirs\r\n");
    expect(gears.calls).toEqual([]);
    client.write("WATCH w\r\nMULTI\r\nRG.ECHO x\r\nSET w mine\r\nEXEC\r\nGET w\r\n");
    await client.expect(`+OK\r\n+OK\r\n${QUEUED.repeat(2)}*2\r\n$1\r\nx\r\n+OK\r\n$4\r\nmine\r\n`);
  });

  it("run nothing when a command was wrong, before or after ours", async () => {
    const { connect, gears } = gateway();
    gears.calls.length = 0;
    for (const wrong of [
      "MULTI\r\nGET\r\nRG.ECHO x\r\nSET z 1\r\nEXEC\r\n",
      "MULTI\r\nRG.ECHO x\r\nSET z 1\r\nGET\r\nEXEC\r\n",
      "MULTI\r\nRG.ECHO x\r\nGET\r\nRG.ECHO y\r\nEXEC\r\n",
    ]) {
      const client = await connect();
      client.write(`${wrong}EXISTS z\r\nMULTI\r\nRG.ARGS\r\nEXEC\r\n`);
      await client.until(() => client.pending.endsWith("*0\r\n"));
      expect(client.pending).toContain("-ERR wrong number of arguments for 'get' command\r\n");
      expect(
        client.pending.endsWith(
          `-EXECABORT Transaction discarded because of previous errors.\r\n:0\r\n+OK\r\n${QUEUED}*1\r\n*0\r\n`,
        ),
      ).toBe(true);
    }
    expect(gears.calls).toEqual([]);
  });

  it("can be discarded and reset", async () => {
    const { connect, gears } = gateway();
    const client = await connect();
    gears.calls.length = 0;
    client.write(
      "MULTI\r\nRG.ECHO x\r\nSET d 1\r\nDISCARD\r\nEXISTS d\r\nMULTI\r\nRG.ECHO x\r\nSET d 1\r\nRESET\r\nEXISTS d\r\n",
    );
    await client.expect(`+OK\r\n${QUEUED.repeat(2)}+OK\r\n:0\r\n+OK\r\n${QUEUED.repeat(2)}+RESET\r\n:0\r\n`);
    client.write("MULTI\r\nRG.ECHO x\r\nDISCARD\r\nGET d\r\n");
    await client.expect(`+OK\r\n${QUEUED}+OK\r\n$-1\r\n`);
    expect(gears.calls).toEqual([]);
  });

  it("know the database and commands that change the connection", async () => {
    const client = await gateway().connect();
    client.write(
      "SELECT 3\r\nMULTI\r\nSET db three\r\nRG.ECHO x\r\nGET db\r\nSELECT 4\r\nGET db\r\nRG.ECHO y\r\nSET db four\r\nEXEC\r\nGET db\r\nDEL db\r\nSELECT 3\r\nDEL db\r\n",
    );
    await client.expect(
      `+OK\r\n+OK\r\n${QUEUED.repeat(7)}*7\r\n+OK\r\n$1\r\nx\r\n$5\r\nthree\r\n+OK\r\n$-1\r\n$1\r\ny\r\n+OK\r\n$4\r\nfour\r\n:1\r\n+OK\r\n:1\r\n`,
    );
  });

  it("splice replies inside EXEC, before and after ours", async () => {
    const client = await gateway().connect();
    client.write(
      "COMMAND COUNT\r\nMULTI\r\nCOMMAND COUNT\r\nRG.ECHO x\r\nCOMMAND COUNT\r\nEXEC\r\nMULTI\r\nCOMMAND COUNT\r\nEXEC\r\n",
    );
    await client.until(() => /\*1\r\n:\d+\r\n$/.test(client.pending));
    const counts = client.pending.match(/:\d+/g);
    expect(counts).toHaveLength(4);
    expect(new Set(counts).size).toBe(1);
  });

  it("refuse to subscribe when there is a command of ours", async () => {
    const client = await gateway().connect();
    client.write("MULTI\r\nRG.ECHO x\r\nSUBSCRIBE a b\r\nEXEC\r\nPING\r\n");
    const refused = "-ERR a transaction with RG commands can not subscribe or monitor\r\n";
    await client.expect(
      `+OK\r\n${QUEUED}${refused}-EXECABORT Transaction discarded because of previous errors.\r\n+PONG\r\n`,
    );
    client.write("MULTI\r\nSUBSCRIBE a b\r\nRG.ECHO x\r\nDISCARD\r\nPING\r\n");
    await client.expect(`+OK\r\n${QUEUED}${refused}+OK\r\n+PONG\r\n`);
  });

  it("subscribe as the engine does", async () => {
    const client = await gateway().connect();
    client.write("MULTI\r\nSUBSCRIBE a b\r\nPING\r\nEXEC\r\nUNSUBSCRIBE\r\nRG.ECHO x\r\n");
    await client.until(() => client.pending.endsWith("$1\r\nx\r\n"));
    expect(client.pending).toContain(
      "*2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
    );
  });

  it("go on to their end when the client leaves", async () => {
    const { connect, gears, gate } = gateway();
    const client = await connect();
    client.write("MULTI\r\nSET left 1\r\nRG.WAIT\r\nSET left 2\r\nEXEC\r\n");
    await expect.poll(() => gears.waiting.length).toBe(1);
    expect(gate.held).toBe(true);
    client.destroy();
    await expect.poll(() => gears.aborted).toBeGreaterThan(0);
    gears.waiting.pop();
    await expect.poll(() => gate.held).toBe(false);
    const other = await connect();
    other.write("GET left\r\n");
    await other.expect("$1\r\n2\r\n");
  });
});
