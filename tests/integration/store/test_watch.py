"""Is it still the same database? What the watch makes of copies, of failed transactions and of other connections."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from standpipe_server.store.database import engines
from standpipe_server.store.database.schema_upgrade import upgrade_database
from standpipe_server.store.errors import DatabaseLost
from standpipe_server.store.watch import Fence, Watch, open_watch


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    url = engines.database_url(database_url)
    made = engines.open_engine(url, synchronous="FULL", connections=3, writes=True)
    upgrade_database(made, migrate="auto")
    yield made
    made.dispose()


@pytest.fixture
def fence() -> Fence:
    return Fence()


@pytest.fixture
def watch(engine: Engine, fence: Fence) -> Iterator[Watch]:
    made = open_watch(engine, fence=fence, writers=2)
    made.attach(engine)
    yield made
    made.release()


def _write(connection: Connection, watch: Watch, *, writer: int = 0) -> None:
    """A writer's transaction up to its commit."""
    connection.exec_driver_sql("INSERT INTO asset (asset_key) SELECT 'a' || count(*) FROM asset")
    watch.before_commit(connection, now=1, writer=writer, wakes=[])


def _commit(engine: Engine, watch: Watch, *, writer: int = 0) -> None:
    with engine.begin() as connection:
        _write(connection, watch, writer=writer)
    watch.committed(writer)


def _raise_epoch(engine: Engine, watch: Watch) -> None:
    with engine.begin() as connection:
        watch.raise_epoch(connection)
    watch.committed(0)


def test_commits_of_all_kinds_are_well(engine: Engine, watch: Watch) -> None:
    for writer in (0, 1, 0, 0, 1):
        _commit(engine, watch, writer=writer)
        with engine.connect() as connection:
            watch.look(connection)
    assert watch.may_write_back()
    assert watch.close()


def test_a_commit_that_fails_or_is_not_confirmed_is_no_other_database(engine: Engine, watch: Watch) -> None:
    _commit(engine, watch)
    for confirmed in (False, True):
        with engine.connect() as connection, connection.begin() as transaction:
            _write(connection, watch)
            transaction.rollback()
        # Committed, and nobody has learnt of it.
        with engine.begin() as connection:
            _write(connection, watch)
        if confirmed:
            watch.committed(0)
        with engine.connect() as connection:
            watch.look(connection)
    _commit(engine, watch)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_epoch_whose_transaction_fails_does_not_count(
    engine: Engine, watch: Watch, fence: Fence, tmp_path: Path
) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        watch.raise_epoch(connection)
        transaction.rollback()
    with closing(sqlite3.connect(tmp_path / "standpipe.db")) as other:
        other.execute("CREATE TABLE extra (x)")
    with engine.begin() as connection:
        watch.changed_by_others(connection)
        watch.look(connection)
    assert not fence.is_down


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_copy_from_before_the_last_epoch_is_noticed_when_it_is_put_back(
    engine: Engine, watch: Watch, fence: Fence, tmp_path: Path
) -> None:
    file = tmp_path / "standpipe.db"
    _commit(engine, watch)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    shutil.copyfile(file, tmp_path / "copy.db")
    _raise_epoch(engine, watch)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    _commit(engine, watch)
    shutil.copyfile(tmp_path / "copy.db", file)
    assert not watch.may_write_back()
    with engine.connect() as connection, pytest.raises(DatabaseLost, match="written over"):
        watch.look(connection)
    assert fence.is_down
    assert not watch.close()
    (aside,) = tmp_path.glob("standpipe.db-wal.set-aside-*")
    assert aside.stat().st_size > 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_row_that_is_behind_or_gone_undoes_the_transaction(engine: Engine, watch: Watch, fence: Fence) -> None:
    _commit(engine, watch)
    _commit(engine, watch)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE server_writer SET epoch = epoch - 1")
    with pytest.raises(DatabaseLost, match="at least 1 commit"), engine.begin() as connection:
        _write(connection, watch)
    assert fence.is_down
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM asset").scalar() == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_writer_that_has_committed_nothing_yet_looks_at_the_others_rows(engine: Engine, watch: Watch) -> None:
    _commit(engine, watch, writer=0)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM server_writer")
    with pytest.raises(DatabaseLost, match="knows nothing"), engine.begin() as connection:
        _write(connection, watch, writer=1)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("default", "used"), [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
)
def test_no_default_makes_a_commit_weaker(engine: Engine, watch: Watch, default: str, used: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SET LOCAL synchronous_commit = {default}")
        _write(connection, watch)
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == used
