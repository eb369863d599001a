// How an invocation stands, in one word: the badge shows the worst of verdict and checks.
import type { BadgeName, Invocation, LaunchState } from "./types";

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
  const { waiting: state } = invocation;
  if (state === null || invocation.cancel_requested || !["registered", "running"].includes(invocation.badge)) return badgeOf(invocation.badge);
  const [kind, words] = state === "running" && invocation.pipes === "optional" ? BADGES.running : STAGES[state];
  return { kind, words };
}

export function producerName(producer: string): string {
  return producer.length > 20 ? `${producer.slice(0, 17)}…` : producer;
}
