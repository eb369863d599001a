"""What programs that launch and read invocations use of the SDK: the only door for `standpipe_orchestrator`.

Each name is imported when it is first used, so that a program pays for what it uses.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from standpipe.delivery.outbox import Outbox
    from standpipe.http.client import ANSWER_SECONDS, CONNECT_SECONDS, make_client, parsed_url, retry_after_seconds
    from standpipe.http.decisions import backoff_delay, random_part
    from standpipe.producer.opening import new_producer
    from standpipe.runtime.clock import monotonic, sleep
    from standpipe.runtime.threads import BackgroundThread, background_thread, sending
    from standpipe.spool.creation import spool_path
    from standpipe.spool.leftovers import deliver_openings
    from standpipe.spool.marks import LaunchMark

_MODULES = (
    "runtime.clock",
    "runtime.threads",
    "spool.creation",
    "http.decisions",
    "spool.marks",
    "producer.opening",
    "http.client",
    "spool.leftovers",
    "delivery.outbox",
)
"""Where the names are, in the order in which they are searched."""

__all__ = [
    "ANSWER_SECONDS",
    "CONNECT_SECONDS",
    "BackgroundThread",
    "LaunchMark",
    "Outbox",
    "background_thread",
    "backoff_delay",
    "deliver_openings",
    "make_client",
    "monotonic",
    "new_producer",
    "parsed_url",
    "random_part",
    "retry_after_seconds",
    "sending",
    "sleep",
    "spool_path",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    for path in _MODULES:
        module = importlib.import_module(f"standpipe.{path}")
        if hasattr(module, name):
            globals()[name] = getattr(module, name)
            break
    return globals()[name]
