/** What a running server shows of itself: RG.INFO, INFO regears, the monitoring port, the log of slow executions. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, callOnce, connectClient } from "../support/client.ts";
import { type RunningRegears, runRegears, startRegears } from "../support/regears.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/waiting.ts";

/** The lines of RG.INFO by name. */
async function info(client: Client): Promise<Map<string, string>> {
  const text = (await client.call("RG.INFO")) as string;
  return fields(text);
}

const fields = (text: string): Map<string, string> =>
  new Map(
    text
      .split("\r\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]),
  );

interface Page {
  readonly types: Map<string, string>;
  readonly values: Map<string, number>;
}

/** Reads Prometheus' format, and refuses whatever Prometheus would refuse. */
function parsePage(text: string): Page {
  expect(text.endsWith("\n")).toBe(true);
  const page: Page = { types: new Map(), values: new Map() };
  const helped = new Set<string>();
  for (const line of text.split("\n").slice(0, -1)) {
    const comment = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
    if (comment) {
      const [, kind, name = "", rest = ""] = comment;
      const seen = kind === "HELP" ? helped.has(name) : page.types.has(name);
      expect(seen, `${line}: twice`).toBe(false);
      if (kind === "HELP") helped.add(name);
      else page.types.set(name, rest);
      continue;
    }
    const sample = /^([a-z_]+)(\{[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="(?:[^"\\\n]|\\.)*")*\})? (\S+)$/.exec(line);
    const [, name = "", labels = "", value = ""] = sample ?? [];
    const family = [...page.types.keys()].at(-1) ?? "";
    const suffixes = page.types.get(family) === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
    expect(
      suffixes.map((suffix) => family + suffix),
      `${line}: its type is not before it`,
    ).toContain(name);
    expect(helped).toContain(family);
    expect(Number.isFinite(Number(value)), line).toBe(true);
    expect(page.values.has(name + labels), `${line}: twice`).toBe(false);
    page.values.set(name + labels, Number(value));
  }
  for (const [name, type] of page.types) {
    expect(["gauge", "counter", "histogram"]).toContain(type);
    expect(name.endsWith("_total"), name).toBe(type === "counter");
  }
  return page;
}

describe("a server with a monitoring port", () => {
  let server: RunningRegears;
  let client: Client;
  let monitoring = "";

  beforeAll(async () => {
    const port = await freePort();
    monitoring = `http://127.0.0.1:${port}`;
    server = await startRegears(["--metrics-port", String(port), "--slow-execution-ms", "200"]);
    client = await connectClient(server.port);
  });
  afterAll(async () => {
    client.close();
    expect(await server.stop()).toBe(0);
  });

  const page = async (): Promise<Page> => {
    const response = await fetch(`${monitoring}/metrics`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toContain("text/plain; version=0.0.4");
    return parsePage(await response.text());
  };
  const difference = async (work: () => Promise<unknown>): Promise<(name: string) => number> => {
    const before = await page();
    await work();
    const after = await page();
    return (name) => (after.values.get(name) ?? 0) - (before.values.get(name) ?? 0);
  };

  it("is healthy", async () => {
    const response = await fetch(`${monitoring}/healthz`);
    expect([response.status, await response.text()]).toEqual([200, "ready\n"]);
    expect((await page()).values.get("regears_ready")).toBe(1);
  });

  it("knows two pages, to be read only", async () => {
    expect((await fetch(`${monitoring}/`)).status).toBe(404);
    expect((await fetch(`${monitoring}/metrics`, { method: "POST", body: "x" })).status).toBe(405);
  });

  it("counts executions by how they ended, and keeps their results' bytes", async () => {
    const grown = await difference(async () => {
      const script = "GB('ShardsIDReader').map(lambda r: 'a' * 5000).run()";
      const id = (await client.call("RG.PYEXECUTE", script, "UNBLOCKING")) as string;
      await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').map(lambda r: 1 / 0).run()");
      await client.call("RG.GETRESULTSBLOCKING", id);
    });
    expect(grown('regears_executions_ended_total{outcome="done"}')).toBe(1);
    expect(grown('regears_executions_ended_total{outcome="failed"}')).toBe(1);
    expect(grown('regears_executions{status="done"}')).toBe(1);
    expect(grown("regears_results_bytes")).toBeGreaterThanOrEqual(5000);
  });

  it("counts the executions that wait for coroutines and futures", async () => {
    const script = "async def step(r): await createFuture()\nGB('ShardsIDReader').map(step).run()";
    const before = await info(client);
    expect(before.get("executions_waiting")).toBe("0");
    const ids = [];
    for (let n = 0; n < 3; n++) ids.push((await client.call("RG.PYEXECUTE", script, "UNBLOCKING")) as string);
    await expect.poll(async () => (await page()).values.get("regears_executions_waiting")).toBe(3);
    expect((await info(client)).get("executions_running")).toBe("3");
    for (const id of ids) await client.call("RG.ABORTEXECUTION", id);
    expect((await info(client)).get("executions_waiting")).toBe("0");
  });

  it("counts time events by how far they are, and their calls", async () => {
    const before = await info(client);
    await client.call("RG.PYEXECUTE", "registerTE(3600, lambda: 1, 'later')\nregisterTE(1, lambda: 1, 'soon')");
    const after = await info(client);
    const more = (name: string, now: Map<string, string>): number => Number(now.get(name)) - Number(before.get(name));
    expect([more("time_events_waiting", after), more("time_event_calls_total", after)]).toEqual([2, 0]);
    await until(async () => more("time_event_calls_total", await info(client)) > 0);
    await client.call("DEL", "later", "soon");
    await until(async () => more("time_events_waiting", await info(client)) === 1);
    expect((await page()).values.get('regears_time_events{state="running"}')).toBe(0);
  });

  it("counts the calls of Python by operation", async () => {
    const grown = await difference(() => client.call("RG.PYEXECUTE", "[execute('PING') for _ in range(25)]"));
    expect(grown('regears_calls_total{operation="execute"}')).toBe(25);
  });

  it("counts what the sandbox refuses", async () => {
    const grown = await difference(() =>
      client.call("RG.PYEXECUTE", "import os\nfor _ in range(3):\n  try: os.pipe()\n  except OSError: pass"),
    );
    expect(grown("regears_sandbox_denials_total")).toBe(3);
  });

  it("shows the interpreters and their memory", async () => {
    await expect.poll(async () => (await info(client)).get("interpreters_booting"), { timeout: 10_000 }).toBe("0");
    const { values } = await page();
    const memory = [...values].filter(([name]) => name.startsWith("regears_interpreter_memory_bytes{"));
    expect(memory.length).toBeGreaterThan(0);
    for (const [, bytes] of memory) expect(bytes).toBeGreaterThan(10 * 1024 * 1024);
    expect(values.get("regears_interpreters_limit")).toBe(4);
  });

  it("shows what waits, and for how long", async () => {
    const spin = "import time\ntime.sleep(30)";
    const ids: string[] = [];
    for (let i = 0; i < 7; i++) ids.push((await callOnce(server.port, "RG.PYEXECUTE", spin, "UNBLOCKING")) as string);
    await expect.poll(async () => (await info(client)).get("interpreters_busy"), { timeout: 20_000 }).toBe("4");
    const now = await info(client);
    expect(now.get("queue_length")).toBe("3");
    expect(Number(now.get("queue_oldest_seconds"))).toBeGreaterThan(0);
    const grown = await difference(() => Promise.all(ids.map((id) => client.call("RG.ABORTEXECUTION", id))));
    expect(grown("regears_queue_length")).toBe(-3);
    expect(grown("regears_queue_waits_total")).toBe(3);
    expect(grown("regears_queue_wait_seconds_total")).toBeGreaterThan(0);
  });

  it("tells why an interpreter was replaced", async () => {
    const grown = await difference(async () => {
      const id = await client.call("RG.PYEXECUTE", "sum(range(10 ** 13))", "UNBLOCKING");
      await expect.poll(async () => (await info(client)).get("executions_running")).toBe("1");
      await client.call("RG.ABORTEXECUTION", id as string);
      await expect.poll(async () => (await info(client)).get("interpreter_restarts_total_unstoppable")).not.toBe("0");
    });
    expect(grown('regears_interpreter_restarts_total{reason="unstoppable"}')).toBe(1);
    expect(grown('regears_interpreter_restarts_total{reason="sandbox"}')).toBe(0);
  });

  it("shows each registration with its failures", async () => {
    const code = "GB('CommandReader').map(lambda r: int(r[1])).register(trigger='number', mode='sync')";
    await client.call("RG.PYEXECUTE", code, "ID", "numbers");
    const [registration] = (await client.call("RG.DUMPREGISTRATIONS")) as [string, string][];
    const labels = `{registration="${registration?.[1]}",reader="CommandReader",session="numbers",trigger="number"}`;
    await client.call("RG.TRIGGER", "number", "5");
    await expect(client.call("RG.TRIGGER", "number", "five")).rejects.toThrow("invalid literal");
    const { values } = await page();
    expect(values.get(`regears_registration_triggered_total${labels}`)).toBe(2);
    expect(values.get(`regears_registration_failed_total${labels}`)).toBe(1);
    const durations = `regears_registration_duration_seconds`;
    expect(values.get(`${durations}_count${labels}`)).toBe(2);
    expect(values.get(`${durations}_bucket${labels.replace("}", ',le="+Inf"}')}`)).toBe(2);
    expect(values.get(`${durations}_bucket${labels.replace("}", ',le="60"}')}`)).toBe(2);
    expect(values.get("regears_registrations_failing")).toBe(1);
    expect(values.get('regears_registrations{reader="CommandReader"}')).toBe(1);
    await client.call("RG.UNREGISTERALL");
    expect([...(await page()).values.keys()].filter((key) => key.includes("registration="))).toEqual([]);
  });

  it("logs slow executions with their session and registration", async () => {
    const code = "import time\nGB('CommandReader').foreach(lambda r: time.sleep(float(r[1]))).register(trigger='nap')";
    await client.call("RG.PYEXECUTE", code, "ID", "napping", "DESCRIPTION", "takes naps");
    const grown = await difference(async () => {
      await client.call("RG.TRIGGER", "nap", "0");
      await client.call("RG.TRIGGER", "nap", "0.3");
    });
    expect(grown("regears_executions_slow_total")).toBe(1);
    const line =
      server
        .output()
        .split("\n")
        .findLast((text) => text.includes("slow execution")) ?? "{}";
    const entry = JSON.parse(line) as Record<string, unknown>;
    expect(entry).toMatchObject({ level: "warning", session: "napping", description: "takes naps" });
    const [registration] = (await client.call("RG.DUMPREGISTRATIONS")) as [string, string][];
    expect(entry.registration).toBe(registration?.[1]);
    expect(entry.milliseconds).toBeGreaterThanOrEqual(300);
    await client.call("RG.CONFIGSET", "SlowExecutionMs", "0");
    expect((await difference(() => client.call("RG.TRIGGER", "nap", "0.3")))("regears_executions_slow_total")).toBe(0);
    await client.call("RG.UNREGISTERALL");
  });

  it("answers INFO regears with what RG.INFO answers", async () => {
    const section = fields((await client.call("INFO", "regears")) as string);
    const own = await info(client);
    expect([...section.keys()]).toEqual([...own.keys()]);
    expect(own.get("state")).toBe("ready");
    expect(own.get("engine")).toBe("embedded");
    expect(Number(own.get("clients"))).toBe(1);
    expect(await client.call("INFO", "server")).not.toContain("# regears");
    await expect(client.call("RG.INFO", "more")).rejects.toThrow("wrong number of arguments");
  });
});

describe("a server that starts", () => {
  it("says that it is starting, and ends with 1 when the monitoring port is taken", async () => {
    const [port, monitoring] = [await freePort(), await freePort()];
    const args = ["--port", String(port), "--metrics-port", String(monitoring)];
    const first = runRegears(args);
    const health = async (): Promise<string> => {
      try {
        const response = await fetch(`http://127.0.0.1:${monitoring}/healthz`);
        return `${response.status} ${await response.text()}`;
      } catch {
        return "";
      }
    };
    await expect.poll(health, { interval: 5, timeout: 20_000 }).toBe("503 the server is starting\n");
    await expect.poll(health, { timeout: 20_000 }).toBe("200 ready\n");
    const second = runRegears(["--port", String(await freePort()), "--metrics-port", String(monitoring)]);
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(String(monitoring));
    first.child.kill("SIGTERM");
    expect(await first.exited).toBe(0);
  });
});
