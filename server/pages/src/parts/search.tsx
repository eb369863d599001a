// A search box whose words stand in the address, a moment after the last letter was typed. `/` leads to it.
import { useEffect, useRef, useState } from "preact/hooks";
import { changeQuery } from "../lib/router";
import { Icon } from "./icons";

const PAUSE_MILLISECONDS = 250;

interface Props {
  /** The member of the address. */
  name: string;
  value: string;
  /** What a screen reader says of it. */
  label: string;
  placeholder?: string;
  /** Whether it is the one that `/` leads to: one a page. */
  main?: boolean;
  /** What else in the address is over when the words change. */
  over?: string[];
  /** Whether spaces at the ends are looked for as well. */
  exact?: boolean;
}

export function SearchBox({ name, value, label, placeholder = label, main = false, over = [], exact = false }: Props) {
  const [words, setWords] = useState(value);
  const box = useRef<HTMLInputElement>(null);
  const timer = useRef<number | undefined>(undefined);
  // What the box itself put into the address is not written back: by then somebody may have typed on.
  const told = useRef(value);
  useEffect(() => {
    if (value !== told.current) setWords(value);
    told.current = value;
  }, [value]);
  useEffect(() => () => window.clearTimeout(timer.current), []);
  useEffect(() => {
    if (!main) return undefined;
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "/" || isTyping(event)) return;
      event.preventDefault();
      box.current?.focus();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [main]);
  const typed = (text: string) => {
    setWords(text);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => {
      told.current = exact ? text : text.trim();
      changeQuery({ ...Object.fromEntries(over.map((other) => [other, null])), [name]: told.current });
    }, PAUSE_MILLISECONDS);
  };
  return (
    <label class="search">
      <Icon name="search" />
      <span class="spoken">{label}</span>
      <input ref={box} type="search" value={words} placeholder={placeholder} onInput={(event) => typed(event.currentTarget.value)} />
    </label>
  );
}

/** Whether a key belongs to a field, a dialog or the browser, and is no command of a page. */
export function isTyping(event: KeyboardEvent): boolean {
  const field = (event.target as HTMLElement).closest("input:not([type=checkbox]),select,textarea,dialog");
  return field !== null || event.metaKey || event.ctrlKey || event.altKey;
}
