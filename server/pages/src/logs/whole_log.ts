// All lines of a log that fit a filter, as text to keep: also those that a page does not hold.
import { get } from "../lib/api";
import type { EventPage, Invocation } from "../lib/types";
import { rowsOf, type Row } from "./lines";
import { queryOf, type LogFilter } from "./use_log";

const PAGE = 10_000;

export function textOf(rows: Row[]): string {
  return rows.map((row) => `${row.first ? row.time : ""}\t${row.first ? row.level : ""}\t${row.text}\n`).join("");
}

/** Reads to where the invocation stands now; `read` hears how far it has come. */
export async function wholeLog(invocation: Invocation, filter: LogFilter, read: (position: number) => void): Promise<Blob> {
  const pieces: string[] = [];
  let after = 0;
  for (;;) {
    const query = { ...queryOf(filter), method: filter.methods.join(","), after, limit: PAGE };
    const page = await get<EventPage>(`/invocations/${invocation.id}/events`, query);
    pieces.push(textOf(page.items.flatMap(rowsOf)));
    if (page.next_after <= after || page.next_after >= page.last_position) break;
    after = page.next_after;
    read(after);
  }
  return new Blob(pieces, { type: "text/plain" });
}
