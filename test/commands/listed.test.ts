import { describe, expect, it } from "vitest";
import { listed } from "../../src/commands/listed.ts";
import { array, integer, nil } from "../../src/resp/reply.ts";

describe("a long list", () => {
  const all = [1, 2, 3, 4, 5];

  it("tells of all of it", async () => {
    expect(await listed(all, undefined, integer)).toEqual(array(all.map(integer)));
  });

  it.each([
    [{ from: 1, most: 2 }, [2, 3]],
    [{ from: 4, most: 100 }, [5]],
    [{ from: 5, most: 1 }, []],
    [{ from: 0, most: 0 }, []],
  ])("tells nothing of what the caller does not look at: %j", async (looked, told) => {
    const described: number[] = [];
    const reply = await listed(all, looked, (one) => {
      described.push(one);
      return integer(one);
    });
    expect(described).toEqual(told);
    expect(reply).toEqual(array(all.map((one) => (told.includes(one) ? integer(one) : nil()))));
  });
});
