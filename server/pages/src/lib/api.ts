// Calls to this server's API with the session's cookie. Every failure is an ApiError with a sentence for people.
import { reading, withoutReading } from "./reading";
import type { Problem } from "./types";

function meta(name: string): string {
  return document.querySelector<HTMLMetaElement>(`meta[name="standpipe-${name}"]`)?.content ?? "";
}

export const base = meta("base") || "/";
export const serverVersion = meta("version");
export const publicUrl = meta("url");
const csrf = meta("csrf");

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly problem?: Problem,
  ) {
    super(message);
  }
  /** No answer at all: the server or the way to it is down. */
  get disconnected(): boolean {
    return this.status === 0;
  }
}

const LARGE = /[[:,\s]-?\d{16,}\s*[,\]}]/;

// Longer ones are only shown, and a bigint takes its time with them.
const MOST_DIGITS = 100_000;

/** JSON whose whole numbers keep all their digits: what a double cannot hold becomes a bigint, or the text of them. */
export function parseJson(text: string): unknown {
  if (!LARGE.test(text)) return JSON.parse(text);
  const reviver = (_: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? whole(context?.source ?? "0")
      : value;
  return JSON.parse(text, reviver as (key: string, value: unknown) => unknown);
}

const whole = (digits: string): bigint | string => (digits.length > MOST_DIGITS ? digits : BigInt(digits));

export type Query = Record<string, string | number | boolean | string[] | null | undefined>;

export function apiUrl(path: string, query: Query = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") given.append(name, String(one));
    }
  }
  const text = given.toString();
  return `${base}api/v1${path}${text ? `?${text}` : ""}`;
}

interface Options {
  method?: string;
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** What is known already: the answer is 304 where nothing has changed. */
  etag?: string | undefined;
}

async function request(url: string, { method = "GET", body, signal, etag }: Options): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (etag) headers["If-None-Match"] = etag;
  if (method !== "GET") headers["Standpipe-CSRF"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(url, {
      method,
      headers,
      signal: signal ?? null,
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The server does not answer.");
  }
  if (answer.ok || (etag && answer.status === 304)) return answer;
  if (answer.status === 401) {
    const here = location.pathname.slice(base.length - 1) + location.search;
    location.assign(`${base}login?next=${encodeURIComponent(here)}`);
  }
  let problem: Problem | undefined;
  try {
    problem = (await answer.json()) as Problem;
  } catch {
    problem = undefined;
  }
  throw new ApiError(answer.status, problem?.detail ?? `The server answered ${answer.status}.`, problem);
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return reading(path, signal, async (stop) => parseJson(await (await request(apiUrl(path, query), { signal: stop })).text()) as T);
}

export interface Known<T> {
  value: T;
  etag: string | undefined;
}

/** The same, but what is known already where nothing has changed. */
export async function getFresh<T>(path: string, known: Known<T> | undefined, signal?: AbortSignal): Promise<Known<T>> {
  return reading(path, signal, async (stop) => {
    const answer = await request(apiUrl(path), { signal: stop, etag: known?.etag });
    if (known && answer.status === 304) return known;
    return { value: parseJson(await answer.text()) as T, etag: answer.headers.get("ETag") ?? undefined };
  });
}

export async function send<T>(method: "POST" | "DELETE" | "PUT", path: string, body?: unknown): Promise<T | null> {
  const answer = await request(apiUrl(path), { method, body });
  const text = await answer.text();
  return text ? (parseJson(text) as T) : null;
}

export async function signOut(): Promise<void> {
  await withoutReading("", async () => {
    await fetch(`${base}logout`, { method: "POST", headers: { "Standpipe-CSRF": csrf }, redirect: "manual" });
    location.assign(`${base}login`);
    // Until the browser has left this page.
    await new Promise(() => undefined);
  });
}
