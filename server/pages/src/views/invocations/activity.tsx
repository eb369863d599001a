// Recent activity: counts by badge over time, counted by the server; dragging over it filters by time.
import { useMemo, useRef, useState } from "preact/hooks";
import { get } from "../../lib/api";
import { count, milliseconds } from "../../lib/format";
import { useLoaded } from "../../lib/load";
import { changeQuery } from "../../lib/router";
import { badgeOf } from "../../lib/standing";
import type { InvocationCounts } from "../../lib/types";

const HEIGHT = 44;
const MOST_BINS = 180;
const AGAIN_MILLISECONDS = 5000;
const SPANS: Record<string, { bin: InvocationCounts["bin"]; millis: number; words: string }> = {
  hour: { bin: "minute", millis: 3_600_000, words: "1 hour" },
  day: { bin: "hour", millis: 7 * 86_400_000, words: "7 days" },
  quarter: { bin: "day", millis: 90 * 86_400_000, words: "90 days" },
};
const BIN_MILLIS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
const ORDER = ["succeeded", "warned", "running", "cancelling", "registered", "cancelled", "incomplete", "lost", "check-failed", "failed"];

export function Activity({ filter }: { filter: Record<string, string[]> }) {
  const [span, setSpan] = useState(() => localStorage.getItem("standpipe-span") ?? "day");
  const { since, until, ...rest } = filter;
  const chosen = SPANS[span] ?? SPANS["day"]!;
  const range = useMemo(() => rangeOf(since?.[0], until?.[0], chosen), [since?.[0], until?.[0], span]);
  const key = JSON.stringify([rest, range]);
  const loaded = useLoaded(key, (signal) => {
    const until = range.until ?? new Date(Date.now() + 1000).toISOString();
    const since = range.since ?? new Date(Date.now() - chosen.millis).toISOString();
    return get<InvocationCounts>("/invocations/counts", { ...rest, by: "badge", bin: range.bin, since, until }, signal);
  }, { every: AGAIN_MILLISECONDS });
  const strip = useRef<SVGSVGElement>(null);
  const [drag, setDrag] = useState<[number, number] | null>(null);
  const bins = useMemo(() => (loaded.value ? spread(loaded.value) : []), [loaded.value]);
  const width = BIN_MILLIS[range.bin];
  const most = Math.max(...bins.map((bin) => bin.total), 1);
  const at = (event: PointerEvent): number => {
    const box = strip.current!.getBoundingClientRect();
    return Math.max(0, Math.min(bins.length - 1, Math.floor(((event.clientX - box.left) / box.width) * bins.length)));
  };
  const filterBy = (from: number, to: number) =>
    changeQuery({ since: new Date(bins[from]!.start).toISOString(), until: new Date(bins[to]!.start + width).toISOString() }, { replace: false });
  const finish = () => {
    if (drag) filterBy(Math.min(...drag), Math.max(...drag));
    setDrag(null);
  };
  const choose = (name: string) => {
    localStorage.setItem("standpipe-span", name);
    setSpan(name);
    changeQuery({ since: null, until: null });
  };
  const [from, to] = drag ? [Math.min(...drag), Math.max(...drag)] : [0, -1];
  const words = Object.entries(loaded.value?.total ?? {}).map(([name, number]) => `${count(number)} ${badgeOf(name).words}`).join(", ") || "nothing";

  return (
    <section class="activity" aria-label="Recent activity">
      <svg
        ref={strip}
        viewBox={`0 0 ${Math.max(1, bins.length) * 10} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Invocations over time: ${words}. Drag to filter by time.`}
        onPointerDown={(event) => {
          if (!bins.length) return;
          strip.current?.setPointerCapture(event.pointerId);
          setDrag([at(event), at(event)]);
        }}
        onPointerMove={(event) => drag && setDrag([drag[0], at(event)])}
        onPointerUp={finish}
        onPointerCancel={() => setDrag(null)}
      >
        {bins.map((bin, index) => (
          <Bar key={index} bin={bin} x={index * 10} most={most} brushed={index >= from && index <= to} />
        ))}
      </svg>
      <div class="activity-ends quiet">
        <span>{bins[0] ? new Date(bins[0].start).toLocaleString() : ""}</span>
        <span>{words}</span>
        <span class="spans" role="group" aria-label="Time shown">
          {Object.entries(SPANS).map(([name, one]) => (
            <button type="button" class="ghost small" key={name} aria-pressed={!since && !until && name === span} onClick={() => choose(name)}>
              {one.words}
            </button>
          ))}
        </span>
      </div>
    </section>
  );
}

interface Bin {
  start: number;
  counts: Record<string, number>;
  total: number;
}

function Bar({ bin, x, most, brushed }: { bin: Bin; x: number; most: number; brushed: boolean }) {
  let y = HEIGHT;
  return (
    <g>
      <rect x={x} width="10" height={HEIGHT} class={brushed ? "brushed" : "hit"}>
        <title>
          {`${new Date(bin.start).toLocaleString()}: ${Object.entries(bin.counts).map(([name, number]) => `${number} ${badgeOf(name).words}`).join(", ") || "nothing"}`}
        </title>
      </rect>
      {ORDER.map((name) => {
        const height = bin.counts[name] ? Math.max(2, ((HEIGHT - 4) * bin.counts[name]) / most) : 0;
        y -= height;
        return height ? <rect key={name} x={x + 1} y={y} width="8" height={height} class={`fill-${badgeOf(name).kind}`} pointer-events="none" /> : null;
      })}
    </g>
  );
}

/** Which bins suit the time that is filtered by; without a filter, the time that was chosen until now. */
function rangeOf(since: string | undefined, until: string | undefined, chosen: { bin: InvocationCounts["bin"]; millis: number }) {
  if (!since && !until) return { bin: chosen.bin, since: undefined, until: undefined };
  const end = until ? milliseconds(until) : Date.now();
  const begin = since ? milliseconds(since) : end - chosen.millis;
  const bin = (["minute", "hour", "day"] as const).find((name) => (end - begin) / BIN_MILLIS[name] <= MOST_BINS) ?? "day";
  return { bin, since: new Date(begin).toISOString(), until: until ?? undefined };
}

/** With the empty bins that the server leaves out. */
function spread({ bin, since, until, bins }: InvocationCounts): Bin[] {
  const width = BIN_MILLIS[bin];
  const first = Math.floor(milliseconds(since) / width) * width;
  const length = Math.min(2000, Math.ceil((milliseconds(until) - first) / width));
  const found: Bin[] = Array.from({ length }, (_, index) => ({ start: first + index * width, counts: {}, total: 0 }));
  for (const { start, counts } of bins) {
    const one = found[Math.floor((milliseconds(start) - first) / width)];
    if (one) Object.assign(one, { counts, total: Object.values(counts).reduce((sum, number) => sum + number, 0) });
  }
  return found;
}
