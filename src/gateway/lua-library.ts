/**
 * The functions in the engine that run scripts for us (scripts.lua), and that it is they who are called: whoever may load
 * functions can put others in their place, which would then act as the next client whose script is run.
 */
import { readFileSync } from "node:fs";
import { type EngineClient, encodeCommand } from "../engine/engine-client.ts";
import { LastingClient } from "../engine/lasting-client.ts";
import { ReplyError } from "../errors.ts";
import { fieldsOf, isError, scalarBytes, scalarText, splitAggregate } from "../resp/frames.ts";

const NAME = "__regears";
const LIBRARY = readFileSync(new URL("./scripts.lua", import.meta.url));
const LIST_OURS = encodeCommand(["FUNCTION", "LIST", "LIBRARYNAME", NAME, "WITHCODE"]);
const LIST_ALL = encodeCommand(["FUNCTION", "LIST"]);
const LOAD = encodeCommand(["FUNCTION", "LOAD", "REPLACE", LIBRARY]);

/** Is this the name of one of our functions? The engine does not tell upper case from lower case there. */
export const isOurFunction = (name: Buffer): boolean =>
  name.subarray(0, NAME.length).toString("latin1").toLowerCase() === NAME;

export class LuaLibrary {
  readonly #client: LastingClient;
  /** What the engine lists when everything is in order. */
  #known: Buffer | undefined;

  /** @param open opens a connection that may load functions */
  constructor(open: () => EngineClient) {
    this.#client = new LastingClient(open);
  }

  /**
   * Sees to it that our functions are the ones that we have written. To be called while nobody else can send commands.
   * @throws ReplyError when they can not be loaded
   */
  async ensure(): Promise<void> {
    const listed = await this.#ask(LIST_OURS);
    if (this.#known?.equals(listed)) return;
    if (!isOurs(listed)) await this.#load();
    const loaded = await this.#ask(LIST_OURS);
    if (!isOurs(loaded)) throw new ReplyError("ERR the functions that run scripts can not be loaded");
    this.#known = loaded;
  }

  /** Ends a paused script, which would stay in the engine. */
  async forget(id: string): Promise<void> {
    // an engine that can not be reached has lost it already, or will when its library is loaded again
    await this.#ask(encodeCommand(["FCALL", `${NAME}_forget`, "0", id])).catch(() => {});
  }

  async #load(): Promise<void> {
    if (!isError(await this.#ask(LOAD))) return;
    // others can not have the same names: who took them has to go
    for (const library of librariesIn(await this.#ask(LIST_ALL))) {
      if (library.functions.some(isOurFunction)) await this.#ask(encodeCommand(["FUNCTION", "DELETE", library.name]));
    }
    const reply = await this.#ask(LOAD);
    if (isError(reply)) throw new ReplyError(scalarText(reply));
  }

  async #ask(request: Buffer): Promise<Buffer> {
    return this.#client.ask(request);
  }
}

interface Listed {
  readonly name: Buffer;
  readonly functions: readonly Buffer[];
  readonly code: Buffer | undefined;
}

function isOurs(listed: Buffer): boolean {
  const [library, ...others] = librariesIn(listed);
  return others.length === 0 && library?.code?.equals(LIBRARY) === true;
}

/** @param frame what FUNCTION LIST answers */
function librariesIn(frame: Buffer): Listed[] {
  return (splitAggregate(frame)?.children ?? []).map((library) => {
    const field = fieldsOf(library);
    const functions = splitAggregate(field("functions") ?? NONE)?.children ?? [];
    return {
      name: scalarBytes(field("library_name")) ?? NONE,
      functions: functions.map((entry) => scalarBytes(fieldsOf(entry)("name")) ?? NONE),
      code: scalarBytes(field("library_code")),
    };
  });
}

const NONE = Buffer.alloc(0);
