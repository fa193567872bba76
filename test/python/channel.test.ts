/** The ring and the port of one direction, both ends in one thread. */
import { describe, expect, it, vi } from "vitest";
import { createShared, Gamble, Receiver, Sender, SMALL_BYTES } from "../../src/python/channel.ts";

function pair() {
  const shared = createShared();
  const port: Uint8Array[] = [];
  const sender = new Sender(shared, "inbox", { postMessage: (value) => void port.push(value as Uint8Array) });
  const receiver = new Receiver(shared, "inbox");
  const send = (bytes: Uint8Array): "ring" | "port" => {
    if (sender.fits(bytes.length)) {
      sender.sendByRing(bytes);
      return "ring";
    }
    sender.sendByPort(bytes);
    return "port";
  };
  /** Takes the oldest message, as either side does it. */
  const take = (): Uint8Array | undefined => {
    const place = receiver.oldest;
    if (place === undefined) return undefined;
    if (place === "port") {
      receiver.countPortMessage();
      return port.shift();
    }
    const copy = Uint8Array.from(receiver.peek() ?? []);
    receiver.release();
    return copy;
  };
  return { send, take };
}

describe("a direction", () => {
  it("uses the ring for what fits", () => {
    const { send, take } = pair();
    const large = new Uint8Array(SMALL_BYTES);
    expect([1, 2, 3].map(() => send(large))).toEqual(["ring", "ring", "ring"]);
    expect(send(large)).toBe("port");
    expect(take()?.length).toBe(SMALL_BYTES);
    // There is room now, but what the ring would hold is newer than what lies in the port.
    expect(send(Uint8Array.of(1))).toBe("port");
    expect([take(), take(), take(), take(), take()].map((message) => message?.length)).toEqual([
      ...[SMALL_BYTES, SMALL_BYTES, SMALL_BYTES, 1],
      undefined,
    ]);
    expect(send(Uint8Array.of(2))).toBe("ring");
    expect(take()).toEqual(Uint8Array.of(2));
  });

  it("uses the port for what is too large", () => {
    const { send } = pair();
    expect(send(new Uint8Array(SMALL_BYTES + 1))).toBe("port");
    expect(send(new Uint8Array(SMALL_BYTES))).toBe("port");
  });

  it("keeps messages whole where the ring ends", () => {
    const { send, take } = pair();
    for (let round = 0; round < 500; round++) {
      const message = new Uint8Array(50_001).fill(round % 251);
      expect(send(message)).toBe("ring");
      expect(send(Uint8Array.of(round % 251))).toBe("ring");
      expect(Buffer.compare(take() ?? Buffer.alloc(0), message)).toBe(0);
      expect(take()).toEqual(Uint8Array.of(round % 251));
    }
  });

  it.each([1, 2])("keeps the order of what comes while the receiver looks for it the %sth time", (look) => {
    const { send, take } = pair();
    const load = Atomics.load as (array: unknown, index: number) => never;
    let looks = 0;
    const spy = vi.spyOn(Atomics, "load").mockImplementation((array: unknown, index: number) => {
      const found = load(array, index);
      if (++looks !== look) return found;
      spy.mockRestore();
      expect([send(Uint8Array.of(1)), send(new Uint8Array(SMALL_BYTES + 1))]).toEqual(["ring", "port"]);
      return found;
    });
    const lengths = [take(), take(), take()].map((message) => message?.length ?? 0);
    expect(lengths.filter((length) => length > 0)).toEqual([1, SMALL_BYTES + 1]);
  });

  it("sends copies", () => {
    const { send, take } = pair();
    const bytes = Uint8Array.of(1);
    send(bytes);
    send(bytes);
    bytes[0] = 9;
    expect([take()?.[0], take()?.[0]]).toEqual([1, 1]);
  });

  it("keeps the order, whatever is sent and taken when", () => {
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return (seed >> 8) % below;
    };
    const { send, take } = pair();
    let sent = 0;
    let taken = 0;
    const check = (): boolean => {
      const message = take();
      if (message === undefined) return false;
      expect(new DataView(message.buffer).getUint32(0)).toBe(taken++);
      return true;
    };
    while (sent < 2000) {
      for (let n = random(5); n > 0; n--) {
        const message = new Uint8Array([SMALL_BYTES + 10, SMALL_BYTES - 1][random(10)] ?? 4 + random(9));
        new DataView(message.buffer).setUint32(0, sent++);
        send(message);
      }
      for (let n = random(6); n > 0; n--) check();
    }
    while (check());
    expect(taken).toBe(sent);
  });
});

describe("a gamble", () => {
  it("pauses longer after each loss, to a limit, and no more after a win", () => {
    const gamble = new Gamble(7);
    const pauseAfterLoss = (): number => {
      gamble.lost();
      let turns = 0;
      while (!gamble.worthwhile) turns++;
      return turns;
    };
    expect([1, 2, 3, 4, 5].map(pauseAfterLoss)).toEqual([1, 3, 7, 7, 7]);
    gamble.won();
    expect(gamble.worthwhile).toBe(true);
    expect(pauseAfterLoss()).toBe(1);
  });
});
