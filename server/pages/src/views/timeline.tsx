// When what happened: a lane for the invocation's own states, one for its logs, and one per producer with what it reported
// and how long it was heard of. Single heartbeats are not kept: of each producer the last sign of life is.
import { useMemo, useState } from "preact/hooks";
import { get } from "../lib/api";
import { clockTime, count, duration, milliseconds, visible } from "../lib/format";
import { useLoaded } from "../lib/load";
import { producerName } from "../lib/standing";
import type { Change, Event, Invocation, Producer } from "../lib/types";
import { Panel } from "../parts/common";
import { LogLane, useDensity } from "./log_density";
import type { Results } from "./use_results";

const WIDTH = 1000;
const LANE = 26;
const LANES = 8;
/** Marks of one kind that lie closer than this, in thousandths of the width, are drawn once. */
const NEAR = 3;
const HEARTBEAT_MILLISECONDS = 500;

interface Mark {
  at: number;
  kind: string;
  words: string;
}

interface Lane {
  producer: string;
  marks: Mark[];
  reports: number;
  begin: number;
  /** When it closed; null: it has not. */
  end: number | null;
  /** When it was last heard of, by a report or a heartbeat. */
  heard: number;
}

export function Timeline({ invocation, results, now }: { invocation: Invocation; results: Results; now: number }) {
  const [all, setAll] = useState(false);
  const begin = milliseconds(invocation.created_at);
  const end = Math.max(invocation.ended_at ? milliseconds(invocation.ended_at) : now, begin + 10);
  const producers = invocation.receipt?.producers ?? invocation.producers;
  const lanes = useMemo(() => lanesOf(results, producers ?? []), [results, producers]);
  const states = useStates(invocation);
  const density = useDensity(invocation, begin, end);
  if (!lanes.length && !density) {
    return null;
  }
  const shown = all ? lanes : lanes.slice(0, LANES);
  const x = (at: number) => Math.max(0, Math.min(WIDTH, ((at - begin) / (end - begin)) * WIDTH));
  const silence = (lane: Lane): number | null => (lane.end === null && end - lane.heard > HEARTBEAT_MILLISECONDS ? lane.heard : null);
  const lease = invocation.lease_expires_at;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => begin + (end - begin) * part);
  return (
    <Panel title="Timeline" aside={<Legend />}>
      <div class="timeline">
        {states.length > 0 && (
          <div class="lane">
            <span class="lane-name quiet">invocation</span>
            <span class="lane-line" role="img" aria-label={`The invocation: ${states.map(({ words }) => words).join(", ")}`} />
            <Marks marks={states} x={x} />
          </div>
        )}
        {density && <LogLane density={density} />}
        {shown.map((lane) => {
          const silent = silence(lane);
          const to = lane.end ?? silent ?? end;
          return (
            <div class="lane" key={lane.producer}>
              <span class="lane-name mono" title={visible(lane.producer)}>
                {visible(producerName(lane.producer))}
              </span>
              <svg viewBox={`0 0 ${WIDTH} ${LANE}`} preserveAspectRatio="none" role="img" aria-label={laneWords(lane, silent, end)}>
                <rect x={x(lane.begin)} y={LANE / 2 - 3} width={Math.max(2, x(to) - x(lane.begin))} height="6" class={lane.end === null ? "span open" : "span"} />
                {silent !== null && <line x1={x(silent)} x2={x(end)} y1={LANE / 2} y2={LANE / 2} class={invocation.ended_at ? "silence ended" : "silence"} />}
              </svg>
              <Marks marks={lane.marks} x={x} />
            </div>
          );
        })}
        <div class="lane axis">
          <span class="lane-name" />
          <span class="ticks">
            {ticks.map((at, index) => (
              <span key={index} title={new Date(at).toLocaleString()}>
                {index === 0 ? clockTime(new Date(at).toISOString()) : `+${duration(at - begin)}`}
              </span>
            ))}
          </span>
        </div>
      </div>
      {!invocation.ended_at && lease && (
        <p class="quiet lease">
          Last heard of at {clockTime(invocation.heard_at ?? invocation.created_at)}. Without another word it is taken for lost at {clockTime(lease)}.
        </p>
      )}
      {lanes.length > LANES && (
        <button type="button" class="ghost small" onClick={() => setAll(!all)}>
          {all ? "Fewer producers" : `All ${count(lanes.length)} producers`}
        </button>
      )}
    </Panel>
  );
}

/** What lies on top of another mark of its kind is left out; the last one stays, so that an end is always seen. */
function Marks({ marks, x }: { marks: Mark[]; x: (at: number) => number }) {
  const taken = new Map<string, Mark>();
  for (const mark of marks) taken.set(`${mark.kind} ${Math.floor(x(mark.at) / NEAR)}`, mark);
  return (
    <span class="lane-marks" aria-hidden="true">
      {[...taken.values()].map((mark, index) => (
        <i key={index} class={`mark ${mark.kind}`} style={{ left: `${x(mark.at) / 10}%` }} title={mark.words} />
      ))}
    </span>
  );
}

const LEGEND: [string, string][] = [
  ["opened", "opened"],
  ["result", "materialization"],
  ["good", "check"],
  ["bad", "failed or rejected"],
  ["custom", "message"],
  ["beat", "last heartbeat"],
  ["closed", "closed"],
  ["silent", "silence"],
];

function Legend() {
  return (
    <span class="legend">
      {LEGEND.map(([kind, words]) => (
        <span key={kind}>
          <i class={`mark ${kind}`} /> {words}
        </span>
      ))}
    </span>
  );
}

function laneWords(lane: Lane, silent: number | null, end: number): string {
  const state = lane.end === null ? "not closed" : `closed after ${duration(lane.end - lane.begin)}`;
  const heard = silent === null ? "" : `, last heard of at ${clockTime(new Date(silent).toISOString())}, silent for ${duration(end - silent)} since`;
  return `Producer ${lane.producer}: ${count(lane.reports)} reports, ${state}${heard}`;
}

function lanesOf(results: Results, producers: Producer[]): Lane[] {
  const lanes = new Map<string, Lane>();
  for (const event of results.events) {
    const at = milliseconds(event.received_at);
    const lane = lanes.get(event.producer) ?? { producer: event.producer, marks: [], reports: 0, begin: at, end: null, heard: at };
    lanes.set(event.producer, lane);
    lane.marks.push(markOf(event, at));
    lane.reports += 1;
    lane.heard = Math.max(lane.heard, at);
    if (event.method === "closed") lane.end = at;
    else if (event.method === "opened") lane.end = null;
  }
  for (const { producer, last_word_at: word } of producers) {
    const lane = lanes.get(producer);
    const heard = word ? milliseconds(word) : 0;
    if (!lane || heard <= lane.heard) continue;
    lane.heard = heard;
    // What came last was no report: a heartbeat, or a log, which has a lane of its own.
    if (lane.end === null) lane.marks.push({ at: heard, kind: "beat", words: `${clockTime(word!, { millis: true })} last heartbeat or log` });
  }
  return [...lanes.values()].sort((left, right) => left.begin - right.begin);
}

const STATES: Record<string, [string, string]> = {
  registered: ["registered", "registered"],
  opened: ["opened", "opened"],
  "cancel-requested": ["bad", "cancel was asked for"],
  finished: ["registered", "the launcher said that it is over"],
  revived: ["opened", "heard of again"],
  "lease-expired": ["bad", "the lease ran out"],
  ended: ["closed", "ended,"],
  revised: ["closed", "judged again,"],
};

/** What is done to the record, whenever; no part of the work. */
const LATER = new Set(["pinned", "unpinned"]);

/** The changes of the invocation itself. A kind that is new to these pages is shown under its name. */
function useStates(invocation: Invocation): Mark[] {
  const key = `${invocation.id} ${invocation.status} ${invocation.revision} ${invocation.cancel_requested}`;
  const loaded = useLoaded(key, (signal) => get<{ items: Change[] }>(`/invocations/${invocation.id}/history`, {}, signal));
  return useMemo(
    () =>
      (loaded.value?.items ?? []).filter(({ change }) => !LATER.has(change)).map(({ at, change, detail }) => {
        const [kind, words] = STATES[change] ?? ["registered", visible(change.replaceAll("-", " "))];
        const verdict = typeof detail?.["verdict"] === "string" ? ` ${detail["verdict"]}` : "";
        return { at: milliseconds(at), kind, words: `${clockTime(at, { millis: true })} ${words}${verdict}` };
      }),
    [loaded.value],
  );
}

function markOf(event: Event, at: number): Mark {
  const when = clockTime(event.received_at, { millis: true });
  const { params } = event;
  switch (event.method) {
    case "opened":
      return { at, kind: "opened", words: `${when} opened` };
    case "closed":
      return { at, kind: params?.["exception"] ? "bad" : "closed", words: `${when} closed${params?.["exception"] ? " with an exception" : ""}` };
    case "report_asset_materialization":
      return { at, kind: event.problem ? "bad" : "result", words: `${when} materialized ${visible(String(params?.["asset_key"]))}` };
    case "report_asset_check":
      return { at, kind: params?.["passed"] ? "good" : "bad", words: `${when} check ${visible(String(params?.["check_name"]))} ${params?.["passed"] ? "passed" : "failed"}` };
    default:
      return { at, kind: event.problem ? "bad" : "custom", words: `${when} ${visible(event.method ?? "message")}` };
  }
}
