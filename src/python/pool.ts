/**
 * The interpreters: boots workers as they are needed, gives them jobs one at a time, stops what does not stop, and
 * replaces what died.
 */
import type { Logger } from "../log.ts";
import { InternalError, ReplyError } from "../errors.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { Background } from "./background.ts";
import { Chunk, MOST_EXECUTIONS } from "./chunk.ts";
import { LAST_HANDLE } from "./chunk-memory.ts";
import { type Demand, missingIsolated, missingShared, wantsPlain, withoutRoom, withoutUse } from "./growth.ts";
import { flowOutcome, Home, scriptOutcome } from "./home.ts";
import { Interrupts } from "./interrupts.ts";
import { FlowJob, type Interruptible, Job, type JobPlace, ScriptJob, type ScriptOutcome } from "./job.ts";
import { Jobs } from "./jobs.ts";
import { Lodging } from "./lodging.ts";
import { BadMessage, type StackSample } from "./messages.ts";
import type { PoolOptions } from "./pool-options.ts";
import type { PythonRequest } from "./protocol.ts";
import type { ChunkEnd, ChunkOffer, Handlers, InterpreterFigures, PythonHost } from "./python-host.ts";
import type { PythonSession } from "./python-session.ts";
import { PythonWorker } from "./python-worker.ts";
import { type JobMessage, Reception } from "./reception.ts";
import { type PythonAssets, spinning } from "./started-worker.ts";
import { StackSampler } from "./stack-sampler.ts";
import { restartReason, Tally } from "./tally.ts";

/** Milliseconds of everybody being busy after which one more interpreter is booted. */
const GROW_AFTER_MS = 5;

/** The pool of interpreters. */
export class Pool implements PythonHost {
  readonly #options: PoolOptions;
  readonly #log: Logger;
  #assets: PythonAssets | undefined;
  readonly #homes = new Set<Home>();
  readonly #jobs: Jobs<Home>;
  readonly #interrupts: Interrupts;
  readonly #background: Background;
  readonly #lodging: Lodging;
  readonly #sampler = new StackSampler();
  /** Sessions to be made again as soon as there is an interpreter for them. */
  readonly #orphans = new Set<PythonSession>();
  #growTimer: NodeJS.Timeout | undefined;
  #stopped = false;
  #lastHome = 0;
  readonly #tally = new Tally();
  readonly #reception: Reception;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#jobs = new Jobs(options.threads, this.#homes);
    this.#lodging = new Lodging(this.#homes, options);
    this.#reception = new Reception({
      ...{ tally: this.#tally, log: this.#log },
      before: () => options.beforeMessage?.(),
      onJob: (home, job, message) => this.#onJob(home, job, message),
      onOpen: () => this.#drain(),
      onSample: (home, sample) => this.#sampler.take(home, sample),
      onFault: (home, kind, fault) => this.#endFor(home, kind, fault),
    });
    this.#interrupts = new Interrupts(options.abortGraceMs ?? 1_000, this.#homes, (code, home) =>
      this.#giveUp(code, home),
    );
    this.#background = new Background({
      ...{ homes: this.#homes, interrupts: this.#interrupts },
      onRun: (run) => options.onBackground?.(run),
      onFree: () => this.#drain(),
    });
  }

  async start(handlers: Handlers): Promise<void> {
    this.#reception.handlers = handlers;
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
    return this.#jobs.nextHandle();
  }

  get waiting(): ReadonlySet<Job> {
    return this.#jobs.waiting;
  }

  get isIdle(): boolean {
    return this.#jobs.queue.length === 0 && [...this.#homes].every((home) => !home.ready || home.hasNothing);
  }

  get booting(): boolean {
    return [...this.#homes].some((home) => !home.ready);
  }

  memory(): { total: number; peak: number; current: number } {
    return this.#tally.memory([...this.#homes].reduce((sum, home) => sum + home.worker.heapBytes, 0));
  }

  submit(job: Job): void {
    const home = this.#homeOf(job.session);
    if (job.session.home !== undefined && !home) {
      job.session.home = undefined;
      if (job.session.revive() === undefined) {
        // the script's variables, which the job needs, died together with the interpreter
        job.goTo("ended");
        queueMicrotask(() => job.onLost({ kind: "died", reason: "its session was lost" }));
        return;
      }
    }
    this.#jobs.enqueue(job);
    this.#drain();
    this.#jobs.noteWait(job);
  }

  takeBack(session: Pick<PythonSession, "home">): number {
    return this.#homeOf(session)?.worker.takeBack() ?? 0;
  }

  submitBegun(job: FlowJob): void {
    const home = this.#homeOf(job.session);
    if (!home) throw new InternalError(`${job.name} has begun in no interpreter`);
    if (job.takesThread) this.#jobs.start(job, home);
    else this.#jobs.nest(job, home);
    job.onStart();
  }

  carryOut(offer: ChunkOffer): Maybe<ChunkEnd> | undefined {
    const home = this.#homeOf(offer.session);
    if (!home?.takesChunk || !spinning || home.worker.isDelivering || !home.worker.chunk.setTable(offer.rows))
      return undefined;
    // without that, the code of events asks the main thread
    if (this.#options.beforeChunk?.(home, offer.owner) !== true && offer.events === 0) return undefined;
    if (this.#jobs.lastHandle + MOST_EXECUTIONS > LAST_HANDLE) return undefined;
    const handle = this.#jobs.takeHandles(MOST_EXECUTIONS);
    home.chunk = new Chunk(home, offer, handle);
    return andThen(home.chunk.run(), (end) => {
      this.#jobs.giveBackHandles(handle + end.begun, handle + MOST_EXECUTIONS - 1);
      return end;
    });
  }

  runNow(job: Job): void {
    const home = this.#homeOf(job.session) ?? this.#lodging.atOnce(job.session);
    if (!home) {
      this.submit(job);
      return;
    }
    this.#lodge(job.session, home);
    this.#jobs.nest(job, home);
    job.onStart();
    this.#options.beforeNested?.(home, job);
    home.post(["nested", job.message()]);
    this.#interrupts.makeRoom();
    home.worker.awaitSoon(() => !home.nested.has(job));
  }

  withdraw(job: Job): boolean {
    return this.#jobs.withdraw(job);
  }

  abort(job: Job): void {
    const home = this.#homeOf(job.session);
    if (home && this.#jobs.isCovered(job)) this.#abandon(job, home);
    else this.#interrupts.abort(job);
  }

  runCallback(callback: Interruptible, message: PythonRequest): void {
    const home = this.#homeOf(callback.session);
    if (!home) return;
    home.nested.add(callback);
    home.post(["nested", message]);
    this.#interrupts.makeRoom();
  }

  stopCallback(callback: Interruptible): void {
    this.#interrupts.interrupt(callback);
  }

  callbackEnded(callback: Interruptible): void {
    this.#homeOf(callback.session)?.nested.delete(callback);
    this.#interrupts.ended(callback);
  }

  /** Stops what runs in an interpreter and is no job's. */
  stopBackground(home: object): void {
    if (home instanceof Home && this.#homes.has(home)) this.#background.stop(home);
  }

  /** Ends an interpreter, which is replaced. */
  replace(home: object, why: string): void {
    if (!(home instanceof Home) || !this.#homes.has(home)) return;
    this.#log.warn(`a Python interpreter is replaced: ${why}`);
    this.#terminate(home, "unstoppable");
  }

  /** A job ends that can not go on, because of what runs on top of it. Its code is stopped when that has ended. */
  #abandon(job: Job, home: Home): void {
    home.post(["abort", job.handle]);
    // the end of a script's body, which would give the thread back, is not heard any more
    if (job instanceof ScriptJob) home.lentThread.reclaim();
    this.#end(job, home);
    job.onLost({ kind: "stubborn" });
    this.#drain();
  }

  #giveUp(code: Interruptible, home: Home): void {
    if (code instanceof Job && this.#jobs.isCovered(code)) {
      this.#abandon(code, home);
      return;
    }
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

  ask(session: PythonSession, number: number, question: PythonRequest): Promise<string> {
    const home = this.#homeOf(session);
    const gone = "ERR the session's interpreter is being replaced";
    return home ? home.ask(number, question) : Promise.reject(new ReplyError(gone));
  }

  tell(session: Pick<PythonSession, "home">, message: PythonRequest): void {
    this.#homeOf(session)?.post(message);
  }

  /** What there is to tell of the interpreters, for people who watch the server. */
  figures(): InterpreterFigures {
    const homes = [...this.#homes];
    const { posts, restarts } = this.#tally;
    const { running, queue, waits, waitMs, oldestWaitMs } = this.#jobs;
    return {
      interpreters: homes.map((home) => home.figures),
      limit: this.#limit,
      running,
      queued: queue.length,
      ...{ calls: this.#tally.callsWith(homes), posts, restarts, waits, waitMs, oldestWaitMs },
      denials: homes.reduce((sum, home) => sum + home.worker.denials, this.#tally.denials),
    };
  }

  sampleStack(session: Pick<PythonSession, "home">): Promise<StackSample | undefined> {
    const home = this.#homeOf(session);
    return home?.runsJob ? this.#sampler.sample(home) : Promise.resolve(undefined);
  }

  interpreterOf(session: Pick<PythonSession, "home">): { number: number; heapBytes: number } | undefined {
    return this.#homeOf(session)?.figures;
  }

  get #limit(): number {
    return this.#options.isolation?.maxInterpreters ?? this.#options.threads + 1;
  }

  #homeOf(session: Pick<PythonSession, "home">): Home | undefined {
    return session.home instanceof Home && this.#homes.has(session.home) ? session.home : undefined;
  }

  /** Starts whatever can start, oldest first. */
  #drain(): void {
    for (let next = this.#startNext(); next; next = this.#startNext()) {
      const { job, home, as } = next;
      this.#lodge(job.session, home);
      job.onStart();
      // the script makes no registrations and no other job waits: its flow may begin right after the body, without asking
      if (job instanceof ScriptJob && !job.registers && this.#jobs.queue.length === 0) this.#jobs.lendThread(home);
      home.give(job, as);
    }
    if (this.#options.isolation) this.#vacate(this.#options.isolation.inUse);
    this.#grow();
  }

  #startNext(): ReturnType<Jobs<Home>["startNext"]> {
    const isFree = (home: Home): boolean => home.idle || home.isOpen;
    if (this.#jobs.queue.length === 0 || ![...this.#homes].some(isFree)) return undefined;
    return this.#jobs.startNext(
      (job) => {
        const home = job.session.home === undefined ? this.#lodging.forJob(job) : this.#homeOf(job.session);
        return home && isFree(home) ? home : undefined;
      },
      (home) => home.claim(),
    );
  }

  #grow(): void {
    if (this.#missing() <= 0 && !this.#makeRoom()) return;
    this.#growTimer ??= setTimeout(() => {
      this.#growTimer = undefined;
      for (let missing = this.#missing(); missing > 0; missing--) this.#boot(wantsPlain(this.#demand));
    }, GROW_AFTER_MS);
  }

  /** For sessions that no interpreter takes: ends those that nobody needs. @returns whether there is room now */
  #makeRoom(): boolean {
    while (!this.#stopped) {
      const { unused, hopeless } = this.#options.isolation ? withoutUse(this.#demand) : withoutRoom(this.#demand);
      if (!unused) {
        const error = "ERR all Python interpreters have sessions with other packages";
        this.#refuse(({ session }) => hopeless.has(session), error);
        return false;
      }
      this.#forget(unused);
      this.#terminate(unused, "session ended");
      if (this.#missing() > 0) return true;
    }
    return false;
  }

  /** Ends scripts with an error that wait for an interpreter. */
  #refuse(isMeant: (job: Job) => boolean, error: string): void {
    const isNew = ({ session }: Job): boolean => session.home === undefined && !session.revive();
    for (const job of this.#jobs.queue.filter((one) => isNew(one) && isMeant(one))) {
      this.#jobs.withdraw(job);
      if (job instanceof ScriptJob) job.onScript({ ok: false, error, builders: 0 });
    }
  }

  /** With isolation: ends interpreters whose session has ended, and refuses scripts that could wait for ever for one. */
  #vacate(inUse: (session: PythonSession) => boolean): void {
    for (const home of [...this.#homes]) {
      const { tenant } = home;
      if (!tenant || !home.abandoned || inUse(tenant)) continue;
      if (this.#jobs.queue.some((job) => job.session === tenant)) continue;
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
    return { homes: [...this.#homes], threads, limit: this.#limit, queue: this.#jobs.queue, orphans: this.#orphans };
  }

  /** The session lives here from now on; `messages` make it again when it lived elsewhere before. */
  #settleIn(session: PythonSession, home: Home, messages: readonly PythonRequest[] | undefined): void {
    session.home = home;
    home.origins.lodged(session);
    if (!home.tenant) home.settle(session);
    this.#orphans.delete(session);
    if (!messages) return;
    home.sessions.add(session);
    for (const message of messages) home.post(message);
    session.onRevived?.();
  }

  /** Lets the session of a job that starts live in the interpreter, if it does not yet. */
  #lodge(session: PythonSession, home: Home): void {
    if (session.home !== home) this.#settleIn(session, home, session.revive());
  }

  #end(job: Job, home: Home): void {
    this.#jobs.end(job, home);
    home.origins.ended(job);
    this.#interrupts.ended(job);
    this.#options.onJobEnd(home, job);
  }

  #boot(isPlain = false): Home {
    const assets = isPlain ? (this.#assets?.plain ?? this.#assets) : this.#assets;
    if (!assets) throw new InternalError("the pool was not started");
    const home = new Home(
      { number: ++this.#lastHome, isPlain },
      this.#jobs,
      this.#options.mostOnTop,
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
          onOutput: ({ stream, text, job, session }) =>
            (this.#options.output ?? this.#log).info({ ...self.origin(job, session), stream }, text),
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
    home.chunk?.abandon();
    if (!this.#forget(home) || this.#stopped) return;
    this.#tally.countRestart(home.ending ?? restartReason(reason));
    const why = home.stubborn ? "another execution in it did not stop" : (home.fault ?? reason);
    if (home.ending === undefined) this.#log.error({ reason }, "a Python interpreter died and is replaced");
    for (const job of [...home.jobs.values()]) {
      this.#end(job, home);
      job.onLost(job === home.stubborn ? { kind: "stubborn" } : { kind: "died", reason: why });
    }
    for (const { reject } of home.questions.values())
      reject(new ReplyError(`ERR the Python interpreter died: ${reason}`));
    for (const session of home.sessions) {
      // its next event has found another interpreter already
      if (session.home !== home) continue;
      session.home = undefined;
      this.#orphans.add(session);
    }
    for (const job of this.#jobs.queue.filter(({ session }) => session.home === home)) {
      job.session.home = undefined;
      if (job.session.revive() !== undefined) continue;
      this.#jobs.withdraw(job);
      job.onLost({ kind: "died", reason });
    }
    // at once, and not when the next job asks for an interpreter: somebody has just waited for the one that died
    if (this.#homes.size === 0 || this.#jobs.queue.length > 0 || this.#orphans.size > 0)
      this.#boot(wantsPlain(this.#demand));
    this.#drain();
  }

  /** The pool has nothing to do with an interpreter any more. @returns false when that was so before */
  #forget(home: Home): boolean {
    if (!this.#homes.delete(home)) return false;
    home.isGone = true;
    this.#tally.countGone(home.worker);
    this.#background.onGone(home);
    this.#sampler.onGone(home);
    this.#options.onGone(home);
    return true;
  }

  #terminate(home: Home, why: string): void {
    home.ending = why;
    void home.worker.terminate();
  }

  /** Ends an interpreter that does what no honest one does. @param kind by which it is counted */
  #endFor(home: Home, kind: "message" | "flood" | "fatal", fault: string): void {
    if (home.ending !== undefined) return;
    home.fault = fault;
    this.#log.error({ interpreter: home.number, user: home.user, reason: fault }, "a Python interpreter is ended");
    this.#terminate(home, kind);
  }

  /** A message of a job about itself. @throws BadMessage when jobs of its kind can not send that, or not now */
  #onJob(home: Home, job: Job, message: JobMessage): void {
    if (message.op === "script" && job instanceof ScriptJob) this.#onScript(home, job, scriptOutcome(message.args));
    else if (message.op !== "script" && job instanceof FlowJob) this.#onFlow(home, job, message);
    else throw new BadMessage(`${message.op} of ${job.name}`);
  }

  #onCover(home: Home, job: Job, handle: number): void {
    const other = home.job(handle);
    if (other === job) throw new BadMessage("covers: a job can not be on top of itself");
    // undefined: it was given up already
    if (other) this.#jobs.cover(job, other);
  }

  #onScript(home: Home, job: ScriptJob, outcome: ScriptOutcome): void {
    const begun = outcome.ok && outcome.run?.begun === true;
    if (!home.lentThread.settle() && begun) throw new BadMessage("script: no thread was lent to begin its flow");
    this.#end(job, home);
    job.onScript(outcome);
    this.#drain();
  }

  #onFlow(home: Home, job: FlowJob, message: Exclude<JobMessage, { op: "script" }>): void {
    switch (message.op) {
      case "results":
        job.onPassed(message.args.passed);
        job.onResults(message.args.items);
        return;
      case "done":
        if (message.args.goesOn) home.goesOn();
        job.onResults(message.args.items);
        this.#end(job, home);
        job.onDone(flowOutcome(message.args));
        break;
      case "waiting":
        checkWay(job, "waiting");
        this.#jobs.wait(job, home);
        job.onPassed(message.args.passed);
        job.onWaiting(true);
        break;
      case "covers":
        this.#onCover(home, job, message.args.other);
        return;
      case "running":
        checkWay(job, "resumed");
        this.#jobs.resume(job, home);
        job.onWaiting(false);
        break;
    }
    this.#drain();
  }
}

/** Checks what an interpreter, which is a stranger, says of a job. @throws BadMessage when the job can not go to that place */
function checkWay(job: Job, place: JobPlace): void {
  if (!job.mayGo(place)) throw new BadMessage(`it can not become ${place}: it is ${job.place}`);
}
