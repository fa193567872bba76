/** Replies of the running server in a form that tests can compare: the text of an error after a `-`. */
import type { Client, Value } from "./client.ts";

const worded = (reply: Value): Value =>
  reply instanceof Error ? `-${reply.message}` : Array.isArray(reply) ? reply.map(worded) : reply;

/** The reply of a command; errors are their texts after a `-`, inside arrays too. */
export const reply = (client: Client, ...args: readonly (string | Uint8Array)[]): Promise<Value> =>
  client.call(...args).then(worded, worded);
