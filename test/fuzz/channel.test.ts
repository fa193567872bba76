/** Messages of random sizes between two real threads: each arrives whole, and in its turn. */
import { MessageChannel, Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { createShared, Receiver, Sender, SMALL_BYTES, Word } from "../../src/python/channel.ts";
import { FUZZ_TIMEOUT_MS, FUZZ_SECONDS } from "./support.ts";

const CHANNEL = new URL("../../dist/python/channel.js", import.meta.url).href;

/** Takes messages like the worker of an interpreter, which never returns to its event loop, and sends each back. */
const ECHO = `
const { parentPort, workerData, receiveMessageOnPort } = require("node:worker_threads");
import(${JSON.stringify(CHANNEL)}).then(({ Receiver, Sender, Word }) => {
  const { shared, port } = workerData;
  const receiver = new Receiver(shared, "inbox");
  const sender = new Sender(shared, "outbox", port);
  for (;;) {
    const seen = Atomics.load(shared.words, Word.signal);
    const place = receiver.oldest;
    let message;
    if (place === "ring") {
      message = Uint8Array.from(receiver.peek());
      receiver.release();
    } else if (place === "port") {
      message = receiveMessageOnPort(port).message;
      receiver.countPortMessage();
    } else {
      if (Math.random() < 0.5) Atomics.wait(shared.words, Word.signal, seen);
      continue;
    }
    if (message.length === 1) process.exit(0);
    if (sender.fits(message.length)) {
      sender.sendByRing(message);
      if (Atomics.exchange(shared.words, Word.doorbell, 1) === 0) port.postMessage(null);
    } else sender.sendByPort(message);
  }
});`;

describe("the channel between two threads", () => {
  it("loses nothing and keeps the order", { timeout: FUZZ_TIMEOUT_MS }, async () => {
    const shared = createShared();
    const { port1, port2 } = new MessageChannel();
    const worker = new Worker(ECHO, { eval: true, workerData: { shared, port: port2 }, transferList: [port2] });
    const sender = new Sender(shared, "inbox", port1);
    const receiver = new Receiver(shared, "outbox");
    const sizes: number[] = [];
    let [sent, received, wrong] = [0, 0, ""];
    const check = (bytes: Uint8Array): void => {
      const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
      const whole =
        bytes.length === sizes[received % WINDOW] && bytes.subarray(4).every((byte) => byte === number % 251);
      if (number !== received || !whole) wrong ||= `message ${received} came as ${number}, ${bytes.length} bytes`;
      received++;
    };
    const takeRing = (): void => {
      for (let message = receiver.peek(); message !== undefined; message = receiver.peek()) {
        const copy = Uint8Array.from(message);
        receiver.release();
        check(copy);
      }
    };
    port1.on("message", (message: Uint8Array | null) => {
      if (message === null) Atomics.store(shared.words, Word.doorbell, 0);
      takeRing();
      if (message === null) return;
      receiver.countPortMessage();
      check(message);
    });
    const post = (bytes: Uint8Array): void => {
      if (sender.fits(bytes.length)) sender.sendByRing(bytes);
      else sender.sendByPort(bytes);
      Atomics.add(shared.words, Word.signal, 1);
      Atomics.notify(shared.words, Word.signal);
    };
    const end = performance.now() + FUZZ_SECONDS * 1000;
    while (wrong === "" && performance.now() < end) {
      for (let burst = Math.floor(Math.random() * 6); burst >= 0 && sent - received < WINDOW; burst--) {
        const size = randomSize();
        sizes[sent % WINDOW] = size;
        const bytes = new Uint8Array(size).fill(sent % 251);
        new DataView(bytes.buffer).setUint32(0, sent++);
        post(bytes);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => wrong !== "" || received === sent).toBe(true);
    post(Uint8Array.of(0));
    await worker.terminate();
    port1.close();
    expect(wrong).toBe("");
    expect(received).toBeGreaterThan(100);
  });
});

/** Messages that may be on their way. */
const WINDOW = 64;

/** Mostly small, and often just about what makes a difference. */
function randomSize(): number {
  const dice = Math.random();
  if (dice < 0.6) return 4 + Math.floor(Math.random() * 200);
  if (dice < 0.8) return SMALL_BYTES - 8 + Math.floor(Math.random() * 16);
  return 4 + Math.floor(Math.random() * SMALL_BYTES * 2);
}
