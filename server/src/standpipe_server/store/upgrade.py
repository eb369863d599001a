"""Brings a database to the schema of this version: once, under a lock, whoever starts first.

A server that finds the database at its own revision takes no lock. One that finds it ahead refuses to write.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from standpipe_server.store.errors import MigrationNeeded

Migrate: TypeAlias = Literal["auto", "check", "off"]

# The key of the advisory lock on PostgreSQL: "standpip" as a number, so that it collides with nobody's.
_LOCK_KEY = int.from_bytes(b"standpip", "big", signed=True)


def upgrade_database(engine: Engine, *, migrate: Migrate) -> str:
    """Checks the schema's revision and upgrades it if asked to; answers the revision the database is at.

    Raises:
        MigrationNeeded: the schema is behind and `migrate` is "check", or the schema is ahead of this version.
    """
    head = _scripts().get_current_head() or ""
    if migrate == "off":
        return _revision(engine) or ""
    at = _revision(engine)
    if at == head:
        return head
    _refuse_if_ahead(at)
    if migrate == "check":
        raise MigrationNeeded(
            f"The database is at revision {at or 'none'} and this server needs {head}: run `standpipe migrate` first, "
            "or start the server with --migrate auto."
        )
    with _locked(engine) as connection:
        # Another server may have upgraded it while this one waited for the lock.
        at = MigrationContext.configure(connection).get_current_revision()
        _refuse_if_ahead(at)
        if at != head:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "standpipe_server:store/_migrations")
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _refuse_if_ahead(at: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if at is not None and at not in known:
        raise MigrationNeeded(
            f"The database is at revision {at}, which this version of standpipe-server does not know: a newer version "
            "has upgraded it. Install that version or a later one."
        )


@contextmanager
def _locked(engine: Engine) -> Generator[Connection]:
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # Of the session, not of a transaction: an upgrade may commit in between.
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK_KEY})
            connection.commit()
            try:
                yield connection
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})
                connection.commit()
            return
        path = engine.url.database
        if not path or path == ":memory:":
            yield connection
            return
        with Path(path + ".migrate-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield connection
