/** What becomes of a script that is aborted while its body runs. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Ids } from "../../../src/executions/ids.ts";
import { ExecutionRegistry } from "../../../src/executions/registry.ts";
import { ExecutionRunner } from "../../../src/executions/runner.ts";
import { Session } from "../../../src/executions/session.ts";
import type { PythonTask } from "../../../src/python/host.ts";
import { FakeHost } from "../../registrations/fake-host.ts";

/** Starts a body at once and leaves its end to the test. */
class BodyHost extends FakeHost {
  readonly bodies: PythonTask[] = [];
  readonly aborted: PythonTask[] = [];

  override submit(task: PythonTask): void {
    this.bodies.push(task);
    task.onStart();
  }

  override abort(task: PythonTask): void {
    this.aborted.push(task);
  }
}

function setUp() {
  const host = new BodyHost();
  const ids = new Ids();
  const registry = new ExecutionRegistry(ids, { maxExecutions: () => 10, maxResultBytes: () => 0 });
  const off = { traceback: () => true, profile: () => false };
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
  const run = (unblocking: boolean) =>
    runner.runScript({
      code: Buffer.from(""),
      session: new Session(undefined, undefined, [], "default"),
      declarations: { count: 0, commit: () => undefined, discard: () => {} },
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
    run: { mode: "async", steps: [], reader: "KeysReader", begun: false },
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
    expect([host.aborted.length, host.bodies.length, execution.status]).toEqual([0, 1, "aborted"]);
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
    expect(host.aborted).toEqual([host.bodies[1]]);
    host.bodies[1]?.onDone({ status: "done", errors: ["stopped"], totalMs: 0, readMs: 0, stepMs: [] });
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
});
