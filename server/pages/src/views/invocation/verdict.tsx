// Why an invocation stands as it does: the sentence, all reasons with what they explain, what its launcher and
// supervisors said of the end, and what is known besides and made nothing red.
import { visible } from "../../lib/format";
import { producerName } from "../../lib/standing";
import type { EndDescription, Invocation, Reason } from "../../lib/types";
import { Sentence, Text } from "../../parts/common";

export function Verdict({ invocation }: { invocation: Invocation }) {
  const { reasons, verdict, failed_checks: failed } = invocation;
  const explains = reasons.some(({ details }) => details?.length);
  const end = reasons.find((reason) => reason.end)?.end;
  return (
    <>
      <p class="verdict-words">
        <Sentence text={invocation.description ?? ""} />
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
      <Ends ends={invocation.ends ?? []} />
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

/** What launcher and supervisors said of the end. */
function Ends({ ends }: { ends: EndDescription[] }) {
  if (!ends.length) return null;
  return (
    <dl class="ends">
      {ends.map(({ producer, description, detail }) => (
        <div key={producer}>
          <dt>{producer === null ? "The launcher" : `Supervisor ${visible(producerName(producer))}`}</dt>
          <dd>
            <Text>{description}</Text>
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
