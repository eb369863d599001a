// How the columns changed from one materialization to the next, the schema as it is, and where the columns come from.
import { get } from "../../lib/api";
import { plural, visible } from "../../lib/format";
import { useLoaded } from "../../lib/load";
import { invocationHref, Link } from "../../lib/router";
import { valueOf, type Column, type ColumnLineage, type Materialization, type Page, type SchemaChange, type Table, type TableSchema } from "../../lib/types";
import { Lineage } from "../../metadata/lineage";
import { constraintWords, Schema } from "../../metadata/table";
import { Empty, Failure, Loading, Panel, Time } from "../../parts/common";

export function SchemaChanges({ path, asset, last }: { path: string; asset: string; last: Materialization | null }) {
  const loaded = useLoaded(path, (signal) => get<Page<SchemaChange>>(`${path}/schema-changes`, {}, signal));
  const metadata = Object.entries(last?.metadata ?? {});
  const schemas = metadata.flatMap(([label, entry]) => {
    const raw = entry.raw_value;
    const schema = entry.type === "table_schema" ? valueOf<TableSchema>(raw) : entry.type === "table" ? valueOf<Table>(raw).schema : null;
    return schema === null ? [] : [[label, schema] as const];
  });
  const lineages = metadata.filter(([, entry]) => entry.type === "table_column_lineage");
  return (
    <>
      {lineages.map(([label, entry]) => (
        <Panel key={label} title={`Where the columns come from${lineages.length > 1 ? ` (${visible(label)})` : ""}`}>
          <Lineage lineage={valueOf<ColumnLineage>(entry.raw_value)} asset={asset} />
        </Panel>
      ))}
      {schemas.map(([label, schema]) => (
        <Panel key={label} title={`Schema as last reported (${visible(label)})`}>
          <Schema schema={schema} name={`Schema ${label}`} />
        </Panel>
      ))}
      {loaded.error && <Failure error={loaded.error} what="list of changes" retry={loaded.reload} />}
      {!loaded.value && !loaded.error && <Loading what="changes of the schema" />}
      {loaded.value && !loaded.value.items.length && (
        <Empty title={schemas.length ? "The schema never changed." : "No schema was reported."}>Columns come from metadata of the types table_schema and table.</Empty>
      )}
      {loaded.value && loaded.value.items.length > 0 && (
        <Panel title="Changes of the schema">
          <ol>
            {loaded.value.items.map((change) => (
              <li key={`${change.invocation_id} ${change.position} ${change.label}`} class="schema-change">
                <Link to={invocationHref(change.invocation_id)}>
                  <Time value={change.received_at} />
                </Link>
                <ul class="plain">
                  {change.added.slice(0, MOST).map((column) => (
                    <li key={`+${column.name}`} class="added">
                      + <code>{visible(column.name)}</code> {visible(describe(column))}
                    </li>
                  ))}
                  {change.removed.slice(0, MOST).map((column) => (
                    <li key={`-${column.name}`} class="removed">
                      − <code>{visible(column.name)}</code> {visible(describe(column))}
                    </li>
                  ))}
                  {change.changed.slice(0, MOST).map(({ name, before, after }) => (
                    <li key={name} class="changed">
                      ~ <code>{visible(name)}</code> {visible(describe(before))} → {visible(describe(after))}
                    </li>
                  ))}
                  <Further of={change.added} how="added" />
                  <Further of={change.removed} how="removed" />
                  <Further of={change.changed} how="changed" />
                </ul>
              </li>
            ))}
          </ol>
        </Panel>
      )}
    </>
  );
}

const MOST = 50;

function Further({ of, how }: { of: unknown[]; how: string }) {
  if (of.length <= MOST) return null;
  return (
    <li class="quiet">
      {plural(of.length - MOST, "further column")} {how}
    </li>
  );
}

const describe = (column: Column): string => [column.type, ...constraintWords(column)].join(", ");
