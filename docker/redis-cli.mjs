#!/usr/bin/env node
// A small redis-cli: sends one command and prints its reply as redis-cli does; without a command, one for each line of
// standard input. For health checks and scripts inside the image.
//
//   redis-cli [-h host] [-p port] [-s socket] [-a password] [--user name] [-n db] [--raw] [-x] [-e] command [arg ...]
//   redis-cli [...] --eval file [key ...] [, arg ...]
//
// It is valkey-cli, too. TLS: --tls [--cacert file] [--cert file --key file] [--insecure].
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { connect as connectTls } from "node:tls";

const options = {
  host: "127.0.0.1",
  port: 6379,
  socket: "",
  user: "default",
  password: process.env.REDISCLI_AUTH ?? "",
  db: "0",
  raw: !process.stdout.isTTY,
  lastFromInput: false,
  failOnError: false,
  script: undefined,
  tls: undefined,
};

/** Reads the options before the command and gives the command. */
function readOptions(args) {
  const take = () => {
    const value = args.shift();
    if (value === undefined) usage();
    return value;
  };
  const withValue = {
    "-h": () => (options.host = take()),
    "-p": () => (options.port = Number(take())),
    "-s": () => (options.socket = take()),
    "-a": () => (options.password = take()),
    "--pass": () => (options.password = take()),
    "--user": () => (options.user = take()),
    "-n": () => (options.db = take()),
    "--raw": () => (options.raw = true),
    "--no-raw": () => (options.raw = false),
    "--no-auth-warning": () => undefined,
    "-x": () => (options.lastFromInput = true),
    "-e": () => (options.failOnError = true),
    "--eval": () => (options.script = readFileSync(take())),
    "--tls": () => tls({}),
    "--cacert": () => tls({ ca: readFileSync(take()) }),
    "--cert": () => tls({ cert: readFileSync(take()) }),
    "--key": () => tls({ key: readFileSync(take()) }),
    "--insecure": () => tls({ rejectUnauthorized: false }),
    "-v": version,
    "--version": version,
  };
  while (args[0]?.startsWith("-")) {
    // some programs put an option and its value into one argument
    const [, name, value] = /^(-\S+) (.*)$/s.exec(args[0]) ?? [];
    if (withValue[name]) args.splice(0, 1, name, value);
    const option = withValue[args.shift()];
    if (!option) usage();
    option();
  }
  return args;
}

function tls(more) {
  options.tls = { ...options.tls, ...more };
}

function version() {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  process.stdout.write(`redis-cli of regears ${version}\n`);
  process.exit(0);
}

/** `key ... , arg ...` as the command that runs the script. */
function evaluation(words) {
  const comma = words.indexOf(",");
  const keys = comma < 0 ? words : words.slice(0, comma);
  const args = comma < 0 ? [] : words.slice(comma + 1);
  return ["EVAL", options.script, String(keys.length), ...keys, ...args];
}

function usage() {
  process.stderr.write(
    "redis-cli [-h host] [-p port] [-s socket] [-a password] [--user name] [-n db] [--tls] [--raw|--no-raw] [-x] [-e]\n" +
      "          [command [arg ...] | --eval file [key ...] [, arg ...]]\n",
  );
  process.exit(1);
}

const encode = (args) =>
  Buffer.concat([
    Buffer.from(`*${args.length}\r\n`),
    ...args.flatMap((arg) => [Buffer.from(`$${Buffer.byteLength(arg)}\r\n`), Buffer.from(arg), Buffer.from("\r\n")]),
  ]);

/** One reply at `at`: `{ value, next }`, or undefined while it is incomplete. */
function parse(bytes, at) {
  const end = bytes.indexOf("\r\n", at);
  if (end < 0) return undefined;
  const kind = String.fromCharCode(bytes[at]);
  const line = bytes.toString("utf8", at + 1, end);
  const next = end + 2;
  if (kind === "+") return { value: { status: line }, next };
  if (kind === "-") return { value: { error: line }, next };
  if (kind === ":") return { value: { integer: line }, next };
  const length = Number(line);
  if (length < 0) return { value: null, next };
  if (kind === "$") {
    if (bytes.length < next + length + 2) return undefined;
    return { value: bytes.subarray(next, next + length), next: next + length + 2 };
  }
  const items = [];
  let position = next;
  for (let i = 0; i < length; i++) {
    const item = parse(bytes, position);
    if (!item) return undefined;
    items.push(item.value);
    position = item.next;
  }
  return { value: items, next: position };
}

/** A connection: give it a command, get its reply. */
function open() {
  const address = options.socket ? { path: options.socket } : { port: options.port, host: options.host };
  const socket = options.tls ? connectTls({ ...address, ...options.tls }) : connect(address);
  let bytes = Buffer.alloc(0);
  const waiting = [];
  const fail = (text) => {
    process.stderr.write(`${text}\n`);
    process.exit(1);
  };
  const at = options.socket || `${options.host}:${options.port}`;
  socket.on("error", (error) => fail(`Could not connect to Redis at ${at}: ${error.message}`));
  socket.on("close", () => waiting.length > 0 && fail("Error: Server closed the connection"));
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      const reply = parse(bytes, 0);
      if (!reply) return;
      bytes = bytes.subarray(reply.next);
      waiting.shift()?.(reply.value);
    }
  });
  return {
    ask: (args) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        socket.write(encode(args));
      }),
    close: () => socket.destroy(),
  };
}

const ESCAPES = { "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u0007": "\\a", "\b": "\\b" };
const escaped = (letter) => ESCAPES[letter] ?? `\\x${letter.charCodeAt(0).toString(16).padStart(2, "0")}`;
const quoted = (bytes) => `"${bytes.toString("latin1").replace(/[\\"]|[^ -~]/g, escaped)}"`;

/** For people: types, quotes and numbered lines. */
function forPeople(reply, indent = "") {
  if (reply === null) return "(nil)";
  if (Buffer.isBuffer(reply)) return quoted(reply);
  if (!Array.isArray(reply))
    return reply.status ?? (reply.error === undefined ? `(integer) ${reply.integer}` : `(error) ${reply.error}`);
  if (reply.length === 0) return "(empty array)";
  const width = String(reply.length).length;
  return reply
    .map((item, index) => {
      const number = `${String(index + 1).padStart(width)}) `;
      return `${index ? indent : ""}${number}${forPeople(item, indent + " ".repeat(number.length))}`;
    })
    .join("\n");
}

/** For programs: the bytes, a line for each element. */
function forPrograms(reply) {
  if (reply === null) return Buffer.alloc(0);
  if (Buffer.isBuffer(reply)) return reply;
  if (!Array.isArray(reply)) return Buffer.from(reply.status ?? reply.error ?? reply.integer);
  return Buffer.concat(
    reply.flatMap((item, index) => (index ? [Buffer.from("\n"), forPrograms(item)] : [forPrograms(item)])),
  );
}

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const words = readOptions(process.argv.slice(2));
const command = options.script ? evaluation(words) : words;
const connection = open();
let failed = false;

async function run(args) {
  const reply = await connection.ask(args);
  failed ||= reply?.error !== undefined;
  process.stdout.write(
    Buffer.concat([options.raw ? forPrograms(reply) : Buffer.from(forPeople(reply)), Buffer.from("\n")]),
  );
}

if (options.password) {
  const reply = await connection.ask(["AUTH", options.user, options.password]);
  if (reply?.error !== undefined) process.stderr.write(`AUTH failed: ${reply.error}\n`);
}
if (options.db !== "0") await connection.ask(["SELECT", options.db]);
if (options.lastFromInput) await run([...command, await readAll(process.stdin)]);
else if (command.length > 0) await run(command);
else
  for await (const line of createInterface({ input: process.stdin })) {
    const words = line.match(/"(?:[^"\\]|\\.)*"|'[^']*'|\S+/g) ?? [];
    if (words.length > 0) await run(words.map((word) => word.replace(/^(["'])(.*)\1$/s, "$2")));
  }
connection.close();
process.exitCode = options.failOnError && failed ? 1 : 0;
