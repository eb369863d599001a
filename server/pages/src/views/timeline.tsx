// When what happened, a lane per producer: opened, reports, checks, how dense the logs were, closed.
import { useMemo, useState } from "preact/hooks";
import { get } from "../lib/api";
import { clockTime, count, duration, milliseconds, visible } from "../lib/format";
import { useLoaded } from "../lib/load";
import { producerName } from "../lib/standing";
import type { Event, EventPage, Invocation } from "../lib/types";
import { Panel } from "../parts/common";
import { LOG_METHODS, type Results } from "./use_results";

const WIDTH = 1000;
const LANE = 26;
const LANES = 8;
const BUCKETS = 120;

interface Mark {
  at: number;
  kind: string;
  words: string;
}

interface Lane {
  producer: string;
  marks: Mark[];
  begin: number;
  end: number | null;
}

export function Timeline({ invocation, results, now }: { invocation: Invocation; results: Results; now: number }) {
  const [all, setAll] = useState(false);
  const begin = milliseconds(invocation.created_at);
  const end = Math.max(invocation.ended_at ? milliseconds(invocation.ended_at) : now, begin + 100);
  const lanes = useMemo(() => lanesOf(results), [results]);
  const density = useDensity(invocation, begin, end);
  if (!lanes.length && !density) {
    return null;
  }
  const shown = all ? lanes : lanes.slice(0, LANES);
  const x = (at: number) => Math.max(0, Math.min(WIDTH, ((at - begin) / (end - begin)) * WIDTH));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => begin + (end - begin) * part);
  return (
    <Panel title="Timeline" aside={<Legend />}>
      <div class="timeline">
        {density && <LogLane density={density} />}
        {shown.map((lane) => (
          <div class="lane" key={lane.producer}>
            <span class="lane-name mono" title={visible(lane.producer)}>
              {visible(producerName(lane.producer))}
            </span>
            <svg viewBox={`0 0 ${WIDTH} ${LANE}`} preserveAspectRatio="none" role="img" aria-label={laneWords(lane)}>
              <rect x={x(lane.begin)} y={LANE / 2 - 3} width={Math.max(2, x(lane.end ?? end) - x(lane.begin))} height="6" class={lane.end === null ? "span open" : "span"} />
            </svg>
            <span class="lane-marks" aria-hidden="true">
              {lane.marks.slice(0, 400).map((mark, index) => (
                <i key={index} class={`mark ${mark.kind}`} style={{ left: `${x(mark.at) / 10}%` }} title={mark.words} />
              ))}
            </span>
          </div>
        ))}
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
      {lanes.length > LANES && (
        <button type="button" class="ghost small" onClick={() => setAll(!all)}>
          {all ? "Fewer producers" : `All ${count(lanes.length)} producers`}
        </button>
      )}
    </Panel>
  );
}

function Legend() {
  return (
    <span class="legend">
      {[["opened", "opened"], ["result", "materialization"], ["good", "check"], ["bad", "check failed"], ["custom", "message"], ["closed", "closed"]].map(([kind, words]) => (
        <span key={kind}>
          <i class={`mark ${kind}`} /> {words}
        </span>
      ))}
    </span>
  );
}

const laneWords = (lane: Lane): string =>
  `Producer ${lane.producer}: ${lane.marks.length} reports, ${lane.end === null ? "not closed" : `closed after ${duration(lane.end - lane.begin)}`}`;

function lanesOf(results: Results): Lane[] {
  const lanes = new Map<string, Lane>();
  for (const event of results.events) {
    const at = milliseconds(event.received_at);
    const lane = lanes.get(event.producer) ?? { producer: event.producer, marks: [], begin: at, end: null };
    lanes.set(event.producer, lane);
    lane.marks.push(markOf(event, at));
    if (event.method === "closed") lane.end = at;
    else if (event.method === "opened") lane.end = null;
  }
  return [...lanes.values()].sort((left, right) => left.begin - right.begin);
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

function LogLane({ density }: { density: number[] }) {
  const most = Math.max(...density, 1);
  return (
    <div class="lane">
      <span class="lane-name quiet">logs</span>
      <svg viewBox={`0 0 ${BUCKETS} ${LANE}`} preserveAspectRatio="none" role="img" aria-label={`About ${count(density.reduce((sum, one) => sum + one, 0))} log events over time`}>
        {density.map((number, index) => {
          const height = number ? Math.max(2, (LANE - 4) * Math.sqrt(number / most)) : 0;
          return <rect key={index} x={index} y={LANE - height} width="0.8" height={height} class="density" />;
        })}
      </svg>
    </div>
  );
}

const WHOLE = 5000;
const SAMPLES = 48;

/** How many log events came when: counted where there are few, else from samples of which position was when. */
function useDensity(invocation: Invocation, begin: number, end: number): number[] | null {
  const loaded = useLoaded(invocation.ended_at ? `${invocation.id} ${invocation.revision}` : null, async (signal) => {
    const counts: number[] = Array.from({ length: BUCKETS }, () => 0);
    const bucket = (at: string) => Math.max(0, Math.min(BUCKETS - 1, Math.floor(((milliseconds(at) - begin) / (end - begin)) * BUCKETS)));
    const ask = (after: number, limit: number) =>
      get<EventPage>(`/invocations/${invocation.id}/events`, { after, limit, method: LOG_METHODS.join(",") }, signal);
    const last = invocation.last_position;
    if (last <= WHOLE) {
      const { items } = await ask(0, WHOLE);
      for (const event of items) counts[bucket(event.received_at)]! += 1;
      return items.length ? counts : null;
    }
    const step = last / SAMPLES;
    const samples = (await Promise.all(Array.from({ length: SAMPLES }, (_, index) => ask(Math.floor(index * step), 1)))).flatMap(({ items }) => items);
    samples.forEach((event, index) => {
      const next = samples[index + 1];
      const [from, to] = [bucket(event.received_at), next ? bucket(next.received_at) : bucket(invocation.ended_at ?? event.received_at)];
      const share = ((next?.position ?? last) - event.position) / (to - from + 1);
      for (let at = from; at <= to; at += 1) counts[at]! += share;
    });
    return samples.length ? counts : null;
  });
  return loaded.value ?? null;
}
