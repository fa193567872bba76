/**
 * Where scripts may connect to: the rules of `allow-connect`. A rule is a name, an address, a network or `*`, and a port.
 *
 * - An address is allowed by a rule with it or its network, and by `*` if it is an ordinary one.
 * - A name with a rule of its own may be resolved; its ordinary addresses are allowed then. Those that are not (loopback, the
 *   link) need a rule of their own, except for `localhost`, whose rule means them.
 * - Any other name is allowed as far as its addresses are by themselves.
 */
import { BlockList, isIP } from "node:net";
import { ConfigError, separateWords } from "../config.ts";
import { isSpecial, readHost } from "./hosts.ts";

interface Rule {
  /** Any when undefined. */
  readonly port: number | undefined;
  /** For which ordinary addresses it is meant by itself, and for which special ones. */
  readonly includes: (address: string) => boolean;
  /** For which name it is meant. */
  readonly name: string | undefined;
}

const FORM = /^(?:\[([^[\]]+)\]|([^:[\]]+)):(\d{1,5}|\*)$/;

export class Targets {
  readonly #rules: readonly Rule[];

  /** @throws ConfigError for a rule that is none */
  constructor(allowed: readonly string[]) {
    this.#rules = separateWords(allowed).map(readRule);
  }

  /** Nothing is allowed at all. */
  get none(): boolean {
    return this.#rules.length === 0;
  }

  /** May this name be resolved, to connect to that port? @param port undefined: to whatever port */
  mayResolve(name: string, port: number | undefined): boolean {
    return this.#for(port).some((rule) => rule.name === undefined || rule.name === name);
  }

  /** May this address be connected to, whoever has named it? */
  allows(address: string, port: number | undefined): boolean {
    return this.#for(port).some((rule) => rule.includes(address));
  }

  /** May this address be connected to because a name has it? */
  allowsFor(name: string, address: string, port: number | undefined): boolean {
    if (this.allows(address, port)) return true;
    if (isSpecial(address) && !isLocal(name)) return false;
    return this.#for(port).some((rule) => rule.name === name);
  }

  #for(port: number | undefined): Rule[] {
    return this.#rules.filter((rule) => port === undefined || rule.port === undefined || rule.port === port);
  }
}

/** The name that always means this machine. */
const isLocal = (name: string): boolean => name === "localhost" || name.endsWith(".localhost");

function readRule(text: string): Rule {
  const [, six, other, portText = ""] = FORM.exec(text) ?? [];
  const host = six ?? other;
  const port = portText === "*" ? undefined : Number(portText);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65_535))) throw unreadable(text);
  if (host === "*") return { port, name: undefined, includes: (address) => !isSpecial(address) };
  if (host.includes("/")) return { port, name: undefined, includes: network(host, text) };
  const read = readHost(host);
  if (!read || (six !== undefined && read.kind === "name")) throw unreadable(text);
  if (read.kind === "name") return { port, name: read.text, includes: () => false };
  return { port, name: undefined, includes: (address) => address === read.text };
}

/** The addresses of a network such as `10.0.0.0/8`. */
function network(host: string, text: string): Rule["includes"] {
  const [base = "", prefix = "", ...more] = host.split("/");
  const family = isIP(base);
  const bits = Number(prefix);
  if (family === 0 || more.length > 0 || !/^\d{1,3}$/.test(prefix) || bits > (family === 4 ? 32 : 128)) {
    throw unreadable(text);
  }
  const list = new BlockList();
  list.addSubnet(base, bits, family === 4 ? "ipv4" : "ipv6");
  // a list would find an address of IPv4 in a network of IPv6, as a mapped one
  return (address) => isIP(address) === family && list.check(address, family === 4 ? "ipv4" : "ipv6");
}

const unreadable = (text: string): ConfigError =>
  new ConfigError(
    `option 'allow-connect': '${text}' is not of the form host:port, such as db.example.com:5432, 10.0.0.0/8:5432, ` +
      "[fd00::1]:5432 or *:443",
  );

/** A target for people: `db.example.com:5432`, `[::1]:80`. */
export function shownTarget(host: string, port: number | undefined): string {
  const shown = host.includes(":") ? `[${host}]` : host;
  return port === undefined ? shown : `${shown}:${port}`;
}
