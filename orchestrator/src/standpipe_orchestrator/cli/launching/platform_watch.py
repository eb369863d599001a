"""What happens to the invocation of a running step on its platform: queued, started again, a request refused.

One thread asks the broker that is there now and then. Nothing hangs on it: what cannot be learned is not shown, and no
broker is started for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from standpipe_orchestrator.cli.command_line.answering import broker_at_hand
from standpipe_orchestrator.cli.words.standing import change_words
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.errors import BrokerUnreachable, StandpipeError
from standpipe_protocol.json_text import JsonObject

_AGAIN_SECONDS = 1.0
_JOIN_SECONDS = 2.0
_WAITING = ("submitted", "queued", "starting")
_NEWS = frozenset(
    {"launch", "attempt", "superseded", "refused", "refusal-taken-back", "cancel-requested", "lease-expired", "revived"}
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Work that waits on its platform since a time (RFC 3339)."""

    state: str
    since: str


class LaunchWatch:
    """Follows the invocations of the step that runs. Its methods may be called from any thread.

    Args:
        tell: is given what happened, in words, from the watch's own thread.
    """

    def __init__(self, *, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        """How many changes of each invocation have been looked at."""
        self._stages: dict[str, Stage] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def stage(self) -> Stage | None:
        """Where the newest of them waits; None when none does."""
        with self._lock:
            return next(reversed(self._stages.values()), None)

    def begin(self, invocation_id: str) -> None:
        """This one is followed from now on."""
        with self._lock:
            self._seen.setdefault(invocation_id, 0)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="standpipe-watch", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """The step is over; what it launched is followed no longer."""
        with self._lock:
            self._seen.clear()
            self._stages.clear()

    def close(self) -> None:
        self.end()
        self._closed.set()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        try:
            with broker_at_hand() as client:
                while not self._closed.wait(_AGAIN_SECONDS):
                    with self._lock:
                        followed = list(self._seen)
                    for invocation_id in followed:
                        self._look(client, invocation_id)
        except StandpipeError:
            return

    def _look(self, client: BrokerClient, invocation_id: str) -> None:
        try:
            changes = client.invocations.history(invocation_id, mask=True)
        except BrokerUnreachable:
            return
        except StandpipeError:
            # It is at another broker, or was deleted.
            with self._lock:
                self._seen.pop(invocation_id, None)
            return
        for words in self._news(invocation_id, changes):
            self._tell(words)

    def _news(self, invocation_id: str, changes: Sequence[JsonObject]) -> list[str]:
        with self._lock:
            if invocation_id not in self._seen:
                return []
            fresh = changes[self._seen[invocation_id] :]
            self._seen[invocation_id] = len(changes)
            words: list[str] = []
            for item in fresh:
                change, detail = str(item.get("change")), item.get("detail")
                members = detail if isinstance(detail, dict) else {}
                state = str(members.get("state"))
                waited = invocation_id in self._stages
                if change == "launch" and state in _WAITING:
                    self._stages[invocation_id] = Stage(state, str(item.get("at")))
                elif change in ("launch", "opened", "ended"):
                    self._stages.pop(invocation_id, None)
                # That it runs goes without saying where it has not waited.
                if change in _NEWS and (change != "launch" or state in _WAITING or waited):
                    words.append(change_words(item))
            return words
