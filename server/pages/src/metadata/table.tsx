// Tables and schemas, in the browser's own table, with constraints in words.
import { useState } from "preact/hooks";
import { count, numberText, plural, visible } from "../lib/format";
import type { Json, JsonObject } from "../lib/types";
import { columnsOf, tableConstraints, type Column } from "./normal";

const SHOWN = 20;

export function Records({ value, name = "Table" }: { value: JsonObject; name?: string }) {
  const [most, setMost] = useState(SHOWN);
  const records = (Array.isArray(value["records"]) ? value["records"] : []) as JsonObject[];
  const described = columnsOf(value["schema"]) ?? [];
  const names = [...new Set([...described.map((column) => column.name), ...records.slice(0, 200).flatMap((record) => Object.keys(record))])];
  const types = new Map(described.map((column) => [column.name, column]));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={name}>
      <table class="data">
        <thead>
          <tr>
            {names.map((name) => (
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
              {names.map((name) => (
                <Cell key={name} value={record[name] ?? null} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet under">
        {plural(records.length, "row")}
        {records.length > most && (
          <button type="button" class="ghost small" onClick={() => setMost(most * 5)}>
            Show {count(Math.min(records.length - most, most * 4))} more
          </button>
        )}
      </p>
      {described.some((column) => constraintWords(column).length) && <Schema raw={value["schema"] ?? null} name={`Schema of ${name}`} />}
    </div>
  );
}

function Cell({ value }: { value: Json }) {
  if (value === null) return <td class="quiet">null</td>;
  const numeric = typeof value === "number" || typeof value === "bigint";
  return <td class={numeric ? "number" : undefined}>{visible(numeric ? numberText(value) : String(value))}</td>;
}

export function Schema({ raw, name = "Schema" }: { raw: Json; name?: string }) {
  const columns = columnsOf(raw) ?? [];
  const whole = tableConstraints(raw);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={name}>
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
          {columns.map((column) => (
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
