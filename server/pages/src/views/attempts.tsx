// The other attempts at the same work: what this one is a retry of, and what was tried after it.
import { get } from "../lib/api";
import { useLoaded } from "../lib/load";
import { invocationHref, Link } from "../lib/router";
import type { Invocation, Page } from "../lib/types";
import { Badge, Time } from "../parts/common";

const MOST = 20;

export function Attempts({ invocation }: { invocation: Invocation }) {
  const loaded = useLoaded(`${invocation.id} ${invocation.retry_of}`, async (signal) => {
    const chain: Invocation[] = [];
    let before = invocation.retry_of;
    while (before && chain.length < MOST && !chain.some(({ id }) => id === before)) {
      const one: Invocation | null = await get<Invocation>(`/invocations/${before}`, {}, signal).catch(() => null);
      if (!one) break;
      chain.unshift(one);
      before = one.retry_of;
    }
    const later = await get<Page<Invocation>>("/invocations", { retry_of: invocation.id, limit: MOST }, signal);
    return [...chain, invocation, ...later.items.reverse()];
  });
  const attempts = loaded.value ?? [];
  if (attempts.length < 2) return null;
  return (
    <nav class="attempts" aria-label="Attempts">
      {attempts.map((one, index) => (
        <Link key={one.id} to={invocationHref(one.id)} aria-current={one.id === invocation.id ? "page" : undefined} class="attempt">
          <span class="quiet">Attempt {index + 1}</span> <Badge name={one.badge} /> <Time value={one.created_at} short />
        </Link>
      ))}
    </nav>
  );
}
