/**
 * Puts another value of a parameter into a reply of CONFIG GET.
 * @param reply an array of names and values, or a map
 * @returns the changed reply; the same one when it does not tell of the parameter
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
