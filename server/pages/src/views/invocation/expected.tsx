// What was promised and what of it came.
import { count } from "../../lib/format";
import type { Invocation } from "../../lib/types";
import { Panel, Sentence } from "../../parts/common";
import { Icon } from "../../parts/icons";

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
