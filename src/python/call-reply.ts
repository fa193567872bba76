/** What Python gets as the answer to a call. Used by the main thread, and by workers that ask the engine themselves. */
import { ReplyError } from "../errors.ts";
import type { Reply } from "../resp/reply.ts";
import type { CallReply } from "./python-host.ts";
import { encodeMarshal, type MarshalValue, MarshalWriter } from "./marshal.ts";
import { ReplyStatus } from "./protocol.ts";
import { RespReader, replyToMarshal } from "./transcode.ts";

/** A value. @param withBytes there are bytes in it that may have to become texts */
export const okReply = (value: MarshalValue, withBytes = false): CallReply => ({
  status: withBytes ? ReplyStatus.withBytes : ReplyStatus.ok,
  value: encodeMarshal(value),
});

/** What the engine has replied. @throws ReplyError for an error, with the line end that scripts of RedisGears see, too */
export function engineReply(bytes: Buffer): CallReply {
  const reply = new RespReader(bytes);
  if (reply.isError) throw new ReplyError(`${reply.line()}\r\n`);
  const out = new MarshalWriter(bytes.length + 16);
  reply.transcode(out);
  return { status: reply.wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}

/** An error. */
export const errorReply = (text: string): CallReply => ({ status: ReplyStatus.error, value: encodeMarshal(text) });

/** The message that answers a call. */
export function replyMessage(seq: number, { status, value }: CallReply): Buffer {
  const out = new MarshalWriter(value.length + 32).list(4).text("reply").int(seq).int(status);
  return out.encoded(value).finish();
}

/** What something of ours has replied. @throws ReplyError for an error reply */
export function ownReply(reply: Reply): CallReply {
  if (reply.type === "error") throw new ReplyError(`${reply.text}`);
  const out = new MarshalWriter();
  const { wroteBytes } = replyToMarshal(reply, out);
  return { status: wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}
