// The changes of state, kept beside the events, in words.
import { visible } from "../../lib/format";
import type { Loaded } from "../../lib/load";
import type { Change, JsonObject } from "../../lib/types";
import { JsonTree } from "../../metadata/json_tree";
import { Failure, Loading, Sentence, Time } from "../../parts/common";

export function HistoryTab({ history }: { history: Loaded<Change[]> }) {
  if (history.error && !history.value) return <Failure error={history.error} what="history" retry={history.reload} />;
  if (!history.value) return <Loading what="the history" />;
  return (
    <ol class="history">
      {history.value.map(({ at, description, more }, index) => (
        <li key={index}>
          <Time value={at} />
          <strong>
            <Sentence text={description} />
          </strong>
          <Detail detail={more as JsonObject} />
        </li>
      ))}
    </ol>
  );
}

const NAMES: Record<string, string> = { start: "it begins with" };

/** What more is told of a change: plain members as words, only what is nested as a tree. */
function Detail({ detail }: { detail: JsonObject }) {
  const members = Object.entries(detail);
  if (!members.length) return null;
  const plain = members.every(([, value]) => typeof value !== "object" || (Array.isArray(value) && value.every((one) => typeof one === "string")));
  if (!plain) return <JsonTree value={detail} open={1} />;
  return (
    <>
      {members.map(([name, value]) => (
        <span class="quiet" key={name}>
          {NAMES[name] ?? visible(name.replaceAll("_", " "))} <b class="told">{visible(Array.isArray(value) ? value.join(", ") || "none" : String(value))}</b>
        </span>
      ))}
    </>
  );
}
