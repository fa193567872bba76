/** What the page asks the server: commands of Regears, as the user who is logged in. */

import type { Part, ReplyJson as Reply, Sample, SlowOne } from "./wire.ts";

export type { Reply, Sample, SlowOne };

/** The server has refused something; the text says why. */
export class Refused extends Error {}

/** Nobody is logged in (any more). */
export class NotLoggedIn extends Error {
  /** An empty password will do. */
  readonly passwordless: boolean;
  constructor(text: string, passwordless: boolean) {
    super(text);
    this.passwordless = passwordless;
  }
}

/** Is called when the server does not know the login any more. */
export const events = { onLoggedOut: (): void => {} };

type Answer = Readonly<Record<string, unknown>>;

async function send(path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(path, {
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    headers: { "content-type": "application/json" },
  }).catch(() => Promise.reject(new Error("The server does not answer.")));
  const value = (await response.json()) as Record<string, unknown>;
  if (response.ok) return value;
  const text = String(value.error ?? response.statusText);
  if (response.status === 401 && path !== "/api/login") throw new NotLoggedIn(text, value.passwordless === true);
  throw new Refused(text);
}

/** The login after a restart of a server without a password: all requests that are refused at once wait for the same. */
let again: Promise<unknown> | undefined;

/** Asks what is for users. A server without a password has forgotten the login when it was restarted, and gives another. */
async function ask(path: string, body?: unknown): Promise<Answer> {
  try {
    return await send(path, body);
  } catch (error) {
    if (!(error instanceof NotLoggedIn)) throw error;
    try {
      if (!error.passwordless) throw error;
      again ??= login("default", "").finally(() => {
        again = undefined;
      });
      await again;
      return await send(path, body);
    } catch {
      events.onLoggedOut();
      throw error;
    }
  }
}

/** Who is logged in. @throws NotLoggedIn */
export const session = async (): Promise<string> => String((await send("/api/session")).user);

/** Is the login still good? @throws NotLoggedIn when it is not, and there is no other */
export const stay = (): Promise<unknown> => ask("/api/session");

export const login = async (user: string, password: string): Promise<string> =>
  String((await send("/api/login", { user, password })).user);

export const logout = (): Promise<unknown> => send("/api/logout", {});

/** Sends a command. @throws Refused with its error */
export const run = (...args: readonly string[]): Promise<Reply> => runPart(undefined, ...args);

/** Sends a command, whose reply may be long. @param part what is wanted of it; undefined: all @throws Refused with its error */
export async function runPart(part: Part | undefined, ...args: readonly string[]): Promise<Reply> {
  const { reply } = (await ask("/api/run", { args, part })) as { reply: Reply };
  if (isError(reply)) throw new Refused(reply.error);
  return reply;
}

/** The samples that are newer than a moment. */
export const history = async (after: number): Promise<readonly Sample[]> =>
  (await ask(`/api/history?after=${after}`)) as unknown as readonly Sample[];

/** What took longest in the last minutes. */
export const slowest = async (): Promise<readonly SlowOne[]> =>
  (await ask("/api/slow")) as unknown as readonly SlowOne[];

export const isError = (reply: Reply | undefined): reply is { error: string } =>
  typeof reply === "object" && reply !== null && "error" in reply;

const isMore = (reply: Reply): reply is { more: number } =>
  typeof reply === "object" && reply !== null && "more" in reply;

/** The elements of an array; none of anything else. */
export const list = (reply: Reply | undefined): readonly Reply[] =>
  Array.isArray(reply) ? (reply as readonly Reply[]).filter((item) => !isMore(item)) : [];

/** How many elements were left out. */
export function leftOut(reply: Reply | undefined): number {
  const last = Array.isArray(reply) ? (reply as readonly Reply[]).at(-1) : undefined;
  return last !== undefined && isMore(last) ? last.more : 0;
}

/** Names and values in turn, as an object. */
export function fields(reply: Reply | undefined): Readonly<Record<string, Reply>> {
  const values = list(reply);
  const made: Record<string, Reply> = {};
  for (let at = 0; at + 1 < values.length; at += 2) made[String(values[at])] = values[at + 1] ?? null;
  return made;
}

/** A value as text for people. */
export function shown(reply: Reply | undefined): string {
  if (reply === null || reply === undefined) return "";
  if (typeof reply !== "object") return String(reply);
  if (Array.isArray(reply)) return `[${(reply as readonly Reply[]).map(shown).join(", ")}]`;
  if ("bytes" in reply) return `b'${reply.bytes}'`;
  if ("error" in reply) return reply.error;
  return "more" in reply ? `… ${reply.more} more` : "";
}
