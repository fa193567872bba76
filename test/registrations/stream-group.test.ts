import { describe, expect, it } from "vitest";
import { compareIds } from "../../src/registrations/stream-group.ts";

describe("ids of messages", () => {
  it("are compared as pairs of numbers, of whatever length", () => {
    const sorted = ["0-0", "0-1", "0-9", "0-10", "1-0", "9-18446744073709551615", "10-0", "10-2", "1764287999999-0"];
    for (const [at, one] of sorted.entries()) {
      const signs = sorted.map((other) => Math.sign(compareIds(one, other)));
      expect(signs).toEqual(sorted.map((_, other) => Math.sign(at - other)));
    }
  });
});
