// Addresses: the state of a page that is worth a link lives in its address, nowhere else.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { base } from "./api";

const CHANGED = "standpipe-moved";

export interface Place {
  /** The path below the base, without slashes around: "" or "invocations/inv_…". */
  path: string;
  query: URLSearchParams;
}

export function here(): Place {
  const path = location.pathname.startsWith(base) ? location.pathname.slice(base.length) : "";
  return { path, query: new URLSearchParams(location.search) };
}

export function href(path: string, query?: Record<string, string | string[] | null | undefined>): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) if (one) given.append(name, one);
  }
  const text = given.toString();
  return base + path + (text ? `?${text}` : "");
}

export function navigate(address: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  window.dispatchEvent(new Event(CHANGED));
}

export function usePlace(): Place {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const moved = () => setPlace(here());
    window.addEventListener("popstate", moved);
    window.addEventListener(CHANGED, moved);
    return () => {
      window.removeEventListener("popstate", moved);
      window.removeEventListener(CHANGED, moved);
    };
  }, []);
  return place;
}

/** Changes members of the query, and keeps the rest; empty values go. */
export function changeQuery(changes: Record<string, string | string[] | null>, { replace = true } = {}): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of Array.isArray(value) ? value : [value]) if (one) query.append(name, one);
  }
  const text = query.toString();
  navigate(location.pathname + (text ? `?${text}` : "") + location.hash, { replace });
}

interface LinkProps {
  to: string;
  children?: ComponentChildren;
  class?: string;
  title?: string | undefined;
  "aria-current"?: "page" | undefined;
  "aria-label"?: string;
}

/** A link inside the pages; modified clicks open tabs as usual. */
export function Link({ to, children, ...rest }: LinkProps) {
  const follow = (event: MouseEvent) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to);
    window.scrollTo(0, 0);
  };
  return (
    <a {...rest} href={to} onClick={follow}>
      {children}
    </a>
  );
}

export function invocationHref(id: string, query?: Record<string, string>): string {
  return href(`invocations/${id}`, query);
}

/** An asset key's escaped text. */
export const assetText = (parts: string[]): string => parts.map((part) => part.replace(/[\\/]/g, "\\$&")).join("/");

/** The key's text as one segment: the API takes it in the same form. */
export function assetHref(key: string): string {
  return href(`assets/${encodeURIComponent(key)}`);
}
