// Materializations with their metadata, and custom messages.
import { visible } from "../lib/format";
import { assetHref, Link } from "../lib/router";
import type { Event, Invocation } from "../lib/types";
import { JsonTree } from "../metadata/json_tree";
import { normalMetadata } from "../metadata/normal";
import { Metadata } from "../metadata/value";
import { CopyButton, Empty, Time } from "../parts/common";
import { jsonText } from "../lib/format";

const MOST = 200;

export function Materializations({ invocation, events }: { invocation: Invocation; events: Event[] }) {
  if (!events.length) {
    return <Empty title="No materialization was reported.">{invocation.status === "ended" ? undefined : "Each appears here the moment it is."}</Empty>;
  }
  return (
    <>
      {events.slice(0, MOST).map((event) => {
        const key = String(event.params?.["asset_key"] ?? "");
        const version = event.params?.["data_version"];
        return (
          <section class="card" key={event.position} aria-label={`Materialization of ${key}`}>
            <header>
              <h2>
                <Link to={assetHref(key)}>{visible(key)}</Link>
              </h2>
              {typeof version === "string" && (
                <span class="quiet">
                  version <code>{visible(version)}</code>
                </span>
              )}
              <Remarks event={event} />
              <Time value={event.received_at} short />
            </header>
            <Metadata metadata={normalMetadata(event.params?.["metadata"])} asset={key} />
          </section>
        );
      })}
      {events.length > MOST && <p class="quiet">The first {MOST} of {events.length} are shown; the pages of the assets have all.</p>}
    </>
  );
}

export function Customs({ events }: { events: Event[] }) {
  if (!events.length) return <Empty title="No custom message was reported." />;
  return (
    <ol class="customs">
      {events.slice(0, MOST).map((event) => (
        <li class="card" key={event.position}>
          <header>
            <span class="quiet">#{event.position}</span>
            <Remarks event={event} />
            <Time value={event.received_at} short />
            <CopyButton text={() => jsonText(event.params?.["payload"] ?? null, 2)} label="Copy the payload as JSON" />
          </header>
          <JsonTree value={event.params?.["payload"] ?? null} />
        </li>
      ))}
      {events.length > MOST && <li class="quiet">{events.length - MOST} more; the API gives all of them.</li>}
    </ol>
  );
}

export function Remarks({ event }: { event: Event }) {
  return (
    <>
      {(event.notes ?? []).map((note) => (
        <span class="chip" key={note.code} title={visible(note.detail)}>
          {visible(note.code)}
        </span>
      ))}
    </>
  );
}
