/** The sections that INFO shows beside the engine's: docs/spec/commands.md, section 14. */
import type { ExecutionRegistry } from "../executions/execution-registry.ts";
import type { Requirements } from "../executions/requirements.ts";
import type { SessionRegistry } from "../executions/session.ts";
import type { Registration } from "../registrations/registration.ts";
import type { RegistrationRegistry } from "../registrations/registration-registry.ts";
import { requirementLine } from "../executions/requirement-rows.ts";
import { formatDouble, sessionText } from "../registrations/registration-rows.ts";

export interface InfoSources {
  readonly registry: ExecutionRegistry;
  readonly registrations: RegistrationRegistry;
  readonly sessions: SessionRegistry;
  readonly requirements: Requirements;
  /** Bytes of the interpreters' heaps. */
  readonly memory: () => { total: number; peak: number; current: number };
  /** Lines of the section `regears`. */
  readonly regears: () => readonly string[];
}

/** INFO's arguments that show modules' sections. */
const SHOWING = new Set(["rg", "everything", "modules"]);
/** INFO's arguments that show the section `regears`. */
const SHOWING_OWN = new Set(["regears", "everything", "modules"]);

/**
 * The text of our sections, lines ended by CRLF.
 * @param sections INFO's arguments in lower case; without any the modules' sections are not shown
 */
export function infoSections(sections: readonly string[], sources: InfoSources): string {
  const parts = [
    ...(sections.some((section) => SHOWING_OWN.has(section)) ? [ownSection(sources.regears())] : []),
    ...(sections.some((section) => SHOWING.has(section)) ? [moduleSections(sources)] : []),
  ];
  return parts.join("\r\n");
}

/** The text of the section `regears`, which RG.INFO answers as well. */
export const ownSection = (lines: readonly string[]): string => ["# regears", ...lines, ""].join("\r\n");

function moduleSections(sources: InfoSources): string {
  const { registry, registrations, sessions } = sources;
  const { total, peak, current } = sources.memory();
  const all = registrations.list();
  const parts: [string, string[]][] = [
    ["rg", [`rg_nexecutions:${registry.size}`, `rg_nregistrations:${all.length}`]],
    ["rg_regisrations", all.map((registration) => `rg_${registration.id}:${registrationText(registration)}`)],
    ["rg_plugins", ["rg_GearsPythonPlugin:version=10000"]],
    ["rg_python_stats", [`rg_TotalAllocated:${total}`, `rg_PeakAllocated:${peak}`, `rg_CurrAllocated:${current}`]],
    ["rg_python_requirements", sources.requirements.list().map(requirementLine)],
    [
      "rg_python_sessions",
      [...sessions.live(), ...sessions.dead()].map((session) => `rg_${session.id}:${sessionText(session)}`),
    ],
  ];
  return parts.map(([name, lines]) => [`# ${name}`, ...lines, ""].join("\r\n")).join("\r\n");
}

function registrationText({ spec, statistics, status, session }: Registration): string {
  const list = (values: readonly string[] | undefined): string => values?.join("|") ?? "None";
  const fields: [string, string | number][] = [
    ["desc", spec.description ?? "None"],
    ["reader", spec.reader],
    ["mode", spec.mode],
    ["numTriggered", statistics.triggered],
    ["numSuccess", statistics.success],
    ["numFailures", statistics.failures],
    ["numAborted", statistics.aborted],
    ["lastRunDurationMS", statistics.lastMs],
    ["totalRunDurationMS", statistics.totalMs],
    ["avgRunDurationMS", formatDouble(statistics.averageMs)],
  ];
  if (spec.reader === "StreamReader") {
    fields.push(
      ["lastEstimatedLagMS", statistics.lastLagMs],
      ["avgEstimatedLagMS", formatDouble(statistics.averageLagMs)],
    );
  }
  fields.push(["lastError", statistics.lastError ?? "None"]);
  // RedisGears has no such field: it is there only when it says something
  if (statistics.gaps > 0) fields.push(["numEventGaps", statistics.gaps]);
  if (spec.reader === "KeysReader") {
    fields.push(
      ["regex", spec.prefix.toString()],
      ["eventTypes", list(spec.eventTypes)],
      ["keyTypes", list(spec.keyTypes)],
      ["hookCommands", list(spec.commands)],
    );
  } else if (spec.reader === "StreamReader") {
    fields.push(
      ["batchSize", spec.batch],
      ["durationMS", spec.duration],
      ["stream", spec.prefix.toString()],
      ["trimStream", spec.trimStream ? 1 : 0],
      ["onFailedPolicy", spec.onFailedPolicy],
      ["retryInterval", spec.retryInterval],
      ["status", status],
    );
  } else {
    fields.push(["trigger", spec.trigger?.toString() ?? spec.hook ?? ""], ["inorder", spec.inOrder ? 1 : 0]);
  }
  fields.push(["PD", sessionText(session).replaceAll(",", "|")]);
  // a line of INFO ends where its text does
  return fields.map(([name, value]) => `${name}=${String(value).replace(/[\r\n]/g, " ")}`).join(",");
}
