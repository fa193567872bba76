/**
 * The packages of scripts, as the rest of the server knows them. What does the work is loaded when the first script asks
 * for a package: servers without are not slower for it.
 */
import type { Logger } from "../log.ts";
import type { CompileModules } from "../python/python-host.ts";
import { BUILT_IN } from "./built-in.ts";
import type { Installed, PackageSettings } from "./installed.ts";
import type { Installer } from "./installer.ts";

interface PackagesOptions {
  readonly settings: PackageSettings;
  readonly compile: CompileModules;
  /** Milliseconds without progress after which a download is given up. */
  readonly idleMs: () => number;
  readonly log: Logger;
}

/** The repository of gearsclient, which it requires of itself. */
const GEARSCLIENT_URL = /\/redisgears-py(\.git)?(@[^/]*)?(#.*)?$/i;
/** The name of a requirement: what stands before extras, versions and markers. */
const NAME = /^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:$|[[(<>=!~;@\s])/;

export class Packages {
  readonly #options: PackagesOptions;
  #installer: Promise<Installer> | undefined;
  #forgetting: Promise<unknown> = Promise.resolve();

  constructor(options: PackagesOptions) {
    this.#options = options;
  }

  /** Is there a place that the operator has named where the real packages may be of what comes with the server? */
  get mayReplaceBuiltIn(): boolean {
    const { packagesDir, pyodidePackages, indexUrl } = this.#options.settings;
    return packagesDir !== "" || [pyodidePackages, indexUrl].some((one) => one !== "" && one !== "no");
  }

  /** Does what is required come with the server? */
  isBuiltIn(requirement: string): boolean {
    if (/^(git\+)?(https?|ssh|git):\/\//.test(requirement)) return GEARSCLIENT_URL.test(requirement);
    const name = NAME.exec(requirement)?.[1];
    return name !== undefined && BUILT_IN.has(name.toLowerCase().replaceAll(/[._-]+/g, "-"));
  }

  /**
   * Installs packages for these requirements, all together; what was installed before is used again.
   * @param force choose anew
   * @throws PackageError when they can not be had, InstallError when they can not be used
   */
  async install(requirements: readonly string[], force: boolean): Promise<Installed> {
    const installer = await this.#ready();
    await this.#forgetting;
    return installer.install(requirements, force);
  }

  /** Nobody needs this requirement any more: what is installed for it from now on is chosen anew. */
  forget(requirement: string): Promise<void> {
    const installer = this.#installer;
    if (!installer) return Promise.resolve();
    const forgetting = installer.then((ready) => ready.forget(requirement));
    // whoever called is told of an error
    this.#forgetting = Promise.allSettled([this.#forgetting, forgetting]);
    return forgetting;
  }

  /** The folder where packages are kept. */
  async folder(): Promise<string> {
    return (await this.#ready()).folder;
  }

  /** A requirement that was installed, in chunks for another server. */
  async exported(requirement: string): Promise<Buffer[] | undefined> {
    return (await this.#ready()).exported(requirement);
  }

  /** Installs what another server has exported. @returns the requirement */
  async import(chunks: readonly Buffer[]): Promise<string> {
    return (await this.#ready()).import(chunks);
  }

  async close(): Promise<void> {
    (await this.#installer)?.close();
  }

  #ready(): Promise<Installer> {
    this.#installer ??= import("./installer.ts").then(
      ({ Installer }) => new Installer({ ...this.#options, builtIn: BUILT_IN }),
    );
    return this.#installer;
  }
}
