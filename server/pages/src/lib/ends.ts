// How work ended, in words: what its launcher or a supervisor said, and whether that alone is the verdict.
import { bytes } from "./format";
import type { End, Invocation } from "./types";

const OUTCOMES: Record<string, string> = {
  cancelled: "stopped from outside",
  "not-launched": "not launched",
  unknown: "ended, and how is not known",
};

/** "by exit code": no process reported, and the launcher's word is the verdict. Empty where a process reported. */
export function judgeWords({ judged_by: judge, exit_code: code }: { judged_by?: string | null; exit_code?: number | null }): string {
  if (!judge) return "";
  return typeof code === "number" ? "by exit code" : `by ${judge}`;
}

export function judgeSentence(invocation: Invocation): string {
  const said = endWords({ outcome: invocation.outcome, exit_code: invocation.exit_code });
  return `No process reported, and none had to: its launcher's word is the verdict${said ? ` (${said})` : ""}.`;
}

/** "failed, exit code 137, out-of-memory, signal SIGKILL, node n7": what is not known is left out. */
export function endWords({ outcome, exit_code: code, cause, launched }: End): string {
  const words: string[] = [];
  if (outcome) words.push(OUTCOMES[outcome] ?? outcome);
  else if (launched === false) words.push(OUTCOMES["not-launched"]!);
  if (typeof code === "number") words.push(`exit code ${code}`);
  if (cause) {
    words.push(cause.code);
    if (cause.signal !== undefined) words.push(`signal ${cause.signal}`);
    if (cause.exit_code !== undefined) words.push(`exit code ${cause.exit_code} of the program`);
    if (cause.peak_memory_bytes !== undefined) words.push(`at most ${bytes(cause.peak_memory_bytes)} in use`);
    if (cause.node) words.push(`node ${cause.node}`);
    if (cause.attempt) words.push(`attempt ${attemptText(cause.attempt)}`);
  }
  return words.join(", ");
}

/** What stands behind the words: the platform's own sentence, and the end of what was printed. */
export function endDetail({ cause, reason }: End): string {
  return [cause?.detail, reason].filter(Boolean).join("\n");
}

export function isFailure({ outcome, exit_code: code }: End): boolean {
  return outcome === "failed" || (typeof code === "number" && code !== 0);
}

/** An attempt's number: "1", "1.3"; the first is "0". */
export const attemptText = (attempt: number[]): string => attempt.join(".") || "0";

/** Negative when the first is older; missing numbers count as 0. */
export function compareAttempts(one: number[], other: number[]): number {
  for (let index = 0; index < Math.max(one.length, other.length); index += 1) {
    const difference = (one[index] ?? 0) - (other[index] ?? 0);
    if (difference) return difference;
  }
  return 0;
}
