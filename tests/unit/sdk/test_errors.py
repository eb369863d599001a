"""The tree of errors, and the package's public names."""

from __future__ import annotations

import pytest

import standpipe
from standpipe.errors import DagsterPipesError, PipesProblem, StandpipeError, error_for_problem
from standpipe.http.decisions import Answer, Retry, decide_after_refusal
from standpipe_protocol.problems import PROBLEM_TYPES, Problem

# What may be the answer to a call of this client and is more than a reason to try again.
REACHABLE = {
    "malformed",
    "unauthorized",
    "forbidden-host",
    "not-found",
    "sequence-gap",
    "invocation-ended",
    "duplicate-materialization",
    "too-large",
    "invalid-message",
}


@pytest.mark.parametrize("name", sorted(PROBLEM_TYPES))
def test_a_problem_that_can_reach_a_program_has_an_exception_of_the_same_name(name: str) -> None:
    error = error_for_problem(Problem(name, "told"), message="sentence")
    own = "Pipes" + "".join(part.capitalize() for part in name.split("-"))
    assert type(error).__name__ == (own if name in REACHABLE else "PipesProblem")
    assert error.problem.name == name
    assert str(error) == "sentence"


def test_a_problem_of_a_newer_server_is_still_a_problem() -> None:
    assert type(error_for_problem(Problem("from-the-future", ""), message="")) is PipesProblem


@pytest.mark.parametrize("name", sorted(PROBLEM_TYPES))
def test_a_problem_that_is_retried_never_comes_out_of_a_call(name: str) -> None:
    problem = Problem(name, "told")
    retried = isinstance(
        decide_after_refusal(Answer(status=problem.status, problem=problem), attempt=0, jitter=0), Retry
    )
    assert not (retried and name in REACHABLE)


def test_all_errors_have_one_root_and_upstreams_names() -> None:
    assert issubclass(DagsterPipesError, StandpipeError)
    assert standpipe.PipesError is DagsterPipesError
    assert issubclass(standpipe.DagsterPipesWarning, Warning)
    assert not issubclass(PipesProblem, DagsterPipesError)


def test_every_public_name_is_there_and_listed() -> None:
    for name in standpipe.__all__:
        assert getattr(standpipe, name) is not None
        assert name in dir(standpipe)
    assert sorted(standpipe.__all__, key=str.lower) == sorted(set(standpipe.__all__), key=str.lower)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'spam'"):
        _ = standpipe.spam  # pyright: ignore
