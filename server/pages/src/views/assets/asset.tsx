// One asset across invocations: its numbers over time, its checks, its schema's changes, its lineage, its history.
import { get } from "../../lib/api";
import { visible } from "../../lib/format";
import { useLoaded } from "../../lib/load";
import { changeQuery, href, invocationHref, Link } from "../../lib/router";
import type { Asset, Materialization, Page } from "../../lib/types";
import { Metadata } from "../../metadata/value";
import { CopyButton, Empty, Failure, Loading, Panel, Time, useTitle } from "../../parts/common";
import { Tabs } from "../../parts/tabs";
import { CheckStrips } from "./check_strips";
import { ChecksBadge } from "./assets";
import { LISTED_LABELS, Plots } from "./plots";
import { SchemaChanges } from "./schema_changes";

export const RANGES: [string, string, number | null][] = [
  ["", "All time", null],
  ["day", "1 day", 86_400_000],
  ["week", "7 days", 7 * 86_400_000],
  ["month", "30 days", 30 * 86_400_000],
  ["year", "1 year", 365 * 86_400_000],
];

export function AssetPage({ asset, query }: { asset: string; query: URLSearchParams }) {
  useTitle(asset);
  const path = `/assets/${encodeURIComponent(asset)}`;
  const loaded = useLoaded(asset, (signal) => get<Asset>(path, {}, signal), { every: 5000 });
  if (loaded.error && !loaded.value) return <Failure page error={loaded.error} what="asset" retry={loaded.reload} />;
  if (!loaded.value) return <Loading page what="the asset" />;
  const { last_materialization: last, last_observation: seen, check_state: checks, numeric_labels: labels = [] } = loaded.value;
  const asked = query.get("tab") ?? "numbers";
  const tabs = [
    { id: "numbers", name: "Numbers", count: labels.length < LISTED_LABELS ? labels.length : `${LISTED_LABELS}+` },
    { id: "checks", name: "Checks", alarming: checks.failed > 0, count: checks.failed + checks.passed + checks.warned },
    { id: "materializations", name: "Materializations" },
    ...(seen ? [{ id: "observations", name: "Observations" }] : []),
    { id: "schema", name: "Schema and lineage" },
  ];
  const tab = tabs.some(({ id }) => id === asked) ? asked : "numbers";
  const span = RANGES.find(([name]) => name === (query.get("range") ?? ""))?.[2] ?? null;
  const since = query.get("since") ?? (span ? new Date(Math.floor((Date.now() - span) / 60_000) * 60_000).toISOString() : undefined);
  const until = query.get("until") ?? undefined;
  return (
    <article>
      <nav class="crumbs" aria-label="Place">
        <Link to={href("assets")}>Assets</Link> / <span class="mono">{visible(asset)}</span>
        <CopyButton text={asset} label="Copy the key" />
      </nav>
      <div class="page-head">
        <h1>{visible(asset)}</h1>
        <ChecksBadge state={checks} />
        <span class="quiet">
          {last ? (
            <>
              materialized <Time value={last.received_at} /> by <Link to={invocationHref(last.invocation_id)}>this invocation</Link>
            </>
          ) : (
            "never materialized"
          )}
          {seen && (
            <>
              , observed <Time value={seen.received_at} /> by <Link to={invocationHref(seen.invocation_id)}>{last?.invocation_id === seen.invocation_id ? "it" : "this invocation"}</Link>
            </>
          )}
        </span>
        <span class="spacer" />
        <Link class="button" to={href("", { asset_key: asset })}>
          Its invocations
        </Link>
      </div>
      <div class="states" role="group" aria-label="Time shown">
        {RANGES.map(([name, words]) => (
          <button type="button" key={name} aria-pressed={(query.get("range") ?? "") === name && !query.has("since")} onClick={() => changeQuery({ range: name, since: null, until: null })}>
            {words}
          </button>
        ))}
        {query.has("since") && (
          <button type="button" aria-pressed={true} onClick={() => changeQuery({ since: null, until: null })}>
            As drawn
          </button>
        )}
      </div>
      <Tabs tabs={tabs} chosen={tab} label="What is known of the asset">
        {tab === "numbers" && <Plots path={path} labels={labels} since={since} until={until} />}
        {tab === "checks" && <CheckStrips path={path} since={since} until={until} />}
        {tab === "materializations" && <Reports path={path} what="materialization" asset={asset} since={since} until={until} />}
        {tab === "observations" && <Reports path={path} what="observation" asset={asset} since={since} until={until} />}
        {tab === "schema" && <SchemaChanges path={path} asset={asset} last={last} />}
      </Tabs>
    </article>
  );
}

function Reports({ path, what, asset, since, until }: { path: string; what: "materialization" | "observation"; asset: string; since: string | undefined; until: string | undefined }) {
  const loaded = useLoaded(`${path} ${what} ${since} ${until}`, (signal) => get<Page<Materialization>>(`${path}/${what}s`, { since, until, limit: 50 }, signal));
  if (loaded.error) return <Failure error={loaded.error} what="history" retry={loaded.reload} />;
  if (!loaded.value) return <Loading what={`${what}s`} />;
  if (!loaded.value.items.length) return <Empty title={`No ${what} in this time.`} />;
  return (
    <>
      {loaded.value.items.map((item, index) => (
        <Panel
          key={`${item.invocation_id} ${item.position}`}
          title={item.partition_key ? `Partition ${visible(item.partition_key)}` : what[0]!.toUpperCase() + what.slice(1)}
          aside={
            <span class="quiet">
              {item.data_version && (
                <>
                  version <code>{visible(item.data_version)}</code> ·{" "}
                </>
              )}
              <Link to={invocationHref(item.invocation_id)}>
                <Time value={item.received_at} />
              </Link>
            </span>
          }
        >
          <details open={index === 0}>
            <summary>{Object.keys(item.metadata).length} metadata entries</summary>
            <Metadata metadata={item.metadata} asset={asset} />
          </details>
        </Panel>
      ))}
    </>
  );
}
