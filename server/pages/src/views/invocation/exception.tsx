// Exceptions with what caused them and their frames, innermost last as Python prints them.
import { visible } from "../../lib/format";
import { excuseOf } from "../../lib/superseded";
import type { Event, Exception, Invocation } from "../../lib/types";
import { CopyButton } from "../../parts/common";

const DEEPEST = 20;

interface Told {
  exception: Exception;
  producer: string | undefined;
  /** Why it makes nothing red; empty where it does. */
  because: string;
}

/** Those that count first. */
export function exceptionsOf(invocation: Invocation, closed: Event[], superseded: ReadonlySet<string>): Told[] {
  const found: Told[] = [];
  for (const event of closed) {
    const given = event.params?.["exception"] ?? (event.params && "name" in event.params && "message" in event.params ? event.params : null);
    if (given && typeof given === "object" && !Array.isArray(given)) found.push({ exception: given as Exception, producer: event.producer, because: excuseOf(invocation, event, superseded) });
  }
  if (found.length) return found.sort((left, right) => Number(Boolean(left.because)) - Number(Boolean(right.because)));
  return invocation.reasons.flatMap((reason) => (reason.exception ? [{ exception: reason.exception, producer: reason.producer, because: "" }] : []));
}

export function ExceptionTab({ exceptions }: { exceptions: Told[] }) {
  return (
    <>
      {exceptions.map(({ exception, producer, because }, index) => (
        <section class={because ? "card exception superseded" : "card exception"} key={index} aria-label={`Exception ${index + 1}`}>
          <header>
            <span class="quiet">reported by {visible(producer ?? "the process")}</span>
            {because && <span class="chip">{visible(because)}</span>}
            <CopyButton text={() => wholeText(exception)} label="Copy the exception" />
          </header>
          {chain(exception).map(({ one, how }, depth) => (
            <div key={depth} class="link">
              {how && <p class="how">{how}</p>}
              <h2>
                {visible(one.name || "Exception")}
                {messageOf(one) ? ": " : ""}
                <span class="message">{visible(messageOf(one))}</span>
              </h2>
              <Frames stack={one.stack ?? []} open={depth === 0} />
            </div>
          ))}
        </section>
      ))}
    </>
  );
}

function Frames({ stack, open }: { stack: string[]; open: boolean }) {
  if (!stack.length) return <p class="quiet">No frames were sent.</p>;
  return (
    <details open={open}>
      <summary>
        {stack.length} {stack.length === 1 ? "frame" : "frames"}
      </summary>
      <ol class="frames" tabIndex={0} aria-label="Frames">
        {stack.map((frame, index) => {
          const [place, ...code] = frame.replace(/\n+$/, "").split("\n");
          return (
            <li key={index}>
              <span class="place">{visible((place ?? "").trim())}</span>
              {code.length > 0 && <pre>{visible(code.join("\n"))}</pre>}
            </li>
          );
        })}
      </ol>
    </details>
  );
}

function chain(exception: Exception): { one: Exception; how: string }[] {
  const links: { one: Exception; how: string }[] = [];
  let one: Exception | null | undefined = exception;
  let how = "";
  while (one && links.length < DEEPEST) {
    links.push({ one, how });
    how = one.cause ? "caused by" : "while handling";
    one = one.cause ?? one.context;
  }
  return links;
}

function wholeText(exception: Exception): string {
  return chain(exception)
    .map(({ one, how }) => `${how ? `\n${how}:\n` : ""}${(one.stack ?? []).join("")}${exceptionText(one)}`)
    .join("\n");
}

/** The message without the exception's name, which stands before it. */
function messageOf(one: Exception): string {
  const message = (one.message ?? "").trim();
  const name = one.name ?? "";
  const end = message.search(/:(?=\s|$)|\n|$/);
  const begin = message.slice(0, end);
  // `name`, `module.name`, `module.Outer.name`.
  const repeats = name !== "" && (begin === name || (begin.endsWith(`.${name}`) && /^[\w.<>]+$/.test(begin)));
  return repeats ? message.slice(end).replace(/^:\s*/, "").trimStart() : message;
}

/** Name and message, each once. */
function exceptionText(one: Exception): string {
  return [one.name || "Exception", messageOf(one)].filter(Boolean).join(": ");
}
