// Log events as the rows that are drawn: a row a line of text, whatever the message holds.
import { endDetail, endWords, isFailure } from "../lib/ends";
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
}

const LONGEST = 20_000;

export function levelOf(event: Event): string {
  if (event.method === "report_process_end") return isFailure((event.params ?? {}) as End) ? "failed" : "ended";
  if (event.method === "log_external_stream") return String(event.params?.["stream"] ?? "stdout");
  return String(event.params?.["level"] ?? "INFO").toUpperCase();
}

export function rowsOf(event: Event): Row[] {
  const { params, position, producer } = event;
  const text = event.method === "report_process_end" ? processEnd((params ?? {}) as End) : event.method === "log_external_stream" ? params?.["text"] : params?.["message"];
  const level = levelOf(event);
  const time = event.sent_at ?? event.received_at;
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

/** What a supervisor says of the end of its process, as the last line of the log. */
function processEnd(end: End): string {
  return [`the process ended: ${endWords(end) || "how is not known"}`, endDetail(end)].filter(Boolean).join("\n");
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
