// The history of each check as a strip, oldest left; each mark leads to its invocation.
import { get } from "../../lib/api";
import { fullTime, visible } from "../../lib/format";
import { useLoaded } from "../../lib/load";
import { invocationHref, Link } from "../../lib/router";
import type { Page, CheckResult } from "../../lib/types";
import { Metadata } from "../../metadata/value";
import { Empty, Failure, Loading, Panel, Time } from "../../parts/common";

const SHOWN = 500;

export function CheckStrips({ path, since, until }: { path: string; since: string | undefined; until: string | undefined }) {
  const loaded = useLoaded(`${path} ${since} ${until}`, (signal) => get<Page<CheckResult>>(`${path}/checks`, { since, until, limit: SHOWN }, signal));
  if (loaded.error) return <Failure error={loaded.error} what="checks" retry={loaded.reload} />;
  if (!loaded.value) return <Loading what="checks" />;
  const items = loaded.value.items;
  if (!items.length) return <Empty title="No check was reported in this time." />;
  const byName = new Map<string, CheckResult[]>();
  for (const item of items) byName.set(item.check_name ?? "", [item, ...(byName.get(item.check_name ?? "") ?? [])]);
  const failed = items.filter((item) => !item.passed).slice(0, 20);
  return (
    <>
      <Panel title="Over time" aside={<Legend words={loaded.value.next_cursor ? `the last ${SHOWN}, oldest left` : "oldest left"} />}>
        <div class="check-rows">
          {[...byName].map(([name, results]) => (
            <div key={name}>
              <strong>{visible(name)}</strong>
              <div class="strip">
                {results.map((item) => {
                  const kind = item.passed ? "succeeded" : item.severity === "WARN" ? "warning" : "failed";
                  const words = `${name} ${item.passed ? "passed" : kind === "warning" ? "warned" : "failed"} ${fullTime(item.received_at)}${item.partition_key ? `, ${item.partition_key}` : ""}`;
                  return (
                    <Link key={`${item.invocation_id} ${item.position}`} to={invocationHref(item.invocation_id, { tab: "checks" })} class={kind} title={words} aria-label={words}>
                      {null}
                    </Link>
                  );
                })}
              </div>
            </div>
          ))}
        </div>
      </Panel>
      {failed.length > 0 && (
        <Panel title="What did not pass">
          {failed.map((item) => (
            <details key={`${item.invocation_id} ${item.position}`}>
              <summary>
                <span class={item.severity === "WARN" ? "changed" : "wrong"}>{visible(item.check_name ?? "")}</span> <Time value={item.received_at} />
                {item.partition_key && `, partition ${visible(item.partition_key)}`}
              </summary>
              <div class="inside">
                <Link to={invocationHref(item.invocation_id, { tab: "checks" })}>Its invocation</Link>
                <Metadata metadata={item.metadata} />
              </div>
            </details>
          ))}
        </Panel>
      )}
    </>
  );
}

function Legend({ words }: { words: string }) {
  return (
    <span class="legend strip-legend">
      <span>
        <i class="succeeded" /> passed
      </span>
      <span>
        <i class="warning" /> warned
      </span>
      <span>
        <i class="failed" /> failed
      </span>
      <span>{words}</span>
    </span>
  );
}
