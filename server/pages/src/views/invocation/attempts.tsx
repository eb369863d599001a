// The attempts of one invocation: how often its platform started the work, and which of them counts.
import { attemptText } from "../../lib/ends";
import { plural, visible } from "../../lib/format";
import type { Invocation } from "../../lib/types";

export function Attempts({ invocation }: { invocation: Invocation }) {
  const attempts = invocation.attempts ?? [];
  if (attempts.length < 2 && !attempts[0]?.attempt.length) return null;
  return (
    <ol class="attempts" aria-label="Attempts">
      {attempts.map(({ attempt, names, producers, superseded }) => (
        <li key={attemptText(attempt)} class={superseded ? "superseded" : undefined}>
          <b>Attempt {attemptText(attempt)}</b>
          {names.length > 0 && <span class="mono">{visible(names.join(", "))}</span>}
          <span class="quiet">{plural(producers, "process", "processes")}</span>
          <span class="chip">{superseded ? "superseded" : "current"}</span>
        </li>
      ))}
    </ol>
  );
}
