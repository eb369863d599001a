// What an invocation is called, and to which others its duration is compared.
import { milliseconds } from "./format";
import { millisIn } from "./stages";
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

/** How long it ran, to the end or to now; where its launcher says nothing of that, from opening (or registration). */
export function taken(invocation: Invocation, now: number): number {
  return millisIn(invocation, "running", now) ?? sinceOpening(invocation, now);
}

/** From opening (or registration) to the end or to now: what `usual_seconds` is made of, too. */
export function sinceOpening(invocation: Invocation, now: number): number {
  const begin = milliseconds(invocation.opened_at ?? invocation.created_at);
  return (invocation.ended_at ? milliseconds(invocation.ended_at) : now) - begin;
}
