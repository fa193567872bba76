/** An index of packages (PEP 503, and PEP 691 for its JSON), with metadata apart from the files where it has them (PEP 658). */
import type { PackageCache } from "./package-cache.ts";
import { sha256Of } from "./package-cache.ts";
import type { Downloader } from "./downloader.ts";
import { PackageError } from "./package-errors.ts";
import type { Interpreter } from "./interpreter.ts";
import { Slices } from "../in-turns.ts";
import { type Metadata, parseMetadata } from "./metadata.ts";
import { isWanted } from "./requirement.ts";
import { type Candidate, choose, type Found, NOTHING, type Source } from "./source.ts";
import { type UnpackLimits, wheelMetadata } from "./wheel.ts";

interface IndexSourceOptions {
  /** Such as `https://host/simple`; may have a user and a password. */
  readonly url: string;
  readonly cache: PackageCache;
  readonly downloader: Downloader;
  readonly interpreter: Interpreter;
  readonly limits: UnpackLimits;
}

/** A file that the index lists. */
interface IndexFile {
  readonly fileName: string;
  readonly url: string;
  readonly sha256: string | undefined;
  readonly requiresPython: string | undefined;
  readonly yanked: boolean;
  /** Has it metadata of its own, and with which hash? */
  readonly metadata: boolean | string;
}

const ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";
/** Most files of a package that an index may list: the largest real ones have some ten thousand. */
const MAX_FILES = 50_000;
const HASH = /^[0-9a-f]{64}$/;
/** Attributes may have what ends the tag in quotes. Takes time in proportion to the page, whatever stands there. */
const LINK = /<a\s((?:[^"'<>]|"[^"]*"|'[^']*')*)>([^<]*)<\/a>/gi;

export class IndexSource implements Source {
  readonly label = "the index";
  readonly #options: IndexSourceOptions;

  constructor(options: IndexSourceOptions) {
    this.#options = options;
  }

  async find(name: string): Promise<Found> {
    const { downloader, interpreter, url } = this.#options;
    const page = await downloader.page({
      url: `${url.replace(/\/*$/, "")}/${encodeURIComponent(name)}/`,
      what: `the index's page of ${name}`,
      accept: ACCEPT,
    });
    if (!page) return NOTHING;
    const text = page.body.toString("utf8");
    const listed = page.type.includes("json") ? readJson(text, page.url, name) : readHtml(text, page.url);
    const fitting = await fittingFiles(listed, interpreter);
    if (!fitting) throw new PackageError(`the index's page of ${name} has more than ${MAX_FILES} files`);
    return choose(name, fitting, interpreter, (file, version) => this.#candidate(name, version, file));
  }

  #candidate(name: string, version: string, file: IndexFile): Candidate {
    const { limits } = this.#options;
    const fetch = () => this.#options.downloader.wheel(this.#withPassword(file.url), file.fileName, file.sha256);
    return {
      ...{ name, version, fileName: file.fileName, source: this.label, yanked: file.yanked },
      fetch,
      metadata: () =>
        file.metadata === false ? fetch().then(({ path }) => wheelMetadata(path, limits)) : this.#metadata(file),
    };
  }

  /** It can not change: it is kept by its hash, or that of its file. */
  async #metadata(file: IndexFile): Promise<Metadata> {
    const { cache, downloader } = this.#options;
    const key = `metadata ${file.metadata === true ? (file.sha256 ?? file.url) : file.metadata}`;
    const kept = await cache.read(key);
    if (typeof kept === "string") return parseMetadata(kept);
    const what = `the metadata of ${file.fileName}`;
    const page = await downloader.page({ url: this.#withPassword(`${file.url}.metadata`), what });
    if (!page) throw new PackageError(`${what} can not be had: the index promises it and has none`);
    if (typeof file.metadata === "string" && sha256Of(page.body) !== file.metadata) {
      throw new PackageError(`${what} has another SHA-256 than the index promises`);
    }
    const text = page.body.toString("utf8");
    await cache.keep(key, text);
    return parseMetadata(text);
  }

  /** The password of the index is for its own server. */
  #withPassword(address: string): string {
    const [index, target] = [new URL(this.#options.url), new URL(address)];
    if (index.username === "" || index.origin !== target.origin) return address;
    target.username = index.username;
    target.password = index.password;
    return target.href;
  }
}

/** Those that do not ask for another Python; undefined: they are too many. */
async function fittingFiles(listed: Iterable<IndexFile>, interpreter: Interpreter): Promise<IndexFile[] | undefined> {
  const slices = new Slices();
  const answers = new Map<string, boolean>();
  const fitting: IndexFile[] = [];
  for (const file of listed) {
    const wanted = file.requiresPython ?? "";
    const answer = answers.get(wanted) ?? (wanted === "" || fits(interpreter, wanted));
    answers.set(wanted, answer);
    if (answer) fitting.push(file);
    if (fitting.length > MAX_FILES) return undefined;
    await slices.next();
  }
  return fitting;
}

function fits({ python }: Interpreter, requiresPython: string): boolean {
  try {
    return isWanted(python, requiresPython);
  } catch {
    return true;
  }
}

interface JsonFile {
  readonly filename?: unknown;
  readonly url?: unknown;
  readonly hashes?: Readonly<Record<string, unknown>>;
  readonly "requires-python"?: unknown;
  readonly yanked?: unknown;
  readonly "core-metadata"?: unknown;
  readonly "dist-info-metadata"?: unknown;
}

function* readJson(text: string, base: string, name: string): Generator<IndexFile, void> {
  let files: unknown;
  try {
    files = (JSON.parse(text) as { files?: unknown } | null)?.files;
  } catch {
    files = undefined;
  }
  if (!Array.isArray(files)) throw new PackageError(`the index's page of ${name} can not be read`);
  for (const one of files as readonly (JsonFile | null)[]) {
    const url = typeof one?.url === "string" ? addressOf(one.url, base) : undefined;
    if (url === undefined || typeof one?.filename !== "string") continue;
    const metadata = one["core-metadata"] ?? one["dist-info-metadata"] ?? false;
    yield {
      ...{ fileName: one.filename, url },
      sha256: hashOf(one.hashes?.sha256),
      requiresPython: typeof one["requires-python"] === "string" ? one["requires-python"] : undefined,
      yanked: one.yanked !== undefined && one.yanked !== false,
      metadata:
        hashOf((metadata as { sha256?: unknown }).sha256) ?? (metadata === true || typeof metadata === "object"),
    };
  }
}

/** Made once: a page may have many thousand links. */
const PATTERNS = new Map<string, RegExp>();

/** An attribute, with or without its value. */
function patternOf(name: string): RegExp {
  const pattern =
    PATTERNS.get(name) ?? new RegExp(`(?:^|\\s)${name}(?:\\s*=\\s*(?:"([^"]*)"|'([^']*)'))?(?=\\s|$)`, "i");
  PATTERNS.set(name, pattern);
  return pattern;
}

/** The page as PEP 503 has it: links, whose attributes tell the rest. */
function* readHtml(text: string, base: string): Generator<IndexFile, void> {
  for (const [, attributes = "", label = ""] of text.matchAll(LINK)) {
    const value = (name: string): string | undefined => {
      const found = patternOf(name).exec(attributes);
      return found ? unescaped(found[1] ?? found[2] ?? "") : undefined;
    };
    const url = addressOf(value("href") ?? "", base);
    if (url === undefined) continue;
    const metadata = value("data-core-metadata") ?? value("data-dist-info-metadata");
    yield {
      ...{ fileName: unescaped(label.trim()), url: url.replace(/#.*$/, "") },
      sha256: hashOf(/#.*\bsha256=([0-9a-f]{64})/i.exec(url)?.[1]),
      requiresPython: value("data-requires-python") || undefined,
      yanked: value("data-yanked") !== undefined,
      metadata: hashOf(metadata?.replace(/^sha256=/, "")) ?? metadata === "true",
    };
  }
}

const hashOf = (value: unknown): string | undefined =>
  typeof value === "string" && HASH.test(value.toLowerCase()) ? value.toLowerCase() : undefined;

function addressOf(address: string, base: string): string | undefined {
  if (address === "" || !URL.canParse(address, base)) return undefined;
  const url = new URL(address, base);
  return /^https?:$/.test(url.protocol) ? url.href : undefined;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', "#39": "'", "#x27": "'" };
const unescaped = (text: string): string =>
  text.replaceAll(/&(lt|gt|amp|quot|#39|#x27);/g, (_whole, name: string) => ENTITIES[name] ?? "");
