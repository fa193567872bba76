/**
 * A registration or time event as the text of one record: JSON, in which what JSON has no form for is an object of one
 * field: byte strings are `{"base64": "…"}`, long integers `{"integer": "…"}`, NaN, the infinities and -0
 * `{"number": "…"}`. Nothing that a value may be is lost on the way: half surrogate pairs are escaped by JSON itself.
 */
import { SPEC_DEFAULTS } from "../registrations/registration.ts";
import type { Head, StoredItem, StoredSession, Versions } from "./store.ts";

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** What a record tells: something is there from now on, or is gone; or how far the changes have come. */
export interface Entry {
  readonly name: string;
  readonly item?: StoredItem | undefined;
  readonly head?: Head;
  /** The version of Python that a {@link headRecordOf} tells. */
  readonly python?: unknown;
}

/** The name of the record that tells how far the changes have come. */
export const HEAD = "head";

/** By what an item is known in its file. */
export const nameOf = ({ kind, number }: Pick<StoredItem, "kind" | "number">): string => `${kind} ${number}`;

export const additionOf = (item: StoredItem): string => JSON.stringify({ add: pack(item) });

export const removalOf = (item: Pick<StoredItem, "kind" | "number">): string =>
  JSON.stringify({ remove: nameOf(item) });

/** @param versions what the record is written by, for a store that has no other place for that */
export const headRecordOf = ({ history, count }: Head, versions?: Versions): string =>
  JSON.stringify({ head: { history, count }, ...versions });

/** @throws Error when it is no record of this version */
export function entryOf(text: string): Entry {
  const record = JSON.parse(text) as {
    readonly add?: Json;
    readonly remove?: Json;
    readonly head?: Head;
    readonly python?: unknown;
  };
  if (record.head) {
    const { history, count } = record.head;
    if (typeof history !== "string" || !Number.isSafeInteger(count)) throw new Error("it does not count the changes");
    return { name: HEAD, head: { history, count }, python: record.python };
  }
  if (typeof record.remove === "string") return { name: record.remove, item: undefined };
  const item = itemOf(unpack(record.add ?? null));
  return { name: nameOf(item), item };
}

function pack(value: unknown): Json {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "bigint":
      return { integer: String(value) };
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { number: Object.is(value, -0) ? "-0" : String(value) };
    case "object":
      if (value === null) return null;
      if (Buffer.isBuffer(value)) return { base64: value.toString("base64") };
      if (Array.isArray(value)) return value.map(pack);
      return Object.fromEntries(
        Object.entries(value).flatMap(([name, field]) => (field === undefined ? [] : [[name, pack(field)]])),
      );
    default:
      throw new TypeError(`a ${typeof value} can not be kept`);
  }
}

function unpack(value: Json): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(unpack);
  const fields = Object.entries(value as { readonly [name: string]: Json });
  const [first] = fields;
  if (fields.length === 1 && first && typeof first[1] === "string") {
    const [name, text] = first;
    if (name === "base64") return Buffer.from(text, "base64");
    if (name === "integer") return BigInt(text);
    if (name === "number") return Number(text);
  }
  return Object.fromEntries(fields.map(([name, field]) => [name, unpack(field)]));
}

const KINDS: readonly unknown[] = ["registration", "timer"];
const READERS: readonly unknown[] = ["KeysReader", "StreamReader", "CommandReader"];

/** The checksum has shown that we wrote it; another version may have written something that this one does not know. */
function itemOf(value: unknown): StoredItem {
  const item = value as StoredItem;
  const isItem = KINDS.includes(item?.kind) && Number.isSafeInteger(item.number) && item.number >= 0;
  if (!isItem || !isSession(item.session) || !Buffer.isBuffer(item.spec?.blob)) {
    throw new Error("it is no registration and no time event");
  }
  if (item.kind === "timer") return item;
  if (!READERS.includes(item.spec.reader)) throw new Error("it is a registration of an unknown reader");
  // fields that are undefined, or that an earlier version did not have
  return { ...item, spec: { ...SPEC_DEFAULTS, ...item.spec } };
}

const isSession = (session: StoredSession | undefined): boolean =>
  Number.isSafeInteger(session?.number) && typeof session?.id === "string" && Array.isArray(session.requirements);
