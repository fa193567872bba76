/**
 * Where clients come from, for an engine that can not see it: the one in this process has no sockets. CLIENT LIST and
 * CLIENT INFO get the addresses put in, and CLIENT KILL finds clients by them.
 */
import type { Socket } from "node:net";
import type { Middleware, Next, Translator } from "../commands/path.ts";
import { encodeCommand } from "../engine/encode.ts";
import type { ClientAddresses, Engine } from "../engine/engine.ts";
import { wordOf } from "../engine/traits.ts";
import { isError, rewriteText, scalarBytes, scalarText } from "../resp/frames.ts";
import { integer, type Reply, raw, status } from "../resp/reply.ts";

type Finder = Pick<Engine, "addressesOf">;

/** The start of a client's line; the engine knows no address. */
const LINE = /^(id=(\d+) )addr= laddr= fd=(\d+) /gm;

/** The addresses of a socket as Redis writes them. @param path that of a unix socket, where we listen on one */
export function addressesOf(socket: Socket, path: string | undefined): ClientAddresses {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined) return { peer: `${path ?? ""}:0`, local: `${path ?? ""}:0` };
  return { peer: written(remoteAddress, remotePort), local: written(localAddress ?? "", localPort) };
}

function written(address: string, port = 0): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  return plain.includes(":") ? `[${plain}]:${port}` : `${plain}:${port}`;
}

/** Puts addresses into the replies of CLIENT LIST and CLIENT INFO. */
export const addressTranslator = (engine: Finder): Translator => ({
  of: ["client", "python"],
  names: ["client"],
  translate(_name, request) {
    if (!engine.addressesOf || !["list", "info"].includes(wordOf(request.view(1)))) return undefined;
    return { settle: (frame) => withAddresses(frame, engine) };
  },
});

function withAddresses(frame: Buffer, engine: Finder): Buffer {
  if (isError(frame)) return frame;
  const fill = (line: string, start: string, _id: string, descriptor: string): string => {
    const found = engine.addressesOf?.(Number(descriptor));
    return found ? `${start}addr=${found.peer} laddr=${found.local} fd=${descriptor} ` : line;
  };
  return rewriteText(frame, (text) => Buffer.from(text.toString("latin1").replace(LINE, fill), "latin1"));
}

/** Carries out CLIENT KILL by address as CLIENT KILL by id. */
export function killByAddress(engine: Finder): Middleware {
  return {
    of: ["client"],
    active: false,
    always: engine.addressesOf ? ["client"] : [],
    handle(_name, request) {
      if (request.count < 3 || wordOf(request.view(1)) !== "kill") return undefined;
      const args = request.copy(2).map(String);
      // the old form has nothing but an address
      const filters = args.length === 1 ? [["addr", ...args]] : pairs(args);
      if (!filters.some(isAddress)) return undefined;
      return { way: "alone", run: (_caller, next) => kill(engine, filters, args.length === 1, next) };
    },
  };
}

const pairs = (words: readonly string[]): string[][] =>
  Array.from({ length: Math.ceil(words.length / 2) }, (_, at) => words.slice(2 * at, 2 * at + 2));

const isAddress = ([name = ""]: readonly string[]): boolean => /^l?addr$/i.test(name);

async function kill(engine: Finder, filters: readonly string[][], oldForm: boolean, next: Next): Promise<Reply> {
  const list = await next(encodeCommand(["CLIENT", "LIST"]));
  if (isError(list)) return raw(list);
  const wanted = filters.filter(isAddress);
  const ids = [...(scalarBytes(list)?.toString("latin1") ?? "").matchAll(LINE)].filter(([, , , descriptor]) => {
    const found = engine.addressesOf?.(Number(descriptor));
    return wanted.every(([name, address]) => (/^l/i.test(name ?? "") ? found?.local : found?.peer) === address);
  });
  // nobody, or wrong words: the engine's own answer
  if (ids.length === 0) return raw(await next());
  const rest = oldForm ? ["SKIPME", "no"] : filters.filter((filter) => !isAddress(filter)).flat();
  let killed = 0;
  for (const [, , id = ""] of ids) {
    const reply = await next(encodeCommand(["CLIENT", "KILL", ...rest, "ID", id]));
    if (isError(reply)) return raw(reply);
    killed += Number(scalarText(reply));
  }
  return oldForm ? status("OK") : integer(killed);
}
