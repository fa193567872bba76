/** The slot and the port of one direction, both ends in one thread. */
import { describe, expect, it } from "vitest";
import { createShared, Gamble, SLOT_BYTES, SlotReceiver, SlotSender } from "../../src/python/channel.ts";

function pair() {
  const shared = createShared();
  const port: Uint8Array[] = [];
  const sender = new SlotSender(shared, "inbox", { postMessage: (value) => void port.push(value as Uint8Array) });
  const receiver = new SlotReceiver(shared, "inbox");
  const send = (bytes: Uint8Array): "slot" | "port" => {
    if (sender.fits(bytes.length)) {
      sender.sendBySlot(bytes);
      return "slot";
    }
    sender.sendByPort(bytes);
    return "port";
  };
  /** Takes the oldest message, as either side does it. */
  const take = (): Uint8Array | undefined => {
    const inSlot = receiver.peek();
    if (inSlot !== undefined) {
      const copy = Uint8Array.from(inSlot);
      receiver.release();
      return copy;
    }
    if (!receiver.portHasMore) return undefined;
    receiver.countPortMessage();
    return port.shift();
  };
  return { send, take };
}

describe("a direction", () => {
  it("uses the slot for what fits, once", () => {
    const { send, take } = pair();
    expect(send(Uint8Array.of(1))).toBe("slot");
    expect(send(Uint8Array.of(2))).toBe("port");
    expect(take()).toEqual(Uint8Array.of(1));
    // The slot is free, but what it would hold is newer than what lies in the port.
    expect(send(Uint8Array.of(3))).toBe("port");
    expect([take(), take(), take()]).toEqual([Uint8Array.of(2), Uint8Array.of(3), undefined]);
    expect(send(Uint8Array.of(4))).toBe("slot");
  });

  it("uses the port for what is too large", () => {
    const { send } = pair();
    expect(send(new Uint8Array(SLOT_BYTES + 1))).toBe("port");
    expect(pair().send(new Uint8Array(SLOT_BYTES))).toBe("slot");
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
        const message = new Uint8Array(random(10) === 0 ? SLOT_BYTES + 10 : 4);
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
