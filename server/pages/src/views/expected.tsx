// What was promised and what of it came; and what was sent against what is stored, producer by producer.
import { ago, clockTime, count, utc, visible } from "../lib/format";
import { producerName } from "../lib/standing";
import type { Event, Invocation, Producer, ProducerReceipt } from "../lib/types";
import { Panel, Sentence } from "../parts/common";
import { Icon } from "../parts/icons";

const SHOWN = 300;

export function ExpectedPanel({ invocation }: { invocation: Invocation }) {
  const progress = invocation.expected_progress;
  if (!progress) return null;
  const { asset_keys: assets, checks, custom_messages: customs } = progress;
  const wanted: [string, boolean][] = [
    ...assets.missing.map((key): [string, boolean] => [`Asset \`${key}\``, false]),
    ...checks.missing.map((one): [string, boolean] => [`Check \`${one.check_name}\` of \`${one.asset_key}\``, false]),
    ...assets.reported.map((key): [string, boolean] => [`Asset \`${key}\``, true]),
    ...checks.reported.map((one): [string, boolean] => [`Check \`${one.check_name}\` of \`${one.asset_key}\``, true]),
  ];
  if (customs.expected) {
    wanted.push([`Custom messages: ${Math.min(customs.reported, customs.expected)} of ${customs.expected}`, customs.reported >= customs.expected]);
  }
  const came = wanted.filter(([, there]) => there).length;
  const ended = invocation.status === "ended";
  return (
    <Panel
      title="Expected"
      aside={
        <span class="quiet">
          {count(came)} of {count(wanted.length)}
        </span>
      }
    >
      <progress max={wanted.length} value={came} aria-label="Expected reports that came" />
      <ul class="expected" tabIndex={0} aria-label="Expected reports">
        {wanted.slice(0, SHOWN).map(([words, there]) => (
          <li key={words} class={there ? "there" : ended ? "missing" : "open"}>
            <Icon name={there ? "succeeded" : ended ? "failed" : "registered"} size={14} />
            <Sentence text={words} />
            <span class="quiet">{there ? "reported" : ended ? "missing" : "awaited"}</span>
          </li>
        ))}
        {wanted.length > SHOWN && <li class="quiet">{count(wanted.length - SHOWN)} more</li>}
      </ul>
    </Panel>
  );
}

const LISTED_REJECTED = 20;
const METHOD_WORDS: Record<string, [string, string]> = {
  log: ["log message", "log messages"],
  log_external_stream: ["piece of output", "pieces of output"],
  report_asset_materialization: ["materialization", "materializations"],
  report_asset_check: ["check", "checks"],
  report_custom_message: ["custom message", "custom messages"],
  other: ["of no known method", "of no known method"],
};
const methodWords = (method: string, number: number): string => METHOD_WORDS[method]?.[number === 1 ? 0 : 1] ?? visible(method);

export function ReceiptPanel({ invocation, rejected, now }: { invocation: Invocation; rejected: Event[]; now: number }) {
  const { receipt } = invocation;
  const producers: (Producer | ProducerReceipt)[] = receipt?.producers ?? invocation.producers ?? [];
  const named = producers.some(({ process }) => process !== null);
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
          <span class="wrong">
            <b>{count(receipt.rejected)}</b> rejected
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
                {named && <th scope="col">Process</th>}
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
                <Row key={one.producer} one={one} named={named} ended={invocation.status === "ended"} now={now} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(rejected.length > 0 || (receipt?.rejected ?? 0) > 0) && (
        <ul class="rejected">
          {rejected.slice(0, LISTED_REJECTED).map((event) => (
            <li key={event.position}>
              <span class="wrong">Rejected</span> {visible(event.method ?? "a message")}: {visible(event.problem?.detail ?? "")}
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

function Row({ one, named, ended, now }: { one: Producer | ProducerReceipt; named: boolean; ended: boolean; now: number }) {
  const sent = "sent" in one ? one.sent : one.numbered;
  const open = one.opened && !one.closed;
  return (
    <tr>
      <th scope="row" title={one.producer}>
        {visible(producerName(one.producer))}
      </th>
      {named && <td>{visible(processWords(one))}</td>}
      <td class={ended && open ? "wrong" : undefined}>{one.closed ? "closed" : open ? (ended ? "never closed" : "open") : "not opened"}</td>
      <td class="number">{count(one.stored)}</td>
      <td class={sent !== null && sent > one.stored ? "number wrong" : "number"}>{sent === null ? "—" : count(sent)}</td>
      <td title={one.last_word_at ? utc(one.last_word_at) : undefined}>{one.last_word_at ? (ended ? clockTime(one.last_word_at) : ago(one.last_word_at, now)) : "—"}</td>
      {"ledger" in one && <td class={one.ledger === "agrees" || one.ledger === "none" ? undefined : "wrong"}>{visible(one.ledger)}</td>}
    </tr>
  );
}

function processWords({ process }: Producer): string {
  if (!process) return "";
  const { rank, host, pid } = process;
  return [rank === undefined || rank === null ? "" : `rank ${rank}`, host ?? "", pid ? `pid ${pid}` : ""].filter(Boolean).join(", ");
}
