// Which producers a newer attempt has superseded, and which of several reports on one asset or check stands.
import { compareAttempts } from "./ends";
import type { Event, Invocation } from "./types";

export const hasNote = (event: Event, code: string): boolean => (event.notes ?? []).some((note) => note.code === code);

/** As many producers the server lists, superseded ones last: where one of those is listed, all that count are. */
const LISTED = 100;

/** Of producers that are not listed their own events tell, and that the list is full. */
export function supersededProducers(invocation: Invocation, events: Event[]): ReadonlySet<string> {
  const found = new Set<string>();
  if (!invocation.notes.length && !invocation.attempts?.length) return found;
  const known = new Map<string, boolean>();
  for (const list of [invocation.receipt?.producers, invocation.producers]) {
    for (const one of list ?? []) known.set(one.producer, one.superseded === true);
  }
  for (const [producer, superseded] of known) if (superseded) found.add(producer);
  const hidden = known.size >= LISTED && found.size > 0;
  const newest = invocation.attempt ?? [];
  for (const event of events) {
    if (hasNote(event, "superseded")) found.add(event.producer);
    else if (event.method === "opened" && !known.has(event.producer)) {
      const own = attemptOf(event);
      if (hidden || (own && compareAttempts(own, newest) < 0)) found.add(event.producer);
    }
  }
  return found;
}

/** The number that a producer gave itself in its `opened`. */
export function attemptOf(opened: Event): number[] | null {
  const extras = opened.params?.["extras"];
  const attempt = extras && typeof extras === "object" && !Array.isArray(extras) ? extras["attempt"] : null;
  return Array.isArray(attempt) && attempt.every((number) => typeof number === "number") ? (attempt as number[]) : null;
}

export interface Standing {
  standing: Event[];
  /** Reports of older attempts whose place newer ones have taken. */
  replaced: Event[];
}

/** Of reports on one asset (or check) those stand that came since the last one that took another's place. */
export function standingReports(events: Event[]): Standing {
  if (!events.some((event) => event.notes?.length)) return { standing: events, replaced: [] };
  const groups = new Map<string, Event[]>();
  for (const event of events) {
    const key = JSON.stringify([event.params?.["asset_key"], event.params?.["check_name"] ?? null]);
    const group = groups.get(key);
    if (group) group.push(event);
    else groups.set(key, [event]);
  }
  const stands = new Set<Event>();
  for (const group of groups.values()) {
    const current = group.filter((event) => !hasNote(event, "superseded"));
    const candidates = current.length ? current : group;
    const from = candidates.findLastIndex((event) => hasNote(event, "replaces"));
    for (const event of candidates.slice(Math.max(0, from))) stands.add(event);
  }
  return { standing: events.filter((event) => stands.has(event)), replaced: events.filter((event) => !stands.has(event)) };
}

/** An older attempt's exception makes nothing red, nor does a client's own close at a signal that something else explains. */
export function excuseOf(invocation: Invocation, { producer, params }: Event, superseded: ReadonlySet<string>): string {
  if (superseded.has(producer)) return "of an older attempt";
  const blamed = invocation.reasons.some((reason) => reason.code === "exception" && (reason.producer ?? producer) === producer);
  return params?.["signal"] && invocation.status === "ended" && !blamed ? `the client closed by itself because of ${String(params["signal"])}` : "";
}
