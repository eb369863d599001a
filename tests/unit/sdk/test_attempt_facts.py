"""Which attempt a process says it belongs to, from what the platforms set."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from standpipe.producer import process_info as attempt_facts
from standpipe.producer.process_info import process_info

YARN = "container_1410901177871_0001_02_000005"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_facts, "_warned", set())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        ({"STANDPIPE_ATTEMPT": "2"}, {"attempt": [2]}),
        ({"STANDPIPE_ATTEMPT": "1.2"}, {"attempt": [1, 2]}),
        ({"STANDPIPE_ATTEMPT": ""}, {}),
        ({"SLURM_RESTART_COUNT": "1"}, {"attempt": [1]}),
        ({"CONTAINER_ID": YARN}, {"attempt": [2]}),
        ({"CONTAINER_ID": YARN.replace("container_", "container_e17_")}, {"attempt": [2]}),
        # Somebody else's name for something else.
        ({"CONTAINER_ID": "3f9a77c1b2d4"}, {}),
        # The outer first.
        ({"STANDPIPE_ATTEMPT": "3", "SLURM_RESTART_COUNT": "1"}, {"attempt": [3, 1]}),
        ({"STANDPIPE_ATTEMPT": "3", "CONTAINER_ID": YARN}, {"attempt": [3, 2]}),
        # The first run of a job of Slurm's has no number.
        ({"STANDPIPE_ATTEMPT": "3", "SLURM_JOB_ID": "7"}, {"attempt": [3]}),
        ({"SLURM_JOB_ID": "7", "CONTAINER_ID": YARN}, {"attempt": [0, 2]}),
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1", "CONTAINER_ID": YARN}, {"attempt": [1, 2]}),
        ({"TORCHELASTIC_RESTART_COUNT": "2", "RANK": "1"}, {"rank_attempt": [2], "rank": 1}),
        ({"STANDPIPE_ATTEMPT_NAME": "5f1c"}, {"attempt_name": "5f1c"}),
    ],
)
def test_numbers_of_the_job_and_of_a_rank_and_names(environment: dict[str, str], expected: dict[str, Any]) -> None:
    facts = process_info(environment)
    assert {name: value for name, value in facts.items() if name not in ("host", "pid")} == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STANDPIPE_ATTEMPT", "two"),
        ("STANDPIPE_ATTEMPT", "1..2"),
        ("STANDPIPE_ATTEMPT", "-1"),
        ("STANDPIPE_ATTEMPT", "1.5e3"),
        ("STANDPIPE_ATTEMPT", "9" * 5000),
        ("STANDPIPE_ATTEMPT", ".".join("1" * 9)),
        ("STANDPIPE_ATTEMPT", "\u0662"),
        ("SLURM_RESTART_COUNT", "1.2"),
        ("TORCHELASTIC_RESTART_COUNT", "nan"),
        ("STANDPIPE_ATTEMPT_NAME", "x" * 129),
    ],
)
def test_nonsense_is_ignored_with_one_warning(variable: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert set(process_info({variable: value})) == {"host", "pid"}
    (record,) = caplog.records
    assert (record.levelno, variable in record.message) == (logging.WARNING, True)


class Ray:
    """As much of it as is asked."""

    class _private:
        class state:
            @staticmethod
            def actors(*, actor_id: str) -> dict[str, int]:
                return {"NumRestarts": 3}

    def __init__(self, *, actor: str | None, initialized: bool = True) -> None:
        self._actor = actor
        self._initialized = initialized

    def is_initialized(self) -> bool:
        return self._initialized

    def get_runtime_context(self) -> Ray:
        assert self._initialized, "asking would start a cluster"
        return self

    def get_actor_id(self) -> str | None:
        return self._actor


@pytest.mark.parametrize(
    ("ray", "expected"),
    [
        (Ray(actor="0af3"), {"rank": "actor 0af3", "rank_attempt": [3]}),
        (Ray(actor=None), {}),
        (Ray(actor="0af3", initialized=False), {}),
        (object(), {}),
    ],
)
def test_an_actor_of_ray_keeps_its_id_and_is_counted(
    ray: object, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", ray)
    assert attempt_facts._attempt({}) == expected  # pyright: ignore[reportPrivateUsage]
