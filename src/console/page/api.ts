/** What the page asks the server: commands of Regears, as the user who is logged in. */

import type { ReplyJson as Reply, Sample } from "./wire.ts";

export type { Reply, Sample };

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

async function ask(path: string, body?: unknown): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(path, {
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    headers: { "content-type": "application/json" },
  });
  const value = (await response.json()) as Record<string, unknown>;
  if (response.ok) return value;
  const text = String(value.error ?? response.statusText);
  if (response.status === 401 && path !== "/api/login") throw new NotLoggedIn(text, value.passwordless === true);
  throw new Refused(text);
}

/** Who is logged in. @throws NotLoggedIn */
export const session = async (): Promise<string> => String((await ask("/api/session")).user);

export const login = async (user: string, password: string): Promise<string> =>
  String((await ask("/api/login", { user, password })).user);

export const logout = (): Promise<unknown> => ask("/api/logout", {});

/** Sends a command. @throws Refused with its error */
export async function run(...args: readonly string[]): Promise<Reply> {
  try {
    const { reply } = (await ask("/api/run", { args })) as { reply: Reply };
    if (isError(reply)) throw new Refused(reply.error);
    return reply;
  } catch (error) {
    if (error instanceof NotLoggedIn) events.onLoggedOut();
    throw error;
  }
}

export async function history(): Promise<readonly Sample[]> {
  return (await ask("/api/history")) as unknown as readonly Sample[];
}

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
