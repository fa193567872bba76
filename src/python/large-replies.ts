/**
 * Large replies of the engine, as Python gets them: converted a little at a time, for others are to be served meanwhile.
 * Scripts can ask for hundreds of megabytes and millions of elements.
 */
import { others, Slices } from "../in-turns.ts";
import type { CallReply } from "./python-host.ts";
import { MarshalWriter } from "./marshal.ts";
import { ReplyStatus } from "./protocol.ts";
import { RespReader } from "./transcode.ts";

/** Bytes of a reply above which that is done. */
export const LARGE_REPLY = 1024 * 1024;
/** Values between two looks at the clock. */
const LOOK_EVERY = 1024;

/** @param bytes no error reply */
export async function convertInTurns(bytes: Buffer): Promise<CallReply> {
  await others();
  const reply = new RespReader(bytes);
  await others();
  const out = new MarshalWriter(bytes.length + 16);
  await writeInTurns(reply, out);
  await others();
  return { status: reply.wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}

async function writeInTurns(reply: RespReader, out: MarshalWriter): Promise<void> {
  /** Of each array that has begun: how many of its elements are missing. */
  const missing = [1];
  const slices = new Slices();
  for (let count = 1; missing.length > 0; count++) {
    const left = missing.pop() as number;
    if (left === 0) continue;
    missing.push(left - 1);
    if (reply.isArray) {
      const length = reply.arrayLength();
      out.list(length);
      missing.push(length);
    } else reply.transcode(out);
    if (count % LOOK_EVERY === 0) await slices.next();
  }
}
