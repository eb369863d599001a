// What every page is made of: badges, designed states, copying, small tables of facts.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ApiError } from "../lib/api";
import { fullTime, listTime, utc, visible } from "../lib/format";
import { badgeFor, badgeOf } from "../lib/standing";
import type { Invocation } from "../lib/types";
import { Icon } from "./icons";

/** `invocation`: with the stage of work that waits. `judged`: what the verdict rests on, where no process reported; drawn hollow. */
export function Badge({ name, invocation, judged }: { name: string; invocation?: Invocation; judged?: string | null }) {
  const { kind, words } = invocation ? badgeFor(invocation) : badgeOf(name);
  const by = judged ?? invocation?.judge;
  return (
    <span class={`badge ${kind}${by ? " judged" : ""}`} title={by ? JUDGED : undefined}>
      <Icon name={kind} size={13} />
      {words}
      {by && <span class="by"> · {by}</span>}
    </span>
  );
}

const JUDGED = "No process reported, and none had to: its launcher's word is the verdict.";

/** Text from outside, with what could deceive a reader written out. */
export function Text({ children }: { children: string | null | undefined }) {
  return <>{visible(children ?? "")}</>;
}

const INSTANT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** A sentence of the server's or ours: `code` between backticks as code, times in the reader's zone. */
export function Sentence({ text }: { text: string }) {
  return (
    <>
      {visible(text)
        .split("`")
        .map((part, index) =>
          index % 2 ? (
            <code key={index}>{part}</code>
          ) : (
            part.split(INSTANT).map((piece, inner) => (inner % 2 ? <Time key={inner} value={piece} short /> : piece))
          ),
        )}
    </>
  );
}

export function Time({ value, short }: { value: string | null | undefined; short?: boolean }) {
  if (!value) return <span class="quiet">—</span>;
  return (
    <time dateTime={value} title={utc(value)}>
      {short ? listTime(value) : fullTime(value)}
    </time>
  );
}

/** `page`: nothing else is on the page, so that this is its heading. */
export function Loading({ what, page }: { what: string; page?: boolean }) {
  // Shown only when it takes a moment, so that quick answers do not flicker.
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="state" role="status" aria-live="polite">
      {page && <h1 class="spoken">Loading {what}</h1>}
      {slow && (
        <>
          <span class="spinner" aria-hidden="true" /> Loading {what}…
        </>
      )}
    </div>
  );
}

export function Failure({ error, what, retry, page }: { error: ApiError; what: string; retry?: () => void; page?: boolean }) {
  const gone = error.status === 404;
  const Head = page ? "h1" : "strong";
  return (
    <div class="state failure" role="alert">
      <Head>{error.disconnected ? "The server does not answer." : gone ? `There is no such ${what}.` : `The ${what} could not be loaded.`}</Head>
      <p>
        {error.disconnected ? "What you see may be old. The page tries again by itself." : gone ? "It may have been deleted, or the address is mistyped." : error.message}
      </p>
      {retry && !gone && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ title, children, page }: { title: string; children?: ComponentChildren; page?: boolean }) {
  const Head = page ? "h1" : "strong";
  return (
    <div class="state empty">
      <Head>{title}</Head>
      {children && <p>{children}</p>}
    </div>
  );
}

export function CopyButton({ text, label = "Copy" }: { text: string | (() => string); label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(typeof text === "string" ? text : text());
    setCopied(true);
    setTimeout(() => setCopied(false), 1200);
  };
  return (
    <button type="button" class="ghost small" onClick={() => void copy()} aria-label={label} title={label}>
      <Icon name={copied ? "succeeded" : "copy"} size={14} />
      <span class="spoken" role="status">
        {copied ? "Copied" : ""}
      </span>
    </button>
  );
}

/** The clipboard, also where the address is plain HTTP and browsers hide theirs. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export function download(name: string, content: string | Blob, type = "text/plain"): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Panel({ title, aside, children }: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="panel" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Standpipe`;
  }, [title]);
}
