// One invocation: how it stands in words, what it reported, when, and what can be done about it.
import { useMemo } from "preact/hooks";
import { clockTime, count } from "../../lib/format";
import { title } from "../../lib/group";
import { useFresh, useNow, useSince } from "../../lib/load";
import { href, Link } from "../../lib/router";
import { badgeFor } from "../../lib/standing";
import { standingReports, supersededProducers } from "../../lib/superseded";
import type { Invocation } from "../../lib/types";
import { LogPanel } from "../../logs/panel";
import { Badge, CopyButton, Facts, Failure, Loading, Text, useTitle } from "../../parts/common";
import { Tabs, type Tab } from "../../parts/tabs";
import { Actions } from "./actions";
import { Attempts } from "./attempts";
import { Checks } from "../results/checks";
import { ContextTab } from "./context";
import { exceptionsOf, ExceptionTab } from "./exception";
import { ExpectedPanel } from "./expected";
import { facts } from "./summary";
import { HistoryTab } from "./history";
import { ReceiptPanel } from "./receipt";
import { Customs, Materializations, Observations } from "../results/results";
import { Retries } from "./retries";
import { Timeline } from "../timeline/timeline";
import { useHistory } from "./use_history";
import { LOG_METHODS, useResults } from "../results/use_results";
import { Verdict } from "./verdict";

/** A launcher's word wakes nobody who reads events, so the invocation itself is asked for more often than lists are. */
const AGAIN_MILLISECONDS = 600;
const ENDED_AGAIN_MILLISECONDS = 2000;

export function InvocationPage({ id, query }: { id: string; query: URLSearchParams }) {
  const loaded = useFresh<Invocation>(`/invocations/${id}?mask=true`, (known) => (known?.status === "ended" ? ENDED_AGAIN_MILLISECONDS : AGAIN_MILLISECONDS));
  const invocation = loaded.value;
  useTitle(invocation ? title(invocation) : "Invocation");
  if (loaded.error && !invocation) return <Failure page error={loaded.error} what="invocation" retry={loaded.reload} />;
  if (!invocation) return <Loading page what="the invocation" />;
  return <Shown invocation={invocation} query={query} reload={loaded.reload} stale={loaded.error !== undefined} />;
}

interface ShownProps {
  invocation: Invocation;
  query: URLSearchParams;
  reload: () => void;
  stale: boolean;
}

function Shown({ invocation, query, reload, stale }: ShownProps) {
  const running = invocation.status !== "ended";
  const now = useNow(1000, running);
  const results = useResults(invocation.id, invocation.revision, reload);
  const failedChecks = invocation.failed_checks.error;
  const superseded = useMemo(() => supersededProducers(invocation, results.events), [invocation, results.events]);
  const exceptions = useMemo(() => exceptionsOf(invocation, results.closed, superseded), [invocation, results.closed, superseded]);
  const materializations = useMemo(() => standingReports(results.materializations), [results.materializations]);
  const checks = useMemo(() => standingReports(results.checks), [results.checks]);
  const history = useHistory(invocation);
  const logs = LOG_METHODS.reduce((sum, method) => sum + (invocation.receipt?.by_method[method] ?? 0), 0);
  const tabs: Tab[] = [
    { id: "results", name: "Results", count: count(materializations.standing.length) },
    { id: "checks", name: "Checks", count: count(checks.standing.length), alarming: failedChecks > 0 },
    { id: "logs", name: "Logs", count: invocation.receipt ? count(logs) : undefined },
    { id: "messages", name: "Messages", count: count(results.customs.length) },
    { id: "context", name: "Context" },
    ...(exceptions.length ? [{ id: "exception", name: "Exception", count: exceptions.length, alarming: exceptions.some((one) => !one.because) }] : []),
    { id: "history", name: "History" },
  ];
  const asked = query.get("tab") ?? (query.has("line") ? "logs" : "results");
  const tab = tabs.some(({ id }) => id === asked) ? asked : "results";
  const line = stale ? "disconnected" : results.line;
  const since = useSince(line === "disconnected");

  return (
    <article class="invocation">
      <nav class="crumbs" aria-label="Place">
        <Link to={href("")}>Invocations</Link> / <span class="mono">{invocation.id}</span>
        <CopyButton text={invocation.id} label="Copy the id" />
      </nav>
      <div class={`verdict ${badgeFor(invocation).kind}${invocation.judged_by ? " judged" : ""}`}>
        <div class="verdict-head">
          <Badge name={invocation.badge} invocation={invocation} />
          <h1>
            <Text>{title(invocation)}</Text>
          </h1>
          {line !== "ended" && (
            <span class={`line ${line.replace(" ", "-")}`} role="status">
              {line}
              {since && <> since {clockTime(since)}</>}
            </span>
          )}
          <Actions invocation={invocation} reload={reload} />
        </div>
        <Verdict invocation={invocation} />
      </div>
      <Facts rows={facts(invocation, now)} />
      <Retries invocation={invocation} />
      <Attempts invocation={invocation} />
      <div class={invocation.expected_progress ? "side-by-side" : undefined}>
        {invocation.expected_progress && <ExpectedPanel invocation={invocation} />}
        <ReceiptPanel invocation={invocation} rejected={results.rejected} superseded={superseded} now={now} />
      </div>
      <Timeline invocation={invocation} results={results} superseded={superseded} history={history.value ?? []} now={now} />
      <Tabs tabs={tabs} chosen={tab} label="What the invocation reported">
        {tab === "results" && <Materializations invocation={invocation} reports={materializations} superseded={superseded} />}
        {tab === "results" && <Observations events={results.observations} superseded={superseded} />}
        {tab === "checks" && <Checks reports={checks} superseded={superseded} />}
        {tab === "logs" && <LogPanel invocation={invocation} superseded={superseded} query={query} />}
        {tab === "messages" && <Customs events={results.customs} superseded={superseded} />}
        {tab === "context" && <ContextTab invocation={invocation} />}
        {tab === "exception" && <ExceptionTab exceptions={exceptions} />}
        {tab === "history" && <HistoryTab history={history} />}
      </Tabs>
    </article>
  );
}
