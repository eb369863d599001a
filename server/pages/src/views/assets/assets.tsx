// The assets for which something was reported, with their last materialization and the state of their checks.
import { useState } from "preact/hooks";
import { get } from "../../lib/api";
import { visible } from "../../lib/format";
import { useLoaded } from "../../lib/load";
import { assetHref, href, invocationHref, Link } from "../../lib/router";
import type { Asset, CheckState, Page } from "../../lib/types";
import { Empty, Failure, Loading, Time, useTitle } from "../../parts/common";
import { Icon } from "../../parts/icons";
import { SearchBox } from "../../parts/search";

const PAGE = 100;

export function AssetsPage({ query }: { query: URLSearchParams }) {
  useTitle("Assets");
  const text = query.get("text") ?? "";
  const loaded = useLoaded(text, (signal) => get<Page<Asset>>("/assets", { text, limit: PAGE }, signal), { every: 5000 });
  const [more, setMore] = useState<{ text: string; items: Asset[]; cursor: string | null } | null>(null);
  const older = more?.text === text ? more : null;
  const cursor = older ? older.cursor : (loaded.value?.next_cursor ?? null);
  const assets = [...(loaded.value?.items ?? []), ...(older?.items ?? [])];
  const load = async () => {
    const page = await get<Page<Asset>>("/assets", { text, limit: PAGE, cursor });
    setMore({ text, items: [...(older?.items ?? []), ...page.items], cursor: page.next_cursor });
  };
  return (
    <>
      <div class="page-head">
        <h1>Assets</h1>
        <SearchBox main name="text" value={text} label="Search assets" />
      </div>
      {loaded.error && !loaded.value && <Failure error={loaded.error} what="list" retry={loaded.reload} />}
      {!loaded.value && !loaded.error && <Loading what="assets" />}
      {loaded.value && !assets.length && (
        <Empty title={text ? "No asset fits." : "No asset was reported on yet."}>
          {text ? <Link to={href("assets")}>Show all of them</Link> : "A materialization, an observation or a check puts one here."}
        </Empty>
      )}
      {assets.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Asset</th>
              <th scope="col">Checks</th>
              <th scope="col">Last materialized</th>
              <th scope="col">Partition</th>
              <th scope="col">Version</th>
              <th scope="col">By</th>
            </tr>
          </thead>
          <tbody>
            {assets.map((asset) => {
              const last = asset.last_materialization;
              return (
                <tr key={asset.asset_key}>
                  <td class="assets">
                    <Link to={assetHref(asset.asset_key)}>{visible(asset.asset_key)}</Link>
                  </td>
                  <td>
                    <ChecksBadge state={asset.check_state} />
                  </td>
                  <td class="when">
                    <Time value={last?.received_at} short />
                  </td>
                  <td class="cut">{visible(last?.partition_key ?? "")}</td>
                  <td class="cut mono">{visible(last?.data_version ?? "")}</td>
                  <td>{last && <Link to={invocationHref(last.invocation_id)}>invocation</Link>}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {cursor && (
        <p class="more">
          <button type="button" onClick={() => void load()}>
            Show more
          </button>
        </p>
      )}
    </>
  );
}

export function ChecksBadge({ state }: { state: CheckState }) {
  const { passed, failed, warned } = state;
  if (!passed && !failed && !warned) return <span class="quiet">none</span>;
  const kind = failed ? "failed" : warned ? "warning" : "succeeded";
  const words = [failed && `${failed} failed`, warned && `${warned} warned`, passed && `${passed} passed`].filter(Boolean).join(", ");
  return (
    <span class={`badge ${kind}`}>
      <Icon name={kind} size={13} />
      {words}
    </span>
  );
}
