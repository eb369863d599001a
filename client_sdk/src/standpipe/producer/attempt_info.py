"""Which attempt of its work a process belongs to, as the platforms that start work again say it.

Numbers of the whole job and numbers of one rank are kept apart: a parent lives on beside a worker that is started
again. Imports none of the platforms. The invariant: what cannot be read is ignored, with one warning.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from standpipe_protocol.json_text import JsonValue

ATTEMPT_VARIABLE = "STANDPIPE_ATTEMPT"
ATTEMPT_NAME_VARIABLE = "STANDPIPE_ATTEMPT_NAME"
_SLURM_JOB = "SLURM_JOB_ID"
_SLURM = "SLURM_RESTART_COUNT"
_YARN = "CONTAINER_ID"
_TORCH = "TORCHELASTIC_RESTART_COUNT"
# As the protocol bounds them.
_MOST_NUMBERS = 8
_MOST_DIGITS = 15
_MOST_CHARACTERS = 128
_warned: set[str] = set()


def attempt_facts(environment: Mapping[str, str]) -> dict[str, JsonValue]:
    """`attempt`, `rank_attempt` and `attempt_name`, and the `rank` of an actor of Ray; each where something says it."""
    facts: dict[str, JsonValue] = {}
    if attempt := _of_job(environment):
        facts["attempt"] = list(attempt)
    name = environment.get(ATTEMPT_NAME_VARIABLE, "")
    if len(name) > _MOST_CHARACTERS:
        _warn(ATTEMPT_NAME_VARIABLE, name, f"a text of at most {_MOST_CHARACTERS} characters")
    elif name:
        facts["attempt_name"] = name
    rank_attempt: list[int] = []
    if "ray" in sys.modules and (restarts := _restarts_of_ray_actor(sys.modules["ray"])) is not None:
        facts["rank"], count = restarts
        rank_attempt.append(count)
    rank_attempt += _numbers(environment, _TORCH, most=1)
    if rank_attempt:
        facts["rank_attempt"] = list(rank_attempt)
    return facts


def _of_job(environment: Mapping[str, str]) -> list[int]:
    """The numbers of the whole job, those of what is around the others first."""
    launcher = _numbers(environment, ATTEMPT_VARIABLE, most=_MOST_NUMBERS - 2)
    slurm = _numbers(environment, _SLURM, most=1)
    spark = _application_attempt(environment.get(_YARN, ""))
    if spark and not slurm and environment.get(_SLURM_JOB):
        # The first run of a job of Slurm's has no number, and must not have one place less than the second.
        slurm = [0]
    return [*launcher, *slurm, *spark]


def _numbers(environment: Mapping[str, str], variable: str, *, most: int) -> list[int]:
    """Whole numbers that are separated by dots."""
    text = environment.get(variable, "").strip()
    if not text:
        return []
    parts = text.split(".")
    if len(parts) > most or not all(map(_is_whole, parts)):
        expected = "a whole number" if most == 1 else f"at most {most} whole numbers, separated by dots"
        _warn(variable, text, expected)
        return []
    return [int(part) for part in parts]


def _application_attempt(container: str) -> list[int]:
    """YARN's number of the application's run, in which a driver and an executor of Spark are.

    It is in the id of the container: `container_1410901177871_0001_02_000005`, since Hadoop 2.6 with `e17_` after the
    first word where the resource manager was restarted.
    """
    word, *numbers = container.split("_")
    if numbers and numbers[0].startswith("e"):
        del numbers[0]
    if word != "container" or len(numbers) != 4 or not all(map(_is_whole, numbers)):
        # The name is used by others, too.
        return []
    return [int(numbers[2])]


def _restarts_of_ray_actor(ray: Any) -> tuple[str, int] | None:
    """An actor, which keeps its id, and how often it was started again; None in anything else of Ray's."""
    try:
        actor = ray.get_runtime_context().get_actor_id() if ray.is_initialized() else None
        if not actor:
            return None
        known = ray._private.state.actors(actor_id=actor)
        return f"actor {actor}", int(known["NumRestarts"])
    except Exception:
        # An older or newer Ray: nothing there is promised.
        return None


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def _warn(variable: str, given: str, expected: str) -> None:
    """Once a variable: every context of this process would say it."""
    if variable not in _warned:
        _warned.add(variable)
        import logging

        from standpipe.runtime.sender_threads import mark_sender_thread, unmark_sender_thread

        # A handler that reports must not open what is being opened.
        mark_sender_thread()
        try:
            logging.getLogger("standpipe.outbox").warning(
                "%s is %r and is ignored. Expected %s.", variable, given[:100], expected
            )
        finally:
            unmark_sender_thread()
