/** The log keeps what a script prints in its order, among what it logs and what is said of its execution. */
import { expect, it } from "vitest";
import { useServer } from "../support/use-server.ts";

const setting = useServer(["--script-log-rate", "0"]);
const ROUNDS = 50;
const script = `
def tell(r):
    print('first ' + r['key'])
    log('second ' + r['key'])
    print('third ' + r['key'])
    1 / 0
GB().foreach(tell).register('k:*', mode='async')
GB().foreach(tell).register('k:*', mode='sync')
`;

it("what is printed comes before what comes after it, and after what comes before", async () => {
  const { client, server } = setting();
  await client.call("RG.PYEXECUTE", script);
  const expected: string[] = [];
  for (let n = 0; n < ROUNDS; n++) {
    await client.call("SET", `k:${n}`, "x");
    await client.call("RG.IDLE", "60000");
  }
  const said = (): string[] =>
    [...server.output().matchAll(/(first|second|third) k:\d+|an execution of a KeysReader failed/g)].map(
      ([text]) => text,
    );
  for (let n = 0; n < ROUNDS; n++)
    for (let mode = 0; mode < 2; mode++)
      expected.push(
        ...["first", "second", "third"].map((word) => `${word} k:${n}`),
        "an execution of a KeysReader failed",
      );
  await expect.poll(said).toHaveLength(expected.length);
  expect(said()).toEqual(expected);
});
