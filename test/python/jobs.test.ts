/** Where a job is: it goes only ways that there are, and everything that is counted follows from it. */
import { describe, expect, it } from "vitest";
import {
  FlowJob,
  type FlowOutcome,
  type Interruptible,
  type Job,
  type JobPlace,
  ScriptJob,
} from "../../src/python/job.ts";
import { type JobHome, Jobs } from "../../src/python/jobs.ts";
import { LentThread } from "../../src/python/lent-thread.ts";
import { createShared, Word } from "../../src/python/channel.ts";
import type { PythonSession } from "../../src/python/python-session.ts";

const session: PythonSession = { id: "a", key: "1:a", user: "default", home: undefined, revive: () => undefined };

class TestFlow extends FlowJob {
  stops = 0;

  constructor(handle: number, takesThread = true) {
    super(handle, session, takesThread);
  }

  get name(): string {
    return `flow ${this.handle}`;
  }

  message(): never {
    throw new Error("nobody is told");
  }

  onStart(): void {}
  onResults(): void {}
  onWaiting(): void {}
  onPassed(): void {}
  onDone(_outcome: FlowOutcome): void {}
  onLost(): void {}

  protected onStop(): void {
    this.stops++;
  }
}

class TestScript extends ScriptJob {
  readonly registers = false;

  constructor(handle: number) {
    super(handle, session, false);
  }

  get name(): string {
    return `script ${this.handle}`;
  }

  message(): never {
    throw new Error("nobody is told");
  }

  onStart(): void {}
  onScript(): void {}
  onLost(): void {}
  protected onStop(): void {}
}

interface TestHome extends JobHome {
  readonly lentThread: LentThread;
  /** Python's side of the lent thread. */
  takeThread(): boolean;
}

function makeHome(): TestHome {
  const { words } = createShared();
  return {
    current: undefined,
    jobs: new Map<number, Job>(),
    nested: new Set<Interruptible>(),
    onTop: new Set<Job>(),
    lentThread: new LentThread(words),
    takeThread: () => Atomics.exchange(words, Word.lentThread, 0) === 1,
  };
}

function setUp(limit = 2, homeCount = 1) {
  const homes = Array.from({ length: homeCount }, makeHome);
  const [home = makeHome()] = homes;
  return { homes, home, jobs: new Jobs(limit, new Set(homes)) };
}

/** Brings a new job to a place. */
const TO: Record<JobPlace, (job: Job, jobs: Jobs<TestHome>, home: TestHome) => void> = {
  new: () => {},
  queued: (job, jobs) => jobs.enqueue(job),
  running: (job, jobs, home) => jobs.start(job, home),
  nested: (job, jobs, home) => jobs.nest(job, home),
  waiting: (job, jobs, home) => {
    jobs.start(job, home);
    jobs.wait(job, home);
  },
  resumed: (job, jobs, home) => {
    TO.waiting(job, jobs, home);
    jobs.resume(job, home);
  },
  ended: (job, jobs, home) => {
    jobs.start(job, home);
    jobs.end(job, home);
  },
};
const MOVES: Record<Exclude<JobPlace, "new">, (job: Job, jobs: Jobs<TestHome>, home: TestHome) => void> = {
  queued: (job, jobs) => jobs.enqueue(job),
  running: (job, jobs, home) => jobs.start(job, home),
  nested: (job, jobs, home) => jobs.nest(job, home),
  waiting: (job, jobs, home) => jobs.wait(job, home),
  resumed: (job, jobs, home) => jobs.resume(job, home),
  ended: (job, jobs, home) => jobs.end(job, home),
};
const WAYS: readonly (readonly [JobPlace, readonly JobPlace[]])[] = [
  ["new", ["queued", "running", "nested", "ended"]],
  ["queued", ["running", "ended"]],
  ["running", ["waiting", "ended"]],
  ["nested", ["waiting", "ended"]],
  ["waiting", ["resumed", "ended"]],
  ["resumed", ["waiting", "ended"]],
  ["ended", []],
];

/** All that is told of jobs. */
const seen = ({ jobs, home }: ReturnType<typeof setUp>) => ({
  running: jobs.running,
  queued: jobs.queue.map(({ handle }) => handle),
  waiting: [...jobs.waiting].map(({ handle }) => handle),
  current: home.current?.handle,
  started: [...home.jobs.keys()],
  nested: [...home.nested].map(({ handle }) => handle),
  onTop: [...home.onTop].map(({ handle }) => handle),
});

describe.each(WAYS)("a job that is %s", (from, ways) => {
  it.each(Object.keys(MOVES) as (keyof typeof MOVES)[])("goes to %s, or can not and changes nothing", (to) => {
    const world = setUp();
    const job = new TestFlow(1);
    TO[from](job, world.jobs, world.home);
    expect(job.place).toBe(from);
    expect(job.mayGo(to)).toBe(ways.includes(to));
    if (ways.includes(to)) {
      MOVES[to](job, world.jobs, world.home);
      expect(job.place).toBe(to);
      return;
    }
    const before = seen(world);
    expect(() => MOVES[to](job, world.jobs, world.home)).toThrow(`flow 1 can not become ${to}: it is ${from}`);
    expect(job.place).toBe(from);
    expect(seen(world)).toEqual(before);
  });
});

describe("what is told of jobs", () => {
  const nothing = { running: 0, queued: [], waiting: [], current: undefined, started: [], nested: [], onTop: [] };

  it("follows from their places", () => {
    const world = setUp();
    const { jobs, home } = world;
    const [flow, nested] = [new TestFlow(1), new TestFlow(2, false)];
    jobs.enqueue(flow);
    expect(seen(world)).toEqual({ ...nothing, queued: [1] });
    expect(flow.isStarted).toBe(false);
    expect(jobs.startNext(() => home)).toEqual({ job: flow, home, as: "alone" });
    expect(seen(world)).toEqual({ ...nothing, running: 1, current: 1, started: [1] });
    jobs.nest(nested, home);
    expect(seen(world)).toEqual({ ...nothing, running: 1, current: 1, started: [1, 2], nested: [2] });
    expect([jobs.isStarted(2), jobs.isStarted(3)]).toEqual([true, false]);
    jobs.wait(nested, home);
    jobs.wait(flow, home);
    expect(seen(world)).toEqual({ ...nothing, waiting: [2, 1], started: [1, 2] });
    jobs.resume(flow, home);
    jobs.resume(nested, home);
    // what goes on has its thread again, and not the interpreter
    expect(seen(world)).toEqual({ ...nothing, running: 1, started: [1, 2] });
    jobs.end(flow, home);
    jobs.end(nested, home);
    expect(seen(world)).toEqual(nothing);
  });

  it("follows from what runs on top of what", () => {
    const world = setUp(3);
    const { jobs, home } = world;
    const [beneath, middle, top] = [1, 2, 3].map((handle) => new TestFlow(handle));
    if (!beneath || !middle || !top) throw new Error("no jobs");
    jobs.start(beneath, home);
    for (const job of [middle, top]) {
      jobs.enqueue(job);
      expect(
        jobs.startNext(
          () => home,
          () => undefined,
        ),
      ).toBeUndefined();
      expect(
        jobs.startNext(
          () => home,
          () => "on top",
        ),
      ).toEqual({ job, home, as: "on top" });
    }
    const stacked = { ...nothing, running: 3, current: 1, started: [1, 2, 3], onTop: [2, 3] };
    expect(seen(world)).toEqual(stacked);
    const covered = (): boolean[] => [beneath, middle, top].map((job) => jobs.isCovered(job));
    expect(covered()).toEqual([false, false, false]);
    jobs.cover(middle, beneath);
    jobs.cover(top, middle);
    expect(covered()).toEqual([true, true, false]);
    // one that is given up has nothing to do with the others
    jobs.end(middle, home);
    expect(covered()).toEqual([false, true, false]);
    jobs.wait(top, home);
    expect(covered()).toEqual([false, false, false]);
    expect(seen(world)).toEqual({ ...nothing, running: 1, current: 1, waiting: [3], started: [1, 3] });
  });

  it("counts who had to wait, and not who started at once", () => {
    const { jobs, home } = setUp();
    const [first, second, third] = [1, 2, 3].map((handle) => new TestFlow(handle));
    if (!first || !second || !third) throw new Error("no jobs");
    jobs.enqueue(first);
    jobs.startNext(() => home);
    jobs.noteWait(first);
    expect([jobs.waits, jobs.oldestWaitMs]).toEqual([0, 0]);
    for (const job of [second, third]) {
      jobs.enqueue(job);
      jobs.noteWait(job);
    }
    expect(jobs.oldestWaitMs).toBeGreaterThan(0);
    jobs.startNext(() => home);
    expect(jobs.withdraw(third)).toBe(true);
    expect([jobs.waits, jobs.oldestWaitMs, third.place]).toEqual([2, 0, "ended"]);
    expect(jobs.withdraw(third)).toBe(false);
  });
});

describe("the queue", () => {
  it("is in the order of the handles, and what can not start lets others pass", () => {
    const { jobs, home } = setUp(1);
    for (const handle of [2, 5, 4, 3]) jobs.enqueue(new TestFlow(handle));
    expect(jobs.queue.map(({ handle }) => handle)).toEqual([2, 3, 4, 5]);
    expect(jobs.startNext(({ handle }) => (handle === 4 ? home : undefined))?.job.handle).toBe(4);
    // all threads are taken: only what needs none can start
    expect(jobs.startNext(() => home)).toBeUndefined();
    jobs.enqueue(new TestScript(6));
    expect(jobs.startNext(() => home)?.job.handle).toBe(6);
    expect(jobs.queue.map(({ handle }) => handle)).toEqual([2, 3, 5]);
  });
});

describe("a lent thread", () => {
  it("counts as used until it is taken back for somebody else", () => {
    const { jobs, homes } = setUp(1, 2);
    const [lender, other] = homes;
    if (!lender || !other) throw new Error("no homes");
    jobs.lendThread(lender);
    expect(lender.lentThread.isOut).toBe(true);
    // there is no other one to lend
    jobs.lendThread(other);
    expect(other.lentThread.isOut).toBe(false);
    jobs.enqueue(new TestFlow(1));
    expect(jobs.startNext(() => other)?.job.handle).toBe(1);
    expect(lender.lentThread.isOut).toBe(false);
    expect(lender.takeThread()).toBe(false);
    expect(lender.lentThread.settle()).toBe(false);
  });

  it("can not be taken back when Python has taken it", () => {
    const { jobs, homes } = setUp(1, 2);
    const [lender, other] = homes;
    if (!lender || !other) throw new Error("no homes");
    jobs.lendThread(lender);
    expect(lender.takeThread()).toBe(true);
    expect(lender.takeThread()).toBe(false);
    jobs.enqueue(new TestFlow(2));
    expect(jobs.startNext(() => other)).toBeUndefined();
    // the script's end tells of it, and its flow has the thread from then on
    expect(lender.lentThread.settle()).toBe(true);
    jobs.start(new TestFlow(1), lender);
    expect(jobs.startNext(() => other)).toBeUndefined();
    expect([jobs.running, lender.lentThread.settle()]).toEqual([1, false]);
  });
});

describe("why a job is stopped", () => {
  it("is the first cause, and before all others the first fault", () => {
    const job = new TestFlow(1);
    job.stop({ kind: "abort" });
    job.stop({ kind: "abort-unseen" });
    expect(job.stopCause).toEqual({ kind: "abort" });
    job.stop({ kind: "fault", error: "too long" });
    job.stop({ kind: "fault", error: "too large" });
    job.stop({ kind: "abort" });
    expect([job.stopCause, job.stops]).toEqual([{ kind: "fault", error: "too long" }, 5]);
  });
});
