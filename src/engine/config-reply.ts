/**
 * Changes what CONFIG GET says of a parameter; the reply itself comes back when it says nothing of it.
 * @param reply an array of names and values, or a map
 */
export function replaceConfigValue(reply: Buffer, parameter: string, value: string): Buffer {
  const mark = Buffer.from(`$${parameter.length}\r\n${parameter}\r\n$`);
  const at = reply.indexOf(mark);
  if (at < 0) return reply;
  const start = at + mark.length;
  const line = reply.indexOf("\r\n", start);
  const size = Number(reply.toString("latin1", start, line));
  return Buffer.concat([
    reply.subarray(0, start),
    Buffer.from(`${Buffer.byteLength(value)}\r\n${value}`),
    reply.subarray(line + 2 + size),
  ]);
}
