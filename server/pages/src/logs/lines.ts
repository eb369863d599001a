// Log events as the rows that are drawn: a row a line of text, whatever the message holds. Captured output comes in
// pieces that end anywhere: what goes on with a line is joined to the row of its beginning.
import { endDetail, isFailure } from "../lib/ends";
import { logLine } from "../lib/format";
import type { End, Event } from "../lib/types";

export const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const;
export type Level = (typeof LEVELS)[number];

export interface Row {
  position: number;
  /** The first row of its event: the others have no time and no number. */
  first: boolean;
  time: string;
  level: string;
  producer: string;
  text: string;
  /** Further events whose text was joined to this row. */
  also?: number[];
}

export const holds = (row: Row, position: number): boolean => row.position === position || (row.also?.includes(position) ?? false);

const LONGEST = 20_000;

/** Lines of captured output that have not ended, by producer and stream. */
export class OpenLines {
  private open = new Map<string, { row: Row; text: string }>();

  /** The event's rows that are new; where it goes on with a row that was given before, that one is changed. */
  rowsOf(event: Event): Row[] {
    if (event.method !== "log_external_stream") return rowsOf(event);
    const key = `${event.producer} ${levelOf(event)}`;
    const before = this.open.get(key);
    const [first = "", ...more] = String(event.params?.["text"] ?? "").split("\n");
    const known = lineWithin(event);
    const goesOn = before !== undefined && (known === null ? first.startsWith("\r") : before.text.endsWith(known.slice(0, known.length - first.length)));
    const begin = goesOn ? before.text + first : (known ?? first);
    const rows = rowsOf({ ...event, params: { ...event.params, text: [begin, ...more].join("\n") } });
    if (goesOn) {
      before.row.text = rows.shift()?.text ?? "";
      (before.row.also ??= []).push(event.position);
    }
    const last = more.at(-1) ?? begin;
    const row = goesOn && !more.length ? before.row : rows.at(-1);
    if (last === "" || !row) this.open.delete(key);
    else this.open.set(key, { row, text: last });
    return rows;
  }
}

/** What a piece says of the line that it goes on with: its end, this piece among it. */
function lineWithin(event: Event): string | null {
  const extras = event.params?.["extras"];
  const line = typeof extras === "object" && extras !== null && !Array.isArray(extras) ? extras["line"] : null;
  return typeof line === "string" ? line : null;
}

export function levelOf(event: Event): string {
  if (event.method === "report_process_end") return isFailure((event.params ?? {}) as End) ? "failed" : "ended";
  if (event.method === "log_external_stream") return String(event.params?.["stream"] ?? "stdout");
  return String(event.params?.["level"] ?? "INFO").toUpperCase();
}

export function rowsOf(event: Event): Row[] {
  const { params, position, producer } = event;
  const text = event.method === "report_process_end" ? processEnd(event) : event.method === "log_external_stream" ? params?.["text"] : withTraceback(event);
  const level = levelOf(event);
  const time = typeof event.sent_at === "string" ? event.sent_at : event.received_at;
  const lines = logLine(String(text ?? "")).replace(/\n+$/, "").split("\n");
  return lines.map((line, index) => ({
    position,
    first: index === 0,
    time,
    level,
    producer,
    text: line.length > LONGEST ? `${line.slice(0, LONGEST)}… (${line.length} characters)` : line.replaceAll("\t", "    "),
  }));
}

/** What a log message says, with the exception and the stack that were logged with it. */
function withTraceback({ params, details }: Event): string {
  const message = String(params?.["message"] ?? "");
  // A formatter of the sender's own may have written it into the message.
  const more = [details?.["exception"], details?.["stack"]].filter((text): text is string => typeof text === "string" && text.trim() !== "" && !message.includes(text.trim()));
  return [message, ...more].join("\n");
}

/** What a supervisor says of the end of its process, as the last line of the log. */
function processEnd({ params, description }: Event): string {
  return [`the process ended: ${description || "how is not known"}`, endDetail((params ?? {}) as End)].filter(Boolean).join("\n");
}

export function levelClass(level: string): string {
  switch (level) {
    case "ERROR":
    case "CRITICAL":
    case "stderr":
    case "failed":
      return "error";
    case "WARNING":
    case "WARN":
      return "warn";
    case "DEBUG":
    case "NOTSET":
      return "debug";
    default:
      return "info";
  }
}
