// Numeric metadata over time. Drag to zoom, a click on a point leads to its invocation.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { get } from "../../lib/api";
import { fullTime, numberText, plural, visible } from "../../lib/format";
import { useLoaded } from "../../lib/load";
import { changeQuery, invocationHref, Link, navigate } from "../../lib/router";
import type { Page, Point } from "../../lib/types";
import { Empty, Failure, Loading } from "../../parts/common";
import { PartBar, usePart } from "../../parts/more";

interface Series {
  points: Point[];
  binned: boolean;
}

interface Range {
  since: string | undefined;
  until: string | undefined;
}

const MOST_PLOTS = 24;
/** So many an asset lists itself. */
export const LISTED_LABELS = 500;

async function allLabels(path: string, signal: AbortSignal): Promise<{ labels: string[]; leftOut: number }> {
  const labels: string[] = [];
  let cursor: string | null = null;
  for (;;) {
    const page: Page<{ label: string }> & { left_out: number } = await get(`${path}/metadata`, { limit: LISTED_LABELS, cursor }, signal);
    labels.push(...page.items.map(({ label }) => label));
    if (page.next_cursor === null) return { labels, leftOut: page.left_out };
    cursor = page.next_cursor;
  }
}

export function Plots({ path, labels, since, until }: { path: string; labels: string[] } & Range) {
  const further = useLoaded(labels.length < LISTED_LABELS ? null : `${path} labels`, (signal) => allLabels(path, signal));
  const all = further.value?.labels ?? labels;
  const leftOut = further.value?.leftOut ?? 0;
  const part = usePart(all, (label) => label, MOST_PLOTS);
  if (!labels.length) return <Empty title="No numbers were reported.">Metadata of the types int and float is drawn here.</Empty>;
  return (
    <>
      {further.error && <Failure error={further.error} what="list of all numbers" retry={further.reload} />}
      {leftOut > 0 && <p class="remark">One report had {plural(leftOut, "number")} more than are drawn: of one report 10,000 are taken.</p>}
      <PartBar part={part} total={all.length} what="numbers" at={MOST_PLOTS} />
      <div class="plots">
        {part.shown.map((label) => (
          <Plot key={label} path={path} label={label} since={since} until={until} />
        ))}
      </div>
    </>
  );
}

function Plot({ path, label, since, until }: { path: string; label: string } & Range) {
  const loaded = useLoaded(`${path} ${label} ${since} ${until}`, (signal) =>
    get<Series>(`${path}/metadata/${encodeURIComponent(label)}/series`, { since, until, max_points: 500 }, signal),
  );
  const points = loaded.value?.points ?? [];
  const drawn = points.some((point) => isFinite(point.value));
  const last = points.at(-1);
  return (
    <section class="plot" aria-label={`${label} over time`}>
      <header>
        <h2>{visible(label)}</h2>
        {last && <span class={isFinite(last.value) ? "value-number" : "value-number changed"}>{valueText(last)}</span>}
      </header>
      {loaded.error && <Failure error={loaded.error} what="series" retry={loaded.reload} />}
      {!loaded.value && !loaded.error && <Loading what={label} />}
      {loaded.value && !points.length && <p class="quiet">No number in this time.</p>}
      {drawn && <Chart points={points} label={label} />}
      {points.length > 0 && !drawn && <p class="quiet">No number in this time is finite.</p>}
      {points.length > 0 && (
        <details>
          <summary>{points.length} points{loaded.value?.binned ? ", each the last of its bin" : ""}</summary>
          <div class="scroll points" tabIndex={0} role="region" aria-label={`Points of ${label}`}>
            <table class="data">
              <tbody>
                {points.slice(-200).reverse().map((point) => (
                  <tr key={`${point.invocation_id} ${point.position}`}>
                    <td>
                      <Link to={invocationHref(point.invocation_id)}>{fullTime(point.at)}</Link>
                    </td>
                    <td>{visible(point.partition_key ?? "")}</td>
                    <td class="number">{valueText(point)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </section>
  );
}

function Chart({ points, label }: { points: Point[]; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const last = points.at(-1);
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    let plot: uPlot | undefined;
    const draw = () => {
      plot?.destroy();
      plot = chart(element, points, label);
    };
    draw();
    const watcher = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: HEIGHT }));
    watcher.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    window.addEventListener("standpipe-theme", draw);
    return () => {
      watcher.disconnect();
      dark.removeEventListener("change", draw);
      window.removeEventListener("standpipe-theme", draw);
      plot?.destroy();
    };
  }, [points]);
  return <div ref={box} class="chart" role="img" aria-label={`${label}: ${points.length} points, the last ${last ? valueText(last) : "missing"}. The points are listed below.`} />;
}

const isFinite = (value: Point["value"] | undefined): boolean => typeof value === "number" || typeof value === "bigint";
const valueText = (point: Point): string => (point.value === null ? "no value" : numberText(point.value));

const HEIGHT = 170;

function chart(element: HTMLElement, points: Point[], label: string): uPlot {
  const colour = (name: string) => resolved(element, name);
  const line = colour("--accent");
  const binned = points.some((point) => (point.count ?? 1) > 1);
  const times = points.map((point) => Date.parse(point.at) / 1000);
  // A gap where a number is not finite.
  const height = (value: Point["value"] | undefined) => (isFinite(value) ? Number(value) : null);
  const values = points.map((point) => height(point.value));
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
  const band = binned ? [points.map((point) => height(point.max ?? point.value)), points.map((point) => height(point.min ?? point.value))] : [];
  let dragged = false;
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      padding: [8, 12, 0, 0],
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 9 } },
      scales: { x: { time: true } },
      axes: [{ ...axis, values: timeMarks, space: 90, size: 30 }, { ...axis, size: 62 }],
      series: [
        {},
        { label, stroke: line, width: 1.6, points: { show: points.length < 120, size: 5, fill: line } },
        ...band.map(() => ({ stroke: "transparent", points: { show: false } })),
      ],
      bands: binned ? [{ series: [2, 3] as [number, number], fill: colour("--accent-ground") }] : [],
      hooks: {
        setSelect: [
          (self) => {
            if (self.select.width < 4) return;
            dragged = true;
            const at = (pixels: number) => new Date(self.posToVal(pixels, "x") * 1000).toISOString();
            changeQuery({ since: at(self.select.left), until: at(self.select.left + self.select.width) }, { replace: false });
          },
        ],
      },
    },
    [times, values, ...band] as uPlot.AlignedData,
    element,
  );
  plot.over.addEventListener("click", () => {
    const index = plot.cursor.idx;
    const point = index === null || index === undefined ? undefined : points[index];
    if (point && !dragged) navigate(invocationHref(point.invocation_id));
    dragged = false;
  });
  plot.over.addEventListener("mousemove", () => {
    const point = points[plot.cursor.idx ?? -1];
    plot.over.title = point ? `${fullTime(point.at)}${point.partition_key ? `, ${visible(point.partition_key)}` : ""}: ${valueText(point)}` : "";
  });
  return plot;
}

const DAY = 86_400;
const dayMark = new Intl.DateTimeFormat(undefined, { day: "2-digit", month: "short" });
const clockMark = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const secondMark = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** Times as fine as their distance asks for, in the reader's zone. */
function timeMarks(_: uPlot, splits: number[], __: number, ___: number, step: number): string[] {
  const mark = step >= DAY ? dayMark : step >= 60 ? clockMark : secondMark;
  return splits.map((seconds) => mark.format(seconds * 1000) + (step < 1 ? `.${Math.round((seconds % 1) * 10)}` : ""));
}

/** A colour as the canvas needs it: without variables and without light-dark(). */
function resolved(element: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
