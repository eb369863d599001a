// The changes of an invocation's state, in words. A kind that is new to these pages is shown under its name.
import { attemptText, endWords } from "./ends";
import { bytes, count, plural, visible } from "./format";
import type { Change, ChangeDetail, JsonObject, Platform } from "./types";

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
  const said = SAID[change] ?? [];
  const rest = Object.fromEntries(Object.entries(detail).filter(([name, value]) => value !== null && !said.includes(name)));
  return { words: visible(wordsOf(change, detail)), rest };
}

function wordsOf(change: string, detail: ChangeDetail): string {
  switch (change) {
    case "launch":
      return launchWords(detail);
    case "attempt": {
      const number = attemptText(detail.attempt ?? []);
      return detail.name === undefined ? `attempt ${number} begins` : `${detail.name} is attempt ${number}`;
    }
    case "superseded":
      return supersededWords(detail);
    case "finished": {
      const words = endWords({ ...detail, cause: null });
      return `the launcher said that it is over${words ? `: ${words}` : ""}`;
    }
    case "refused":
      return refusedWords(detail);
    case "refusal-taken-back": {
      const standing = detail.standing ?? 0;
      return `what had been refused is stored${standing ? `, ${count(standing)} more are not` : ""}`;
    }
    default:
      return WORDS[change] ?? change.replaceAll(/[-_]/g, " ");
  }
}

/** "queued on slurm, job 4711, node n7 (attempt 1)" */
export function launchWords({ state, attempt, platform, job_id: job, node, image, url }: Partial<Platform>): string {
  const place = [platform && `on ${platform}`, job && `job ${job}`, node && `node ${node}`, image && `image ${image}`, url].filter(Boolean);
  const number = attempt ? ` (attempt ${attemptText(attempt)})` : "";
  return `${state}${number}${place.length ? ` ${place.join(", ")}` : ""}`;
}

function refusedWords({ problem, status, length, more }: ChangeDetail): string {
  if (more !== undefined) return `${plural(more, "more request")} refused`;
  return `a request was refused: ${problem}${status ? ` (${status})` : ""}${length === undefined ? "" : `, ${bytes(length)}`}`;
}

function supersededWords({ producers: names = [], count: number = names.length }: ChangeDetail): string {
  const more = number > NAMED ? ` and ${count(number - NAMED)} more` : "";
  return `${plural(number, "process", "processes")} superseded by a newer attempt: ${names.slice(0, NAMED).join(", ")}${more}`;
}
