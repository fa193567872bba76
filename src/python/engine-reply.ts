/** Replies of the engine as what Python gets for a call. Used by the main thread, and by a worker that asks the engine itself. */
import { ReplyError } from "../errors.ts";
import type { CallReply } from "./host.ts";
import { encodeMarshal, MarshalWriter } from "./marshal.ts";
import { ReplyStatus } from "./protocol.ts";
import { RespReader } from "./transcode.ts";

/** @throws ReplyError for an error reply; its text keeps the line end, as scripts of RedisGears see it. */
export function engineReply(bytes: Buffer): CallReply {
  const reply = new RespReader(bytes);
  if (reply.isError) throw new ReplyError(`${reply.line()}\r\n`);
  const out = new MarshalWriter(bytes.length + 16);
  reply.transcode(out);
  return { status: reply.wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}

/** A call's answer that is an error. */
export const errorReply = (text: string): CallReply => ({ status: ReplyStatus.error, value: encodeMarshal(text) });

/** The message that answers a call. */
export function replyMessage(seq: number, { status, value }: CallReply): Buffer {
  const out = new MarshalWriter(value.length + 32).list(4).text("reply").int(seq).int(status);
  return out.encoded(value).finish();
}
