"""Which broker this process uses, decided once and shared.

In this order: `STANDPIPE_URL` (with `STANDPIPE_API_KEY`); the server that the home's credentials file names, if what
listens there proves that it is this home's; an embedded broker on the home's database. The key is never sent to
something that has not proved itself, unless the user named it.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.embedded_broker import EmbeddedBroker
from standpipe_orchestrator.client.transport import Transport, broker_address, operator_key
from standpipe_orchestrator.errors import BrokerNotFound
from standpipe_protocol.bootstrap import API_KEY_VARIABLE, URL_VARIABLE
from standpipe_protocol.home import (
    IDENTITY_CHALLENGE_HEADER,
    IDENTITY_PROOF_HEADER,
    Credentials,
    identity_proof,
    read_credentials,
    standpipe_home,
)


def find_broker(environment: Mapping[str, str] | None = None) -> Credentials | None:
    """The broker that is there already, or None where one would have to be started.

    Raises:
        BrokerNotFound: `STANDPIPE_URL` names a broker for which there is no key, or no broker at all.
    """
    environment = os.environ if environment is None else environment
    home = standpipe_home(environment)
    named, key = environment.get(URL_VARIABLE, "").strip(), environment.get(API_KEY_VARIABLE, "").strip()
    if named:
        named = broker_address(named, name=URL_VARIABLE)
    if named and key:
        return Credentials(url=named, api_key=operator_key(key, name=API_KEY_VARIABLE))
    ours = read_credentials(home)
    if not named:
        return ours if ours is not None and proves_identity(ours, environment=environment) else None
    # The external process's own variable, or a local server's address without its key: the home may hold the key.
    if ours is not None and ours.url.rstrip("/") == named and proves_identity(ours, environment=environment):
        return ours
    raise BrokerNotFound(
        f"{URL_VARIABLE} is {named!r} but {API_KEY_VARIABLE} is not set: set it to that server's operator key, or "
        f"unset {URL_VARIABLE} to use the broker of this machine."
    )


def proves_identity(credentials: Credentials, *, environment: Mapping[str, str] | None = None) -> bool:
    """Whether what listens at the credentials' address is the server that wrote them."""
    if not credentials.identity:
        return False
    nonce = secrets.token_hex(16)
    transport = Transport(credentials.url, api_key="", environment=environment)
    try:
        proof = transport.ask_identity(nonce, header=IDENTITY_CHALLENGE_HEADER, proof_header=IDENTITY_PROOF_HEADER)
    finally:
        transport.close()
    return proof is not None and secrets.compare_digest(proof, identity_proof(credentials.identity, nonce))


@dataclass(slots=True)
class _Shared:
    """This process's broker."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    pid: int = 0
    client: BrokerClient | None = None
    embedded: EmbeddedBroker | None = None
    credentials: Credentials | None = None
    former: list[BrokerClient] = field(default_factory=list[BrokerClient])
    """Clients of brokers that are gone: what is under way goes on with them, where a later broker answers."""


_shared = _Shared()


def default_client(environment: Mapping[str, str] | None = None) -> BrokerClient:
    """The client of this process's broker; made at the first call, looked after at the others, closed at exit.

    Raises:
        BrokerNotFound: there is no broker, and none can be started.
    """
    environment = os.environ if environment is None else environment
    with _shared.lock:
        if _shared.pid != os.getpid():
            # After a fork the parent's broker still runs, but it and its connections are the parent's.
            _shared.pid, _shared.client, _shared.embedded, _shared.credentials = os.getpid(), None, None, None
            _shared.former = []
        credentials = _credentials(environment)
        if _shared.client is None or _shared.credentials != credentials:
            if _shared.client is None:
                atexit.register(close_default_client)
            else:
                _shared.former.append(_shared.client)
            _shared.client = BrokerClient(credentials.url, api_key=credentials.api_key, environment=environment)
            _shared.credentials = credentials
        return _shared.client


def close_default_client() -> None:
    """Closes this process's client and lets its embedded broker end. The next `default_client()` starts anew."""
    with _shared.lock:
        if _shared.pid != os.getpid():
            return
        client, embedded, former = _shared.client, _shared.embedded, _shared.former
        _shared.client = _shared.embedded = _shared.credentials = None
        _shared.former = []
    atexit.unregister(close_default_client)
    for one in (*former, *([] if client is None else [client])):
        one.close()
    if embedded is not None:
        embedded.close()


def _credentials(environment: Mapping[str, str]) -> Credentials:
    embedded = _shared.embedded
    if not environment.get(URL_VARIABLE, "").strip() and embedded is not None:
        if embedded.running and embedded.home == standpipe_home(environment):
            return embedded.credentials
        embedded.close()
        _shared.embedded = None
    credentials = find_broker(environment)
    if credentials is not None:
        return credentials
    home = standpipe_home(environment)
    _require_server(home)
    started = EmbeddedBroker.start(
        home,
        environment=environment,
        answers=lambda credentials: proves_identity(credentials, environment=environment),
    )
    if started.running:
        _shared.embedded = started
    return started.credentials


def _require_server(home: Path) -> None:
    if importlib.util.find_spec("standpipe_server") is None:
        raise BrokerNotFound(
            f"No broker was found: {URL_VARIABLE} is not set, no server of {home} is running, and the embedded broker "
            "is not installed. Start one with `standpipe serve`, set the address of one, or install "
            "`standpipe-orchestrator[embedded]`."
        )
