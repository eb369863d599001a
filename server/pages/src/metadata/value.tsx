// One metadata entry, drawn as its type asks for. What does not fit its type is shown as JSON with the reason.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { fullTime, numberText, utc, visible } from "../lib/format";
import { assetHref, assetText, Link } from "../lib/router";
import { valueOf, type ColumnLineage, type MetadataEntry, type Table, type TableSchema } from "../lib/types";
import { CopyButton } from "../parts/common";
import { PartBar, usePart } from "../parts/more";
import { JsonTree } from "./json_tree";
import { Lineage } from "./lineage";
import { Markdown } from "./markdown";
import { Records, Schema } from "./table";

const WIDE = new Set(["table", "table_schema", "table_column_lineage", "md", "json"]);
const LONG = 1200;
const ENTRIES = 100;

export function Metadata({ metadata, asset = "" }: { metadata: Record<string, MetadataEntry>; asset?: string }) {
  const entries = Object.entries(metadata);
  const part = usePart(entries, ([name]) => name, ENTRIES);
  if (!entries.length) return <p class="quiet">No metadata.</p>;
  return (
    <>
      <PartBar part={part} total={entries.length} what="entries" at={ENTRIES} />
      <dl class="metadata">
        {part.shown.map(([name, entry]) => (
          <div key={name} class={WIDE.has(entry.type) ? "wide" : undefined}>
            <dt>
              {visible(name)} <small class="type">{visible(entry.type)}</small>
            </dt>
            <dd>
              <Value entry={entry} asset={asset} name={name} />
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

interface ValueProps {
  entry: MetadataEntry;
  asset?: string;
  name?: string;
}

/** With the mark of a value in a wrong shape, wherever it is shown. */
export function Value({ entry, asset = "", name = "" }: ValueProps) {
  return (
    <>
      <Plain entry={entry} asset={asset} name={name} />
      {entry.problem && <p class="remark wrong-shape">Kept as JSON: {visible(entry.problem)}</p>}
    </>
  );
}

function Plain({ entry, asset = "", name = "" }: ValueProps): ComponentChildren {
  const raw = entry.raw_value;
  if (raw === null) return <span class="quiet">{entry.type === "null" ? "null" : "nothing"}</span>;
  switch (entry.type) {
    case "md":
      return <Markdown text={String(raw)} />;
    case "json":
      return <JsonTree value={raw} />;
    case "table":
      return <Records value={valueOf<Table>(raw)} name={`Table ${name} ${asset}`} />;
    case "table_schema":
      return <Schema schema={valueOf<TableSchema>(raw)} name={`Schema ${name} ${asset}`} />;
    case "table_column_lineage":
      return <Lineage lineage={valueOf<ColumnLineage>(raw)} asset={asset} />;
    case "url":
      return <Address text={String(raw)} />;
    case "notebook":
    case "path":
      return /^https?:/i.test(String(raw)) ? <Address text={String(raw)} /> : <Copyable text={String(raw)} />;
    case "timestamp":
      return <Moment seconds={Number(raw)} />;
    case "float":
    case "int":
      return <span class="value-number">{numberText(raw)}</span>;
    case "bool":
      return <span class={raw ? "yes" : "no"}>{raw ? "true" : "false"}</span>;
    case "asset":
      return <AssetLink parts={valueOf<string[]>(raw)} />;
    case "dagster_run":
      return <Copyable text={String(raw)} />;
    default:
      return <LongText text={String(raw)} />;
  }
}

function AssetLink({ parts }: { parts: string[] }) {
  return <Link to={assetHref(assetText(parts))}>{visible(assetText(parts))}</Link>;
}

/** A link only where its scheme is one of the web's; anything else is text. */
function Address({ text }: { text: string }) {
  let url: URL | null = null;
  try {
    url = new URL(text);
  } catch {
    url = null;
  }
  const safe = url !== null && ["http:", "https:", "mailto:"].includes(url.protocol);
  if (!safe || url === null) return <Copyable text={text} />;
  return (
    <a href={url.href} target="_blank" rel="noopener noreferrer nofollow">
      {visible(text)}
    </a>
  );
}

function Copyable({ text }: { text: string }) {
  return (
    <span class="copyable">
      <code>{visible(text)}</code>
      <CopyButton text={text} label="Copy the value" />
    </span>
  );
}

function Moment({ seconds }: { seconds: number }) {
  const millis = seconds * 1000;
  if (!Number.isFinite(millis) || Math.abs(millis) > 8.64e15) return <span>{String(seconds)}</span>;
  return (
    <time dateTime={new Date(millis).toISOString()} title={utc(millis)}>
      {fullTime(millis)}
    </time>
  );
}

function LongText({ text }: { text: string }) {
  const [whole, setWhole] = useState(false);
  if (whole || text.length <= LONG) return <span class="value-text">{visible(text)}</span>;
  return (
    <span class="value-text">
      {visible(text.slice(0, LONG))}…{" "}
      <button type="button" class="ghost small" onClick={() => setWhole(true)}>
        Show all {text.length} characters
      </button>
    </span>
  );
}
