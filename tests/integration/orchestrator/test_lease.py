"""Whose word keeps a lease: the session's until the process has opened, then the process's alone."""

from __future__ import annotations

import sys
from datetime import datetime

import pytest

from standpipe_orchestrator import BrokerClient, PipesExecutionError, open_pipes_session
from standpipe_protocol.context import ContextData
from tests.support.processes import child_environment, run, run_python
from tests.support.waiting import wait_until

LEASE_SECONDS = 1.5


def _seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def test_work_that_queues_for_longer_than_its_lease_is_not_lost(client: BrokerClient) -> None:
    with open_pipes_session(None, client=client, lease_seconds=LEASE_SECONDS) as session:
        first_expiry = session.invocation.lease_expires_at
        assert first_expiry is not None

        def has_outlived_its_lease() -> bool:
            queued = client.invocations.get(session.invocation_id)
            assert not queued.ended, queued.reasons
            # Renewed after the first one would have run out.
            expiry = queued.lease_expires_at
            return expiry is not None and _seconds_between(first_expiry, expiry) > LEASE_SECONDS

        wait_until(has_outlived_its_lease, what="the lease to be renewed past its first end")
        run_python(
            "-c",
            "from standpipe import open_pipes\nwith open_pipes(): pass",
            env=child_environment(session.get_bootstrap_env_vars()),
        )
    assert session.invocation.verdict == "succeeded"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_that_dies_is_lost_while_the_orchestrator_lives(client: BrokerClient) -> None:
    dies = (
        "import os, signal\nfrom standpipe import open_pipes\n"
        "with open_pipes() as context:\n    context.flush(10)\n    os.kill(os.getpid(), signal.SIGKILL)"
    )

    def block() -> None:
        with open_pipes_session(None, client=client, lease_seconds=LEASE_SECONDS) as session:
            run([sys.executable, "-c", dies], env=child_environment(session.get_bootstrap_env_vars()), check=False)
            wait_until(lambda: client.invocations.get(session.invocation_id).ended, what="the invocation to be lost")

    with pytest.raises(PipesExecutionError) as raised:
        block()
    assert raised.value.verdict == "lost"
    assert raised.value.reasons[0].code == "lease-expired"


def test_a_launcher_that_beats_by_name_keeps_no_process_from_being_lost(client: BrokerClient) -> None:
    registered = client.invocations.register(ContextData(), lease_seconds=LEASE_SECONDS)
    opens = "import os\nfrom standpipe import open_pipes\nopen_pipes().flush(10)\nos._exit(0)"
    run([sys.executable, "-c", opens], env=child_environment(registered.env))

    def has_ended_while_its_launcher_lives() -> bool:
        client.invocations.heartbeat(registered.invocation.id, producer="launcher")
        return client.invocations.get(registered.invocation.id).ended

    wait_until(has_ended_while_its_launcher_lives, what="the invocation to be lost")
    assert client.invocations.get(registered.invocation.id).verdict == "lost"
