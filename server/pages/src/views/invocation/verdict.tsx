// Why an invocation stands as it does: the sentence, all reasons with what they explain, what its launcher and
// supervisors said of the end, and what is known besides and made nothing red.
import { endDetail, endWords } from "../../lib/ends";
import { visible } from "../../lib/format";
import { producerName, verdictSentence } from "../../lib/standing";
import type { End, Invocation, Reason } from "../../lib/types";
import { Sentence, Text } from "../../parts/common";

export function Verdict({ invocation }: { invocation: Invocation }) {
  const { reasons, verdict, failed_checks: failed } = invocation;
  const explains = reasons.some(({ details }) => details?.length);
  const end = reasons.find((reason) => reason.end)?.end;
  return (
    <>
      <p class="verdict-words">
        <Sentence text={verdictSentence(invocation)} />
        {verdict === "succeeded" && failed.error === 0 && failed.warn > 0 && " A check of severity WARN did not pass."}
        {verdict === "succeeded" && failed.error > 0 && (
          <strong>
            {" "}
            But {failed.error === 1 ? "a check" : `${failed.error} checks`} failed.
          </strong>
        )}
      </p>
      {(reasons.length > 1 || explains) && (
        <details>
          <summary>{reasons.length > 1 ? `All ${reasons.length} reasons` : "The reason, and what it explains"}</summary>
          <Reasons reasons={reasons} />
        </details>
      )}
      <Ends invocation={invocation} />
      {end && (
        <pre class="stderr" tabIndex={0} aria-label="The end of what the process wrote">
          <Text>{end}</Text>
        </pre>
      )}
      {invocation.notes.length > 0 && (
        <ul class="reasons notes" aria-label="What made nothing red">
          {invocation.notes.map((note, index) => (
            <li key={index}>
              <code>{visible(note.code)}</code> <Sentence text={note.detail} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Reasons({ reasons }: { reasons: Reason[] }) {
  return (
    <ul class="reasons">
      {reasons.map((reason, index) => (
        <li key={index}>
          <code>{visible(reason.code)}</code> <Sentence text={reason.detail} />
          {reason.details && reason.details.length > 0 && (
            <div class="explained">
              <span class="quiet">and explained by it:</span>
              <Reasons reasons={reason.details} />
            </div>
          )}
        </li>
      ))}
    </ul>
  );
}

/** The words on the end, each with who said it. That of a plain end without trouble is told by the verdict. */
function Ends({ invocation }: { invocation: Invocation }) {
  const { outcome, exit_code, cause, reasons, verdict } = invocation;
  const said: [string, End][] = [];
  // That it went well goes without saying where it did.
  const told = outcome !== "succeeded" || verdict !== "succeeded" ? outcome : null;
  if (told || cause || exit_code) said.push(["The launcher", { outcome, exit_code, cause }]);
  for (const one of invocation.receipt?.producers ?? invocation.producers ?? []) {
    if (one.end) said.push([`Supervisor ${producerName(one.producer)}`, one.end]);
  }
  // What the reasons tell in full is not told again.
  const known = (text: string) => reasons.some((reason) => reason.detail.includes(text) || reason.end?.includes(text));
  const rows = said.map(([who, end]) => ({ who, words: endWords(end), detail: known(endDetail(end)) ? "" : endDetail(end) })).filter(({ words, detail }) => words || detail);
  if (!rows.length) return null;
  return (
    <dl class="ends">
      {rows.map(({ who, words, detail }) => (
        <div key={who}>
          <dt>{visible(who)}</dt>
          <dd>
            <Text>{words}</Text>
            {detail && (
              <span class="quiet">
                {" "}
                “<Text>{detail}</Text>”
              </span>
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}
