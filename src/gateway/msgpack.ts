/** Replies as MessagePack, in the shapes that Lua scripts know: what `cmsgpack.unpack` in the engine makes of them. */
import { isError, scalarBytes, scalarText, splitAggregate } from "../resp/frames.ts";

/**
 * Encodes a RESP2 reply. A nil becomes false, a status `{ok = …}`, an error `{err = …}`, as the engine does it for
 * `redis.call`.
 */
export function replyToMsgpack(frame: Buffer): Buffer {
  const parts: Buffer[] = [];
  write(frame, parts);
  return Buffer.concat(parts);
}

function write(frame: Buffer, parts: Buffer[]): void {
  const aggregate = splitAggregate(frame);
  if (aggregate) {
    parts.push(sized(0xdd, aggregate.children.length));
    for (const child of aggregate.children) write(child, parts);
    return;
  }
  if (isError(frame)) {
    parts.push(MAP_OF_ONE, string(Buffer.from("err")), string(Buffer.from(scalarText(frame))));
    return;
  }
  const bytes = scalarBytes(frame);
  if (bytes === undefined) parts.push(FALSE);
  else if (frame[0] === 43) parts.push(MAP_OF_ONE, string(Buffer.from("ok")), string(bytes));
  else if (frame[0] === 58) parts.push(integer(bytes.toString()));
  else parts.push(string(bytes));
}

const FALSE = Buffer.from([0xc2]);
const MAP_OF_ONE = Buffer.from([0x81]);

/** A type byte and a 32 bit length. */
function sized(type: number, length: number): Buffer {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeUInt32BE(length, 1);
  return head;
}

const string = (bytes: Buffer): Buffer => Buffer.concat([sized(0xdb, bytes.length), bytes]);

function integer(text: string): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = 0xd3;
  bytes.writeBigInt64BE(BigInt(text), 1);
  return bytes;
}
