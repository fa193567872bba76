/**
 * The two kinds of failure. A {@link ReplyError} is the caller's fault and its text is the error reply, byte for byte;
 * an {@link InternalError} is ours: it is logged, and the caller is told only that something went wrong.
 */

/** The caller's fault: `message` is the whole text of the error reply (no `ERR` is added). */
export class ReplyError extends Error {
  override name = "ReplyError";
}

/** Our fault: an invariant broke, a worker died, the engine answered nonsense. */
export class InternalError extends Error {
  override name = "InternalError";
}

/** The standard arity error of Redis, for a command's lower-case name. */
export const arityError = (command: string): ReplyError =>
  new ReplyError(`ERR wrong number of arguments for '${command}' command`);

/** What went wrong, in words. */
export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
