// Materializations and observations with their metadata, and custom messages.
import type { ComponentChildren } from "preact";
import { jsonText, plural, visible } from "../../lib/format";
import { assetHref, Link } from "../../lib/router";
import { hasNote, type Standing } from "../../lib/superseded";
import type { Event, Invocation, JsonObject, Note } from "../../lib/types";
import { JsonTree } from "../../metadata/json_tree";
import { Metadata } from "../../metadata/value";
import { CopyButton, Empty, Time } from "../../parts/common";

const MOST = 200;
const FEW = 10;

export function Materializations({ invocation, reports, superseded }: { invocation: Invocation; reports: Standing; superseded: ReadonlySet<string> }) {
  const { standing, replaced } = reports;
  if (!standing.length) {
    return <Empty title="No materialization was reported.">{invocation.status === "ended" ? undefined : "Each appears here the moment it is."}</Empty>;
  }
  return (
    <>
      {standing.slice(0, MOST).map((event) => (
        <Card key={event.position} event={event} stale={superseded.has(event.producer)} />
      ))}
      {standing.length > MOST && <p class="quiet">The first {MOST} of {standing.length} are shown; the pages of the assets have all.</p>}
      <Replaced count={replaced.length}>
        {replaced.slice(0, MOST).map((event) => (
          <Card key={event.position} event={event} stale replaced />
        ))}
      </Replaced>
    </>
  );
}

/** Reports whose place newer ones have taken: few are shown at once, many behind a summary. */
export function Replaced({ count: number, children }: { count: number; children: ComponentChildren }) {
  if (!number) return null;
  return (
    <details class="replaced" open={number <= FEW}>
      <summary>{plural(number, "report")} replaced by newer attempts</summary>
      {children}
    </details>
  );
}

/** Observations are no results: they stand behind those, and any number of one asset. */
export function Observations({ events, superseded }: { events: Event[]; superseded: ReadonlySet<string> }) {
  if (!events.length) return null;
  return (
    <>
      {events.slice(0, MOST).map((event) => (
        <Card key={event.position} event={event} stale={superseded.has(event.producer)} what={`Observation #${event.position}`} />
      ))}
      {events.length > MOST && <p class="quiet">The first {MOST} of {events.length} observations are shown; the pages of the assets have all.</p>}
    </>
  );
}

function Card({ event, stale, replaced, what = replaced ? "Replaced materialization" : "Materialization" }: { event: Event; stale: boolean; replaced?: boolean; what?: string }) {
  const key = String(event.params?.["asset_key"] ?? "");
  const version = event.params?.["data_version"];
  const partition = event.params?.["partition"];
  const tags = Object.entries((event.params?.["tags"] ?? {}) as JsonObject).filter(([, text]) => typeof text === "string");
  return (
    <section class={replaced ? "card superseded" : "card"} aria-label={`${what} of ${key}`}>
      <header>
        <h2>
          <Link to={assetHref(key)}>{visible(key)}</Link>
        </h2>
        {typeof version === "string" && (
          <span class="quiet">
            version <code>{visible(version)}</code>
          </span>
        )}
        {event.method === "report_asset_observation" && (
          <>
            <span class="chip">observed</span>
            {typeof partition === "string" && <span class="quiet">partition {visible(partition)}</span>}
            {tags.map(([name, text]) => (
              <span class="chip" key={name}>
                {visible(name)}={visible(String(text))}
              </span>
            ))}
          </>
        )}
        <Remarks event={event} stale={stale} replaced={replaced} />
        <Time value={event.received_at} short />
      </header>
      <Metadata metadata={event.metadata ?? {}} asset={key} />
    </section>
  );
}

export function Customs({ events, superseded }: { events: Event[]; superseded: ReadonlySet<string> }) {
  if (!events.length) return <Empty title="No custom message was reported." />;
  return (
    <ol class="customs">
      {events.slice(0, MOST).map((event) => (
        <li class="card" key={event.position}>
          <header>
            <span class="quiet">#{event.position}</span>
            <Remarks event={event} stale={superseded.has(event.producer)} />
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

/** `stale`: of an older attempt. `replaced`: a newer attempt's report has taken its place. */
export function Remarks({ event, stale, replaced }: { event: Event; stale?: boolean; replaced?: boolean | undefined }) {
  return (
    <>
      {(event.notes ?? []).map((note) => (
        <span class="chip" key={note.code} title={visible(note.detail)}>
          {visible(NOTE_WORDS[note.code]?.(note) ?? note.code)}
        </span>
      ))}
      {stale && !replaced && !hasNote(event, "superseded") && <span class="chip">of an older attempt</span>}
      {replaced && <span class="chip">replaced by a newer attempt</span>}
    </>
  );
}

const NOTE_WORDS: Record<string, (note: Note) => string> = {
  superseded: () => "of an older attempt",
  replaces: ({ position }) => `takes the place of ${position === undefined ? "an older attempt's" : `#${position}`}`,
};
