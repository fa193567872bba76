/**
 * The interpreters: boots workers as they are needed, gives them tasks one at a time, stops what does not stop, and
 * replaces what died.
 */
import type { Logger } from "../log.ts";
import { InternalError, ReplyError } from "../errors.ts";
import { Background } from "./background.ts";
import { type Demand, missingIsolated, missingShared, withoutRoom } from "./growth.ts";
import { flowOutcome, Home, scriptOutcome } from "./home.ts";
import type {
  Interruptible,
  InterpreterFigures,
  PythonHost,
  PythonSession,
  PythonTask,
  ScriptOutcome,
} from "./python-host.ts";
import { Interrupts } from "./interrupts.ts";
import { Lodging } from "./lodging.ts";
import type { MarshalValue } from "./marshal.ts";
import { BadMessage } from "./messages.ts";
import type { PoolOptions } from "./pool-options.ts";
import { PythonWorker } from "./python-worker.ts";
import { Reception, type TaskMessage } from "./reception.ts";
import type { PythonAssets } from "./snapshot.ts";
import { restartReason, Tally } from "./tally.ts";
import { Threads } from "./threads.ts";

/** Milliseconds of everybody being busy after which one more interpreter is booted. */
const GROW_AFTER_MS = 5;

/** The pool of interpreters. */
export class Pool implements PythonHost {
  readonly #options: PoolOptions;
  readonly #log: Logger;
  #assets: PythonAssets | undefined;
  readonly #homes = new Set<Home>();
  readonly #queue: PythonTask[] = [];
  readonly #started = new Map<number, PythonTask>();
  readonly #waiting = new Set<PythonTask>();
  readonly #interrupts: Interrupts;
  readonly #background: Background;
  readonly #lodging: Lodging;
  /** Sessions to be made again as soon as there is an interpreter for them. */
  readonly #orphans = new Set<PythonSession>();
  readonly #threads: Threads;
  #lastHandle = 0;
  #growTimer: NodeJS.Timeout | undefined;
  #stopped = false;
  #lastHome = 0;
  readonly #tally = new Tally();
  readonly #reception: Reception;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#threads = new Threads(options.threads, this.#homes);
    this.#lodging = new Lodging(this.#homes, options);
    this.#reception = new Reception({
      ...{ calls: options.calls, posts: options.posts, tally: this.#tally, log: this.#log },
      onTask: (home, task, message) => this.#onTask(home, task, message),
      onFault: (home, kind, fault) => this.#endFor(home, kind, fault),
    });
    this.#interrupts = new Interrupts(options.abortGraceMs ?? 1_000, (task, home) => this.#giveUp(task, home));
    this.#background = new Background({
      ...{ homes: this.#homes, interrupts: this.#interrupts },
      runsTask: (home) => this.#runsTask(home),
      onRun: (run) => options.onBackground?.(run),
      onFree: () => this.#drain(),
    });
  }

  async start(): Promise<void> {
    this.#assets = await this.#options.assets();
    await this.#boot().worker.ready;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#interrupts.stop();
    this.#background.close();
    clearTimeout(this.#growTimer);
    await Promise.all([...this.#homes].map((home) => home.worker.terminate()));
    this.#assets?.close();
    this.#assets = undefined;
  }

  nextHandle(): number {
    return ++this.#lastHandle;
  }

  /** The last handle that was given out. */
  get lastHandle(): number {
    return this.#lastHandle;
  }

  /** Does a task run under this handle, in whatever interpreter? */
  isStarted(handle: number): boolean {
    return this.#started.has(handle);
  }

  get booting(): boolean {
    return [...this.#homes].some((home) => !home.ready);
  }

  memory(): { total: number; peak: number; current: number } {
    return this.#tally.memory([...this.#homes].reduce((sum, home) => sum + home.worker.heapBytes, 0));
  }

  submit(task: PythonTask): void {
    const home = this.#homeOf(task.session);
    if (home?.begun === task.handle) {
      home.begun = 0;
      home.current = task;
      this.#begin(task, home);
      return;
    }
    if (task.session.home !== undefined && !this.#homeOf(task.session)) {
      task.session.home = undefined;
      if (task.session.revive() === undefined) {
        // what it was to go on with died together with its interpreter
        queueMicrotask(() => task.onLost("its session was lost"));
        return;
      }
    }
    this.#enqueue(task);
    this.#drain();
    if (!this.#started.has(task.handle)) this.#tally.queued(task);
  }

  /**
   * Puts a task into the queue in the order of the handles. A script's flow has the handle of its script, and so comes before
   * tasks that were submitted while the script ran and would otherwise take its place in the interpreter.
   */
  #enqueue(task: PythonTask): void {
    let at = this.#queue.length;
    while (at > 0 && (this.#queue[at - 1] as PythonTask).handle > task.handle) at--;
    this.#queue.splice(at, 0, task);
  }

  runNow(task: PythonTask): void {
    const home = this.#homeOf(task.session) ?? this.#lodging.atOnce(task.session);
    if (!home) {
      this.submit(task);
      return;
    }
    this.#begin(task, home);
    home.post(["nested", task.message()]);
    this.#interrupts.makeRoomFor(task);
  }

  withdraw(task: PythonTask): boolean {
    const at = this.#queue.indexOf(task);
    if (at < 0) return false;
    this.#queue.splice(at, 1);
    this.#tally.dequeued(task);
    return true;
  }

  abort(task: PythonTask): void {
    this.#interrupts.abort(task);
  }

  runCallback(callback: Interruptible, message: readonly MarshalValue[]): void {
    this.tell(callback.session, ["nested", message]);
    this.#interrupts.makeRoomFor(callback);
  }

  stopCallback(callback: Interruptible): void {
    this.#interrupts.interrupt(callback);
  }

  callbackEnded(callback: Interruptible): void {
    this.#interrupts.ended(callback);
  }

  /** Stops what runs in an interpreter and is no task's. */
  stopBackground(home: object): void {
    if (home instanceof Home && this.#homes.has(home)) this.#background.stop(home);
  }

  /** Ends an interpreter, which is replaced. */
  replace(home: object, why: string): void {
    if (!(home instanceof Home) || !this.#homes.has(home)) return;
    this.#log.warn(`a Python interpreter is replaced: ${why}`);
    this.#terminate(home, "unstoppable");
  }

  #runsTask(home: Home): boolean {
    if (home.questions.size > 0 || this.#interrupts.runsInside(home)) return true;
    // it may have been given a task and not come to it
    const begun = (task: PythonTask): boolean => task !== home.current || home.worker.turn !== home.turnBefore;
    return [...home.tasks.values()].some((task) => !this.#waiting.has(task) && begun(task));
  }

  #giveUp(code: Interruptible, home: Home): void {
    this.#log.warn(`${code.name} does not stop: its interpreter is replaced`);
    home.stubborn = code;
    this.#terminate(home, "unstoppable");
  }

  retain(session: PythonSession): void {
    this.#homeOf(session)?.sessions.add(session);
  }

  adopt(session: PythonSession): void {
    const messages = session.revive();
    if (session.home !== undefined || !messages) return;
    const home = this.#lodging.booted(session);
    if (home) {
      this.#settleIn(session, home, messages);
      return;
    }
    this.#orphans.add(session);
    this.#grow();
  }

  release(session: PythonSession): void {
    this.#homeOf(session)?.sessions.delete(session);
    this.#drain();
  }

  ask(session: PythonSession, question: readonly MarshalValue[], handle = this.nextHandle()): Promise<string> {
    const home = this.#homeOf(session);
    const gone = "ERR the session's interpreter is being replaced";
    return home ? home.ask(handle, question) : Promise.reject(new ReplyError(gone));
  }

  tell(session: Pick<PythonSession, "home">, message: readonly MarshalValue[]): void {
    this.#homeOf(session)?.post(message);
  }

  /** What there is to tell of the interpreters, for people who watch the server. */
  figures(): InterpreterFigures {
    const homes = [...this.#homes];
    const { posts, restarts, waits, waitMs, oldestWaitMs } = this.#tally;
    return {
      interpreters: homes.map((home) => home.figures),
      limit: this.#limit,
      running: this.#threads.running,
      queued: this.#queue.length,
      ...{ calls: this.#tally.callsWith(homes), posts, restarts, waits, waitMs, oldestWaitMs },
      denials: homes.reduce((sum, home) => sum + home.worker.denials, this.#tally.denials),
    };
  }

  get #limit(): number {
    return this.#options.isolation?.maxInterpreters ?? this.#options.threads + 1;
  }

  #homeOf(session: Pick<PythonSession, "home">): Home | undefined {
    return session.home instanceof Home && this.#homes.has(session.home) ? session.home : undefined;
  }

  /** Starts whatever can start, oldest first. */
  #drain(): void {
    for (let at = 0; at < this.#queue.length; ) {
      const task = this.#queue[at] as PythonTask;
      if (task.takesThread && !this.#threads.claim()) {
        at++;
        continue;
      }
      const home = task.session.home === undefined ? this.#lodging.forScript(task) : this.#homeOf(task.session);
      if (!home?.idle) {
        at++;
        continue;
      }
      this.#queue.splice(at, 1);
      this.#tally.dequeued(task);
      home.current = task;
      this.#begin(task, home);
      // the script makes no registrations and no other task waits: its flow may begin without asking, right after the body
      if (task.registers === false && this.#queue.length === 0) this.#threads.lend(home);
      home.turnBefore = home.worker.turn;
      home.post(task.message());
    }
    if (this.#options.isolation) this.#vacate(this.#options.isolation.inUse);
    this.#grow();
  }

  #grow(): void {
    if (this.#missing() <= 0 && !this.#makeRoom()) return;
    this.#growTimer ??= setTimeout(() => {
      this.#growTimer = undefined;
      for (let missing = this.#missing(); missing > 0; missing--) this.#boot();
    }, GROW_AFTER_MS);
  }

  /** For sessions that no interpreter takes: ends one that nobody needs. @returns whether there is room now */
  #makeRoom(): boolean {
    if (this.#options.isolation || this.#stopped) return false;
    const { unused, hopeless } = withoutRoom(this.#demand);
    if (unused) {
      this.#forget(unused);
      this.#terminate(unused, "session ended");
      return this.#missing() > 0;
    }
    this.#refuse(
      ({ session }) => hopeless.has(session),
      "ERR all Python interpreters have sessions with other packages",
    );
    return false;
  }

  /** Scripts that wait for an interpreter. */
  #refuse(isMeant: (task: PythonTask) => boolean, error: string): void {
    const isNew = ({ session }: PythonTask): boolean => session.home === undefined && !session.revive();
    for (const task of this.#queue.filter((one) => isNew(one) && isMeant(one))) {
      this.withdraw(task);
      task.onScript({ ok: false, error, builders: 0 });
    }
  }

  /** With isolation: ends interpreters whose session has ended, and refuses scripts that could wait for ever for one. */
  #vacate(inUse: (session: PythonSession) => boolean): void {
    for (const home of [...this.#homes]) {
      const { tenant } = home;
      if (!tenant || !home.abandoned || inUse(tenant)) continue;
      if (this.#queue.some((task) => task.session === tenant)) continue;
      tenant.home = undefined;
      this.#forget(home);
      this.#terminate(home, "session ended");
    }
    if (this.#homes.size < this.#limit || ![...this.#homes].every((home) => home.sessions.size > 0)) return;
    const error = `ERR all ${this.#limit} Python interpreters belong to sessions with registrations (max-interpreters)`;
    this.#refuse(() => true, error);
  }

  #missing(): number {
    if (this.#stopped || !this.#assets) return 0;
    return this.#options.isolation ? missingIsolated(this.#demand) : missingShared(this.#demand);
  }

  get #demand(): Demand {
    const { threads } = this.#options;
    return { homes: [...this.#homes], threads, limit: this.#limit, queue: this.#queue, orphans: this.#orphans };
  }

  /** The session lives here from now on; `messages` make it again when it lived elsewhere before. */
  #settleIn(session: PythonSession, home: Home, messages: readonly (readonly MarshalValue[])[] | undefined): void {
    session.home = home;
    if (!home.tenant) home.settle(session);
    this.#orphans.delete(session);
    if (!messages) return;
    home.sessions.add(session);
    for (const message of messages) home.post(message);
    session.onRevived?.();
  }

  #begin(task: PythonTask, home: Home): void {
    if (task.session.home !== home) this.#settleIn(task.session, home, task.session.revive());
    home.tasks.set(task.handle, task);
    this.#started.set(task.handle, task);
    if (task.takesThread) this.#threads.running++;
    task.onStart();
  }

  /** The task holds neither interpreter nor thread any more. */
  #end(task: PythonTask, home: Home, waiting: boolean): void {
    this.#interrupts.leftRoom(task);
    if (!waiting) {
      this.#interrupts.ended(task);
      home.tasks.delete(task.handle);
      this.#started.delete(task.handle);
      this.#options.onTaskEnd(home, task);
    }
    if (home.current === task) home.current = undefined;
  }

  #boot(): Home {
    const assets = this.#assets;
    if (!assets) throw new InternalError("the pool was not started");
    const home = new Home(
      ++this.#lastHome,
      this,
      (self) =>
        new PythonWorker({
          assets,
          memoryLimitMb: this.#options.memoryLimitMb,
          memfsLimitMb: this.#options.memfsLimitMb,
          onMessage: (bytes) => this.#reception.take(self, bytes),
          mayTake: () => self.mayCall,
          onEngineUsed: (owes) => this.#options.onEngineUsed?.(owes),
          onEngineBroken: () => this.#options.onEngineBroken?.(),
          onFlood: (what) => this.#endFor(self, "flood", what),
          onOutput: (stream, text) => (this.#options.output ?? this.#log).info({ stream }, text),
          onExit: (reason) => this.#onExit(self, reason),
        }),
    );
    this.#homes.add(home);
    home.worker.ready.then(
      () => {
        home.ready = true;
        for (const session of [...this.#orphans]) this.adopt(session);
        this.#drain();
      },
      () => {},
    );
    return home;
  }

  #onExit(home: Home, reason: string): void {
    if (!this.#forget(home) || this.#stopped) return;
    this.#tally.countRestart(home.ending ?? restartReason(reason));
    const why = home.stubborn ? "another execution in it did not stop" : (home.fault ?? reason);
    if (home.ending === undefined) this.#log.error({ reason }, "a Python interpreter died and is replaced");
    for (const task of [...home.tasks.values()]) {
      if (this.#isRunning(task)) this.#threads.running--;
      this.#waiting.delete(task);
      this.#end(task, home, false);
      task.onLost(task === home.stubborn ? undefined : why);
    }
    for (const { reject } of home.questions.values())
      reject(new ReplyError(`ERR the Python interpreter died: ${reason}`));
    for (const session of home.sessions) {
      session.home = undefined;
      this.#orphans.add(session);
    }
    for (const task of this.#queue.filter((queued) => queued.session.home === home)) {
      task.session.home = undefined;
      if (task.session.revive() !== undefined) continue;
      this.withdraw(task);
      task.onLost(reason);
    }
    // at once, and not when it is needed: somebody just waited for this one
    if (this.#homes.size === 0 || this.#queue.length > 0 || this.#orphans.size > 0) this.#boot();
    this.#drain();
  }

  /** @returns false when it was forgotten before */
  #forget(home: Home): boolean {
    if (!this.#homes.delete(home)) return false;
    this.#tally.countGone(home.worker);
    this.#background.onGone(home);
    this.#options.onGone(home);
    return true;
  }

  #terminate(home: Home, why: string): void {
    home.ending = why;
    void home.worker.terminate();
  }

  #isRunning(task: PythonTask): boolean {
    return task.takesThread && !this.#waiting.has(task);
  }

  /** Ends an interpreter that does what no honest one does. @param kind by which it is counted */
  #endFor(home: Home, kind: "message" | "flood" | "fatal", fault: string): void {
    if (home.ending !== undefined) return;
    home.fault = fault;
    this.#log.error({ interpreter: home.number, user: home.user, reason: fault }, "a Python interpreter is ended");
    this.#terminate(home, kind);
  }

  /** A task tells of itself. */
  #onTask(home: Home, task: PythonTask, message: TaskMessage): void {
    if ((message.op === "script") !== (task.kind === "script")) throw new BadMessage(`${message.op} of a ${task.kind}`);
    switch (message.op) {
      case "script":
        this.#endScript(task, home, scriptOutcome(message.args));
        break;
      case "results":
        task.onResults(message.args.items);
        return;
      case "done":
        task.onResults(message.args.items);
        this.#finish(task, home);
        task.onDone(flowOutcome(message.args));
        break;
      case "waiting":
        if (this.#waiting.has(task)) throw new BadMessage("waiting: it waits already");
        if (this.#isRunning(task)) this.#threads.running--;
        this.#waiting.add(task);
        this.#end(task, home, true);
        task.onWaiting(true);
        break;
      case "running":
        if (!this.#waiting.delete(task)) throw new BadMessage("running: it did not wait");
        if (task.takesThread) this.#threads.running++;
        task.onWaiting(false);
        break;
    }
    this.#drain();
  }

  #endScript(task: PythonTask, home: Home, outcome: ScriptOutcome): void {
    const begun = outcome.ok && outcome.run?.begun === true;
    if (!this.#threads.endLoan(home) && begun) throw new BadMessage("script: no thread was lent to begin its flow");
    this.#finish(task, home);
    if (begun) home.begun = task.handle;
    task.onScript(outcome);
  }

  #finish(task: PythonTask, home: Home): void {
    if (this.#isRunning(task)) this.#threads.running--;
    this.#waiting.delete(task);
    this.#end(task, home, false);
  }
}
