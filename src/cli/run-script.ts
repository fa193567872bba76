/** Sends a script and waits for what comes of it; it can be aborted meanwhile. */
import type { EngineClient, EngineValue } from "../engine/engine-client.ts";
import { ConfigError } from "../config.ts";
import { ReplyError } from "../errors.ts";
import { isText } from "../utf8.ts";
import { connectTo } from "./server-client.ts";

export interface ScriptCall {
  readonly url: string;
  readonly code: Buffer;
  /** What follows the script in RG.PYEXECUTE; `UNBLOCKING` is not among it. */
  readonly words: readonly string[];
  /** Is told from time to time how far the execution is, when somebody wants to know. */
  readonly onProgress?: (progress: Progress) => void;
  /** Fires when the execution is to be aborted. */
  readonly signal: AbortSignal;
}

export interface Progress {
  /** Of the execution. */
  readonly status: string;
  /** That the reader has read. */
  readonly records: number;
  readonly results: number;
}

export interface ScriptOutcome {
  readonly results: readonly EngineValue[];
  /** Texts as the server has them. */
  readonly errors: readonly string[];
  /** It has run nothing: it registers, or does something else. */
  readonly onlyBody: boolean;
}

const ID = /^\w{40}-\d+$/;
const PROGRESS_MS = 200;

/** The bytes of a script, which are text. @param path of its file @throws ConfigError when it is none */
export function scriptOf(bytes: Buffer, path: string): Buffer {
  if (!isText(bytes)) throw new ConfigError(`${path} is no text: a script must be UTF-8`);
  return bytes;
}

/**
 * Runs a script. It runs UNBLOCKING, because only what has an id can be aborted.
 * @throws InternalError when the server goes away
 */
export async function runScript({ url, code, words, onProgress, signal }: ScriptCall): Promise<ScriptOutcome> {
  const client = await connectTo(url);
  try {
    const reply = await client.call("RG.PYEXECUTE", code, "UNBLOCKING", ...words).catch(refused);
    if (reply instanceof ReplyError) return failed(reply);
    const id = String(reply);
    // a server of RedisGears answers OK where nothing runs
    if (!ID.test(id)) return { results: [], errors: [], onlyBody: true };
    return await withHelper(url, id, signal, onProgress, () => outcomeOf(client, id, onProgress));
  } finally {
    client.close();
  }
}

async function outcomeOf(
  client: EngineClient,
  id: string,
  onProgress: ScriptCall["onProgress"],
): Promise<ScriptOutcome> {
  // the error of a script's body is an error reply
  const reply = await client.call("RG.GETRESULTSBLOCKING", id).catch(refused);
  const steps = await client.call("RG.GETEXECUTION", id).then(hasSteps, () => true);
  // how far it has come in all
  if (onProgress) await client.call("RG.TOP", "ID", id).then((top) => onProgress(progressOf(top)), refused);
  // its user may not be allowed to do that
  await client.call("RG.DROPEXECUTION", id).catch(refused);
  if (reply instanceof ReplyError) return failed(reply);
  const [results = [], errors = []] = Array.isArray(reply) ? reply : [];
  return {
    results: Array.isArray(results) ? results : [],
    errors: Array.isArray(errors) ? errors.map(String) : [],
    onlyBody: !steps,
  };
}

const failed = ({ message }: ReplyError): ScriptOutcome => ({ results: [], errors: [message], onlyBody: false });

/** Has a second connection abort the execution or look at it, while the first one waits. */
async function withHelper<T>(
  url: string,
  id: string,
  signal: AbortSignal,
  onProgress: ScriptCall["onProgress"],
  wait: () => Promise<T>,
): Promise<T> {
  const helper = await connectTo(url);
  const abort = (): void => void helper.call("RG.ABORTEXECUTION", id).catch(refused);
  const look = (): void => {
    void helper.call("RG.TOP", "ID", id).then((reply) => onProgress?.(progressOf(reply)), refused);
  };
  if (onProgress) look();
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  const timer = onProgress && setInterval(look, PROGRESS_MS);
  try {
    return await wait();
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", abort);
    helper.close();
  }
}

/** The plan in a reply of RG.GETEXECUTION: names and values in turns, the steps last. */
function planOf(reply: EngineValue): EngineValue[] {
  const [shard] = Array.isArray(reply) ? reply : [];
  const plan = Array.isArray(shard) ? shard[3] : undefined;
  return Array.isArray(plan) ? plan : [];
}

function progressOf(reply: EngineValue): Progress {
  const [row] = Array.isArray(reply) ? reply : [];
  const values = Array.isArray(row) ? row : [];
  const at = (name: string): string => String(values[values.findIndex((value) => String(value) === name) + 1]);
  return { status: at("status"), records: Number(at("records")), results: Number(at("results")) };
}

function hasSteps(reply: EngineValue): boolean {
  const steps = planOf(reply).at(-1);
  return Array.isArray(steps) && steps.length > 0;
}

/** An error reply as a value. @throws anything else */
function refused(error: unknown): ReplyError {
  if (error instanceof ReplyError) return error;
  throw error;
}
