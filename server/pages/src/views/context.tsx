// What the external process was told. Values whose names sound like secrets are hidden until somebody asks for them.
import { jsonText } from "../lib/format";
import type { Invocation, Json } from "../lib/types";
import { JsonTree, looksSecret } from "../metadata/json_tree";
import { CopyButton, Panel } from "../parts/common";

export function ContextTab({ invocation }: { invocation: Invocation }) {
  const { extras, ...context } = invocation.context;
  return (
    <>
      <Panel title="Context" aside={<CopyButton text={() => jsonText(context as unknown as Json, 2)} label="Copy the context as JSON" />}>
        <JsonTree value={context as unknown as Json} open={3} secret={looksSecret} />
      </Panel>
      <Panel title="Extras">
        {extras && Object.keys(extras).length ? <JsonTree value={extras} open={3} secret={looksSecret} /> : <p class="quiet">No extras were given.</p>}
      </Panel>
      <Panel title="Launcher and tags">
        <JsonTree value={{ launcher: invocation.launcher, tags: invocation.tags, expected: invocation.expected as unknown as Json }} open={3} secret={looksSecret} />
      </Panel>
    </>
  );
}
