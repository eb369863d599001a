"""What a launcher reports of one invocation: claim, launch, state, attempts, output, finish.

The launcher is a producer of its own. The invariant: `finish` tells the broker of the end only after everything that
the launcher itself reported was delivered, or how many of its messages were not.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

from standpipe.orchestration import Outbox, monotonic
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import (
    LaunchState,
    RegisteredInvocation,
    WorkEnd,
    WorkPlace,
)
from standpipe_orchestrator.client.keyword_arguments import require_names
from standpipe_orchestrator.client.launch_claims import EARLY_EVENTS, claim_message, launch_facts
from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.reading.invocation_reading import InvocationReading
from standpipe_orchestrator.sessions.child_environment import child_environment
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_protocol.messages import Log, Message

DELIVERY_SECONDS = 30.0
"""How long `finish` waits for the next event, while something of the launcher's own is on its way."""
_FLUSH_SECONDS = 0.5


class LaunchReports:
    """The launcher's side of one invocation. Its methods may be called from any thread.

    Args:
        producer: the launcher's name as a producer.
        reading: takes what the broker answers to the launcher's messages; while it goes on, `finish` waits for them.

    Attributes:
        invocation: its newest known state.
        finished: whether `finish` succeeded.
        unreachable: whether `finish` failed after all its retries.
    """

    def __init__(
        self,
        registered: RegisteredInvocation,
        *,
        client: BrokerClient,
        log: logging.Logger,
        producer: str,
        reading: InvocationReading,
    ) -> None:
        self.invocation = registered.invocation
        self.finished = False
        self.unreachable = False
        self._registered = registered
        self._client = client
        self._log = log
        self._producer = producer
        self._reading = reading
        self._facts: Mapping[str, JsonValue] | None = None
        self._outbox: Outbox | None = None
        self._outbox_lock = threading.Lock()

    @property
    def bootstrap(self) -> Bootstrap:
        """Where the external process reports, and its token."""
        bootstrap = Bootstrap.from_environment(self._registered.env)
        if bootstrap is None:
            raise RuntimeError(
                f"This session of invocation {self.invocation.id} has no token: `attach` only follows. "
                "`open_pipes_session` with the same key and context gives one."
            )
        return bootstrap

    def bootstrap_env(self) -> dict[str, str]:
        """The environment variables that the external process needs; the token among them is a secret."""
        _ = self.bootstrap
        return dict(self._registered.env)

    def child_env(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for a process on this machine: this one's without its secrets, `env`, and the three above."""
        return {**child_environment(os.environ, env or {}), **self.bootstrap_env()}

    def claim(self, facts: Mapping[str, object] | None = None) -> bool:
        """Claims the launch of the work: true once in an invocation's life, for one caller on any machine.

        Claim right before the launch. When a process is killed between the two, nothing is launched, now or later: the
        invocation then ends `incomplete`. Where the launch itself can be made idempotent (a job with a name made of the
        invocation's id) launch again instead, unless it is `already_launched`.

        Args:
            facts: stored with the claim, for a process that takes it up: `{"host": ..., "pid": ...}`.
        """
        if self.invocation.ended:
            return False
        message: JsonObject = claim_message({"claim": secrets.token_hex(16), **(facts or {})})  # pyright: ignore[reportArgumentType]  encoding checks it
        return self._client.invocations.claim_launch(self.invocation.id, message)

    @property
    def facts(self) -> Mapping[str, JsonValue] | None:
        """The facts of the claim, or of `report_launched`; asks the broker until there are any."""
        if self._facts is None:
            page = self._client.events.read(self.invocation.id, methods=["log"], limit=EARLY_EVENTS)
            self._facts = launch_facts(page.items)
        return self._facts

    @property
    def already_launched(self) -> bool:
        """Whether the work was launched, or was about to be: it was claimed or reported, or a process has opened."""
        opened = self._reading.opened.is_set() or self.invocation.opened_at is not None
        return opened or self.facts is not None

    def report(self, message: Message) -> None:
        """Sends a message as the launcher."""
        with self._outbox_lock:
            if self._outbox is None:
                self._outbox = Outbox.connect(self.bootstrap, producer=self._producer, heartbeat=False)
                self._outbox.on_control(self._reading.on_control)
            outbox = self._outbox
        outbox.send(message)

    def report_launched(self, launched: Mapping[str, object]) -> None:
        """Notes facts about the launch (`{"extras": {"job_id": ...}}`) among the invocation's events."""
        extras = launched.get("extras", launched)
        self._log.info("[pipes] additional launch_payload reported")
        self.report(Log(message=f"Launched: {extras}", level="INFO", details={"launched": extras}))  # pyright: ignore[reportArgumentType]  checked when it is encoded

    def report_state(self, state: LaunchState, **place: Unpack[WorkPlace]) -> Invocation:
        """Reports how far the work is (`submitted`, `queued`, `starting` or `running`) and where, as often as the
        launcher learns of it. It is the invocation's `platform`."""
        require_names("report_state", place, WorkPlace)
        self.invocation = self._client.invocations.launch(self.invocation.id, state=state, **place)
        return self.invocation

    def report_attempt(self, attempt: int | Sequence[int], *, name: str | None = None) -> Invocation:
        """Reports that the platform has started the whole job again: reports of older attempts count no longer.

        Args:
            name: by which the platform knows the processes of this attempt, such as the uid of a pod.
        """
        self.invocation = self._client.invocations.attempts(self.invocation.id, attempt=attempt, name=name)
        return self.invocation

    def finish(self, **end: Unpack[WorkEnd]) -> Invocation:
        """Tells the broker that the work is over, after everything the launcher itself reported has arrived.

        May be called again when more is known. The end of the block calls it when it was not called.
        """
        # Before anything is ended: a later call with the right names still can.
        require_names("finish", end, WorkEnd)
        undelivered = self._deliver()
        try:
            if undelivered:
                # The broker cannot miss messages that it does not know of.
                self._client.invocations.tell_numbered(
                    self.invocation.id, producer=self._producer, numbered=undelivered
                )
            self.invocation = self._client.invocations.finish(self.invocation.id, **end)
        except BrokerError:
            self.unreachable = True
            raise
        self.finished = True
        return self.invocation

    def close(self) -> None:
        """Ends the delivery at once. `finish` has waited for it."""
        if (outbox := self._take_outbox()) is not None:
            outbox.close(0.0)

    def _deliver(self) -> int:
        """Delivers the launcher's messages; returns how many it has numbered, where some could not be delivered."""
        if (outbox := self._take_outbox()) is None:
            return 0
        _flush_while(outbox, progress=lambda: self._reading.position, seconds=DELIVERY_SECONDS)
        delivered = outbox.close(0.0)
        if not delivered.undelivered:
            return 0
        self._log.warning(
            "[pipes] %d pieces of captured output did not reach the broker: %s", delivered.undelivered, delivered.error
        )
        return delivered.acknowledged + delivered.undelivered

    def _take_outbox(self) -> Outbox | None:
        with self._outbox_lock:
            outbox, self._outbox = self._outbox, None
        return outbox


def _flush_while(outbox: Outbox, *, progress: Callable[[], int], seconds: float) -> None:
    """Waits until all is delivered, until there was no progress for a while, or until waiting makes no sense.

    Args:
        progress: a number that grows.
        seconds: how long it may stay the same.
    """
    before, since = progress(), monotonic()
    while (left := since + seconds - monotonic()) > 0:
        began, patience = monotonic(), min(left, _FLUSH_SECONDS)
        # It returns early where everything is refused for good, or no thread delivers.
        if outbox.flush(patience) or monotonic() - began < patience / 2:
            return
        if progress() > before:
            before, since = progress(), monotonic()
