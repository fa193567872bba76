/** What the tests of registrations on the running server share. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { type Client, connectClient, type Value } from "./client.ts";
import { type RunningRegears, startRegears } from "./regears.ts";

export type { Client, Value };

export interface Setting {
  readonly server: RunningRegears;
  readonly client: Client;
  /** A further client; it is closed after the test. */
  connect(): Promise<Client>;
}

/** One server for the tests of a file: empty and without registrations before each. */
export function useServer(args: readonly string[] = []): () => Setting {
  let setting: Setting;
  let more: Client[] = [];
  beforeAll(async () => {
    const server = await startRegears(args);
    const client = await connectClient(server.port);
    const connect = async (): Promise<Client> => {
      const one = await connectClient(server.port);
      more.push(one);
      return one;
    };
    setting = { server, client, connect };
  });
  beforeEach(async () => {
    await setting.client.call("RG.UNREGISTERALL", "ABORTPENDING");
    await setting.client.call("FLUSHALL");
  });
  afterEach(() => {
    for (const client of more) client.close();
    more = [];
  });
  afterAll(async () => {
    setting?.client.close();
    await setting?.server.stop();
  });
  return () => setting;
}

/** Pairs of names and values as an object. */
export function fields(list: Value | undefined): Record<string, Value> {
  const values = list as Value[];
  const made: Record<string, Value> = {};
  for (let at = 0; at < values.length; at += 2) made[String(values[at])] = values[at + 1] ?? null;
  return made;
}

/** The registrations, as objects; `data` is RegistrationData. */
export async function registrations(client: Client): Promise<{ id: string; data: Record<string, Value> }[]> {
  const all = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
  return all.map(fields).map((one) => ({ id: String(one.id), data: fields(one.RegistrationData) }));
}

/** RegistrationData of the only registration. */
export async function onlyRegistration(client: Client): Promise<Record<string, Value>> {
  const all = await registrations(client);
  expect(all).toHaveLength(1);
  return all[0]?.data ?? {};
}

/** Executions in progress by their status. */
export async function executions(client: Client): Promise<{ id: string; status: string }[]> {
  const all = (await client.call("RG.DUMPEXECUTIONS")) as Value[];
  return all.map(fields).map(({ executionId, status }) => ({ id: String(executionId), status: String(status) }));
}
