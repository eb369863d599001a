"""What a process tells of itself when it opens, so that of many the silent one is known: rank, host, process id,
attempt."""

from __future__ import annotations

import os

from standpipe.producer.attempt_info import attempt_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from standpipe_protocol.json_text import JsonValue

_RANK_AND_SIZE = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "PMIX_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("RANK", "WORLD_SIZE"),
)
"""Open MPI, MPICH and Intel MPI, PMIx, Slurm's srun, torchrun: the more special first, srun may start the others."""


def process_facts(environment: Mapping[str, str]) -> dict[str, JsonValue]:
    """`host` and `pid`, `rank` and `world_size` where the environment says that this is one process of many, and which
    attempt it belongs to."""
    facts: dict[str, JsonValue] = {"host": _host(environment), "pid": os.getpid(), **attempt_facts(environment)}
    for rank, size in _RANK_AND_SIZE:
        if (number := environment.get(rank, "")).isdecimal():
            facts["rank"] = int(number)
            if (of := environment.get(size, "")).isdecimal():
                facts["world_size"] = int(of)
            break
    return facts


def _host(environment: Mapping[str, str]) -> str:
    # socket.gethostname would bring the socket module along.
    return os.uname().nodename if hasattr(os, "uname") else environment.get("COMPUTERNAME", "")
