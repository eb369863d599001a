// Makes TypeScript of JSON Schema: `node types.mjs` reads an object of schemas by name and writes their types.
import { compile } from "json-schema-to-typescript";
import { readFileSync } from "node:fs";

const bannerComment = `// Made by scripts/generate from the server's resources; do not edit.
import type { Json } from "./types";
`;

/** What is declared without a type is any JSON. */
function typed(schema) {
  if (Array.isArray(schema)) return schema.map(typed);
  if (typeof schema !== "object" || schema === null) return schema;
  const made = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, name === "properties" ? members(value) : typed(value)]));
  return ["type", "anyOf", "enum", "$ref"].some((name) => name in schema) ? made : { ...made, tsType: "Json" };
}
const members = (schemas) => Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, typed(schema)]));

const schemas = JSON.parse(readFileSync(0, "utf8").replaceAll("#/components/schemas/", "#/$defs/"));
const text = await compile({ type: "object", $defs: members(schemas) }, "Resources", {
  bannerComment,
  additionalProperties: false,
  unreachableDefinitions: true,
  style: { printWidth: 160 },
});
// The definitions are the types; of the object that holds them nothing is said.
process.stdout.write(text.replace(/export interface Resources \{\}\n/, "").replace(/(?: \*\n)? \* This interface was referenced by .*\n(?: \* via .*\n)?/g, "").replace(/^\/\*\*\n \*\/\n/gm, ""));
