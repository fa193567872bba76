/**
 * Numbers of errors in WASI (https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#errno), and the system's names
 * for them.
 */

/** The errors that the code names. */
export const Errno = {
  success: 0,
  access: 2,
  badDescriptor: 8,
  exists: 20,
  invalid: 28,
  io: 29,
  isDirectory: 31,
  loop: 32,
  noEntry: 44,
  notImplemented: 52,
  notDirectory: 54,
  readOnly: 69,
  notCapable: 76,
} as const;

const BY_CODE: Readonly<Record<string, number>> = {
  EACCES: Errno.access,
  EAGAIN: 6,
  EBADF: Errno.badDescriptor,
  EBUSY: 10,
  EDQUOT: 19,
  EEXIST: Errno.exists,
  EFBIG: 22,
  EINTR: 27,
  EINVAL: Errno.invalid,
  EIO: Errno.io,
  EISDIR: Errno.isDirectory,
  ELOOP: Errno.loop,
  EMFILE: 33,
  EMLINK: 34,
  ENAMETOOLONG: 37,
  ENFILE: 41,
  ENODEV: 43,
  ENOENT: Errno.noEntry,
  ENOMEM: 48,
  ENOSPC: 51,
  ENOSYS: Errno.notImplemented,
  ENOTDIR: Errno.notDirectory,
  ENOTEMPTY: 55,
  ENOTSUP: 58,
  ENXIO: 60,
  EPERM: 63,
  EROFS: Errno.readOnly,
  ESPIPE: 70,
  ESTALE: 72,
  ETIMEDOUT: 73,
  ETXTBSY: 74,
  EXDEV: 75,
  ENOTCAPABLE: Errno.notCapable,
};

/** An error that the server itself raises in the place of the file system, with the code that the system's would have. */
export const fileError = (code: string, path: string): Error => Object.assign(new Error(`${code}: ${path}`), { code });

/** The number for an error that `node:fs` has thrown; anything unknown is an error of the device. */
export function errnoOf(error: unknown): number {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return BY_CODE[code] ?? Errno.io;
}
