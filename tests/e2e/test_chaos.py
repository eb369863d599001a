"""The short form of scripts/chaos: each boundary once or twice; and that it would notice if something went wrong.

The long form is run by hand: `scripts/chaos`, which tries every boundary at every call many times.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from chaos.jobs import CALLS, JOBS, Column
from chaos.matrix import run_matrix
from chaos.proxy import Plan
from chaos.soak import run_soak
from chaos.trial import BOUNDARIES, Trial
from chaos.world import World, open_world
from tests.conftest import DATABASES

_SEED = 20260131
_SECONDS = 240.0
# There is no producer yet when an invocation is registered.
_CALLS: Sequence[Column] = CALLS[1:]


@pytest.fixture(scope="module", params=DATABASES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with open_world(request.param) as made:
        yield made


def test_nothing_is_lost_double_or_wrongly_green_whatever_breaks(world: World) -> None:
    # One call for each boundary, another one on the other database; `scripts/chaos` has them all.
    chance = random.Random(f"{_SEED} {world.database}")
    faults: list[str] = []
    tried = 0
    for boundary in chance.sample(BOUNDARIES, 4):
        call = chance.choice(_CALLS)
        matrix = run_matrix(world, boundaries=[boundary], columns=[call], rounds=1, seed=_SEED, seconds=_SECONDS)
        faults += matrix.faults
        tried += sum(len(cell.outcomes) for cell in matrix.cells.values())
    assert faults == []
    assert tried >= 3


@pytest.mark.parametrize("job", JOBS)
def test_a_child_without_a_word_is_never_green_and_another_attempt_is_whole(job: Column, world: World) -> None:
    boundaries = random.Random(f"{_SEED} {world.database} {job}").sample(BOUNDARIES, 2)
    matrix = run_matrix(world, boundaries=boundaries, columns=[job], rounds=1, seed=_SEED, seconds=_SECONDS)
    assert matrix.faults == []
    assert any(cell.outcomes for cell in matrix.cells.values())


class _Deceived(Trial):
    def _plan(self) -> Plan:
        return Plan(call="append", broken="lie", skip=1)


def test_an_acknowledgement_of_what_is_not_stored_would_be_noticed() -> None:
    with open_world("sqlite") as world:
        outcome = _Deceived(world, boundary="answer lost", column="append", seed=_SEED).run()
    assert outcome.happened
    assert any("reported and not stored" in fault for fault in outcome.faults), outcome.faults


def test_a_server_killed_again_and_again_under_load_leaves_every_receipt_whole() -> None:
    soaked = run_soak("sqlite", seconds=12, processes=3, invocations=9, kill_every_seconds=4)
    assert soaked.faults == []
    assert soaked.kills >= 2
    assert soaked.events > 9 * 4
