"""One home, one server: the lock that says so, and how an embedded broker gives its home to a server.

What stands in the lock's file is for the next server: whether its holder is embedded, on which database it works, and
at which addresses of this machine work may still look for it. The invariants: a home is held by one process at a time,
and an embedded broker gives it up only while a living process is waiting for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from filelock import lock_descriptor

from standpipe_protocol.home import LOCK_FILE, read_credentials

HAND_OVER_FILE = "hand-over.lock"
HAND_OVER_SECONDS = 30.0
"""How long a server waits for an embedded broker to end; that one gives its requests a few seconds."""
FORMER_SECONDS = 7 * 86_400
"""How long work may look for an embedded broker that is gone, at the address which it was handed."""
_MOST_FORMER = 16
_LOOK_AGAIN_SECONDS = 0.05


class HomeTaken(Exception):
    """Another server holds this home (the message names it), or no process can lock the home."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an embedded broker of this home listened, on loopback, and until when (in seconds since the epoch)."""

    host: str
    port: int
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What the lock's file says of the one who holds the home, or held it last."""

    pid: int | None = None
    embedded: bool = False
    database: str = ""
    """Which database it works on; not its address."""
    own: Address | None = None
    """Where an embedded broker listens; None once it is not needed any more."""
    former: tuple[Address, ...] = ()

    def to_text(self) -> str:
        own = None if self.own is None else [self.own.host, self.own.port, self.own.until]
        former = [[one.host, one.port, one.until] for one in self.former]
        return json.dumps(
            {"pid": self.pid, "embedded": self.embedded, "database": self.database, "own": own, "former": former}
        )

    @classmethod
    def from_text(cls, text: str) -> Holder:
        """What can be read of it; an older version wrote the process's id alone."""
        try:
            wire: object = json.loads(text)
        except ValueError:
            return cls()
        if not isinstance(wire, dict):
            return cls()
        members = cast("dict[str, object]", wire)
        pid, database, former = members.get("pid"), members.get("database"), members.get("former")
        addresses = [_address(one) for one in cast("list[object]", former if isinstance(former, list) else [])]
        return cls(
            pid=pid if isinstance(pid, int) else None,
            embedded=members.get("embedded") is True,
            database=database if isinstance(database, str) else "",
            own=_address(members.get("own")),
            former=tuple(one for one in addresses if one is not None),
        )

    def left_behind(self, *, now: float) -> tuple[Address, ...]:
        """Where work may still look for this holder and for those before it, the newest first."""
        left = (self.own, *self.former) if self.embedded else self.former
        return tuple(one for one in left if one is not None and one.until > now)[:_MOST_FORMER]


class HomeLock:
    """A home that this process holds."""

    def __init__(self, descriptor: int, *, embedded: bool, database: str) -> None:
        self._descriptor = descriptor
        before = Holder.from_text(_read(descriptor))
        self.former: Sequence[Address] = before.left_behind(now=time.time())
        """Where work may look for embedded brokers that held this home; they are gone."""
        self._holder = Holder(pid=os.getpid(), embedded=embedded, database=database, former=tuple(self.former))
        self._write()

    def listens_at(self, host: str, port: int) -> None:
        """Notes where an embedded broker listens, for who has to answer there after it."""
        if self._holder.embedded:
            own = Address(host, port, int(time.time()) + FORMER_SECONDS)
            former = tuple(one for one in self._holder.former if one.port != port)
            self._note(own=own, former=former)

    def leave_nothing(self) -> None:
        """An embedded broker ends because it is not needed any more: nothing has to answer at its address."""
        self._note(own=None, former=self._holder.former)

    def _note(self, *, own: Address | None, former: tuple[Address, ...]) -> None:
        holder = self._holder
        self._holder = Holder(
            pid=holder.pid, embedded=holder.embedded, database=holder.database, own=own, former=former
        )
        self._write()

    def _write(self) -> None:
        text = self._holder.to_text().encode()
        # The file is cut after the text is written, so that a concurrent reader never finds it empty.
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))


@contextlib.contextmanager
def locked_home(home: Path, *, embedded: bool, database: str) -> Generator[HomeLock]:
    """Holds the home for this process; the operating system lets go of it however the process ends.

    A server that finds an embedded broker there, on the same database, is given the home by it.

    Args:
        embedded: this is the broker of an orchestrator, which gives its home to a server that asks for it.
        database: names the database, so that no home is taken by a server that does not have what is in it.

    Raises:
        HomeTaken: another process holds it, or its file system has no locks.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(home, descriptor):
            _wait_for_hand_over(home, descriptor, embedded=embedded, database=database)
        yield HomeLock(descriptor, embedded=embedded, database=database)
    finally:
        # The file stays: removing it would let two servers lock two files of the same name.
        os.close(descriptor)


def is_asked_for(home: Path) -> bool:
    """Whether a server waits for this home."""
    try:
        descriptor = os.open(home / HAND_OVER_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Who asks holds it; without that the file was left by a server that was killed.
        return not lock_descriptor(descriptor, blocking=False)
    except OSError:
        # Without locks no waiting server can be seen, and a home is given up only for one that waits.
        return False
    finally:
        os.close(descriptor)


def _wait_for_hand_over(home: Path, descriptor: int, *, embedded: bool, database: str) -> None:
    holder = Holder.from_text(_read(descriptor))
    if embedded or not holder.embedded or holder.database != database:
        raise HomeTaken(_taken(home, holder, other_database=not embedded and holder.embedded))
    asking = os.open(home / HAND_OVER_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + HAND_OVER_SECONDS
        # The embedded broker looks whether another process asks by taking this lock for a moment.
        asks = _try_lock(home, asking)
        while not _try_lock(home, descriptor):
            asks = asks or _try_lock(home, asking)
            if time.monotonic() > deadline:
                raise HomeTaken(_taken(home, holder))
            time.sleep(_LOOK_AGAIN_SECONDS)
    finally:
        os.close(asking)


def _try_lock(home: Path, descriptor: int) -> bool:
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        raise HomeTaken(
            f"{home} cannot be locked ({error.strerror or error}), so nothing would keep two servers from using it. "
            "Give this one a home on a file system that has locks, with STANDPIPE_HOME."
        ) from error


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 65_536, 0).decode(errors="replace")


def _address(wire: object) -> Address | None:
    match wire:
        case [str(host), int(port), int(until)] if 0 < port < 65_536:
            return Address(host, port, until)
        case _:
            return None


def _taken(home: Path, holder: Holder, *, other_database: bool = False) -> str:
    words: list[str] = [] if holder.pid is None else [f"process {holder.pid}"]
    credentials = read_credentials(home)
    if credentials is not None and credentials.url:
        words.append(f"at {credentials.url}")
    kind = "An embedded broker" if holder.embedded else "Another Standpipe server"
    owner = f" ({', '.join(words)})" if words else ""
    why = " and works on another database" if other_database else ""
    return (
        f"{kind} holds {home}{owner}{why}. Use that one, stop it, or give this one a home of its own with "
        "STANDPIPE_HOME."
    )
