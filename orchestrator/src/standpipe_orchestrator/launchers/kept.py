"""A command that outlives the orchestrator: its keeper runs it, this side only sees to it that there is one, and reads.

The invariant: nothing is decided here that a process which was killed could have decided otherwise: whether to launch
follows from the broker's stored claim, whether the command lives from its lock, what it reported from its events.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Literal, TypeAlias

from standpipe.spool.creation import spool_path
from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.launchers.endings import Seen
from standpipe_orchestrator.launchers.keeper import Instructions
from standpipe_orchestrator.launchers.launch_lock import life, lock_path, log_end, open_log
from standpipe_orchestrator.launchers.running import LOOK_SECONDS, RunningSubprocess
from standpipe_orchestrator.sessions.pipes_session import PipesSession
from standpipe_orchestrator.sessions.run_context import logger_of
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.bootstrap import HOME_VARIABLE, SPOOL_FOLDER_VARIABLE
from standpipe_protocol.home import standpipe_home
from standpipe_protocol.home_path import home_path
from standpipe_protocol.json_text import JsonObject

_Standing: TypeAlias = Literal["held", "elsewhere", "gone", "unclaimed"]
"""Of a command: it lives here; it was launched where it cannot be seen; it is dead; nobody launched it yet."""

KEEPERS = 3
"""So many are started for one command, when they die before they have claimed its launch."""
LEAVE_SECONDS = 10.0
_LONGEST_BECAUSE = 2500


class KeptSubprocess(RunningSubprocess):
    """An iterator over the results of a command that was launched once, by this process or by an earlier one."""

    def _supervise(self, session: PipesSession) -> Generator[PipesResult, None, Seen]:
        keeper: subprocess.Popen[bytes] | None = None
        started = 0
        try:
            while not self._over(session):
                # What has ended is not launched any more, whoever ended it.
                if not session.invocation.ended and (keeper is None or keeper.poll() is not None):
                    match self._look(session):
                        case "gone":
                            self._tell_gone(session)
                        case "unclaimed" if started < KEEPERS:
                            keeper, started = self._try_to_start(session), started + 1
                        case "unclaimed":
                            said = log_end(self._lock_path(session))
                            reason = f"{KEEPERS} processes that were to keep the command ended at once. {said}"
                            session.finish(reason=reason, outcome="not-launched")
                        case "held" | "elsewhere":
                            pass
                if session.over:
                    time.sleep(LOOK_SECONDS)
                yield from session.stream_results(
                    wait=LOOK_SECONDS, implicit_materializations=False, or_until=lambda: session.over
                )
        except BaseException as error:
            self._after_stop(session, keeper, error)
            raise
        finally:
            if keeper is not None:
                _let_go(keeper)
        return self._learned(session)

    def _tell_gone(self, session: PipesSession) -> None:
        # Right after the look it may have ended as it should.
        if not session.refresh().ended:
            session.finish(reason=_GONE, outcome="unknown")

    def _finish(self, session: PipesSession, seen: Seen) -> None:
        """The keeper has done it."""

    def _over(self, session: PipesSession) -> bool:
        if not session.over:
            return False
        # A command that was silent for too long is `lost`, and may be there all the same: its next word, or its end,
        # takes the verdict back.
        invocation = session.refresh()
        return invocation.ended and (invocation.verdict != "lost" or self._look(session) != "held")

    def _look(self, session: PipesSession) -> _Standing:
        facts = session.launched
        if facts is None:
            return "held" if life(self._lock_path(session), claim=None) == "held" else "unclaimed"
        claim, lock = facts.get("claim"), facts.get("lock")
        if not isinstance(claim, str) or not isinstance(lock, str):
            return "elsewhere"
        match life(Path(lock), claim=claim):
            case "free":
                return "gone"
            case seen:
                return seen

    def _lock_path(self, session: PipesSession) -> Path:
        return lock_path(standpipe_home(os.environ).absolute(), session.invocation_id)

    def _try_to_start(self, session: PipesSession) -> subprocess.Popen[bytes] | None:
        try:
            return self._start(session)
        except OSError as error:
            reason = f"The process that keeps the command could not be started: {error}."
            session.finish(reason=reason, outcome="not-launched")
            return None

    def _start(self, session: PipesSession) -> subprocess.Popen[bytes]:
        launch = self._launch
        told = Instructions(
            invocation=session.invocation_id,
            url=session.client.url,
            api_key=session.client.api_key,
            bootstrap=session.get_bootstrap_env_vars(),
            lock=str(self._lock_path(session)),
            command=launch.command,
            env=launch.env,
            cwd=None if launch.cwd is None else os.fspath(launch.cwd),
            lease_seconds=launch.lease_seconds,
            timeout=launch.timeout,
            termination_timeout_seconds=launch.termination_timeout_seconds,
            cancel_grace_seconds=launch.cancel_grace_seconds,
        )
        with open_log(self._lock_path(session)) as log:
            keeper = subprocess.Popen(
                # -P: what lies in the folder of the command must not shadow a module.
                [sys.executable, "-P", "-m", "standpipe_orchestrator.launchers.keeper"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # What is relative in it lies below the folder in which this process first asked, not below this one.
                env={
                    **os.environ,
                    HOME_VARIABLE: home_path(os.environ),
                    SPOOL_FOLDER_VARIABLE: spool_path(os.environ),
                },
                # Neither Ctrl-C in the terminal nor what ends this process's group is for it.
                start_new_session=True,
            )
        assert keeper.stdin is not None  # noqa: S101  asked for above
        with contextlib.suppress(BrokenPipeError), keeper.stdin as stdin:
            stdin.write(told.to_text().encode())
        return keeper

    def _after_stop(self, session: PipesSession, keeper: subprocess.Popen[bytes] | None, error: BaseException) -> None:
        launch = self._launch
        if session.over:
            return
        log = logger_of(session.context)
        if isinstance(error, KeyboardInterrupt) and not launch.forward_termination:
            session.wait()
            return
        try:
            session.cancel()
            if keeper is not None:
                keeper.terminate()
            log.info("[pipes] execution interrupted, the command is being ended.")
            session.wait(launch.cancel_grace_seconds + launch.termination_timeout_seconds + LEAVE_SECONDS)
        except (BrokerError, TimeoutError) as second:
            log.warning("[pipes] the end of the interrupted command could not be learned: %s", second)

    def _learned(self, session: PipesSession) -> Seen:
        invocation = session.refresh()
        told = self._last_word(session)
        tail = session.stderr_tail
        # The keeper tells why it ended the command, if it did, and then the end of stderr, which is known here.
        because = str(told.get("reason") or "").removesuffix(tail.strip()).strip()
        return Seen(
            exit_code=invocation.exit_code,
            stderr_tail=tail,
            because=because if 0 < len(because) <= _LONGEST_BECAUSE else None,
            outcome="not-launched" if invocation.outcome == "not-launched" else None,
        )

    def _last_word(self, session: PipesSession) -> JsonObject:
        """What the launcher told last of how it ended; empty when it ended by itself."""
        for item in reversed(session.client.invocations.history(session.invocation_id)):
            detail = item.get("detail")
            if item.get("change") == "finished" and isinstance(detail, dict):
                return detail
        return {}


_GONE = (
    "The command and the process that kept it are gone from their machine without a word of how they ended: killed, "
    "or the machine was restarted."
)


def _let_go(keeper: subprocess.Popen[bytes]) -> None:
    # Once the invocation has ended a keeper has nothing left to do. One that stays (nobody waits for it) is meant to.
    with contextlib.suppress(subprocess.TimeoutExpired):
        keeper.wait(LEAVE_SECONDS)
    keeper.returncode = keeper.returncode if keeper.returncode is not None else 0
