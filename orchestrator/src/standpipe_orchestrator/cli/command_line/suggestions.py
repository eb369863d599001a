"""A broker for a shell that waits with the cursor on the line: one that is there already, asked once, or none.

Completing a word starts nothing, writes nothing and never takes long; argcomplete turns what is raised into silence.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.discovery import find_broker
from standpipe_orchestrator.errors import BrokerNotFound


@contextmanager
def broker_at_hand() -> Generator[BrokerClient]:
    """The broker that runs.

    Raises:
        BrokerNotFound: none does.
    """
    credentials = find_broker()
    if credentials is None:
        raise BrokerNotFound("No broker runs, so there is nothing to suggest.")
    with BrokerClient(credentials.url, api_key=credentials.api_key, retry_seconds=0.0) as client:
        yield client
