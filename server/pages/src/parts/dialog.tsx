// A question before something is done: the browser's own dialog, so that focus and Escape work as people expect.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../lib/api";

interface Props {
  title: string;
  children: ComponentChildren;
  action: string;
  danger?: boolean;
  /** Asks for words that go with the action; "required" does not go on without. */
  reason?: "optional" | "required";
  run: (reason: string) => Promise<void>;
  close: () => void;
}

export function Confirm({ title, children, action, danger = false, reason, run, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [words, setWords] = useState("");
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState("");
  useEffect(() => dialog.current?.showModal(), []);

  const go = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setWrong("");
    try {
      await run(words.trim());
      close();
    } catch (error) {
      setWrong(error instanceof ApiError ? error.message : String(error));
      setBusy(false);
    }
  };

  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="dialog-title">
      <form onSubmit={(event) => void go(event)}>
        <h2 id="dialog-title">{title}</h2>
        {children}
        {reason && (
          <label class="field">
            Reason{reason === "optional" && <span class="quiet"> (optional)</span>}
            <input value={words} maxLength={400} required={reason === "required"} onInput={(event) => setWords(event.currentTarget.value)} />
          </label>
        )}
        {wrong && (
          <p class="wrong" role="alert">
            {wrong}
          </p>
        )}
        <div class="buttons">
          <button type="button" class="ghost" onClick={() => dialog.current?.close()}>
            Keep as it is
          </button>
          <button type="submit" class={danger ? "danger" : "primary"} disabled={busy}>
            {action}
          </button>
        </div>
      </form>
    </dialog>
  );
}
