// What was sent against what is stored, producer by producer; those of older attempts last, and never red.
import { attemptText, isFailure } from "../../lib/ends";
import { ago, clockTime, count, utc, visible } from "../../lib/format";
import { producerName } from "../../lib/standing";
import type { Event, Invocation, Producer, ProducerReceipt } from "../../lib/types";
import { Panel, Sentence } from "../../parts/common";

const LISTED_REJECTED = 20;
const METHOD_WORDS: Record<string, [string, string]> = {
  log: ["log message", "log messages"],
  log_external_stream: ["piece of output", "pieces of output"],
  report_asset_materialization: ["materialization", "materializations"],
  report_asset_observation: ["observation", "observations"],
  report_asset_check: ["check", "checks"],
  report_custom_message: ["custom message", "custom messages"],
  report_process_end: ["end of a process", "ends of processes"],
  other: ["of no known method", "of no known method"],
};
const methodWords = (method: string, number: number): string => METHOD_WORDS[method]?.[number === 1 ? 0 : 1] ?? visible(method);

interface Props {
  invocation: Invocation;
  rejected: Event[];
  superseded: ReadonlySet<string>;
  now: number;
}

export function ReceiptPanel({ invocation, rejected, superseded, now }: Props) {
  const { receipt } = invocation;
  const known: (Producer | ProducerReceipt)[] = receipt?.producers ?? invocation.producers ?? [];
  const producers = [...known].sort((left, right) => Number(left.superseded ?? false) - Number(right.superseded ?? false));
  const columns = {
    named: producers.some(({ process, role }) => process !== null || role),
    numbered: producers.some(({ attempt, attempt_name: name }) => attempt || name),
  };
  const stale = rejected.filter(({ producer }) => superseded.has(producer)).length;
  const more = Math.max(receipt?.rejected ?? 0, rejected.length) - Math.min(rejected.length, LISTED_REJECTED);
  return (
    <Panel
      title="Receipt"
      aside={
        receipt ? (
          <span class={receipt.whole ? "yes" : "wrong"}>{receipt.whole ? "whole" : "not whole"}</span>
        ) : (
          <span class="quiet">written at the end</span>
        )
      }
    >
      <p class="methods">
        {receipt && (
          <span>
            <Sentence text={receipt.summary} />
          </span>
        )}
        {!receipt && (
          <span>
            <b>{count(invocation.last_position)}</b> events stored so far
          </span>
        )}
        {Object.entries(receipt?.by_method ?? {}).map(([method, number]) => (
          <span key={method}>
            <b>{count(number)}</b> {methodWords(method, number)}
          </span>
        ))}
        {receipt && receipt.rejected > 0 && (
          <span class={receipt.rejected > stale ? "wrong" : undefined}>
            <b>{count(receipt.rejected)}</b> rejected{stale > 0 && `, ${receipt.rejected > stale ? `${count(stale)} of them` : "all"} of older attempts`}
          </span>
        )}
        {receipt && receipt.dropped_logs > 0 && (
          <span class="wrong">
            <b>{count(receipt.dropped_logs)}</b> log lines dropped by the process
          </span>
        )}
      </p>
      {producers.length > 0 && (
        <div class="scroll producers" tabIndex={0} role="region" aria-label="Producers">
          <table class="data">
            <thead>
              <tr>
                <th scope="col">Producer</th>
                {columns.named && <th scope="col">Process</th>}
                {columns.numbered && <th scope="col">Attempt</th>}
                <th scope="col">State</th>
                <th scope="col" class="number">
                  Stored
                </th>
                <th scope="col" class="number">
                  Sent
                </th>
                <th scope="col">Last word</th>
                {receipt && <th scope="col">Ledger</th>}
              </tr>
            </thead>
            <tbody>
              {producers.map((one) => (
                <Row key={one.producer} one={one} words={endWords(one, invocation)} columns={columns} ended={invocation.status === "ended"} now={now} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(rejected.length > 0 || (receipt?.rejected ?? 0) > 0) && (
        <ul class="rejected">
          {rejected.slice(0, LISTED_REJECTED).map((event) => (
            <li key={event.position}>
              {superseded.has(event.producer) ? <span class="quiet">Rejected, of an older attempt:</span> : <span class="wrong">Rejected</span>} {visible(event.method ?? "a message")}: {visible(event.problem?.detail ?? "")}
            </li>
          ))}
          {more > 0 && (
            <li class="quiet">
              {count(more)} more; <code>standpipe tail --method rejected {invocation.id}</code> lists them.
            </li>
          )}
        </ul>
      )}
    </Panel>
  );
}

interface RowProps {
  one: Producer | ProducerReceipt;
  /** How its process ended. */
  words: string;
  columns: { named: boolean; numbered: boolean };
  ended: boolean;
  now: number;
}

function Row({ one, words, columns, ended, now }: RowProps) {
  const sent = "sent" in one ? one.sent : one.numbered;
  const open = one.opened && !one.closed;
  const stale = one.superseded === true;
  const state = one.closed ? "closed" : open ? (ended && !stale ? "never closed" : "open") : "not opened";
  const wrong = (so: boolean) => (so && !stale ? "wrong" : undefined);
  return (
    <tr class={stale ? "superseded" : undefined}>
      <th scope="row" title={one.producer}>
        {visible(producerName(one.producer))}
      </th>
      {columns.named && <td>{visible(processWords(one))}</td>}
      {columns.numbered && <td>{visible(attemptWords(one))}</td>}
      <td class={wrong(ended && open)}>
        {stale ? (
          <>
            <span class="chip">superseded</span> {one.closed ? "closed" : "not closed"}
          </>
        ) : (
          state
        )}
        {one.end && <small class={wrong(isFailure(one.end)) ?? "quiet"}>its process ended{words && `: ${visible(words)}`}</small>}
      </td>
      <td class="number">{count(one.stored)}</td>
      <td class={`number ${wrong(sent !== null && sent > one.stored) ?? ""}`}>{sent === null ? "—" : count(sent)}</td>
      <td title={one.last_word_at ? utc(one.last_word_at) : undefined}>{one.last_word_at ? (ended ? clockTime(one.last_word_at) : ago(one.last_word_at, now)) : "—"}</td>
      {"ledger" in one && <td class={wrong(one.ledger !== "agrees" && one.ledger !== "none")}>{visible(one.ledger)}</td>}
    </tr>
  );
}

/** The server's words for the end of a process; none where it has none for it, though the end is known. */
function endWords({ producer, end }: Producer | ProducerReceipt, { ends }: Invocation): string {
  const described = ends?.find((one) => one.producer === producer)?.description ?? "";
  return described || (Object.values(end ?? {}).some((value) => value !== null) ? "" : "not said how");
}

function processWords({ process, role }: Producer): string {
  const { rank, host, pid } = process ?? {};
  return [role ?? "", rank === undefined || rank === null ? "" : `rank ${rank}`, host ?? "", pid ? `pid ${pid}` : ""].filter(Boolean).join(", ");
}

/** "1 (pod-b)"; a name that its launcher has not numbered stands alone. */
function attemptWords({ attempt, attempt_name: name }: Producer): string {
  if (!attempt) return name ?? "";
  return name ? `${attemptText(attempt)} (${name})` : attemptText(attempt);
}
