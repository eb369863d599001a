// An exception in words. Senders differ: some write the name into the message as well, with its module or without.
import type { Exception } from "./types";

/** The message without the exception's name, which stands before it. */
export function messageOf(one: Exception): string {
  const message = (one.message ?? "").trim();
  const name = one.name ?? "";
  const end = message.search(/:(?=\s|$)|\n|$/);
  const begin = message.slice(0, end);
  // `name`, `module.name`, `module.Outer.name`.
  const repeats = name !== "" && (begin === name || (begin.endsWith(`.${name}`) && /^[\w.<>]+$/.test(begin)));
  return repeats ? message.slice(end).replace(/^:\s*/, "").trimStart() : message;
}

/** Name and message, each once. */
export function exceptionText(one: Exception): string {
  return [one.name || "Exception", messageOf(one)].filter(Boolean).join(": ");
}
