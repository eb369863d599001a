"""What a process says of itself when it opens: host, process id, rank and attempt, so that a silent one can be named.

The attempt is read from the variables of the platforms that restart work. Numbers of the whole job and numbers of one
rank are separate: a parent lives on beside a worker that is restarted. Imports none of the platforms. The invariant: a
value that cannot be read is ignored, with one warning.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from standpipe_protocol.json_text import JsonValue

_RANK_AND_SIZE = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("RANK", "WORLD_SIZE"),
)
"""Open MPI, MPICH and Intel MPI, PMIx, Slurm's srun, torchrun: the more special first, srun may start the others."""
ATTEMPT_VARIABLE = "STANDPIPE_ATTEMPT"
ATTEMPT_NAME_VARIABLE = "STANDPIPE_ATTEMPT_NAME"
_SLURM_JOB = "SLURM_JOB_ID"
_SLURM = "SLURM_RESTART_COUNT"
_YARN = "CONTAINER_ID"
_TORCH = "TORCHELASTIC_RESTART_COUNT"
# The bounds of the protocol.
_MOST_NUMBERS = 8
_MOST_DIGITS = 15
_MOST_CHARACTERS = 128
_warned: set[str] = set()


def process_info(environment: Mapping[str, str]) -> dict[str, JsonValue]:
    """`host` and `pid`, `rank` and `world_size` where the environment says that this is one process of many, and the
    attempt it belongs to."""
    members: dict[str, JsonValue] = {"host": _host(environment), "pid": os.getpid(), **_attempt(environment)}
    for rank, size in _RANK_AND_SIZE:
        if (number := environment.get(rank, "")).isdecimal():
            members["rank"] = int(number)
            if (of := environment.get(size, "")).isdecimal():
                members["world_size"] = int(of)
            break
    return members


def _host(environment: Mapping[str, str]) -> str:
    # socket.gethostname would bring the socket module along.
    return os.uname().nodename if hasattr(os, "uname") else environment.get("COMPUTERNAME", "")


def _attempt(environment: Mapping[str, str]) -> dict[str, JsonValue]:
    """`attempt`, `rank_attempt` and `attempt_name`, and the `rank` of a Ray actor; each where the platform gives it."""
    members: dict[str, JsonValue] = {}
    if attempt := _of_job(environment):
        members["attempt"] = list(attempt)
    name = environment.get(ATTEMPT_NAME_VARIABLE, "")
    if len(name) > _MOST_CHARACTERS:
        _warn(ATTEMPT_NAME_VARIABLE, name, f"a text of at most {_MOST_CHARACTERS} characters")
    elif name:
        members["attempt_name"] = name
    rank_attempt: list[int] = []
    if "ray" in sys.modules and (restarts := _restarts_of_ray_actor(sys.modules["ray"])) is not None:
        members["rank"], count = restarts
        rank_attempt.append(count)
    rank_attempt += _numbers(environment, _TORCH, most=1)
    if rank_attempt:
        members["rank_attempt"] = list(rank_attempt)
    return members


def _of_job(environment: Mapping[str, str]) -> list[int]:
    """The numbers of the whole job, outermost first."""
    launcher = _numbers(environment, ATTEMPT_VARIABLE, most=_MOST_NUMBERS - 2)
    slurm = _numbers(environment, _SLURM, most=1)
    spark = _application_attempt(environment.get(_YARN, ""))
    if spark and not slurm and environment.get(_SLURM_JOB):
        # The first run of a Slurm job has no number, and must not have one place less than the second.
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
    """The attempt of a Spark application in a container id of YARN: `container_1410901177871_0001_02_000005`, since
    Hadoop 2.6 with `e17_` after the first word where the resource manager was restarted."""
    word, *numbers = container.split("_")
    if numbers and numbers[0].startswith("e"):
        del numbers[0]
    if word != "container" or len(numbers) != 4 or not all(map(_is_whole, numbers)):
        # Other systems use this variable, too.
        return []
    return [int(numbers[2])]


def _restarts_of_ray_actor(ray: Any) -> tuple[str, int] | None:
    """The id of the Ray actor that this is, and how often it was restarted; None in a task or driver."""
    try:
        actor = ray.get_runtime_context().get_actor_id() if ray.is_initialized() else None
        if not actor:
            return None
        state = ray._private.state.actors(actor_id=actor)
        return f"actor {actor}", int(state["NumRestarts"])
    except Exception:
        # A private interface: an older or newer Ray may have another.
        return None


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def _warn(variable: str, value: str, expected: str) -> None:
    """Once a variable: every context of this process would repeat it."""
    if variable not in _warned:
        _warned.add(variable)
        import logging

        from standpipe.runtime.threads import sending

        # A handler that reports must not open the context that is being opened.
        with sending():
            text = "%s is %r and is ignored. Expected %s."
            logging.getLogger("standpipe.outbox").warning(text, variable, value[:100], expected)
