// How an invocation stands, in one word and in a sentence. The badge shows the worst of verdict and checks.
import { exceptionText } from "./exceptions";
import { attemptText, judgeSentence } from "./ends";
import { clockTime } from "./format";
import { waitingState } from "./stages";
import type { BadgeName, Invocation, LaunchState, Reason } from "./types";

export type Standing = "succeeded" | "failed" | "cancelled" | "lost" | "incomplete" | "running" | "registered" | "warning" | "queued" | "starting";

const BADGES: Record<BadgeName, [Standing, string]> = {
  registered: ["registered", "waiting"],
  running: ["running", "running"],
  cancelling: ["running", "stopping"],
  succeeded: ["succeeded", "succeeded"],
  warned: ["warning", "check warned"],
  "check-failed": ["failed", "check failed"],
  failed: ["failed", "failed"],
  cancelled: ["cancelled", "cancelled"],
  lost: ["lost", "lost"],
  incomplete: ["incomplete", "incomplete"],
};

/** What is drawn for a badge. A name that is new to these pages is shown as it is. */
export function badgeOf(name: string): { kind: Standing; words: string } {
  const [kind, words] = BADGES[name as BadgeName] ?? (["registered", name] as const);
  return { kind, words };
}

const STAGES: Record<LaunchState, [Standing, string]> = {
  submitted: ["queued", "submitted"],
  queued: ["queued", "queued"],
  starting: ["starting", "starting"],
  running: ["starting", "not opened"],
};

/** The badge with what the launcher says of work that waits: queued, and not silent. */
export function badgeFor(invocation: Invocation): { kind: Standing; words: string } {
  const state = waitingState(invocation);
  if (state === null || invocation.cancel_requested || !["registered", "running"].includes(invocation.badge)) return badgeOf(invocation.badge);
  const [kind, words] = state === "running" && invocation.pipes === "optional" ? BADGES.running : STAGES[state];
  return { kind, words };
}

function waitingSentence(invocation: Invocation, state: LaunchState): string {
  const { platform, job_id: job, node, attempt } = invocation.platform ?? {};
  const place = [platform && ` on ${quoted(platform)}`, job && ` as job ${quoted(job)}`, node && ` on node ${quoted(node)}`].filter(Boolean).join("");
  if (state === "running") {
    const next = invocation.pipes === "optional" ? "No process has to open: its launcher's word will be the verdict." : "No process has opened yet.";
    return `Its launcher says that it runs${place}. ${next}`;
  }
  const which = attempt?.length ? `Attempt ${attemptText(attempt)}: ${state}` : capital(state);
  return `${which}${place}. No process has opened${attempt?.length ? " in it" : ""} yet.`;
}

/** A name from outside within a sentence: shown as code, and never the end of it. */
const quoted = (text: string): string => `\`${text.replaceAll("`", "'")}\``;

/** "check `no_nulls` of `orders` missing; producer 2 silent since 12:04" */
export function verdictSentence(invocation: Invocation): string {
  const reasons = invocation.reasons;
  const waits = waitingState(invocation);
  if (waits !== null && !invocation.cancel_requested) return waitingSentence(invocation, waits);
  if (invocation.status === "registered") return "Waiting for the external process to open.";
  if (invocation.status === "running") {
    return invocation.cancel_requested ? "Asked to stop; the process has not ended yet." : "Running.";
  }
  const parts = reasons.slice(0, 3).map(reasonPhrase);
  if (reasons.length > 3) parts.push(reasons.length === 4 ? "one more reason below" : `${reasons.length - 3} more reasons below`);
  if (invocation.verdict === "succeeded" && invocation.judged_by) return judgeSentence(invocation);
  if (invocation.verdict === "succeeded") {
    return "The process closed cleanly, every numbered event is stored, and everything expected was reported.";
  }
  if (parts.length) return capital(parts.join("; "));
  return invocation.heard_at ? `Nothing was heard after ${clockTime(invocation.heard_at)}.` : "No reason was given.";
}

function reasonPhrase(reason: Reason): string {
  switch (reason.code) {
    case "missing-check":
      return reason.check_name ? `check \`${reason.check_name}\`${reason.asset_key ? ` of \`${reason.asset_key}\`` : ""} missing` : reason.detail;
    case "missing-materialization":
      return reason.asset_key ? `\`${reason.asset_key}\` was not materialized` : reason.detail;
    case "exception":
      return reason.exception?.name ? firstLine(exceptionText(reason.exception)) : reason.detail;
    case "exit-code":
      // What it printed stands below.
      return inner((reason.detail.split(" The end of what it said: ")[0] ?? "").replace(/\.$/, ""));
    default:
      return inner(reason.detail.replace(/\.$/, ""));
  }
}

/** A sentence as a part of another one; names and abbreviations keep their capitals. */
const inner = (text: string): string => (/^[A-Z][a-z]+ /.test(text) ? text.slice(0, 1).toLowerCase() + text.slice(1) : text);

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

function firstLine(text: string): string {
  const line = text.trim().split("\n")[0] ?? "";
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

export function producerName(producer: string): string {
  return producer.length > 20 ? `${producer.slice(0, 17)}…` : producer;
}
