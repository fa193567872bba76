/** Messages between main and Python: sizes, order, time, and what becomes of nonsense. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeMarshal, encodeMarshal } from "../../src/python/marshal.ts";
import type { PythonAssets } from "../../src/python/python-worker.ts";
import { type Answer, TestWorker, testAssets } from "./support.ts";
import { until } from "../support/waiting.ts";

let assets: PythonAssets;
let python: TestWorker;
beforeAll(async () => {
  assets = await testAssets();
  python = await TestWorker.start(assets);
});
afterAll(() => python.worker.terminate());

describe("messages", () => {
  // Around the slot's size, with the five bytes of the list and of the bytes object.
  it.each([0, 1, 65_509, 65_510, 65_511, 65_512, 65_520, 65_536, 131_072, 3_000_000])(
    "of %i bytes come back whole",
    async (size) => {
      const payload = Buffer.alloc(size, "abcdefg");
      python.post("echo", payload);
      const [, echo] = (await python.answer()) as [string, [string, Buffer]];
      expect(echo[1].equals(payload)).toBe(true);
    },
  );

  it("of 50 MB go both ways", async () => {
    const payload = Buffer.alloc(50_000_000, 7);
    python.post("echo", payload);
    const message = Buffer.from(await python.message());
    expect(message.length).toBeGreaterThan(payload.length);
    expect(message.subarray(-payload.length).equals(payload)).toBe(true);
  });

  it("keep their order, small and large mixed, when nobody waits", async () => {
    const sizes = Array.from({ length: 200 }, (_, i) => (i % 7 === 0 ? 70_000 : i * 10));
    for (const [index, size] of sizes.entries()) python.post("echo", index, Buffer.alloc(size));
    for (const index of sizes.keys()) expect((await python.answer())[1]).toHaveProperty("1", index);
  });

  it("keep their order the other way", async () => {
    python.post("run", "for i in range(300): bridge.send([i, bytes(70000 if i % 7 == 0 else i * 10)])");
    for (let i = 0; i < 300; i++) expect((await python.answer())[0]).toBe(i);
    expect((await python.answer())[0]).toBe("ok");
  });

  it("are answered in a call, whatever size", async () => {
    python.post(
      "run",
      "result = [len((bridge.send_and_receive(['call', bytes(n)]) or bridge.receive())[1]) for n in (1, 65536, 200000, 5)]",
    );
    for (const size of [5, 65_531, 1_000_000, 65_526]) {
      expect((await python.answer())[0]).toBe("call");
      python.post("reply", Buffer.alloc(size));
    }
    expect(await python.answer()).toEqual(["ok", [5, 65_531, 1_000_000, 65_526]]);
  });

  it("that do not come end a wait in time", async () => {
    const [kind, waited] = (await python.run(
      "import time\nt = time.monotonic()\nassert bridge.receive(50) is None\nresult = time.monotonic() - t",
    )) as [string, number];
    expect(kind).toBe("ok");
    expect(waited).toBeGreaterThan(0.045);
    expect(waited).toBeLessThan(5);
    expect(await python.value("result = [bridge.receive(0), bridge.receive(-5)]")).toEqual([null, null]);
  });

  it("of a fast sender do not pile up in main without end", async () => {
    await using sender = await TestWorker.start(assets);
    let received = 0;
    sender.onMessage = (bytes) => {
      received += bytes.length;
    };
    sender.post("run", "m = bytes(20_000_000)\nfor i in range(40): bridge.send(m)");
    // Main does not turn its event loop until the worker sends nothing more for a second: it waits, or has sent everything.
    const clock = new Int32Array(new SharedArrayBuffer(4));
    const before = process.memoryUsage.rss();
    let grown = 0;
    for (let quiet = 0; quiet < 10; ) {
      Atomics.wait(clock, 0, 0, 100);
      const now = process.memoryUsage.rss() - before;
      quiet = grown > 20_000_000 && now < grown + 1_000_000 ? quiet + 1 : 0;
      grown = Math.max(grown, now);
    }
    expect(grown).toBeLessThan(400_000_000);
    await until(() => received > 40 * 20_000_000, "everything arrives");
  });
});

describe("time", () => {
  it("of 20 000 small calls", async () => {
    await using worker = await TestWorker.start(assets);
    const reply = encodeMarshal(["reply", 1, 0, "value"]);
    const results: number[] = [];
    for (let round = 0; round < 3; round++) {
      let calls = 0;
      const answer = new Promise<Answer>((resolve) => {
        worker.onMessage = (bytes) => {
          if (bytes.length > 30) {
            calls++;
            worker.worker.post(reply);
          } else resolve(decodeMarshal(bytes) as Answer);
        };
      });
      worker.post(
        "run",
        `import time
start = time.perf_counter()
for i in range(20000):
    # on a busy machine the answer may take so long that it gives nothing
    bridge.send_and_receive(["call", i, "execute", "GET", "key"]) or bridge.receive()
result = time.perf_counter() - start`,
      );
      const [kind, seconds] = await answer;
      expect(kind).toBe("ok");
      expect(calls).toBe(20_000);
      results.push((Number(seconds) / 20_000) * 1e6);
    }
    console.log(`round trip of a call, in microseconds: ${results.map((us) => us.toFixed(1)).join(", ")}`);
  });
});

describe("nonsense", () => {
  it("on the device does not reach Python's other messages", async () => {
    await using worker = await TestWorker.start(assets);
    const garbage: Uint8Array[] = [];
    worker.onMessage = (bytes) => garbage.push(bytes);
    worker.post(
      "run",
      "import os\nfor n in (1, 3, 70000): os.write(bridge.fd, b'\\xff' + os.urandom(n - 1))\nbridge.send(['end'])",
    );
    await until(() => garbage.length === 5, "all of it arrives");
    expect(garbage.slice(0, 3).map((bytes) => bytes.length)).toEqual([1, 3, 70000]);
  });

  it("that main can not handle ends the worker, not main", async () => {
    await using worker = await TestWorker.start(assets);
    worker.onMessage = () => {
      throw new Error("what is this?");
    };
    worker.post("run", "bridge.send([1])");
    expect(await worker.gone).toMatch(/what is this\?/);
  });

  it("from main ends the worker", async () => {
    await using worker = await TestWorker.start(assets);
    worker.worker.post(Buffer.from("\xff\xfe\xfd"));
    expect(await worker.gone).toMatch(/loop ended/);
  });

  it("to a worker that is gone is ignored", async () => {
    const worker = await TestWorker.start(assets);
    await worker.worker.terminate();
    expect(await worker.gone).toBe("terminated");
    worker.post("echo");
    worker.worker.interrupt(3);
    worker.worker.clearInterrupt();
    await worker.worker.terminate();
  });
});

describe("the last messages", () => {
  it("of a worker that crashes still arrive", async () => {
    for (const size of [10, 100_000]) {
      await using worker = await TestWorker.start(assets);
      worker.post(
        "run",
        `for i in range(5): bridge.send([i, bytes(${size})])\nimport faulthandler\nfaulthandler._sigsegv()`,
      );
      for (let i = 0; i < 5; i++) expect((await worker.answer())[0]).toBe(i);
      expect(await worker.gone).toMatch(/beyond repair/);
    }
  });

  it("of a worker that was terminated do not", async () => {
    const worker = await TestWorker.start(assets);
    let messages = 0;
    worker.onMessage = () => {
      messages++;
    };
    worker.post("run", "while True: bridge.send(['x'])");
    await until(() => messages > 10, "some arrive");
    const done = worker.worker.terminate();
    const before = messages;
    await done;
    await worker.gone;
    expect(messages).toBe(before);
  });
});

describe("printing", () => {
  it("gives lines", async () => {
    await python.value(
      "import sys\nprint('one\\ntwo')\nprint('é', file=sys.stderr)\nprint('\\ud800')\nprint('no end', end='', flush=True)\nprint()",
    );
    await until(() => python.output.length >= 5, "the lines arrive");
    expect(python.output).toEqual(["stdout: one", "stdout: two", "stderr: é", "stdout: \\ud800", "stdout: no end"]);
  });

  it("has no other way", async () => {
    expect((await python.run("open('/dev/tty', 'rb')")).slice(0, 2)).toEqual(["error", "FileNotFoundError"]);
  });

  it("without end is bounded, and says so", async () => {
    await using worker = await TestWorker.start(assets);
    worker.post("run", "for i in range(200): print('x' * 100_000)\nprint('the end')");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
    await worker.answer();
    await worker.value("print('after')");
    await until(() => worker.output.includes("stdout: after"), "later lines arrive");
    expect(worker.output.join("").length).toBeLessThan(2_000_000);
    expect(Math.max(...worker.output.map((line) => line.length))).toBeLessThan(17_000);
    expect(worker.output.some((line) => /lines of output were dropped/.test(line))).toBe(true);
  });
});
