// All invocations, newest first and live; what is looked for stands in the address.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get } from "../../lib/api";
import { ago, count, duration } from "../../lib/format";
import { assetKeys, launcherText, partitionText, sinceOpening, taken } from "../../lib/group";
import { useLoaded, useNow } from "../../lib/load";
import { millisIn } from "../../lib/stages";
import { changeQuery, href, invocationHref, Link, navigate } from "../../lib/router";
import type { Invocation, Page } from "../../lib/types";
import { Badge, Empty, Failure, Loading, Text, Time, useTitle } from "../../parts/common";
import { Activity } from "./activity";
import { FILTERS, Filters } from "./filters";
import { isTyping } from "../../parts/search";

const PAGE = 50;
const AGAIN_MILLISECONDS = 2000;

export function InvocationsPage({ query }: { query: URLSearchParams }) {
  useTitle("Invocations");
  const filter = useMemo(() => {
    const found: Record<string, string[]> = {};
    for (const name of FILTERS) if (query.has(name)) found[name] = query.getAll(name);
    return found;
  }, [query.toString()]);
  const key = JSON.stringify(filter);
  const first = useLoaded(key, (signal) => get<Page<Invocation>>("/invocations", { ...filter, limit: PAGE, usual: true, mask: true }, signal), { every: AGAIN_MILLISECONDS });
  const older = useOlder(key, filter, first.value);
  const invocations = useMemo(() => joined(first.value?.items ?? [], older.items), [first.value, older.items]);
  const searched = older.cursor ? (older.searched ?? first.value?.searched_to ?? null) : null;
  const filtered = Object.keys(filter).length > 0;

  return (
    <>
      <div class="page-head">
        <h1>Invocations</h1>
        <span class={first.error ? "line disconnected" : "line live"} role="status">
          {first.error ? "disconnected" : "live"}
        </span>
      </div>
      <Activity filter={filter} />
      <Filters query={query} />
      {first.error && !first.value && <Failure error={first.error} what="list" retry={first.reload} />}
      {!first.value && !first.error && <Loading what="invocations" />}
      {first.value && !invocations.length && filtered && (
        <Empty title={searched ? "Nothing was found so far." : "No invocation fits."}>
          {searched && (
            <>
              Searched back to <Time value={searched} />.{" "}
            </>
          )}
          <Link to={href("")}>Show all of them</Link>
        </Empty>
      )}
      {first.value && !invocations.length && !filtered && (
        <Empty title="Nothing was launched yet.">
          An invocation appears here the moment it is registered. <Link to={href("connect")}>Connect a program</Link>
        </Empty>
      )}
      {invocations.length > 0 && <List invocations={invocations} />}
      {older.cursor && (
        <p class="more">
          <button type="button" disabled={older.loading} onClick={older.load}>
            {older.loading ? "Loading…" : searched ? "Search further back" : "Show older ones"}
          </button>
        </p>
      )}
    </>
  );
}

/** Each once; what is in both as the first has it. */
function joined(newer: Invocation[], older: Invocation[]): Invocation[] {
  const seen = new Set(newer.map(({ id }) => id));
  return [...newer, ...older.filter(({ id }) => !seen.has(id))];
}

interface Older {
  key: string;
  items: Invocation[];
  cursor: string | null;
  searched: string | null;
  begun: boolean;
}

/**
 * What follows the first page: it is asked for once, since what is old seldom changes. New invocations push others off
 * the first page; those are kept, so that nothing is missing between the pages. Where more than a page came at once
 * there would be a gap, and the list begins anew; a page that is not full leaves none, and a search's may be empty.
 */
function useOlder(key: string, filter: Record<string, string[]>, first: Page<Invocation> | undefined) {
  const none: Older = { key, items: [], cursor: null, searched: null, begun: false };
  const [state, setState] = useState(none);
  const [loading, setLoading] = useState(false);
  const ours = state.key === key ? state : none;
  const cursor = ours.begun ? ours.cursor : (first?.next_cursor ?? null);
  useEffect(() => {
    if (!first) return;
    setState((before) => {
      if (before.key !== key || !before.begun) return before;
      const known = new Set(before.items.map(({ id }) => id));
      const joins = first.items.length < PAGE || first.items.some(({ id }) => known.has(id));
      return joins ? { ...before, items: joined(first.items, before.items) } : none;
    });
  }, [first]);
  const load = async () => {
    if (!cursor) return;
    setLoading(true);
    try {
      const page = await get<Page<Invocation>>("/invocations", { ...filter, limit: PAGE, usual: true, mask: true, cursor });
      const items = ours.begun ? ours.items : (first?.items ?? []);
      setState({ key, items: joined(items, page.items), cursor: page.next_cursor, searched: page.searched_to ?? null, begun: true });
    } finally {
      setLoading(false);
    }
  };
  return { items: ours.items, cursor, searched: ours.searched, loading, load: () => void load() };
}

function List({ invocations }: { invocations: Invocation[] }) {
  const body = useRef<HTMLTableSectionElement>(null);
  const now = useNow(1000, invocations.some((one) => one.status !== "ended"));
  const [chosen, setChosen] = useState<string[]>([]);
  useKeys(body);
  const choose = (id: string) => setChosen((before) => (before.includes(id) ? before.filter((one) => one !== id) : [...before, id].slice(-10)));
  return (
    <>
      {chosen.length > 0 && (
        <div class="chosen" role="status">
          {chosen.length} chosen{" "}
          {chosen.length > 1 ? (
            <Link class="button" to={href("compare", { id: chosen })}>
              Compare them
            </Link>
          ) : (
            <span class="quiet">Choose another to compare.</span>
          )}
          <button type="button" class="ghost small" onClick={() => setChosen([])}>
            Clear
          </button>
        </div>
      )}
      <table class="list invocations">
        <thead>
          <tr>
            <th scope="col" class="pick">
              <span class="spoken">Choose</span>
            </th>
            <th scope="col">State</th>
            <th scope="col">Assets</th>
            <th scope="col">Job</th>
            <th scope="col">Partition</th>
            <th scope="col">Launcher</th>
            <th scope="col">Started</th>
            <th scope="col">Duration</th>
            <th scope="col" class="number">
              Events
            </th>
          </tr>
        </thead>
        <tbody ref={body}>
          {invocations.map((one) => (
            <Row key={one.id} invocation={one} now={now} chosen={chosen.includes(one.id)} choose={choose} />
          ))}
        </tbody>
      </table>
      <p class="quiet hint">
        <kbd>j</kbd> <kbd>k</kbd> move, <kbd>Enter</kbd> opens, <kbd>/</kbd> searches.
      </p>
    </>
  );
}

interface RowProps {
  invocation: Invocation;
  now: number;
  chosen: boolean;
  choose: (id: string) => void;
}

function Row({ invocation, now, chosen, choose }: RowProps) {
  const assets = assetKeys(invocation);
  const to = invocationHref(invocation.id);
  const queued = millisIn(invocation, "queued", now);
  const runs = invocation.waiting === "running" && invocation.pipes === "optional";
  const waits = !runs && (invocation.status === "registered" || invocation.waiting !== null);
  const open = (event: MouseEvent) => {
    if ((event.target as HTMLElement).closest("a,button,input,label") || getSelection()?.toString()) return;
    navigate(to);
  };
  return (
    <tr onClick={open}>
      <td class="pick">
        <input type="checkbox" checked={chosen} onChange={() => choose(invocation.id)} aria-label={`Choose ${assets.join(", ") || invocation.id}`} />
      </td>
      <td class="badge-cell">
        <Link to={to} class="row-link" title={invocation.id}>
          <Badge name={invocation.badge} invocation={invocation} />
        </Link>
      </td>
      <td class="assets">
        {assets.length ? (
          <>
            <Text>{assets.slice(0, 2).join(", ")}</Text>
            {assets.length > 2 && <span class="quiet"> +{assets.length - 2}</span>}
          </>
        ) : (
          <span class="quiet mono">{invocation.id.slice(0, 17)}…</span>
        )}
        {invocation.retry_of && <span class="chip">retry</span>}
        {invocation.pinned && <span class="chip">pinned</span>}
        {invocation.matched?.filter((one) => one.in !== "names").slice(0, 1).map((one) => (
          <small class="quiet matched" key={one.in}>
            {one.in}: <Text>{one.text}</Text>
          </small>
        ))}
      </td>
      <td class="cut" data-name="Job">
        <Text>{invocation.context.job_name}</Text>
      </td>
      <td class="cut" data-name="Partition">
        <Text>{partitionText(invocation)}</Text>
      </td>
      <td class="cut quiet" data-name="Launcher">
        <Text>{launcherText(invocation)}</Text>
      </td>
      <td class="when">
        <Time value={invocation.opened_at ?? invocation.created_at} short />
      </td>
      <td class="took">
        <DurationBar ran={taken(invocation, now)} compared={sinceOpening(invocation, now)} running={invocation.status !== "ended"} usual={invocation.usual_seconds} waiting={waits} queued={queued} />
        {invocation.status === "running" && invocation.heard_at && <small class="quiet">heard {ago(invocation.heard_at, now)}</small>}
      </td>
      <td class="number" data-name="Events">
        {count(invocation.last_position)}
      </td>
    </tr>
  );
}

interface DurationProps {
  ran: number;
  /** What is drawn beside what is usual: measured in the same way. */
  compared: number;
  /** How long it waited on its platform; null where nothing is known of that. */
  queued: number | null;
  running: boolean;
  usual: number | null | undefined;
  waiting: boolean;
}

/** The duration with a bar whose mark is what like invocations usually take; twice that fills it. */
function DurationBar({ ran, compared, running, usual, waiting, queued }: DurationProps) {
  if (waiting) return <span class="quiet waits">{queued === null ? "not opened" : `queued ${duration(queued)}`}</span>;
  const scale = usual ? 50 / (usual * 1000) : 0;
  return (
    <span class="duration" title={usual ? `usually ${duration(usual * 1000)}` : undefined}>
      <span>{duration(ran)}</span>
      {usual ? (
        <svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
          <rect width="100" height="4" class="bar-back" />
          <rect width={Math.min(100, compared * scale)} height="4" class={running ? "bar-running" : compared > 2000 && compared > usual * 2000 ? "bar-long" : "bar"} />
          <rect x="49.4" width="1.2" height="4" class="bar-mark" />
        </svg>
      ) : null}
      {queued !== null && <small class="quiet">queued {duration(queued)}</small>}
    </span>
  );
}

/** j and k walk the rows, Escape takes the filters away; typing in a field is left alone. */
function useKeys(body: { current: HTMLTableSectionElement | null }): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      const links = [...(body.current?.querySelectorAll<HTMLElement>(".row-link") ?? [])];
      const now = links.findIndex((link) => link.closest("tr")?.contains(document.activeElement));
      if (event.key === "j" || event.key === "k") links[Math.min(links.length - 1, Math.max(0, now + (event.key === "j" ? 1 : -1)))]?.focus();
      else if (event.key === "Escape" && location.search) changeQuery(Object.fromEntries(FILTERS.map((name) => [name, null])));
      else return;
      event.preventDefault();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}
