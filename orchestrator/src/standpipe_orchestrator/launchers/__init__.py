"""Launchers: ways to start external work, and what is common to them.

A launcher is a `Launcher`: it starts a job on one platform and follows it there. It knows nothing of the broker, and it
never decides how the work ended: it says what the platform says, and the broker gives the verdict. `supervision` does
for every launcher what is no platform's. Nothing outside imports what lies below this door, but for
`PipesSubprocessClient` in `subprocess`. The invariant: the work of an invocation is started once.
"""

from standpipe_orchestrator.launchers.client import PipesLauncherClient, RunArguments
from standpipe_orchestrator.launchers.output_streams import FileStream, PipeStream
from standpipe_orchestrator.launchers.protocol import (
    Command,
    EndedJob,
    Job,
    JobDescription,
    JobEnd,
    Launcher,
    OutputStream,
    StopReason,
    Work,
)
from standpipe_orchestrator.launchers.running import RunningWork

__all__ = [
    "Command",
    "EndedJob",
    "FileStream",
    "Job",
    "JobDescription",
    "JobEnd",
    "Launcher",
    "OutputStream",
    "PipeStream",
    "PipesLauncherClient",
    "RunArguments",
    "RunningWork",
    "StopReason",
    "Work",
]
