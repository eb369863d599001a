// Reading for a component: the state of one question, asked again when it changes or when it is time.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, getFresh, type Known } from "./api";

export interface Loaded<T> {
  value: T | undefined;
  error: ApiError | undefined;
  loading: boolean;
  reload: () => void;
}

interface Options {
  /** Milliseconds between questions while the page is seen; none: asked once. */
  every?: number | undefined;
}

/** `key` says what is asked; with another key the old answer is no answer any more. */
export function useLoaded<T>(key: string | null, ask: (signal: AbortSignal) => Promise<T>, { every }: Options = {}): Loaded<T> {
  const [state, setState] = useState<{ key: string | null; value?: T; error?: ApiError; loading: boolean }>({ key: null, loading: true });
  const [round, setRound] = useState(0);
  const asking = useRef(ask);
  asking.current = ask;
  const reload = useCallback(() => setRound((before) => before + 1), []);

  useEffect(() => {
    if (key === null) return undefined;
    const control = new AbortController();
    let timer: number | undefined;
    const once = async () => {
      try {
        const value = await asking.current(control.signal);
        if (!control.signal.aborted) setState({ key, value, loading: false });
      } catch (error) {
        if (control.signal.aborted) return;
        const told = error instanceof ApiError ? error : new ApiError(-1, String(error));
        setState((before) => (before.key === key ? { ...before, error: told, loading: false } : { key, error: told, loading: false }));
      }
      if (every !== undefined && !control.signal.aborted) timer = window.setTimeout(next, every);
    };
    const next = () => {
      if (document.hidden) timer = window.setTimeout(next, 1000);
      else void once();
    };
    setState((before) => (before.key === key ? { ...before, loading: true } : { key, loading: true }));
    void once();
    return () => {
      control.abort();
      window.clearTimeout(timer);
    };
  }, [key, every, round]);

  const ours = state.key === key;
  return { value: ours ? state.value : undefined, error: ours ? state.error : undefined, loading: !ours || state.loading, reload };
}

/** What stands at an address, asked for again and again: of an answer that is the same only the header is sent. */
export function useFresh<T>(path: string, every: (known: T | undefined) => number): Loaded<T> {
  const known = useRef<{ path: string; answer: Known<T> } | null>(null);
  const value = known.current?.path === path ? known.current.answer.value : undefined;
  return useLoaded(
    path,
    async (signal) => {
      const before = known.current?.path === path ? known.current.answer : undefined;
      const answer = await getFresh(path, before, signal);
      known.current = { path, answer };
      return answer.value;
    },
    { every: every(value) },
  );
}

/** The time, again every so many milliseconds: for ages that grow. */
export function useNow(every: number, running = true): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!running) return undefined;
    const timer = window.setInterval(() => setNow(Date.now()), every);
    return () => window.clearInterval(timer);
  }, [every, running]);
  return now;
}

/** Since when something is so; null while it is not. */
export function useSince(so: boolean): string | null {
  const [since, setSince] = useState<string | null>(null);
  useEffect(() => setSince(so ? new Date().toISOString() : null), [so]);
  return since;
}
