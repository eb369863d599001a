// What this page reads at the moment, by path, so that it stops before what it reads is deleted.

const open = new Set<{ path: string; stop: AbortController }>();
const paused = new Map<string, Promise<void>>();

const lies = (path: string, within: string): boolean =>
  path.startsWith(within) && (within === "" || ["", "/", "?"].includes(path.charAt(within.length)));

function pauseOf(path: string): Promise<void> | undefined {
  for (const [within, pause] of paused) if (lies(path, within)) return pause;
  return undefined;
}

/** Reads until it is done. A pause aborts `read`, which begins anew after it unless `signal` is aborted by then. */
export async function reading<T>(path: string, signal: AbortSignal | undefined, read: (signal: AbortSignal) => Promise<T>): Promise<T> {
  for (;;) {
    for (let pause = pauseOf(path); pause; pause = pauseOf(path)) await pause;
    signal?.throwIfAborted();
    const one = { path, stop: new AbortController() };
    open.add(one);
    try {
      return await read(signal ? AbortSignal.any([signal, one.stop.signal]) : one.stop.signal);
    } catch (error) {
      if (!one.stop.signal.aborted || signal?.aborted) throw error;
    } finally {
      open.delete(one);
    }
  }
}

/** Runs `act` while nothing at `path` or below it is read; "" stands for everything. */
export async function withoutReading(path: string, act: () => Promise<void>): Promise<void> {
  let resume = () => {};
  paused.set(path, new Promise((resolve) => (resume = resolve)));
  for (const one of open) if (lies(one.path, path)) one.stop.abort();
  try {
    await act();
    // What `act` took off the page is gone from it in the next task.
    await new Promise((resolve) => setTimeout(resolve));
  } finally {
    paused.delete(path);
    resume();
  }
}
