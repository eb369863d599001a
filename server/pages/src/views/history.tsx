// The changes of state, kept beside the events.
import { get } from "../lib/api";
import { visible } from "../lib/format";
import { useLoaded } from "../lib/load";
import type { Change, Invocation, JsonObject } from "../lib/types";
import { JsonTree } from "../metadata/json_tree";
import { Failure, Loading, Time } from "../parts/common";

export function HistoryTab({ invocation }: { invocation: Invocation }) {
  const key = `${invocation.id} ${invocation.status} ${invocation.revision} ${invocation.cancel_requested}`;
  const loaded = useLoaded(key, (signal) => get<{ items: Change[] }>(`/invocations/${invocation.id}/history`, {}, signal));
  if (loaded.error) return <Failure error={loaded.error} what="history" retry={loaded.reload} />;
  if (!loaded.value) return <Loading what="the history" />;
  return (
    <ol class="history">
      {loaded.value.items.map((item, index) => {
        const { at, change, detail } = item;
        return (
          <li key={index}>
            <Time value={at} />
            <strong>{visible(String(change).replaceAll("_", " ").replaceAll("-", " "))}</strong>
            {detail && <Detail detail={detail} />}
          </li>
        );
      })}
    </ol>
  );
}

/** What is told of a change: plain members as words, only what is nested as a tree. */
function Detail({ detail }: { detail: JsonObject }) {
  const members = Object.entries(detail).filter(([, value]) => value !== null);
  const plain = members.every(([, value]) => typeof value !== "object" || (Array.isArray(value) && value.every((one) => typeof one === "string")));
  if (!plain) return <JsonTree value={detail} open={1} />;
  return (
    <>
      {members.map(([name, value]) => (
        <span class="quiet" key={name}>
          {visible(name.replaceAll("_", " "))} <b class="told">{visible(Array.isArray(value) ? value.join(", ") || "none" : String(value))}</b>
        </span>
      ))}
    </>
  );
}
