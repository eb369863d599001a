// A long log drawn in part: only the rows that are seen are in the document.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { clockTime, utc } from "../lib/format";
import { producerName } from "../lib/standing";
import { holds, levelClass, type Row } from "./lines";

const HEIGHT = 20;
const BEYOND = 30;

interface Props {
  rows: Row[];
  /** Producers of older attempts: their lines are quiet. */
  superseded: ReadonlySet<string>;
  wrap: boolean;
  several: boolean;
  chosen: number | null;
  atEnd: boolean;
  setAtEnd: (atEnd: boolean) => void;
  choose: (position: number) => void;
}

export function Rows({ rows, superseded, wrap, several, chosen, atEnd, setAtEnd, choose }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600, columns: 100 });
  const tops = useMemo(() => (wrap ? heights(rows, view.columns) : null), [rows, wrap, view.columns]);
  const total = tops ? (tops[rows.length] ?? 0) : rows.length * HEIGHT;
  const topOf = (index: number) => (tops ? (tops[index] ?? 0) : index * HEIGHT);
  const reached = useRef<number | null>(null);

  const measure = () => {
    const element = box.current;
    if (!element) return;
    const probe = element.querySelector(".log-probe")?.getBoundingClientRect().width ?? 800;
    const columns = Math.max(20, Math.floor((element.clientWidth - gutter(element)) / (probe / 100)));
    setView((before) => {
      const next = { top: element.scrollTop, height: element.clientHeight, columns };
      return before.top === next.top && before.height === next.height && before.columns === next.columns ? before : next;
    });
  };
  useEffect(() => {
    const watcher = new ResizeObserver(measure);
    if (box.current) watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);

  // The end stays in view while somebody reads there; a chosen line is brought into view once, when it has come.
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (chosen !== null && reached.current !== chosen) {
      const index = find(rows, chosen);
      if (index !== null) {
        reached.current = chosen;
        element.scrollTop = Math.max(0, topOf(index) - element.clientHeight / 3);
        measure();
        return;
      }
    }
    if (atEnd) {
      element.scrollTop = element.scrollHeight;
      measure();
    }
  }, [rows, atEnd, chosen, wrap, view.columns]);

  const scrolled = () => {
    const element = box.current;
    if (!element) return;
    measure();
    const near = element.scrollHeight - element.scrollTop - element.clientHeight < HEIGHT * 1.5;
    if (near !== atEnd) setAtEnd(near);
  };

  const from = Math.max(0, rowAt(tops, view.top, rows.length) - BEYOND);
  const to = Math.min(rows.length, rowAt(tops, view.top + view.height, rows.length) + BEYOND);
  return (
    <div class={`log-box${wrap ? " wrap" : ""}${several ? " several" : ""}`} ref={box} onScroll={scrolled} tabIndex={0} role="log" aria-label="Log" aria-live="off">
      <span class="log-probe" aria-hidden="true">
        {"0".repeat(100)}
      </span>
      <div class="log-rows" style={{ height: `${total}px` }}>
        {rows.slice(from, to).map((row, offset) => (
          <div
            key={from + offset}
            class={`log-row ${superseded.has(row.producer) ? "stale" : levelClass(row.level)}${chosen !== null && holds(row, chosen) ? " chosen" : ""}`}
            style={{ transform: `translateY(${topOf(from + offset)}px)` }}
          >
            {row.first ? (
              <button type="button" class="log-number" tabIndex={-1} onClick={() => choose(row.position)} title="Link to this line" aria-label={`Link to line ${row.position}`}>
                {row.position}
              </button>
            ) : (
              <span class="log-number" />
            )}
            <time title={utc(row.time)}>{row.first ? clockTime(row.time, { millis: true }) : ""}</time>
            <span class="log-level">{row.first ? row.level : ""}</span>
            {several && <span class="log-producer" title={superseded.has(row.producer) ? `${row.producer}, superseded by a newer attempt` : row.producer}>{row.first ? producerName(row.producer) : ""}</span>}
            <span class="log-text">{row.text || " "}</span>
          </div>
        ))}
      </div>
    </div>
  );
}

/** What stands before the text, in pixels. */
function gutter(element: HTMLElement): number {
  const text = element.querySelector<HTMLElement>(".log-text");
  return text ? text.offsetLeft + 12 : 260;
}

/** The top of each row where lines wrap: letters have one width, so lines can be counted. */
function heights(rows: Row[], columns: number): Float64Array {
  const tops = new Float64Array(rows.length + 1);
  for (let index = 0; index < rows.length; index += 1) {
    const text = rows[index]!.text;
    tops[index + 1] = tops[index]! + HEIGHT * Math.max(1, Math.ceil(cells(text) / columns));
  }
  return tops;
}

// Letters of East Asia and pictures take two cells.
const WIDE = /[\u1100-\u115f\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\ud83c-\ud83e]/g;

function cells(text: string): number {
  let wide = 0;
  for (let index = 0; index < text.length; index += 1) {
    if (text.charCodeAt(index) >= 0x1100) {
      wide = text.match(WIDE)?.length ?? 0;
      break;
    }
  }
  return text.length + wide;
}

function rowAt(tops: Float64Array | null, top: number, length: number): number {
  if (!tops) return Math.min(length, Math.max(0, Math.floor(top / HEIGHT)));
  let [low, high] = [0, length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle + 1]! <= top) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The line's first row, or the first one after it; nothing while all rows are later ones: the line may be before them. */
function find(rows: Row[], position: number): number | null {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]!.position < position) low = middle + 1;
    else high = middle;
  }
  const found = rows[low]?.position ?? 0;
  if (found !== position) {
    const joined = rows.findIndex((row) => row.also?.includes(position));
    if (joined >= 0) return joined;
  }
  return found === position || (found > position && low > 0) ? low : null;
}
