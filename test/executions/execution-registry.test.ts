import { afterEach, describe, expect, it, vi } from "vitest";
import type { Execution } from "../../src/executions/execution.ts";
import { Ids, NODE_ID, parseId } from "../../src/executions/ids.ts";
import { ExecutionRegistry } from "../../src/executions/execution-registry.ts";

function setUp(limits: { count?: number; bytes?: number } = {}) {
  const registry = new ExecutionRegistry(new Ids(), {
    maxExecutions: () => limits.count ?? 3,
    maxResultBytes: () => limits.bytes ?? 0,
  });
  const finish = (options: { kept?: boolean; bytes?: number } = {}): Execution => {
    const execution = registry.create({ registered: false, kept: options.kept ?? true });
    execution.append(1, Buffer.alloc(options.bytes ?? 1));
    execution.finish("done");
    registry.settle(execution);
    return execution;
  };
  return { registry, finish, limits, ids: () => registry.list().map(({ number }) => number) };
}

describe("the registry of executions", () => {
  it("keeps as many finished ones as it may, the oldest go first", () => {
    const { finish, ids } = setUp();
    for (let i = 0; i < 5; i++) finish();
    expect(ids()).toEqual([2, 3, 4]);
  });

  it("counts reading as use", () => {
    const { finish, ids, registry } = setUp();
    const first = finish();
    finish();
    finish();
    registry.touch(first);
    finish();
    expect(ids()).toEqual([0, 2, 3]);
  });

  it("never evicts what is in progress", () => {
    const { finish, ids, registry } = setUp();
    registry.create({ registered: false, kept: true });
    for (let i = 0; i < 5; i++) finish();
    expect(ids()).toEqual([0, 3, 4, 5]);
  });

  it("forgets at once what is not kept", () => {
    const { finish, ids } = setUp();
    finish({ kept: false });
    expect(ids()).toEqual([]);
  });

  it("evicts when the limit is lowered", () => {
    const { finish, ids, limits, registry } = setUp();
    for (let i = 0; i < 3; i++) finish();
    limits.count = 1;
    registry.evict();
    expect(ids()).toEqual([2]);
  });

  describe("when MaxExecutions is lowered", () => {
    afterEach(() => void vi.useRealTimers());
    const setUpInProgress = (count: number) => {
      vi.useFakeTimers();
      const made = setUp();
      const finished = [made.finish(), made.finish()];
      const inProgress = Array.from({ length: count }, () => made.registry.create({ registered: false, kept: true }));
      made.limits.count = 1;
      made.registry.limitChanged();
      const end = (execution: Execution | undefined): void => {
        execution?.finish("done");
        if (execution) made.registry.settle(execution);
      };
      return { ...made, finished, inProgress, end };
    };

    it("what is in progress can be read when it has ended, and what has ended before can be for a moment", () => {
      const { end, ids, inProgress } = setUpInProgress(3);
      for (const execution of inProgress) end(execution);
      expect(ids()).toEqual([0, 1, 2, 3, 4]);
      vi.advanceTimersByTime(1_000);
      expect(ids()).toEqual([4]);
    });

    it("what runs for long takes nobody's place when it ends", () => {
      const { end, finish, ids, inProgress } = setUpInProgress(1);
      vi.advanceTimersByTime(5_000);
      expect(ids()).toEqual([1, 2]);
      finish();
      end(inProgress[0]);
      expect(ids()).toEqual([2, 3]);
      vi.advanceTimersByTime(1_000);
      expect(ids()).toEqual([2]);
    });

    it("new executions push others out meanwhile", () => {
      const { finish, ids } = setUpInProgress(1);
      finish();
      finish();
      expect(ids()).toEqual([2, 3, 4]);
      vi.advanceTimersByTime(1_000);
      expect(ids()).toEqual([2, 4]);
    });
  });

  it("keeps everything with a limit of 0", () => {
    const { finish, ids } = setUp({ count: 0 });
    for (let i = 0; i < 10; i++) finish();
    expect(ids()).toHaveLength(10);
  });

  it("bounds the bytes of the results too", () => {
    const { finish, ids, registry } = setUp({ count: 100, bytes: 1000 });
    finish({ bytes: 600 });
    finish({ bytes: 300 });
    expect(registry.resultBytes).toBe(900);
    finish({ bytes: 300 });
    expect(ids()).toEqual([1, 2]);
    finish({ bytes: 2000 });
    expect(ids()).toEqual([]);
    expect(registry.resultBytes).toBe(0);
  });

  it("gives the bytes back when an execution is dropped", () => {
    const { finish, registry } = setUp();
    registry.drop(finish({ bytes: 50 }));
    expect(registry.resultBytes).toBe(0);
    expect(registry.size).toBe(0);
  });

  it("has an aborted execution without results", () => {
    const { registry } = setUp();
    const execution = registry.create({ registered: false, kept: true });
    execution.append(2, Buffer.from(":1\r\n:2\r\n"));
    execution.finish("aborted");
    registry.settle(execution);
    expect(execution.reply()).toEqual({
      type: "array",
      items: [
        { type: "raw", chunks: [Buffer.from("*0\r\n")] },
        { type: "array", items: [] },
      ],
    });
  });
});

describe("ids", () => {
  it("count upwards, executions and registrations apart", () => {
    const ids = new Ids();
    expect(ids.nextExecution().id).toBe(`${NODE_ID}-0`);
    expect(ids.nextExecution().id).toBe(`${NODE_ID}-1`);
    ids.skip(3, 1);
    expect(ids.nextExecution().number).toBe(5);
    expect(ids.nextRegistration().id).toBe(`${NODE_ID}-1`);
    ids.atLeastRegistration(7);
    expect(ids.nextRegistration().number).toBe(8);
  });

  it.each([
    [`${NODE_ID}-12`, 12],
    [`${NODE_ID}-0012`, 12],
    [`${NODE_ID}- 12`, 12],
    [`${NODE_ID}-12abc`, 12],
    [`${NODE_ID}-`, undefined],
    [`${NODE_ID}-x`, undefined],
    [`${NODE_ID}`, undefined],
    [` ${NODE_ID}-1`, undefined],
    [`${"1".repeat(40)}-1`, undefined],
    ["", undefined],
    ["5", undefined],
  ])("are read from %j", (text, number) => {
    expect(parseId(Buffer.from(text))).toBe(number);
  });
});
