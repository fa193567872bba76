import { describe, expect, it } from "vitest";
import { fittingStack } from "../src/stack.ts";

const limits = (soft: string): string =>
  ["Limit  Soft Limit  Hard Limit  Units", `Max stack size            ${soft}   unlimited   bytes`, ""].join("\n");

describe("the stack that may be used", () => {
  it.each([
    ["8388608", 5980],
    ["unlimited", 6000],
    ["67108864", 6000],
    ["4194304", 2990],
    // less than what V8 takes anyhow would not make it any safer
    ["1048576", 984],
  ])("of %s bytes are %i KB", (soft, size) => {
    expect(fittingStack(limits(soft))).toBe(size);
  });

  it("is the usual one when nothing is known", () => {
    expect(fittingStack("")).toBe(984);
  });
});
