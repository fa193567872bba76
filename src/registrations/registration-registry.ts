/** The registrations there are, and how they come and go. */
import { ReplyError } from "../errors.ts";
import type { CallOptions } from "../executions/watched-call.ts";
import { type Ids, NODE_ID, parseId } from "../executions/ids.ts";
import type { Declarations } from "../executions/script.ts";
import type { Session, SessionRegistry } from "../executions/session.ts";
import type { Logger } from "../log.ts";
import type { Maybe } from "../maybe.ts";
import type { PythonHost } from "../python/python-host.ts";
import { Declared } from "./declared.ts";
import { Registration, type RegistrationSpec, type RegisterReader } from "./registration.ts";

/** What a reader does with its registrations. */
export interface ReaderSide {
  /**
   * May this be registered? `declared` are the same script's registrations so far, `replaced` the session that the script
   * is about to replace. @throws ReplyError with the text of the `gears.error`
   */
  check(spec: RegistrationSpec, declared: Declared, replaced: Session | undefined): void;
  /** A registration takes effect. */
  activate(registration: Registration): void;
  /** No further events. @param abortPending executions that have not started become aborted */
  deactivate(registration: Registration, abortPending: boolean): void;
  /** Readers that can be paused. */
  readonly pausing?: Pausing;
}

export interface Pausing {
  pause(registration: Registration): void;
  unpause(registration: Registration): void;
}

interface RegistrationRegistryOptions {
  readonly ids: Ids;
  readonly host: PythonHost;
  readonly sessions: SessionRegistry;
  readonly readers: ReadonlyMap<RegisterReader, ReaderSide>;
  /** Is told before a registration takes effect. */
  readonly onStart?: () => void;
  /** Most registrations at a time; undefined: any number. */
  readonly max?: number;
  /** Milliseconds after which an onRegistered is stopped, for it holds up its client and its interpreter; 0 is never. */
  readonly onRegisteredLimitMs?: number;
  /** Watches an onRegistered: it is shown when it takes long. */
  readonly watchCall?: (options: CallOptions) => { end(): void };
  readonly log?: Pick<Logger, "warn">;
}

/** The declarations of one script: made while its body runs, in effect when it has ended well. */
export interface ScriptDeclarations extends Declarations {
  add(spec: RegistrationSpec): Registration;
}

/** Bytes of all registrations' functions: what they refer to is in them, and they are kept in memory. */
const MAX_BYTES = 512 * 1024 * 1024;

export class RegistrationRegistry {
  /**
   * Resolves when all changes so far survive a restart, as far as they are to; rejects with a ReplyError when they can not be
   * kept, and were taken back.
   */
  kept: () => Promise<void> = async () => {};
  /**
   * Has all changes so far stand before whatever is done to the data from now on, within the call where that is possible.
   * Whether they do is told by {@link kept}.
   */
  entered: () => Maybe<void> = () => {};
  /** Called after each registration that came or went. */
  onChange: (registration: Registration, isThere: boolean) => void = () => {};

  readonly #options: RegistrationRegistryOptions;
  readonly #all = new Map<number, Registration>();
  /** Of their functions, as Python serialised them. */
  #bytes = 0;

  constructor(options: RegistrationRegistryOptions) {
    this.#options = options;
  }

  /** In the order of their ids. */
  list(): Registration[] {
    return [...this.#all.values()];
  }

  find(id: Buffer): Registration | undefined {
    const number = parseId(id);
    return number === undefined ? undefined : this.#all.get(number);
  }

  /**
   * Collects a script's registrations.
   * @param replaces finds the session whose place the script's takes if it registers anything (UPGRADE, REPLACE_WITH). It
   * is asked again and again, for other scripts may end meanwhile. @throws ReplyError when it may not
   */
  declare(session: Session, replaces: () => Session | undefined): ScriptDeclarations {
    let declared = new Declared();
    // refuses what can not be before the script runs
    replaces();
    return {
      get count() {
        return declared.list.length;
      },
      add: (spec) => {
        const replaced = replaces();
        this.#reader(spec).check(spec, declared, replaced);
        this.#checkRoom(declared.list.length - (replaced?.registrations.size ?? 0), spec, declared);
        const registration = this.#create(session, spec);
        declared.add(registration);
        return registration;
      },
      commit: () => {
        const { list } = declared;
        if (list.length === 0) return undefined;
        const replaced = replaces();
        const before = new Declared();
        for (const registration of list) {
          this.#reader(registration.spec).check(registration.spec, before, replaced);
          before.add(registration);
        }
        if (replaced) this.replace(replaced);
        for (const registration of list) this.#enter(registration);
        const entered = this.entered();
        if (entered) return entered.then(() => this.#settled(list));
        return this.#settled(list);
      },
      discard: () => {
        for (const { number } of declared.list) this.#options.host.tell(session, ["unregister", number]);
        declared = new Declared();
      },
    };
  }

  /**
   * A registration made by a step or callback. It takes effect when it is kept, and not before the caller's code goes on:
   * its interpreter does not know of it earlier.
   * @throws ReplyError when it may not be, or can not be kept
   */
  async add(session: Session, spec: RegistrationSpec): Promise<Registration> {
    const side = this.#reader(spec);
    side.check(spec, new Declared(), undefined);
    this.#checkRoom(0, spec, new Declared());
    const registration = this.#create(session, spec);
    this.#enter(registration);
    await this.kept();
    // Its session may have been replaced meanwhile.
    if (!this.#all.has(registration.number)) return registration;
    try {
      // Another may have taken its place meanwhile.
      side.check(spec, new Declared(), undefined);
    } catch (error) {
      this.remove(registration, false);
      await this.kept();
      throw error;
    }
    this.#start(registration);
    void this.#callOnRegistered(registration);
    return registration;
  }

  /**
   * Makes registrations of an earlier run again, under their old numbers. None takes effect before its session knows all:
   * an event may bring the session to an interpreter, with what it knows.
   */
  restore(stored: readonly { session: Session; number: number; spec: RegistrationSpec }[]): void {
    const all = stored.map(
      ({ session, number, spec }) => new Registration({ id: `${NODE_ID}-${number}`, number }, session, spec),
    );
    for (const registration of all) this.#enter(registration);
    for (const registration of all) this.#start(registration);
  }

  /** Takes changes back that can not be kept. What was aborted and dropped with the removed ones stays so. */
  takeBack(added: readonly Registration[], removed: readonly Registration[]): void {
    for (const registration of added) this.remove(registration, true);
    for (const registration of removed) {
      this.#options.sessions.exhume(registration.session);
      this.#enter(registration);
    }
    for (const registration of removed) this.#start(registration);
  }

  /** How a registration is paused; undefined when its reader can not be. */
  pausing(registration: Registration): Pausing | undefined {
    return this.#reader(registration.spec).pausing;
  }

  /** Ends a registration. Its executions that run go on. */
  remove(registration: Registration, abortPending: boolean): void {
    if (!this.#all.delete(registration.number)) return;
    this.#bytes -= registration.blob.length;
    registration.active = false;
    this.#reader(registration.spec).deactivate(registration, abortPending);
    const { session } = registration;
    session.registrations.delete(registration.number);
    this.#options.sessions.release(session);
    this.onChange(registration, false);
    const forget = (): void => {
      // the removal was taken back
      if (this.#all.has(registration.number)) return;
      // Python still needs it for what waits
      registration.onIdle = () => this.#forget(registration);
      if (registration.pending.size === 0) this.#forget(registration);
    };
    void this.kept().then(forget, forget);
  }

  /** Another session takes this one's place. */
  replace(session: Session): void {
    this.#options.sessions.bury(session);
    for (const { number } of [...session.registrations.values()]) {
      const registration = this.#all.get(number);
      if (registration) this.remove(registration, true);
    }
  }

  #forget({ session, number }: Registration): void {
    this.#options.host.tell(session, ["unregister", number]);
    if (!session.isKept) this.#options.host.release(session);
    this.#options.sessions.release(session);
  }

  /**
   * May one more registration be made?
   * @param more how many registrations are going to be made before it, less those that are going to be removed for it
   * @param declared those that are going to be made
   */
  #checkRoom(more: number, { blob }: RegistrationSpec, declared: Declared): void {
    const { max = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#all.size + more >= max) {
      throw new ReplyError(`ERR there are as many registrations as may be (max-registrations is ${max})`);
    }
    if (this.#bytes + declared.bytes + blob.length > MAX_BYTES)
      throw new ReplyError(`ERR all registrations together have more than ${MAX_BYTES} bytes`);
  }

  #create(session: Session, spec: RegistrationSpec): Registration {
    return new Registration(this.#options.ids.nextRegistration(), session, spec);
  }

  /** A registration is listed from now on. */
  #enter(registration: Registration): void {
    const { session } = registration;
    this.#all.set(registration.number, registration);
    this.#bytes += registration.blob.length;
    session.registrations.set(registration.number, registration);
    this.#options.sessions.add(session);
    this.#options.host.retain(session);
    session.onRevived = () => this.#onRevived(session);
    this.onChange(registration, true);
  }

  /** A registration that is listed takes effect. */
  #start(registration: Registration): void {
    this.#options.onStart?.();
    registration.active = true;
    this.#reader(registration.spec).activate(registration);
  }

  /**
   * Declared registrations take effect: what they do to the data comes after them.
   * @returns resolves when onRegistered of all was called and what is kept is on disk; rejects with a ReplyError when it can not
   * be kept
   */
  async #settled(declared: readonly Registration[]): Promise<void> {
    for (const registration of declared) if (this.#all.has(registration.number)) this.#start(registration);
    await Promise.all([this.kept(), ...declared.map((registration) => this.#callOnRegistered(registration))]);
  }

  /** An interpreter makes the session again: its functions are called again there. */
  #onRevived(session: Session): void {
    for (const { number } of session.registrations.values()) {
      const registration = this.#all.get(number);
      if (registration) void this.#callOnRegistered(registration);
    }
  }

  async #callOnRegistered(registration: Registration): Promise<void> {
    const { session, number, hasOnRegistered, id } = registration;
    if (!hasOnRegistered) return;
    const { host, onRegisteredLimitMs: limitMs = 0, watchCall, log } = this.#options;
    const call = { handle: host.nextHandle(), session, name: `onRegistered of registration ${id}` };
    const stop = (why: string): void => {
      log?.warn(`${call.name} is stopped: ${why}`);
      registration.hasOnRegistered = false;
      host.stopCallback(call);
    };
    const watch = watchCall?.({
      limitMs,
      onLimit: () => stop("it runs longer than script-time-limit"),
      stop: () => stop("it was aborted"),
    });
    // an error in it is logged by Python; if its interpreter dies, it is called again when the session is made again
    await host.ask(session, call.handle, ["registered", call.handle, number]).catch(() => {});
    watch?.end();
    host.callbackEnded(call);
  }

  #reader(spec: RegistrationSpec): ReaderSide {
    const reader = this.#options.readers.get(spec.reader);
    if (!reader) throw new TypeError(`no such reader ${spec.reader}`);
    return reader;
  }
}
