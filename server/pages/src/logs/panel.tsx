// The log of an invocation: filters on the server, live tail, pause, wrap, copy, download, a link to a line.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, plural } from "../lib/format";
import { changeQuery } from "../lib/router";
import { producerName } from "../lib/standing";
import type { Invocation } from "../lib/types";
import { copyText, download, Empty } from "../parts/common";
import { Icon } from "../parts/icons";
import { LEVELS, type Row } from "./lines";
import { Rows } from "./rows";
import { useLog, type LogFilter } from "./use_log";

const SOURCES: Record<string, string[]> = {
  "": ["log", "log_external_stream"],
  log: ["log"],
  streams: ["log_external_stream"],
};

export function LogPanel({ invocation, query }: { invocation: Invocation; query: URLSearchParams }) {
  const [paused, setPaused] = useState(false);
  const [wrap, setWrap] = useState(() => localStorage.getItem("standpipe-wrap") === "yes");
  const chosen = Number(query.get("line")) || null;
  const [atEnd, setAtEnd] = useState(chosen === null && invocation.status !== "ended");
  const source = query.get("source") ?? "";
  const filter: LogFilter = useMemo(
    () => ({
      level: query.get("level") ?? "",
      text: query.get("q") ?? "",
      producer: query.get("producer") ?? "",
      methods: SOURCES[source] ?? SOURCES[""]!,
    }),
    [query.get("level"), query.get("q"), query.get("producer"), source],
  );
  const log = useLog(invocation, { filter, paused, chosen });
  const producers = useProducers(invocation, log.rows);
  const filtered = Boolean(filter.level || filter.text || filter.producer || source);
  const line = paused ? "paused" : log.line;
  const turnWrap = () => {
    localStorage.setItem("standpipe-wrap", wrap ? "no" : "yes");
    setWrap(!wrap);
  };

  return (
    <section class="log" aria-label="Log">
      <div class="log-bar">
        <LogSearch value={filter.text} />
        <select aria-label="Level" value={filter.level} onChange={(event) => changeQuery({ level: event.currentTarget.value })}>
          <option value="">All levels</option>
          {LEVELS.map((level) => (
            <option key={level} value={level}>
              {level === "CRITICAL" ? level : `${level} or worse`}
            </option>
          ))}
        </select>
        <select aria-label="Source" value={source} onChange={(event) => changeQuery({ source: event.currentTarget.value })}>
          <option value="">Logs and output</option>
          <option value="log">Logs only</option>
          <option value="streams">stdout and stderr only</option>
        </select>
        {producers.length > 1 && (
          <select aria-label="Producer" value={filter.producer} onChange={(event) => changeQuery({ producer: event.currentTarget.value })}>
            <option value="">All producers</option>
            {producers.map((producer) => (
              <option key={producer} value={producer}>
                {producerName(producer)}
              </option>
            ))}
          </select>
        )}
        <span class={`line ${line.replace(" ", "-")}`} role="status">
          {line}
        </span>
        <span class="log-tools">
          {log.line !== "ended" && (
            <button type="button" class="ghost small" aria-pressed={paused} onClick={() => setPaused(!paused)}>
              <Icon name={paused ? "play" : "pause"} size={14} /> {paused ? `Go on${log.held ? ` (${count(log.held)} new)` : ""}` : "Pause"}
            </button>
          )}
          <button type="button" class="ghost small" aria-pressed={wrap} onClick={turnWrap}>
            <Icon name="wrap" size={14} /> Wrap
          </button>
          <button type="button" class="ghost small" onClick={() => void copyText(textOf(log.rows))}>
            <Icon name="copy" size={14} /> Copy
          </button>
          <button type="button" class="ghost small" onClick={() => download(`${invocation.id}.log`, textOf(log.rows))}>
            <Icon name="download" size={14} /> Download
          </button>
        </span>
      </div>
      {(log.dropped > 0 || log.begin > 0 || log.cut) && (
        <p class="remark">
          This log is long: {log.begin > 0 && `what came before event ${count(log.begin)} is not shown. `}
          {log.dropped > 0 && `the first ${count(log.dropped)} lines are not kept here any more. `}
          {log.cut && "What came later is not shown. "}
          Searching and filtering look through all of it.
        </p>
      )}
      {!log.rows.length && log.line !== "catching up" ? (
        <Empty title={filtered ? "No line fits." : "Nothing was logged."}>{log.line === "live" ? "Lines appear here as they come." : undefined}</Empty>
      ) : (
        <Rows rows={log.rows} wrap={wrap} several={producers.length > 1} chosen={chosen} atEnd={atEnd && !paused} setAtEnd={setAtEnd} choose={(position) => changeQuery({ tab: "logs", line: String(position) })} />
      )}
      <p class="log-foot quiet">
        {plural(log.rows.length, "line")}
        {filtered ? " fit" : ""}
        {!atEnd && log.rows.length > 0 && (
          <button type="button" class="ghost small" onClick={() => setAtEnd(true)}>
            <Icon name="end" size={14} /> To the end
          </button>
        )}
      </p>
    </section>
  );
}

function LogSearch({ value }: { value: string }) {
  const [words, setWords] = useState(value);
  const timer = useRef<number | undefined>(undefined);
  useEffect(() => setWords(value), [value]);
  const typed = (text: string) => {
    setWords(text);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => changeQuery({ q: text }), 300);
  };
  return (
    <label class="search">
      <Icon name="search" />
      <span class="spoken">Search the log</span>
      <input type="search" value={words} placeholder="Search all lines" onInput={(event) => typed(event.currentTarget.value)} />
    </label>
  );
}

function useProducers(invocation: Invocation, rows: Row[]): string[] {
  return useMemo(() => {
    const known = invocation.receipt?.producers.map(({ producer }) => producer) ?? [];
    return [...new Set([...known, ...rows.slice(-5000).map(({ producer }) => producer)])];
  }, [invocation.receipt, rows.length]);
}

function textOf(rows: Row[]): string {
  return rows.map((row) => `${row.first ? row.time : ""}\t${row.first ? row.level : ""}\t${row.text}\n`).join("");
}
