/** For tests of programs that use gears: a server of their own, which is emptied, waited for, and whose clock is moved. */
export { startServer, type TestServer, type TestServerOptions } from "./testing/test-server.ts";
export type { LogLine } from "./testing/log-lines.ts";
