import { describe, expect, it } from "vitest";
import { OwnMisses } from "../../src/registrations/own-misses.ts";

const KEY = Buffer.from("k");

function setUp() {
  const mistaken: string[] = [];
  const misses = new OwnMisses((key) => void mistaken.push(key.toString()));
  misses.listening = true;
  return { misses, mistaken };
}

describe("misses of the server's own reads", () => {
  it("are told apart when they come before the reply", () => {
    const { misses, mistaken } = setUp();
    const token = misses.expect(KEY, 2);
    expect([misses.take(KEY), misses.take(KEY), misses.take(KEY)]).toEqual([true, true, false]);
    token.settle(2);
    expect([misses.take(KEY), mistaken]).toEqual([false, []]);
  });

  it("are told apart when they come after the reply", () => {
    const { misses } = setUp();
    misses.expect(KEY, 2).settle(1);
    expect([misses.take(Buffer.from("other")), misses.take(KEY), misses.take(KEY)]).toEqual([false, true, false]);
  });

  it("gives back what was somebody else's", () => {
    const { misses, mistaken } = setUp();
    const token = misses.expect(KEY, 1);
    expect(misses.take(KEY)).toBe(true);
    token.settle(0);
    expect([mistaken, misses.take(KEY)]).toEqual([["k"], false]);
  });

  it("counts reads of the same key each for itself", () => {
    const { misses, mistaken } = setUp();
    const [one, two] = [misses.expect(KEY, 1), misses.expect(KEY, 1)];
    one.settle(1);
    two.settle(0);
    expect([misses.take(KEY), misses.take(KEY), mistaken]).toEqual([true, false, []]);
  });

  it("expects nothing while nobody listens", () => {
    const { misses } = setUp();
    misses.listening = false;
    misses.expect(KEY, 1).settle(1);
    expect(misses.take(KEY)).toBe(false);
  });
});
