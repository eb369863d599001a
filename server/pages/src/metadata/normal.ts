// The normal form of metadata as events carry it (docs/reference/metadata-types.md); lists by asset come in it already.
import type { Entry, Json, JsonObject } from "../lib/types";

export interface Column {
  name: string;
  type: string;
  description: string | null;
  tags: Record<string, string>;
  constraints: { nullable: boolean; unique: boolean; other: string[] };
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isNumber = (value: Json): boolean => typeof value === "number" || typeof value === "bigint";
const asText = (value: Json): string => (typeof value === "string" ? value : JSON.stringify(value));
const NOT_FINITE = ["NaN", "Infinity", "-Infinity"];

export function normalMetadata(metadata: Json | undefined): Record<string, Entry> {
  if (!isObject(metadata)) return {};
  return Object.fromEntries(Object.entries(metadata).map(([name, entry]) => [name, normalEntry(entry)]));
}

export function normalEntry(entry: Json): Entry {
  if (!isObject(entry)) return inferred(entry);
  if (!("type" in entry) || !("raw_value" in entry)) {
    return { type: "json", raw_value: entry, problem: "expected an object with type and raw_value" };
  }
  const type = entry["type"];
  const raw = entry["raw_value"] ?? null;
  if (typeof entry["problem"] === "string") return { type: "json", raw_value: raw, problem: entry["problem"] };
  if (type === "__infer__") return inferred(raw);
  const fits = typeof type === "string" ? FITS[type] : undefined;
  if (!fits) return { type: "json", raw_value: raw, problem: `unknown type ${asText(type ?? null)}` };
  return fits(raw) ? { type: type as string, raw_value: raw } : { type: "json", raw_value: raw, problem: `not a ${String(type)}` };
}

function inferred(raw: Json): Entry {
  if (raw === null) return { type: "null", raw_value: null };
  if (typeof raw === "boolean") return { type: "bool", raw_value: raw };
  if (typeof raw === "bigint" || (typeof raw === "number" && Number.isInteger(raw))) return { type: "int", raw_value: raw };
  if (typeof raw === "number") return { type: "float", raw_value: raw };
  return typeof raw === "string" ? { type: "text", raw_value: raw } : { type: "json", raw_value: raw };
}

const textOrNull = (raw: Json): boolean => raw === null || typeof raw === "string";
const float = (raw: Json): boolean => raw === null || isNumber(raw) || NOT_FINITE.includes(raw as string);
const FITS: Record<string, (raw: Json) => boolean> = {
  text: textOrNull,
  url: textOrNull,
  path: textOrNull,
  notebook: textOrNull,
  md: textOrNull,
  json: (raw) => raw === null || typeof raw === "object" || typeof raw === "string",
  float,
  timestamp: (raw) => raw !== null && float(raw),
  int: (raw) => raw === null || typeof raw === "bigint" || Number.isInteger(raw),
  bool: (raw) => raw === null || typeof raw === "boolean",
  dagster_run: (raw) => typeof raw === "string",
  asset: (raw) => typeof raw === "string" || Array.isArray(raw),
  null: () => true,
  table: (raw) => isObject(raw) && Array.isArray(raw["records"]) && raw["records"].every(isObject),
  table_schema: (raw) => columnsOf(raw) !== null,
  table_column_lineage: (raw) => lineageOf(raw) !== null,
};

/** The columns of a schema in any shape that is accepted; null where it is none. */
export function columnsOf(raw: Json | undefined): Column[] | null {
  const given = isObject(raw) ? raw["columns"] : raw;
  if (!Array.isArray(given)) return null;
  const columns: Column[] = [];
  for (const one of given) {
    if (!isObject(one) || typeof one["name"] !== "string") return null;
    const constraints = isObject(one["constraints"]) ? one["constraints"] : {};
    const { nullable, unique, other, ...named } = constraints;
    columns.push({
      name: one["name"],
      type: typeof one["type"] === "string" ? one["type"] : "string",
      description: typeof one["description"] === "string" ? one["description"] : null,
      tags: isObject(one["tags"]) ? Object.fromEntries(Object.entries(one["tags"]).map(([name, value]) => [name, asText(value)])) : {},
      constraints: {
        nullable: nullable !== false,
        unique: unique === true,
        other: [...(Array.isArray(other) ? other.map(asText) : []), ...Object.entries(named).map(([name, value]) => `${name}: ${asText(value)}`)],
      },
    });
  }
  return columns;
}

export function tableConstraints(raw: Json | undefined): string[] {
  const found = isObject(raw) && isObject(raw["constraints"]) ? raw["constraints"]["other"] : null;
  return Array.isArray(found) ? found.map(asText) : [];
}

export interface Upstream {
  asset: string;
  column: string;
}

/** Upstream columns by column; null where it is no lineage. */
export function lineageOf(raw: Json): Record<string, Upstream[]> | null {
  const given = isObject(raw) ? (raw["deps_by_column"] ?? raw["table_column_lineage"]) : null;
  if (!isObject(given)) return null;
  const found: Record<string, Upstream[]> = {};
  for (const [column, deps] of Object.entries(given)) {
    if (!Array.isArray(deps)) return null;
    const upstream: Upstream[] = [];
    for (const dep of deps) {
      const name = isObject(dep) ? (dep["column_name"] ?? dep["column"]) : null;
      const key = isObject(dep) ? dep["asset_key"] : null;
      if (typeof name !== "string" || (typeof key !== "string" && !Array.isArray(key))) return null;
      upstream.push({ asset: assetText(key), column: name });
    }
    found[column] = upstream;
  }
  return found;
}

/** An asset key's escaped text: what is in the addresses of the API. */
export function assetText(key: Json): string {
  if (Array.isArray(key)) return key.map((part) => String(part).replace(/\\/g, "\\\\").replace(/\//g, "\\/")).join("/");
  return String(key);
}

/** A number that can be drawn; null for anything else. */
export function plotted(entry: Entry | undefined): number | null {
  if (!entry || (entry.type !== "int" && entry.type !== "float")) return null;
  const value = Number(entry.raw_value);
  return Number.isFinite(value) && entry.raw_value !== null ? value : null;
}
