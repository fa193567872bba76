/**
 * Who may ask the console anything: whether a request comes from the console's own page, and not from another one that a
 * browser of somebody who is logged in has open.
 */
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";

interface Asked {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
}

/** An answer without the thing that was asked for. */
export interface Refusal {
  readonly status: number;
  readonly text: string;
}

/**
 * May the console be called by this name? Another site can have its own name point to this machine, and its page would be of
 * the same origin as ours then. It can not do that with an address, nor with `localhost`.
 * @param names others that are known
 */
export function isKnownHost(host: string | undefined, names: readonly string[]): boolean {
  if (host === undefined) return false;
  const name = /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(host)?.[1]?.toLowerCase();
  if (name === undefined || name === "") return false;
  if (isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0 || name === "localhost") return true;
  return names.some((known) => known.toLowerCase() === name);
}

/** Why a request for data or for an action is refused, whoever sends it; undefined: it comes from our page. */
export function refusedAsForeign({ method, headers }: Asked): Refusal | undefined {
  const { origin, host, "sec-fetch-site": site } = headers;
  const foreign = { status: 403, text: "the console answers its own page only" };
  if (site !== undefined && site !== "same-origin") return foreign;
  if (origin !== undefined && hostOf(origin) !== host?.toLowerCase()) return foreign;
  if (method === "GET") return undefined;
  if (origin === undefined) return foreign;
  if (!/^application\/json\b/i.test(headers["content-type"] ?? "")) return { status: 415, text: "send JSON" };
  return undefined;
}

/** Why something is refused that may be opened in a browser by its address; undefined: no other page asks for it. */
export function isForeignSite({ "sec-fetch-site": site }: IncomingHttpHeaders): Refusal | undefined {
  const known = site === undefined || site === "same-origin" || site === "none";
  return known ? undefined : { status: 403, text: "other pages get no figures" };
}

function hostOf(origin: string): string | undefined {
  try {
    return new URL(origin).host.toLowerCase();
  } catch {
    // `null`, for example: the origin of a page that has none
    return undefined;
  }
}
