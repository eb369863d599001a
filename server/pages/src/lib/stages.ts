// Where launched work is on its way: queued, starting or running, for how long each, and where. Its launcher says so.
import { milliseconds } from "./format";
import type { Change, Invocation, LaunchState, Platform } from "./types";

const STATES: readonly LaunchState[] = ["submitted", "queued", "starting", "running"];

export interface Span {
  name: "queued" | "starting" | "running";
  begin: number;
  /** null: it goes on. */
  end: number | null;
}

/** The launcher's word where it says more than the status: no process has opened, or none of the newest attempt. */
export function waitingState({ status, platform, heard_at: heard }: Invocation): LaunchState | null {
  if (!platform || !STATES.includes(platform.state)) return null;
  if (status === "registered") return platform.state;
  const waitsAgain = Boolean(platform.attempt?.length) && platform.state !== "running" && (!heard || milliseconds(heard) < milliseconds(platform.at));
  return status === "running" && waitsAgain ? platform.state : null;
}

/** Queue time, start and run of the newest attempt, as far as they are known, in order. */
export function spansOf({ platform, opened_at, ended_at }: Invocation): Span[] {
  if (!platform) return [];
  const time = (text: string | null | undefined) => (text ? milliseconds(text) : null);
  const ended = time(ended_at);
  // When a process opened says nothing of an attempt after the first.
  const opened = platform.attempt?.length ? null : time(opened_at);
  const waits = time(platform.submitted_at) ?? time(platform.queued_at);
  const starts = time(platform.starting_at);
  const runs = time(platform.running_at) ?? opened;
  const found: Span[] = [];
  if (waits !== null) found.push({ name: "queued", begin: waits, end: starts ?? runs ?? ended });
  if (starts !== null) found.push({ name: "starting", begin: starts, end: runs ?? ended });
  if (runs !== null) found.push({ name: "running", begin: runs, end: ended });
  return found;
}

export const spanMillis = (span: Span, now: number): number => Math.max(0, (span.end ?? now) - span.begin);

/** How long it was in this part of its way; null where that is not known. */
export function millisIn(invocation: Invocation, name: Span["name"], now: number): number | null {
  const span = spansOf(invocation).find((one) => one.name === name);
  return span ? spanMillis(span, now) : null;
}

export interface Stage {
  state: string;
  attempt: number[];
  begin: number;
  end: number;
}

/** The stages of all attempts: older ones by when their launcher spoke, the newest by when it says that each began. */
export function stagesOf(platform: Platform | null, history: Change[], end: number): Stage[] {
  if (!platform) return [];
  const newest = platform.attempt ?? [];
  let attempt: number[] = [];
  const told = history.filter(({ change }) => change === "launch").flatMap(({ at, detail }) => {
    attempt = Array.isArray(detail?.["attempt"]) ? (detail["attempt"] as number[]) : attempt;
    return attempt.join() === newest.join() ? [] : [{ state: String(detail?.["state"]), attempt, begin: milliseconds(at) }];
  });
  for (const state of STATES) {
    const at = platform[`${state}_at`];
    if (at) told.push({ state, attempt: newest, begin: milliseconds(at) });
  }
  told.sort((left, right) => left.begin - right.begin);
  return told.map((one, index) => ({ ...one, end: Math.max(one.begin, told[index + 1]?.begin ?? end) }));
}

/** An address only where a browser may follow it. */
export function webAddress(text: string | undefined): string | null {
  if (!text) return null;
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}
