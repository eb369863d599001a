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
  /** Gives what is masked at a place of the value; without it what looks like a mask is a text like others. */
  reveal?: Reveal | undefined;
  path?: string[];
}

type Reveal = (path: string[]) => Promise<Json>;
const MASK = "***";

export function JsonTree({ value, name, depth = 0, open = 2, reveal, path = [] }: Props) {
  const [opened, setOpened] = useState(depth < open);
  const [most, setMost] = useState(SHOWN);
  const label = name === undefined ? null : <span class="json-name">{visible(name)}: </span>;
  if (typeof value !== "object" || value === null) {
    return (
      <div class="json-row">
        {label}
        {reveal && typeof value === "string" && value.includes(MASK) ? <Masked text={value} reveal={() => reveal(path)} /> : <Scalar value={value} />}
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
            <JsonTree key={key} name={key} value={inner} depth={depth + 1} open={open} reveal={reveal} path={[...path, key]} />
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

function Masked({ text, reveal }: { text: string; reveal: () => Promise<Json> }) {
  const [shown, setShown] = useState<{ value: Json } | null>(null);
  const [wrong, setWrong] = useState("");
  if (shown) return <JsonTree value={shown.value} />;
  const show = async () => {
    try {
      setShown({ value: await reveal() });
    } catch (error) {
      setWrong(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <span>
      {text === MASK ? (
        <span class="quiet" aria-label="hidden value">
          ••••••
        </span>
      ) : (
        <Scalar value={text} />
      )}{" "}
      <button
        type="button"
        class="ghost small"
        onClick={() => {
          void show();
        }}
      >
        Show
      </button>
      {wrong && <span class="wrong" role="alert"> {wrong}</span>}
    </span>
  );
}
