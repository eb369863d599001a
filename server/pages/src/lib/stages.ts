// Where launched work is on its way: queued, starting or running, for how long each, and where. Its launcher says so.
import { milliseconds } from "./format";
import type { Change, Invocation, LaunchState, Platform, Stage } from "./types";

const STATES: readonly LaunchState[] = ["submitted", "queued", "starting", "running"];

/** How long a stage took; of one that goes on, how long it takes already. */
export const stageMillis = ({ begin, end }: Stage, now: number): number => Math.max(0, (end ? milliseconds(end) : now) - milliseconds(begin));

/** How long it was in this part of its way; null where that is not known. */
export function millisIn(invocation: Invocation, name: Stage["name"], now: number): number | null {
  const stage = invocation.stages.find((one) => one.name === name);
  return stage ? stageMillis(stage, now) : null;
}

/** A stage of any attempt, as the timeline draws it. */
export interface DrawnStage {
  state: string;
  attempt: number[];
  begin: number;
  end: number;
}

/** The stages of all attempts: older ones by when their launcher spoke, the newest by when it says that each began. */
export function stagesOf(platform: Platform | null, history: Change[], end: number): DrawnStage[] {
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
