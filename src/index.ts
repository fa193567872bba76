/** What programs that embed Regears import. */
export type { Config } from "./config.ts";
export { ConfigError } from "./config.ts";
export { InternalError, ReplyError } from "./errors.ts";
export type { RegearsServer } from "./running.ts";
export { createServer, type ServerOptions } from "./server.ts";
