/**
 * The engine's keyspace events. While somebody wants them, one connection listens to them, and the engine's
 * `notify-keyspace-events` is what the users have set together with what is needed here; the users see only theirs.
 *
 * With an engine in this process events come before the reply of the command that caused them. By URL they come over
 * another connection: {@link KeyEvents.barrier} waits for those of everything that the engine has answered.
 *
 * What the engine does not tell is lost: it keeps no events. When the connection ends, or somebody changes the setting
 * behind our back, that is a gap: it is logged and counted, and closed as soon as possible.
 */
import {
  type CommandArgument,
  encodeCommand,
  type EngineClient,
  EngineError,
  type EngineValue,
} from "../engine/engine-client.ts";
import { replaceConfigValue } from "../engine/config-reply.ts";
import type { Logger } from "../log.ts";
import { andThen } from "../maybe.ts";
import type { RespReader } from "../python/transcode.ts";
import type { Connections, EngineCalls } from "./engine-calls.ts";
import type { Holdable } from "./event-starter.ts";
import { OwnMisses } from "./own-misses.ts";

type KeyEventListener = (event: string, key: Buffer, database: number) => void;

/** What a channel of the engine stands for. */
interface KnownChannel {
  readonly database: number;
  readonly event: string;
}

/** Which events a listener wants, by name; `all` for every one. */
export type Wanted = ReadonlySet<string> | "all";

interface KeyEventsOptions {
  readonly connections: Connections;
  readonly calls: EngineCalls;
  /** Held while an engine by URL is being told, so that no client's command is missed. */
  readonly gate: Pick<Holdable, "hold" | "release">;
  readonly log: Pick<Logger, "warn">;
}

/** The connection that is told of events, while the engine keeps what it writes there. */
export interface HeldListener {
  readonly descriptor: number;
  /** Delivers what another thread has taken of the engine. */
  take(bytes: Buffer): void;
  /** The engine delivers again, beginning with what it has kept. */
  letGo(): void;
}

const PARAMETER = "notify-keyspace-events";
const FLAGS = "EA";
const MISS = "keymiss";
/** Of the engine's own, not delivered. */
const NEW_KEY = "new";
/** At once, as long as that is not in vain. */
const RECONNECT_MS = [0, 100, 200, 500, 1_000, 2_000];
/** How often an engine by URL is asked whether it still tells everything, in milliseconds. */
const CHECK_MS = 500;
/** Checks that the engine has answered elsewhere, but not on the connection that tells events, until that one is given up. */
const MOST_SILENT = 6;

export class KeyEvents {
  /** Misses that the server's own reads cause. */
  readonly misses = new OwnMisses((key) => this.#deliver(MISS, key, 0));
  /** Events may be missed from now on. */
  onGap: () => void = () => {};
  /** After a gap: everything is told again. */
  onGapEnd: () => void = () => {};

  readonly #options: KeyEventsOptions;
  readonly #listeners: { readonly listener: KeyEventListener; wanted: Wanted }[] = [];
  #listening: EngineClient | undefined;
  #patterns: ReadonlySet<string> = new Set();
  /** The users' own setting; undefined until the engine was asked for it. */
  #userFlags: string | undefined;
  /** The engine's present setting. */
  #flags = "";
  #retry: NodeJS.Timeout | undefined;
  #retries = 0;
  /** Since when events may be missed, in milliseconds of a clock that never goes back. */
  #gapSince: number | undefined;
  /** The engine has confirmed the subscription, and the setting. */
  #subscribed = false;
  #flagsSet = false;
  /** The log says already that the engine refuses the subscription or the setting. */
  #refused = false;
  #checking: NodeJS.Timeout | undefined;
  /** Checks in which nothing came on the connection that tells events. */
  #silent = 0;
  /** Commands to an engine by URL that are not carried out yet. */
  #underway = 0;
  #held: Promise<void> | undefined;
  readonly #holder = {};
  #closed = false;
  readonly #channels = new Map<string, KnownChannel>();
  /** The channel of the last event: that of the next one is mostly the same object. */
  #last: { readonly channel: Buffer; readonly known: KnownChannel } | undefined;

  constructor(options: KeyEventsOptions) {
    this.#options = options;
  }

  /** True while events are wanted, so that the users' setting is not the engine's. */
  get active(): boolean {
    return this.#patterns.size > 0;
  }

  /**
   * Adds a listener; those added first hear first. It hears nothing until it wants something.
   * @returns tells what the listener wants
   */
  listen(listener: KeyEventListener): (wanted: Wanted) => void {
    const entry: { readonly listener: KeyEventListener; wanted: Wanted } = { listener, wanted: new Set() };
    this.#listeners.push(entry);
    return (wanted) => {
      entry.wanted = wanted;
      this.#refresh();
    };
  }

  /** Resolves when the events of all that the engine has answered were delivered. Undefined: they were. */
  barrier(): Promise<void> | undefined {
    if (this.#options.calls.atOnce || !this.#listening) return undefined;
    return this.#listening.call("PING").then(
      () => {},
      () => {},
    );
  }

  /**
   * The engine keeps what it tells until somebody lets go of it, so that another thread can take that.
   * @returns undefined when that is not possible now
   */
  holdBack(): HeldListener | undefined {
    const client = this.#listening;
    if (!client || !this.#options.calls.atOnce || !this.#subscribed || !this.#flagsSet) return undefined;
    const descriptor = client.holdBack();
    if (descriptor === undefined) return undefined;
    return { descriptor, take: (bytes) => client.takeHeld(bytes), letGo: () => client.letGo() };
  }

  /** What the engine's {@link PARAMETER} has to be when users set it to `flags`. */
  withNeeded(flags: string): string {
    return this.active ? mergeFlags(flags, this.#neededFlags()) : flags;
  }

  /** A client has set {@link PARAMETER}, and the engine has accepted what {@link withNeeded} made of it. */
  noteUserFlags(flags: string, merged: string): void {
    if (!this.active) return;
    this.#userFlags = canonicalFlags(flags);
    this.#flags = merged;
    this.#confirm("set");
    // what is needed may have changed meanwhile
    this.#setMerged(this.#userFlags);
  }

  /** A client has set {@link PARAMETER} among others, and the engine has accepted it: ours are added again. */
  learnUserFlags(): void {
    this.#userFlags = undefined;
    if (this.active) this.#applyFlags();
  }

  /** A reply of CONFIG GET with the users' setting in place of the engine's. */
  maskConfig(reply: Buffer): Buffer {
    if (!this.active || this.#userFlags === undefined) return reply;
    return replaceConfigValue(reply, PARAMETER, this.#userFlags);
  }

  /** Ends the connections and gives the engine the users' setting back. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#checking);
    if (this.active) this.#restoreFlags();
    this.#patterns = new Set();
    this.#listening?.close();
    this.#listening = undefined;
  }

  // ---- what is wanted ----

  #refresh(): void {
    const patterns = this.#wantedPatterns();
    const [before, now] = [this.#patterns, patterns];
    const added = [...now].filter((pattern) => !before.has(pattern));
    const removed = [...before].filter((pattern) => !now.has(pattern));
    if (added.length === 0 && removed.length === 0) return;
    const wasActive = this.active;
    this.#patterns = patterns;
    if (!this.active) {
      if (wasActive) this.#restoreFlags();
      this.#listening?.close();
      this.#listening = undefined;
      clearTimeout(this.#retry);
      clearInterval(this.#checking);
      this.#gapSince = undefined;
      return;
    }
    this.#applyFlags();
    if (!wasActive) {
      this.#connect();
      this.#watch();
    } else if (!this.#listening) return;
    else {
      if (added.length > 0) this.#tell("PSUBSCRIBE", ...added);
      if (removed.length > 0) this.#tell("PUNSUBSCRIBE", ...removed);
    }
  }

  #wantedPatterns(): Set<string> {
    const names = new Set<string>();
    for (const { wanted } of this.#listeners) {
      if (wanted === "all") return new Set(["__keyevent@*__:*"]);
      for (const name of wanted) names.add(name);
    }
    return new Set([...names].map((name) => `__keyevent@*__:${name.replace(/[\\*?[\]]/g, "\\$&")}`));
  }

  #wantsMisses(): boolean {
    return this.#listeners.some(({ wanted }) => wanted === "all" || wanted.has(MISS));
  }

  // ---- the engine's setting ----

  #applyFlags(): void {
    if (this.#userFlags !== undefined) {
      this.#setMerged(this.#userFlags);
      return;
    }
    this.#run(["CONFIG", "GET", PARAMETER], (reply) => {
      this.#userFlags = flagsOf(reply) ?? "";
      this.#flags = this.#userFlags;
      if (this.active) this.#setMerged(this.#userFlags);
    });
  }

  #setMerged(user: string): void {
    const misses = this.#wantsMisses();
    this.#setFlags(mergeFlags(user, this.#neededFlags()));
    if (this.misses.listening !== misses) this.misses.clear();
    this.misses.listening = misses;
  }

  #neededFlags(): string {
    return this.#wantsMisses() ? `${FLAGS}m` : FLAGS;
  }

  #restoreFlags(): void {
    this.misses.listening = false;
    this.misses.clear();
    if (this.#userFlags !== undefined) this.#setFlags(this.#userFlags);
    this.#userFlags = undefined;
  }

  #setFlags(flags: string): void {
    const before = this.#flags;
    if (sameFlags(flags, before)) {
      this.#confirm("set");
      return;
    }
    this.#flags = flags;
    this.#run(["CONFIG", "SET", PARAMETER, flags], (reply) => {
      if (reply && !reply.isError) this.#confirm("set");
      else if (this.#flags === flags) this.#flags = before;
      if (reply?.isError) this.#refuse(`CONFIG SET ${PARAMETER}`, reply.line());
    });
  }

  #run(args: readonly CommandArgument[], done: (reply: RespReader | undefined) => void): void {
    this.#begin();
    void andThen(this.#options.calls.ask(encodeCommand(args)), (reply) => {
      done(reply);
      this.#end();
    });
  }

  /** Until the engine has done what it was told, no client may go on. */
  #begin(): void {
    if (this.#options.calls.atOnce || this.#closed) return;
    if (this.#underway++ === 0)
      this.#held = this.#options.gate.hold(this.#holder, () => "the server, which sets notify-keyspace-events");
  }

  #end(): void {
    if (this.#underway === 0 || --this.#underway > 0) return;
    void this.#held?.then(() => this.#options.gate.release(this.#holder));
  }

  // ---- the connection ----

  #connect(): void {
    const client = this.#options.connections.open({ priority: true });
    this.#listening = client;
    client.onPush = (_kind, [, channel, key]) => this.#onMessage(channel, key);
    client.onClose = () => {
      if (this.#listening === client) this.#lose("the engine has closed the connection on which it tells them");
    };
    this.#silent = 0;
    this.#tell("PSUBSCRIBE", ...this.#patterns);
  }

  /** Nothing comes on the connection any more. */
  #lose(why: string): void {
    this.#listening = undefined;
    this.#subscribed = false;
    this.#flagsSet = false;
    if (!this.active || this.#closed) return;
    this.#noteGap(why);
    const delay = RECONNECT_MS[Math.min(this.#retries++, RECONNECT_MS.length - 1)];
    if (delay === 0) {
      this.#reconnect();
      return;
    }
    this.#retry = setTimeout(() => this.#reconnect(), delay);
    this.#retry.unref();
  }

  #reconnect(): void {
    if (!this.active || this.#closed) return;
    // the engine may be another one now, with a setting of its own
    const merged = this.#flags;
    this.#run(["CONFIG", "GET", PARAMETER], (reply) => this.#adopt(flagsOf(reply), merged));
    this.#connect();
  }

  /** Takes what the engine has for the users' setting, unless it is what was set here. */
  #adopt(flags: string | undefined, merged: string): void {
    if (flags === undefined) {
      // it does not tell; then its users are to set it
      this.#confirm("set");
      return;
    }
    if (!sameFlags(flags, merged)) this.#userFlags = flags;
    this.#flags = flags;
    this.#applyFlags();
  }

  #tell(...args: string[]): void {
    const client = this.#listening;
    if (!client) return;
    this.#begin();
    client
      .call(...args)
      .then(
        () => {
          if (args[0] !== "PSUBSCRIBE" || this.#listening !== client) return;
          this.#retries = 0;
          this.#confirm("subscribed");
        },
        (error: unknown) => {
          if (error instanceof EngineError) this.#refuse(String(args[0]), error.message);
        },
      )
      .finally(() => this.#end());
    client.flush();
  }

  // ---- gaps ----

  #noteGap(why: string): void {
    if (this.#gapSince === undefined) this.#beginGap(`key events may be missed: ${why}`);
  }

  #refuse(what: string, text: string): void {
    if (this.#refused || !this.active) return;
    this.#refused = true;
    this.#beginGap(`key events will not be seen: the engine refuses ${what}: ${text}`);
  }

  #beginGap(line: string): void {
    this.#options.log.warn(line);
    if (this.#gapSince !== undefined) return;
    this.#gapSince = performance.now();
    this.onGap();
  }

  /** One of two conditions holds; with both, the engine tells everything. */
  #confirm(what: "subscribed" | "set"): void {
    if (what === "set") this.#flagsSet = true;
    else this.#subscribed = true;
    if (!this.#flagsSet || !this.#subscribed) return;
    this.#refused = false;
    if (this.#gapSince === undefined) return;
    const ms = Math.round(performance.now() - this.#gapSince);
    this.#gapSince = undefined;
    this.#options.log.warn(`key events are told again; those of about ${ms} ms may be missing`);
    this.onGapEnd();
  }

  /** Others can change the setting of an engine by URL, and a network can swallow a connection without a word. */
  #watch(): void {
    if (this.#options.calls.atOnce) return;
    this.#checking = setInterval(() => this.#check(), CHECK_MS);
    this.#checking.unref();
  }

  #check(): void {
    const listening = this.#listening;
    const expected = this.#flags;
    // something is being changed just now
    if (!listening || this.#underway > 0 || this.#userFlags === undefined) return;
    const note = (): void => {
      if (this.#listening === listening) this.#silent = 0;
    };
    // an engine that can not save refuses PING, too: that is an answer
    listening.call("PING").then(note, (error) => (error instanceof EngineError ? note() : undefined));
    void andThen(this.#options.calls.ask(encodeCommand(["CONFIG", "GET", PARAMETER])), (reply) => {
      if (reply === undefined || !this.active || this.#listening !== listening) return;
      if (++this.#silent > MOST_SILENT) {
        listening.close();
        this.#lose("the connection on which the engine tells them is dead");
      } else if (this.#flags === expected && this.#underway === 0) this.#checkFlags(flagsOf(reply), expected);
    });
  }

  #checkFlags(flags: string | undefined, expected: string): void {
    if (flags === undefined || (this.#flagsSet && sameFlags(flags, expected))) return;
    if (!hasFlags(flags, this.#neededFlags())) {
      this.#flagsSet = false;
      this.#noteGap(`${PARAMETER} of the engine has become '${flags}'`);
      // it would be refused again
      if (this.#refused) return;
    }
    this.#adopt(flags, expected);
  }

  #onMessage(channel: EngineValue | undefined, key: EngineValue | undefined): void {
    if (!Buffer.isBuffer(channel) || !Buffer.isBuffer(key)) return;
    this.#silent = 0;
    const known = channel === this.#last?.channel ? this.#last.known : this.#known(channel);
    if (known.event === NEW_KEY) return;
    if (known.event === MISS && known.database === 0 && this.misses.take(key)) return;
    this.#deliver(known.event, key, known.database);
  }

  #known(channel: Buffer): KnownChannel {
    const name = channel.toString("latin1");
    let known = this.#channels.get(name);
    if (!known) {
      // __keyevent@0__:set
      const at = name.indexOf("__:");
      known = { database: Number(name.slice(11, at)), event: channel.toString("utf8", at + 3) };
      if (this.#channels.size < 10_000) this.#channels.set(name, known);
    }
    this.#last = { channel, known };
    return known;
  }

  #deliver(event: string, key: Buffer, database: number): void {
    for (const { listener, wanted } of this.#listeners) {
      if (wanted === "all" || wanted.has(event)) listener(event, key, database);
    }
  }
}

/** The value in a reply of CONFIG GET. */
function flagsOf(reply: RespReader | undefined): string | undefined {
  if (!reply || reply.isError || reply.arrayLength() !== 2) return undefined;
  reply.bulk();
  return reply.bulk()?.toString("latin1");
}

/** All flags of both. */
const mergeFlags = (user: string, ours: string): string => [...new Set([...user, ...ours])].join("");

/** The letters that the engine sums up as `A`. */
const ALL = "g$lshzxetd";

/** A setting as CONFIG GET gives it (`keyspaceEventsFlagsToString` in notify.c). */
export function canonicalFlags(flags: string): string {
  const there = singleFlags(flags);
  const of = (letters: string): string => [...letters].filter((flag) => there.has(flag)).join("");
  return ([...ALL].every((flag) => there.has(flag)) ? "A" : of(`${ALL}n`)) + of("KEm");
}

const singleFlags = (flags: string): Set<string> => new Set(flags.replace("A", ALL));

/** Do two settings mean the same? The engine writes them in an order of its own. */
const sameFlags = (one: string, other: string): boolean => hasFlags(one, other) && hasFlags(other, one);

/** Does a setting say all that another one says? */
function hasFlags(flags: string, wanted: string): boolean {
  const there = singleFlags(flags);
  return [...singleFlags(wanted)].every((flag) => there.has(flag));
}
