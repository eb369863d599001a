// How work ended, in the words of its launcher or of a supervisor.
import type { End } from "./types";

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
