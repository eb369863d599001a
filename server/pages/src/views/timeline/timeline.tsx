// When what happened: a lane for the invocation's own states, one for where its platform had it, one for its logs, and
// one per producer with what it reported and how long it was heard of, the newest attempt first. Single heartbeats are
// not kept: of each producer the last sign of life is.
import { Fragment } from "preact";
import { useMemo, useState } from "preact/hooks";
import { attemptText, compareAttempts } from "../../lib/ends";
import { clockTime, count, duration, milliseconds, visible } from "../../lib/format";
import { stagesOf, type DrawnStage } from "../../lib/stages";
import { producerName } from "../../lib/standing";
import { excuseOf } from "../../lib/superseded";
import type { Change, Invocation } from "../../lib/types";
import { Panel } from "../../parts/common";
import { lanesOf, statesOf, type Lane, type Mark } from "./lanes";
import { LogLane, useDensity } from "./log_density";
import type { Results } from "../results/use_results";

const WIDTH = 1000;
const LANE = 26;
const LANES = 8;
/** Marks of one kind that lie closer than this, in thousandths of the width, are drawn once. */
const NEAR = 3;
const HEARTBEAT_MILLISECONDS = 500;

interface Props {
  invocation: Invocation;
  results: Results;
  superseded: ReadonlySet<string>;
  history: Change[];
  now: number;
}

export function Timeline({ invocation, results, superseded, history, now }: Props) {
  const [all, setAll] = useState(false);
  const { platform } = invocation;
  const registered = milliseconds(invocation.created_at);
  const end = Math.max(invocation.ended_at ? milliseconds(invocation.ended_at) : now, registered + 10);
  const producers = invocation.receipt?.producers ?? invocation.producers;
  const lanes = useMemo(
    () => lanesOf(results.events, producers ?? [], superseded, (closed) => excuseOf(invocation, closed, superseded)),
    [results.events, producers, superseded, invocation.reasons, invocation.status],
  );
  const states = useMemo(() => statesOf(history), [history]);
  const stages = useMemo(() => stagesOf(platform, history, end), [platform, history, end]);
  const begin = Math.min(registered, ...stages.slice(0, 1).map((stage) => stage.begin));
  const density = useDensity(invocation, begin, end);
  if (!lanes.length && !density && !stages.length) {
    return null;
  }
  const shown = all ? lanes : lanes.slice(0, LANES);
  const numbered = lanes.some(({ attempt, superseded: old }) => old || attempt?.length);
  const x = (at: number) => Math.max(0, Math.min(WIDTH, ((at - begin) / (end - begin)) * WIDTH));
  const lease = invocation.lease_expires_at;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => begin + (end - begin) * part);
  return (
    <Panel title="Timeline" aside={<Legend stages={stages} stale={lanes.some(({ marks }) => marks.some(({ kind }) => kind === "stale"))} />}>
      <div class="timeline">
        {states.length > 0 && (
          <div class="lane">
            <span class="lane-name quiet">invocation</span>
            <span class="lane-line" role="img" aria-label={`The invocation: ${states.map(({ words }) => words).join(", ")}`} />
            <Marks marks={states} x={x} />
          </div>
        )}
        {stages.length > 0 && <PlatformLane stages={stages} x={x} />}
        {density && <LogLane density={density} />}
        {shown.map((lane, index) => {
          const before = shown[index - 1];
          const begins = numbered && (!before || compareAttempts(before.attempt ?? [], lane.attempt ?? []) !== 0);
          return (
            <Fragment key={lane.producer}>
              {begins && <p class="lane attempt-head">Attempt {attemptText(lane.attempt ?? [])}</p>}
              <ProducerLane lane={lane} end={end} x={x} ended={invocation.status === "ended"} />
            </Fragment>
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

/** Where its platform had it: queue time, start and run, of each attempt. */
function PlatformLane({ stages, x }: { stages: DrawnStage[]; x: (at: number) => number }) {
  const words = (stage: DrawnStage) => `${visible(stage.state)}${stage.attempt.length ? ` (attempt ${attemptText(stage.attempt)})` : ""} ${duration(stage.end - stage.begin)}`;
  return (
    <div class="lane">
      <span class="lane-name quiet">platform</span>
      <svg viewBox={`0 0 ${WIDTH} ${LANE}`} preserveAspectRatio="none" role="img" aria-label={`The platform: ${stages.map(words).join(", ")}`}>
        {stages.map((stage, index) => (
          <rect key={index} x={x(stage.begin)} y="7" width={Math.max(2, x(stage.end) - x(stage.begin))} height="12" class={`stage ${stage.state}`}>
            <title>{`${clockTime(new Date(stage.begin).toISOString())} ${words(stage)}`}</title>
          </rect>
        ))}
      </svg>
    </div>
  );
}

function ProducerLane({ lane, end, x, ended }: { lane: Lane; end: number; x: (at: number) => number; ended: boolean }) {
  // Of what is superseded nobody waits for a word.
  const silent = lane.end === null && !lane.superseded && end - lane.heard > HEARTBEAT_MILLISECONDS ? lane.heard : null;
  const to = lane.end ?? (lane.superseded ? lane.heard : (silent ?? end));
  const note = lane.superseded ? "superseded" : lane.role;
  return (
    <div class={lane.superseded ? "lane superseded" : "lane"}>
      <span class="lane-name mono" title={visible(lane.producer)}>
        {visible(producerName(lane.producer))}
        {note && <small>{visible(note)}</small>}
      </span>
      <svg viewBox={`0 0 ${WIDTH} ${LANE}`} preserveAspectRatio="none" role="img" aria-label={laneWords(lane, silent, end)}>
        <rect x={x(lane.begin)} y={LANE / 2 - 3} width={Math.max(2, x(to) - x(lane.begin))} height="6" class={lane.end === null ? "span open" : "span"} />
        {silent !== null && <line x1={x(silent)} x2={x(end)} y1={LANE / 2} y2={LANE / 2} class={ended ? "silence ended" : "silence"} />}
      </svg>
      <Marks marks={lane.marks} x={x} />
    </div>
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
  ["custom", "message or observation"],
  ["beat", "last heartbeat"],
  ["closed", "closed"],
  ["silent", "silence"],
];
const STALE: [string, string] = ["stale", "failed, and makes nothing red"];
const STAGES: [string, string][] = [
  ["stage queued", "queued"],
  ["stage starting", "starting"],
  ["stage running", "running"],
];

function Legend({ stages, stale }: { stages: DrawnStage[]; stale: boolean }) {
  const platform = STAGES.filter(([kind]) => stages.some(({ state }) => kind === `stage ${state === "submitted" ? "queued" : state}`));
  return (
    <span class="legend">
      {[...LEGEND, ...(stale ? [STALE] : []), ...platform].map(([kind, words]) => (
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
  const old = lane.superseded ? `, superseded, of attempt ${attemptText(lane.attempt ?? [])}` : "";
  return `Producer ${lane.producer}${old}: ${count(lane.reports)} reports, ${state}${heard}`;
}
