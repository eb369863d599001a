// The changes of an invocation's state, read again whenever something of it has changed that is told there, and now and
// then while it runs: a refused request changes nothing else.
import { useEffect, useRef } from "preact/hooks";
import { get } from "../../lib/api";
import { useLoaded, type Loaded } from "../../lib/load";
import type { Change, Invocation } from "../../lib/types";

const AGAIN_MILLISECONDS = 5000;

export function useHistory(invocation: Invocation): Loaded<Change[]> {
  const { id, status, revision, cancel_requested: cancel, pinned, opened_at: opened, platform, attempts } = invocation;
  const loaded = useLoaded(id, async (signal) => (await get<{ items: Change[] }>(`/invocations/${id}/history`, { mask: true }, signal)).items, {
    every: status === "ended" ? undefined : AGAIN_MILLISECONDS,
  });
  const state = JSON.stringify([id, status, revision, cancel, pinned, opened, platform, attempts]);
  const read = useRef(state);
  useEffect(() => {
    if (read.current === state) return;
    read.current = state;
    loaded.reload();
  }, [state]);
  return loaded;
}
