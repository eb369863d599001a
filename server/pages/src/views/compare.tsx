// Two or more invocations side by side: only what differs. Which ones stands in the address.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { get } from "../lib/api";
import { count, duration, jsonText, visible } from "../lib/format";
import { useLoaded } from "../lib/load";
import { assetHref, changeQuery, href, invocationHref, Link } from "../lib/router";
import type { Comparison, DifferentLeaf, Invocation, Json } from "../lib/types";
import { Value } from "../metadata/value";
import { Badge, Empty, Failure, Loading, Time, useTitle } from "../parts/common";

export function ComparePage({ query }: { query: URLSearchParams }) {
  useTitle("Compare");
  const ids = [...new Set(query.getAll("id"))];
  if (query.get("with") === "last-good" && ids.length === 1) return <WithLastGood id={ids[0]!} />;
  if (ids.length < 2) {
    return (
      <>
        <h1>Compare</h1>
        <Empty title="Choose two or more invocations.">
          Tick them in the <Link to={href("")}>list of invocations</Link>, or use "What changed since the last good one" on the page of one.
        </Empty>
        <AddOne ids={ids} />
      </>
    );
  }
  return <Compared ids={ids} />;
}

function WithLastGood({ id }: { id: string }) {
  const loaded = useLoaded(id, (signal) => get<{ invocation: Invocation | null }>(`/invocations/${id}/last-good`, { mask: true }, signal));
  if (loaded.error) return <Failure page error={loaded.error} what="invocation" retry={loaded.reload} />;
  if (!loaded.value) return <Loading page what="the last good one" />;
  const good = loaded.value.invocation;
  if (good) return <Compared ids={[good.id, id]} />;
  return (
    <>
      <h1>Compare</h1>
      <Empty title="There is no good one before it.">
        No earlier invocation of the same job, assets and partition succeeded. <Link to={invocationHref(id)}>Back to the invocation</Link>
      </Empty>
    </>
  );
}

function Compared({ ids }: { ids: string[] }) {
  const loaded = useLoaded(ids.join(), (signal) => get<Comparison>("/invocations/compare", { ids: ids.join() }, signal));
  const found = loaded.value;
  return (
    <>
      <div class="page-head">
        <h1>Compare</h1>
        <span class="quiet">only what differs</span>
        <span class="spacer" />
        <AddOne ids={ids} />
      </div>
      {loaded.error && <Failure error={loaded.error} what="comparison" retry={loaded.reload} />}
      {!found && !loaded.error && <Loading what="the comparison" />}
      {found && <Table found={found} ids={ids} />}
    </>
  );
}

function AddOne({ ids }: { ids: string[] }) {
  const [id, setId] = useState("");
  const add = (event: Event) => {
    event.preventDefault();
    if (/^inv_[0-9a-f-]{36}$/.test(id.trim())) changeQuery({ id: [...ids, id.trim()], with: null }, { replace: false });
  };
  return (
    <form onSubmit={add}>
      <input class="mono" aria-label="Id of another invocation" placeholder="inv_… of another" value={id} onInput={(event) => setId(event.currentTarget.value)} />{" "}
      <button type="submit">Add</button>
    </form>
  );
}

function Table({ found, ids }: { found: Comparison; ids: string[] }) {
  const { items } = found;
  const { items: _, logs_complete: complete, values_complete: whole, ...groups } = found;
  const nothing = Object.values(groups).every((rows) => rows.length === 0);
  const group = (name: string, rows: ComponentChildren[]) =>
    rows.length ? (
      <>
        <tr class="group">
          <th colSpan={items.length + 1} scope="colgroup">
            {name} <span class="quiet">{rows.length}</span>
          </th>
        </tr>
        {rows}
      </>
    ) : null;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Comparison">
      <table class="compare" style={{ "--columns": items.length }}>
        <thead>
          <tr>
            <td />
            {items.map((item) => (
              <th key={item.id} scope="col">
                <Link to={invocationHref(item.id)}>
                  <Badge name={item.badge} judged={item.judge} />
                </Link>{" "}
                <Time value={item.created_at} short />
                {ids.length > 2 && (
                  <button type="button" class="ghost small" onClick={() => changeQuery({ id: items.filter((one) => one.id !== item.id).map((one) => one.id), with: null })}>
                    Remove
                  </button>
                )}
                <div class="quiet">{visible([item.job_name, item.partition_key].filter(Boolean).join(" · "))}</div>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">Duration</th>
            {items.map((item) => (
              <td key={item.id}>
                {item.duration_seconds === null ? <span class="quiet">not ended</span> : duration(item.duration_seconds * 1000)}
                <Change value={item.duration_seconds} first={items[0]?.duration_seconds ?? null} index={items.indexOf(item)} />
              </td>
            ))}
          </tr>
          <tr>
            <th scope="row">Events</th>
            {items.map((item) => (
              <td key={item.id}>{count(item.events)}</td>
            ))}
          </tr>
          {group("Outcome", leaves(found.outcome))}
          {group("Checks", found.checks.map((row) => (
            <tr key={`${row.asset_key} ${row.check_name}`}>
              <th scope="row">
                {visible(row.check_name)} <span class="quiet">of <Link to={assetHref(row.asset_key)}>{visible(row.asset_key)}</Link></span>
              </th>
              {row.values.map((one, index) => (
                <td key={index}>{one === null ? <Absent /> : <span class={one.passed ? "yes" : one.severity === "WARN" ? "changed" : "no"}>{one.passed ? "passed" : one.severity === "WARN" ? "warned" : "failed"}</span>}</td>
              ))}
            </tr>
          )))}
          {group("Materializations", found.materializations.map((row) => (
            <tr key={row.asset_key}>
              <th scope="row">
                <Link to={assetHref(row.asset_key)}>{visible(row.asset_key)}</Link> <span class="quiet">version</span>
              </th>
              {row.values.map((one, index) => (
                <td key={index}>{one === null ? <Absent /> : one.data_version === null ? <span class="quiet">reported</span> : <code>{visible(one.data_version)}</code>}</td>
              ))}
            </tr>
          )))}
          {group("Metadata", found.metadata.map((row) => <Entries key={`${row.asset_key} ${row.label}`} row={row} />))}
          {group("Metadata of checks", found.check_metadata.map((row) => <Entries key={`${row.asset_key} ${row.check_name} ${row.label}`} row={row} check={row.check_name} />))}
          {group("Context", found.context.map((row) => (
            <tr key={row.name}>
              <th scope="row">{visible(row.name)}</th>
              <Plain values={row.values} />
            </tr>
          )))}
          {group("Extras", leaves(found.extras))}
          {group("Tags", leaves(found.tags))}
          {group("Expected", leaves(found.expected))}
          {group("Launcher", leaves(found.launcher))}
          {group("Custom messages", leaves(found.custom_messages))}
          {group("Events by method", leaves(found.counts))}
          {group("Log lines new or gone", found.logs.map((row) => (
            <tr key={`${row.level} ${row.template}`}>
              <th scope="row">
                <code>{visible(row.template)}</code> <span class="quiet">{row.level}</span>
              </th>
              {row.counts.map((number, index) => (
                <td key={index}>
                  {number === 0 ? <Absent /> : (
                    <Link to={invocationHref(items[index]?.id ?? "", { tab: "logs", line: String(row.positions[index] ?? "") })}>{number === 1 ? "once" : `${count(number)} times`}</Link>
                  )}
                </td>
              ))}
            </tr>
          )))}
          {nothing && (
            <tr>
              <td colSpan={items.length + 1}>
                <Empty title="Nothing else differs." />
              </td>
            </tr>
          )}
        </tbody>
      </table>
      {complete.includes(false) && <p class="remark">Of a very long log only the beginning was compared.</p>}
      {whole.includes(false) && <p class="remark">Of very many or very large values only a part was compared.</p>}
    </div>
  );
}

const leaves = (rows: DifferentLeaf[]) =>
  rows.map((row) => (
    <tr key={row.path}>
      <th scope="row" class="mono">{visible(row.path)}</th>
      {row.masked ? row.values.map((_, index) => <td key={index} class="quiet">{row.absent?.[index] ? "not there" : "•••••• differs"}</td>) : <Plain values={row.values} absent={row.absent} />}
    </tr>
  ));

/** Entries of metadata side by side; of what is made of parts, like a schema of columns, also the parts that differ. */
function Entries({ row, check }: { row: Comparison["metadata"][number]; check?: string }) {
  return (
    <>
      <tr>
        <th scope="row">
          {visible(row.label)} <span class="quiet">of {check !== undefined && `${visible(check)} of `}<Link to={assetHref(row.asset_key)}>{visible(row.asset_key)}</Link></span>
        </th>
        {row.values.map((entry, index) => (
          <td key={index}>
            {entry === null ? <Absent /> : <Value entry={entry} asset={row.asset_key} name={`${row.label} ${index + 1}`} />}
            {entry && <Change value={numberOf(entry.raw_value)} first={numberOf(row.values[0]?.raw_value ?? null)} index={index} />}
          </td>
        ))}
      </tr>
      {row.values.includes(null) ? null : leaves(row.parts)}
    </>
  );
}

const Absent = () => <span class="quiet">not there</span>;
const numberOf = (value: Json): number | null => (typeof value === "number" ? value : null);

function Plain({ values, absent }: { values: Json[]; absent?: boolean[] }) {
  return (
    <>
      {values.map((value, index) => (
        <td key={index}>{absent?.[index] ? <Absent /> : <code>{visible(typeof value === "string" ? value : jsonText(value)).slice(0, 500)}</code>}</td>
      ))}
    </>
  );
}

/** How far a number is from the first one's. */
function Change({ value, first, index }: { value: number | null; first: number | null; index: number }) {
  if (index === 0 || value === null || first === null || first === 0 || value === first) return null;
  const share = ((value - first) / Math.abs(first)) * 100;
  return <span class="quiet"> {share > 0 ? "+" : "−"}{Math.abs(share) < 10 ? Math.abs(share).toFixed(1) : count(Math.abs(share))} %</span>;
}
