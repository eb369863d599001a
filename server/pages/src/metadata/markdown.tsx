// Markdown from outside: made HTML by marked, cleaned by DOMPurify, and without anything that loads from elsewhere.
import DOMPurify from "dompurify";
import { Marked } from "marked";
import { useMemo } from "preact/hooks";

const marked = new Marked({ gfm: true, async: false });
marked.use({
  renderer: {
    // HTML inside is shown as it was written.
    html: ({ text }) => escapeHtml(text),
    // A box to tick would be a form's; whether it is ticked must be seen all the same.
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // A picture would be fetched from another host the moment a page is opened.
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text || "picture")}</a>`,
  },
});

const purify = DOMPurify(window);
purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

const LONGEST = 500_000;

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export function cleanMarkdown(text: string): string {
  const html = marked.parse(text.slice(0, LONGEST)) as string;
  return purify.sanitize(html, {
    USE_PROFILES: { html: true },
    FORBID_TAGS: ["style", "form", "input", "button", "textarea", "select", "img", "picture", "video", "audio", "source", "iframe", "object", "link", "meta", "base", "dialog"],
    FORBID_ATTR: ["style", "id", "name", "class", "srcset", "src", "background", "ping", "action", "formaction", "tabindex", "autofocus"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  });
}

export function Markdown({ text }: { text: string }) {
  const html = useMemo(() => cleanMarkdown(text), [text]);
  return <div class="markdown" dangerouslySetInnerHTML={{ __html: html }} />;
}
