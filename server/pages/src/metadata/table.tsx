// Tables and schemas, in the browser's own table, with constraints in words.
import { useMemo, useState } from "preact/hooks";
import { count, numberText, plural, visible } from "../lib/format";
import type { Column, Json, JsonObject, Table, TableSchema } from "../lib/types";
import { PartBar, usePart } from "../parts/more";

const SHOWN = 20;
const COLUMNS = 40;
/** Rows of a schema, and cells that are added to a table at once. */
const MOST_COLUMNS = 100;
const CELLS = 4000;
/** Characters of a cell. */
const LONG = 400;

export function Records({ value, name = "Table" }: { value: Table; name?: string }) {
  const [most, setMost] = useState(SHOWN);
  const records: JsonObject[] = value.records;
  const described = value.schema.columns;
  const names = useMemo(
    () => [...new Set([...described.map((column) => column.name), ...records.slice(0, 200).flatMap((record) => Object.keys(record))])],
    [value],
  );
  const types = new Map(described.map((column) => [column.name, column]));
  const part = usePart(names, (name) => name, COLUMNS);
  const next = Math.min(records.length - most, most * 4, Math.max(SHOWN, Math.floor(CELLS / Math.max(1, part.shown.length))));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={name}>
      <PartBar part={part} total={names.length} what="columns" at={COLUMNS} />
      <table class="data">
        <thead>
          <tr>
            {part.shown.map((name) => (
              <th key={name} scope="col">
                {visible(name)}
                {types.get(name) && <small>{visible(types.get(name)?.type ?? "")}</small>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {records.slice(0, most).map((record, index) => (
            <tr key={index}>
              {part.shown.map((name) => (
                <Cell key={name} value={record[name] ?? null} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet under">
        {plural(records.length, "row")}
        {records.length > most && (
          <button type="button" class="ghost small" onClick={() => setMost(most + next)}>
            Show {count(next)} more
          </button>
        )}
      </p>
      {described.some((column) => constraintWords(column).length) && <Schema schema={value.schema} name={`Schema of ${name}`} />}
    </div>
  );
}

function Cell({ value }: { value: Json }) {
  if (value === null) return <td class="quiet">null</td>;
  const numeric = typeof value === "number" || typeof value === "bigint";
  const text = numeric ? numberText(value) : String(value);
  return <td class={numeric ? "number" : undefined}>{visible(text.length > LONG ? `${text.slice(0, LONG)}… (${count(text.length)} characters)` : text)}</td>;
}

export function Schema({ schema, name = "Schema" }: { schema: TableSchema; name?: string }) {
  const { columns } = schema;
  const whole = schema.constraints.other;
  const part = usePart(columns, (column) => column.name, MOST_COLUMNS);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={name}>
      <PartBar part={part} total={columns.length} what="columns" at={MOST_COLUMNS} />
      <table class="data schema">
        <thead>
          <tr>
            <th scope="col">Column</th>
            <th scope="col">Type</th>
            <th scope="col">Constraints</th>
            <th scope="col">Description</th>
          </tr>
        </thead>
        <tbody>
          {part.shown.map((column) => (
            <tr key={column.name}>
              <th scope="row">{visible(column.name)}</th>
              <td>
                <code>{visible(column.type)}</code>
              </td>
              <td>
                {constraintWords(column).map((word) => (
                  <span class="chip" key={word}>
                    {visible(word)}
                  </span>
                ))}
              </td>
              <td>
                {visible(column.description ?? "")}
                {Object.entries(column.tags).map(([name, text]) => (
                  <span class="chip" key={name}>
                    {visible(text ? `${name}=${text}` : name)}
                  </span>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {whole.length > 0 && <p class="under">Of the table: {whole.map(visible).join("; ")}</p>}
    </div>
  );
}

export function constraintWords(column: Column): string[] {
  const { nullable, unique, other } = column.constraints;
  return [...(nullable ? [] : ["not null"]), ...(unique ? ["unique"] : []), ...other];
}
