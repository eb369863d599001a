// What an invocation is called, and to which others its duration is compared.
import { milliseconds } from "./format";
import type { Invocation } from "./types";

export function assetKeys(invocation: Invocation): string[] {
  return invocation.context.asset_keys ?? [];
}

export function title(invocation: Invocation): string {
  const assets = assetKeys(invocation);
  if (assets.length) return assets.length > 3 ? `${assets.slice(0, 3).join(", ")} and ${assets.length - 3} more` : assets.join(", ");
  return invocation.context.job_name || invocation.id;
}

export function partitionText(invocation: Invocation): string {
  const { partition_key: key, partition_key_range: range } = invocation.context;
  if (key) return key;
  return range ? (range.start === range.end ? range.start : `${range.start} … ${range.end}`) : "";
}

export function launcherText(invocation: Invocation): string {
  const launcher = invocation.launcher;
  if (typeof launcher === "string") return launcher;
  if (launcher && typeof launcher === "object" && !Array.isArray(launcher)) {
    const named = launcher["kind"] ?? launcher["name"] ?? launcher["type"];
    return typeof named === "string" ? named : "";
  }
  return "";
}

/** Milliseconds from opening (or registration) to the end, or to now. */
export function taken(invocation: Invocation, now: number): number {
  const begin = milliseconds(invocation.opened_at ?? invocation.created_at);
  return (invocation.ended_at ? milliseconds(invocation.ended_at) : now) - begin;
}

export const likeness = (invocation: Invocation): string =>
  JSON.stringify([invocation.context.job_name ?? null, assetKeys(invocation)]);

/** The usual and the longest duration of each group of like invocations that have ended. */
export function durations(invocations: Invocation[]): Map<string, { usual: number; longest: number; of: number }> {
  const groups = new Map<string, number[]>();
  for (const one of invocations) {
    if (!one.ended_at) continue;
    const found = groups.get(likeness(one)) ?? [];
    found.push(taken(one, 0));
    groups.set(likeness(one), found);
  }
  return new Map(
    [...groups].map(([key, values]) => {
      const sorted = values.sort((left, right) => left - right);
      return [key, { usual: sorted[sorted.length >> 1] ?? 0, longest: sorted.at(-1) ?? 0, of: sorted.length }];
    }),
  );
}
