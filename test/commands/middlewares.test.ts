/** What takes the place of a client's command, and what holds its reply, alone and inside MULTI. */
import { beforeEach, expect, it } from "vitest";
import { after, type Handling, type Middleware, Path } from "../../src/commands/path.ts";
import { status, text } from "../../src/resp/reply.ts";
import { describeEachEngine } from "../support/engines.ts";

const seen: string[] = [];
let held: (() => void)[] = [];

/** `hooked` is replaced, writes are held until `held` is emptied, and reading `changed` gives another reply. */
const middleware: Middleware & { active: boolean } = {
  of: ["client"],
  active: true,
  handle(name, command): Handling | undefined {
    const key = command.count > 1 ? command.view(1).toString() : "";
    if (name === "hooked" || name === "rg.any") {
      const [typedName, ...args] = command.copy(0);
      return {
        way: "instead",
        run: async ({ canWait }) => {
          seen.push(`${typedName} ${canWait ? "client" : "multi"}`);
          return text(args.join("+"));
        },
      };
    }
    if (name === "set" && key === "held") {
      return after(
        (reply, { canWait }) =>
          new Promise((resolve) => {
            seen.push(`set ${canWait ? "client" : "multi"} ${reply.toString().trim()}`);
            held.push(() => resolve(undefined));
          }),
      );
    }
    if (name === "get" && key === "changed") return after((reply) => status(`changed ${reply.length}`));
    return undefined;
  },
};

beforeEach(() => {
  middleware.active = true;
  seen.length = 0;
  held = [];
});

describeEachEngine(
  "a middleware",
  (gateway) => {
    it("replaces commands, the engine's and ours", async () => {
      const client = await gateway().connect();
      client.write("SET a 1\r\nHooked x y\r\nGET a\r\nRG.ANY z\r\nRG.ECHO e\r\n");
      await client.expect("+OK\r\n$3\r\nx+y\r\n$1\r\n1\r\n$1\r\nz\r\n$1\r\ne\r\n");
      expect(seen).toEqual(["Hooked client", "RG.ANY client"]);
    });

    it("is not asked when it is not active", async () => {
      middleware.active = false;
      const client = await gateway().connect();
      client.write("HOOKED x\r\n");
      await client.until(() => client.pending.startsWith("-ERR unknown command 'HOOKED'"));
    });

    it("holds a reply, and what comes after it", async () => {
      const client = await gateway().connect();
      const other = await gateway().connect();
      client.write("PING\r\nSET held 1\r\nSET after 1\r\nGET changed\r\nPING\r\n");
      await client.expect("+PONG\r\n");
      await expect.poll(() => held.length).toBe(1);
      other.write("GET held\r\nEXISTS after\r\n");
      await other.expect("$1\r\n1\r\n:0\r\n");
      expect(client.pending).toBe("");
      held.pop()?.();
      await client.expect("+OK\r\n+OK\r\n+changed 5\r\n+PONG\r\n");
      other.write("DEL after held\r\n");
      await other.expect(":2\r\n");
    });

    it("works at the commands' places inside MULTI", async () => {
      const client = await gateway().connect();
      client.write(
        "MULTI\r\nSET before 1\r\nSET held 1\r\nDEL held\r\nHOOKED x\r\nGET changed\r\nEXISTS held\r\nRG.ECHO e\r\nEXEC\r\n",
      );
      await client.expect(`+OK\r\n${"+QUEUED\r\n".repeat(7)}`);
      await expect.poll(() => held.length).toBe(1);
      expect(seen).toEqual(["set multi +OK"]);
      held.pop()?.();
      await client.expect("*7\r\n+OK\r\n+OK\r\n:1\r\n$1\r\nx\r\n+changed 5\r\n:0\r\n$1\r\ne\r\n");
      expect(seen).toEqual(["set multi +OK", "HOOKED multi"]);
    });

    it("leaves the commands of the connection alone", async () => {
      const client = await gateway().connect();
      client.write("MULTI\r\nHOOKED x\r\nWATCH a\r\nDISCARD\r\nQUIT\r\n");
      const replies = await client.readToEnd();
      expect(replies).toMatch(/^\+OK\r\n\+QUEUED\r\n-ERR [^\r]*\r\n\+OK\r\n\+OK\r\n$/);
      expect(seen).toEqual([]);
    });
  },
  (commands) => {
    const path = new Path(commands);
    path.use(middleware);
    return { path };
  },
);
