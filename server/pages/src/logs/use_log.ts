// The rows of a log as they come, bounded: of a longer log a window is held, and it says where it begins and ends.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { follow, type Line } from "../lib/live";
import type { Event, Invocation } from "../lib/types";
import { holds, LEVELS, OpenLines, type Level, type Row } from "./lines";

/** How many rows a page holds; a browser with little memory may be told to hold fewer. */
export const MOST_ROWS = Math.max(1000, Number(localStorage.getItem("standpipe-log-rows")) || 300_000);
const WINDOW = Math.floor(MOST_ROWS / 2);
/** What is read before a line that somebody linked to, in a log that is too long to be read whole. */
const BEFORE_LINE = Math.min(2000, Math.floor(WINDOW / 2));

export interface Log {
  rows: Row[];
  line: Line;
  /** Rows that came since the log was paused. */
  held: number;
  /** The position after which the rows begin; beyond 0 something lies before. */
  begin: number;
  /** The position up to which a window was read behind which there is more; null at the end. */
  cut: number | null;
}

export interface LogFilter {
  level: string;
  text: string;
  producer: string;
  methods: string[];
}

const NONE: Log = { rows: [], line: "catching up", held: 0, begin: 0, cut: null };

/** Levels from this one on: the API takes them one by one. */
const fromLevel = (level: string): string => (level ? LEVELS.slice(LEVELS.indexOf(level as Level)).join(",") : "");

export function queryOf(filter: LogFilter) {
  return { level: fromLevel(filter.level), text: filter.text, producer: filter.producer };
}

/** Where about the window before this one begins: an event of the log may be many rows. */
export function earlier({ begin, rows }: Log): number {
  const events = (rows.at(-1)?.position ?? begin) - begin;
  const rowsAnEvent = events > 0 ? Math.max(1, rows.length / events) : 1;
  return Math.max(0, begin - Math.max(1, Math.floor(WINDOW / rowsAnEvent)));
}

interface Options {
  filter: LogFilter;
  paused: boolean;
  /** A line that must be among the rows. */
  chosen: number | null;
  /** The position after which to begin, where somebody turns the pages of a long log. */
  after: number | null;
}

export function useLog(invocation: Invocation, { filter, paused, chosen, after }: Options): Log {
  const { id, revision } = invocation;
  const [log, setLog] = useState<Log>(NONE);
  const waiting = useRef<Row[]>([]);
  const pausedNow = useRef(paused);
  pausedNow.current = paused;
  const long = invocation.last_position > MOST_ROWS;
  // A line that is chosen among those shown moves nothing; of a log that is not held whole another one may lie outside.
  const shown = chosen === null || log.rows.some((row) => holds(row, chosen));
  const outside = (long || log.begin > 0) && !shown ? chosen : null;
  const window = useRef<number | null>(null);
  if (outside !== null || chosen === null) window.current = outside;
  // What is looked for is looked for from the beginning.
  const filtered = Boolean(filter.level || filter.text || filter.producer);
  const around = after === null && !filtered ? window.current : null;
  const key = JSON.stringify([id, revision, filter, after, around]);

  // The rows at the front are the first to go, but not where somebody asked for them.
  const most = after === null ? MOST_ROWS : Infinity;

  const show = useCallback(() => {
    const fresh = waiting.current;
    waiting.current = [];
    setLog((before) => {
      const rows = before.rows.concat(fresh);
      const over = Math.max(0, rows.length - most);
      return { ...before, rows: over ? rows.slice(over) : rows, begin: over ? rows[over]!.position - 1 : before.begin, held: 0 };
    });
  }, [most]);

  useEffect(() => {
    waiting.current = [];
    const paged = after !== null || around !== null;
    const latest = long && !filtered ? invocation.last_position - MOST_ROWS : 0;
    const begin = !paged ? latest : after ?? Math.max(0, (around ?? 0) - BEFORE_LINE);
    // A window is as many rows from where it begins, or from the line that it is about; an event is many rows at times.
    const counted = around ?? begin;
    let taken = 0;
    let last = begin;
    const lines = new OpenLines();
    setLog({ ...NONE, begin });
    const following = follow(id, { methods: filter.methods, ...queryOf(filter), after: begin }, {
      events: (batch: Event[]) => {
        let full = false;
        for (const event of batch) {
          const rows = lines.rowsOf(event);
          full = paged && taken > 0 && taken + rows.length > WINDOW;
          if (full) break;
          if (event.position >= counted) taken += rows.length;
          last = event.position;
          for (const row of rows) waiting.current.push(row);
        }
        // A part that somebody turned to is no live tail: nothing of it is held back.
        if (pausedNow.current && !paged) setLog((before) => ({ ...before, held: waiting.current.length }));
        else show();
        if (full) {
          following.close();
          setLog((before) => ({ ...before, line: "ended", cut: last }));
        }
      },
      line: (line) => setLog((before) => (before.cut === null ? { ...before, line } : before)),
      ended: () => undefined,
    });
    return following.close;
  }, [key]);

  useEffect(() => {
    if (!paused) show();
  }, [paused]);
  return log;
}
