/** Names to addresses, by the system of this machine. */
import { lookup as systemLookup } from "node:dns/promises";
import { Places } from "../places.ts";
import { readHost } from "./hosts.ts";

/** Gives a name's addresses. */
export type Lookup = (name: string) => Promise<readonly { readonly address: string }[]>;

/**
 * Lookups at a time. The system's lookups take threads that also write to the disk: a name server that does not answer must
 * not take them all.
 */
const AT_ONCE = 2;
/** Lookups that may wait for their turn; more fail. */
const WAITING = 256;
/** Addresses of a name that are looked at. */
const MOST = 16;

/** A name could not be resolved; `code` is that of the system. */
export class Unresolved extends Error {
  readonly code: string;

  constructor(name: string, code: string) {
    super(`${name} can not be resolved (${code})`);
    this.code = code;
  }
}

export class HostResolver {
  readonly #lookup: Lookup;
  readonly #places = new Places(AT_ONCE);

  constructor(lookup: Lookup = (name) => systemLookup(name, { all: true, verbatim: true })) {
    this.#lookup = lookup;
  }

  /** The addresses of a name, in the system's order. @throws Unresolved */
  async addresses(name: string): Promise<string[]> {
    if (this.#places.waiting >= WAITING) throw new Unresolved(name, "EAI_AGAIN");
    return this.#places.take(() => this.#resolve(name));
  }

  async #resolve(name: string): Promise<string[]> {
    try {
      const found = await this.#lookup(name);
      const hosts = found.slice(0, MOST).map(({ address }) => readHost(address.replace(/%.*$/, "")));
      return [...new Set(hosts.flatMap((host) => (host?.kind === "address" ? [host.text] : [])))];
    } catch (error) {
      throw new Unresolved(name, (error as NodeJS.ErrnoException).code ?? "EAI_FAIL");
    }
  }
}
