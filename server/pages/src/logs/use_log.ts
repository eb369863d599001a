// The rows of a log as they come, bounded: beyond the bound the oldest go, and the page says so.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { follow, type Line } from "../lib/live";
import type { Event, Invocation } from "../lib/types";
import { LEVELS, rowsOf, type Level, type Row } from "./lines";

export const MOST_ROWS = 300_000;
/** What is read before a line that somebody linked to, in a log that is too long to be read whole. */
const BEFORE_LINE = 2000;

export interface Log {
  rows: Row[];
  dropped: number;
  line: Line;
  /** Rows that came since the log was paused. */
  held: number;
  /** The log is too long: what lies before this position, or behind the last row, is not here. */
  begin: number;
  cut: boolean;
}

export interface LogFilter {
  level: string;
  text: string;
  producer: string;
  methods: string[];
}

const NONE: Log = { rows: [], dropped: 0, line: "catching up", held: 0, begin: 0, cut: false };

/** Levels from this one on: the API takes them one by one. */
const fromLevel = (level: string): string => (level ? LEVELS.slice(LEVELS.indexOf(level as Level)).join(",") : "");

interface Options {
  filter: LogFilter;
  paused: boolean;
  /** A line that must be among the rows. */
  chosen: number | null;
}

export function useLog(invocation: Invocation, { filter, paused, chosen }: Options): Log {
  const { id, revision } = invocation;
  const [log, setLog] = useState<Log>(NONE);
  const waiting = useRef<Row[]>([]);
  const pausedNow = useRef(paused);
  pausedNow.current = paused;
  const key = JSON.stringify([id, revision, filter]);

  const show = useCallback(() => {
    const fresh = waiting.current;
    waiting.current = [];
    if (!fresh.length) return;
    setLog((before) => {
      const rows = before.rows.concat(fresh);
      const over = Math.max(0, rows.length - MOST_ROWS);
      return { ...before, rows: over ? rows.slice(over) : rows, dropped: before.dropped + over, held: 0 };
    });
  }, []);

  useEffect(() => {
    waiting.current = [];
    const filtered = Boolean(filter.level || filter.text || filter.producer);
    const long = invocation.last_position > MOST_ROWS && !filtered;
    const begin = !long ? 0 : chosen === null ? invocation.last_position - MOST_ROWS : Math.max(0, chosen - BEFORE_LINE);
    let taken = 0;
    setLog({ ...NONE, begin });
    const query = { methods: filter.methods, level: fromLevel(filter.level), text: filter.text, producer: filter.producer, after: begin };
    const following = follow(id, query, {
      events: (batch: Event[]) => {
        taken += batch.length;
        if (long && chosen !== null && taken > MOST_ROWS / 2) {
          following.close();
          setLog((before) => ({ ...before, line: "ended", cut: true }));
          return;
        }
        for (const event of batch) waiting.current.push(...rowsOf(event));
        if (pausedNow.current) setLog((before) => ({ ...before, held: waiting.current.length }));
        else show();
      },
      line: (line) => setLog((before) => ({ ...before, line })),
      ended: () => undefined,
    });
    return following.close;
  }, [key]);

  useEffect(() => {
    if (!paused) show();
  }, [paused]);
  return log;
}
