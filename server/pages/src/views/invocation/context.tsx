// What the external process was told. The server masks what looks like a credential; one is asked for when a person wants
// to see it.
import { useRef } from "preact/hooks";
import { get } from "../../lib/api";
import { jsonText } from "../../lib/format";
import type { Invocation, Json, JsonObject } from "../../lib/types";
import { JsonTree } from "../../metadata/json_tree";
import { CopyButton, Panel } from "../../parts/common";

export function ContextTab({ invocation }: { invocation: Invocation }) {
  const { extras: given, ...context } = invocation.context;
  const extras = given as JsonObject;
  const asked = useRef<Promise<Invocation> | null>(null);
  /** What stands unmasked at this place of the invocation. */
  const revealFrom = (place: (whole: Invocation) => Json) => async (path: string[]) => {
    asked.current ??= get<Invocation>(`/invocations/${invocation.id}`);
    try {
      return at(place(await asked.current), path);
    } catch (error) {
      asked.current = null;
      throw error;
    }
  };
  return (
    <>
      <Panel title="Context" aside={<CopyButton text={() => jsonText(context as unknown as Json, 2)} label="Copy the context as JSON" />}>
        <JsonTree value={context as unknown as Json} open={3} reveal={revealFrom((whole) => whole.context as unknown as Json)} />
      </Panel>
      <Panel title="Extras">
        {extras && Object.keys(extras).length ? <JsonTree value={extras} open={3} reveal={revealFrom((whole) => whole.context.extras ?? {})} /> : <p class="quiet">No extras were given.</p>}
      </Panel>
      <Panel title="Launcher and tags">
        <JsonTree value={registered(invocation)} open={3} reveal={revealFrom(registered)} />
      </Panel>
    </>
  );
}

const registered = ({ launcher, tags, expected }: Invocation): Json => ({ launcher, tags, expected: expected as unknown as Json });

function at(value: Json, path: string[]): Json {
  let found: Json | undefined = value;
  for (const name of path) found = typeof found === "object" && found !== null ? (found as Record<string, Json>)[name] : undefined;
  return found ?? null;
}
