/** What connections of TLS are made with: the CAs, keys and limits that a script has given, and the server's own CAs. */
import { createHash } from "node:crypto";
import { createSecureContext, rootCertificates, type SecureContext, type SecureContextOptions } from "node:tls";
import { ReplyError } from "../errors.ts";
import { remember } from "../newest.ts";

export interface ContextSettings {
  /** Certificates of CAs, as PEM; they are added to the server's own if those are wanted, too. */
  readonly authorities: string;
  readonly defaults: boolean;
  readonly certificate: string;
  readonly key: string;
  readonly passphrase: string;
  readonly ciphers: string;
  readonly least: string;
  readonly most: string;
}

/** Making one takes milliseconds, and most programs make the same one for each connection. */
const KEPT = 32;

export class TlsContexts {
  readonly #own: string;
  readonly #kept = new Map<string, SecureContext>();

  /** @param own CAs that the operator trusts besides the usual ones, as PEM */
  constructor(own: string) {
    this.#own = own;
  }

  /** @throws ReplyError when something given is no certificate, key or cipher */
  get(settings: ContextSettings): SecureContext {
    const key = createHash("sha256").update(JSON.stringify(settings)).digest("base64");
    const known = this.#kept.get(key);
    const context = known ?? this.#make(settings);
    remember(this.#kept, key, context, KEPT);
    return context;
  }

  #make({ authorities, defaults, certificate, key, passphrase, ciphers, least, most }: ContextSettings): SecureContext {
    const given = (name: string, value: string): Record<string, string> => (value === "" ? {} : { [name]: value });
    const more = [this.#own, authorities].filter((text) => text !== "");
    // Node has the usual ones at hand, as long as no others are wanted
    const trusted = defaults
      ? more.length === 0
        ? {}
        : { ca: [...rootCertificates, ...more] }
      : { ca: [authorities] };
    try {
      return createSecureContext({
        ...trusted,
        ...given("cert", certificate),
        ...given("key", key),
        ...given("passphrase", passphrase),
        ...given("ciphers", ciphers),
        ...given("minVersion", least),
        ...given("maxVersion", most),
      } as SecureContextOptions);
    } catch (error) {
      throw new ReplyError(`TLS ${(error as Error).message}`);
    }
  }
}
