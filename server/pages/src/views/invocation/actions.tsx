// What a person may do to an invocation, each with a question before it.
import { useState } from "preact/hooks";
import { send } from "../../lib/api";
import { withoutReading } from "../../lib/reading";
import { href, Link, navigate } from "../../lib/router";
import type { Invocation } from "../../lib/types";
import { Confirm } from "../../parts/dialog";

type Asked = "cancel" | "end" | "delete" | "pin" | null;

export function Actions({ invocation, reload }: { invocation: Invocation; reload: () => void }) {
  const [asked, setAsked] = useState<Asked>(null);
  const path = `/invocations/${invocation.id}`;
  const running = invocation.status !== "ended";
  const close = () => setAsked(null);
  return (
    <div class="actions">
      {!running && (
        <Link class="button" to={href("compare", { id: invocation.id, with: "last-good" })}>
          {invocation.verdict === "succeeded" ? "Compare with the one before" : "What changed since the last good one"}
        </Link>
      )}
      {running && (
        <button type="button" disabled={invocation.cancel_requested} onClick={() => setAsked("cancel")}>
          {invocation.cancel_requested ? "Cancel asked" : "Cancel"}
        </button>
      )}
      {running && (
        <button type="button" onClick={() => setAsked("end")}>
          Mark ended
        </button>
      )}
      <button type="button" aria-pressed={invocation.pinned} onClick={() => setAsked("pin")}>
        {invocation.pinned ? "Pinned" : "Pin"}
      </button>
      <button type="button" class="danger-ghost" onClick={() => setAsked("delete")}>
        Delete
      </button>
      {asked === "cancel" && (
        <Confirm title="Ask the process to stop?" action="Ask it to stop" reason="optional" close={close} run={async (reason) => {
          await send("POST", `${path}/cancel`, reason ? { reason } : undefined);
          reload();
        }}>
          <p>The process hears it with its next answer and decides how to stop. What it reported stays.</p>
        </Confirm>
      )}
      {asked === "end" && (
        <Confirm title="Mark this invocation as ended?" action="Mark ended" reason="required" close={close} run={async (reason) => {
          await send("POST", `${path}/finish`, { reason });
          reload();
        }}>
          <p>The verdict is computed from what is stored now. The process itself is not stopped.</p>
        </Confirm>
      )}
      {asked === "pin" && (
        <Confirm title={invocation.pinned ? "Take the pin out?" : "Pin this invocation?"} action={invocation.pinned ? "Unpin" : "Pin"} {...(invocation.pinned ? {} : { reason: "optional" as const })} close={close} run={async (reason) => {
          await send(invocation.pinned ? "DELETE" : "POST", `${path}/pin`, reason ? { reason } : undefined);
          reload();
        }}>
          <p>{invocation.pinned ? "It can be deleted like any other then." : "A pinned invocation is kept until somebody takes the pin out, and can be found by it."}</p>
        </Confirm>
      )}
      {asked === "delete" && (
        <Confirm title="Delete this invocation with its events?" action="Delete for ever" danger close={close} run={async () => {
          await withoutReading(path, async () => {
            await send("DELETE", `${path}${running || invocation.pinned ? "?force=true" : ""}`);
            navigate(href(""));
          });
        }}>
          <p>
            {running ? "It has not ended: what its process still reports will be refused. " : ""}
            {invocation.pinned ? "It is pinned: somebody wanted it kept. " : ""}
            Everything it reported goes with it, also from the pages of its assets. This cannot be taken back.
          </p>
        </Confirm>
      )}
    </div>
  );
}
