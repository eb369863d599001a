// Times, durations and numbers for people; the reader's zone, with UTC in the tooltip.
import type { Json } from "./types";

const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayAndTime = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const shortDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "2-digit" });
const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const milliseconds = (time: string): number => Date.parse(time);

export function fullTime(time: string | number): string {
  return dayAndTime.format(new Date(time));
}

export function clockTime(time: string, { millis = false } = {}): string {
  const date = new Date(time);
  return timeOfDay.format(date) + (millis ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "");
}

/** The time of day if it is today's, else the day as well. */
export function listTime(time: string): string {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return today ? timeOfDay.format(date) : `${shortDay.format(date)} ${timeOfDay.format(date).slice(0, 5)}`;
}

export function utc(time: string | number): string {
  return `${new Date(time).toISOString().replace("T", " ").replace("Z", "")} UTC`;
}

export function duration(millis: number): string {
  const seconds = millis / 1000;
  if (seconds < 0) return "0 s";
  if (seconds < 1) return `${Math.round(millis)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function ago(time: string, now: number): string {
  const passed = now - milliseconds(time);
  return passed < 1500 ? "just now" : `${duration(Math.floor(passed / 1000) * 1000)} ago`;
}

export const count = (value: number): string => numbers.format(value);

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  const [value, unit] = size < 1024 ** 2 ? [size / 1024, "KiB"] : size < 1024 ** 3 ? [size / 1024 ** 2, "MiB"] : [size / 1024 ** 3, "GiB"];
  return `${value.toFixed(1).replace(/\.0$/, "")} ${unit}`;
}

export function jsonText(value: Json, indent?: number): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? `${inner}` : inner), indent) ?? "null";
}

/** Digits in groups of three, in time in proportion to their number. */
function inThrees(text: string): string {
  const [sign, digits] = text.startsWith("-") ? ["-", text.slice(1)] : ["", text];
  const head = digits.length % 3 || 3;
  const rest = digits.slice(head).match(/\d{3}/g) ?? [];
  return sign + [digits.slice(0, head), ...rest].join(" ");
}

/** A number as it was given, whatever its size. */
export function numberText(value: Json): string {
  if (typeof value === "bigint") return inThrees(value.toString());
  if (typeof value !== "number") return typeof value === "string" ? value : jsonText(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return new Intl.NumberFormat("en").format(value);
  return String(value);
}

// Control characters, marks that turn the direction of text, and what has no width: shown by name, never obeyed.
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;
// eslint-disable-next-line no-control-regex
const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-_])/g;

export function visible(text: string): string {
  return text.replace(HIDDEN, (character) =>
    character === "\u001b" ? "␛" : character < "\u0020" ? String.fromCharCode(0x2400 + character.charCodeAt(0))
      : `⟨U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`,
  );
}

function lastState(line: string): string {
  const shown = line.replace(/\r+$/, "");
  return shown.slice(shown.lastIndexOf("\r") + 1);
}

/** A log line: colours of terminals dropped, what a progress bar overwrote folded away, the rest made visible. */
export function logLine(text: string): string {
  const plain = text.replace(ANSI, "");
  const folded = plain.includes("\r") ? plain.split("\n").map(lastState).join("\n") : plain;
  return visible(folded);
}
