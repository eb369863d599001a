// Check results: the failed ones first, each with its metadata.
import { visible } from "../../lib/format";
import { assetHref, Link } from "../../lib/router";
import type { Standing } from "../../lib/superseded";
import type { Event } from "../../lib/types";
import { Metadata } from "../../metadata/value";
import { Empty, Time } from "../../parts/common";
import { Icon } from "../../parts/icons";
import { Remarks, Replaced } from "./results";

export function Checks({ reports, superseded }: { reports: Standing; superseded: ReadonlySet<string> }) {
  const { standing, replaced } = reports;
  if (!standing.length) return <Empty title="No check was reported." />;
  const order = (event: Event) => (event.params?.["passed"] ? 2 : event.params?.["severity"] === "WARN" ? 1 : 0);
  return (
    <>
      {[...standing]
        .sort((left, right) => order(left) - order(right) || left.position - right.position)
        .map((event) => (
          <Card key={event.position} event={event} stale={superseded.has(event.producer)} />
        ))}
      <Replaced count={replaced.length}>
        {replaced.map((event) => (
          <Card key={event.position} event={event} stale replaced />
        ))}
      </Replaced>
    </>
  );
}

function Card({ event, stale, replaced }: { event: Event; stale: boolean; replaced?: boolean }) {
  const { passed, severity, check_name: name, asset_key: key } = event.params ?? {};
  const kind = passed ? "succeeded" : severity === "WARN" ? "warning" : "failed";
  const entries = event.metadata ?? {};
  return (
    <section class={replaced ? "card superseded" : "card"} aria-label={`${replaced ? "Replaced check" : "Check"} ${String(name)}`}>
      <header>
        <span class={replaced ? "badge" : `badge ${kind}`}>
          <Icon name={kind} size={13} />
          {passed ? "passed" : severity === "WARN" ? "warned" : "failed"}
        </span>
        <h2>{visible(String(name))}</h2>
        <span class="quiet">
          of <Link to={assetHref(String(key))}>{visible(String(key))}</Link>
          {!passed && ` · severity ${visible(String(severity ?? "ERROR"))}`}
        </span>
        <Remarks event={event} stale={stale} replaced={replaced} />
        <Time value={event.received_at} short />
      </header>
      {Object.keys(entries).length > 0 && <Metadata metadata={entries} asset={String(key)} />}
    </section>
  );
}
