// How an invocation stands, in one word and in a sentence. The badge shows the worst of verdict and checks.
import { clockTime } from "./format";
import type { Invocation, Reason, Verdict } from "./types";

export type Standing = Verdict | "running" | "registered" | "warning";

/** What the list tells about checks, where it does. */
export interface CheckCounts {
  failed: number;
  warned: number;
  passed: number;
}

export function checkCounts(invocation: Invocation): CheckCounts | null {
  const found = invocation["checks"] as Partial<Record<"failed" | "warned" | "passed", number>> | undefined;
  return found ? { failed: found.failed ?? 0, warned: found.warned ?? 0, passed: found.passed ?? 0 } : null;
}

/** The verdict, or the status where there is none yet; a green verdict with a failed check is no green badge. */
export function standing(invocation: Invocation, checks: CheckCounts | null = checkCounts(invocation)): { kind: Standing; words: string } {
  if (invocation.status !== "ended") {
    if (invocation.cancel_requested) return { kind: "running", words: "stopping" };
    return { kind: invocation.status, words: invocation.status === "registered" ? "waiting" : "running" };
  }
  const verdict = invocation.verdict ?? "incomplete";
  if (verdict === "succeeded" && checks && checks.failed > 0) {
    return { kind: "failed", words: checks.failed === 1 ? "check failed" : `${checks.failed} checks failed` };
  }
  if (verdict === "succeeded" && checks && checks.warned > 0) return { kind: "warning", words: "check warned" };
  return { kind: verdict, words: verdict };
}

/** "incomplete: check `no_nulls` of `orders` missing; producer 2 silent since 12:04" */
export function verdictSentence(invocation: Invocation, reasons: Reason[] = invocation.reasons): string {
  if (invocation.status === "registered") return "Waiting for the external process to open.";
  if (invocation.status === "running") {
    return invocation.cancel_requested ? "Asked to stop; the process has not ended yet." : "Running.";
  }
  const parts = reasons.slice(0, 3).map(reasonPhrase);
  if (reasons.length > 3) parts.push(`${reasons.length - 3} more reasons below`);
  switch (invocation.verdict) {
    case "succeeded":
      return "The process closed cleanly, every numbered event is stored, and everything expected was reported.";
    case "lost":
      return parts.join("; ") || `Nothing was heard any more${invocation.lease_expires_at ? ` after ${clockTime(invocation.lease_expires_at)}` : ""}.`;
    default:
      return parts.join("; ") || "No reason was given.";
  }
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
      return reason.detail.replace(/\.$/, "");
  }
}

function firstLine(text: string): string {
  const line = text.trim().split("\n")[0] ?? "";
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

export function producerName(producer: string): string {
  return producer.length > 20 ? `${producer.slice(0, 17)}…` : producer;
}
