// The other invocations that tried the same work: what this one is a retry of, and what was tried after it.
import { get } from "../../lib/api";
import { useLoaded } from "../../lib/load";
import { invocationHref, Link } from "../../lib/router";
import type { Invocation, Page } from "../../lib/types";
import { Badge, Time } from "../../parts/common";

const MOST = 20;

export function Retries({ invocation }: { invocation: Invocation }) {
  const loaded = useLoaded(`${invocation.id} ${invocation.retry_of}`, async (signal) => {
    const before: Invocation[] = [];
    let earlier = invocation.retry_of;
    while (earlier && before.length < MOST && !before.some(({ id }) => id === earlier)) {
      const one: Invocation | null = await get<Invocation>(`/invocations/${earlier}`, { mask: true }, signal).catch(() => null);
      if (!one) break;
      before.unshift(one);
      earlier = one.retry_of;
    }
    const later = await get<Page<Invocation>>("/invocations", { retry_of: invocation.id, limit: MOST, mask: true }, signal);
    return { before, after: later.items.reverse() };
  });
  if (!loaded.value) return null;
  const chain = [...loaded.value.before, invocation, ...loaded.value.after];
  if (chain.length < 2) return null;
  const begun = chain[0]?.retry_of ? 1 : 0;
  return (
    <nav class="retries" aria-label="Retries">
      {chain.map((one, index) => (
        <Link key={one.id} to={invocationHref(one.id)} aria-current={one.id === invocation.id ? "page" : undefined} class="retry">
          <span class="quiet">{index + begun === 0 ? "First" : `Retry ${index + begun}`}</span> <Badge name={one.badge} invocation={one} /> <Time value={one.created_at} short />
        </Link>
      ))}
    </nav>
  );
}
