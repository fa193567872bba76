/**
 * Runs inside the realm. The device that connects Python with main; `runtime/bridge.py` is its only user.
 *
 * write: sends a message, and never waits for an answer. read: gives the next piece of the current message, and waits for a
 * message; a piece may be shorter than the message. lseek: commands, see {@link Host.control}, and one that brings the
 * packages in.
 */
import type { Host } from "./host.ts";
import type { DeviceOps, FileSystem } from "./pyodide.ts";

const EACCES = 2;
const EBADF = 8;

/** The command that asks for a number, and the question how many files the packages have: its answer brings them in first. */
const QUERY = 1;
const PACKAGES = 5;

/** @param loadPackages brings in the packages that main has given, and gives the number of their files */
export function installDevice(fs: FileSystem, host: Host, loadPackages: () => number): void {
  let opened: number | null = null;
  const checked = (result: number): number => {
    if (result < 0) throw new fs.ErrnoError(-result);
    return result;
  };
  const ops: DeviceOps = {
    open(stream) {
      if (opened !== null) throw new fs.ErrnoError(EACCES);
      opened = stream.fd;
    },
    write: (_stream, memory, offset, length) => checked(host.send(memory.buffer, memory.byteOffset + offset, length)),
    read: (_stream, memory, offset, length) => checked(host.receive(memory.buffer, memory.byteOffset + offset, length)),
    llseek: (_stream, offset, whence) =>
      whence === QUERY && offset === PACKAGES ? loadPackages() : checked(host.control(whence, offset)),
  };
  const device = fs.makedev(100, 1);
  fs.registerDevice(device, ops);
  fs.mkdev("/dev/gears", 0o600, device);

  // `os.closerange(3, 100)` in a script must not take the worker down with it.
  const { close } = fs;
  fs.close = (stream) => {
    if (opened !== null && stream.fd === opened) throw new fs.ErrnoError(EBADF);
    close(stream);
  };
}
