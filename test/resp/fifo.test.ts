/** What waits its turn. */
import { describe, expect, it } from "vitest";
import { Fifo } from "../../src/resp/fifo.ts";

describe("Fifo", () => {
  it("gives things in the order in which they came, however it grows and shrinks", () => {
    const fifo = new Fifo<number>();
    const model: number[] = [];
    let next = 0;
    // a walk that goes up to thousands and back to nothing, several times
    for (const steps of [1, 5, 3_000, 2_000, 1_024, 2, 6_000]) {
      for (let count = 0; count < steps; count++) {
        fifo.push(next);
        model.push(next++);
        if (count % 3 === 0) expect(fifo.shift()).toBe(model.shift());
      }
      expect([fifo.length, fifo.first, fifo.last, fifo.at(1)]).toEqual([
        model.length,
        model[0],
        model.at(-1),
        model[1],
      ]);
      expect([...fifo]).toEqual(model);
      while (model.length > steps % 5) expect(fifo.shift()).toBe(model.shift());
    }
    expect(fifo.clear()).toEqual(model);
    expect([fifo.length, fifo.first, fifo.last, fifo.shift(), fifo.clear()]).toEqual([
      0,
      ...Array(3).fill(undefined),
      [],
    ]);
  });

  it("takes something in before all others", () => {
    const fifo = new Fifo<string>();
    fifo.unshift("b");
    fifo.unshift("a");
    fifo.push("c");
    expect(fifo.shift()).toBe("a");
    fifo.unshift("A");
    expect(fifo.clear()).toEqual(["A", "b", "c"]);
    fifo.unshift("d");
    expect([fifo.first, fifo.last]).toEqual(["d", "d"]);
  });
});
