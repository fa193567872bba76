/** A plain model of some data commands: what they change, and which keyspace events they cause in which state. */

export type Value = string | string[] | Record<string, string> | Set<string> | number;
export interface Key {
  type: "string" | "list" | "hash" | "set" | "zset" | "stream";
  value: Value;
  expires: boolean;
}
export interface KeyEvent {
  readonly event: string;
  readonly key: string;
  /** The key at that moment; undefined: there was none. */
  readonly was: Key | undefined;
}

export class KeyModel {
  readonly keys = new Map<string, Key>();
  #events: KeyEvent[] = [];

  /** Carries a command out. @returns the events, in order; of those that come before a deletion with what was left then */
  run([name, key, ...args]: readonly string[]): KeyEvent[] {
    this.#events = [];
    COMMANDS[name as string]?.(this, key as string, args);
    return this.#events;
  }

  /** A key of this type; a new one where there is none; undefined when it has another type. */
  typed<T extends Value>(key: string, type: Key["type"], empty: T): { value: T } | undefined {
    let found = this.keys.get(key);
    if (found === undefined) {
      found = { type, value: empty, expires: false };
      this.keys.set(key, found);
    }
    return found.type === type ? (found as unknown as { value: T }) : undefined;
  }

  /** The same, but only when there is one. */
  known<T extends Value>(key: string, type: Key["type"]): { value: T } | undefined {
    const found = this.keys.get(key);
    return found?.type === type ? (found as unknown as { value: T }) : undefined;
  }

  tell(event: string, key: string): void {
    const found = this.keys.get(key);
    this.#events.push({ event, key, was: found && copied(found) });
  }

  /** Deletes a key that is there. */
  delete(key: string): void {
    if (this.keys.delete(key)) this.tell("del", key);
  }

  /** Tells of elements that were removed, and deletes the key if none is left: before that is told, or after. */
  removed(event: string, key: string, size: number, tellsFirst: boolean): void {
    if (size > 0 || tellsFirst) this.tell(event, key);
    if (size > 0) return;
    this.keys.delete(key);
    if (!tellsFirst) this.tell(event, key);
    this.tell("del", key);
  }
}

const copied = ({ type, value, expires }: Key): Key => ({
  ...{ type, expires },
  value: Array.isArray(value) ? [...value] : value instanceof Object && !(value instanceof Set) ? { ...value } : value,
});

const set = (model: KeyModel, key: string, value: string): void => {
  model.keys.set(key, { type: "string", value, expires: false });
  model.tell("set", key);
};

const push =
  (event: "lpush" | "rpush") =>
  (model: KeyModel, key: string, args: readonly string[]): void => {
    const list = model.typed<string[]>(key, "list", []);
    if (!list) return;
    for (const item of args) event === "lpush" ? list.value.unshift(item) : list.value.push(item);
    model.tell(event, key);
  };

const pop =
  (event: "lpop" | "rpop") =>
  (model: KeyModel, key: string): void => {
    const list = model.known<string[]>(key, "list");
    if (!list) return;
    event === "lpop" ? list.value.shift() : list.value.pop();
    model.removed(event, key, list.value.length, true);
  };

const miss = (model: KeyModel, key: string): void => {
  if (!model.keys.has(key)) model.tell("keymiss", key);
};

const COMMANDS: Readonly<Record<string, (model: KeyModel, key: string, args: readonly string[]) => void>> = {
  SET: (model, key, [value, px]) => {
    set(model, key, value as string);
    if (px === undefined) return;
    (model.keys.get(key) as Key).expires = true;
    model.tell("expire", key);
  },
  SETNX: (model, key, [value]) => {
    if (!model.keys.has(key)) set(model, key, value as string);
  },
  MSET: (model, key, [first, other, second]) => {
    set(model, key, first as string);
    set(model, other as string, second as string);
  },
  GETDEL: (model, key) => {
    if (!model.keys.has(key)) return miss(model, key);
    if (model.keys.get(key)?.type === "string") model.delete(key);
  },
  GET: miss,
  EXISTS: miss,
  APPEND: (model, key, [text]) => {
    const found = model.typed<string>(key, "string", "");
    if (!found) return;
    found.value += text;
    model.tell("append", key);
  },
  INCR: (model, key) => {
    const found = model.keys.get(key);
    if (found && (found.type !== "string" || !/^-?\d+$/.test(found.value as string))) return;
    const kept = found ?? { type: "string" as const, value: "0", expires: false };
    kept.value = String(Number(kept.value) + 1);
    model.keys.set(key, kept);
    model.tell("incrby", key);
  },
  DEL: (model, key, others) => {
    for (const one of new Set([key, ...others])) model.delete(one);
  },
  EXPIRE: (model, key, [seconds]) => {
    const found = model.keys.get(key);
    if (!found) return;
    if (Number(seconds) < 0) {
      model.keys.delete(key);
      return model.tell("expired", key);
    }
    found.expires = true;
    model.tell("expire", key);
  },
  PERSIST: (model, key) => {
    const found = model.keys.get(key);
    if (!found?.expires) return;
    found.expires = false;
    model.tell("persist", key);
  },
  RENAME: (model, key, [to]) => {
    const found = model.keys.get(key);
    if (!found || to === key) return;
    model.keys.delete(key);
    model.keys.set(to as string, found);
    model.tell("rename_from", key);
    model.tell("rename_to", to as string);
  },
  COPY: (model, key, [to]) => {
    if (to === key) return;
    const found = model.keys.get(key);
    if (!found) return miss(model, key);
    if (model.keys.has(to as string)) return;
    model.keys.set(
      to as string,
      copied(found.type === "set" ? { ...found, value: new Set(found.value as Set<string>) } : found),
    );
    model.tell("copy_to", to as string);
  },
  LPUSH: push("lpush"),
  RPUSH: push("rpush"),
  LPOP: pop("lpop"),
  RPOP: pop("rpop"),
  LREM: (model, key, [, item]) => {
    const list = model.known<string[]>(key, "list");
    if (!list?.value.includes(item as string)) return;
    list.value = list.value.filter((one) => one !== item);
    model.removed("lrem", key, list.value.length, true);
  },
  LTRIM: (model, key) => {
    const list = model.known<string[]>(key, "list");
    if (!list) return;
    list.value = list.value.slice(1);
    model.removed("ltrim", key, list.value.length, true);
  },
  RPOPLPUSH: (model, key, [to]) => {
    const list = model.known<string[]>(key, "list");
    if (!list || to === key) return;
    const target = model.keys.get(to as string);
    if (target && target.type !== "list") return;
    push("lpush")(model, to as string, [list.value.pop() as string]);
    model.removed("rpop", key, list.value.length, true);
  },
  HSET: (model, key, [field, value]) => {
    const hash = model.typed<Record<string, string>>(key, "hash", {});
    if (!hash) return;
    hash.value[field as string] = value as string;
    model.tell("hset", key);
  },
  HDEL: (model, key, [field]) => {
    const hash = model.known<Record<string, string>>(key, "hash");
    if (!hash || !((field as string) in hash.value)) return;
    delete hash.value[field as string];
    model.removed("hdel", key, Object.keys(hash.value).length, false);
  },
  SADD: (model, key, [member]) => {
    const found = model.typed<Set<string>>(key, "set", new Set());
    if (!found || found.value.has(member as string)) return;
    found.value.add(member as string);
    model.tell("sadd", key);
  },
  SREM: (model, key, [member]) => {
    const found = model.known<Set<string>>(key, "set");
    if (found?.value.delete(member as string)) model.removed("srem", key, found.value.size, false);
  },
  SPOP: (model, key) => {
    if (model.known(key, "set")) model.removed("spop", key, 0, true);
  },
  ZADD: (model, key, [score]) => {
    const found = model.typed<Record<string, string>>(key, "zset", {});
    if (!found || found.value.m === score) return;
    found.value.m = score as string;
    model.tell("zadd", key);
  },
  ZREM: (model, key) => {
    if (model.known(key, "zset")) model.removed("zrem", key, 0, false);
  },
  ZPOPMIN: (model, key) => {
    if (model.known(key, "zset")) model.removed("zpopmin", key, 0, true);
  },
  XADD: (model, key) => {
    const found = model.typed<number>(key, "stream", 0);
    if (!found) return;
    found.value++;
    model.tell("xadd", key);
  },
};
