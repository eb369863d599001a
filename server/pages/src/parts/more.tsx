// A list that is drawn in part: the first ones, a button for more, and words to find those that are not drawn.
import { useState } from "preact/hooks";
import { count } from "../lib/format";

export interface Part<T> {
  /** Those that are drawn. */
  shown: T[];
  /** Those that fit the words. */
  fitting: number;
  words: string;
  setWords: (words: string) => void;
  more: () => void;
  /** How many the button adds; 0 when all are drawn. */
  next: number;
}

/** `at` is how many are drawn at first, and with each further step. */
export function usePart<T>(all: T[], nameOf: (one: T) => string, at: number): Part<T> {
  const [most, setMost] = useState(at);
  const [words, setWords] = useState("");
  const sought = words.trim().toLowerCase();
  const fitting = sought ? all.filter((one) => nameOf(one).toLowerCase().includes(sought)) : all;
  return {
    shown: fitting.slice(0, most),
    fitting: fitting.length,
    words,
    setWords: (next) => {
      setWords(next);
      setMost(at);
    },
    more: () => setMost(most + at),
    next: Math.min(at, Math.max(0, fitting.length - most)),
  };
}

/** Nothing where everything is drawn anyway. */
export function PartBar<T>({ part, total, what, at }: { part: Part<T>; total: number; what: string; at: number }) {
  if (total <= at) return null;
  return (
    <p class="part quiet">
      <input type="search" class="small" value={part.words} placeholder={`Find ${what}`} aria-label={`Find ${what}`} onInput={(event) => part.setWords(event.currentTarget.value)} />
      <span role="status">
        {part.words.trim() ? `${count(part.fitting)} of ${count(total)} ${what} fit` : `${count(total)} ${what}`}
        {part.next > 0 && `, ${count(part.shown.length)} are drawn`}
      </span>
      {part.next > 0 && (
        <button type="button" class="ghost small" onClick={part.more}>
          Draw {count(part.next)} more {what}
        </button>
      )}
    </p>
  );
}
