// How an invocation stands, in one word and in a sentence. The badge shows the worst of verdict and checks.
import { clockTime } from "./format";
import type { BadgeName, Invocation, Reason } from "./types";

export type Standing = "succeeded" | "failed" | "cancelled" | "lost" | "incomplete" | "running" | "registered" | "warning";

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

/** "check `no_nulls` of `orders` missing; producer 2 silent since 12:04" */
export function verdictSentence(invocation: Invocation): string {
  const reasons = invocation.reasons;
  if (invocation.status === "registered") return "Waiting for the external process to open.";
  if (invocation.status === "running") {
    return invocation.cancel_requested ? "Asked to stop; the process has not ended yet." : "Running.";
  }
  const parts = reasons.slice(0, 3).map(reasonPhrase);
  if (reasons.length > 3) parts.push(reasons.length === 4 ? "one more reason below" : `${reasons.length - 3} more reasons below`);
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
      return reason.exception?.name ? `${reason.exception.name}: ${firstLine(reason.exception.message ?? "")}` : reason.detail;
    case "exit-code":
      return reason.exit_code === undefined ? reason.detail : `exit code ${reason.exit_code}`;
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
