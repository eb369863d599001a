"""Commands that cannot be started: the launch has failed, and the broker and the caller learn why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from standpipe_orchestrator import BrokerClient, PipesLaunchError, PipesSubprocessClient


@pytest.mark.parametrize("kind", ["program", "permission", "too long"])
def test_a_command_that_cannot_start_says_why_and_is_told_to_the_broker(
    kind: str, pipes: PipesSubprocessClient, client: BrokerClient, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("x")
    command, text = {
        "program": (["no-such-program"], "no such program, or not on its PATH"),
        "permission": ([str(plain)], "not executable"),
        "too long": ([sys.executable, "x" * 10_000_000], "could not be started"),
    }[kind]
    with pytest.raises(PipesLaunchError, match=text) as raised:
        pipes.run(context=None, command=command)
    assert raised.value.completed is not None
    stored = client.invocations.get(raised.value.completed.invocation.id)
    assert (stored.verdict, [reason.code for reason in stored.reasons]) == ("incomplete", ["not-launched"])


def test_a_launch_that_fails_after_a_cancel_names_what_failed(client: BrokerClient) -> None:
    class Context:
        run_id = "r"

        def invocation_registered(self, invocation_id: str) -> None:
            client.invocations.cancel(invocation_id)

    pipes = PipesSubprocessClient(client=client)
    with pytest.raises(PipesLaunchError, match="no such program") as raised:
        pipes.run(context=Context(), command=["no-such-program"])
    assert "not-launched" in [reason.code for reason in raised.value.reasons]


def test_a_child_that_cannot_be_started_for_any_reason_is_a_launch_that_failed(
    pipes: PipesSubprocessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_child(*args: object, **more: object) -> None:
        raise subprocess.SubprocessError("Exception occurred in preexec_fn.")

    monkeypatch.setattr("standpipe_orchestrator.launchers.local.process_launcher.subprocess.Popen", no_child)
    with pytest.raises(PipesLaunchError, match="could not be started: Exception occurred") as raised:
        pipes.run(context=None, command=["true"])
    assert [reason.code for reason in raised.value.reasons] == ["not-launched"]


def test_a_runner_that_cannot_be_started_is_a_launch_that_failed(
    pipes: PipesSubprocessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    with pytest.raises(PipesLaunchError, match="could not be started") as raised:
        pipes.run(context=None, command=["true"], key="subprocess-client/no-runner")
    assert [reason.code for reason in raised.value.reasons] == ["not-launched"]
