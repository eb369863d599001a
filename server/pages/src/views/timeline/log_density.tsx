// How dense the logs of an invocation were over time, as a lane of its timeline.
import { get } from "../../lib/api";
import { count, milliseconds } from "../../lib/format";
import { useLoaded } from "../../lib/load";
import type { EventPage, Invocation } from "../../lib/types";
import { LOG_METHODS } from "../results/use_results";

const LANE = 26;
const BUCKETS = 120;
const WHOLE = 5000;
const SAMPLES = 48;
const AGAIN_MILLISECONDS = 5000;
const LONG_AGAIN_MILLISECONDS = 60_000;

export function LogLane({ density }: { density: number[] }) {
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

/**
 * How many log events came when: counted where there are few, else from samples of which position was when. While it
 * runs it is counted again from time to time.
 */
export function useDensity(invocation: Invocation, begin: number, end: number): number[] | null {
  const every = invocation.ended_at ? undefined : invocation.last_position <= WHOLE ? AGAIN_MILLISECONDS : LONG_AGAIN_MILLISECONDS;
  const loaded = useLoaded(`${invocation.id} ${invocation.revision} ${invocation.status}`, async (signal) => {
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
      const [from, to] = [bucket(event.received_at), next ? bucket(next.received_at) : bucket(invocation.ended_at ?? new Date(end).toISOString())];
      const share = ((next?.position ?? last) - event.position) / (to - from + 1);
      for (let at = from; at <= to; at += 1) counts[at]! += share;
    });
    return samples.length ? counts : null;
  }, { every });
  return loaded.value ?? null;
}
