"""Brings a database to the schema of this version: once, under a lock, by the first server to start.

A server that finds the database at its own revision takes no lock. One that finds it ahead refuses to write.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from sqlalchemy import Connection, Engine, inspect, text

from standpipe_server.store.errors import MigrationNeeded

if TYPE_CHECKING:
    from alembic.config import Config

Migrate: TypeAlias = Literal["auto", "check", "off"]

HEAD = "0009"
"""The revision of this version's schema. Said here too, so that a start at head does without Alembic, whose import
costs a quarter of a second; a test holds it to the migrations."""

# The key of the advisory lock on PostgreSQL: "standpip" as a number, unlikely to collide.
_LOCK_KEY = int.from_bytes(b"standpip", "big", signed=True)


def upgrade_database(engine: Engine, *, migrate: Migrate) -> str:
    """Checks the schema's revision and upgrades it if asked to; answers the revision the database is at.

    Raises:
        MigrationNeeded: the schema is behind and `migrate` is "check", or the schema is ahead of this version.
    """
    at = _revision(engine)
    if at == HEAD or migrate == "off":
        return at or ""
    _refuse_if_ahead(at)
    if migrate == "check":
        raise MigrationNeeded(
            f"The database is at revision {at or 'none'} and this server needs {HEAD}: run `standpipe migrate` first, "
            "or start the server with --migrate auto."
        )
    from alembic import command
    from alembic.migration import MigrationContext

    with _locked(engine) as connection:
        # Another server may have upgraded it while this one waited for the lock.
        at = MigrationContext.configure(connection).get_current_revision()
        _refuse_if_ahead(at)
        if at != HEAD:
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    return HEAD


def alembic_config() -> Config:
    """Alembic's configuration, made in code: the migrations are found in the installed package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "standpipe_server:store/_migrations")
    config.set_main_option("path_separator", "os")
    return config


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.scalar(text("SELECT version_num FROM alembic_version"))


def _refuse_if_ahead(at: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
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
        # Its import costs what Alembic's does in part, and a start at head needs neither.
        from filelock import FileLock

        with FileLock(path + ".migrate-lock"):
            yield connection
