// The changes of state, kept beside the events.
import { get } from "../lib/api";
import { visible } from "../lib/format";
import { useLoaded } from "../lib/load";
import type { Change, Invocation } from "../lib/types";
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
            {detail && Object.keys(detail).length > 0 && <JsonTree value={detail} open={1} />}
          </li>
        );
      })}
    </ol>
  );
}
