// What the timeline draws: a lane per producer with what it reported, grouped by attempts, and the invocation's own states.
import { compareAttempts, isFailure } from "../../lib/ends";
import { clockTime, milliseconds, visible } from "../../lib/format";
import { attemptOf } from "../../lib/superseded";
import type { Change, End, Event, Producer } from "../../lib/types";

export interface Mark {
  at: number;
  kind: string;
  words: string;
}

export interface Lane {
  producer: string;
  role: string | null;
  /** Its number of the whole job; null where it has none. */
  attempt: number[] | null;
  superseded: boolean;
  marks: Mark[];
  reports: number;
  begin: number;
  /** When it closed; null: it has not. */
  end: number | null;
  /** When it was last heard of, by a report or a heartbeat. */
  heard: number;
}

/** `excuse`: why an exception makes nothing red; empty where it does. */
export function lanesOf(events: Event[], producers: Producer[], superseded: ReadonlySet<string>, excuse: (closed: Event) => string): Lane[] {
  const lanes = new Map<string, Lane>();
  for (const event of events) {
    const at = milliseconds(event.received_at);
    const lane = lanes.get(event.producer) ?? newLane(event.producer, at, superseded);
    lanes.set(event.producer, lane);
    const mark = markOf(event, at);
    const quiet = lane.superseded || (event.method === "closed" && !event.problem && excuse(event) !== "");
    // What an older attempt reported is not red, whatever it was.
    lane.marks.push(quiet && mark.kind === "bad" ? { ...mark, kind: "stale" } : mark);
    lane.reports += 1;
    lane.heard = Math.max(lane.heard, at);
    if (event.method === "closed" || event.method === "report_process_end") lane.end = at;
    else if (event.method === "opened") {
      lane.end = null;
      lane.attempt = attemptOf(event);
    }
  }
  for (const { producer, role, attempt, last_word_at: word } of producers) {
    const lane = lanes.get(producer);
    if (!lane) continue;
    lane.role = role ?? null;
    lane.attempt = attempt ?? lane.attempt;
    const heard = word ? milliseconds(word) : 0;
    if (heard <= lane.heard) continue;
    lane.heard = heard;
    // What came last was no report: a heartbeat, or a log, which has a lane of its own.
    if (lane.end === null) lane.marks.push({ at: heard, kind: "beat", words: `${clockTime(word!, { millis: true })} last heartbeat or log` });
  }
  return [...lanes.values()].sort(byAttempt);
}

function newLane(producer: string, at: number, superseded: ReadonlySet<string>): Lane {
  return { producer, role: null, attempt: null, superseded: superseded.has(producer), marks: [], reports: 0, begin: at, end: null, heard: at };
}

/** The newest attempt first, in each the superseded last. Without numbers all are of one attempt. */
function byAttempt(left: Lane, right: Lane): number {
  return compareAttempts(right.attempt ?? [], left.attempt ?? []) || Number(left.superseded) - Number(right.superseded) || left.begin - right.begin;
}

const KINDS: Record<string, string> = {
  opened: "opened",
  "cancel-requested": "bad",
  revived: "opened",
  "lease-expired": "bad",
  refused: "bad",
  attempt: "opened",
  ended: "closed",
  revised: "closed",
};

/** What is done to the record, whenever; no part of the work. */
const LATER = new Set(["pinned", "unpinned"]);

/** The changes of the invocation itself. A kind that is new to these pages is shown under its name. */
export function statesOf(history: Change[]): Mark[] {
  return history
    .filter(({ change }) => !LATER.has(change))
    .map((item) => {
      const { at, change, detail, description } = item;
      const verdict = typeof detail?.["verdict"] === "string" ? `, ${visible(detail["verdict"])}` : "";
      return { at: milliseconds(at), kind: KINDS[change] ?? "registered", words: `${clockTime(at, { millis: true })} ${visible(description)}${verdict}` };
    });
}

function markOf(event: Event, at: number): Mark {
  const when = clockTime(event.received_at, { millis: true });
  const { params } = event;
  switch (event.problem ? "rejected" : event.method) {
    case "opened":
      return { at, kind: "opened", words: `${when} opened` };
    case "closed":
      return { at, kind: params?.["exception"] ? "bad" : "closed", words: `${when} closed${params?.["exception"] ? " with an exception" : ""}` };
    case "report_process_end": {
      const end = (params ?? {}) as End;
      return { at, kind: isFailure(end) ? "bad" : "closed", words: `${when} its process ended: ${visible(event.description ?? "") || "not said how"}` };
    }
    case "report_asset_materialization":
      return { at, kind: "result", words: `${when} materialized ${visible(String(params?.["asset_key"]))}` };
    case "report_asset_observation":
      return { at, kind: "custom", words: `${when} observed ${visible(String(params?.["asset_key"]))}` };
    case "report_asset_check":
      return { at, kind: params?.["passed"] ? "good" : "bad", words: `${when} check ${visible(String(params?.["check_name"]))} ${params?.["passed"] ? "passed" : "failed"}` };
    case "rejected":
      return { at, kind: "bad", words: `${when} ${visible(event.method ?? "message")} rejected` };
    default:
      return { at, kind: "custom", words: `${when} ${visible(event.method ?? "message")}` };
  }
}
