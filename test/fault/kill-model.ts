/** Clients that register, unregister, add time events and write until their server is killed, and know what must be left. */
import { type Client, connectClient, type Value } from "../support/client.ts";

/** Registers a trigger that answers its own name, by a step; answers its id. */
export const MAKER = `
def make(call):
    name = call[1]
    return GB('CommandReader', desc=name).map(lambda r: name).register(trigger=name, mode='sync')
GB('CommandReader', desc='make').map(make).register(trigger='make')
`;

/** A time event that counts how often it was called. */
const ticker = (name: string): string => `
execute('SET', 'created:${name}', str(registerTE(1, lambda: execute('INCR', 'ticks:${name}'), 'event:${name}')))
`;

/** A session of two registrations; a new version replaces both. */
const pair = (client: number, version: number): string => `
for side in ('left', 'right'):
    GB('CommandReader', desc=f'pair ${client} {side} ${version}').map(lambda r: r).register(trigger=f'pair ${client} {side}')
`;

/** What one client knows. `maybe` is what it was doing when the server was killed: that may have happened, or not. */
export class KilledClient {
  readonly number: number;
  readonly #random: () => number;
  /** Ids of the triggers that were registered, by name; those by a script have none. */
  readonly #triggers = new Map<string, string | undefined>();
  #maybe: string | undefined;
  /** Versions of the pair: the last one that was answered, and one that may have followed. */
  #pair = 0;
  #nextPair: number | undefined;
  readonly events = new Set<string>();
  /** What was written when the last save that was answered began. */
  #saved = 0;
  #written = 0;
  #made = 0;
  acknowledged = 0;

  constructor(number: number, random: () => number) {
    this.number = number;
    this.#random = random;
  }

  /** Works until the connection ends. */
  async work(port: number): Promise<void> {
    const client = await connectClient(port);
    try {
      for (;;) {
        await this.#step(client);
        this.acknowledged++;
      }
    } catch (error) {
      if (!/the connection was closed/.test(String(error))) throw error;
    } finally {
      client.close();
    }
  }

  async #step(client: Client): Promise<void> {
    const roll = this.#random();
    if (roll < 0.25) await this.#register(client);
    else if (roll < 0.45) await this.#registerByScript(client);
    else if (roll < 0.7) await this.#unregister(client);
    else if (roll < 0.85) await this.#upgrade(client);
    else if (roll < 0.9 && this.events.size < 3) await this.#addEvent(client);
    else await this.#write(client);
  }

  #newName(kind: string): string {
    return `${kind} ${this.number} ${++this.#made}`;
  }

  async #register(client: Client): Promise<void> {
    const name = this.#newName("step");
    this.#maybe = name;
    const [id] = (await client.call("RG.TRIGGER", "make", name)) as [string];
    this.#triggers.set(name, id);
    this.#maybe = undefined;
  }

  async #registerByScript(client: Client): Promise<void> {
    const name = this.#newName("script");
    this.#maybe = name;
    const script = `GB('CommandReader', desc='${name}').map(lambda r: '${name}').register(trigger='${name}', mode='sync')`;
    if ((await client.call("RG.PYEXECUTE", script)) !== "OK") throw new Error(`${name} was not registered`);
    this.#triggers.set(name, undefined);
    this.#maybe = undefined;
  }

  async #unregister(client: Client): Promise<void> {
    const [name, id] = [...this.#triggers].find(([, known]) => known !== undefined) ?? [];
    if (name === undefined || id === undefined) return;
    this.#triggers.delete(name);
    this.#maybe = name;
    await client.call("RG.UNREGISTER", id);
    this.#maybe = undefined;
  }

  async #upgrade(client: Client): Promise<void> {
    const version = ++this.#made;
    this.#nextPair = version;
    await client.call("RG.PYEXECUTE", pair(this.number, version), "ID", `pair-${this.number}`, "UPGRADE");
    this.#pair = version;
    this.#nextPair = undefined;
  }

  async #addEvent(client: Client): Promise<void> {
    const name = `${this.number}-${++this.#made}`;
    await client.call("RG.PYEXECUTE", ticker(name));
    this.events.add(name);
  }

  async #write(client: Client): Promise<void> {
    const written = ++this.#written;
    await client.call("SET", `written:${this.number}`, String(written));
    if (this.#random() > 0.2) return;
    const answer = await client.call("SAVE").catch((error: Error) => error.message);
    if (answer === "OK") this.#saved = written;
    else if (!/in progress/.test(String(answer))) throw new Error(String(answer));
  }

  /**
   * Compares what is there after a restart with what must be; from then on it is what is known.
   * @param there descriptions of the registrations, with their ids
   */
  async check(client: Client, there: ReadonlyMap<string, string>): Promise<void> {
    const own = [...there.keys()].filter((name) => new RegExp(`^(step|script) ${this.number} `).test(name));
    for (const name of this.#triggers.keys()) if (!there.has(name)) throw new Error(`${name} is lost`);
    for (const name of own) {
      if (!this.#triggers.has(name) && name !== this.#maybe) throw new Error(`${name} was unregistered, and is there`);
      this.#triggers.set(name, there.get(name));
    }
    this.#maybe = undefined;
    const [some] = own;
    if (some !== undefined) await this.#mustAnswer(client, some);
    this.#checkPair(there);
    for (const name of this.events) {
      if ((await client.call("EXISTS", `event:${name}`)) !== 1) throw new Error(`the time event ${name} has no key`);
    }
    const written = Number(await client.call("GET", `written:${this.number}`));
    if (written < this.#saved) throw new Error(`${this.#saved} was saved, and ${written} is there`);
  }

  async #mustAnswer(client: Client, name: string): Promise<void> {
    const answer = (await client.call("RG.TRIGGER", name)) as Value[];
    if (answer[0] !== name) throw new Error(`${name} answers ${JSON.stringify(answer)}`);
  }

  #checkPair(there: ReadonlyMap<string, string>): void {
    const sides = [...there.keys()].filter((name) => name.startsWith(`pair ${this.number} `)).sort();
    const versionsThere = new Set(sides.map((name) => Number(name.split(" ")[3])));
    const [version = 0] = versionsThere;
    const isWhole = sides.length === (version === 0 ? 0 : 2) && versionsThere.size <= 1;
    if (!isWhole || (version !== this.#pair && version !== this.#nextPair)) {
      throw new Error(`of versions ${this.#pair} and ${this.#nextPair} there is: ${sides.join()}`);
    }
    this.#pair = version;
    this.#nextPair = undefined;
  }
}
