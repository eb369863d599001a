// Following an invocation's events: server-sent events, resumed by position, with the state of the line for people.
import { apiUrl, get, parseJson } from "./api";
import { reading } from "./reading";
import type { Event, EventPage, Invocation } from "./types";

export type Line = "catching up" | "live" | "disconnected" | "ended" | "paused";

interface Hooks {
  events: (batch: Event[]) => void;
  line: (line: Line) => void;
  ended: (invocation: Invocation) => void;
}

interface Options {
  methods?: string[] | undefined;
  after?: number | undefined;
  level?: string | undefined;
  text?: string | undefined;
  producer?: string | undefined;
}

const PAGE = 5000;
const GATHER_MILLISECONDS = 40;
const HIDDEN_MILLISECONDS = 5000;

/** Follows until `close` is called or the invocation ends. */
export function follow(id: string, { methods, after = 0, ...filters }: Options, hooks: Hooks): { close: () => void } {
  const control = new AbortController();
  const path = `/invocations/${id}/events`;
  const asked = { ...filters, method: methods?.join(","), metadata: "normal", mask: true };
  let position = after;
  let leave: (() => void) | undefined;
  let waiting: Event[] = [];
  let timer: number | undefined;
  let retry: number | undefined;
  let resting = false;

  const flush = () => {
    timer = undefined;
    const batch = waiting;
    waiting = [];
    if (batch.length) hooks.events(batch);
  };

  const take = (event: Event) => {
    if (event.position <= position) return;
    position = event.position;
    waiting.push(event);
    // A burst is drawn once; a single event not later than a blink.
    timer ??= window.setTimeout(flush, GATHER_MILLISECONDS);
  };

  const listen = () =>
    reading<void>(path, control.signal, (signal) => new Promise((resolve, reject) => {
      const stream = new EventSource(apiUrl(path, { ...asked, after: position, limit: PAGE }));
      leave = () => {
        stream.close();
        leave = undefined;
        resolve();
      };
      signal.addEventListener("abort", () => {
        reject(signal.reason);
        leave?.();
      });
      stream.onopen = () => hooks.line("live");
      stream.onmessage = (message) => take(parseJson(message.data as string) as Event);
      stream.addEventListener("end", (message) => {
        flush();
        close();
        hooks.line("ended");
        hooks.ended(parseJson((message as MessageEvent<string>).data) as Invocation);
      });
      // The browser would resume by itself, but not after an answer that is no stream, such as a proxy's error.
      const again = () => {
        leave?.();
        hooks.line("disconnected");
        retry = window.setTimeout(start, 1000);
      };
      stream.addEventListener("bye", again);
      stream.onerror = again;
    }));

  /** What is stored already comes in pages: a stream of fifty thousand small events is slow to take apart. */
  const start = async () => {
    try {
      hooks.line("catching up");
      for (;;) {
        const page = await get<EventPage>(path, { ...asked, after: position, limit: PAGE }, control.signal);
        page.items.forEach(take);
        flush();
        position = Math.max(position, page.next_after);
        if (page.ended) {
          const invocation = await get<Invocation>(`/invocations/${id}`, { mask: true }, control.signal);
          hooks.line("ended");
          hooks.ended(invocation);
          return;
        }
        if (position >= page.last_position) break;
      }
      await listen();
    } catch {
      if (control.signal.aborted) return;
      hooks.line("disconnected");
      retry = window.setTimeout(start, 1000);
    }
  };

  // A browser keeps six connections to a server over all its tabs, so a tab that nobody sees gives its own up.
  let hidden: number | undefined;
  const lookedAt = () => {
    window.clearTimeout(hidden);
    if (document.hidden) {
      hidden = window.setTimeout(() => {
        resting = leave !== undefined;
        leave?.();
      }, HIDDEN_MILLISECONDS);
    } else if (resting) {
      resting = false;
      void start();
    }
  };
  document.addEventListener("visibilitychange", lookedAt);

  const close = () => {
    control.abort();
    document.removeEventListener("visibilitychange", lookedAt);
    window.clearTimeout(timer);
    window.clearTimeout(retry);
    window.clearTimeout(hidden);
  };

  void start();
  return { close };
}
