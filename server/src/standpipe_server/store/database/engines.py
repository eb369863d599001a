"""Engines: one for the writer, one for readers, for SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from standpipe_server.store.database.schema_upgrade import Migrate
from standpipe_server.store.errors import UnusableDatabase

Synchronous: TypeAlias = Literal["FULL", "NORMAL"]


# A peer that is gone without closing must not hold a thread for the quarter of an hour that TCP would wait.
_PATIENCE: Mapping[str, str | int] = {
    "application_name": "standpipe",
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_READ_MILLISECONDS = 30_000
# The other side of the same: rows that a server locked which is cut off now.
_IDLE_MILLISECONDS = 60_000


_BAD_PORT = (
    "The database URL has a port that is none: a number from 1 to 65535 was expected, as in "
    "postgresql://USER@HOST:5432/NAME. (The URL is not shown, since it may hold a password.)"
)


def database_url(text: str) -> URL:
    """Reads `sqlite:///file` or `postgresql://...`; PostgreSQL is always spoken to by psycopg 3.

    Raises:
        UnusableDatabase: it is no URL, or of another kind of database.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        # Not shown: it may hold a password.
        raise UnusableDatabase("This is no database URL; expected sqlite:///file or postgresql://...") from None
    except ValueError:
        raise UnusableDatabase(_BAD_PORT) from None
    if "@" in (url.host or ""):
        # A piece of the password would be looked up as a host, and told.
        raise UnusableDatabase("The database URL has more than one `@`; those of a password are written as %40.")
    if url.port is not None and not 0 < url.port <= 65535:
        raise UnusableDatabase(_BAD_PORT)
    match url.get_backend_name():
        case "sqlite":
            if not url.database or url.database == ":memory:":
                raise UnusableDatabase(
                    "A SQLite database needs a file: sqlite:////absolute/path or sqlite:///relative/path."
                )
            # By bytes: the name of a folder need not be text.
            path = text.partition("?")[0].partition(":///")[2]
            return url.set(drivername="sqlite", database=os.fsdecode(unquote_to_bytes(os.fsencode(path))))
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise UnusableDatabase(f"Expected a sqlite:// or postgresql:// database, got {other!r}.")


def open_engine(url: URL, *, synchronous: Synchronous, connections: int, writes: bool) -> Engine:
    """An engine with a pool of `connections`. Writing transactions on SQLite take the write lock when they begin.

    Raises:
        UnusableDatabase: the folder of a SQLite file does not exist.
    """
    if url.get_backend_name() == "sqlite":
        folder = Path(str(url.database)).absolute().parent
        if not folder.is_dir():
            raise UnusableDatabase(
                f"The database {url.database} cannot be opened: there is no folder {folder}. (In a URL `%` and `?` of "
                "a file's name are written as %25 and %3F.)"
            )
        engine = create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            connect_args={"check_same_thread": False, "timeout": 30},
        )
        _prepare_sqlite(engine, synchronous=synchronous, writes=writes)
        return engine
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
        # A reader looks several times in one transaction, and must not see half of what a merge did in between. The
        # writers lock what they change, and then have to see what was committed while they waited.
        isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
        # What is stored may be secret and an error's text goes into the log.
        hide_parameters=True,
        connect_args={
            **{name: value for name, value in _PATIENCE.items() if name not in url.query},
            # PGCLIENTENCODING and the database's own default must not count: the server writes and reads any text.
            "client_encoding": "UTF8",
        },
    )
    _bound_postgresql(engine, writes=writes)
    return engine


def require_unicode(engine: Engine) -> None:
    """Looks at how a PostgreSQL database stores text: what jobs report is any text.

    Raises:
        UnusableDatabase: it takes some text only, or takes bytes for text.
    """
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        encoding = str(connection.exec_driver_sql("SHOW server_encoding").scalar())
    if encoding.upper() not in ("UTF8", "UTF-8"):
        raise UnusableDatabase(
            f"The PostgreSQL database stores text as {encoding}, not as UTF8, and so not all that jobs report. "
            "Make one with CREATE DATABASE NAME ENCODING 'UTF8' TEMPLATE template0. If this one holds history, load a "
            "dump of it there."
        )


def database_name(text: str) -> str:
    """Which database a URL names, without who uses it: the same for two URLs of the same database."""
    url = database_url(text)
    if url.get_backend_name() == "sqlite":
        return f"sqlite {Path(str(url.database)).resolve()}"
    host = url.host or url.query.get("host", "")
    return f"postgresql {host} {url.port or url.query.get('port', '')} {url.database}"


def conninfo(text: str) -> str:
    """The same address for libpq, with the host, user and password that an engine takes from it."""
    from psycopg.conninfo import make_conninfo

    url = database_url(text)
    _, parameters = url.get_dialect()().create_connect_args(url)
    return make_conninfo(**parameters)


def _bound_postgresql(engine: Engine, *, writes: bool) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]  the decorator took it
        # By statement and not among the options of the start, which a pooler in between would refuse.
        connection.autocommit = True
        connection.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_MILLISECONDS}")
        if not writes:
            # Not for writers: a migration takes as long as it takes.
            connection.execute(f"SET statement_timeout = {_READ_MILLISECONDS}")
        connection.autocommit = False


def _prepare_sqlite(engine: Engine, *, synchronous: Synchronous, writes: bool) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]  the decorator took it
        # Transactions are begun by hand below: the driver would begin them late, and then as readers.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA busy_timeout=30000")
        cursor.execute("PRAGMA cache_size=-65536")
        if writes:
            # The checkpointer does it on a connection of its own, so that no writer waits for it.
            cursor.execute("PRAGMA wal_autocheckpoint=0")
        else:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:  # pyright: ignore[reportUnusedFunction]  the decorator took it
        # By the driver itself: SQLAlchemy's work for a statement takes longer than this one does.
        try:
            connection.connection.driver_connection.execute(begin)
        except sqlite3.OperationalError as error:
            raise OperationalError(begin, None, error, hide_parameters=True) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    database_url: str = field(repr=False)
    """May hold a password."""
    migrate: Migrate = "auto"
    synchronous: Synchronous = "FULL"
    """SQLite: FULL is on disk when acknowledged; NORMAL survives a killed process, not a power cut."""
    writers: int = 3
    """Writing connections on PostgreSQL; SQLite has one."""
    queue_size: int = 4_096
    """How many writes may wait for each writer."""
    read_threads: int = 8
    read_queue_size: int = 2_048
    """How many reads may wait for a thread. Readers that follow are not counted among them: a commit or a lost
    connection wakes them all at once, and they are bounded where they are opened."""
    most_followers: int = 16_384
    sweep_seconds: float = 5.0
    """How long the sweeper sleeps at most."""
