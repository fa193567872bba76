/** Memory, files, recursion, time: what scripts can use up, and that the worker lives on. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PythonAssets } from "../../src/python/python-worker.ts";
import { TestWorker, testAssets } from "./support.ts";
import { until } from "../support/waiting.ts";

let assets: PythonAssets;
let python: TestWorker;
const limits = { memoryLimitMb: 128, memfsLimitMb: 8 };
beforeAll(async () => {
  assets = await testAssets();
  python = await TestWorker.start(assets, limits);
});
afterAll(() => python.worker.terminate());

/** Runs code and expects that the worker still works afterwards; the next test gets a new one if it does not. */
async function outcome(code: string): Promise<string> {
  if (python.exited !== undefined) python = await TestWorker.start(assets, limits);
  const timer = setTimeout(() => void python.worker.terminate(), 60_000);
  try {
    const answer = await python.run(code);
    expect(await python.value("result = sum(range(100))")).toBe(4950);
    return answer.slice(0, 2).join(" ");
  } finally {
    clearTimeout(timer);
  }
}

describe("memory", () => {
  it.each([
    ["one large object", "b = bytearray(200_000_000)"],
    ["many small objects", "l = []\nwhile True: l.append([object() for _ in range(1000)])"],
    ["a growing list", "l = [0]\nwhile True: l = l * 2"],
    ["a growing text", "s = 'x'\nwhile True: s += s"],
    ["a large number", "result = 1 << 10**11"],
    ["a message that does not fit", "bridge.send(bytes(100_000_000))"],
  ])("ends in MemoryError: %s", async (_name, code) => {
    expect(await outcome(code)).toMatch(/^error (MemoryError|OverflowError)/);
    expect(python.worker.heapBytes).toBeLessThanOrEqual(128 * 1024 * 1024);
  });

  it("is reported", async () => {
    await using small = await TestWorker.start(assets, { memoryLimitMb: 256 });
    await small.run("result = 1");
    const before = small.worker.heapBytes;
    await small.run("result = len(bytearray(100_000_000))");
    expect(small.worker.heapBytes - before).toBeGreaterThan(50_000_000);
  });
});

describe("files", () => {
  const clean =
    "import os, shutil\nos.chdir('/')\nshutil.rmtree('/tmp/t', ignore_errors=True)\nos.makedirs('/tmp/t')\nos.chdir('/tmp/t')\n";
  it.each([
    ["write", "open('a', 'wb').write(bytes(20_000_000))"],
    ["many writes", "f = open('a', 'wb')\nwhile True: f.write(bytes(100_000))"],
    ["many files", "for i in range(200): open(f'f{i}', 'wb').write(bytes(100_000))"],
    ["truncate", "f = open('a', 'wb')\nf.truncate(20_000_000)"],
    ["os.truncate", "open('a', 'wb').close()\nos.truncate('a', 20_000_000)"],
    ["a seek beyond the end", "f = open('a', 'wb')\nf.seek(20_000_000)\nf.write(b'x')\nf.flush()"],
    ["pwrite", "fd = os.open('a', os.O_RDWR | os.O_CREAT)\nos.pwrite(fd, b'x', 20_000_000)"],
    [
      "files that are open and unlinked",
      "keep = []\nwhile True:\n f = open('a', 'w+b'); f.write(bytes(1_000_000)); f.flush(); keep.append(f); os.unlink('a')",
    ],
    ["copies", "open('a', 'wb').write(bytes(3_000_000))\nfor i in range(9): shutil.copyfile('a', f'b{i}')"],
    ["empty files", "for i in range(200_000): os.close(os.open(f'f{i}', os.O_CREAT))"],
    ["folders", "for i in range(200_000): os.mkdir(f'd{i}')"],
    ["symbolic links", "for i in range(200_000): os.symlink('x' * 4000, f'l{i}')"],
    ["long names", "for i in range(200_000): os.mkdir(str(i) * 40)"],
    [
      "mmap of a file",
      "import mmap\nf = open('a', 'w+b')\nf.truncate(20_000_000)\nm = mmap.mmap(f.fileno(), 20_000_000)",
    ],
  ])("run full: %s", async (_name, code) => {
    await python.run(clean);
    expect(await outcome(clean + code)).toMatch(/^error OSError/);
    // What was freed can be used again.
    expect(
      await outcome(`${clean}open('again', 'wb').write(bytes(5_000_000))\nresult = os.path.getsize('again')`),
    ).toBe("ok 5000000");
    await python.run(clean);
  });

  it("can not be pipes or sockets", async () => {
    expect(await outcome("import os\nos.pipe()")).toMatch(/^error OSError/);
    expect(await outcome("import socket\nsocket.socket()")).toMatch(/^error OSError/);
    expect(await outcome("import socket\nsocket.socketpair()")).toMatch(/^error/);
    expect(await outcome("import socket\nsocket.getaddrinfo('localhost', 80)")).toMatch(/^error gaierror/);
  });

  it("leave the worker its own device", async () => {
    expect(await outcome("import os\nos.closerange(3, 100)\nresult = 1")).toBe("ok 1");
    expect(await outcome("import os\nos.dup2(os.open('/tmp/x', os.O_CREAT), bridge.fd)")).toMatch(/^error OSError/);
    expect(await outcome("open('/dev/gears', 'rb')")).toMatch(/^error PermissionError/);
  });
});

describe("recursion", () => {
  const failing: [name: string, code: string][] = [
    ["a function", "def f(): return f()\nf()"],
    [
      "a function with a high limit",
      "import sys\nsys.setrecursionlimit(10**8)\ndef f(): return f()\ntry: f()\nfinally: sys.setrecursionlimit(1000)",
    ],
    ["through C", "def f(): return list(map(lambda _: f(), [0]))\nf()"],
    [
      "through C with a high limit",
      "import sys\nsys.setrecursionlimit(10**8)\ndef f(): return list(map(lambda _: f(), [0]))\ntry: f()\nfinally: sys.setrecursionlimit(1000)",
    ],
    ["__getattr__", "class A:\n def __getattr__(self, n): return getattr(self, n + 'x')\nA().a"],
    ["brackets", "eval('(' * 50_000 + ')' * 50_000)"],
    ["the parser", "eval('-' * 100_000 + '1')"],
    ["the compiler", "eval('1' + '+1' * 100_000)"],
    ["pickle", "import pickle\nl = []\nfor _ in range(100_000): l = [l]\npickle.dumps(l)"],
    ["marshal", "l = []\nfor _ in range(100_000): l = [l]\nbridge.send(l)"],
    ["regular expressions", "import re\nre.compile('(' * 10_000 + ')' * 10_000)"],
    ["deep copies", "import copy\nl = []\nfor _ in range(100_000): l = [l]\ncopy.deepcopy(l)"],
    ["generators", "def g(n): yield from g(n + 1)\nnext(g(0))"],
    ["coroutines", "async def f(): await f()\nf().send(None)"],
    ["exec", "s = 'exec(s)'\nexec(s)"],
  ];
  it.each(failing)("is an error, and not the end: %s", async (_name, code) => {
    expect(await outcome(code)).toMatch(/^error (RecursionError|MemoryError|SyntaxError|ValueError)/);
  });

  it.each([
    ["lists", "l = []\nfor _ in range(1_000_000): l = [l]\ndel l"],
    ["objects", "class A: pass\nl = None\nfor _ in range(300_000):\n a = A(); a.n = l; l = a\ndel l, a"],
    ["exceptions", "e = None\nfor _ in range(100_000):\n x = Exception(); x.__context__ = e; e = x\ndel e, x"],
    ["generators", "def g(x):\n yield x\nl = None\nfor _ in range(100_000):\n n = g(l); next(n); l = n\ndel l, n"],
    [
      "rings",
      "import gc\nl = []\nfirst = l\nfor _ in range(300_000): l = [l]\nfirst.append(l)\ndel l, first\ngc.collect()",
    ],
  ])("of destructors goes as deep as the data: %s", async (_name, code) => {
    expect(await outcome(code)).toBe("ok ");
  });
});

describe("interrupts", () => {
  const loops: [string, string][] = [
    ["an endless loop", "bridge.send(['go'])\nwhile True: pass"],
    ["an endless generator", "bridge.send(['go'])\nfor _ in iter(int, 1): pass"],
    ["a wait for a message", "bridge.send(['go'])\nbridge.receive()"],
    ["a wait with a time limit", "bridge.send(['go'])\nbridge.receive(100_000)"],
    ["a call", "reply = bridge.send_and_receive(['go'])\nwhile reply is None: reply = bridge.receive()"],
  ];
  it.each(loops)("stop %s", async (_name, code) => {
    for (let turn = 0; turn < 10; turn++) {
      python.post("run", code);
      expect(await python.answer()).toEqual(["go"]);
      const start = performance.now();
      python.worker.interrupt(7);
      expect((await python.answer()).slice(0, 2)).toEqual(["error", "Aborted"]);
      python.worker.clearInterrupt();
      expect(performance.now() - start).toBeLessThan(2000);
    }
    expect(await python.value("result = 5")).toBe(5);
  });

  it("without a target are only looked at", async () => {
    python.post("run", "for _ in range(20):\n  bridge.send(['go'])\n  result = bridge.receive()");
    for (let times = 0; times < 20; times++) {
      expect(await python.answer()).toEqual(["go"]);
      // The handler finds that nobody is meant and does not raise: the wait goes on.
      python.worker.interrupt(0);
      python.post("hello");
    }
    expect(await python.answer()).toEqual(["ok", ["hello"]]);
  });

  it("do not lose messages that were just received", async () => {
    // The handler raises wherever it strikes inside the bridge; every message must still arrive, in order.
    python.post(
      "run",
      `import signal
strikes = 0
def strike(number, frame):
    global strikes
    if frame.f_code.co_filename == "<regears>/bridge.py":
        strikes += 1
        raise Aborted()
signal.signal(signal.SIGINT, strike)
bridge.send(["go"])
got = []
while len(got) < 3000:
    try:
        message = bridge.receive()
    except Aborted:
        continue
    got.append(message[0])
signal.signal(signal.SIGINT, signal.SIG_IGN)
assert strikes > 0
result = got == list(range(3000))`,
    );
    expect(await python.answer()).toEqual(["go"]);
    for (let i = 0; i < 3000; i++) {
      python.post(i, Buffer.alloc(i % 100 === 0 ? 100_000 : 10));
      python.worker.interrupt(1);
      if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const answer = await python.answer();
    python.worker.clearInterrupt();
    await python.value("import regears.main, signal\nsignal.signal(signal.SIGINT, regears.main._on_sigint)");
    expect(answer).toEqual(["ok", true]);
  });

  it("can not stop C, but terminating can", async () => {
    const stuck = await TestWorker.start(assets);
    stuck.post("run", "bridge.send(['go'])\nsum(range(10**12))");
    await stuck.answer();
    const start = performance.now();
    await stuck.worker.terminate();
    expect(await stuck.gone).toBe("terminated");
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

describe("the end", () => {
  it("of the loop ends the worker, once", async () => {
    const worker = await TestWorker.start(assets);
    worker.post("exit");
    expect(await worker.gone).toMatch(/loop ended/);
    await worker.worker.terminate();
  });

  it("of the process is not for scripts", async () => {
    expect(await outcome("import os\nos._exit(3)")).toBe("error SystemExit");
    expect(await outcome("import os\nos.abort()")).toBe("error SystemExit");
    expect(await outcome("import sys\nsys.exit(3)")).toBe("error SystemExit");
  });

  it("by a signal or a crash is reported", async () => {
    for (const code of [
      "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
      "import faulthandler\nfaulthandler._sigsegv()",
      "import faulthandler\nfaulthandler._stack_overflow()",
    ]) {
      await using worker = await TestWorker.start(assets);
      worker.post("run", code);
      const answer = await worker.answer().catch(() => "dead");
      if (answer !== "dead") expect(answer[0]).toBe("error");
      else await until(() => worker.exited !== undefined, "the exit is told");
    }
  });
});
