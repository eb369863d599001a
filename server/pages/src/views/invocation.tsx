// One invocation: how it stands in words, what it reported, when, and what can be done about it.
import { useMemo } from "preact/hooks";
import { get } from "../lib/api";
import { ago, clockTime, count, duration } from "../lib/format";
import { assetKeys, launcherText, partitionText, taken, title } from "../lib/group";
import { useLoaded, useNow, useSince } from "../lib/load";
import { assetHref, href, invocationHref, Link } from "../lib/router";
import { badgeOf, verdictSentence } from "../lib/standing";
import type { Invocation } from "../lib/types";
import { LogPanel } from "../logs/panel";
import { Badge, CopyButton, Facts, Failure, Loading, Sentence, Text, Time, useTitle } from "../parts/common";
import { Tabs, type Tab } from "../parts/tabs";
import { Actions } from "./actions";
import { Attempts } from "./attempts";
import { Checks } from "./checks";
import { ContextTab } from "./context";
import { exceptionsOf, ExceptionTab } from "./exception";
import { ExpectedPanel, ReceiptPanel } from "./expected";
import { HistoryTab } from "./history";
import { Customs, Materializations } from "./results";
import { Timeline } from "./timeline";
import { LOG_METHODS, useResults } from "./use_results";

export function InvocationPage({ id, query }: { id: string; query: URLSearchParams }) {
  const loaded = useLoaded(id, (signal) => get<Invocation>(`/invocations/${id}`, {}, signal), { every: 2000 });
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
  const exceptions = useMemo(() => exceptionsOf(invocation, results.closed), [invocation, results.closed]);
  const logs = LOG_METHODS.reduce((sum, method) => sum + (invocation.receipt?.by_method[method] ?? 0), 0);
  const tabs: Tab[] = [
    { id: "results", name: "Results", count: count(results.materializations.length) },
    { id: "checks", name: "Checks", count: count(results.checks.length), alarming: failedChecks > 0 },
    { id: "logs", name: "Logs", count: invocation.receipt ? count(logs) : undefined },
    { id: "messages", name: "Messages", count: count(results.customs.length) },
    { id: "context", name: "Context" },
    ...(exceptions.length ? [{ id: "exception", name: "Exception", count: exceptions.length, alarming: true }] : []),
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
      <div class={`verdict ${badgeOf(invocation.badge).kind}`}>
        <div class="verdict-head">
          <Badge name={invocation.badge} />
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
        <p class="verdict-words">
          <Sentence text={verdictSentence(invocation)} />
          {invocation.verdict === "succeeded" && failedChecks === 0 && invocation.failed_checks.warn > 0 && " A check of severity WARN did not pass."}
          {invocation.verdict === "succeeded" && failedChecks > 0 && (
            <strong>
              {" "}
              But {failedChecks === 1 ? "a check" : `${failedChecks} checks`} failed.
            </strong>
          )}
        </p>
        {invocation.reasons.length > 1 && (
          <details>
            <summary>
              All {invocation.reasons.length} reasons
            </summary>
            <ul class="reasons">
              {invocation.reasons.map((reason, index) => (
                <li key={index}>
                  <code>{reason.code}</code> <Sentence text={reason.detail} />
                </li>
              ))}
            </ul>
          </details>
        )}
        {invocation.reasons.some((reason) => reason.end) && (
          <pre class="stderr" tabIndex={0} aria-label="The end of what the process wrote">
            <Text>{invocation.reasons.find((reason) => reason.end)?.end}</Text>
          </pre>
        )}
      </div>
      <Facts rows={facts(invocation, now)} />
      <Attempts invocation={invocation} />
      <div class={invocation.expected_progress ? "side-by-side" : undefined}>
        {invocation.expected_progress && <ExpectedPanel invocation={invocation} />}
        <ReceiptPanel invocation={invocation} rejected={results.rejected} now={now} />
      </div>
      <Timeline invocation={invocation} results={results} now={now} />
      <Tabs tabs={tabs} chosen={tab} label="What the invocation reported">
        {tab === "results" && <Materializations invocation={invocation} events={results.materializations} />}
        {tab === "checks" && <Checks events={results.checks} />}
        {tab === "logs" && <LogPanel invocation={invocation} query={query} />}
        {tab === "messages" && <Customs events={results.customs} />}
        {tab === "context" && <ContextTab invocation={invocation} />}
        {tab === "exception" && <ExceptionTab exceptions={exceptions} />}
        {tab === "history" && <HistoryTab invocation={invocation} />}
      </Tabs>
    </article>
  );
}

function facts(invocation: Invocation, now: number): [string, preact.ComponentChildren][] {
  const { context } = invocation;
  const assets = assetKeys(invocation);
  const running = invocation.status === "running";
  const rows: [string, preact.ComponentChildren][] = [];
  if (context.job_name) rows.push(["Job", <Link to={href("", { job_name: context.job_name })}><Text>{context.job_name}</Text></Link>]);
  if (assets.length) {
    rows.push([assets.length > 1 ? "Assets" : "Asset", assets.slice(0, 12).map((key, index) => <span key={key}>{index > 0 && ", "}<Link to={assetHref(key)}><Text>{key}</Text></Link></span>)]);
  }
  if (partitionText(invocation)) rows.push(["Partition", <Text>{partitionText(invocation)}</Text>]);
  if (context.run_id) rows.push(["Run", <Link to={href("", { run_id: context.run_id })}><span class="mono"><Text>{context.run_id}</Text></span></Link>]);
  if (launcherText(invocation)) rows.push(["Launcher", <Text>{launcherText(invocation)}</Text>]);
  rows.push(["Registered", <Time value={invocation.created_at} />]);
  if (invocation.opened_at) rows.push([running ? "Running for" : "Took", <span title={`since ${invocation.opened_at}`}>{duration(taken(invocation, now))}{usual(invocation)}</span>]);
  if (invocation.ended_at) rows.push(["Ended", <Time value={invocation.ended_at} />]);
  if (running && invocation.heard_at) {
    const lease = invocation.lease_expires_at;
    rows.push(["Last word", <span title={lease ? `taken for lost at ${lease} without another` : undefined}>{ago(invocation.heard_at, now)}</span>]);
  }
  rows.push(["Events", count(invocation.last_position)]);
  const tags = Object.entries(invocation.tags);
  if (tags.length) {
    rows.push(["Tags", tags.map(([name, value]) => <Link key={name} class="chip" to={href("", { tag: `${name}=${value}` })}><Text>{`${name}=${value}`}</Text></Link>)]);
  }
  if (invocation.retry_of) rows.push(["Retry of", <Link to={invocationHref(invocation.retry_of)}><span class="mono">{invocation.retry_of}</span></Link>]);
  if (invocation.revision > 1) rows.push(["Verdict revised", `${invocation.revision - 1} times`]);
  return rows;
}

function usual(invocation: Invocation) {
  return invocation.usual_seconds ? <span class="quiet"> usually {duration(invocation.usual_seconds * 1000)}</span> : null;
}
