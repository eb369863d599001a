"""The tree of errors, and the package's public names."""

from __future__ import annotations

import pytest

import standpipe
from standpipe.errors import DagsterPipesError, PipesProblem, StandpipeError, error_for_problem
from standpipe_protocol.problems import PROBLEM_TYPES, Problem


@pytest.mark.parametrize("name", sorted(PROBLEM_TYPES))
def test_every_problem_has_an_exception_of_the_same_name(name: str) -> None:
    error = error_for_problem(Problem(name, "told"), message="sentence")
    assert type(error).__name__ == "Pipes" + "".join(part.capitalize() for part in name.split("-"))
    assert error.problem.name == name
    assert str(error) == "sentence"


def test_a_problem_of_a_newer_server_is_still_a_problem() -> None:
    assert type(error_for_problem(Problem("from-the-future", ""), message="")) is PipesProblem


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
