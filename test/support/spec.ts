import { type RegistrationSpec, SPEC_DEFAULTS } from "../../src/registrations/registration.ts";

/** A specification whose fields that matter to a test are given. */
export const spec = (fields: Partial<RegistrationSpec> = {}): RegistrationSpec => ({
  ...SPEC_DEFAULTS,
  reader: "KeysReader",
  mode: "async",
  // not text, and not of one kind of bytes
  blob: Buffer.from([0, 255, 10]),
  ...fields,
});
