/** How long a server lets a bystander wait: a process of its own that PINGs while something happens. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const CHILD = fileURLToPath(new URL("./ping-probe.mjs", import.meta.url));

export interface Pings {
  /** The longest time from a PING to its answer, in milliseconds. */
  readonly slowestMs: number;
  /** The longest time but one; 0 when there was one PING only. */
  readonly secondMs: number;
  /** That which 99 of 100 stay below. */
  readonly p99Ms: number;
  /**
   * The longest time, in milliseconds, without that in which the server's main thread had no core: what others do on this
   * machine does not count. Without a process id, or where the system does not tell, it is `slowestMs`.
   */
  readonly heldMs: number;
  readonly count: number;
}

type Message = { readonly kind: "ready" | "closed" } | ({ readonly kind: "result" } & Pings);

/**
 * PINGs the server on this port of 127.0.0.1 while `during` runs, from another process, so that the test's own work does
 * not count.
 * @param pid of the server's process
 * @returns what `during` gave, and how long the PINGs took
 * @throws Error when the server closes the connection, or what `during` throws
 */
export async function pingsDuring<T>(
  port: number,
  during: () => Promise<T>,
  pid?: number,
): Promise<{ result: T; pings: Pings }> {
  const child = fork(CHILD, [port, pid].filter((number) => number !== undefined).map(String), { execArgv: [] });
  const next = (kind: Message["kind"]): Promise<Message> =>
    new Promise((resolve, reject) => {
      child.on("message", (message: Message) => {
        if (message.kind === kind) resolve(message);
        else if (message.kind === "closed") reject(new Error("the server closed the connection of the PINGs"));
      });
      child.once("exit", (code) => reject(new Error(`the process of the PINGs ended with ${code}`)));
    });
  try {
    await next("ready");
    const ended = next("result");
    ended.catch(() => {});
    const result = await during();
    child.send("stop");
    return { result, pings: (await ended) as Message & Pings };
  } finally {
    child.kill();
  }
}
