/** A wheel that is asked for by its address (`name @ URL`). */
import { basename, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import type { Downloader } from "./downloader.ts";
import type { PackageSettings } from "./installed.ts";
import type { Interpreter } from "./interpreter.ts";
import { isAddress } from "./lock-source.ts";
import { parseWheelName, rankOf } from "./metadata.ts";
import { PackageError } from "./package-errors.ts";
import type { Requirement } from "./requirement.ts";
import type { Candidate } from "./source.ts";
import { type UnpackLimits, wheelMetadata } from "./wheel.ts";

interface AddressedOptions {
  readonly downloader: Downloader;
  readonly settings: Pick<PackageSettings, "indexUrl" | "pyodidePackages" | "packagesDir">;
  readonly interpreter: Pick<Interpreter, "tags">;
  readonly limits: UnpackLimits;
}

/** The source of such wheels. */
export const BY_ADDRESS = "its address";

/**
 * The one that a requirement names.
 * @throws PackageError when it is none, or lies where the server does not get packages from: scripts may not send it elsewhere
 */
export async function addressed(
  { name, url = "", text }: Requirement,
  { downloader, settings, interpreter, limits }: AddressedOptions,
): Promise<Candidate> {
  const fileName = fileNameOf(url);
  const wheelName = parseWheelName(fileName);
  if (!wheelName) throw new PackageError(`'${text}': the address is not that of a wheel`);
  if (!isAllowed(url, settings)) {
    throw new PackageError(
      `'${text}': wheels are got by address only from index-url, pyodide-packages and packages-dir`,
    );
  }
  if (rankOf(wheelName.tags, interpreter.tags) === undefined) {
    throw new PackageError(`${name}: ${fileName} is not for this interpreter`);
  }
  const sha256 = /#.*\bsha256=([0-9a-f]{64})/.exec(url)?.[1];
  const fetch = () => downloader.wheel(url.replace(/#.*$/, ""), fileName, sha256);
  return {
    ...{ name, version: wheelName.version, fileName, source: BY_ADDRESS, yanked: false, address: url },
    fetch,
    metadata: () => fetch().then(({ path }) => wheelMetadata(path, limits)),
  };
}

/** Empty when it is no address. */
function fileNameOf(address: string): string {
  try {
    return decodeURIComponent(basename(new URL(address).pathname));
  } catch {
    return "";
  }
}

function isAllowed(address: string, { indexUrl, pyodidePackages, packagesDir }: AddressedOptions["settings"]): boolean {
  const url = new URL(address);
  if (url.protocol === "file:") return packagesDir !== "" && isFileOf(packagesDir, url);
  const origins = [indexUrl, pyodidePackages].filter(isAddress).map((one) => new URL(one).origin);
  return origins.includes(url.origin);
}

function isFileOf(folder: string, url: URL): boolean {
  try {
    return resolve(fileURLToPath(url)).startsWith(resolve(folder) + sep);
  } catch {
    // another machine's, or a name with a slash in it
    return false;
  }
}
