/**
 * Hosts as somebody writes them: each has one text, whatever form was written. What is judged and what is connected to is that
 * text, so an address in another form (decimal, hexadecimal, mapped to IPv6, full-width digits) is the same address.
 */
import { BlockList, isIP } from "node:net";

export type Host =
  | { readonly kind: "address"; readonly text: string; readonly family: 4 | 6 }
  | { readonly kind: "name"; readonly text: string };

/** Longest host that anybody writes. */
const MAX_HOST = 255;
/** What the URL parser would take for something else than a part of a host, or leave out. */
const FOREIGN = /[\s/?#@\\%<>^|]/;
const NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;
const MAPPED = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/;

/** Reads a host; undefined: it is none. Brackets around an address of IPv6 are taken, zones (`%eth0`) are not. */
export function readHost(text: string): Host | undefined {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (bare === "" || bare.length > MAX_HOST || FOREIGN.test(bare) || bare.includes("[")) return undefined;
  const isSix = bare.includes(":");
  if (isSix && isIP(bare) !== 6) return undefined;
  let read: string;
  try {
    // the parser of URLs knows all forms of an address, and turns names into those of DNS
    read = new URL(`http://${isSix ? `[${bare}]` : bare}/`).hostname;
  } catch {
    return undefined;
  }
  if (isSix) return canonicalSix(read.slice(1, -1));
  if (isIP(read) === 4) return canonicalFour(read);
  const name = read.replace(/\.$/, "");
  return NAME.test(name) ? { kind: "name", text: name } : undefined;
}

/** The unspecified address means this machine: that is what systems connect to. */
const canonicalFour = (text: string): Host => ({
  kind: "address",
  text: text === "0.0.0.0" ? "127.0.0.1" : text,
  family: 4,
});

function canonicalSix(text: string): Host {
  const [, high, low] = MAPPED.exec(text) ?? [];
  if (high === undefined || low === undefined) {
    return { kind: "address", text: text === "::" ? "::1" : text, family: 6 };
  }
  const words = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return canonicalFour(words.flatMap((word) => [word >> 8, word & 255]).join("."));
}

/**
 * Addresses that are no ordinary ones: this machine, the link, those where clouds have their metadata and agents, groups, and those
 * of IPv6 that stand for some of IPv4.
 */
const SPECIAL = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  // clouds that do not use the link: Alibaba, Oracle, Azure
  ["100.100.100.200", 32],
  ["192.0.0.0", 24],
  ["168.63.129.16", 32],
  ["224.0.0.0", 3],
] as const)
  SPECIAL.addSubnet(network, prefix, "ipv4");
for (const [network, prefix] of [
  ["::", 96],
  ["::ffff:0:0:0", 96],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["2001::", 32],
  ["2002::", 16],
  // Amazon, Google, Oracle
  ["fd00:ec2::", 32],
  ["fd20:ce::254", 128],
  ["fd00:c1::a9fe:a9fe", 128],
  ["fe80::", 9],
  ["ff00::", 8],
] as const)
  SPECIAL.addSubnet(network, prefix, "ipv6");

/** Is this an address that only a rule of its own can mean? @param address as {@link readHost} gives it */
export const isSpecial = (address: string): boolean => SPECIAL.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
