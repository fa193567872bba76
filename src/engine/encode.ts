/** Commands to bytes. */

export type CommandArgument = string | Uint8Array;

const DOLLAR = 36;
const STAR = 42;
const CR = 13;
const LF = 10;
const ZERO = 48;

/** Encodes one command as RESP; strings become UTF-8. The result is the caller's own. */
export function encodeCommand(args: readonly CommandArgument[]): Buffer {
  return encodeCommands([args]);
}

/** Encodes commands one after the other into one buffer. */
export function encodeCommands(commands: readonly (readonly CommandArgument[])[]): Buffer {
  let size = 0;
  for (const args of commands) {
    size += 3 + digits(args.length);
    for (const arg of args) {
      const length = typeof arg === "string" ? Buffer.byteLength(arg) : arg.length;
      size += 5 + digits(length) + length;
    }
  }
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const args of commands) {
    at = header(out, at, STAR, args.length);
    for (const arg of args) {
      if (typeof arg === "string") {
        at = header(out, at, DOLLAR, Buffer.byteLength(arg));
        at += out.write(arg, at);
      } else {
        at = header(out, at, DOLLAR, arg.length);
        out.set(arg, at);
        at += arg.length;
      }
      out[at++] = CR;
      out[at++] = LF;
    }
  }
  return out;
}

function header(out: Buffer, at: number, type: number, value: number): number {
  out[at] = type;
  const end = at + 1 + digits(value);
  let rest = value;
  for (let i = end - 1; i > at; i--) {
    out[i] = ZERO + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  out[end] = CR;
  out[end + 1] = LF;
  return end + 2;
}

function digits(value: number): number {
  let count = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) count++;
  return count;
}
