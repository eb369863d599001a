// The filters of the list: search, state, and what the context says. Each is a member of the address.
import { useEffect, useRef, useState } from "preact/hooks";
import { changeQuery } from "../lib/router";
import { Icon } from "../parts/icons";

export const FILTERS = ["text", "status", "verdict", "asset_key", "job_name", "partition_key", "run_id", "tag", "since", "until", "failed_checks", "pinned"];

const STATES: [string, Record<string, string | null>][] = [
  ["Any", { status: null, verdict: null, failed_checks: null, pinned: null }],
  ["Running", { status: "running", verdict: null }],
  ["Waiting", { status: "registered", verdict: null }],
  ["Succeeded", { status: null, verdict: "succeeded" }],
  ["Failed", { status: null, verdict: "failed" }],
  ["Incomplete", { status: null, verdict: "incomplete" }],
  ["Lost", { status: null, verdict: "lost" }],
  ["Cancelled", { status: null, verdict: "cancelled" }],
  ["Failed checks", { failed_checks: "true" }],
  ["Pinned", { pinned: "true" }],
];

const NAMED: [string, string][] = [
  ["asset_key", "Asset"],
  ["job_name", "Job"],
  ["partition_key", "Partition"],
  ["run_id", "Run"],
  ["tag", "Tag"],
];

export function Filters({ query }: { query: URLSearchParams }) {
  const [name, setName] = useState("asset_key");
  const [value, setValue] = useState("");
  const shown = NAMED.flatMap(([key, label]) => query.getAll(key).map((one) => ({ key, label, one })));
  const since = query.get("since");
  const until = query.get("until");
  const add = (event: Event) => {
    event.preventDefault();
    if (value.trim()) changeQuery({ [name]: name === "tag" ? [...query.getAll("tag"), value.trim()] : value.trim() }, { replace: false });
    setValue("");
  };
  return (
    <div class="filters">
      <Search value={query.get("text") ?? ""} />
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
        <select aria-label="Filter by" value={name} onChange={(event) => setName(event.currentTarget.value)}>
          {NAMED.map(([key, label]) => (
            <option key={key} value={key}>
              {label}
            </option>
          ))}
        </select>
        <input aria-label="Filter value" placeholder={name === "tag" ? "name=value" : "exactly…"} value={value} onInput={(event) => setValue(event.currentTarget.value)} />
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

function Search({ value }: { value: string }) {
  const [words, setWords] = useState(value);
  const timer = useRef<number | undefined>(undefined);
  useEffect(() => setWords(value), [value]);
  const typed = (text: string) => {
    setWords(text);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => changeQuery({ text: text.trim() }), 250);
  };
  return (
    <label class="search">
      <Icon name="search" />
      <span class="spoken">Search invocations</span>
      <input id="search" type="search" value={words} placeholder="Search names, ids, reasons, errors" onInput={(event) => typed(event.currentTarget.value)} />
    </label>
  );
}
