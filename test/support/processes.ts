/** What the system says of a server's process. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { RunningRegears } from "./regears.ts";

/** Where /proc is missing, what it is asked for can not be measured. */
export const hasProc = process.platform === "linux";
export const withoutProc = hasProc ? "" : " (skipped: there is no /proc here)";

/** The process of a running server. */
export function pidOf(server: RunningRegears): number {
  const { pid } = server.process;
  if (pid === undefined) throw new Error("the server has no process");
  return pid;
}

/** Open descriptors of a process. */
export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Those of them that are sockets: interpreters, which are started and ended as needed, have others. */
export function sockets(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  const kinds = readdirSync(folder).map((name) => {
    try {
      return readlinkSync(`${folder}/${name}`);
    } catch {
      return "closed meanwhile";
    }
  });
  return kinds.filter((kind) => kind.startsWith("socket:")).length;
}

/** Memory of a process now, in bytes. */
export function residentBytes(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
  return Number(kb) * 1024;
}

/** The same in MB. */
export const residentMb = (pid: number): number => Math.round(residentBytes(pid) / 1024 / 1024);
