/** The parts of redis-parser 3.0.0 that are used; the package has no types of its own. */
declare module "redis-parser" {
  export default class RedisParser {
    constructor(options: {
      returnReply(reply: unknown): void;
      returnError(error: Error): void;
      returnFatalError?(error: Error): void;
      returnBuffers?: boolean;
      /** Integers come as strings of their digits. */
      stringNumbers?: boolean;
    });
    execute(bytes: Buffer): void;
  }
}
