/**
 * The packages of scripts, as the rest of the server knows them. What does the work is loaded when the first script asks
 * for a package: servers without are not slower for it.
 */
import { InternalError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { CompileModules } from "../python/python-host.ts";
import type { Preload } from "../python/python-session.ts";
import { BUILT_IN } from "./built-in.ts";
import type { Installed, PackageSettings } from "./installed.ts";
import type { Installer } from "./installer.ts";
import { PackageError } from "./package-errors.ts";

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
  get #mayReplaceBuiltIn(): boolean {
    const { packagesDir, pyodidePackages, indexUrl } = this.#options.settings;
    return packagesDir !== "" || [pyodidePackages, indexUrl].some((one) => one !== "" && one !== "no");
  }

  /** Does what is required come with the server? */
  isBuiltIn(requirement: string): boolean {
    if (/^(git\+)?(https?|ssh|git):\/\//.test(requirement)) return GEARSCLIENT_URL.test(requirement);
    const name = NAME.exec(requirement)?.[1];
    return name !== undefined && BUILT_IN.has(name.toLowerCase().replaceAll(/[._-]+/g, "-"));
  }

  /** Those of these requirements that something has to be installed for. */
  toInstall(requirements: readonly string[]): string[] {
    return requirements.filter((one) => this.#mayReplaceBuiltIn || !this.isBuiltIn(one));
  }

  /**
   * Installs what `preload` names.
   * @returns undefined when it names nothing that has to be installed
   * @throws InternalError when it can not be had
   */
  async preload(): Promise<Preload | undefined> {
    const wanted = this.toInstall(this.#options.settings.preload);
    if (wanted.length === 0) return undefined;
    try {
      return await (await this.#ready()).preload(wanted);
    } catch (error) {
      throw error instanceof PackageError ? new InternalError(`option 'preload': ${error.message}`) : error;
    }
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

  /** Nobody needs these requirements together any more: what is installed for them from now on is chosen anew. */
  forget(requirements: readonly string[]): Promise<void> {
    const installer = this.#installer;
    if (!installer) return Promise.resolve();
    const forgetting = installer.then((ready) => ready.forget(this.toInstall(requirements)));
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
    await (await this.#installer)?.close();
  }

  #ready(): Promise<Installer> {
    this.#installer ??= import("./installer.ts").then(
      ({ Installer }) => new Installer({ ...this.#options, builtIn: BUILT_IN }),
    );
    return this.#installer;
  }
}
