// Recent activity: counts by verdict over time; dragging over it filters by time.
import { useMemo, useRef, useState } from "preact/hooks";
import { count, milliseconds } from "../lib/format";
import { changeQuery } from "../lib/router";
import { standing, type Standing } from "../lib/standing";
import type { Invocation } from "../lib/types";

const BUCKETS = 60;
const HEIGHT = 44;
const ORDER: Standing[] = ["succeeded", "warning", "running", "registered", "cancelled", "incomplete", "lost", "failed"];

interface Bucket {
  begin: number;
  counts: Partial<Record<Standing, number>>;
  total: number;
}

export function Activity({ invocations }: { filter: Record<string, string[]>; invocations: Invocation[] }) {
  const buckets = useMemo(() => gather(invocations), [invocations]);
  const strip = useRef<SVGSVGElement>(null);
  const [drag, setDrag] = useState<[number, number] | null>(null);
  if (buckets.length < 2) return null;
  const most = Math.max(...buckets.map((bucket) => bucket.total), 1);
  const width = buckets[1]!.begin - buckets[0]!.begin;

  const at = (event: PointerEvent): number => {
    const box = strip.current!.getBoundingClientRect();
    return Math.max(0, Math.min(BUCKETS - 1, Math.floor(((event.clientX - box.left) / box.width) * BUCKETS)));
  };
  const filterBy = (from: number, to: number) =>
    changeQuery({ since: new Date(buckets[from]!.begin).toISOString(), until: new Date(buckets[to]!.begin + width).toISOString() }, { replace: false });
  const finish = () => {
    if (drag) filterBy(Math.min(...drag), Math.max(...drag));
    setDrag(null);
  };
  const [from, to] = drag ? [Math.min(...drag), Math.max(...drag)] : [0, -1];
  const words = summary(invocations);

  return (
    <section class="activity" aria-label="Recent activity">
      <svg
        ref={strip}
        viewBox={`0 0 ${BUCKETS * 10} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Invocations over time. ${words}. Drag to filter by time.`}
        onPointerDown={(event) => {
          strip.current?.setPointerCapture(event.pointerId);
          setDrag([at(event), at(event)]);
        }}
        onPointerMove={(event) => drag && setDrag([drag[0], at(event)])}
        onPointerUp={finish}
        onPointerCancel={() => setDrag(null)}
      >
        {buckets.map((bucket, index) => {
          let y = HEIGHT;
          return (
            <g key={index}>
              <rect x={index * 10} width="10" height={HEIGHT} class={index >= from && index <= to ? "brushed" : "hit"}>
                <title>
                  {new Date(bucket.begin).toLocaleString()}: {count(bucket.total)}
                </title>
              </rect>
              {ORDER.map((kind) => {
                const height = ((HEIGHT - 4) * (bucket.counts[kind] ?? 0)) / most;
                y -= height;
                return height ? <rect key={kind} x={index * 10 + 1} y={y} width="8" height={height} class={`fill-${kind}`} pointer-events="none" /> : null;
              })}
            </g>
          );
        })}
      </svg>
      <div class="activity-ends quiet">
        <span>{new Date(buckets[0]!.begin).toLocaleString()}</span>
        <span>{words}</span>
        <span>{new Date(buckets.at(-1)!.begin + width).toLocaleString()}</span>
      </div>
    </section>
  );
}

function summary(invocations: Invocation[]): string {
  const counts = new Map<string, number>();
  for (const one of invocations) {
    const { words } = standing(one);
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  return [...counts].map(([words, number]) => `${count(number)} ${words}`).join(", ");
}

function gather(invocations: Invocation[]): Bucket[] {
  if (!invocations.length) return [];
  const times = invocations.map((one) => milliseconds(one.created_at));
  const first = Math.min(...times);
  const last = Math.max(Math.max(...times) + 1, first + 60_000);
  const width = (last - first) / BUCKETS;
  const buckets: Bucket[] = Array.from({ length: BUCKETS }, (_, index) => ({ begin: first + index * width, counts: {}, total: 0 }));
  for (const [index, one] of invocations.entries()) {
    const bucket = buckets[Math.min(BUCKETS - 1, Math.floor((times[index]! - first) / width))]!;
    const { kind } = standing(one);
    bucket.counts[kind] = (bucket.counts[kind] ?? 0) + 1;
    bucket.total += 1;
  }
  return buckets;
}
