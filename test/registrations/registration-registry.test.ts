/** How much memory registrations may take. */
import { expect, it } from "vitest";
import { Ids } from "../../src/executions/ids.ts";
import { Session, SessionRegistry } from "../../src/executions/session.ts";
import type { PythonHost } from "../../src/python/python-host.ts";
import { RegistrationRegistry } from "../../src/registrations/registration-registry.ts";
import { spec } from "../support/spec.ts";

const LARGE = Buffer.alloc(64 * 1024 * 1024);
const reader = { check: () => {}, activate: () => {}, deactivate: () => {} };

function createRegistry(): RegistrationRegistry {
  const host = { tell: () => {}, retain: () => {}, release: () => {} } as unknown as PythonHost;
  const readers = new Map([["CommandReader", reader] as const]);
  return new RegistrationRegistry({ ids: new Ids(), host, sessions: new SessionRegistry(), readers });
}

it("the functions of all registrations together have a limit", async () => {
  const registry = createRegistry();
  const large = spec({ reader: "CommandReader", blob: LARGE });
  for (let i = 0; i < 8; i++) await registry.add(new Session(`s${i}`), large);
  await expect(registry.add(new Session("one more"), large)).rejects.toThrow("more than 536870912 bytes");
  registry.remove(registry.list()[0] as never, false);
  await registry.add(new Session("one more"), large);
  expect(registry.list()).toHaveLength(8);
});

it("so have those that a script declares", () => {
  const declarations = createRegistry().declare(new Session("s"), () => undefined);
  const large = spec({ reader: "CommandReader", blob: LARGE });
  for (let i = 0; i < 8; i++) declarations.add(large);
  expect(() => declarations.add(large)).toThrow("more than 536870912 bytes");
});
