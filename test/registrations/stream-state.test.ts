import { describe, expect, it } from "vitest";
import type { StreamGroup } from "../../src/registrations/stream-group.ts";
import { StreamState } from "../../src/registrations/stream-state.ts";

describe("what waits in a stream", () => {
  const state = (): StreamState => new StreamState({} as StreamGroup);

  it("is taken oldest first, and tells when the first came", () => {
    const stream = state();
    for (const at of [1, 1, 2, 5]) stream.arrived(at);
    expect([stream.waiting, stream.oldest]).toEqual([4, 1]);
    expect(stream.take(3)).toBe(1);
    expect([stream.waiting, stream.oldest]).toEqual([1, 5]);
    expect(stream.take(3)).toBe(5);
    expect([stream.waiting, stream.oldest, stream.take(1)]).toEqual([0, undefined, undefined]);
  });

  it("is forgotten when the stream is known to be empty", () => {
    const stream = state();
    stream.arrived(1);
    stream.contacted = stream.flush = stream.due = true;
    stream.reset();
    expect([stream.waiting, stream.oldest, stream.contacted, stream.flush, stream.due]).toEqual([
      0,
      undefined,
      false,
      false,
      false,
    ]);
  });
});
