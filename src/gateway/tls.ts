/** Listening with TLS, in the terms of redis.conf. */
import type { TLSSocket, TlsOptions } from "node:tls";
import { ConfigError, readOptionFile } from "../config.ts";

/** Options as they stand in the configuration; files by their paths, empty when not given. */
interface TlsConfig {
  readonly tlsPort: number;
  readonly tlsCertFile: string;
  readonly tlsKeyFile: string;
  readonly tlsCaCertFile: string;
  readonly tlsAuthClients: "yes" | "no" | "optional";
}

/** How to listen with TLS. */
export interface TlsListening {
  readonly port: number;
  readonly options: TlsOptions;
  /** A client may come without a certificate, but not with a bad one. */
  readonly optional: boolean;
}

/** Milliseconds that a client may take for the handshake: until then it has cost nothing but a socket. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * Reads the files.
 * @returns undefined when TLS is not asked for
 * @throws ConfigError when something is missing or can not be read
 */
export function tlsListening(config: TlsConfig): TlsListening | undefined {
  const { tlsPort, tlsCertFile, tlsKeyFile, tlsCaCertFile, tlsAuthClients } = config;
  if (tlsPort === 0) return undefined;
  if (tlsCertFile === "") throw new ConfigError("tls-port needs tls-cert-file");
  if (tlsKeyFile === "") throw new ConfigError("tls-port needs tls-key-file");
  if (tlsCaCertFile === "" && tlsAuthClients !== "no") {
    throw new ConfigError("tls-auth-clients needs tls-ca-cert-file; `tls-auth-clients no` asks for no certificates");
  }
  const options: TlsOptions = {
    cert: readOptionFile("tls-cert-file", tlsCertFile),
    key: readOptionFile("tls-key-file", tlsKeyFile),
    ...(tlsCaCertFile === "" ? {} : { ca: readOptionFile("tls-ca-cert-file", tlsCaCertFile) }),
    requestCert: tlsAuthClients !== "no",
    rejectUnauthorized: tlsAuthClients === "yes",
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    minVersion: "TLSv1.2",
  };
  return { port: tlsPort, options, optional: tlsAuthClients === "optional" };
}

/** Has the client shown a certificate that is not good? Node lets it in when certificates are optional. */
export const hasBadCertificate = (socket: TLSSocket): boolean =>
  !socket.authorized && socket.getPeerX509Certificate() !== undefined;
