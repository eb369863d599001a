"""Statements past SQLAlchemy fail with the errors that they would have failed with through it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from standpipe_server.store.database import raw_sql as bulk
from standpipe_server.store.database import tables


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    tables.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as opened:
        yield opened


def test_a_row_that_is_there_already_is_an_integrity_error(connection: Connection) -> None:
    with pytest.raises(IntegrityError):
        bulk.insert_rows(connection, tables.asset, ("pk", "asset_key"), [(1, "a"), (1, "b")])


def test_a_statement_that_the_database_has_no_time_for_is_an_operational_error(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET statement_timeout = 1")
        slow = "SELECT pg_sleep(60)"
    else:
        # SQLite's way to say that it was interrupted.
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(lambda: 1, 1_000)
        slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(OperationalError):
        bulk.query(connection, slow, ())


def test_a_statement_that_is_none_tells_nothing_of_its_values(connection: Connection) -> None:
    with pytest.raises((ProgrammingError, OperationalError)) as raised:
        bulk.query(connection, "SELECT nothing FROM nowhere", ())
    assert raised.value.params is None
