"""Migrations bring a database to exactly the tables, once, whoever starts first."""

from __future__ import annotations

import json
import threading

import pytest
import zstandard
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from standpipe_server.broker.outcome.badge import family_of
from standpipe_server.store.database.engines import database_url as parse_url
from standpipe_server.store.database.schema_upgrade import HEAD, alembic_config, upgrade_database
from standpipe_server.store.database.tables import metadata
from standpipe_server.store.errors import MigrationNeeded
from standpipe_server.store.reads.assets import ReportFilter
from standpipe_server.store.reads.assets.number_series import has_numbers_left, read_series

_INSERT_0001 = (
    "INSERT INTO invocation (id, request_digest, status, reasons, revision, last_position, context, asset_keys, tags,"
    " search, created_at, open_within, settle, lease_seconds, lease_lost, producers_opened, producers_open)"
    " VALUES (:id, '', 'ended', '[]', 1, 0, :context, '[]', '{}', '', 0, 1, 1, 1, FALSE, 0, 0)"
)


@pytest.fixture
def engine(database_url: str):
    made = create_engine(parse_url(database_url))
    yield made
    made.dispose()


def test_an_empty_database_becomes_what_the_tables_say(engine: Engine) -> None:
    upgrade_database(engine, migrate="auto")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_head_that_the_server_knows_is_the_migrations_head() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD


def test_upgrading_again_changes_nothing(engine: Engine) -> None:
    assert upgrade_database(engine, migrate="auto") == upgrade_database(engine, migrate="auto")


def test_many_servers_may_start_at_once(engine: Engine) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            upgrade_database(engine, migrate="auto")
        except BaseException as error:  # collected and asserted on below
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


def test_a_check_refuses_an_old_schema_and_says_what_to_run(engine: Engine) -> None:
    with pytest.raises(MigrationNeeded, match="standpipe migrate"):
        upgrade_database(engine, migrate="check")


def test_a_newer_schema_is_refused(engine: Engine) -> None:
    upgrade_database(engine, migrate="auto")
    with engine.connect() as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(MigrationNeeded, match="newer version"):
        upgrade_database(engine, migrate="auto")


def test_contexts_are_kept_when_they_move_to_a_table_of_their_own(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin():
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for number in (1, 2):
            values = {"id": f"inv_{number}", "context": f"packed {number}".encode()}
            connection.execute(text(_INSERT_0001), values)
        connection.execute(text("INSERT INTO history (invocation_pk, at, kind, detail) VALUES (2, 0, 'opened', '{}')"))
    upgrade_database(engine, migrate="auto")
    with engine.connect() as connection:
        found = connection.execute(text("SELECT invocation_pk, context FROM invocation_context ORDER BY 1")).all()
        assert [(row.invocation_pk, bytes(row.context)) for row in found] == [(1, b"packed 1"), (2, b"packed 2")]
        # What refers to an invocation is still there.
        assert connection.scalar(text("SELECT count(*) FROM history WHERE invocation_pk = 2")) == 1


def test_history_from_before_is_found_by_text_and_its_numbers_wait_to_be_taken(engine: Engine) -> None:
    message = {
        "method": "report_asset_materialization",
        "params": {
            "asset_key": "a",
            "metadata": {"rows": {"raw_value": 7, "type": "int"}, "plain": 0.5, "text": "9", "on": True},
        },
    }
    body = json.dumps([{"method": "opened"}, message]).encode()
    reasons = json.dumps([{"code": "exit-code", "detail": "The process ended with 3."}])
    statements: list[tuple[str, dict[str, object]]] = [
        (
            "INSERT INTO invocation (id, request_digest, status, verdict, reasons, revision, last_position, asset_keys,"
            " tags, search, job_name, created_at, open_within, settle, lease_seconds, lease_lost, producers_opened,"
            " producers_open) VALUES ('inv_1', '', 'ended', 'failed', :reasons, 1, 2, '[]', '{}', 'inv_1 nightly',"
            " 'nightly', 5, 1, 1, 1, FALSE, 0, 0)",
            {"reasons": reasons},
        ),
        ("INSERT INTO asset (asset_key) VALUES ('a')", {}),
        (
            "INSERT INTO segment (invocation_pk, first_position, count, producer_pk, first_seq, received_at, methods,"
            " encoding, body) VALUES (1, 1, 2, 1, 1, 6, 0, 1, :body)",
            {"body": zstandard.ZstdCompressor().compress(body)},
        ),
        (
            "INSERT INTO materialization (invocation_pk, position, asset_pk, partition_key, received_at)"
            " VALUES (1, 2, 1, 'p', 6)",
            {},
        ),
        (
            "INSERT INTO first_error (invocation_pk, kind, position, summary, received_at)"
            " VALUES (1, 'exception', 2, 'It BROKE', 6)",
            {},
        ),
    ]
    with engine.connect() as connection, connection.begin():
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for statement, values in statements:
            connection.execute(text(statement), values)
    upgrade_database(engine, migrate="auto")
    with engine.connect() as connection:
        texts = connection.execute(text("SELECT kind, text FROM invocation_text WHERE created_at = 5 ORDER BY kind"))
        assert [tuple(row) for row in texts] == [
            ("exception", "it broke"),
            ("names", "inv_1 nightly"),
            ("reasons", "the process ended with 3."),
        ]
        assert read_series(connection, "a", "rows", ReportFilter(), max_points=10)["points"] == []
        assert has_numbers_left(connection, 1, metadata.tables["materialization"])
        # As the server itself would have written it.
        family = connection.scalar(text("SELECT family FROM invocation"))
        assert family == family_of(job_name="nightly", asset_keys="[]")
