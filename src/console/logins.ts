/** Who is logged in: a cookie stands for a user of the engine, who has shown the password once. */
import { createHash, randomBytes } from "node:crypto";
import { remember } from "../newest.ts";

export interface Login {
  readonly user: string;
  /** What the browser sends back. */
  readonly token: string;
  /** Fires when it is over. */
  readonly ended: AbortSignal;
  /** Commands that are being carried out. */
  running: number;
}

interface Entry {
  readonly login: Login;
  readonly end: () => void;
  usedAt: number;
}

interface LoginOptions {
  /** Asks the engine. @returns undefined when the password is right, else the text of the engine's error */
  readonly authenticate: (user: string, password: string) => Promise<string | undefined>;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** A login that nobody has used for so long is over. */
const IDLE_MS = 60 * 60 * 1000;
/** Most logins: the one that was not used for the longest time makes room. */
const MOST = 256;
/** Wrong passwords of one address after which the others have to wait, and for how long. */
const MOST_FAILURES = 10;
const FAILURES_MS = 10_000;
/** Addresses whose failures are remembered. */
const MOST_ADDRESSES = 1024;

const TOO_MANY = "too many wrong passwords: try again in some seconds";

export class Logins {
  readonly #options: LoginOptions;
  readonly #now: () => number;
  /** By the hash of the token, so that the time which a search takes tells nothing about tokens. */
  readonly #all = new Map<string, Entry>();
  readonly #failures = new Map<string, { count: number; until: number }>();

  constructor(options: LoginOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Lets somebody in.
   * @param address from where they come
   * @returns the login, or the reason why there is none
   */
  async begin(user: string, password: string, address: string): Promise<Login | string> {
    return (await this.refusal(user, password, address)) ?? this.#add(user);
  }

  /**
   * Is this somebody's password? Wrong ones are counted.
   * @returns undefined when it is, or the reason why nobody is let in
   */
  async refusal(user: string, password: string, address: string): Promise<string | undefined> {
    const failures = this.#failuresOf(address);
    // counted beforehand, so that those that come at once count too
    if (failures.count >= MOST_FAILURES) return TOO_MANY;
    failures.count++;
    const refused = await this.#options.authenticate(user, password);
    if (refused === undefined) failures.count--;
    return refused;
  }

  /** The login of a token; undefined when it is none, or over. */
  find(token: string | undefined): Login | undefined {
    if (token === undefined) return undefined;
    const hash = hashOf(token);
    const entry = this.#all.get(hash);
    if (!entry) return undefined;
    if (this.#now() - entry.usedAt > IDLE_MS) {
      this.end(entry.login);
      return undefined;
    }
    entry.usedAt = this.#now();
    this.#all.delete(hash);
    this.#all.set(hash, entry);
    return entry.login;
  }

  end({ token }: Login): void {
    const hash = hashOf(token);
    this.#all.get(hash)?.end();
    this.#all.delete(hash);
  }

  endAll(): void {
    for (const { login } of [...this.#all.values()]) this.end(login);
  }

  #add(user: string): Login {
    const [oldest] = this.#all.values();
    if (oldest && this.#all.size >= MOST) this.end(oldest.login);
    const ended = new AbortController();
    const token = randomBytes(32).toString("base64url");
    const login: Login = { user, token, ended: ended.signal, running: 0 };
    this.#all.set(hashOf(token), { login, end: () => ended.abort(), usedAt: this.#now() });
    return login;
  }

  #failuresOf(address: string): { count: number; until: number } {
    const known = this.#failures.get(address);
    if (known && known.until > this.#now()) return known;
    const fresh = { count: 0, until: this.#now() + FAILURES_MS };
    remember(this.#failures, address, fresh, MOST_ADDRESSES);
    return fresh;
  }
}

const hashOf = (token: string): string => createHash("sha256").update(token).digest("base64");
