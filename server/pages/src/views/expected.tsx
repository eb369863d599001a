// What was promised and what of it came; and the server's own count of what it stored.
import { count, visible } from "../lib/format";
import { producerName } from "../lib/standing";
import type { Event, Invocation } from "../lib/types";
import { Panel, Sentence } from "../parts/common";
import { Icon } from "../parts/icons";
import type { Results } from "./use_results";

export function ExpectedPanel({ invocation, results }: { invocation: Invocation; results: Results }) {
  const expected = invocation.expected;
  const wanted: [string, boolean][] = [];
  for (const key of expected?.asset_keys ?? []) {
    wanted.push([`Asset \`${key}\``, results.materializations.some(({ params }) => params?.["asset_key"] === key)]);
  }
  for (const { asset_key: key, check_name: name } of expected?.checks ?? []) {
    wanted.push([`Check \`${name}\` of \`${key}\``, results.checks.some(({ params }) => params?.["asset_key"] === key && params?.["check_name"] === name)]);
  }
  const customs = expected?.custom_messages ?? 0;
  if (customs) wanted.push([`Custom messages: ${Math.min(results.customs.length, customs)} of ${customs}`, results.customs.length >= customs]);
  const came = wanted.filter(([, there]) => there).length;
  const ended = invocation.status === "ended";
  return (
    <Panel title="Expected" aside={wanted.length ? <span class="quiet">{came} of {wanted.length}</span> : undefined}>
      {wanted.length === 0 ? (
        <p class="quiet">Nothing was declared as expected.</p>
      ) : (
        <>
          <progress max={wanted.length} value={came} aria-label="Expected reports that came" />
          <ul class="expected">
            {wanted.map(([words, there]) => (
              <li key={words} class={there ? "there" : ended ? "missing" : "open"}>
                <Icon name={there ? "succeeded" : ended ? "failed" : "registered"} size={14} />
                <Sentence text={words} />
                <span class="quiet">{there ? "reported" : ended ? "missing" : "awaited"}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </Panel>
  );
}

export function ReceiptPanel({ invocation, rejected }: { invocation: Invocation; rejected: Event[] }) {
  const receipt = invocation.receipt;
  return (
    <Panel title="Receipt" aside={receipt ? <span class="quiet">{count(receipt.events)} events stored</span> : undefined}>
      {!receipt ? (
        <p class="quiet">The server counts {count(invocation.last_position)} events so far; the receipt is written at the end.</p>
      ) : (
        <>
          <p class="methods">
            {Object.entries(receipt.by_method).map(([method, number]) => (
              <span key={method}>
                <b>{count(number)}</b> {visible(method.replace("report_", "").replaceAll("_", " "))}
              </span>
            ))}
            {receipt.rejected > 0 && (
              <span class="wrong">
                <b>{count(receipt.rejected)}</b> rejected
              </span>
            )}
          </p>
          <div class="scroll" tabIndex={0} role="region" aria-label="Producers">
            <table class="data">
              <thead>
                <tr>
                  <th scope="col">Producer</th>
                  <th scope="col" class="number">Stored</th>
                  <th scope="col" class="number">Numbered</th>
                  <th scope="col">Opened</th>
                  <th scope="col">Closed</th>
                  <th scope="col">Ledger</th>
                </tr>
              </thead>
              <tbody>
                {receipt.producers.map((one) => (
                  <tr key={one.producer}>
                    <th scope="row" title={one.producer}>{visible(producerName(one.producer))}</th>
                    <td class="number">{count(one.stored)}</td>
                    <td class={one.numbered !== null && one.numbered > one.stored ? "number wrong" : "number"}>{one.numbered === null ? "—" : count(one.numbered)}</td>
                    <td>{one.opened ? "yes" : "no"}</td>
                    <td class={one.opened && !one.closed ? "wrong" : ""}>{one.closed ? "yes" : "no"}</td>
                    <td class={one.ledger !== "agrees" && one.ledger !== "none" ? "wrong" : ""}>{visible(one.ledger)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
      {rejected.length > 0 && (
        <ul class="rejected">
          {rejected.slice(0, 20).map((event) => (
            <li key={event.position}>
              <span class="wrong">Rejected</span> {visible(event.method ?? "a message")}: {visible(event.problem?.detail ?? "")}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
