// The changes of an invocation's state, in words. A kind that is new to these pages is shown under its name.
import { attemptText, endWords } from "./ends";
import { bytes, count, plural, visible } from "./format";
import type { Change, End, JsonObject } from "./types";

const NAMED = 10;

const WORDS: Record<string, string> = {
  registered: "registered",
  opened: "opened",
  "cancel-requested": "cancel was asked for",
  "lease-expired": "the lease ran out",
  ended: "ended",
  revised: "judged again",
  revived: "heard of again, and running again",
  pinned: "pinned",
  unpinned: "the pin was taken out",
};
/** What the words say already is not told again beside them. */
const SAID: Record<string, string[]> = {
  launch: ["state", "platform", "job_id", "node", "image", "url", "attempt"],
  attempt: ["attempt", "number", "name"],
  superseded: ["producers", "count"],
  finished: ["outcome", "exit_code", "launched"],
  refused: ["problem", "status", "length", "more"],
  "refusal-taken-back": ["standing"],
};

/** What happened, and what more is known of it. */
export function changeWords({ change, detail }: Change): { words: string; rest: JsonObject } {
  const told = detail ?? {};
  const said = SAID[change] ?? [];
  const rest = Object.fromEntries(Object.entries(told).filter(([name, value]) => value !== null && !said.includes(name)));
  return { words: visible(wordsOf(change, told)), rest };
}

function wordsOf(change: string, detail: JsonObject): string {
  switch (change) {
    case "launch":
      return launchWords(detail);
    case "attempt": {
      const number = attemptText((detail["attempt"] as number[] | undefined) ?? []);
      return typeof detail["name"] === "string" ? `${detail["name"]} is attempt ${number}` : `attempt ${number} begins`;
    }
    case "superseded":
      return supersededWords(detail);
    case "finished": {
      const words = endWords({ ...(detail as End), cause: null });
      return `the launcher said that it is over${words ? `: ${words}` : ""}`;
    }
    case "refused":
      return refusedWords(detail);
    case "refusal-taken-back": {
      const standing = Number(detail["standing"] ?? 0);
      return `what had been refused is stored${standing ? `, ${count(standing)} more are not` : ""}`;
    }
    default:
      return WORDS[change] ?? change.replaceAll(/[-_]/g, " ");
  }
}

/** "queued on slurm, job 4711, node n7 (attempt 1)" */
export function launchWords(detail: JsonObject): string {
  const place = [
    detail["platform"] && `on ${String(detail["platform"])}`,
    detail["job_id"] && `job ${String(detail["job_id"])}`,
    detail["node"] && `node ${String(detail["node"])}`,
    detail["image"] && `image ${String(detail["image"])}`,
    detail["url"] && String(detail["url"]),
  ].filter(Boolean);
  const state = String(detail["state"]);
  const attempt = Array.isArray(detail["attempt"]) ? ` (attempt ${attemptText(detail["attempt"] as number[])})` : "";
  return `${state}${attempt}${place.length ? ` ${place.join(", ")}` : ""}`;
}

function refusedWords({ problem, status, length, more }: JsonObject): string {
  if (typeof more === "number") return `${plural(more, "more request")} refused`;
  const size = typeof length === "number" ? `, ${bytes(length)}` : "";
  return `a request was refused: ${String(problem)}${status ? ` (${String(status)})` : ""}${size}`;
}

function supersededWords(detail: JsonObject): string {
  const names = Array.isArray(detail["producers"]) ? detail["producers"].map(String) : [];
  const number = typeof detail["count"] === "number" ? detail["count"] : names.length;
  const more = number > NAMED ? ` and ${count(number - NAMED)} more` : "";
  return `${plural(number, "process", "processes")} superseded by a newer attempt: ${names.slice(0, NAMED).join(", ")}${more}`;
}
