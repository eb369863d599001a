// All lines of a log that fit a filter, as text to keep: also those that a page does not hold.
import { get } from "../lib/api";
import type { EventPage, Invocation } from "../lib/types";
import { OpenLines, type Row } from "./lines";
import { queryOf, type LogFilter } from "./use_log";

const PAGE = 10_000;

export function textOf(rows: Row[]): string {
  return rows.map((row) => `${row.first ? row.time : ""}\t${row.first ? row.level : ""}\t${row.text}\n`).join("");
}

/** One text of all of a long log is longer than a string may be. */
function inParts(rows: Row[]): string[] {
  const parts: string[] = [];
  for (let begin = 0; begin < rows.length; begin += PAGE) parts.push(textOf(rows.slice(begin, begin + PAGE)));
  return parts;
}

/** Reads to where the invocation stands now; `read` hears how far it has come. */
export async function wholeLog(invocation: Invocation, filter: LogFilter, read: (position: number) => void): Promise<Blob> {
  const rows: Row[] = [];
  const lines = new OpenLines();
  let after = 0;
  for (;;) {
    const query = { ...queryOf(filter), method: filter.methods.join(","), after, limit: PAGE, metadata: "normal" };
    const page = await get<EventPage>(`/invocations/${invocation.id}/events`, query);
    for (const event of page.items) rows.push(...lines.rowsOf(event));
    if (page.next_after <= after || page.next_after >= page.last_position) break;
    after = page.next_after;
    read(after);
  }
  return new Blob(inParts(rows), { type: "text/plain" });
}
