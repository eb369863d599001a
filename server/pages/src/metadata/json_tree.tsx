// JSON as a tree that opens by steps; long lists and texts are shown in part until asked for.
import { useState } from "preact/hooks";
import { visible } from "../lib/format";
import type { Json } from "../lib/types";
import { Icon } from "../parts/icons";

const SHOWN = 50;
const LONG = 400;

interface Props {
  value: Json;
  name?: string;
  depth?: number;
  /** Levels that are open at the beginning. */
  open?: number;
  secret?: (name: string) => boolean;
}

export function JsonTree({ value, name, depth = 0, open = 2, secret }: Props) {
  const [opened, setOpened] = useState(depth < open);
  const [most, setMost] = useState(SHOWN);
  const label = name === undefined ? null : <span class="json-name">{visible(name)}: </span>;
  if (typeof value !== "object" || value === null) {
    return (
      <div class="json-row">
        {label}
        {name !== undefined && value !== null && secret?.(name) ? <Secret value={value} /> : <Scalar value={value} />}
      </div>
    );
  }
  const entries: [string, Json][] = Array.isArray(value) ? value.map((one, index) => [String(index), one]) : Object.entries(value);
  const brackets = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (!entries.length) {
    return (
      <div class="json-row">
        {label}
        {brackets.join("")}
      </div>
    );
  }
  if (name !== undefined && secret?.(name)) {
    return (
      <div class="json-row">
        {label}
        <Secret value={value} />
      </div>
    );
  }
  return (
    <div class="json-row">
      <button type="button" class="json-toggle" aria-expanded={opened} onClick={() => setOpened(!opened)}>
        <Icon name={opened ? "down" : "right"} size={12} />
        {label}
        <span class="quiet">
          {brackets[0]}
          {opened ? "" : `${entries.length} ${Array.isArray(value) ? "items" : "members"}${brackets[1]}`}
        </span>
        <span class="spoken">{name === undefined && opened ? `${entries.length} entries` : ""}</span>
      </button>
      {opened && (
        <div class="json-inner">
          {entries.slice(0, most).map(([key, inner]) => (
            <JsonTree key={key} name={key} value={inner} depth={depth + 1} open={open} {...(secret ? { secret } : {})} />
          ))}
          {entries.length > most && (
            <button type="button" class="ghost small" onClick={() => setMost(most * 4)}>
              {entries.length - most} more
            </button>
          )}
        </div>
      )}
    </div>
  );
}

function Scalar({ value }: { value: Json }) {
  const [whole, setWhole] = useState(false);
  if (typeof value === "string") {
    const cut = !whole && value.length > LONG;
    return (
      <span class="json-text">
        "{visible(cut ? value.slice(0, LONG) : value)}"
        {cut && (
          <button type="button" class="ghost small" onClick={() => setWhole(true)}>
            … {value.length - LONG} more characters
          </button>
        )}
      </span>
    );
  }
  return <span class={typeof value === "boolean" ? "json-flag" : value === null ? "quiet" : "json-number"}>{String(value)}</span>;
}

const SECRET = /pass(word|wd|phrase)?$|^pwd$|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|authori[sz]ation|connection[_-]?string|dsn$/i;

export const looksSecret = (name: string): boolean => SECRET.test(name);

function Secret({ value }: { value: Json }) {
  const [shown, setShown] = useState(false);
  return shown ? (
    <JsonTree value={value} />
  ) : (
    <span>
      <span class="quiet" aria-label="hidden value">
        ••••••
      </span>{" "}
      <button type="button" class="ghost small" onClick={() => setShown(true)}>
        Show
      </button>
    </span>
  );
}
