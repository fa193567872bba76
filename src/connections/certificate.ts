/** A certificate as Python's ssl module shows it. */
import type { PeerCertificate } from "node:tls";
import type { MarshalValue } from "../python/marshal.ts";

/** Names of parts of a subject in Python, by those in Node. */
const PARTS: Readonly<Record<string, string>> = {
  C: "countryName",
  ST: "stateOrProvinceName",
  L: "localityName",
  O: "organizationName",
  OU: "organizationalUnitName",
  CN: "commonName",
  emailAddress: "emailAddress",
};

/** Its bytes, subject, issuer, alternative names, and from when to when it is good; null: there is none. */
export function certificateFields(certificate: PeerCertificate | undefined): MarshalValue {
  if (!certificate) return null;
  const { raw, subject, issuer, subjectaltname = "", valid_from, valid_to, serialNumber } = certificate;
  return [
    raw,
    partsOf(subject as unknown as Readonly<Record<string, unknown>>),
    partsOf(issuer as unknown as Readonly<Record<string, unknown>>),
    alternatives(subjectaltname),
    valid_from,
    valid_to,
    serialNumber,
  ];
}

const partsOf = (name: Readonly<Record<string, unknown>> | undefined): [string, string][] =>
  Object.entries(name ?? {}).flatMap(([part, value]) =>
    [value].flat().map((one): [string, string] => [PARTS[part] ?? part, String(one)]),
  );

/** Such as `DNS:localhost, IP Address:127.0.0.1`. */
const alternatives = (text: string): [string, string][] =>
  text
    .split(", ")
    .filter((part) => part.includes(":"))
    .map((part) => [part.slice(0, part.indexOf(":")), part.slice(part.indexOf(":") + 1)]);
