// The filters of the list: search, state, and what the context says. Each is a member of the address.
import { useState } from "preact/hooks";
import { changeQuery } from "../../lib/router";
import { Icon } from "../../parts/icons";
import { SearchBox } from "../../parts/search";

export const FILTERS = ["text", "status", "verdict", "badge", "asset_key", "job_name", "partition_key", "run_id", "tag", "since", "until", "failed_checks", "pinned"];

const ANY = { status: null, verdict: null, badge: null, failed_checks: null, pinned: null };
const STATES: [string, Record<string, string | null>][] = [
  ["Any", ANY],
  ["Running", { ...ANY, status: "running" }],
  ["Waiting", { ...ANY, status: "registered" }],
  ["Succeeded", { ...ANY, badge: "succeeded" }],
  ["Check failed", { ...ANY, badge: "check-failed" }],
  ["Failed", { ...ANY, badge: "failed" }],
  ["Incomplete", { ...ANY, badge: "incomplete" }],
  ["Lost", { ...ANY, badge: "lost" }],
  ["Cancelled", { ...ANY, badge: "cancelled" }],
  ["Checks not passed", { ...ANY, failed_checks: "true" }],
  ["Pinned", { ...ANY, pinned: "true" }],
];

const NAMED: [string, string][] = [
  ["asset_key", "Asset"],
  ["job_name", "Job"],
  ["partition_key", "Partition"],
  ["run_id", "Run"],
  ["tag", "Tag"],
];
const TIMES: [string, string][] = [
  ["since", "Since"],
  ["until", "Until"],
];
const HINTS: Record<string, string> = { tag: "name=value", asset_key: "its whole key", partition_key: "its whole key", run_id: "its whole id" };

export function Filters({ query }: { query: URLSearchParams }) {
  const [name, setName] = useState("asset_key");
  const [value, setValue] = useState("");
  const shown = NAMED.flatMap(([key, label]) => query.getAll(key).map((one) => ({ key, label, one })));
  const since = query.get("since");
  const until = query.get("until");
  const typed = (event: preact.TargetedEvent<HTMLInputElement>) => setValue(event.currentTarget.value);
  const isTime = TIMES.some(([key]) => key === name);
  const add = (event: Event) => {
    event.preventDefault();
    const given = isTime ? instantOf(value) : value.trim();
    if (given) changeQuery({ [name]: name === "tag" ? [...query.getAll("tag"), given] : given }, { replace: false });
    setValue("");
  };
  return (
    <div class="filters">
      <SearchBox main name="text" value={query.get("text") ?? ""} label="Search invocations" placeholder="Search names, ids, reasons, errors" />
      <div class="states" role="group" aria-label="State">
        {STATES.map(([label, change]) => {
          const names = Object.keys(change);
          const on = names.every((name) => query.get(name) === change[name]);
          return (
            <button type="button" key={label} aria-pressed={on} onClick={() => changeQuery(on ? Object.fromEntries(names.map((name) => [name, null])) : change, { replace: false })}>
              {label}
            </button>
          );
        })}
      </div>
      <form class="add-filter" onSubmit={add}>
        <select
          aria-label="Filter by"
          value={name}
          onChange={(event) => {
            setName(event.currentTarget.value);
            setValue("");
          }}
        >
          {[...NAMED, ...TIMES].map(([key, label]) => (
            <option key={key} value={key}>
              {label}
            </option>
          ))}
        </select>
        {isTime ? (
          <input aria-label="Filter value" type="datetime-local" value={value} onInput={typed} />
        ) : (
          <input aria-label="Filter value" placeholder={HINTS[name] ?? "its whole name"} value={value} onInput={typed} />
        )}
        <button type="submit" disabled={!value.trim()}>
          Add filter
        </button>
      </form>
      {(shown.length > 0 || since || until) && (
        <div class="filter-chips">
          {shown.map(({ key, label, one }) => (
            <button type="button" class="chip" key={key + one} onClick={() => changeQuery({ [key]: query.getAll(key).filter((other) => other !== one) })} aria-label={`Remove the filter ${label} ${one}`}>
              {label}: {one} <Icon name="close" size={11} />
            </button>
          ))}
          {(since || until) && (
            <button type="button" class="chip" onClick={() => changeQuery({ since: null, until: null })} aria-label="Remove the filter by time">
              {since ? new Date(since).toLocaleString() : "…"} – {until ? new Date(until).toLocaleString() : "now"} <Icon name="close" size={11} />
            </button>
          )}
        </div>
      )}
    </div>
  );
}

/** What a field for a time in the reader's zone holds, as the API takes it. */
function instantOf(local: string): string {
  const time = new Date(local);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString();
}
