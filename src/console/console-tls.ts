/** TLS at the console's port, with the certificate that clients of Redis are shown. */
import type { TlsOptions } from "node:tls";
import { type Config, ConfigError, readOptionFile } from "../config.ts";

type TlsConfig = Pick<Config, "httpPort" | "httpTls" | "tlsCertFile" | "tlsKeyFile">;

/**
 * Reads the files.
 * @returns undefined when TLS is not asked for
 * @throws ConfigError when one is missing or can not be read
 */
export function consoleTls({ httpPort, httpTls, tlsCertFile, tlsKeyFile }: TlsConfig): TlsOptions | undefined {
  if (!httpTls || httpPort === 0) return undefined;
  if (tlsCertFile === "") throw new ConfigError("http-tls needs tls-cert-file");
  if (tlsKeyFile === "") throw new ConfigError("http-tls needs tls-key-file");
  return {
    cert: readOptionFile("tls-cert-file", tlsCertFile),
    key: readOptionFile("tls-key-file", tlsKeyFile),
    minVersion: "TLSv1.2",
  };
}
