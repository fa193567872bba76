/** What becomes of a script that is aborted while its body runs. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ReplyError } from "../../src/errors.ts";
import { Ids } from "../../src/executions/ids.ts";
import { ExecutionRegistry } from "../../src/executions/execution-registry.ts";
import { ExecutionRunner } from "../../src/executions/execution-runner.ts";
import type { Declarations } from "../../src/executions/script.ts";
import { Session } from "../../src/executions/session.ts";
import { FlowJob, type Job, ScriptJob } from "../../src/python/job.ts";
import { FakeHost } from "../support/fake-host.ts";

/** Starts a body at once and leaves its end to the test. */
class BodyHost extends FakeHost {
  readonly bodies: ScriptJob[] = [];
  readonly flows: FlowJob[] = [];
  readonly aborted: Job[] = [];

  override submit(job: Job): void {
    this.jobs.enqueue(job);
    this.jobs.startNext(() => this.home);
    this.#started(job);
  }

  override submitBegun(job: Job): void {
    this.jobs.start(job, this.home);
    this.#started(job);
  }

  override abort(job: Job): void {
    this.aborted.push(job);
  }

  #started(job: Job): void {
    if (job instanceof ScriptJob) this.bodies.push(job);
    if (job instanceof FlowJob) this.flows.push(job);
    job.onStart();
  }
}

function setUp() {
  const host = new BodyHost();
  const ids = new Ids();
  const registry = new ExecutionRegistry(ids, { maxExecutions: () => 10, maxResultBytes: () => 0 });
  const off = { traceback: () => true, profile: () => false, shares: false };
  const runner = new ExecutionRunner({
    ...{
      host,
      registry,
      ids,
      settings: off,
      timeoutMs: () => 0,
      syncTimeoutMs: () => 0,
      maxWaiting: 10,
      maxResultBytes: 0,
    },
  });
  const run = (
    unblocking: boolean,
    connection = {},
    more: Partial<Declarations> = {},
    declare = (): Declarations => ({ count: 0, commit: () => undefined, discard: () => {}, ...more }),
  ) =>
    runner.runScript({
      code: Buffer.from(""),
      session: new Session(undefined, undefined, [], "default"),
      connection,
      declare,
      unblocking,
    });
  return { host, registry, runner, run };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a script whose body runs", () => {
  const flow = {
    ok: true,
    builders: 1,
    run: { steps: [], reader: "", kinds: [], begun: false },
  } as const;

  it("is shown as created for a moment, and aborted as such: its flow does not start", async () => {
    const { host, registry, runner, run } = setUp();
    run(true);
    const [execution] = runner.pending;
    if (!execution) throw new Error("no execution");
    const aborted = runner.abort(execution);
    await vi.advanceTimersByTimeAsync(5);
    expect([host.aborted.length, execution.status]).toEqual([0, "created"]);
    host.bodies[0]?.onScript(flow);
    await aborted;
    expect([host.aborted.length, host.flows.length, execution.status]).toEqual([0, 0, "aborted"]);
    expect(registry.list().map(({ status }) => status)).toEqual(["aborted"]);
  });

  it("is aborted as created although its flow has begun by itself", async () => {
    const { host, runner, run } = setUp();
    run(true);
    const [execution] = runner.pending;
    if (!execution) throw new Error("no execution");
    const aborted = runner.abort(execution);
    await vi.advanceTimersByTimeAsync(1);
    host.bodies[0]?.onScript({ ...flow, run: { ...flow.run, begun: true } });
    await vi.advanceTimersByTimeAsync(1);
    expect(host.aborted).toEqual(host.flows);
    host.flows[0]?.onDone({
      status: "done",
      errors: ["stopped"],
      totalMs: 0,
      readMs: 0,
      stepMs: [],
      passed: [],
      goesOn: false,
    });
    await aborted;
    expect([execution.status, execution.errors]).toEqual(["aborted", []]);
  });

  it("is interrupted when it goes on", async () => {
    const { host, runner, run } = setUp();
    run(true);
    const [execution] = runner.pending;
    if (!execution) throw new Error("no execution");
    const aborted = runner.abort(execution);
    await vi.advanceTimersByTimeAsync(100);
    expect([host.aborted, execution.status]).toEqual([host.bodies, "running"]);
    host.bodies[0]?.onScript({ ok: false, error: "stopped", builders: 0 });
    await aborted;
    expect([execution.status, execution.errors]).toEqual(["done", ["stopped"]]);
  });

  it("becomes an execution after a second when its client waits for it, and uses up an id only then", async () => {
    const { host, registry, run } = setUp();
    void run(false);
    void run(false);
    await vi.advanceTimersByTimeAsync(500);
    host.bodies[0]?.onScript({ ok: true, builders: 0, run: undefined });
    expect(registry.list()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(registry.list()).toMatchObject([{ number: 0, status: "running" }]);
    host.bodies[1]?.onScript({ ok: true, builders: 0, run: undefined });
    expect(registry.list()).toEqual([]);
  });

  it("that fails counts as an execution that failed only if it has become one", async () => {
    const { host, registry, run } = setUp();
    void run(false);
    void run(false);
    await vi.advanceTimersByTimeAsync(999);
    host.bodies[0]?.onScript({ ok: false, error: "no", builders: 0 });
    expect(registry.ended.failed).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    host.bodies[1]?.onScript({ ok: false, error: "no", builders: 0 });
    expect(registry.ended.failed).toBe(1);
  });
});

describe("a script that its client does not wait for", () => {
  const over = { ok: true, builders: 0, run: undefined } as const;
  const settled = async (reply: Promise<unknown>): Promise<unknown> => Promise.race([reply, "still waiting"]);

  it("answers its id when its body is over and what it registered is in force", async () => {
    const { host, run } = setUp();
    let inForce = (): void => {};
    const commit = (): Promise<void> => new Promise((resolve) => (inForce = resolve));
    const reply = run(true, {}, { count: 1, commit });
    host.bodies[0]?.onScript(over);
    await vi.advanceTimersByTimeAsync(100);
    expect(await settled(reply)).toBe("still waiting");
    inForce();
    expect(await reply).toMatchObject({ type: "bulk" });
  });

  it("answers its id after 200 ms, if that is before", async () => {
    const { host, run } = setUp();
    const reply = run(true);
    await vi.advanceTimersByTimeAsync(199);
    expect(await settled(reply)).toBe("still waiting");
    await vi.advanceTimersByTimeAsync(1);
    expect(await settled(reply)).toMatchObject({ type: "bulk" });
    host.bodies[0]?.onScript(over);
  });

  it("waits for the connection's earlier ones, and is refused when its turn has come", async () => {
    const { host, registry, run } = setUp();
    const connection = {};
    const declare = (text: string) => (): never => {
      throw new ReplyError(text);
    };
    void run(true, connection);
    const early = run(true, connection, {}, declare("early"));
    await vi.advanceTimersByTimeAsync(10);
    host.bodies[0]?.onScript(over);
    await vi.advanceTimersByTimeAsync(1);
    // nobody has its id yet: the command itself is refused
    expect(await early).toEqual({ type: "error", text: "early" });
    expect(registry.list()).toHaveLength(1);

    void run(true, connection);
    const late = run(true, connection, {}, declare("late"));
    await vi.advanceTimersByTimeAsync(300);
    expect(await late).toMatchObject({ type: "bulk" });
    expect(host.bodies).toHaveLength(2);
    host.bodies[1]?.onScript(over);
    await vi.advanceTimersByTimeAsync(1);
    expect(registry.get(3)?.reply()).toEqual({ type: "error", text: "late" });
    // without earlier ones there is no execution at all
    expect(() => run(true, connection, {}, declare("now"))).toThrow("now");
    expect(registry.list()).toHaveLength(3);
  });
});
