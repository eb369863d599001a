// How a program is connected to this server: snippets to copy, with its address in them.
import { useState } from "preact/hooks";
import { publicUrl } from "../lib/api";
import { CopyButton, Panel, useTitle } from "../parts/common";

interface Snippet {
  name: string;
  words: string;
  text: (url: string) => string;
}

const REGISTER = (url: string) => `curl --fail --silent --show-error ${url}/api/v1/invocations \\
  -H "Authorization: Bearer $STANDPIPE_API_KEY" -H "Content-Type: application/json" \\
  -d '{"context": {"asset_keys": ["orders"]}, "expected": {"asset_keys": ["orders"]}}'`;

const LAUNCH: Snippet[] = [
  {
    name: "Python",
    words: "In the orchestrator: run a script and get its results.",
    text: (url) => `# pip install standpipe-orchestrator
# export STANDPIPE_URL=${url} STANDPIPE_API_KEY=…
from standpipe_orchestrator import AssetExecutionContext, Definitions, PipesSubprocessClient, asset

@asset
def orders(context: AssetExecutionContext, pipes_subprocess_client: PipesSubprocessClient):
    return pipes_subprocess_client.run(
        command=["python", "orders.py"], context=context
    ).get_materialize_result()

defs = Definitions(
    assets=[orders], resources={"pipes_subprocess_client": PipesSubprocessClient()}
)
# standpipe materialize definitions.py`,
  },
  { name: "curl", words: "Any program: the answer holds the token and the environment for the process.", text: REGISTER },
];

const REPORT: Snippet[] = [
  {
    name: "Python",
    words: "In the external process. Outside an invocation it does nothing, and says so.",
    text: () => `# pip install standpipe
from standpipe import open_pipes

with open_pipes() as pipes:
    pipes.log.info("reading the orders")
    pipes.report_asset_materialization(
        metadata={"rows": 1234, "seconds": 5.6}
    )
    pipes.report_asset_check("no_nulls", passed=True)`,
  },
  {
    name: "curl",
    words: "A shell script needs nothing but curl and the three variables of its environment.",
    text: () => `say() {
  curl --fail --silent --show-error "$STANDPIPE_URL/api/v1/invocations/$STANDPIPE_INVOCATION/events" \\
    -H "Authorization: Bearer $STANDPIPE_TOKEN" -H "Content-Type: application/json" -d "$1"
}
say '{"method": "opened", "params": {}}'
say '{"method": "report_asset_materialization", "params": {"asset_key": "orders", "metadata": {"rows": {"type": "int", "raw_value": 1234}}}}'
say '{"method": "closed", "params": {}}'`,
  },
  {
    name: "Docker",
    words: "The container gets the three variables, and reaches this server by its address.",
    text: (url) => `docker run --rm \\
  -e STANDPIPE_URL="${containerUrl(url)}" \\
  -e STANDPIPE_INVOCATION -e STANDPIPE_TOKEN \\
  registry.example.com/orders:latest python orders.py`,
  },
  {
    name: "Kubernetes",
    words: "The token belongs in a Secret, which ends with the job.",
    text: (url) => `apiVersion: batch/v1
kind: Job
metadata:
  name: orders
spec:
  backoffLimit: 0            # a retry is a new invocation
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: orders
          image: registry.example.com/orders:latest
          command: ["python", "orders.py"]
          env:
            - name: STANDPIPE_URL
              value: "${url}"
            - name: STANDPIPE_INVOCATION
              value: "inv_…"
            - name: STANDPIPE_TOKEN
              valueFrom:
                secretKeyRef: {name: orders-standpipe, key: token}`,
  },
];

/** Inside a container localhost is the container. */
function containerUrl(url: string): string {
  return url.replace(/\/\/(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)/, "//host.docker.internal");
}

export function ConnectPage() {
  useTitle("Connect");
  const url = publicUrl.replace(/\/$/, "");
  const local = /\/\/(localhost|127\.|\[::1\])/.test(url);
  return (
    <>
      <div class="page-head">
        <h1>Connect a program</h1>
        <code>{url}</code>
        <CopyButton text={url} label="Copy the address" />
      </div>
      {local && <p class="remark">This address reaches the server from its own machine only. Start it with --host and --public-url for others.</p>}
      <ol class="steps">
        <li>
          <Choice title="1. Launch it" snippets={LAUNCH} url={url} />
        </li>
        <li>
          <Choice title="2. Let it report" snippets={REPORT} url={url} />
        </li>
        <li>
          <Panel title="3. Watch it">
            <p>
              The invocation is on the first page the moment it is registered. In a terminal: <code>standpipe ls</code> and <code>standpipe show ID</code>.
            </p>
          </Panel>
        </li>
      </ol>
    </>
  );
}

function Choice({ title, snippets, url }: { title: string; snippets: Snippet[]; url: string }) {
  const [name, setName] = useState(snippets[0]!.name);
  const chosen = snippets.find((one) => one.name === name) ?? snippets[0]!;
  const text = chosen.text(url);
  return (
    <Panel
      title={title}
      aside={
        <div class="states" role="group" aria-label={`${title}: with what`}>
          {snippets.map((one) => (
            <button type="button" key={one.name} aria-pressed={one.name === name} onClick={() => setName(one.name)}>
              {one.name}
            </button>
          ))}
        </div>
      }
    >
      <p>{chosen.words}</p>
      <div class="snippet">
        <pre tabIndex={0} role="region" aria-label={`${title}, ${chosen.name}`}>{text}</pre>
        <CopyButton text={text} label={`Copy the snippet for ${chosen.name}`} />
      </div>
    </Panel>
  );
}
