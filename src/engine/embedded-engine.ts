/**
 * The embedded engine: Valkey compiled to WebAssembly, stepped on this thread.
 *
 * Order of delivery. A step of Valkey carries out what was read and writes the replies of the step before. After each
 * step everything it wrote is handed over, one connection after the other: those opened with `priority` first, then the
 * others in the order in which Valkey wrote to them. A notification and the reply of the command that caused it leave
 * Valkey in the same step, and no reply is handed over while Valkey still holds bytes for a priority connection that is
 * not paused. So a priority connection learns of every event before the client that caused it gets its reply.
 */
import { InternalError } from "../errors.ts";
import { applySettings } from "./boot-settings.ts";
import { Delivery } from "./delivery.ts";
import { EmbeddedConnection } from "./embedded-connection.ts";
import type { DirectEntry } from "./direct-entry.ts";
import { encodeCommand } from "./encode.ts";
import { type ClientAddresses, type ConnectOptions, ENGINE_DOWN, type Engine } from "./engine.ts";
import type { BackgroundWork } from "./engine-files.ts";
import { type EngineLog, explain } from "./engine-output.ts";
import { EngineThreads, type ThreadsOptions } from "./engine-threads.ts";
import type { ReplicaNetwork } from "./fork/replicas.ts";
import type { Internals } from "./internals.ts";
import { bootValkey, type Valkey, type ValkeyOptions } from "./valkey.ts";
import type { ClockShift } from "./wasi.ts";
import type { VirtualHost } from "./virtual-host.ts";
import { VirtualSocket } from "./virtual-socket.ts";
import { EngineExit } from "./wasi.ts";

export interface EmbeddedOptions extends ValkeyOptions {
  readonly log?: EngineLog;
}

/** The engine gives the event loop back after this long, in milliseconds. */
const SLICE_MS = 10;
/** After commands that were carried out without it, Valkey's event loop turns within this time, in milliseconds. */
const TURN_MS = 5;
const MB = 1024 * 1024;
/**
 * Valkey can address 4 GiB and ends when it needs more. Data have 3 GiB at most (`maxmemory`). From this size on what
 * clients make it hold is bounded more strictly: all together, and each for its replies.
 */
const MUCH_MEMORY = 2560 * MB;
const CLIENTS_MEMORY = 640 * MB;
const TIGHT_OUTPUT_LIMIT = 256 * MB;
/** Of `server.aof_state`: the append-only file is whole. While it is begun the state is another one. */
const AOF_ON = 1;
/** A socket without input. A step that reads only from this socket carries out no command, and so only writes. */
const NOBODY = new VirtualSocket(false);

export class EmbeddedEngine implements Engine {
  readonly description = "embedded";
  readonly embedded = true;
  /** Never called: while the process lives and nobody sent SHUTDOWN, the embedded engine is up. */
  onStateChange: (up: boolean) => void = () => {};
  /**
   * The engine has ended by itself: by SHUTDOWN (code 0, no reason) or a fault. All connections are closed before.
   * Not called for {@link EmbeddedEngine.stop}.
   */
  onExit: (code: number, reason?: InternalError) => void = () => {};

  readonly #options: EmbeddedOptions;
  readonly #log: EngineLog;
  readonly #delivery = new Delivery();
  #valkey: Valkey | undefined;
  #threads: EngineThreads | undefined;
  #turn: NodeJS.Timeout | undefined;
  #inStep = false;
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #end: { code: number; reason?: InternalError } | undefined;
  #tight = false;
  readonly #clockShift: ClockShift = new Float64Array(new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT));

  constructor(options: EmbeddedOptions = {}) {
    this.#options = options;
    this.#log = options.log ?? { debug: () => {}, warn: () => {} };
  }

  async start(): Promise<void> {
    const valkey = await bootValkey({ ...this.#options, clockShift: this.#clockShift }, this.#log, {
      onOutput: (socket) => this.#delivery.noteOutput(socket),
      network: (host, internals) => this.#network(host, internals),
    });
    this.#valkey = valkey;
    if (valkey.internals) valkey.files.report(valkey.internals, () => this.#schedule());
    else applySettings(this.connect(), valkey.settings);
    this.#tick();
  }

  connect(options: ConnectOptions = {}): EmbeddedConnection {
    const socket = new VirtualSocket(options.priority === true, options.addresses);
    const connection = new EmbeddedConnection(this, socket);
    if (this.#valkey === undefined || this.#end !== undefined) {
      socket.closed = true;
      setImmediate(() => connection.deliver(new InternalError(ENGINE_DOWN)));
      return connection;
    }
    this.#delivery.add(connection);
    this.#valkey.host.connect(socket);
    this.#schedule();
    return connection;
  }

  /**
   * Lets other threads use the engine.
   * @param commands those that may be sent from there
   * @param connect opens a connection for one of them
   * @returns undefined where that is not possible
   */
  share(commands: ThreadsOptions["commands"], connect: ThreadsOptions["connect"]): EngineThreads | undefined {
    const shared = this.#valkey?.shared;
    this.#threads ??=
      shared &&
      new EngineThreads({
        ...{ ...shared, commands, connect, clockShift: this.#clockShift },
        mayOpen: () => this.#mayUseThreads(),
      });
    return this.#threads;
  }

  /**
   * May other threads use the engine? Not while somebody monitors, which needs this thread for each command, and not with
   * `appendfsync always`: then each change has to be on the disk before its reply, and only this thread reaches the files.
   */
  #mayUseThreads(): boolean {
    return this.#valkey?.host.isMonitored === false && this.#valkey?.internals?.syncsAlways !== true;
  }

  moveClock(ms: number): void {
    this.#clockShift[0] = (this.#clockShift[0] ?? 0) + ms;
    this.#schedule();
  }

  /** Ends the engine, because a thread has ended inside of it and may have left something half done. */
  endBroken(): void {
    this.#die(new Error("a thread has ended inside of it"));
  }

  /** Sets who saves where the engine can not be copied. */
  set background(work: BackgroundWork) {
    if (this.#valkey) this.#valkey.files.background = work;
  }

  /** What went wrong last with the engine's files, see {@link EngineFiles.takeFailure}. */
  takeFileFailure(): unknown {
    return this.#valkey?.files.takeFailure();
  }

  /** Tells the engine what has become of a save that it had asked for. */
  noteSave(saved: boolean): void {
    this.#valkey?.internals?.noteSave(saved);
  }

  /** DEBUG is let through while this goes on. Nobody else may send commands meanwhile. */
  async withDebug<T>(act: () => Promise<T>): Promise<T> {
    const internals = this.#valkey?.internals;
    if (internals) internals.debugCommand = true;
    try {
      return await act();
    } finally {
      if (internals) internals.debugCommand = this.#options.debugCommand === true;
    }
  }

  addressesOf(descriptor: number): ClientAddresses | undefined {
    return this.#valkey?.host.socketOf(descriptor)?.addresses;
  }

  stop(): Promise<void> {
    if (this.#end === undefined) {
      this.#writeLast();
      this.#end = { code: 0 };
      this.#closeAll();
      this.#valkey?.files.close();
    }
    return Promise.resolve();
  }

  /**
   * Carries out everything that was written to any connection so far, within this call. Replies are delivered by the end
   * of it, except those of commands that block. Clients that do not read their replies wait with what is left of their
   * commands until {@link EmbeddedEngine.release}.
   */
  settle(): void {
    this.#valkey?.files.forks?.hold();
    this.#threads?.closeAll();
    while (this.#step(undefined)) if (this.#valkey?.host.holdsPriorityOutput() !== true) this.#delivery.deliver();
    this.#delivery.deliver();
    this.#valkey?.host.freeze();
  }

  /** Lets the engine go on after {@link EmbeddedEngine.settle}: nobody holds it any more. */
  release(): void {
    this.#inside(() => this.#valkey?.files.forks?.release());
    this.#valkey?.host.thaw();
    this.#schedule();
  }

  /** @internal */
  wake(socket: VirtualSocket): void {
    this.#valkey?.host.wake(socket);
    this.#schedule();
  }

  /** @internal */
  get clientOutputLimit(): number {
    return this.#valkey?.host.clientOutputLimit ?? 0;
  }

  /** @internal Valkey has closed this socket's connection, in another thread */
  noteClosed(socket: VirtualSocket): void {
    this.#valkey?.host.noteClosed(socket);
  }

  /** @internal */
  resumed(socket: VirtualSocket): void {
    if (socket.hasOutput || socket.closed) this.#delivery.noteOutput(socket);
    this.#schedule();
  }

  /** @internal */
  setMonitoring(socket: VirtualSocket, monitoring: boolean): void {
    this.#threads?.closeAll();
    this.#valkey?.host.setMonitoring(socket, monitoring);
  }

  /** @internal */
  noteFull(connection: EmbeddedConnection): void {
    this.#delivery.noteFull(connection);
  }

  /** @internal */
  flush(socket: VirtualSocket): void {
    if (this.#inStep || this.#end !== undefined) return;
    while (this.#valkey?.host.holdsLines() === true) this.#step(socket);
    if (this.#runDirect(socket)) return;
    let before: number;
    do {
      before = socket.todo;
      this.#step(socket);
    } while (socket.todo > 0 && socket.todo < before);
    // The replies leave Valkey in the next step.
    this.#step(socket);
    while (this.#end === undefined && this.#valkey?.host.holdsPriorityOutput()) this.#step(socket);
    this.#delivery.deliver();
  }

  /** Carries a socket's commands out by the direct entry. @returns false when steps have to follow, or it was not possible */
  #runDirect(socket: VirtualSocket): boolean {
    if (this.#valkey?.host.mayGoDirect(socket) !== true) return false;
    const done = this.#useEntry((entry) => entry.run(socket.descriptor) && socket.unread === 0);
    if (done) this.#delivery.deliver();
    return done;
  }

  /** @returns whether there is the direct entry, and Valkey has nothing left for anybody when it has been used */
  #useEntry(act: (entry: DirectEntry) => boolean): boolean {
    const { host, direct } = this.#valkey ?? {};
    if (host === undefined || direct === undefined) return false;
    let done = false;
    try {
      this.#enter();
      this.#threads?.noteGiven();
      host.beginDirect();
      done = act(direct);
      host.endStep();
    } catch (error) {
      this.#die(error);
      return true;
    } finally {
      this.#leave();
    }
    this.turnSoon();
    return done && !host.holdsPriorityOutput();
  }

  /**
   * Has Valkey's event loop turn soon. To be called when commands were carried out without a turn of it, in whatever thread:
   * what they have brought other clients leaves Valkey in such a turn.
   */
  turnSoon(): void {
    this.#turn ??= setTimeout(() => {
      this.#turn = undefined;
      this.#drive();
    }, TURN_MS).unref();
  }

  /**
   * Gives listeners and clients within this call what commands of other threads have brought them. To be called before
   * anything is done by which somebody could learn of these commands: an event comes before everything that its cause leads to.
   */
  giveOwed(): void {
    if (this.#threads?.isOwed !== true) return;
    if (this.#inStep || this.#end !== undefined) return;
    if (!this.#useEntry((entry) => entry.give())) this.#step(NOBODY);
    while (this.#end === undefined && this.#valkey?.host.holdsPriorityOutput()) this.#step(NOBODY);
    this.#delivery.deliver();
  }

  /** Has the event loop turn next: somebody waits for what commands of other threads have brought. */
  turnNext(): void {
    this.#schedule();
  }

  /** Steps that nothing asked for: expiry, time-outs of blocked clients, and whatever else Valkey does by the clock. */
  #tick(): void {
    if (this.#end !== undefined) return;
    this.#timer = setTimeout(() => this.#tick(), this.#valkey?.nextTimeout());
    this.#timer.unref();
    // What the first step does by the clock leaves Valkey in the second.
    this.#step(undefined);
    this.#drive();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#drive();
    });
  }

  #drive(): void {
    const sliceEnd = performance.now() + SLICE_MS;
    let more = true;
    try {
      while (more && this.#end === undefined) {
        more = this.#step(undefined);
        if (this.#valkey?.host.holdsPriorityOutput() !== true) this.#delivery.deliver();
        if (performance.now() >= sliceEnd) break;
      }
      more = more && this.#end === undefined;
      if (!more) this.#delivery.deliver();
      if (!this.#tight && (this.#valkey?.host.memory.bytes.length ?? 0) > MUCH_MEMORY) this.#tighten();
    } finally {
      // also when a receiver has thrown: the other connections must get their bytes
      if (more || this.#delivery.isDue) this.#schedule();
    }
  }

  #tighten(): void {
    this.#tight = true;
    this.#valkey?.host.lowerOutputLimit(TIGHT_OUTPUT_LIMIT);
    const connection = this.connect();
    connection.write(encodeCommand(["CONFIG", "SET", "maxmemory-clients", String(CLIENTS_MEMORY)]));
    connection.onData = () => connection.close();
    this.#log.warn("the engine's memory is large: clients that make it hold much more will be disconnected");
  }

  /** Is every change appended to a file that a restart would begin with? */
  get hasLog(): boolean {
    return this.#valkey?.direct !== undefined && this.#valkey.state?.get("aofState") === AOF_ON;
  }

  /** Brings everything that was changed so far into the append-only file, and that to the disk. @throws what went wrong */
  async syncLog(): Promise<void> {
    const { direct, state, files } = this.#valkey ?? {};
    this.#inside(() => direct?.flush());
    if (this.#end !== undefined || !state || !files) throw new InternalError(ENGINE_DOWN);
    if (state.get("aofLastWriteStatus") !== 0) throw files.takeFailure() ?? new Error("the log can not be written");
    await files.sync(state.get("aofDescriptor"));
  }

  /** Writes what was changed and is not in the append-only file yet. */
  #writeLast(): void {
    if (this.#valkey?.internals?.hasAof !== true) return;
    try {
      this.#enter();
      this.#valkey?.direct?.flush();
    } catch (error) {
      this.#log.warn(`the last changes could not be written: ${String(error)}`);
    } finally {
      this.#leave();
    }
  }

  /** @returns true when there is more to do */
  #step(only: VirtualSocket | undefined): boolean {
    const valkey = this.#valkey;
    if (valkey === undefined || this.#inStep || this.#end !== undefined) return false;
    try {
      this.#enter();
      this.#threads?.noteGiven();
      valkey.host.beginStep(only);
      valkey.step();
      return valkey.host.endStep();
    } catch (error) {
      this.#die(error);
      return false;
    } finally {
      this.#leave();
    }
  }

  /** What the code needs that writes to a replica in Valkey's name. */
  #network(host: VirtualHost, internals: Internals): ReplicaNetwork {
    return {
      socketOf: (client) =>
        host.all().find(({ descriptor }) => descriptor >= 0 && internals.clientOf(descriptor).client === client),
      notify: (socket) => {
        this.#delivery.noteOutput(socket);
        this.#schedule();
      },
      inside: (act) => {
        this.#inside(act);
        this.#schedule();
      },
    };
  }

  /** Runs `act` while no other thread is inside the engine, and so none sees its changes half done. */
  #inside(act: () => void): void {
    if (this.#end !== undefined) return;
    try {
      this.#enter();
      act();
    } catch (error) {
      this.#die(error);
    } finally {
      this.#leave();
    }
  }

  /** To be called before anything of Valkey's runs, and `#leave` after it. @throws Error when it may not run any more */
  #enter(): void {
    this.#inStep = true;
    this.#threads?.lock.take();
    if (this.#threads?.isBroken) throw new Error("a thread has failed inside of it");
  }

  #leave(): void {
    // CONFIG SET may just have switched to `appendfsync always`, which keeps other threads out
    if (this.#threads?.hasOpen && this.#valkey?.internals?.syncsAlways) this.#threads.closeAll();
    this.#threads?.lock.give();
    this.#inStep = false;
  }

  #die(error: unknown): void {
    const code = error instanceof EngineExit ? error.code : 1;
    const reason =
      error instanceof EngineExit && code === 0
        ? undefined
        : new InternalError(`the embedded engine has ended by a fault${explain(error)}`, { cause: error });
    this.#end = reason === undefined ? { code } : { code, reason };
    if (reason !== undefined) this.#log.warn(`${reason.message}: ${String(error)}`);
    this.#closeAll();
    this.#valkey?.files.close();
    this.onExit(code, reason);
  }

  #closeAll(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#turn);
    this.#delivery.closeAll(this.#end?.reason);
  }
}
