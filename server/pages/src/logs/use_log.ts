// The rows of a log as they come, bounded: beyond the bound the oldest go, and the page says so.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { follow, type Line } from "../lib/live";
import type { Event } from "../lib/types";
import { rowsOf, type Row } from "./lines";

const MOST_ROWS = 300_000;

export interface Log {
  rows: Row[];
  dropped: number;
  line: Line;
  /** Rows that came since the log was paused. */
  held: number;
}

export interface LogFilter {
  level: string;
  text: string;
  producer: string;
  methods: string[];
}

export function useLog(id: string, revision: number, filter: LogFilter, paused: boolean): Log {
  const [log, setLog] = useState<Log>({ rows: [], dropped: 0, line: "catching up", held: 0 });
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
    setLog({ rows: [], dropped: 0, line: "catching up", held: 0 });
    const following = follow(id, { methods: filter.methods, level: filter.level, text: filter.text, producer: filter.producer }, {
      events: (batch: Event[]) => {
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
