/** The values that `RG.CONFIGGET` and `RG.CONFIGSET` see, and those that change while the server runs. */
import { type Config, camelCase, type GearsName, type OptionSpec, type OptionValue, optionEntries } from "./options.ts";
import { parseInteger, sameGearsName, splitGearsOption } from "./values.ts";

/** Options that change at runtime, by their RedisGears names. */
export type RuntimeKey =
  | "MaxExecutions"
  | "MaxExecutionsPerRegistration"
  | "ProfileExecutions"
  | "ExecutionTimeout"
  | "MaxResultsMemory"
  | "SlowExecutionMs"
  | "ExecutionMaxIdleTime"
  | "SendMsgRetries"
  | "PythonAttemptTraceback"
  | "PythonInstallReqMaxIdleTime";

/** How an attempt to set a value ended. The text of the reply is the command's. */
export type SetOutcome = "set" | "saved" | "bad-core" | "fixed-core" | "bad-python" | "fixed-python" | "no-value";

/** A value as it is shown: a number, bytes, or a list of texts. */
type ShownValue = bigint | Buffer | readonly string[];

interface Slot {
  readonly gears: GearsName;
  readonly spec: OptionSpec;
  value: ShownValue;
}

/**
 * Holds the values by key. Keys and user values are bytes: they are compared and given back exactly as they came.
 */
export class RuntimeConfig {
  readonly #slots = new Map<string, Slot>();
  /** User options and the Python options that were set explicitly, by the key's bytes; what scripts can read. */
  readonly #extra = new Map<string, Buffer>();
  readonly #listeners = new Map<string, ((value: number) => void)[]>();

  /** Starts with the values of the configuration. */
  constructor(config: Config) {
    for (const [name, spec] of optionEntries)
      if (spec.gears)
        this.#slots.set(spec.gears.name, {
          gears: spec.gears,
          spec,
          value: shown(config[camelCase(name)] as OptionValue),
        });
    for (const [name, value] of config.gearsOption.map(splitGearsOption)) {
      const slot = this.#slot(name);
      if (slot?.gears.owner !== "core") this.#extra.set(latin1(Buffer.from(name)), Buffer.from(value));
    }
  }

  /** The present value; 1 or 0 for a switch. */
  get(key: RuntimeKey): number {
    return Number(this.#slots.get(key)?.value);
  }

  /** Calls `listener` with the new value after each change of it. */
  onChange(key: RuntimeKey, listener: (value: number) => void): void {
    this.#listeners.set(key, [...(this.#listeners.get(key) ?? []), listener]);
  }

  /** What `RG.CONFIGGET` shows for a key; undefined when there is none. Keys are case-sensitive. */
  show(key: Buffer): ShownValue | undefined {
    return this.#slots.get(key.toString())?.value ?? this.#extra.get(latin1(key));
  }

  /** What `configGet` gives a script: user options and Python options set explicitly, never core options. */
  forScripts(key: string): Buffer | undefined {
    return this.#extra.get(latin1(Buffer.from(key)));
  }

  /** What `RG.CONFIGSET` does with one pair. Nothing changes unless the outcome is `set` or `saved`. */
  set(key: Buffer, value: Buffer | undefined): SetOutcome {
    const slot = this.#slot(key.toString());
    if (slot?.gears.owner === "core") return this.#setCore(slot, value);
    if (value === undefined) return "no-value";
    if (slot) {
      if (!slot.gears.runtime) return "fixed-python";
      const parsed = parseSlot(slot.spec, value);
      if (parsed === undefined) return "bad-python";
      this.#assign(slot, parsed);
    }
    this.#extra.set(latin1(key), value);
    return "saved";
  }

  #setCore(slot: Slot, value: Buffer | undefined): SetOutcome {
    if (!slot.gears.runtime) return "fixed-core";
    const parsed = value && parseSlot(slot.spec, value);
    if (parsed === undefined) return "bad-core";
    this.#assign(slot, parsed);
    return "set";
  }

  #assign(slot: Slot, value: bigint): void {
    slot.value = value;
    for (const listener of this.#listeners.get(slot.gears.name) ?? []) listener(Number(value));
  }

  #slot(name: string): Slot | undefined {
    for (const slot of this.#slots.values()) if (sameGearsName(slot.gears, name)) return slot;
    return undefined;
  }
}

/** A map key that distinguishes all byte strings, also those that are not UTF-8. */
const latin1 = (bytes: Buffer): string => bytes.toString("latin1");

function shown(value: OptionValue): ShownValue {
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "number") return BigInt(value);
  return typeof value === "string" ? Buffer.from(value) : value;
}

/**
 * Reads a value that is set at runtime: a whole number of 64 bits, as RedisGears reads it. Where a limit in the table is only the
 * largest number that JavaScript can count with, larger values are taken, too.
 */
function parseSlot(spec: OptionSpec, bytes: Buffer): bigint | undefined {
  const value = parseInteger(bytes.toString("latin1"));
  if (value === undefined) return undefined;
  if (spec.kind === "switch") return value === 0n ? 0n : 1n;
  if (!("min" in spec)) return value;
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = spec;
  if (min !== Number.MIN_SAFE_INTEGER && value < BigInt(min)) return undefined;
  return max !== Number.MAX_SAFE_INTEGER && value > BigInt(max) ? undefined : value;
}
