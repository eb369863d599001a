"""The tests' own PostgreSQL: what the other tests stand on."""

from __future__ import annotations

import psycopg

from tests.support.postgres import Postgres


def test_each_test_gets_an_empty_database_of_its_own(postgres: Postgres) -> None:
    first, second = postgres.create(), postgres.create()
    with psycopg.connect(first, autocommit=True) as connection:
        connection.execute("CREATE TABLE mine (id integer)")
    with psycopg.connect(second) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert first != second
    assert tables == []
    postgres.release(first)
    postgres.release(second)


def test_a_released_database_is_dropped_with_the_next_one_made(postgres: Postgres) -> None:
    released = postgres.create()
    postgres.release(released)
    kept = postgres.create()
    with psycopg.connect(kept) as connection:
        names = {str(row[0]) for row in connection.execute("SELECT datname FROM pg_database")}
    assert released.split("?", 1)[0].rsplit("/", 1)[1] not in names
    postgres.release(kept)
