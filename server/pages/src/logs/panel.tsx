// The log of an invocation: filters on the server, live tail, pause, wrap, copy, download, a link to a line.
import { useEffect, useMemo, useState } from "preact/hooks";
import { count, plural } from "../lib/format";
import { changeQuery } from "../lib/router";
import { producerName } from "../lib/standing";
import type { Invocation } from "../lib/types";
import { copyText, download, Empty } from "../parts/common";
import { Icon } from "../parts/icons";
import { SearchBox } from "../parts/search";
import { LEVELS, type Row } from "./lines";
import { Rows } from "./rows";
import { earlier, useLog, type Log, type LogFilter } from "./use_log";
import { textOf, wholeLog } from "./whole_log";

const SOURCES: Record<string, string[]> = {
  "": ["log", "log_external_stream", "report_process_end"],
  log: ["log"],
  streams: ["log_external_stream"],
};

export function LogPanel({ invocation, superseded, query }: { invocation: Invocation; superseded: ReadonlySet<string>; query: URLSearchParams }) {
  const [paused, setPaused] = useState(false);
  const [wrap, setWrap] = useState(() => localStorage.getItem("standpipe-wrap") === "yes");
  const chosen = Number(query.get("line")) || null;
  const after = query.has("after") ? Number(query.get("after")) || 0 : null;
  const [atEnd, setAtEnd] = useState(chosen === null && after === null && invocation.status !== "ended");
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
  // A pause is of what was on the screen.
  useEffect(() => setPaused(false), [filter, after]);
  const log = useLog(invocation, { filter, paused, chosen, after });
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
        <SearchBox exact name="q" over={["after"]} value={filter.text} label="Search the log" placeholder="Search all lines" />
        <select aria-label="Level" value={filter.level} onChange={(event) => changeQuery({ level: event.currentTarget.value, after: null })}>
          <option value="">All levels</option>
          {LEVELS.map((level) => (
            <option key={level} value={level}>
              {level === "CRITICAL" ? level : `${level} or worse`}
            </option>
          ))}
        </select>
        <select aria-label="Source" value={source} onChange={(event) => changeQuery({ source: event.currentTarget.value, after: null })}>
          <option value="">Logs and output</option>
          <option value="log">Logs only</option>
          <option value="streams">stdout and stderr only</option>
        </select>
        {producers.length > 1 && (
          <select aria-label="Producer" value={filter.producer} onChange={(event) => changeQuery({ producer: event.currentTarget.value, after: null })}>
            <option value="">All producers</option>
            {producers.map((producer) => (
              <option key={producer} value={producer}>
                {producerName(producer)}
                {superseded.has(producer) && " (superseded)"}
              </option>
            ))}
          </select>
        )}
        <span class={`line ${line.replace(" ", "-")}`} role="status">
          {line}
        </span>
        <span class="log-tools">
          {(log.line !== "ended" || paused) && (
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
          <Download invocation={invocation} log={log} filter={filter} />
        </span>
      </div>
      <Window log={log} turned={setAtEnd} />
      {!log.rows.length && log.line !== "catching up" ? (
        <Empty title={filtered ? "No line fits." : "Nothing was logged."}>{log.line === "live" ? "Lines appear here as they come." : undefined}</Empty>
      ) : (
        <Rows key={after} rows={log.rows} superseded={superseded} wrap={wrap} several={producers.length > 1} chosen={chosen} atEnd={atEnd && !paused} setAtEnd={setAtEnd} choose={(position) => changeQuery({ tab: "logs", line: String(position) })} />
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

/** Where a long log is held in part: which part, and the ways to the rest. */
function Window({ log, turned }: { log: Log; turned: (atEnd: boolean) => void }) {
  const { begin, cut, rows } = log;
  if (begin === 0 && cut === null) return null;
  const [first, last] = [rows[0]?.position ?? begin + 1, rows.at(-1)?.position];
  const turn = (after: number | null) => {
    changeQuery({ after: after === null ? null : String(after), line: null }, { replace: false });
    turned(after === null);
  };
  return (
    <nav class="remark window" aria-label="Parts of the log">
      <span>
        This log is too long to be shown at once. Here are {plural(rows.length, "line")}, from event {count(first)}
        {last !== undefined && ` to ${count(last)}`}. Search, filters and download reach all of it.
      </span>
      <span class="turn">
        <button type="button" class="small" disabled={begin === 0} onClick={() => turn(0)}>
          First lines
        </button>
        <button type="button" class="small" disabled={begin === 0} onClick={() => turn(earlier(log))}>
          Earlier
        </button>
        <button type="button" class="small" disabled={cut === null} onClick={() => turn(cut)}>
          Later
        </button>
        <button type="button" class="small" disabled={cut === null} onClick={() => turn(null)}>
          Last lines
        </button>
      </span>
    </nav>
  );
}

function Download({ invocation, log, filter }: { invocation: Invocation; log: Log; filter: LogFilter }) {
  const [state, setState] = useState("");
  const whole = log.begin === 0 && log.cut === null && log.held === 0;
  const start = async () => {
    const name = `${invocation.id}.log`;
    if (whole) return download(name, textOf(log.rows));
    try {
      setState("0 %");
      const part = (position: number) => setState(`${Math.floor((100 * position) / invocation.last_position)} %`);
      download(name, await wholeLog(invocation, filter, part));
      setState("");
    } catch {
      setState("failed, try again");
    }
  };
  return (
    <button type="button" class="ghost small" disabled={state.endsWith("%")} onClick={() => void start()}>
      <Icon name="download" size={14} /> Download {state && <span role="status">({state})</span>}
    </button>
  );
}

function useProducers(invocation: Invocation, rows: Row[]): string[] {
  return useMemo(() => {
    const known = invocation.receipt?.producers.map(({ producer }) => producer) ?? [];
    return [...new Set([...known, ...rows.slice(-5000).map(({ producer }) => producer)])];
  }, [invocation.receipt, rows.length]);
}
